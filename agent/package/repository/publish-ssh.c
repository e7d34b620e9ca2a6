/* SPDX-License-Identifier: MIT */
/* A directory of a host that is reached by SSH, with a POSIX shell and what busybox has: a web
 * server's document root, without anything of ours there.
 *
 * Each verb is a script that is run there, through one session. A connection that is cut is made
 * again and the script run again, which none of them minds. What comes for a file is written beside
 * it, counted (a cut connection looks like the end there), synced, and renamed.
 *
 * The lock is a directory with one file in it, whose name says who has it: "free.X", or "held.X".
 * It changes hands by a rename, of which the kernel over there lets one win: whoever comes second
 * does not find the old name. While it is held a shell waits there for the connection to end, and
 * then frees it: that happens when we are killed, too. What that shell does not see, a host that
 * went without a word, is covered by the lease (publish-lease.h) in the file "owner.X".
 *
 *   take:    free.A-1 → held.B-1        B waits for whoever holds; A-1 was freed
 *   cut:     held.B-1 → free.B-1        by the shell; may come late, or not at all
 *   resume:  free.B-1 → held.B-2        or held.B-1 → held.B-2: nobody came between
 *   lost:    free.B-1 → held.C-1        B finds another's name, and gives up (-ESTALE) */
#include "agent/package/repository/publish-backend.h"

#include "agent/package/repository/publish-lease.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"
#include "protocol/ssh/ssh-exec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* What a shell's start-up files say comes before it. */
#define MARK "slipway-begin"
#define NOISE_MAX ((size_t)64 << 10)

/* Exit statuses of the scripts. Any other is a failure, with the reason on stderr. */
#define FAR_MISSING 44
#define FAR_LOST 45
#define FAR_MOVING 46

#define ARGUMENTS_MAX 8
#define REASON_MAX ((size_t)1000)
#define LOCK_TEXT_MAX ((size_t)4096)

/* The wait doubles. */
#define ATTEMPTS_MAX 5
#define FIRST_WAIT_MS ((int64_t)200)

/* How long a script may take: for itself, and for what it is given, by the slowest line that we put
 * up with. A host that is gone is noticed far sooner, by the session. */
#define SCRIPT_TIMEOUT_MS ((int64_t)10 * 60 * 1000)
#define SLOWEST_BYTES_PER_MS 32
#define RELEASE_TIMEOUT_MS ((int64_t)10 * 1000)
#define KEEPER_TIMEOUT_MS ((int64_t)10 * 1000)

/* "held." and what is like it, and the name behind that. */
#define TOKEN_PREFIX_LENGTH 5
#define BASE_BYTES 12
#define LOCK_NAME_SIZE (2 * BASE_BYTES + sizeof("-4294967295"))

typedef struct Far {
    PublishTarget target;
    SshAddress where;
    const char *config_path;
    SshSession *session; /* NULL: to be opened */
    SshChannel *keeper;  /* the shell that waits there; NULL: none */
    char base[2 * BASE_BYTES + 1];
    unsigned n_names;
    char *holder; /* NULL: the lock is not held */
    char lock_name[LOCK_NAME_SIZE];
    int64_t lock_taken_us;
    bool is_lock_in_doubt; /* to be taken up again before anything else */
} Far;

/* ---- scripts ----------------------------------------------------------------------------------
 * One line each, without backslashes, so that it does not matter which shell the user has there:
 * that one only reads the quotes. $1 is the repository's directory. */

#define LOCK_DIRECTORY ".slipway-lock.d"

/* $2: the file's name. */
static const char script_read[] =
    "cd \"$1\" 2>/dev/null && [ -e \"./$2\" ] || exit 44; exec cat \"./$2\"";

