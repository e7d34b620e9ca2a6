/* SPDX-License-Identifier: MIT */
#include "agent/calls/vitals/engine-check.h"

#include "protocol/base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)2 << 20)
/* As slipway-reach has it (REACH_TARGETS_MAX). */
#define TARGETS_MAX 256

void engine_check_init(EngineCheck *check, const Json *environments)
{
    *check = (EngineCheck){.environments = environments, .out_fd = -1};
    LIST_INIT(&check->waiters);
}

void engine_check_done(EngineCheck *check)
{
    EngineWaiter *waiter;

    while ((waiter = LIST_FIRST(&check->waiters))) {
        engine_waiter_cancel(waiter);
    }
    check->found = json_unref(check->found);
    check->out_fd = fd_close(check->out_fd);
    free(TAKE_PTR(check->problem));
}

/* ---- asking -----------------------------------------------------------------------------------
 */

/* The `i`-th place where an engine is asked; NULL: there are no more. */
static const char *address_at(const Json *environment, size_t i)
{
    const char *only = json_get_string(environment, "address");

    return only ? (i == 0 ? only : NULL)
                : json_as_string(json_at(json_get(environment, "addresses"), i));
}

/* What the answer for that place is called: no environment has a name with a slash. */
#define TARGET_FORMAT "%s/%zu"
#define TARGET_SIZE (128 + sizeof("/18446744073709551615"))

static size_t count_targets(const EngineCheck *check)
{
    size_t n = 0;

    for (JsonMember m = {0}; json_next_member(check->environments, &m);) {
        for (size_t i = 0; address_at(m.value, i); i++) {
            n++;
        }
    }
    return MIN(n, (size_t)TARGETS_MAX);
}

bool engine_check_is_running(const EngineCheck *check)
{
    return check->out_fd >= 0;
}

bool engine_check_is_due(const EngineCheck *check, int64_t now_ms)
{
    bool is_known = check->found || check->problem;

    return count_targets(check) > 0 &&
           (!is_known || now_ms - check->found_ms >= ENGINE_CHECK_FRESH_MS);
}

/* "1000", then NAME/I=ADDRESS for each address: first pointers, then what they point at. */
static char **make_arguments(const EngineCheck *check)
{
    size_t n = count_targets(check), size = sizeof("2147483647"), at = 1;
    char **words, *text;

    for (JsonMember m = {0}; json_next_member(check->environments, &m);) {
        for (size_t i = 0; address_at(m.value, i); i++) {
            size += TARGET_SIZE + strlen(m.name) + strlen(address_at(m.value, i)) + sizeof("=");
        }
    }
    words = calloc(1, (n + 2) * sizeof(*words) + size);
    if (!words) {
        return NULL;
    }
    text = (char *)(words + n + 2);
    words[0] = text;
    text += sprintf(text, "%d", ENGINE_CHECK_TIMEOUT_MS) + 1;
    for (JsonMember m = {0}; at <= n && json_next_member(check->environments, &m);) {
        for (size_t i = 0; at <= n && address_at(m.value, i); i++) {
            words[at++] = text;
            text += sprintf(text, TARGET_FORMAT "=%s", m.name, i, address_at(m.value, i)) + 1;
        }
    }
    return words;
}

int engine_check_begin(EngineCheck *check, char ***ret_arguments, int *ret_fd, Error *err)
{
    _cleanup_fd_ int fd = memfd_create("engines", MFD_CLOEXEC);
    char **arguments;

    if (fd < 0) {
        return error_set_errno(err, -errno, "a place for what the engines say");
    }
    arguments = make_arguments(check);
    if (!arguments) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    check->out_fd = TAKE_FD(fd);
    *ret_arguments = arguments;
    *ret_fd = check->out_fd;
    return 0;
}

/* ---- being told -------------------------------------------------------------------------------
 */

static int read_answer(int fd, Json **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(ANSWER_MAX);
    off_t size = lseek(fd, 0, SEEK_END);
    ssize_t n;
    int r;

    if (size <= 0) {
        return error_set(err, -ENODATA, "slipway-reach said nothing");
    }
    r = buffer_reserve(&text, (size_t)size);
    if (r < 0) {
        return error_set_errno(err, r, "what slipway-reach said");
    }
    n = fd_pread_full(fd, text.data, (size_t)size, 0);
    if (n < 0) {
        return error_set_errno(err, (int)n, "what slipway-reach said");
    }
    return json_parse(text.data, (size_t)n, ret, err);
}

