/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/instance.h"

#include "agent/engine-local/keeper/keeper-link.h"
#include "agent/engine-local/keeper/service-log.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RECORD_FILE "record.json"
#define RECORD_BYTES_MAX ((size_t)16 << 10)
#define HEALTHY_FILE "healthy" /* is there once it was */
#define CONTROL_LINE_MAX 64
#define ENVIRONMENT_BYTES_MAX ((size_t)2 << 20)

/* Checks begin fast, so that a service that is up at once is used at once, and slow down to its
 * interval. */
#define FIRST_CHECK_MS 10
/* Failed checks in a row that make a healthy instance unhealthy. */
#define FAILURES_MAX 3
/* Logs of one app that are kept; each belongs to one instance. */
#define LOGS_MAX 40
/* For instances that nobody knows. */
#define UNKNOWN_GRACE_MS 2000

static const char *const state_names[_INSTANCE_STATE_MAX] = {
    [INSTANCE_STARTING] = "starting",   [INSTANCE_HEALTHY] = "healthy",
    [INSTANCE_UNHEALTHY] = "unhealthy", [INSTANCE_DRAINING] = "stopping",
    [INSTANCE_STOPPING] = "stopping",   [INSTANCE_GONE] = "gone",
};

static const bool may_follow[_INSTANCE_STATE_MAX][_INSTANCE_STATE_MAX] = {
    [INSTANCE_STARTING] = {[INSTANCE_HEALTHY] = true,
                           [INSTANCE_DRAINING] = true,
                           [INSTANCE_STOPPING] = true,
                           [INSTANCE_GONE] = true},
    [INSTANCE_HEALTHY] = {[INSTANCE_UNHEALTHY] = true,
                          [INSTANCE_DRAINING] = true,
                          [INSTANCE_STOPPING] = true,
                          [INSTANCE_GONE] = true},
    [INSTANCE_UNHEALTHY] = {[INSTANCE_HEALTHY] = true,
                            [INSTANCE_DRAINING] = true,
                            [INSTANCE_STOPPING] = true,
                            [INSTANCE_GONE] = true},
    [INSTANCE_DRAINING] = {[INSTANCE_STOPPING] = true, [INSTANCE_GONE] = true},
    [INSTANCE_STOPPING] = {[INSTANCE_GONE] = true},
};

const char *instance_state_name(InstanceState state)
{
    return state_names[state];
}

bool instance_is_wanted(const Instance *i)
{
    return i->state < INSTANCE_DRAINING;
}

static void set_problem(Instance *i, const char *text)
{
    free(i->problem);
    i->problem = text ? strdup(text) : NULL;
}

/* Does not tell the owner: whoever changes the state tells when it is done. */
static bool set_state(Instance *i, InstanceState state)
{
    if (!may_follow[i->state][state]) {
        return false;
    }
    log_debug("'%s' %s: %s → %s", i->app, i->id, state_names[i->state], state_names[state]);
    i->state = state;
    i->target.may_take = state < INSTANCE_DRAINING && i->target.may_take;
    return true;
}

static void tell(Instance *i)
{
    i->on_change(i, i->userdata);
}

/* ---- health -----------------------------------------------------------------------------------
 */

static void check_later(Instance *i);

static void stop_checking(Instance *i)
{
    i->check = health_cancel(i->check);
    loop_timer_stop(&i->timer);
}