/* $2: the file's name, $3: what is ours in names, $4: bytes, $5: the lock's name, "" without it. */
static const char script_put[] =
    "umask 022; f=$1/$2; d=${f%/*}; t=$f.slipway-$3-$$; k=$1/" LOCK_DIRECTORY "/held.$5; "
    "[ -z \"$5\" ] || [ -e \"$k\" ] || exit 45; "
    "mkdir -p \"$d\" || exit 1; [ ! -d \"$f\" ] || { echo \"$f is a directory\" >&2; exit 1; }; "
    "rm -f \"$f\".slipway-*; trap 'rm -f \"$t\"' EXIT; trap 'exit 1' HUP INT TERM PIPE; "
    "cat >\"$t\" || exit 1; n=$(wc -c <\"$t\"); n=${n##* }; "
    "[ \"$n\" = \"$4\" ] || { echo \"$n bytes have arrived, not $4\" >&2; exit 1; }; "
    "{ sync \"$t\" || sync; } 2>/dev/null; "
    "[ -z \"$5\" ] || [ -e \"$k\" ] || exit 45; "
    "mv -f \"$t\" \"$f\" || exit 1; sync \"$d\" 2>/dev/null; exit 0";

/* $2: the file's name, $3: the lock's name, "" without it. */
static const char script_remove[] =
    "[ -z \"$3\" ] || [ -e \"$1/" LOCK_DIRECTORY "/held.$3\" ] || exit 45; rm -f \"$1/$2\"";

/* Made aside, so that it is never without a token; where it is there, mv puts ours into it. $2: a
 * name for that. */
static const char script_make_lock[] =
    "umask 022; t=" LOCK_DIRECTORY ".$2; mkdir -p \"$1/$t\" && cd \"$1\" && : >\"$t/free.$2\" && "
    "mv \"$t\" " LOCK_DIRECTORY " && rm -rf \"" LOCK_DIRECTORY "/$t\"";

/* Says the token, and then what its owner says. */
static const char script_look[] =
    "cd \"$1/" LOCK_DIRECTORY "\" 2>/dev/null || exit 44; for t in held.* free.*; do "
    "if [ -e \"$t\" ]; then echo \"$t\"; cat \"owner.${t#*.}\" 2>/dev/null; exit 0; fi; done; "
    "exit 46";

/* $2: the token as it was seen, $3: our name, $4, $5, $6: the lines of the owner's file. */
static const char script_claim[] =
    "umask 022; cd \"$1/" LOCK_DIRECTORY "\" || exit 1; "
    "for l in \"$4\" \"$5\" \"$6\"; do echo \"$l\"; done >\"owner.$3\" || exit 1; "
    "if mv -f \"$2\" \"held.$3\"; then rm -f \"owner.${2#*.}\"; exit 0; fi; "
    "rm -f \"owner.$3\"; [ -e \"$2\" ] || exit 45; exit 1";

/* $2: the lock's name, and then as above; "" for the last three: only look. */
static const char script_keep[] =
    "umask 022; cd \"$1/" LOCK_DIRECTORY "\" || exit 1; [ -e \"held.$2\" ] || exit 45; "
    "[ -n \"$3\" ] || exit 0; for l in \"$3\" \"$4\" \"$5\"; do echo \"$l\"; done >\"new.$2\" && "
    "mv -f \"new.$2\" \"owner.$2\"";

/* $2: the lock's name. */
static const char script_release[] =
    "cd \"$1/" LOCK_DIRECTORY "\" && mv -f \"held.$2\" \"free.$2\" && rm -f \"owner.$2\"";
static const char script_wait_and_release[] =
    "trap \"\" HUP INT TERM PIPE; echo " MARK "; cat >/dev/null; cd \"$1/" LOCK_DIRECTORY "\" && "
    "mv -f \"held.$2\" \"free.$2\" 2>/dev/null && rm -f \"owner.$2\"";

typedef struct Source {
    const char *data; /* NULL: from `fd` */
    int fd;
    int64_t size_bytes;
    int64_t offset;
} Source;

typedef struct Task {
    const char *script;
    const char *arguments[ARGUMENTS_MAX]; /* after the directory; up to a NULL */
    Source *source;                       /* NULL: it has no input */
    Buffer *out;                          /* NULL: what it says is dropped */
    int64_t timeout_ms;                   /* 0: as for any */
    bool is_marking;                      /* it says the mark itself */
} Task;