void engine_check_end(EngineCheck *check, int64_t now_ms, const char *problem)
{
    _cleanup_error_ Error mistake = {0};
    Json *found = NULL;
    EngineWaiter *waiter;

    if (!problem && read_answer(check->out_fd, &found, &mistake) < 0) {
        problem = error_text(&mistake);
    }
    check->out_fd = fd_close(check->out_fd);
    (void)json_unref(check->found);
    check->found = found;
    free(check->problem);
    check->problem = problem ? strdup(problem) : NULL;
    check->found_ms = now_ms;
    while ((waiter = LIST_FIRST(&check->waiters))) {
        engine_waiter_cancel(waiter); /* before it is told: it may be freed there */
        waiter->done(waiter, waiter->userdata);
    }
}

void engine_check_wait(EngineCheck *check, EngineWaiter *waiter)
{
    LIST_INSERT_HEAD(&check->waiters, waiter, entry);
    waiter->is_waiting = true;
}

void engine_waiter_cancel(EngineWaiter *waiter)
{
    if (waiter->is_waiting) {
        LIST_REMOVE(waiter, entry);
        waiter->is_waiting = false;
    }
}

/* ---- telling ----------------------------------------------------------------------------------
 */

static int add_problem(Json *problems, const char *name, const char *reason)
{
    _cleanup_free_ char *text = NULL;

    if (asprintf(&text, "the engine of '%s' does not answer: %s", name, reason) < 0) {
        text = NULL;
        return -ENOMEM;
    }
    return json_append_string(problems, text);
}

/* Of several places one that answers is enough; where none does, the first says why. */
static const Json *find_answer(const EngineCheck *check, const char *name, const Json *configured)
{
    const Json *first = NULL;

    for (size_t i = 0; address_at(configured, i); i++) {
        char target[TARGET_SIZE];
        const Json *found;

        (void)snprintf(target, sizeof(target), TARGET_FORMAT, name, i);
        found = json_get(check->found, target);
        if (json_get_bool(found, "isReachable", false)) {
            return found;
        }
        first = first ? first : found;
    }
    return first;
}

static int describe_found(const EngineCheck *check, const char *name, const Json *configured,
                          int64_t now_ms, Json *environment, Json *problems)
{
    const Json *found = find_answer(check, name, configured);
    const char *reason = found ? json_get_string(found, "reason") : check->problem;
    bool is_reachable = json_get_bool(found, "isReachable", false);
    int r = 0;

    if (json_has(found, "isReachable")) {
        r = json_set_bool(environment, "isReachable", is_reachable);
        r = r == 0 && !is_reachable ? add_problem(problems, name, reason ? reason : "no answer")
                                    : r;
    }
    if (r == 0 && json_has(found, "seconds")) {
        r = json_set_take(environment, "seconds", json_ref(json_get(found, "seconds")));
    }
    if (r == 0 && found) {
        r = json_set_take(environment, "ageSeconds",
                          json_new_number((double)(now_ms - check->found_ms) / 1000));
    }
    return r < 0 ? r : json_set_string(environment, "reason", reason);
}

int engine_check_describe(const EngineCheck *check, int64_t now_ms, Json *health, Json *problems)
{
    Json *list = json_new_array();
    int r = list ? 0 : -ENOMEM;

    for (JsonMember m = {0}; r == 0 && json_next_member(check->environments, &m);) {
        Json *environment = json_new_object();
        const char *engine = json_get_string(m.value, "engine");

        r = environment ? json_set_string(environment, "name", m.name) : -ENOMEM;
        r = r == 0 ? json_set_string(environment, "engine", engine) : r;
        r = r == 0 && address_at(m.value, 0)
                ? describe_found(check, m.name, m.value, now_ms, environment, problems)
                : r;
        if (r < 0) {
            (void)json_unref(environment);
        } else {
            r = json_append_take(list, environment);
        }
    }
    if (r < 0) {
        (void)json_unref(list);
        return r;
    }
    return json_set_take(health, "environments", list);
}