static void note_healthy(Instance *i)
{
    i->failures = 0;
    i->unhealthy_since_ms = 0;
    if (i->state == INSTANCE_HEALTHY) {
        return;
    }
    if (!i->was_healthy) {
        int fd = openat(i->dir_fd, HEALTHY_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        (void)fd_close(fd); /* only what a later engine is told; it would find out */
    }
    i->was_healthy = true;
    i->healthy_since_ms = clock_monotonic_ms();
    set_problem(i, NULL);
    if (set_state(i, INSTANCE_HEALTHY)) {
        tell(i);
    }
}

static void note_unhealthy(Instance *i, const char *problem)
{
    i->failures++;
    if (i->state == INSTANCE_HEALTHY && i->failures < FAILURES_MAX) {
        return;
    }
    set_problem(i, problem);
    if (i->unhealthy_since_ms == 0) {
        i->unhealthy_since_ms = clock_monotonic_ms();
    }
    if (i->state == INSTANCE_HEALTHY) {
        log_warning("'%s' %s is unhealthy: %s", i->app, i->id, problem);
        (void)set_state(i, INSTANCE_UNHEALTHY);
    }
    tell(i);
}

static void on_checked(void *userdata, const char *problem)
{
    Instance *i = userdata;

    i->check = NULL;
    i->delay_ms =
        i->state == INSTANCE_STARTING ? MIN(i->delay_ms * 2, i->interval_ms) : i->interval_ms;
    check_later(i);
    if (problem) {
        note_unhealthy(i, problem);
    } else {
        i->delay_ms = i->interval_ms;
        note_healthy(i);
    }
}

static void on_check_due(void *userdata)
{
    Instance *i = userdata;

    if (health_check(i->host->health, i->target.port, i->health_path, i->timeout_ms, on_checked, i,
                     &i->check) < 0) {
        check_later(i);
    }
}

static void check_later(Instance *i)
{
    loop_timer_start(i->host->loop, &i->timer, i->delay_ms, on_check_due, i);
}

/* ---- its keeper -------------------------------------------------------------------------------
 */

static void describe_end(Instance *i, const KeeperStatus *status)
{
    _cleanup_free_ char *text = NULL;
    int n = 0;

    if (status->end == KEEPER_EXITED) {
        n = asprintf(&text, "exited with status %d", status->value);
    } else if (status->end == KEEPER_KILLED) {
        n = asprintf(&text, "was ended by signal %d (%s)", status->value, strsignal(status->value));
    } else if (status->end == KEEPER_FAILED) {
        n = asprintf(&text, "did not start: %s", status->text ? status->text : "unknown");
    } else {
        n = asprintf(&text, "lost its keeper, so what was left of it was ended");
    }
    if (n < 0) {
        text = NULL;
    }
    set_problem(i, text);
}

static void note_gone(Instance *i)
{
    KeeperStatus status;

    stop_checking(i);
    loop_remove(&i->control);
    i->control.fd = fd_close(i->control.fd);
    i->has_died = instance_is_wanted(i);
    keeper_status_read(i->dir_fd, &status);
    if (status.end == KEEPER_LOST) {
        keeper_link_end_leftovers(i->id);
    }
    i->end = status.end;
    describe_end(i, &status);
    keeper_status_done(&status);
    (void)!file_remove_tree(i->host->instances_fd, i->id, NULL);
    (void)set_state(i, INSTANCE_GONE);
    tell(i);
}

static void on_control(void *userdata, uint32_t events)
{
    Instance *i = userdata;
    char data[CONTROL_LINE_MAX];
    ssize_t n = recv(i->control.fd, data, sizeof(data), 0);
    int64_t pid;
    char *end;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0 || buffer_append(&i->control_input, data, (size_t)n) < 0) {
        note_gone(i);
        return;
    }
    end = strchr(buffer_text(&i->control_input), '\n');
    if (!end) {
        return;
    }
    *end = '\0';
    if (text_has_prefix(i->control_input.data, "pid ") &&
        text_parse_int(i->control_input.data + strlen("pid "), 1, INT32_MAX, &pid) == 0) {
        i->pid = (pid_t)pid;
    }
    buffer_clear(&i->control_input);
    tell(i);
}

void instance_stop(Instance *i, int64_t grace_ms)
{
    if (i->state == INSTANCE_GONE) {
        return;
    }
    stop_checking(i);
    (void)!keeper_link_stop(i->control.fd, grace_ms); /* if it is gone, that is told */
    if (set_state(i, INSTANCE_STOPPING)) {
        tell(i);
    }
}

static void on_drained(void *userdata)
{
    Instance *i = userdata;

    if (i->state == INSTANCE_DRAINING) {
        instance_stop(i, i->grace_ms);
    }
}

void instance_drain(Instance *i)
{
    if (!set_state(i, INSTANCE_DRAINING)) {
        return;
    }
    stop_checking(i);
    if (i->target.connections == 0) {
        instance_stop(i, i->grace_ms);
    } else {
        loop_timer_start(i->host->loop, &i->timer, i->grace_ms, on_drained, i);
        tell(i);
    }
}

/* ---- making one -------------------------------------------------------------------------------
 */

static Instance *instance_new(const InstanceHost *host, const Specification *s, const char *id,
                              const char *deployment, uint16_t port, InstanceFunction on_change,
                              void *userdata)
{
    Instance *i = calloc(1, sizeof(*i));

    if (!i) {
        return NULL;
    }
    *i = (Instance){
        .host = host,
        .app = strdup(s->id),
        .deployment = strdup(deployment),
        .health_path = strdup(s->health_path),
        .target = {.port = port, .on_idle = on_drained, .userdata = i},
        .dir_fd = -1,
        .control.fd = -1,
        .control_input = BUFFER_INIT(CONTROL_LINE_MAX),
        .interval_ms = s->health_interval_ms,
        .timeout_ms = s->health_timeout_ms,
        .delay_ms = MIN((int64_t)FIRST_CHECK_MS, s->health_interval_ms),
        .grace_ms = s->stop_grace_ms,
        .on_change = on_change,
        .userdata = userdata,
    };
    (void)snprintf(i->id, sizeof(i->id), "%s", id);
    if (!i->app || !i->deployment || !i->health_path ||
        asprintf(&i->log_name, "%s.log", i->id) < 0) {
        return instance_free(i);
    }
    return i;
}

