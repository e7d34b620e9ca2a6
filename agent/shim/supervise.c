/* SPDX-License-Identifier: MIT */
/* One loop over poll, no thread. The phases:
 *
 *     RUNNING → LINGERING          the runner has ended, others of its tree live: they may follow
 *     RUNNING, LINGERING → ENDING  SIGTERM for the whole tree
 *     ENDING → KILLING             SIGKILL, again and again until nothing is left
 *     any → GONE                   nothing is left, or it cannot be killed
 */
#include "agent/shim/supervise.h"

#include "agent/shim/spawn.h"
#include "agent/shim/stream.h"
#include "agent/shim/tree.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_REFUSED 100 /* agent/runners/README.md */

/* How long what the runner leaves behind may take to end by itself, and how long at most once it
 * was asked to: the action is over, and somebody waits for its result. */
#define LINGER_MS 200
#define LEFTOVER_GRACE_MS 2000

/* A process that SIGKILL has not ended by then hangs in the kernel, or is not ours to kill. */
#define KILL_LIMIT_MS 5000
#define KILL_AGAIN_MS 10

/* How often to look whether the cgroup is empty, which nothing tells. */
#define LOOK_AGAIN_MS 5

/* A deadline may be further away than poll can say. */
#define POLL_MAX_MS (60 * 60 * 1000)

/* What is read at the end, when all writers are gone: more than pipe and terminal hold. Somebody
 * outside of the tree may have the other end and go on. */
#define LAST_READS_MAX 64

typedef enum Phase {
    PHASE_RUNNING,
    PHASE_LINGERING,
    PHASE_ENDING,
    PHASE_KILLING,
    PHASE_GONE,
    _PHASE_MAX,
} Phase;

/* Why the shim ended the call, if it did. */
typedef enum Cause {
    CAUSE_NONE,
    CAUSE_CANCEL,
    CAUSE_SHUTDOWN,
    CAUSE_TIMEOUT,
    CAUSE_SILENCE,
    CAUSE_STORAGE,
    _CAUSE_MAX,
} Cause;

enum { STREAM_OUT, STREAM_ERR, STREAM_REPORTS, STREAMS };

enum { POLL_SIGNALS, POLL_STREAMS, POLL_CONTROL = POLL_STREAMS + STREAMS };
#define POLL_FDS (POLL_CONTROL + CONTROL_POLL_FDS)

typedef struct Supervisor {
    const SuperviseRequest *request;
    Spawn spawn;
    Stream streams[STREAMS];
    StreamShared shared;
    int signal_fd;
    Phase phase;
    Cause cause;
    int64_t started_at;
    int64_t heard_at;       /* the last output or report */
    int64_t phase_deadline; /* -1: none */
    int64_t kill_again_at;
    int wait_status;
    bool has_exited;
    bool has_children;
    int leftovers;
    int survivors;
} Supervisor;

static void set_phase(Supervisor *s, Phase phase, int64_t deadline)
{
    static const char *const names[_PHASE_MAX] = {"running", "lingering", "ending", "killing",
                                                  "gone"};

    assert(phase > s->phase);
    log_debug("%s → %s", names[s->phase], names[phase]);
    s->phase = phase;
    s->phase_deadline = deadline;
}

/* ---- ending -----------------------------------------------------------------------------------
 */

/* What is ended though the runner ended before it. Counted once, before the first signal. */
static void count_leftovers(Supervisor *s)
{
    if (s->has_exited && s->leftovers == 0) {
        s->leftovers = tree_count();
    }
}

static void kill_all(Supervisor *s, int64_t now)
{
    /* The cgroup is quicker and reaches what we may not signal; the sweep needs no luck. */
    if (cgroup_is_open(s->request->cgroup)) {
        (void)!cgroup_kill(s->request->cgroup);
    }
    tree_kill();
    s->kill_again_at = now + KILL_AGAIN_MS;
}

static void begin_killing(Supervisor *s, int64_t now)
{
    count_leftovers(s);
    set_phase(s, PHASE_KILLING, now + KILL_LIMIT_MS);
    kill_all(s, now);
}

