/* SPDX-License-Identifier: MIT */
/* slipway-shim: supervises one call. Its command line and its files are in agent/calls/README.md.
 *
 * It ends with 0 when status.json is on disk, with 1 when it could not get there, with 2 when it
 * was called wrongly; in the last two cases stderr says why. */
#include "agent/shim/supervise.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the agent gives, beside 0 to 2. */
enum { FD_CALL_DIRECTORY = 3, FD_CONTROL = 4, FD_LOCK = 5, FD_FIRST_UNKNOWN = 6 };

/* Ten years: also what adds up to a deadline stays far from the limits of its type. */
#define TIME_MAX_MS (INT64_C(10) * 365 * 24 * 3600 * 1000)

#define SECRETS_MAX 64

typedef struct SecretArgument {
    char *name;
    const char *file;
} SecretArgument;

static int64_t arg_timeout_ms;
static int64_t arg_silence_timeout_ms;
static int64_t arg_grace_ms;
static bool arg_is_terminal;
static int64_t arg_files_max; /* 0: as it is */
static const char *arg_cgroup;
static SecretArgument arg_secrets[SECRETS_MAX];
static size_t arg_n_secrets;
static char **arg_argv;

static int parse_secret(char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char letters_and_digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    char *equals = strchr(text, '=');

    if (!equals || !equals[1] || !strchr(letters, text[0]) || text[0] == '=' ||
        strspn(text, letters_and_digits) != (size_t)(equals - text)) {
        log_error("--secret takes NAME=FILE, not '%s'", text);
        return -EINVAL;
    }
    if (arg_n_secrets == SECRETS_MAX) {
        log_error("more than %d secrets", SECRETS_MAX);
        return -E2BIG;
    }
    *equals = '\0';
    arg_secrets[arg_n_secrets++] = (SecretArgument){.name = text, .file = equals + 1};
    return 0;
}

static int parse_option(int option)
{
    static int64_t *const times[] = {
        ['t'] = &arg_timeout_ms,
        ['s'] = &arg_silence_timeout_ms,
        ['g'] = &arg_grace_ms,
    };

    switch (option) {
    case 't':
    case 's':
    case 'g':
        if (text_parse_int(optarg, 0, TIME_MAX_MS, times[option]) < 0) {
            log_error("'%s' is not a number of milliseconds", optarg);
            return -EINVAL;
        }
        return 0;
    case 'f':
        if (text_parse_int(optarg, 1, INT_MAX, &arg_files_max) < 0) {
            log_error("'%s' is not a number of files", optarg);
            return -EINVAL;
        }
        return 0;
    case 'T':
        arg_is_terminal = true;
        return 0;
    case 'c':
        arg_cgroup = optarg;
        return 0;
    case 'S':
        return parse_secret(optarg);
    default:
        return -EINVAL; /* getopt has said it */
    }
}

static int parse_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"timeout-ms", required_argument, NULL, 't'},
        {"silence-timeout-ms", required_argument, NULL, 's'},
        {"grace-ms", required_argument, NULL, 'g'},
        {"terminal", no_argument, NULL, 'T'},
        {"files-max", required_argument, NULL, 'f'},
        {"cgroup", required_argument, NULL, 'c'},
        {"secret", required_argument, NULL, 'S'},
        {0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (parse_option(option) < 0) {
            return -EINVAL;
        }
    }
    if (optind == argc) {
        log_error("no PROGRAM is given");
        return -EINVAL;
    }
    arg_argv = argv + optind;
    return 0;
}

static int check_descriptors(void)
{
    for (int fd = 0; fd < FD_FIRST_UNKNOWN; fd++) {
        if (fcntl(fd, fd < FD_CALL_DIRECTORY ? F_GETFD : F_SETFD, FD_CLOEXEC) < 0) {
            log_error_errno(-errno, "descriptor %d", fd);
            return -EBADF;
        }
    }
    /* What the agent should not have left open must not reach the runner. */
    (void)syscall(SYS_close_range, FD_FIRST_UNKNOWN, UINT_MAX, 0);
    return fd_set_nonblock(FD_CONTROL, true);
}

static int isolate(void)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU};

    for (size_t k = 0; k < ARRAY_SIZE(ignored); k++) {
        (void)signal(ignored[k], SIG_IGN);
    }
    (void)setsid(); /* fails where the agent has done it */
    /* No core file and no debugger of the same user's sees the secrets. */
    return prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
}

