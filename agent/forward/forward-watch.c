/* SPDX-License-Identifier: MIT */
#include "agent/forward/forward-watch.h"

#include "agent/calls/spawn.h"
#include "agent/calls/store/audit-log.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY "audit"
/* Of a record that was just written: a few come together. */
#define SOON_MS 50
/* The kernel's word that a file has changed may be lost, or not be had at all. */
#define LOOK_AGAIN_MS 60000

struct ForwardWatch {
    const AgentConfig *config;
    int state_fd;
    uv_fs_event_t event;
    uv_timer_t timer;
    SpawnList processes;
    SpawnedProcess *process; /* NULL: none runs */
    unsigned n_failures;     /* in a row */
    unsigned n_open;         /* handles of its own */
    void (*closed)(void *userdata);
    void *userdata;
    bool is_closing;
};

/* ---- starting it ------------------------------------------------------------------------------
 */

static uint64_t retry_ms(const ForwardWatch *watch)
{
    uint64_t ms = FORWARD_RETRY_FIRST_MS;

    for (unsigned i = 1; i < watch->n_failures && ms < FORWARD_RETRY_LAST_MS; i++) {
        ms *= 2;
    }
    return MIN(ms, FORWARD_RETRY_LAST_MS);
}

static void on_time(uv_timer_t *timer);

static void look_in(ForwardWatch *watch, uint64_t ms)
{
    if (!watch->is_closing) {
        (void)uv_timer_start(&watch->timer, on_time, ms, LOOK_AGAIN_MS);
    }
}

static void fail(ForwardWatch *watch)
{
    watch->n_failures += watch->n_failures < 32;
    look_in(watch, retry_ms(watch));
}

static void on_program_exit(int64_t status, int signal, void *userdata)
{
    ForwardWatch *watch = userdata;

    watch->process = NULL;
    if (status != 0 || signal != 0) {
        fail(watch); /* it has said why */
        return;
    }
    watch->n_failures = 0;
    look_in(watch, SOON_MS); /* for what was written meanwhile */
}

static void on_time(uv_timer_t *timer)
{
    ForwardWatch *watch = timer->data;
    _cleanup_error_ Error problem = {0};

    if (watch->process || watch->is_closing ||
        audit_log_count_waiting(watch->state_fd, json_get_string(watch->config->forward, "url")) ==
            0) {
        return;
    }
    if (spawn_audit_forward(&watch->processes, watch->config, on_program_exit, watch,
                            &watch->process, &problem) < 0) {
        log_warning("the audit log is not forwarded: %s", error_text(&problem));
        fail(watch);
    }
}

/* While it fails, a new record is no reason to try earlier. */
static void on_change(uv_fs_event_t *event, const char *name, int events, int status)
{
    ForwardWatch *watch = event->data;

    if (!watch->process && watch->n_failures == 0) {
        look_in(watch, SOON_MS);
    }
}

/* ---- opening and closing ----------------------------------------------------------------------
 */

static void finish_closing(void *userdata)
{
    ForwardWatch *watch = userdata;
    void (*closed)(void *userdata) = watch->closed;
    void *closed_userdata = watch->userdata;

    if (watch->n_open > 0 || watch->processes.n_open > 0) {
        return;
    }
    (void)fd_close(watch->state_fd);
    free(watch);
    if (closed) {
        closed(closed_userdata);
    }
}

static void on_closed(uv_handle_t *handle)
{
    ForwardWatch *watch = handle->data;

    watch->n_open--;
    finish_closing(watch);
}

static void begin(ForwardWatch *watch, uv_loop_t *loop)
{
    _cleanup_free_ char *path = NULL;
    int r = 0;

    watch->processes = (SpawnList){.loop = loop};
    (void)uv_timer_init(loop, &watch->timer); /* cannot fail, neither of them */
    (void)uv_fs_event_init(loop, &watch->event);
    watch->timer.data = watch->event.data = watch;
    watch->n_open = 2;
    if (asprintf(&path, "%s/" DIRECTORY, watch->config->state_directory) < 0) {
        path = NULL;
        r = -ENOMEM;
    }
    r = r < 0 ? r : uv_fs_event_start(&watch->event, on_change, path, 0);
    if (r < 0) {
        log_warning("new records of the audit log are looked for each minute only: %s",
                    strerror(-r));
    }
    look_in(watch, SOON_MS);
}

int forward_watch_open(uv_loop_t *loop, const AgentConfig *config, ForwardWatch **ret, Error *err)
{
    ForwardWatch *watch;

    *ret = NULL;
    if (!config->forward) {
        return 0;
    }
    watch = calloc(1, sizeof(*watch));
    if (!watch) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    watch->config = config;
    watch->state_fd = open(config->state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (watch->state_fd < 0 || (mkdirat(watch->state_fd, DIRECTORY, 0700) < 0 && errno != EEXIST)) {
        int r = error_set_errno(err, -errno, "'%s/" DIRECTORY "'", config->state_directory);

        (void)fd_close(watch->state_fd);
        free(watch);
        return r;
    }
    begin(watch, loop);
    *ret = watch;
    return 0;
}

void forward_watch_close(ForwardWatch *watch, void (*closed)(void *userdata), void *userdata)
{
    if (!watch) {
        closed(userdata);
        return;
    }
    watch->is_closing = true;
    watch->closed = closed;
    watch->userdata = userdata;
    if (watch->process) {
        (void)uv_process_kill(&watch->process->handle, SIGTERM);
    }
    spawn_list_close(&watch->processes, finish_closing, watch);
    uv_close((uv_handle_t *)&watch->timer, on_closed);
    uv_close((uv_handle_t *)&watch->event, on_closed);
}
