/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/swarm/swarm-tasks.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

/* Of one answer of a health check, and of what docker says of a task, what is shown. */
#define HEALTH_OUTPUT_MAX ((size_t)500)
#define TROUBLE_MAX ((size_t)1000)
#define STATE_MAX ((size_t)20)

/* Where a task is on its way. */
typedef enum Stage {
    STAGE_WAITING, /* no container yet */
    STAGE_ALIVE,   /* a container, perhaps not well yet */
    STAGE_RUNNING,
    STAGE_ENDED,
    STAGE_FAILED,
} Stage;

/* https://docs.docker.com/engine/swarm/how-swarm-mode-works/swarm-task-states/ */
static const struct {
    const char *name;
    Stage stage;
} stages[] = {
    {"new", STAGE_WAITING},       {"pending", STAGE_WAITING}, {"assigned", STAGE_WAITING},
    {"accepted", STAGE_WAITING},  {"ready", STAGE_WAITING},   {"preparing", STAGE_WAITING},
    {"allocated", STAGE_WAITING}, {"starting", STAGE_ALIVE},  {"running", STAGE_RUNNING},
    {"shutdown", STAGE_ENDED},    {"remove", STAGE_ENDED},    {"orphaned", STAGE_ENDED},
    {"complete", STAGE_FAILED}, /* a service is not meant to end */
    {"failed", STAGE_FAILED},     {"rejected", STAGE_FAILED},
};

const char *swarm_task_id(const Json *task)
{
    const char *id = json_get_string(task, "ID");

    return id ? id : "";
}

const char *swarm_task_state(const Json *task)
{
    const char *state = json_get_string(json_get(task, "Status"), "State");

    return state ? state : "";
}

const char *swarm_task_container(const Json *task)
{
    const char *id = json_as_string(json_pointer(task, "/Status/ContainerStatus/ContainerID"));

    return id ? id : "";
}

/* A state that is not known counts as alive: then nobody takes it for gone. */
static Stage stage_of(const Json *task)
{
    const char *state = swarm_task_state(task);

    for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
        if (strcmp(stages[i].name, state) == 0) {
            return stages[i].stage;
        }
    }
    return STAGE_ALIVE;
}

static bool is_meant_to_end(const Json *task)
{
    const char *desired = json_get_string(task, "DesiredState");

    return desired && (strcmp(desired, "shutdown") == 0 || strcmp(desired, "remove") == 0);
}

static bool is_of(const Json *task, const char *deployment)
{
    const Json *labels = json_pointer(task, "/Spec/ContainerSpec/Labels");
    const char *label = json_get_string(labels, ENGINE_LABEL_DEPLOYMENT);

    return label && deployment ? strcmp(label, deployment) == 0 : !label && !deployment;
}

static const char *timestamp_of(const Json *task)
{
    const char *at = json_get_string(json_get(task, "Status"), "Timestamp");

    return at ? at : "";
}

/* Slots, or the nodes of a global service, as members of an object: each once, however many tasks.
 */
static int add_to_set(Json *set, const char *name)
{
    return json_has(set, name) ? 0 : json_set_bool(set, name, true);
}

static int note_failed(const Json *task, Json *failed_slots, SwarmTasks *ret)
{
    const char *node = json_get_string(task, "NodeID");
    _cleanup_buffer_ Buffer slot = BUFFER_INIT(0);
    int r;

    if (!ret->failed || strcmp(timestamp_of(task), timestamp_of(ret->failed)) >= 0) {
        ret->failed = task;
    }
    r = json_has(task, "Slot")
            ? buffer_append_format(&slot, "%lld", (long long)json_get_int(task, "Slot", 0))
            : buffer_append_text(&slot, node ? node : "");
    return r < 0 ? r : add_to_set(failed_slots, buffer_text(&slot));
}

static int read_own(const Json *task, Json *failed_slots, SwarmTasks *ret)
{
    Stage stage = stage_of(task);

    ret->has_own = true;
    ret->has_own_alive = ret->has_own_alive || stage == STAGE_ALIVE || stage == STAGE_RUNNING;
    if (stage == STAGE_FAILED) {
        return note_failed(task, failed_slots, ret);
    }
    if (stage == STAGE_ENDED || is_meant_to_end(task)) {
        return 0;
    }
    ret->counts.updated++;
    if (stage == STAGE_RUNNING) {
        ret->counts.healthy++;
    } else if (!ret->held || strcmp(timestamp_of(task), timestamp_of(ret->held)) < 0) {
        ret->held = task;
    }
    return 0;
}

static void read_other(const Json *task, const Json *down, SwarmTasks *ret)
{
    const char *node = json_get_string(task, "NodeID");
    Stage stage = stage_of(task);
    bool is_ending = is_meant_to_end(task);

    if (stage == STAGE_FAILED || stage == STAGE_ENDED || (stage == STAGE_WAITING && is_ending) ||
        (is_ending && node && json_has(down, node))) {
        return;
    }
    ret->counts.old++;
    ret->has_lingering = ret->has_lingering || is_ending;
}