/* exec sh -c 'SCRIPT' sh 'DIRECTORY' 'ARGUMENT'… */
static int append_command(Buffer *command, const Far *far, const Task *task)
{
    _cleanup_buffer_ Buffer script = BUFFER_INIT(0);
    int r = buffer_append_format(&script, "%s%s", task->is_marking ? "" : "echo " MARK "; ",
                                 task->script);

    r = r == 0 ? buffer_append_text(command, "exec sh -c ") : r;
    r = r == 0 ? ssh_quote(command, buffer_text(&script)) : r;
    r = r == 0 ? buffer_append_text(command, " sh ") : r;
    r = r == 0 ? ssh_quote(command, far->where.path) : r;
    for (size_t i = 0; r == 0 && i < ARGUMENTS_MAX && task->arguments[i]; i++) {
        r = buffer_append_text(command, " ");
        r = r == 0 ? ssh_quote(command, task->arguments[i]) : r;
    }
    return r;
}

/* ---- running one ------------------------------------------------------------------------------
 */

typedef struct Exchange {
    const Task *task;
    Buffer errors; /* the end of it */
    Buffer noise;  /* what came before the mark */
    bool is_marked;
} Exchange;

static ssize_t give(char *data, size_t n, void *userdata)
{
    Source *source = ((Exchange *)userdata)->task->source;
    size_t left = source ? (size_t)(source->size_bytes - source->offset) : 0;
    ssize_t got = (ssize_t)MIN(n, left);

    if (left == 0) {
        return 0;
    }
    if (source->data) {
        memcpy(data, source->data + source->offset, (size_t)got);
    } else {
        got = fd_pread_full(source->fd, data, (size_t)got, source->offset);
    }
    if (got == 0) { /* shorter than it was said to be */
        return -EIO;
    }
    source->offset += MAX(got, (ssize_t)0);
    return got;
}

static int take_errors(Exchange *exchange, const char *data, size_t n)
{
    size_t skipped = n > REASON_MAX ? n - REASON_MAX : 0;

    if (exchange->errors.len > REASON_MAX) {
        buffer_consume(&exchange->errors, exchange->errors.len - REASON_MAX);
    }
    return buffer_append(&exchange->errors, data + skipped, n - skipped);
}

/* Past the mark; what one read gives may be all in one. */
static int take_noise(Exchange *exchange, const char *data, size_t n, size_t *ret_taken)
{
    size_t part = MIN(n, NOISE_MAX - exchange->noise.len);
    int r = buffer_append(&exchange->noise, data, part);
    const char *text = buffer_text(&exchange->noise), *mark;

    mark = memmem(text, exchange->noise.len, MARK "\n", strlen(MARK "\n"));
    if (r < 0 || !mark) {
        *ret_taken = n;
        return r == 0 && part < n ? -ENOBUFS : r;
    }
    exchange->is_marked = true;
    *ret_taken = part - (exchange->noise.len - (size_t)(mark + strlen(MARK "\n") - text));
    return 0;
}

static int take(SshStream stream, const char *data, size_t n, void *userdata)
{
    Exchange *exchange = userdata;
    Buffer *out = exchange->task->out;
    size_t taken = 0;
    int r = 0;

    if (stream == SSH_STDERR) {
        return take_errors(exchange, data, n);
    }
    if (!exchange->is_marked) {
        r = take_noise(exchange, data, n, &taken);
    }
    return r == 0 && out ? buffer_append(out, data + taken, n - taken) : r;
}