static void begin_ending(Supervisor *s, int64_t now, int64_t grace_ms)
{
    if (grace_ms == 0) {
        begin_killing(s, now);
        return;
    }
    count_leftovers(s);
    set_phase(s, PHASE_ENDING, now + grace_ms);
    tree_terminate();
}

/* The first cause counts. Once the runner has ended by itself its result stands. */
static void end_call(Supervisor *s, Cause cause, int64_t now)
{
    if (s->cause == CAUSE_NONE && s->phase == PHASE_RUNNING && !s->has_exited) {
        s->cause = cause;
        begin_ending(s, now, s->request->grace_ms);
    }
}

static bool is_anything_left(const Supervisor *s)
{
    return s->has_children ||
           (cgroup_is_open(s->request->cgroup) && cgroup_is_populated(s->request->cgroup));
}

static void give_up(Supervisor *s)
{
    s->survivors = MAX(tree_count(), 1);
    set_phase(s, PHASE_GONE, -1);
}

static void advance(Supervisor *s, int64_t now)
{
    bool is_due = s->phase_deadline >= 0 && now >= s->phase_deadline;

    if (s->has_exited && !is_anything_left(s)) {
        set_phase(s, PHASE_GONE, -1);
    } else if (s->phase == PHASE_RUNNING && s->has_exited) {
        set_phase(s, PHASE_LINGERING, now + LINGER_MS);
    } else if (s->phase == PHASE_LINGERING && is_due) {
        begin_ending(s, now, MIN(s->request->grace_ms, LEFTOVER_GRACE_MS));
    } else if (s->phase == PHASE_ENDING && is_due) {
        begin_killing(s, now);
    } else if (s->phase == PHASE_KILLING && is_due) {
        give_up(s);
    } else if (s->phase == PHASE_KILLING && now >= s->kill_again_at) {
        kill_all(s, now);
    }
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

static void check_limits(Supervisor *s, int64_t now)
{
    const SuperviseRequest *request = s->request;

    if (request->journal->error < 0) {
        end_call(s, CAUSE_STORAGE, now);
    }
    if (request->timeout_ms > 0 && now - s->started_at >= request->timeout_ms) {
        end_call(s, CAUSE_TIMEOUT, now);
    }
    if (request->silence_timeout_ms > 0 && now - s->heard_at >= request->silence_timeout_ms) {
        end_call(s, CAUSE_SILENCE, now);
    }
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : MIN(a, b);
}

static int poll_timeout(const Supervisor *s, int64_t now)
{
    const SuperviseRequest *request = s->request;
    int64_t at = s->phase_deadline;

    if (s->phase == PHASE_RUNNING && request->timeout_ms > 0) {
        at = sooner(at, s->started_at + request->timeout_ms);
    }
    if (s->phase == PHASE_RUNNING && request->silence_timeout_ms > 0) {
        at = sooner(at, s->heard_at + request->silence_timeout_ms);
    }
    if (s->phase == PHASE_KILLING) {
        at = sooner(at, s->kill_again_at);
    }
    if (s->has_exited && !s->has_children) {
        at = sooner(at, now + LOOK_AGAIN_MS);
    }
    for (int k = 0; k < STREAMS; k++) {
        at = sooner(at, s->streams[k].quiet_at);
    }
    if (at < 0) {
        return -1;
    }
    return at <= now ? 0 : (int)MIN(at - now, POLL_MAX_MS);
}

static void handle_signals(Supervisor *s, int64_t now)
{
    struct signalfd_siginfo info;
    bool is_shutdown = false;

    while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        is_shutdown = is_shutdown || info.ssi_signo == SIGTERM;
    }
    s->has_children = tree_reap(s->spawn.pid, &s->wait_status, &s->has_exited);
    if (is_shutdown) {
        end_call(s, CAUSE_SHUTDOWN, now);
    }
}

static void pump_streams(Supervisor *s, const struct pollfd *fds, int64_t now)
{
    for (int k = 0; k < STREAMS; k++) {
        Stream *stream = &s->streams[k];

        if (fds[k].fd >= 0 && fds[k].revents && stream_pump(stream, &s->shared, now) > 0) {
            s->heard_at = now;
        }
        if (stream->quiet_at >= 0 && now >= stream->quiet_at) {
            stream_show_held(stream, &s->shared);
        }
    }
}

