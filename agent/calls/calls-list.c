/* SPDX-License-Identifier: MIT */
/* What is told about calls: lists, results, artifacts, health. */
#include "agent/calls/call.h"
#include "agent/calls/cleanup.h"
#include "agent/calls/store/audit-log.h"
#include "agent/calls/vitals/host-clock.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A call makes some ten files besides those of its workspace; with fewer inodes than this the next
 * checkout may be the one that fails. */
#define INODES_MARK 10000

/* One of Ed25519 has 113 bytes. */
#define PUBLIC_KEY_MAX ((size_t)16 << 10)

/* ---- the state of one -------------------------------------------------------------------------
 */

static void number_queue(Calls *calls)
{
    LiveCall *live;
    size_t position = 0;

    TAILQ_FOREACH (live, &calls->queue, entry) {
        live->position = ++position;
    }
}

/* The call of the same run that goes first, or NULL: then it is a slot that it waits for. */
static const Call *find_in_the_way(const Calls *calls, const LiveCall *waiting)
{
    const LiveCall *live, *first = NULL;

    if (!waiting->run) {
        return NULL;
    }
    TAILQ_FOREACH (live, &calls->running, entry) {
        if (live->run && strcmp(live->run, waiting->run) == 0) {
            return live->call;
        }
    }
    TAILQ_FOREACH (live, &calls->queue, entry) {
        if (live == waiting) {
            break;
        }
        if (live->run && strcmp(live->run, waiting->run) == 0) {
            first = live;
        }
    }
    return first ? first->call : NULL;
}

/* Positions are numbered already. */
static int set_state(Calls *calls, const Call *call, Json *object)
{
    const Call *in_the_way;
    char text[CALL_ID_SIZE + sizeof("call  of the same run")];
    int r = json_set_string(object, "state", call_state_name(call->state));

    if (r < 0 || call->state != CALL_QUEUED) {
        return r;
    }
    in_the_way = find_in_the_way(calls, call->live);
    (void)snprintf(text, sizeof(text), "call %s of the same run", in_the_way ? in_the_way->id : "");
    r = json_set_int(object, "position", (int64_t)call->live->position);
    return r == 0 ? json_set_string(object, "waitsFor", in_the_way ? text : "a free slot") : r;
}

int call_describe_state(Calls *calls, Call *call, Json *object)
{
    number_queue(calls);
    return set_state(calls, call, object);
}

/* ---- result and artifacts ---------------------------------------------------------------------
 */

static int load_result(Call *call, Json **ret, Error *err)
{
    _cleanup_fd_ int fd = -1;
    int r;

    if (call->state != CALL_FINISHED) {
        return error_set(err, -EBUSY, "call '%s' is %s", call->id, call_state_name(call->state));
    }
    r = call_dir_open(call->calls->calls_fd, call->id, &fd, err);
    return r == 0 ? result_load(fd, call->id, ret, err) : r;
}

int call_read_result(Call *call, Json **ret, Error *err)
{
    _cleanup_json_ Json *result = NULL;
    Json *artifacts;
    int r = load_result(call, &result, err);

    if (r < 0) {
        return r;
    }
    r = result_copy_artifacts(json_get(result, "artifacts"), &artifacts);
    r = r == 0 ? json_set_take(result, "artifacts", artifacts) : r;
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    *ret = TAKE_PTR(result);
    return 0;
}

/* With `file`: what a finished call's result says, what a running one has gathered so far. */
static int load_artifacts(Call *call, Json **ret, Error *err)
{
    _cleanup_json_ Json *result = NULL;
    int r;

    if (call->state != CALL_FINISHED) {
        *ret = json_ref(call->live->result.artifacts);
        return 0;
    }
    r = load_result(call, &result, err);
    if (r < 0) {
        return r;
    }
    *ret = json_ref(json_get(result, "artifacts"));
    return 0;
}