static int refuse(const Far *far, Exchange *exchange, const SshStatus *status, Error *err)
{
    Buffer *errors = &exchange->errors;

    while (errors->len > 0 && strchr("\r\n ", errors->data[errors->len - 1])) {
        buffer_truncate(errors, errors->len - 1);
    }
    if (status->is_signalled) {
        return error_set(err, -EREMOTEIO, "'%s': the shell there was ended by SIG%s",
                         ssh_session_get_name(far->session), status->signal);
    }
    if (errors->len > 0) {
        return error_set(err, -EREMOTEIO, "'%s': %s", ssh_session_get_name(far->session),
                         buffer_text(errors));
    }
    return error_set(err, -EREMOTEIO, "'%s': the shell there ended with exit status %d",
                     ssh_session_get_name(far->session), status->exit_code);
}

/* Over a connection that stands. 0, or one of FAR_…. */
static int run_once(Far *far, const Task *task, Error *err)
{
    _cleanup_buffer_ Buffer command = BUFFER_INIT(0);
    Exchange exchange = {.task = task, .noise = BUFFER_INIT(NOISE_MAX)};
    int64_t size_bytes = task->source ? task->source->size_bytes : 0;
    SshExec exec = {.input = give, .output = take, .userdata = &exchange};
    SshStatus status = {0};
    int r = append_command(&command, far, task);

    if (r < 0) {
        return error_set_errno(err, r, "cannot say what to do there");
    }
    if (task->source) {
        task->source->offset = 0;
    }
    exec.command = buffer_text(&command);
    exec.timeout_ms = (task->timeout_ms > 0 ? task->timeout_ms : SCRIPT_TIMEOUT_MS) +
                      size_bytes / SLOWEST_BYTES_PER_MS;
    r = ssh_exec(far->session, &exec, &status, err);
    if (r == 0 && !status.is_signalled &&
        (status.exit_code == 0 || status.exit_code == FAR_MISSING || status.exit_code == FAR_LOST ||
         status.exit_code == FAR_MOVING)) {
        r = status.exit_code;
    } else if (r == 0) {
        r = refuse(far, &exchange, &status, err);
    }
    if (r == 0 && !exchange.is_marked) { /* nothing but a shell of some other kind */
        r = error_set(err, -EREMOTEIO, "'%s' runs no commands", ssh_session_get_name(far->session));
    }
    buffer_done(&exchange.errors);
    buffer_done(&exchange.noise);
    return r;
}

/* ---- the connection ---------------------------------------------------------------------------
 */

static void disconnect(Far *far)
{
    far->keeper = ssh_channel_free(far->keeper);
    far->session = ssh_session_free(far->session);
    far->is_lock_in_doubt = far->holder != NULL;
}

static int connect_there(Far *far, Error *err)
{
    const SshOptions options = {.config_path = far->config_path};

    return far->session ? 0 : ssh_session_open(&far->where, &options, &far->session, err);
}

static bool is_cut(int r)
{
    return r == SSH_BROKEN || r == SSH_TIMED_OUT || r == SSH_REFUSED || r == -EHOSTUNREACH ||
           r == -ENETUNREACH || r == -EPIPE;
}

/* After a cut: waits, and says whether there is another attempt. */
static bool is_worth_another(Far *far, int r, unsigned attempt, const Error *problem)
{
    if (!is_cut(r)) {
        return false;
    }
    disconnect(far);
    if (attempt == ATTEMPTS_MAX) {
        return false;
    }
    log_debug("%s: trying again", error_text(problem));
    publish_wait(FIRST_WAIT_MS << (attempt - 1));
    return true;
}

/* ---- lock -------------------------------------------------------------------------------------
 */

/* The lines of what the lock says, cut in place. */
static void split_lines(char *text, const char *lines[static 3])
{
    for (size_t i = 0; i < 3; i++) {
        size_t n = strcspn(text, "\n");

        lines[i] = text;
        text += n;
        if (*text) {
            *text++ = '\0';
        }
    }
}

static void name_lock(Far *far, char name[static LOCK_NAME_SIZE])
{
    (void)snprintf(name, LOCK_NAME_SIZE, "%s-%u", far->base, ++far->n_names);
}