int swarm_tasks_read(const Json *tasks, const Json *spec, const char *deployment, const Json *down,
                     SwarmTasks *ret)
{
    const Json *mode = json_get(spec, "Mode");
    _cleanup_json_ Json *failed_slots = json_new_object(), *nodes = json_new_object();
    int r = failed_slots && nodes ? 0 : -ENOMEM;

    *ret = (SwarmTasks){0};
    for (size_t i = 0; r == 0 && i < json_length(tasks); i++) {
        const Json *task = json_at(tasks, i);
        const char *node = json_get_string(task, "NodeID");

        if (is_of(task, deployment)) {
            r = read_own(task, failed_slots, ret);
        } else {
            read_other(task, down, ret);
        }
        if (r == 0 && node && !is_meant_to_end(task)) {
            r = add_to_set(nodes, node);
        }
    }
    if (r < 0) {
        return r;
    }
    ret->failed_slots = (int64_t)json_member_count(failed_slots);
    /* A global service wants one on each node that will have it: docker has made those tasks. */
    ret->counts.wanted = json_has(mode, "Global")
                             ? MAX((int64_t)json_member_count(nodes), (int64_t)1)
                             : json_get_int(json_get(mode, "Replicated"), "Replicas", 1);
    return 0;
}

bool swarm_tasks_are_failing(const SwarmTasks *tasks, const Json *spec)
{
    const Json *update = json_get(spec, "UpdateConfig");
    const char *action = json_get_string(update, "FailureAction");
    double ratio = json_as_number(json_get(update, "MaxFailureRatio"), 0);

    if (action && strcmp(action, "continue") == 0) {
        return false;
    }
    return (double)tasks->failed_slots > ratio * (double)tasks->counts.wanted;
}

/* ---- for people -------------------------------------------------------------------------------
 */

static int append_line(Buffer *text, const char *data, size_t n)
{
    size_t start = text->len;
    int r = text_append_utf8(text, data, n);

    for (size_t i = start; r == 0 && i < text->len; i++) {
        if ((unsigned char)text->data[i] < ' ' || text->data[i] == 0x7f) {
            text->data[i] = ' ';
        }
    }
    while (r == 0 && text->len > start && text->data[text->len - 1] == ' ') {
        buffer_truncate(text, text->len - 1);
    }
    return r;
}

int swarm_task_append_trouble(const Json *task, Buffer *text)
{
    const Json *status = json_get(task, "Status");
    const char *state = swarm_task_state(task), *said = json_get_string(status, "Err");
    int64_t slot = json_get_int(task, "Slot", 0);
    const char *word = strcmp(state, "rejected") == 0   ? "was rejected"
                       : strcmp(state, "failed") == 0   ? "failed"
                       : strcmp(state, "complete") == 0 ? "ended by itself, with status 0"
                                                        : NULL;
    int r = slot > 0 ? buffer_append_format(text, "instance %lld ", (long long)slot)
                     : buffer_append_text(text, "an instance ");

    if (r == 0 && word) {
        r = buffer_append_text(text, word);
    } else if (r == 0) {
        r = buffer_append_text(text, "is ");
        r = r < 0 ? r : append_line(text, state, MIN(strlen(state), STATE_MAX));
    }
    if (r < 0 || !said || !*said) {
        return r;
    }
    said += text_has_prefix(said, "task: ") ? strlen("task: ") : 0;
    r = buffer_append_text(text, ": ");
    return r < 0 ? r : append_line(text, said, MIN(strlen(said), TROUBLE_MAX));
}

/* One frame of docker's multiplexed stream: a byte that says which stream, three that are 0, four
 * with the length, and so many bytes. https://docs.docker.com/reference/api/engine/ (attach) */
#define FRAME_HEAD 8

static bool next_frame(const char *data, size_t n, size_t *at, size_t *ret_len)
{
    const unsigned char *head = (const unsigned char *)data + *at;
    size_t len;

    if (n - *at < FRAME_HEAD || head[0] > 2 || head[1] || head[2] || head[3]) {
        return false;
    }
    len = (size_t)head[4] << 24 | (size_t)head[5] << 16 | (size_t)head[6] << 8 | head[7];
    *at += FRAME_HEAD;
    *ret_len = MIN(len, n - *at);
    return true;
}

int swarm_log_append(const char *data, size_t n, bool is_multiplexed, size_t max_bytes,
                     Buffer *text)
{
    _cleanup_buffer_ Buffer bytes = BUFFER_INIT(0);
    size_t at = 0, len = 0, start = 0;
    int r = is_multiplexed ? 0 : buffer_append(&bytes, data, n);

    while (r == 0 && is_multiplexed && next_frame(data, n, &at, &len)) {
        r = buffer_append(&bytes, data + at, len);
        at += len;
    }
    if (r < 0 || bytes.len == 0) {
        return r;
    }
    if (bytes.len > max_bytes) {
        const char *line = memchr(bytes.data + bytes.len - max_bytes, '\n', max_bytes - 1);

        start = line ? (size_t)(line + 1 - bytes.data) : bytes.len - max_bytes;
    }
    r = text_append_utf8(text, bytes.data + start, bytes.len - start);
    if (r == 0 && text->data[text->len - 1] != '\n') {
        r = buffer_append_text(text, "\n");
    }
    return r;
}

int swarm_health_append(const Json *health, Buffer *text)
{
    const Json *log = json_get(health, "Log");
    const Json *last = json_length(log) > 0 ? json_at(log, json_length(log) - 1) : NULL;
    const char *output = json_get_string(last, "Output");
    int r;

    if (!last || json_get_int(last, "ExitCode", 0) == 0) {
        return 0;
    }
    r = buffer_append_format(text, "its health check ended with status %lld",
                             (long long)json_get_int(last, "ExitCode", 0));
    if (r < 0 || !output || !*output) {
        return r;
    }
    r = buffer_append_text(text, ": ");
    return r < 0 ? r : append_line(text, output, MIN(strlen(output), HEALTH_OUTPUT_MAX));
}