Instance *instance_free(Instance *i)
{
    if (i) {
        stop_checking(i);
        forward_forget(i->host->forward, &i->target);
        loop_remove(&i->control);
        (void)fd_close(i->control.fd);
        (void)fd_close(i->dir_fd);
        buffer_done(&i->control_input);
        free(i->app);
        free(i->deployment);
        free(i->log_name);
        free(i->health_path);
        free(i->problem);
        free(i);
    }
    return NULL;
}

/* Readable, sorted by time, and nobody else's. */
static void choose_id(char id[INSTANCE_ID_SIZE])
{
    time_t now = time(NULL);
    uint64_t random = 0;
    struct tm utc;
    size_t n;

    (void)!getrandom(&random, sizeof(random), 0);
    (void)gmtime_r(&now, &utc);
    n = strftime(id, INSTANCE_ID_SIZE, "%Y%m%dT%H%M%S", &utc);
    (void)snprintf(id + n, INSTANCE_ID_SIZE - n, "-%016llx", (unsigned long long)random);
}

/* Not synced: after a power cut there is no process to find again. What kill -9 tore is no record,
 * and its instance is ended as unknown. */
static int write_file(const Instance *i, const char *name, const Buffer *text, Error *err)
{
    _cleanup_fd_ int fd = openat(i->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : fd_write_all(fd, text->data, text->len);

    return r < 0 ? error_set_errno(err, r, "cannot write '%s' of an instance", name) : 0;
}

static int write_record(const Instance *i, Error *err)
{
    _cleanup_json_ Json *json = json_new_object();
    _cleanup_buffer_ Buffer text = BUFFER_INIT(RECORD_BYTES_MAX);
    int r = json ? 0 : -ENOMEM;

    r = r < 0 ? r : json_set_string(json, "app", i->app);
    r = r < 0 ? r : json_set_string(json, "deployment", i->deployment);
    r = r < 0 ? r : json_set_int(json, "port", i->target.port);
    r = r < 0 ? r : json_set_int(json, "startedAt", i->started_us);
    r = r < 0 ? r : json_format(json, &text);
    return r < 0 ? error_set_errno(err, r, "cannot write '" RECORD_FILE "'")
                 : write_file(i, RECORD_FILE, &text, err);
}

static int write_environment(const Instance *i, const Specification *s, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(ENVIRONMENT_BYTES_MAX);
    int r = specification_environment(s, i->deployment, i->id, i->target.port, &text);

    return r < 0 ? error_set_errno(err, r, "cannot write the environment")
                 : write_file(i, KEEPER_FILE_ENVIRONMENT, &text, err);
}

static int make_directory(Instance *i, Error *err)
{
    if (mkdirat(i->host->instances_fd, i->id, 0700) < 0) {
        return error_set_errno(err, -errno, "cannot make the directory of an instance");
    }
    i->dir_fd = openat(i->host->instances_fd, i->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (i->dir_fd < 0) {
        return error_set_errno(err, -errno, "cannot open the directory of an instance");
    }
    return 0;
}

static int open_logs(const Instance *i, Error *err)
{
    int fd;

    if (mkdirat(i->host->logs_fd, i->app, 0700) < 0 && errno != EEXIST) {
        return error_set_errno(err, -errno, "cannot make the directory of the logs");
    }
    fd = openat(i->host->logs_fd, i->app, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot open the directory of the logs");
    }
    service_log_prune(fd, LOGS_MAX);
    return fd;
}

/* Returns the connection to it. */
static int start_keeper(Instance *i, const Specification *s, Error *err)
{
    _cleanup_(specification_command_freep) char **command = NULL;
    _cleanup_free_ char *directory = NULL;
    _cleanup_fd_ int logs_fd = -1;
    KeeperStart start;
    int r = specification_command(s, &command, &directory, err);

    if (r < 0) {
        return r;
    }
    logs_fd = open_logs(i, err);
    if (logs_fd < 0) {
        return logs_fd;
    }
    start = (KeeperStart){
        .program = i->host->keeper_path,
        .instance_fd = i->dir_fd,
        .logs_fd = logs_fd,
        .options =
            {
                .log_name = i->log_name,
                .log_bytes = INSTANCE_LOG_BYTES_MAX,
                .files_max = i->host->files_max,
                .directory = directory,
                .command = command,
            },
    };
    return keeper_link_start(&start, err);
}

/* From here on, what happens to it is told. Takes the connection, which may be an error. */
static int follow_take(Instance *i, int fd, Error *err)
{
    int r;

    if (fd < 0) {
        return error_set_errno(err, fd, "cannot reach the keeper of %s", i->id);
    }
    r = loop_add(i->host->loop, &i->control, fd, EPOLLIN, on_control, i);
    if (r < 0) {
        (void)fd_close(fd);
        return error_set_errno(err, r, "cannot follow the keeper of %s", i->id);
    }
    check_later(i);
    return 0;
}

int instance_start(const InstanceHost *host, const Specification *s, const char *deployment,
                   uint16_t port, InstanceFunction on_change, void *userdata, Instance **ret,
                   Error *err)
{
    char id[INSTANCE_ID_SIZE];
    Instance *i;
    int r;

    choose_id(id);
    i = instance_new(host, s, id, deployment, port, on_change, userdata);
    if (!i) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    i->started_us = clock_wall_us();
    r = make_directory(i, err);
    r = r < 0 ? r : write_record(i, err);
    r = r < 0 ? r : write_environment(i, s, err);
    r = r < 0 ? r : start_keeper(i, s, err);
    r = r < 0 ? r : follow_take(i, r, err);
    if (r < 0) {
        instance_end_unknown(host, i->id);
        (void)instance_free(i);
        return r;
    }
    *ret = i;
    return 0;
}

/* ---- taking one over --------------------------------------------------------------------------
 */

void instance_record_done(InstanceRecord *record)
{
    (void)json_unref(record->json);
    *record = (InstanceRecord){0};
}

int instance_record_read(const InstanceHost *host, const char *id, InstanceRecord *ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(RECORD_BYTES_MAX);
    _cleanup_free_ char *path = NULL;
    _cleanup_json_ Json *json = NULL;
    int64_t port;
    int r;

    if (asprintf(&path, "%s/" RECORD_FILE, id) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = file_read(host->instances_fd, path, &text, err);
    r = r < 0 ? r : json_parse(text.data, text.len, &json, err);
    if (r < 0) {
        return r;
    }
    port = json_get_int(json, "port", 0);
    if (strlen(id) >= INSTANCE_ID_SIZE || !json_get_string(json, "app") ||
        !json_get_string(json, "deployment") || port < 1 || port > UINT16_MAX) {
        return error_set(err, -EBADMSG, "'%s' is no record of an instance", path);
    }
    *ret = (InstanceRecord){
        .app = json_get_string(json, "app"),
        .deployment = json_get_string(json, "deployment"),
        .port = (uint16_t)port,
        .started_us = json_get_int(json, "startedAt", 0),
    };
    ret->json = TAKE_PTR(json);
    return 0;
}

void instance_end_unknown(const InstanceHost *host, const char *id)
{
    _cleanup_fd_ int dir_fd = openat(host->instances_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir_fd >= 0) { /* waits for it: nothing may be started while it may hold a port */
        keeper_link_end(dir_fd, UNKNOWN_GRACE_MS);
    }
    keeper_link_end_leftovers(id);
    (void)!file_remove_tree(host->instances_fd, id, NULL);
}

int instance_adopt(const InstanceHost *host, const char *id, const InstanceRecord *record,
                   const Specification *s, InstanceFunction on_change, void *userdata,
                   Instance **ret, Error *err)
{
    Instance *i = instance_new(host, s, id, record->deployment, record->port, on_change, userdata);
    int r;

    if (!i) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    i->started_us = record->started_us;
    i->dir_fd = openat(host->instances_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = i->dir_fd < 0 ? error_set_errno(err, -errno, "cannot open the directory of %s", id)
                      : follow_take(i, keeper_link_connect(i->dir_fd), err);
    if (r < 0) {
        (void)instance_free(i);
        instance_end_unknown(host, id);
        return r == -ECONNREFUSED ? -ENOENT : r;
    }
    i->was_healthy = file_exists(i->dir_fd, HEALTHY_FILE);
    if (i->was_healthy) { /* the last that was known; the next check says whether it still is */
        i->healthy_since_ms = clock_monotonic_ms();
        (void)set_state(i, INSTANCE_HEALTHY);
    }
    *ret = i;
    return 0;
}

int instance_log_tail(const Instance *i, size_t n_lines, Buffer *out)
{
    _cleanup_fd_ int fd = openat(i->host->logs_fd, i->app, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : service_log_tail(fd, i->log_name, n_lines, out);
}