/* *ret is the token, and behind its line what the owner says. 0, or one of FAR_…. */
static int look(Far *far, Buffer *ret, Error *err)
{
    const Task look_there = {.script = script_look, .out = ret};
    char name[LOCK_NAME_SIZE];
    Task make = {.script = script_make_lock, .arguments = {name}};
    int r = run_once(far, &look_there, err);

    if (r != FAR_MISSING) {
        return r;
    }
    buffer_clear(ret);
    name_lock(far, name);
    r = run_once(far, &make, err);
    return r == 0 ? run_once(far, &look_there, err) : r;
}

/* Until it has said the mark: from then on nothing on our side keeps it from freeing the lock. */
static int await_keeper(Far *far, Error *err)
{
    _cleanup_buffer_ Buffer said = BUFFER_INIT(NOISE_MAX);
    int64_t deadline_ms = clock_monotonic_ms() + KEEPER_TIMEOUT_MS;

    while (!strstr(buffer_text(&said), MARK "\n")) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        struct pollfd fds[SSH_CHANNEL_WATCH_MAX];
        char piece[512];
        ssize_t n = ssh_channel_read(far->keeper, SSH_STDOUT, piece, sizeof(piece), err);
        int r = n > 0 ? buffer_append(&said, piece, (size_t)n) : 0;

        if (n == 0 || r < 0 || left_ms <= 0) {
            return error_set(err, -EREMOTEIO, "no shell stays there");
        }
        if (n == -EAGAIN) {
            (void)poll(fds, ssh_channel_watch(far->keeper, false, fds), (int)left_ms);
            r = ssh_session_process(far->session, err);
        }
        if (r < 0 || (n < 0 && n != -EAGAIN)) {
            return r < 0 ? r : (int)n;
        }
    }
    return 0;
}

/* Best done without: the lease covers what this does not. */
static void start_keeper(Far *far)
{
    _cleanup_error_ Error problem = {0};
    _cleanup_buffer_ Buffer command = BUFFER_INIT(0);
    const Task wait = {
        .script = script_wait_and_release, .arguments = {far->lock_name}, .is_marking = true};
    int r = append_command(&command, far, &wait);

    far->keeper = ssh_channel_free(far->keeper);
    r = r == 0 ? ssh_channel_open(far->session, buffer_text(&command), &far->keeper, &problem) : r;
    r = r == 0 ? await_keeper(far, &problem) : r;
    if (r < 0) {
        log_debug("nobody there frees the lock after us: %s", error_text(&problem));
    }
}

static bool is_token_ours(const Far *far, const char *token)
{
    return text_has_prefix(token + TOKEN_PREFIX_LENGTH, far->base);
}

static bool is_token(const char *text)
{
    return (text_has_prefix(text, "held.") || text_has_prefix(text, "free.")) &&
           text_is_identifier(text);
}

/* 0: we have it. FAR_LOST: somebody was faster. */
static int claim(Far *far, const char *token, const char *holder, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(LOCK_TEXT_MAX);
    char name[LOCK_NAME_SIZE];
    const char *lines[3];
    int r = publish_lease_format(holder, &text);

    if (r < 0) {
        return error_set_errno(err, r, "cannot say who publishes");
    }
    split_lines(text.data, lines);
    name_lock(far, name);
    r = run_once(
        far,
        &(Task){.script = script_claim, .arguments = {token, name, lines[0], lines[1], lines[2]}},
        err);
    if (r == 0) {
        memcpy(far->lock_name, name, sizeof(name));
        far->lock_taken_us = clock_wall_us();
        far->is_lock_in_doubt = false;
        start_keeper(far);
    }
    return r;
}