static int turn(Supervisor *s, Error *err)
{
    const SuperviseRequest *request = s->request;
    struct pollfd fds[POLL_FDS];
    int64_t now = clock_monotonic_ms();

    fds[POLL_SIGNALS] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
    for (int k = 0; k < STREAMS; k++) {
        fds[POLL_STREAMS + k] = (struct pollfd){
            .fd = s->streams[k].has_ended ? -1 : s->streams[k].fd,
            .events = POLLIN,
        };
    }
    control_prepare(request->control, &fds[POLL_CONTROL]);
    if (poll(fds, POLL_FDS, poll_timeout(s, now)) < 0 && errno != EINTR) {
        return error_set_errno(err, -errno, "cannot wait for the runner");
    }
    now = clock_monotonic_ms();
    pump_streams(s, &fds[POLL_STREAMS], now);
    if (fds[POLL_SIGNALS].revents) {
        handle_signals(s, now);
    }
    if (control_handle(request->control, &fds[POLL_CONTROL])) {
        end_call(s, CAUSE_CANCEL, now);
    }
    check_limits(s, now);
    advance(s, now);
    control_tell(request->control, request->journal->seq);
    return 0;
}

static void read_the_rest(Supervisor *s)
{
    for (int k = 0; k < STREAMS; k++) {
        int reads = 0;

        while (reads++ < LAST_READS_MAX && stream_pump(&s->streams[k], &s->shared, 0) > 0) {
        }
        if (!s->streams[k].has_ended) {
            stream_finish(&s->streams[k], &s->shared);
        }
    }
}

/* ---- beginning and result ---------------------------------------------------------------------
 */

static int open_signals(Supervisor *s, Error *err)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
        return error_set_errno(err, -errno, "cannot block signals");
    }
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd < 0 ? error_set_errno(err, -errno, "cannot receive signals") : 0;
}

static int begin(Supervisor *s, Error *err)
{
    const SuperviseRequest *request = s->request;
    int r;

    r = tree_adopt();
    if (r < 0) {
        return error_set_errno(err, r, "cannot become a subreaper");
    }
    if (stream_shared_init(&s->shared, request->journal, request->mask) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = open_signals(s, err);
    r = r == 0 ? spawn_prepare(&s->spawn, request->cgroup, request->is_terminal, request->argv, err)
               : r;
    if (r < 0) {
        return r;
    }
    stream_init(&s->streams[STREAM_OUT], TAKE_FD(s->spawn.out_fd), "stdout");
    stream_init(&s->streams[STREAM_ERR], TAKE_FD(s->spawn.err_fd), "stderr");
    stream_init(&s->streams[STREAM_REPORTS], TAKE_FD(s->spawn.reports_fd), NULL);
    s->has_children = true;
    s->started_at = s->heard_at = clock_monotonic_ms();
    if (journal_started(request->journal, s->spawn.pid) < 0) {
        return 0; /* the loop ends it: the child has not been released */
    }
    control_tell(request->control, request->journal->seq);
    return spawn_release(&s->spawn, request->argv[0], err);
}

static const char *const cause_status[_CAUSE_MAX] = {
    [CAUSE_CANCEL] = "cancelled",  [CAUSE_SHUTDOWN] = "cancelled", [CAUSE_TIMEOUT] = "timed_out",
    [CAUSE_SILENCE] = "timed_out", [CAUSE_STORAGE] = "failed",
};

/* A sentence of several reasons. Out of memory: one reason less, the status says the most. */
static void _printf_(2, 3) add_reason(Buffer *b, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
    }
    va_end(arguments);
    if (text) {
        (void)!buffer_append_format(b, "%s%s", b->len > 0 ? "; " : "", text);
    }
}

