/* SPDX-License-Identifier: MIT */
/* slipway-engine-local: supervises services on this host. agent/deploy/README.md says what it does.
 */
#include "agent/engine-local/api.h"

#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define KEEPER_NAME "slipway-keeper"
#define LISTEN_PREFIX "unix:"
/* Two for each connection that is carried, and some for all else. */
#define FILES_WANTED (2 * ENGINE_CONNECTIONS_MAX + 1024)

static const char *arg_listen;
static const char *arg_state;
static bool arg_wants_help;
static bool arg_wants_version;

static const struct {
    const char *name;
    const char *value; /* what stands for it in --help; NULL: a flag */
    const char *help;
    const char **text;
    bool *flag;
} options[] = {
    {"--listen", "unix:PATH", "where it is asked: a unix socket for root and its own user",
     &arg_listen, NULL},
    {"--state", "DIR", "where it keeps what should run, and the services' logs", &arg_state, NULL},
    {"--help", NULL, "show this and exit", NULL, &arg_wants_help},
    {"--version", NULL, "show the version and exit", NULL, &arg_wants_version},
};

static void print_help(void)
{
    (void)printf("usage: slipway-engine-local --listen unix:PATH --state DIR\n\n"
                 "Supervises services on this host: starts new instances beside the old ones,\n"
                 "asks for their health, switches, forwards connections, starts them again.\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        (void)printf("  %-9s %-10s %s\n", options[i].name, options[i].value ? options[i].value : "",
                     options[i].help);
    }
    (void)printf(
        "\nSIGTERM ends it and all services; they come back when it is started again. Killed\n"
        "otherwise, services go on, and the next engine takes them over.\n");
}

/* Takes one option with its value; returns how many arguments that was, or -EINVAL. */
static int take_option(char **argv, Error *err)
{
    const char *equals = strchr(argv[0], '=');
    size_t n = equals ? (size_t)(equals - argv[0]) : strlen(argv[0]);

    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (strncmp(options[i].name, argv[0], n) != 0 || options[i].name[n]) {
            continue;
        }
        if (options[i].flag && !equals) {
            *options[i].flag = true;
            return 1;
        }
        if (options[i].flag) {
            return error_set(err, -EINVAL, "%s takes no value", options[i].name);
        }
        *options[i].text = equals ? equals + 1 : argv[1];
        if (!*options[i].text) {
            return error_set(err, -EINVAL, "%s needs a value: %s %s", options[i].name,
                             options[i].name, options[i].value);
        }
        return equals ? 1 : 2;
    }
    return error_set(err, -EINVAL, "there is no option '%s'", argv[0]);
}

static int parse_arguments(char **argv, Error *err)
{
    while (*argv) {
        int r = take_option(argv, err);

        if (r < 0) {
            return r;
        }
        argv += r;
    }
    if (arg_wants_help || arg_wants_version) {
        return 0;
    }
    if (!arg_listen || !text_has_prefix(arg_listen, LISTEN_PREFIX) ||
        !arg_listen[strlen(LISTEN_PREFIX)]) {
        return error_set(err, -EINVAL, "say where to listen: --listen unix:PATH");
    }
    if (!arg_state || !*arg_state) {
        return error_set(err, -EINVAL, "say where to keep state: --state DIR");
    }
    return 0;
}

/* The keeper stands beside this program. */
static char *find_keeper(void)
{
    char path[4096], *slash, *keeper = NULL;
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n < 0) {
        return NULL;
    }
    path[n] = '\0';
    slash = strrchr(path, '/');
    return slash && asprintf(&keeper, "%.*s/" KEEPER_NAME, (int)(slash - path), path) >= 0 ? keeper
                                                                                           : NULL;
}

/* Returns what services get: this process's own limit as it was. */
static int64_t raise_files_limit(void)
{
    struct rlimit files;
    rlim_t before;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0) {
        return 0;
    }
    before = files.rlim_cur;
    if (files.rlim_cur < FILES_WANTED) {
        files.rlim_cur = MIN(files.rlim_max, (rlim_t)FILES_WANTED);
        (void)setrlimit(RLIMIT_NOFILE, &files); /* with fewer, connections wait for their turn */
    }
    return before > INT64_MAX ? 0 : (int64_t)before;
}

/* ---- signals ----------------------------------------------------------------------------------
 */

typedef struct Signals {
    LoopSource source;
    Engine *engine;
} Signals;

static void on_signal(void *userdata, uint32_t events)
{
    Signals *signals = userdata;
    struct signalfd_siginfo info;

    while (read(signals->source.fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            while (waitpid(-1, NULL, WNOHANG) > 0) {
                continue; /* a keeper: its end is told by its socket */
            }
        } else {
            log_info("%s: ending all services%s", strsignal((int)info.ssi_signo),
                     engine_is_stopping(signals->engine) ? " at once" : "");
            engine_stop(signals->engine);
        }
    }
}

static int watch_signals(Loop *loop, Signals *signals, Error *err)
{
    sigset_t set;
    int fd, r;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    r = fd < 0 ? -errno : loop_add(loop, &signals->source, fd, EPOLLIN, on_signal, signals);
    if (r < 0) {
        (void)fd_close(fd);
        return error_set_errno(err, r, "cannot watch for signals");
    }
    return 0;
}

static void signals_done(Signals *signals)
{
    if (signals->source.loop) {
        loop_remove(&signals->source);
        (void)fd_close(signals->source.fd);
    }
}

static int run(Error *err)
{
    _cleanup_free_ char *keeper = find_keeper();
    int64_t files_max = raise_files_limit();
    _cleanup_(loop_freep) Loop *loop = NULL;
    _cleanup_(signals_done) Signals signals = {0};
    _cleanup_(engine_closep) Engine *engine = NULL;
    _cleanup_(http_freep) Http *http = NULL;
    int r;

    if (!keeper || access(keeper, X_OK) < 0) {
        return error_set_errno(err, -errno, "cannot find '%s' beside this program", KEEPER_NAME);
    }
    r = loop_new(&loop);
    if (r < 0) {
        return error_set_errno(err, r, "cannot make a loop");
    }
    r = watch_signals(loop, &signals, err);
    r = r < 0 ? r : engine_open(loop, arg_state, keeper, files_max, &engine, err);
    signals.engine = engine;
    r = r < 0 ? r
              : http_new(loop, arg_listen + strlen(LISTEN_PREFIX), api_handle, engine, &http, err);
    if (r < 0) {
        return r;
    }
    log_info("listening on %s, state in '%s'", arg_listen, arg_state);
    r = loop_run(loop);
    return r < 0 ? error_set_errno(err, r, "cannot wait for events") : 0;
}

int main(int argc, char **argv)
{
    _cleanup_error_ Error err = {0};
    int r;

    log_open("slipway-engine-local");
    if (parse_arguments(argv + 1, &err) < 0) {
        log_error("%s; see slipway-engine-local --help", error_text(&err));
        return EX_USAGE;
    }
    if (arg_wants_help) {
        print_help();
        return EX_OK;
    }
    if (arg_wants_version) {
        (void)printf("slipway-engine-local " SLIPWAY_VERSION "\n");
        return EX_OK;
    }
    r = run(&err);
    if (r < 0) {
        log_error("%s", error_text(&err));
        return r == -EBUSY ? EX_TEMPFAIL : EX_UNAVAILABLE;
    }
    return EX_OK;
}