/* 0, PUBLISH_LOCK_HELD. `is_again`: only if nobody else has had it since. */
static int take_there(Far *far, const char *holder, bool is_again, Error *err)
{
    _cleanup_buffer_ Buffer there = BUFFER_INIT(LOCK_TEXT_MAX);
    int r = look(far, &there, err);
    char *token = there.data, *owner = token;

    if (r == FAR_MOVING || (r == 0 && there.len == 0)) {
        return publish_lock_tell("", far->target.address, err);
    }
    if (r != 0) {
        return r < 0 ? r : error_set(err, -EREMOTEIO, "'" LOCK_DIRECTORY "' there is gone");
    }
    owner += strcspn(token, "\n");
    if (*owner) {
        *owner++ = '\0';
    }
    if (!is_token(token)) {
        return error_set(err, -EBADMSG, "'%.64s' in '" LOCK_DIRECTORY "' there is not of ours",
                         token);
    }
    if (!is_token_ours(far, token) &&
        (is_again || (token[0] == 'h' && !publish_lease_is_over(owner)))) {
        return publish_lock_tell(owner, far->target.address, err);
    }
    r = claim(far, token, holder, err);
    return r == FAR_LOST ? publish_lock_tell("", far->target.address, err) : r;
}

static int take_lock(PublishTarget *target, const char *holder, Error *err)
{
    Far *far = (Far *)target;

    for (unsigned attempt = 1;; attempt++) {
        _cleanup_error_ Error problem = {0};
        int r = connect_there(far, &problem);

        r = r == 0 ? take_there(far, holder, false, &problem) : r;
        if (is_worth_another(far, r, attempt, &problem)) {
            continue;
        }
        if (r != 0) {
            (void)error_set(err, r < 0 ? r : -EBUSY, "%s", error_text(&problem));
            return r;
        }
        far->holder = strdup(holder);
        return far->holder ? 0 : error_set(err, -ENOMEM, "out of memory");
    }
}

/* The shell that freed it for us may do so between our look and our claim: twice at most, because
 * it does so once. */
static int resume(Far *far, Error *err)
{
    _cleanup_error_ Error problem = {0};
    int r = take_there(far, far->holder, true, &problem);

    r = r == PUBLISH_LOCK_HELD ? take_there(far, far->holder, true, &problem) : r;
    if (r == PUBLISH_LOCK_HELD) {
        return error_set(err, -ESTALE, "somebody else took the lock of '%s' meanwhile",
                         far->target.address);
    }
    return r < 0 ? error_set(err, r, "%s", error_text(&problem)) : 0;
}

/* ---- verbs ------------------------------------------------------------------------------------
 */

/* Whatever happens to the connection; 0, or one of FAR_…, but not FAR_LOST. The task's out is
 * emptied for each attempt. `lock_argument`: which of its arguments is the lock's name, which
 * changes with the connection. */
static int run(Far *far, Task *task, size_t lock_argument, Error *err)
{
    bool was_lost = false;

    for (unsigned attempt = 1;; attempt++) {
        _cleanup_error_ Error problem = {0};
        int r = connect_there(far, &problem);

        r = r == 0 && far->is_lock_in_doubt ? resume(far, &problem) : r;
        task->arguments[lock_argument] = far->holder ? far->lock_name : "";
        if (task->out) {
            buffer_clear(task->out);
        }
        r = r == 0 ? run_once(far, task, &problem) : r;
        if (r == FAR_LOST && !was_lost) { /* freed by a shell whose connection was cut */
            was_lost = true;
            far->keeper = ssh_channel_free(far->keeper);
            far->is_lock_in_doubt = true;
            continue;
        }
        if (is_worth_another(far, r, attempt, &problem)) {
            continue;
        }
        if (r == FAR_LOST) {
            return error_set(err, -ESTALE, "the lock of '%s' does not stay ours",
                             far->target.address);
        }
        return r < 0 ? error_set(err, r, "%s", error_text(&problem)) : r;
    }
}

static int read_file(PublishTarget *target, const char *name, Buffer *ret, Error *err)
{
    size_t room = ret->limit - ret->len;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(room);
    Task task = {.script = script_read, .arguments = {name}, .out = &text};
    int r = run((Far *)target, &task, 1, err);

    if (r == -ENOBUFS || (r == 0 && text.len > room)) {
        return error_set(err, -ENOBUFS, "is larger than %zu bytes", room);
    }
    if (r != 0) {
        return r == FAR_MISSING ? 0 : r;
    }
    return buffer_append(ret, text.data, text.len) < 0 ? error_set(err, -ENOMEM, "out of memory")
                                                       : 1;
}

