/* SPDX-License-Identifier: MIT */
#include "agent/calls/calls.h"

#include "agent/calls/call.h"
#include "agent/calls/cleanup.h"
#include "agent/calls/store/audit-log.h"
#include "agent/calls/store/inputs.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(INPUTS_SIZE_MAX == CALLS_INPUT_MAX, "one limit, announced and kept");

/* After a call has finished, and otherwise. */
#define CLEANUP_SOON_MS 1000
#define CLEANUP_PERIOD_MS 60000
#define STORAGE_RETRY_MS 1000

/* ---- ids --------------------------------------------------------------------------------------
 */

int64_t calls_id_time(const char *id)
{
    struct tm tm = {0};
    const char *rest = strptime(id, "%Y%m%dt%H%M%S", &tm);
    int64_t ms;
    char digits[4];

    if (!rest || strlen(id) != CALL_ID_SIZE - 1 || rest[3] != '-') {
        return 0;
    }
    (void)snprintf(digits, sizeof(digits), "%.3s", rest);
    if (text_parse_int(digits, 0, 999, &ms) < 0) {
        return 0;
    }
    return (int64_t)timegm(&tm) * 1000000 + ms * 1000;
}

/* ---- the list ---------------------------------------------------------------------------------
 */

int calls_reserve(Calls *calls)
{
    size_t n = calls->n_allocated ? 2 * calls->n_allocated : 64;
    Call **all;

    if (calls->n_all < calls->n_allocated) {
        return 0;
    }
    all = realloc(calls->all, n * sizeof(Call *));
    if (!all) {
        return -ENOMEM;
    }
    calls->all = all;
    calls->n_allocated = n;
    return 0;
}