static int load_secret(const SecretArgument *secret, Mask *mask, Error *err)
{
    Buffer b = BUFFER_INIT(2 * MASK_SECRET_MAX);
    int r;

    /* At once, so that growing leaves no copy behind. */
    r = buffer_reserve(&b, b.limit - 1);
    r = r < 0 ? error_set(err, r, "out of memory") : file_read(AT_FDCWD, secret->file, &b, err);
    if (r == 0 && b.len > 0 && b.data[b.len - 1] == '\n') {
        buffer_truncate(&b, b.len - 1);
    }
    if (r == 0 && memchr(buffer_text(&b), '\0', b.len)) {
        r = error_set(err, -EINVAL, "a NUL byte cannot be in a variable");
    }
    if (r == 0) {
        r = mask_add(mask, buffer_text(&b), b.len);
        if (r == -EINVAL) {
            (void)error_set(err, r, "fewer than %zu bytes cannot be masked", MASK_SECRET_MIN);
        } else if (r < 0) {
            (void)error_set_errno(err, r, "cannot mask it");
        }
    }
    if (r == 0 && setenv(secret->name, buffer_text(&b), 1) < 0) {
        r = error_set_errno(err, -errno, "cannot set the variable");
    }
    if (b.data) {
        explicit_bzero(b.data, b.allocated);
    }
    buffer_done(&b);
    return r < 0 ? error_wrap(err, "secret '%s'", secret->name) : 0;
}

static int load_secrets(Mask *mask, Error *err)
{
    int r = 0;

    for (size_t k = 0; r == 0 && k < arg_n_secrets; k++) {
        r = load_secret(&arg_secrets[k], mask, err);
    }
    return r;
}

static void wipe_environment(void)
{
    for (size_t k = 0; k < arg_n_secrets; k++) {
        char *value = getenv(arg_secrets[k].name);

        if (value) {
            explicit_bzero(value, strlen(value));
        }
    }
}

/* Of an agent that may have many open, more than is good for programs that use select(2) or close
 * all that they could have. */
static void limit_files(void)
{
    struct rlimit files;

    if (arg_files_max > 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = MIN((rlim_t)arg_files_max, files.rlim_max);
        if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
            log_debug("the limit of open files stays as it is: %s", strerror(errno));
        }
    }
}

static void open_cgroup(Cgroup *cgroup)
{
    _cleanup_error_ Error err = {0};

    if (arg_cgroup && cgroup_open(cgroup, arg_cgroup, &err) < 0) {
        log_debug("%s, going on without", error_text(&err));
    }
}

static int run_call(Mask *mask, Journal *journal, Control *control, Error *err)
{
    _cleanup_(cgroup_remove) Cgroup cgroup = CGROUP_INIT;
    _cleanup_error_ Error why = {0};
    _cleanup_free_ char *reason = NULL;
    JournalEnd end;
    int r;

    if (load_secrets(mask, &why) < 0) {
        end = (JournalEnd){
            .status = "failed",
            .exit_code = -1,
            .reason = error_text(&why),
            .survivors = -1,
        };
    } else {
        SuperviseRequest request = {
            .argv = arg_argv,
            .timeout_ms = arg_timeout_ms,
            .silence_timeout_ms = arg_silence_timeout_ms,
            .grace_ms = arg_grace_ms,
            .is_terminal = arg_is_terminal,
            .mask = mask,
            .cgroup = &cgroup,
            .control = control,
            .journal = journal,
        };

        limit_files();
        open_cgroup(&cgroup);
        r = supervise_run(&request, &end, &reason, err);
        if (r < 0) {
            return r;
        }
    }
    r = journal_finished(journal, &end, err);
    control_tell(control, journal->seq);
    return r;
}

int main(int argc, char **argv)
{
    _cleanup_(mask_done) Mask mask = {0};
    _cleanup_(journal_done) Journal journal = JOURNAL_INIT;
    _cleanup_(control_done) Control control;
    _cleanup_fd_ int lock_fd = -1; /* given up before the agent sees the hang-up */
    _cleanup_error_ Error err = {0};
    int r;

    control_init(&control, -1);
    log_open("slipway-shim");
    if (parse_arguments(argc, argv) < 0 || check_descriptors() < 0) {
        return 2;
    }
    control_init(&control, FD_CONTROL);
    lock_fd = FD_LOCK;
    r = isolate();
    r = r == 0 ? journal_open(&journal, FD_CALL_DIRECTORY, &err) : r;
    r = r == 0 ? run_call(&mask, &journal, &control, &err) : r;
    wipe_environment();
    if (r < 0) {
        log_error("%s", error_text(&err));
        return 1;
    }
    return 0;
}