static int put_source(Far *far, const char *name, Source *source, Error *err)
{
    char size[24];
    Task task = {.script = script_put, .arguments = {name, far->base, size}, .source = source};

    (void)snprintf(size, sizeof(size), "%lld", (long long)source->size_bytes);
    return run(far, &task, 3, err);
}

static int put(PublishTarget *target, const char *name, const void *data, size_t n, Error *err)
{
    Source source = {.data = n > 0 ? data : "", .fd = -1, .size_bytes = (int64_t)n};

    return put_source((Far *)target, name, &source, err);
}

static int put_file(PublishTarget *target, const char *name, int fd, int64_t size_bytes, Error *err)
{
    Source source = {.fd = fd, .size_bytes = size_bytes};

    return put_source((Far *)target, name, &source, err);
}

static int remove_file(PublishTarget *target, const char *name, Error *err)
{
    Task task = {.script = script_remove, .arguments = {name}};

    return run((Far *)target, &task, 1, err);
}

static int keep_lock(PublishTarget *target, Error *err)
{
    Far *far = (Far *)target;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(LOCK_TEXT_MAX);
    Task task = {.script = script_keep, .arguments = {"", "", "", ""}};
    bool is_due = clock_wall_us() - far->lock_taken_us > PUBLISH_LEASE_US / 3;
    int r = is_due ? publish_lease_format(far->holder, &text) : 0;

    if (r < 0) {
        return error_set_errno(err, r, "cannot say who publishes");
    }
    if (is_due) {
        split_lines(text.data, &task.arguments[1]);
    }
    r = run(far, &task, 0, err);
    if (r == 0 && is_due) {
        far->lock_taken_us = clock_wall_us();
    }
    return r;
}

/* ---- opening and closing ----------------------------------------------------------------------
 */

static void close_far(PublishTarget *target)
{
    Far *far = (Far *)target;
    const Task release = {
        .script = script_release, .arguments = {far->lock_name}, .timeout_ms = RELEASE_TIMEOUT_MS};

    if (far->holder && far->session) {
        _cleanup_error_ Error problem = {0};

        if (run_once(far, &release, &problem) != 0) {
            log_debug("%s: the shell there, or the lease, frees the lock", error_text(&problem));
        }
    }
    (void)ssh_channel_free(far->keeper);
    (void)ssh_session_free(far->session);
    ssh_address_done(&far->where);
    free(far->holder);
    free(far);
}

static const PublishBackend backend = {
    .read = read_file,
    .put = put,
    .put_file = put_file,
    .remove = remove_file,
    .take_lock = take_lock,
    .keep_lock = keep_lock,
    .close = close_far,
};

static int make_base(Far *far)
{
    unsigned char random[BASE_BYTES];

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return -EIO;
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        (void)snprintf(far->base + 2 * i, 3, "%02x", random[i]);
    }
    return 0;
}

static int check_address(const SshAddress *where, const char *address, Error *err)
{
    if (!where->path) {
        return error_set(err, -EINVAL, "'%s' has no path: ssh://[USER@]HOST[:PORT]/PATH", address);
    }
    if (where->n_members > 0) {
        return error_set(err, -EINVAL, "'%s': no '?' has a meaning here", address);
    }
    return 0;
}

int publish_ssh_open(const char *address, const PublishAccess *access, PublishTarget **ret,
                     Error *err)
{
    Far *far = calloc(1, sizeof(*far));
    int r;

    if (!far) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    far->target.backend = &backend;
    far->config_path = access->ssh_config_file;
    r = ssh_address_parse(address, &far->where, err);
    r = r == 0 ? check_address(&far->where, address, err) : r;
    if (r == 0 && make_base(far) < 0) {
        r = error_set(err, -EIO, "there is no randomness");
    }
    if (r < 0) {
        close_far(&far->target);
        return r;
    }
    *ret = &far->target;
    return 0;
}