static void describe_cause(const Supervisor *s, Buffer *b)
{
    const SuperviseRequest *request = s->request;

    switch (s->cause) {
    case CAUSE_CANCEL:
        add_reason(b, "cancelled");
        break;
    case CAUSE_SHUTDOWN:
        add_reason(b, "the shim was asked to end, as when the host shuts down");
        break;
    case CAUSE_TIMEOUT:
        add_reason(b, "took longer than %.10g seconds", (double)request->timeout_ms / 1000);
        break;
    case CAUSE_SILENCE:
        add_reason(b, "wrote nothing for %.10g seconds",
                   (double)request->silence_timeout_ms / 1000);
        break;
    default:
        break; /* storage: told of every call that it happened to */
    }
}

static const char *describe_exit(const JournalEnd *end, Buffer *b)
{
    if (end->signal > 0) {
        add_reason(b, "ended by signal %d (%s)", end->signal, strsignal(end->signal));
    } else if (end->exit_code == 0) {
        return "succeeded";
    } else if (end->exit_code == EXIT_REFUSED) {
        return "refused";
    } else {
        add_reason(b, "exited with status %d", end->exit_code);
    }
    return "failed";
}

static void describe_end(const Supervisor *s, const Error *start_error, JournalEnd *end, Buffer *b)
{
    const Journal *journal = s->request->journal;
    bool is_known = s->has_exited && start_error->code == 0;
    struct rusage usage = {0};

    (void)getrusage(RUSAGE_CHILDREN, &usage);
    *end = (JournalEnd){
        .exit_code = is_known && WIFEXITED(s->wait_status) ? WEXITSTATUS(s->wait_status) : -1,
        .signal = is_known && WIFSIGNALED(s->wait_status) ? WTERMSIG(s->wait_status) : 0,
        .survivors = s->spawn.pid > 0 ? s->survivors : -1,
        .leftovers = s->leftovers,
        .user_us = usage.ru_utime.tv_sec * INT64_C(1000000) + usage.ru_utime.tv_usec,
        .system_us = usage.ru_stime.tv_sec * INT64_C(1000000) + usage.ru_stime.tv_usec,
        .max_rss_bytes = usage.ru_maxrss * INT64_C(1024),
    };
    if (start_error->code < 0) {
        end->status = "failed";
        add_reason(b, "%s", error_text(start_error));
    } else if (s->cause != CAUSE_NONE) {
        end->status = cause_status[s->cause];
        describe_cause(s, b);
    } else {
        end->status = describe_exit(end, b);
    }
    if (journal->error < 0) {
        /* A log that is cut is no success, and no refusal either. */
        end->status = s->cause == CAUSE_NONE ? "failed" : end->status;
        add_reason(b, "cannot write '%s': %s", journal->failed_write, strerror(-journal->error));
    }
    if (s->survivors > 0) {
        add_reason(b, "%d of its processes could not be ended", s->survivors);
    }
}

static void supervisor_done(Supervisor *s)
{
    for (int k = 0; k < STREAMS; k++) {
        stream_done(&s->streams[k]);
    }
    stream_shared_done(&s->shared);
    spawn_done(&s->spawn);
    s->signal_fd = fd_close(s->signal_fd);
}

int supervise_run(const SuperviseRequest *request, JournalEnd *ret_end, char **ret_reason,
                  Error *err)
{
    _cleanup_(supervisor_done) Supervisor s = {
        .request = request,
        .spawn = SPAWN_INIT,
        .signal_fd = -1,
        .phase_deadline = -1,
    };
    _cleanup_error_ Error start_error = {0};
    _cleanup_buffer_ Buffer reason = {0};
    int r = 0;

    for (int k = 0; k < STREAMS; k++) {
        stream_init(&s.streams[k], -1, NULL);
    }
    (void)!begin(&s, &start_error);
    while (r == 0 && s.spawn.pid > 0 && s.phase != PHASE_GONE) {
        r = turn(&s, err);
    }
    if (r < 0) {
        tree_kill();
        return r;
    }
    read_the_rest(&s);
    describe_end(&s, &start_error, ret_end, &reason);
    *ret_reason = buffer_take_text(&reason);
    ret_end->reason = *ret_reason ? *ret_reason : "";
    return 0;
}
