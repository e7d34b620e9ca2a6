/* SPDX-License-Identifier: MIT */
#include "agent/calls/call.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How soon to look again: at a lock whose holder is about to exit, at processes that were killed,
 * after a disk failed. */
#define LOCK_RETRY_MS 5
#define SWEEP_RETRY_MS 20
#define STORAGE_RETRY_MS 1000

/* Processes that survive SIGKILL this long are in the kernel's hands; the call is told as lost
 * without waiting for them. */
#define SWEEPS_MAX 250

static void examine(LiveCall *live);

/* ---- states -----------------------------------------------------------------------------------
 */

const char *call_state_name(CallState state)
{
    static const char *const names[_CALL_STATE_MAX] = {
        [CALL_QUEUED] = "queued",
        [CALL_RUNNING] = "running",
        [CALL_FINISHED] = "finished",
    };

    return names[state];
}

void call_set_state(Call *call, CallState state)
{
    static const unsigned allowed[_CALL_STATE_MAX] = {
        [CALL_QUEUED] = 1u << CALL_RUNNING | 1u << CALL_FINISHED,
        [CALL_RUNNING] = 1u << CALL_FINISHED,
    };
    Calls *calls = call->calls;
    LiveCall *live = call->live;

    assert(allowed[call->state] & 1u << state);
    log_debug("call '%s': %s → %s", call->id, call_state_name(call->state), call_state_name(state));
    if (call->state == CALL_QUEUED) {
        TAILQ_REMOVE(&calls->queue, live, entry);
        calls->n_queued--;
    } else {
        TAILQ_REMOVE(&calls->running, live, entry);
        calls->n_running--;
    }
    if (state == CALL_RUNNING) {
        TAILQ_INSERT_TAIL(&calls->running, live, entry);
        calls->n_running++;
    }
    call->state = state;
}

Call *call_new(Calls *calls, const char *id)
{
    size_t n = strlen(id) + 1;
    Call *call = calloc(1, sizeof(*call) + n);

    if (call) {
        call->calls = calls;
        memcpy(call->id, id, n);
        LIST_INIT(&call->followers);
    }
    return call;
}

Call *call_free(Call *call)
{
    if (call) {
        assert(!call->live && LIST_EMPTY(&call->followers));
        free(call);
    }
    return NULL;
}

int call_make_live(Call *call, const CallSpec *spec)
{
    LiveCall *live = calloc(1, sizeof(*live));

    if (!live) {
        return -ENOMEM;
    }
    live->action = strdup(spec->action);
    live->run = spec->run ? strdup(spec->run) : NULL;
    if (!live->action || (spec->run && !live->run)) {
        free(live->action);
        free(live->run);
        free(live);
        return -ENOMEM;
    }
    live->call = call;
    live->calls = call->calls;
    live->created_us = spec->created_us;
    live->fd = live->lock_fd = live->control_fd = -1;
    live->journal = JOURNAL_EMPTY;
    live->result = RESULT_EMPTY;
    call->live = live;
    TAILQ_INSERT_TAIL(&call->calls->queue, live, entry);
    call->calls->n_queued++;
    return 0;
}

void call_wake_followers(Call *call)
{
    CallFollower *follower;

    LIST_FOREACH (follower, &call->followers, entry) {
        follower_wake(follower);
    }
}

/* ---- handles ----------------------------------------------------------------------------------
 */

static void free_live(LiveCall *live)
{
    journal_done(&live->journal);
    result_done(&live->result);
    (void)fd_close(live->fd);
    (void)fd_close(live->lock_fd);
    free(live->action);
    free(live->run);
    free(live);
}

/* The one place where a LiveCall that had handles is freed: with the last of them. */
static void on_handle_closed(uv_handle_t *handle)
{
    LiveCall *live = handle->data;
    Calls *calls = live->calls;

    if (--live->n_open == 0 && !live->call) {
        free_live(live);
    }
    calls_handle_closed(calls);
}