int call_list_artifacts(Call *call, Json **ret, Error *err)
{
    _cleanup_json_ Json *artifacts = NULL;
    int r = load_artifacts(call, &artifacts, err);

    if (r < 0) {
        return r;
    }
    r = result_copy_artifacts(artifacts, ret);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

static int open_file(Call *call, const Json *artifact, int *ret_fd, int64_t *ret_size, Error *err)
{
    const char *file = json_get_string(artifact, "file"), *name = json_get_string(artifact, "name");
    _cleanup_free_ char *path = NULL;
    _cleanup_fd_ int fd = -1;
    struct stat st;

    if (asprintf(&path, "%s/artifacts/%s", call->id, file) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    fd = openat(call->calls->calls_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return error_set_errno(err, -errno, "artifact '%s/%s'", call->id, name);
    }
    if (!S_ISREG(st.st_mode) || st.st_size != json_get_int(artifact, "size", -1)) {
        return error_set(err, -EIO, "artifact '%s/%s' is not what its action announced", call->id,
                         name);
    }
    *ret_fd = TAKE_FD(fd);
    *ret_size = st.st_size;
    return 0;
}

int call_open_artifact(Call *call, const char *name, int *ret_fd, int64_t *ret_size, Error *err)
{
    _cleanup_json_ Json *artifacts = NULL;
    int r = load_artifacts(call, &artifacts, err);

    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < json_length(artifacts); i++) {
        const Json *artifact = json_at(artifacts, i);

        if (strcmp(json_get_string(artifact, "name"), name) == 0) {
            return open_file(call, artifact, ret_fd, ret_size, err);
        }
    }
    return error_set(err, -ENOENT, "call '%s' has no artifact '%s'", call->id, name);
}

/* ---- lists ------------------------------------------------------------------------------------
 */

static int copy_members(Json *to, const Json *from, const char *const *names)
{
    int r = 0;

    for (; r == 0 && *names; names++) {
        if (json_has(from, *names)) {
            r = json_set_take(to, *names, json_ref(json_get(from, *names)));
        }
    }
    return r;
}

static int set_started(const LiveCall *live, Json *entry)
{
    char text[CLOCK_TEXT_SIZE];
    int r = 0;

    if (live->result.started_us) {
        r = json_set_string(entry, "startedAt", clock_format(live->result.started_us, text));
    }
    return r == 0 && live->result.progress
               ? json_set_take(entry, "progress", json_ref(live->result.progress))
               : r;
}

/* A directory that somebody spoiled is listed with what is known without it. */
static int describe(Calls *calls, Call *call, Json *entry)
{
    static const char *const asked[] = {"action", "run", "createdAt", "origin", "approval", NULL};
    static const char *const became[] = {"status", "reason", "startedAt", "finishedAt", NULL};
    _cleanup_json_ Json *spec = NULL, *result = NULL;
    _cleanup_fd_ int fd = -1;
    char created[CLOCK_TEXT_SIZE];
    int r = json_set_string(entry, "call", call->id);

    r = r == 0 ? json_set_string(entry, "action", "") : r;
    r = r == 0 ? json_set_string(entry, "createdAt", clock_format(calls_id_time(call->id), created))
               : r;
    r = r == 0 ? set_state(calls, call, entry) : r;
    if (r < 0 || call_dir_open(calls->calls_fd, call->id, &fd, NULL) < 0) {
        return r;
    }
    if (call_dir_read_json(fd, "spec.json", &spec, NULL) == 0) {
        r = copy_members(entry, spec, asked);
    }
    if (r == 0 && call->live) {
        return set_started(call->live, entry);
    }
    if (r == 0 && result_load(fd, call->id, &result, NULL) == 0) {
        r = copy_members(entry, result, became);
    }
    return r;
}

static int append(Calls *calls, Call *call, Json *list)
{
    Json *entry = json_new_object();
    int r = entry ? describe(calls, call, entry) : -ENOMEM;

    if (r < 0) {
        (void)json_unref(entry);
        return r;
    }
    return json_append_take(list, entry);
}

static bool is_wanted(const Call *call, unsigned states)
{
    return states == 0 || states & 1u << call->state;
}

static int list_all(Calls *calls, unsigned states, size_t limit, Json *list)
{
    int r = 0;

    for (size_t i = calls->n_all; r == 0 && i > 0 && json_length(list) < limit; i--) {
        if (is_wanted(calls->all[i - 1], states)) {
            r = append(calls, calls->all[i - 1], list);
        }
    }
    return r;
}

static int list_run(Calls *calls, unsigned states, const char *run, size_t limit, Json *list)
{
    char **ids;
    size_t n;
    int r = index_list_run(&calls->index, run, &ids, &n);

    if (r < 0) {
        return r;
    }
    for (size_t i = n; i > 0; i--) {
        Call *call = calls_find(calls, ids[i - 1]);

        if (r == 0 && call && is_wanted(call, states) && json_length(list) < limit) {
            r = append(calls, call, list);
        }
        free(ids[i - 1]);
    }
    free(ids);
    return r;
}

int calls_list(Calls *calls, unsigned states, const char *run, size_t limit, Json **ret, Error *err)
{
    _cleanup_json_ Json *list = json_new_array();
    int r = list ? 0 : -ENOMEM;

    number_queue(calls);
    if (r == 0) {
        r = run ? list_run(calls, states, run, limit, list) : list_all(calls, states, limit, list);
    }
    if (r < 0) {
        return error_set_errno(err, r, "listing the calls");
    }
    *ret = TAKE_PTR(list);
    return 0;
}

/* ---- health -----------------------------------------------------------------------------------
 */

static int set_numbers(Json *health, const char *name, const char *const *names,
                       const int64_t *values)
{
    Json *object = json_new_object();
    int r = object ? 0 : -ENOMEM;

    for (; r == 0 && *names; names++, values++) {
        r = json_set_int(object, *names, *values);
    }
    if (r < 0) {
        (void)json_unref(object);
        return r;
    }
    return json_set_take(health, name, object);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define VALUES(...) ((const int64_t[]){__VA_ARGS__})

static int set_queue(Calls *calls, Json *health)
{
    const LiveCall *oldest = TAILQ_FIRST(&calls->queue);
    int r = set_numbers(health, "queue", NAMES("length", "max"),
                        VALUES((int64_t)calls->n_queued, CALLS_QUEUE_MAX));

    return r == 0 ? call_dir_set_seconds(json_get(health, "queue"), "oldestSeconds",
                                         oldest ? clock_wall_us() - oldest->created_us : 0)
                  : r;
}

static int set_calls(Calls *calls, Json *health)
{
    size_t n_finished = calls->n_all - calls->n_queued - calls->n_running;
    int r =
        set_numbers(health, "calls", NAMES("running", "finished", "lost"),
                    VALUES((int64_t)calls->n_running, (int64_t)n_finished, (int64_t)calls->n_lost));

    return r == 0 ? tally_describe(&calls->tally, json_get(health, "calls"), "ended") : r;
}

static int set_disk(const Calls *calls, const CleanupDisk *disk, Json *health)
{
    return set_numbers(
        health, "disk", NAMES("freeBytes", "totalBytes", "markBytes", "freeInodes", "totalInodes"),
        VALUES(disk->free_bytes, disk->total_bytes, cleanup_disk_mark(calls->config, disk),
               disk->free_inodes, disk->total_inodes));
}

static int add_problem(Json *problems, const char *format, ...) _printf_(2, 3);
static int add_problem(Json *problems, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, format);
    n = vasprintf(&text, format, ap);
    va_end(ap);
    if (n < 0) {
        text = NULL;
        return -ENOMEM;
    }
    return json_append_string(problems, text);
}

/* With what it says of itself, for whoever is told of problems. */
static int set_audit(const Calls *calls, Json *health, char **ret_problem)
{
    const char *url = json_get_string(calls->config->forward, "url");
    Json *audit = NULL;
    int r = audit_log_describe(calls->state_fd, url, clock_wall_us(), &audit, ret_problem);

    return r < 0 ? r : json_set_take(health, "audit", audit);
}

/* *ret_is_working: calls can be run, whatever else is wrong. */
static int find_problems(Calls *calls, const CleanupDisk *disk, const char *late, Json *problems,
                         bool *ret_is_working)
{
    const AgentConfig *config = calls->config;
    const char *unreleasable = agent_config_find_unreleasable(config);
    _cleanup_free_ char *shim = NULL;
    int r = 0;

    *ret_is_working = !calls->problem;
    if (asprintf(&shim, "%s/slipway-shim", config->libexec_directory) < 0) {
        shim = NULL;
        r = -ENOMEM;
    }
    if (r == 0 && access(shim, X_OK) < 0) {
        *ret_is_working = false;
        r = add_problem(problems, "no call can run: '%s': %s", shim, strerror(errno));
    }
    if (r == 0 && cleanup_is_disk_short(config, disk)) {
        r = add_problem(problems, "less than %u%% of the disk of '%s' is free: old calls go early",
                        config->disk_free_percent, config->state_directory);
    }
    if (r == 0 && disk->total_inodes > 0 && disk->free_inodes < INODES_MARK) {
        r = add_problem(problems, "only %lld inodes are free on the disk of '%s'",
                        (long long)disk->free_inodes, config->state_directory);
    }
    if (r == 0 && config->confine == CONFINE_ALWAYS && !calls->confinement.is_on) {
        r = add_problem(problems, "steps are not kept out of the state directory: %s",
                        calls->confinement.note + strlen("none: "));
    }
    if (r == 0 && unreleasable) {
        r = add_problem(problems,
                        "nobody can release to '%s': no key in `keys` of agent.json has the role "
                        "approver; `slipway keygen` makes one",
                        unreleasable);
    }
    if (r == 0 && calls->problem) {
        r = add_problem(problems, "storage: %s", calls->problem);
    }
    if (r == 0 && late) {
        r = add_problem(problems, "%s", late);
    }
    return r;
}

static int set_problems(Calls *calls, const CleanupDisk *disk, const char *late, Json *health)
{
    Json *problems = json_new_array();
    bool is_working;
    int r = problems ? find_problems(calls, disk, late, problems, &is_working) : -ENOMEM;

    r = r == 0 ? json_set_bool(health, "isWorking", is_working) : r;
    r = r == 0 ? engine_check_describe(&calls->engines, clock_monotonic_ms(), health, problems) : r;
    if (r < 0) {
        (void)json_unref(problems);
        return r;
    }
    return json_set_take(health, "problems", problems);
}

/* Absent while there is none: it is made soon after the first start. */
static int set_public_key(const Calls *calls, Json *health)
{
    _cleanup_buffer_ Buffer pem = BUFFER_INIT(PUBLIC_KEY_MAX);

    return file_read(calls->state_fd, CALLS_PUBLIC_KEY, &pem, NULL) == 0
               ? json_set_string(health, "publicKey", buffer_text(&pem))
               : 0;
}

int calls_health(Calls *calls, Json **ret, Error *err)
{
    _cleanup_json_ Json *health = json_new_object();
    _cleanup_free_ char *late = NULL;
    CleanupDisk disk = {0};
    int r = cleanup_read_disk(calls->state_fd, &disk);

    if (r < 0) {
        return error_set_errno(err, r, "looking at the disk of the state directory");
    }
    r = health ? 0 : -ENOMEM;
    r = r == 0 ? set_numbers(health, "slots", NAMES("total", "busy"),
                             VALUES(calls->config->slots, (int64_t)calls->n_running))
               : r;
    r = r == 0 ? set_queue(calls, health) : r;
    r = r == 0 ? set_calls(calls, health) : r;
    r = r == 0 ? set_disk(calls, &disk, health) : r;
    r = r == 0 ? host_clock_describe(health) : r;
    r = r == 0 ? json_set_string(health, "containment", containment_mode(&calls->containment)) : r;
    r = r == 0 ? json_set_string(health, "confinement", calls->confinement.note) : r;
    r = r == 0 ? set_public_key(calls, health) : r;
    r = r == 0 ? set_audit(calls, health, &late) : r;
    r = r == 0 ? set_problems(calls, &disk, late, health) : r;
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    *ret = TAKE_PTR(health);
    return 0;
}