/* Where it is, or where it would be. */
static size_t find_index(const Calls *calls, const char *id)
{
    size_t low = 0, high = calls->n_all;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(calls->all[middle]->id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

Call *calls_find(Calls *calls, const char *id)
{
    size_t i = find_index(calls, id);

    return i < calls->n_all && strcmp(calls->all[i]->id, id) == 0 ? calls->all[i] : NULL;
}

void calls_forget(Calls *calls, Call *call)
{
    size_t i = find_index(calls, call->id);

    assert(calls->all[i] == call);
    memmove(calls->all + i, calls->all + i + 1, (calls->n_all - i - 1) * sizeof(Call *));
    calls->n_all--;
    (void)call_free(call);
}

const char *call_id(const Call *call)
{
    return call->id;
}

CallState call_state(const Call *call)
{
    return call->state;
}

/* ---- one turn of the loop ---------------------------------------------------------------------
 */

static bool is_run_busy(const Calls *calls, const LiveCall *wanted)
{
    const LiveCall *live;

    if (!wanted->run) {
        return false;
    }
    TAILQ_FOREACH (live, &calls->running, entry) {
        if (live->run && strcmp(live->run, wanted->run) == 0) {
            return true;
        }
    }
    return false;
}

static void on_retry(uv_timer_t *timer)
{
    calls_schedule(timer->data);
}

/* In the order in which they came; one whose run is busy lets those behind it go first. A later
 * call of the same run cannot: the run of the earlier one is busy for it too. */
void calls_schedule(Calls *calls)
{
    LiveCall *next;

    calls->wants_schedule = false;
    for (LiveCall *live = TAILQ_FIRST(&calls->queue); live; live = next) {
        _cleanup_error_ Error problem = {0};

        next = TAILQ_NEXT(live, entry);
        if (calls->n_running >= calls->config->slots) {
            return;
        }
        if (is_run_busy(calls, live)) {
            continue;
        }
        if (call_run(live->call, &problem) < 0) {
            log_debug("call stays queued: %s", error_text(&problem));
            calls_set_problem(calls, &problem);
            (void)uv_timer_start(&calls->retry, on_retry, STORAGE_RETRY_MS, 0);
            return;
        }
        calls_set_problem(calls, NULL);
    }
}

static void on_turn(uv_idle_t *idle)
{
    Calls *calls = idle->data;
    CallFollower *follower;

    (void)uv_idle_stop(idle);
    if (calls->wants_schedule) {
        calls_schedule(calls);
    }
    while ((follower = TAILQ_FIRST(&calls->pending))) {
        TAILQ_REMOVE(&calls->pending, follower, pending_entry);
        follower->is_pending = false;
        follower->ready(follower, follower->userdata);
    }
}

void calls_request_turn(Calls *calls)
{
    if (!calls->is_closing) {
        (void)uv_idle_start(&calls->turn, on_turn);
    }
}

void calls_set_problem(Calls *calls, const Error *problem)
{
    free(calls->problem);
    calls->problem = problem ? strdup(error_text(problem)) : NULL;
}

static bool is_empty(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    bool is_empty = true;

    if (!dir) {
        (void)fd_close(fd);
        return true;
    }
    for (struct dirent *entry; is_empty && (entry = readdir(dir));) {
        is_empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    (void)closedir(dir);
    return is_empty;
}

static void on_cleanup(uv_timer_t *timer)
{
    Calls *calls = timer->data;
    _cleanup_error_ Error problem = {0};
    CleanupDisk disk;
    size_t removed;

    if (cleanup_read_disk(calls->state_fd, &disk) == 0 &&
        cleanup_step(calls, clock_wall_us(), &disk, &removed) > 0) {
        (void)uv_timer_start(&calls->cleanup, on_cleanup, 0, CLEANUP_PERIOD_MS);
        return;
    }
    if (!is_empty(calls->trash_fd) &&
        spawn_remover(&calls->processes, calls->trash_fd, &problem) < 0) {
        calls_set_problem(calls, &problem);
    }
}

void calls_request_cleanup(Calls *calls)
{
    if (!calls->is_closing) {
        (void)uv_timer_start(&calls->cleanup, on_cleanup, CLEANUP_SOON_MS, CLEANUP_PERIOD_MS);
    }
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static int open_below(Calls *calls, const char *name, int *ret_fd)
{
    if (mkdirat(calls->state_fd, name, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    *ret_fd = openat(calls->state_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

/* A lock of the process, not of the descriptor: a child that is between fork and exec when the
 * agent is killed does not keep the next one out. */
static int lock_state(Calls *calls, const char *path, Error *err)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    calls->lock_fd = openat(calls->state_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (calls->lock_fd < 0) {
        return error_set_errno(err, -errno, "opening '%s/lock'", path);
    }
    if (fcntl(calls->lock_fd, F_SETLK, &whole) == 0) {
        return 0;
    }
    return errno == EAGAIN || errno == EACCES
               ? error_set(err, -EWOULDBLOCK, "another agent holds the state directory '%s'", path)
               : error_set_errno(err, -errno, "locking '%s/lock'", path);
}

static int open_state(Calls *calls, Error *err)
{
    const char *path = calls->config->state_directory;
    const struct {
        const char *name;
        int *fd;
    } parts[] = {{"calls", &calls->calls_fd},
                 {"idempotency", &calls->index.keys_fd},
                 {"runs", &calls->index.runs_fd},
                 {"inputs", &calls->inputs_fd},
                 {"trash", &calls->trash_fd}};
    int r = file_make_dirs(path, 0700, err);

    if (r < 0) {
        return r;
    }
    calls->state_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (calls->state_fd < 0) {
        return error_set_errno(err, -errno, "opening the state directory '%s'", path);
    }
    r = lock_state(calls, path, err);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++) {
        r = open_below(calls, parts[i].name, parts[i].fd);
        if (r < 0) {
            return error_set_errno(err, r, "making '%s/%s'", path, parts[i].name);
        }
    }
    return 0;
}

/* One without status.json: it waits, runs, was lost, or never was one because the power went while
 * its spec was written; then nobody was told its id. */
static int load_unfinished(Calls *calls, Call *call, Error *err)
{
    _cleanup_call_spec_ CallSpec spec = {0};
    _cleanup_error_ Error problem = {0};
    _cleanup_fd_ int fd = -1;
    CallDirState state;
    int r = call_dir_open(calls->calls_fd, call->id, &fd, err);

    if (r < 0) {
        return r;
    }
    r = call_dir_read_spec(fd, &spec, &problem);
    if (r == -EBADMSG || r == -ENOENT) {
        log_debug("'%s' never became a call: %s", call->id, error_text(&problem));
        r = cleanup_discard(calls, calls->calls_fd, call->id);
        return r < 0 ? error_set_errno(err, r, "removing '%s'", call->id) : 0;
    }
    r = r == 0 ? call_dir_examine(fd, &state, NULL, &problem) : r;
    r = r == 0 ? call_make_live(call, &spec) : r;
    if (r < 0) {
        return error_set(err, r, "%s", problem.code ? error_text(&problem) : "out of memory");
    }
    r = index_add(&calls->index, call->id, spec.key, spec.run);
    if (r < 0) {
        log_debug("call '%s' is not indexed: %s", call->id, strerror(-r));
    }
    if (state == CALL_DIR_QUEUED) {
        return 1;
    }
    r = call_adopt(call, err);
    return r < 0 ? r : 1;
}

static int load_call(Calls *calls, const char *id, Error *err)
{
    char status[CALL_ID_SIZE + sizeof("/status.json")];
    Call *call;
    int r = calls_reserve(calls);

    call = r == 0 ? call_new(calls, id) : NULL;
    if (!call) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    calls->all[calls->n_all] = call;
    (void)snprintf(status, sizeof(status), "%.*s/status.json", (int)CALL_ID_SIZE - 1, id);
    if (file_exists(calls->calls_fd, status)) {
        call->state = CALL_FINISHED;
        calls->n_all++;
        return 0;
    }
    r = load_unfinished(calls, call, err);
    if (r > 0) {
        calls->n_all++;
        return 0;
    }
    call_let_go(call);
    (void)call_free(call);
    return r;
}

static int is_call_name(const struct dirent *entry)
{
    return calls_id_time(entry->d_name) > 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_all(Calls *calls, Error *err)
{
    struct dirent **entries;
    int n = scandirat(calls->state_fd, "calls", &entries, is_call_name, by_name), r = 0;

    if (n < 0) {
        return error_set_errno(err, -errno, "reading '%s/calls'", calls->config->state_directory);
    }
    for (int i = 0; i < n; i++) {
        r = r == 0 ? load_call(calls, entries[i]->d_name, err) : r;
        calls->last_id_ms = MAX(calls->last_id_ms, calls_id_time(entries[i]->d_name) / 1000);
        free(entries[i]);
    }
    free(entries);
    return r;
}

static void free_calls(Calls *calls)
{
    for (size_t i = 0; i < calls->n_all; i++) {
        (void)call_free(calls->all[i]);
    }
    free(calls->all);
    (void)fd_close(calls->calls_fd);
    (void)fd_close(calls->index.keys_fd);
    (void)fd_close(calls->index.runs_fd);
    (void)fd_close(calls->inputs_fd);
    (void)fd_close(calls->trash_fd);
    (void)fd_close(calls->state_fd);
    (void)fd_close(calls->lock_fd);
    containment_done(&calls->containment);
    confinement_done(&calls->confinement);
    tally_done(&calls->tally);
    engine_check_done(&calls->engines);
    free(calls->problem);
    free(calls);
}

static void init_handles(Calls *calls)
{
    (void)uv_idle_init(calls->loop, &calls->turn); /* none of these can fail */
    (void)uv_timer_init(calls->loop, &calls->cleanup);
    (void)uv_timer_init(calls->loop, &calls->retry);
    calls->turn.data = calls->cleanup.data = calls->retry.data = calls;
    calls->n_open = 3;
    calls_request_cleanup(calls);
    uv_unref((uv_handle_t *)&calls->cleanup);
}

int calls_open(uv_loop_t *loop, const AgentConfig *config, Calls **ret, Error *err)
{
    Calls *calls = calloc(1, sizeof(*calls));
    int r;

    if (!calls) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *calls = (Calls){.loop = loop,
                     .config = config,
                     .state_fd = -1,
                     .lock_fd = -1,
                     .calls_fd = -1,
                     .index = {.keys_fd = -1, .runs_fd = -1},
                     .inputs_fd = -1,
                     .trash_fd = -1};
    TAILQ_INIT(&calls->queue);
    TAILQ_INIT(&calls->running);
    TAILQ_INIT(&calls->pending);
    engine_check_init(&calls->engines, json_get(config->root, "environments"));
    r = open_state(calls, err);
    if (r == 0 && (containment_init(&calls->containment) < 0 ||
                   confinement_init(&calls->confinement, config) < 0)) {
        r = error_set(err, -ENOMEM, "out of memory");
    }
    if (r < 0) {
        free_calls(calls);
        return r;
    }
    spawn_list_init(&calls->processes, loop); /* now that it is certain that we stay */
    init_handles(calls);
    r = load_all(calls, err);
    if (r < 0) {
        calls_close(calls, NULL, NULL);
        return r;
    }
    calls->wants_schedule = true;
    calls_request_turn(calls);
    *ret = calls;
    return 0;
}

/* ---- closing ----------------------------------------------------------------------------------
 */

static void finish_closing(void *userdata)
{
    Calls *calls = userdata;
    void (*closed)(void *userdata) = calls->closed;
    void *closed_userdata = calls->userdata;

    if (calls->n_open > 0 || calls->processes.n_open > 0) {
        return;
    }
    free_calls(calls);
    if (closed) {
        closed(closed_userdata);
    }
}

void calls_handle_closed(Calls *calls)
{
    calls->n_open--;
    if (calls->is_closing) {
        finish_closing(calls);
    }
}

static void on_own_handle_closed(uv_handle_t *handle)
{
    calls_handle_closed(handle->data);
}

void calls_close(Calls *calls, void (*closed)(void *userdata), void *userdata)
{
    calls->is_closing = true;
    calls->closed = closed;
    calls->userdata = userdata;
    spawn_list_close(&calls->processes, finish_closing, calls);
    for (size_t i = 0; i < calls->n_all; i++) {
        call_let_go(calls->all[i]);
    }
    uv_close((uv_handle_t *)&calls->turn, on_own_handle_closed);
    uv_close((uv_handle_t *)&calls->cleanup, on_own_handle_closed);
    uv_close((uv_handle_t *)&calls->retry, on_own_handle_closed);
}

/* ---- the rest ---------------------------------------------------------------------------------
 */

int calls_cancel(Calls *calls, Call *call, Error *err)
{
    switch (call->state) {
    case CALL_QUEUED:
        return call_end_queued(call, "cancelled", "cancelled while it waited", err);
    case CALL_RUNNING:
        return call_ask_to_end(call, err);
    default:
        return 0;
    }
}

int calls_make_host_key(Calls *calls, Error *err)
{
    return file_exists(calls->state_fd, CALLS_PUBLIC_KEY)
               ? 0
               : spawn_host_key(&calls->processes, calls->config, err);
}

static void on_engines_checked(int64_t status, int signal, void *userdata)
{
    Calls *calls = userdata;

    engine_check_end(&calls->engines, clock_monotonic_ms(), NULL);
}

/* What keeps it from running is told in the place of what it would have found. */
static void start_check(Calls *calls)
{
    _cleanup_free_ char **arguments = NULL;
    _cleanup_error_ Error problem = {0};
    int fd, r = engine_check_begin(&calls->engines, &arguments, &fd, &problem);

    r = r == 0 ? spawn_reach(&calls->processes, calls->config, arguments, fd, on_engines_checked,
                             calls, &problem)
               : r;
    if (r < 0) {
        engine_check_end(&calls->engines, clock_monotonic_ms(), error_text(&problem));
    }
}

int calls_check_engines(Calls *calls, EngineWaiter *waiter)
{
    if (!engine_check_is_running(&calls->engines) &&
        engine_check_is_due(&calls->engines, clock_monotonic_ms())) {
        start_check(calls);
    }
    if (!engine_check_is_running(&calls->engines)) {
        return 0;
    }
    engine_check_wait(&calls->engines, waiter);
    return 1;
}

int calls_write_input(Calls *calls, const char *input, int64_t offset, const void *data, size_t n,
                      bool is_last, const char *sha256, int64_t *ret_size, Error *err)
{
    return inputs_write(calls->inputs_fd, input, offset, data, n, is_last, sha256, ret_size, err);
}

int calls_read_audit(Calls *calls, int64_t offset, void *data, size_t n, size_t *ret_n,
                     int64_t *ret_size, Json **ret_head, Error *err)
{
    return audit_log_read(calls->state_fd, offset, data, n, ret_n, ret_size, ret_head, err);
}