static void close_control(LiveCall *live)
{
    if (live->control_fd >= 0) {
        (void)uv_poll_stop(&live->control);
        live->control_fd = fd_close(live->control_fd);
        uv_close((uv_handle_t *)&live->control, on_handle_closed);
    }
}

void call_let_go(Call *call)
{
    LiveCall *live = TAKE_PTR(call->live);

    if (!live) {
        return;
    }
    live->call = NULL;
    close_control(live);
    if (live->has_timer) {
        uv_close((uv_handle_t *)&live->timer, on_handle_closed);
    }
    if (live->n_open == 0) {
        free_live(live);
    }
}

static void on_timer(uv_timer_t *timer)
{
    examine(timer->data);
}

static void look_again(LiveCall *live, unsigned delay_ms)
{
    if (!live->has_timer) {
        (void)uv_timer_init(live->calls->loop, &live->timer); /* cannot fail */
        live->timer.data = live;
        live->has_timer = true;
        live->n_open++;
        live->calls->n_open++;
    }
    (void)uv_timer_start(&live->timer, on_timer, delay_ms, 0);
}

/* ---- the end ----------------------------------------------------------------------------------
 */

/* From what was gathered while it ran. */
static int store_result(LiveCall *live)
{
    _cleanup_json_ Json *result = NULL;
    _cleanup_call_spec_ CallSpec spec = {0};
    int r = 0;

    if (live->journal.fd < 0) {
        r = journal_open(&live->journal, live->fd, NULL);
    }
    r = r == 0 ? result_read(&live->result, live->call->id, &live->journal, NULL) : r;
    if (r <= 0) {
        return -ENODATA; /* the end of the journal was lost, status.json was not */
    }
    r = call_dir_read_spec(live->fd, &spec, NULL);
    r = r == 0 ? result_build(&live->result, live->call->id, &spec, &result) : r;
    return r == 0 ? result_store(live->fd, result, NULL) : r;
}

static void count(const LiveCall *live)
{
    const Json *end = live->result.end; /* NULL where the journal's end was lost */
    const char *status = json_get_string(end, "status");
    int64_t started_us = live->result.started_us;

    tally_add(&live->calls->tally, live->action, status ? status : "lost",
              started_us ? (double)(json_get_int(end, "time", started_us) - started_us) / 1e6 : 0);
}

/* status.json is there. A result that cannot be written now is made when it is asked for. */
static void finish(LiveCall *live)
{
    Call *call = live->call;
    Calls *calls = live->calls;

    if (store_result(live) < 0) {
        log_debug("call '%s': its result is made when it is asked for", call->id);
    }
    count(live);
    call_dir_tidy(live->fd);
    call_set_state(call, CALL_FINISHED);
    call_let_go(call);
    call_wake_followers(call);
    calls->wants_schedule = true;
    calls_request_turn(calls);
    if (calls->n_all - calls->n_queued - calls->n_running > calls->config->keep_calls) {
        calls_request_cleanup(calls);
    }
}

/* The shim is dead and wrote no status: ends what it left, then writes the end itself. Done in
 * steps, because killed processes take a moment to be gone. */
static void settle(LiveCall *live)
{
    Calls *calls = live->calls;
    _cleanup_error_ Error problem = {0};
    JournalEnd end = {.status = "lost",
                      .reason = "its supervisor was killed, or the host went down"};
    int left = containment_sweep(&calls->containment, live->call->id);

    live->leftovers = MAX(live->leftovers, left);
    if (left > 0 && ++live->sweeps < SWEEPS_MAX) {
        look_again(live, SWEEP_RETRY_MS);
        return;
    }
    end.leftovers = live->leftovers;
    end.log_bytes = call_dir_log_size(live->fd);
    if (journal_finish(live->fd, &end, &problem) < 0) {
        calls_set_problem(calls, &problem);
        look_again(live, STORAGE_RETRY_MS);
        return;
    }
    live->lock_fd = fd_close(live->lock_fd);
    calls->n_lost++;
    finish(live);
}

/* ---- the shim ---------------------------------------------------------------------------------
 */

/* What is said there is only that there is more to read. false: the shim hung up. */
static bool drain(int fd)
{
    char text[512];
    ssize_t n;

    do {
        n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
    } while (n == (ssize_t)sizeof(text) || (n < 0 && errno == EINTR));
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

/* Keeps the result up to date, so that at the end there is little to read. A journal that cannot be
 * read is told by whoever follows it. */
static void gather(LiveCall *live)
{
    if (live->journal.fd < 0 && journal_open(&live->journal, live->fd, NULL) < 0) {
        live->journal = JOURNAL_EMPTY;
        return;
    }
    if (result_read(&live->result, live->call->id, &live->journal, NULL) < 0) {
        log_debug("call '%s': its journal cannot be read", live->call->id);
    }
}

static void on_control(uv_poll_t *poll, int status, int events)
{
    LiveCall *live = poll->data;

    if (status == 0 && drain(live->control_fd)) {
        gather(live);
        call_wake_followers(live->call);
        return;
    }
    close_control(live);
    live->is_ended = true;
    examine(live);
}

static int say_end(LiveCall *live, Error *err)
{
    static const char line[] = "cancel\n";
    ssize_t n = send(live->control_fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n == (ssize_t)strlen(line) || (n < 0 && errno == EPIPE)) { /* it ends by itself */
        return 0;
    }
    return error_set_errno(err, n < 0 ? -errno : -EIO, "asking call '%s' to end", live->call->id);
}

int call_ask_to_end(Call *call, Error *err)
{
    LiveCall *live = call->live;

    live->wants_to_end = true; /* where there is no connection yet, it is the first thing said */
    return live->control_fd >= 0 ? say_end(live, err) : 0;
}

static int watch(LiveCall *live, Error *err)
{
    int fd, r = call_dir_connect(live->fd, &fd, err);

    if (r < 0) {
        return r;
    }
    r = uv_poll_init(live->calls->loop, &live->control, fd);
    if (r < 0) {
        (void)fd_close(fd);
        return error_set_errno(err, r, "watching the control socket");
    }
    live->control.data = live;
    live->control_fd = fd;
    live->n_open++;
    live->calls->n_open++;
    r = uv_poll_start(&live->control, UV_READABLE, on_control);
    if (r < 0) {
        close_control(live);
        return error_set_errno(err, r, "watching the control socket");
    }
    return live->wants_to_end ? say_end(live, err) : 0;
}

/* The table of README.md. Also the answer to every surprise: whatever happened, the files say what
 * is to be done next. */
static void examine(LiveCall *live)
{
    _cleanup_error_ Error problem = {0};
    CallDirState state;
    int lock_fd = -1;

    live->lock_fd = fd_close(live->lock_fd);
    if (call_dir_examine(live->fd, &state, &lock_fd, &problem) < 0) {
        calls_set_problem(live->calls, &problem);
        look_again(live, STORAGE_RETRY_MS);
        return;
    }
    live->lock_fd = lock_fd;
    switch (state) {
    case CALL_DIR_FINISHED:
        finish(live);
        return;
    case CALL_DIR_RUNNING: /* also one that is about to exit, whose socket is gone already */
        if (live->control_fd < 0 && (live->is_ended || watch(live, &problem) < 0)) {
            live->is_ended = false;
            look_again(live, LOCK_RETRY_MS);
        }
        return;
    case CALL_DIR_LOST:
    case CALL_DIR_QUEUED: /* it had a shim, which died before it wrote a line */
        settle(live);
        return;
    }
}

int call_adopt(Call *call, Error *err)
{
    LiveCall *live = call->live;
    int r = call_dir_open(call->calls->calls_fd, call->id, &live->fd, err);

    if (r < 0) {
        return r;
    }
    call_set_state(call, CALL_RUNNING);
    look_again(live, 0);
    return 0;
}

/* ---- starting ---------------------------------------------------------------------------------
 */

int call_end_queued(Call *call, const char *status, const char *reason, Error *err)
{
    JournalEnd end = {.status = status, .reason = reason};
    LiveCall *live = call->live;
    _cleanup_fd_ int lock = -1;
    int r = 0;

    if (live->fd < 0) {
        r = call_dir_open(call->calls->calls_fd, call->id, &live->fd, err);
    }
    r = r == 0 ? call_dir_lock(live->fd, &lock, err) : r;
    r = r == 0 ? journal_finish(live->fd, &end, err) : r;
    if (r < 0) {
        live->fd = fd_close(live->fd);
        return r;
    }
    finish(live);
    return 0;
}

typedef struct Start {
    CallSpec spec;
    char *cgroup;
    int call_fd, lock_fd, control_fd;
} Start;

static void start_done(Start *start)
{
    call_spec_done(&start->spec);
    free(start->cgroup);
    (void)fd_close(start->call_fd);
    (void)fd_close(start->lock_fd);
    (void)fd_close(start->control_fd);
}

static int prepare(Call *call, Start *start, Error *err)
{
    Calls *calls = call->calls;
    int r = call_dir_open(calls->calls_fd, call->id, &start->call_fd, err);

    r = r == 0 ? call_dir_read_spec(start->call_fd, &start->spec, err) : r;
    r = r == 0 ? file_make_dirs(start->spec.workspace, 0700, err) : r;
    r = r == 0 ? call_dir_lock(start->call_fd, &start->lock_fd, err) : r;
    r = r == 0 ? call_dir_listen(start->call_fd, &start->control_fd, err) : r;
    if (r == 0 && containment_path(&calls->containment, call->id, &start->cgroup) < 0) {
        r = error_set(err, -ENOMEM, "out of memory");
    }
    return r;
}

int call_run(Call *call, Error *err)
{
    Calls *calls = call->calls;
    LiveCall *live = call->live;
    _cleanup_(start_done) Start start = {.call_fd = -1, .lock_fd = -1, .control_fd = -1};
    _cleanup_error_ Error problem = {0};
    const ActionConfig *action = agent_config_find_action(calls->config, live->action);
    int r = prepare(call, &start, &problem);

    if (r == -EBADMSG) { /* nobody will mend its spec.json, and others wait */
        start.lock_fd = fd_close(start.lock_fd);
        return call_end_queued(call, "failed", error_text(&problem), err);
    }
    if (r < 0) {
        return error_set(err, r, "%s", error_text(&problem));
    }
    if (action) {
        r = spawn_shim(&calls->processes,
                       &(SpawnRequest){
                           .config = calls->config,
                           .action = action,
                           .spec = &start.spec,
                           .call = call->id,
                           .cgroup = start.cgroup,
                           .files_max = calls->processes.files_max,
                           .call_fd = start.call_fd,
                           .lock_fd = start.lock_fd,
                           .control_fd = start.control_fd,
                       },
                       &problem);
    } else {
        r = error_set(&problem, -ENOENT, "there is no action '%s' any more", live->action);
    }
    if (r == -EAGAIN || r == -ENOMEM || r == -ENFILE || r == -EMFILE) {
        return error_set(err, r, "%s", error_text(&problem)); /* it may work later */
    }
    if (r < 0) {
        start.lock_fd = fd_close(start.lock_fd);
        return call_end_queued(call, "failed", error_text(&problem), err);
    }
    live->fd = TAKE_FD(start.call_fd);
    call_set_state(call, CALL_RUNNING);
    if (watch(live, &problem) < 0) { /* it may be gone already */
        look_again(live, LOCK_RETRY_MS);
    }
    return 0;
}
