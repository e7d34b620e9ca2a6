/* SPDX-License-Identifier: MIT */
/* slipway-health: an agent's health over HTTP, for Prometheus, Kubernetes' probes, and people. A
 * program of its own, beside the agent, so that the agent has no port and no HTTP. */
#include "plugin/health/answer.h"
#include "plugin/health/listen-address.h"
#include "plugin/health/watch.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

/* Less than what a Prometheus waits (10 s). */
#define TIMEOUT_DEFAULT "6"
#define TIMEOUT_SECONDS_MAX 3600
#define AGENT_DEFAULT "unix:/run/slipway/agent.sock"
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#define LISTEN_DEFAULT "127.0.0.1:" TEXT(LISTEN_PORT_DEFAULT)

static const char *arg_listen = LISTEN_DEFAULT;
static const char *arg_agent;
static const char *arg_timeout = TIMEOUT_DEFAULT;
static bool arg_is_help;
static bool arg_is_version;

typedef struct Option {
    const char *name;
    const char *value; /* what it is called in the help; NULL: it takes none */
    const char *help;
    bool *flag;
    const char **text;
} Option;

static const Option options[] = {
    {.name = "--listen",
     .value = "ADDRESS:PORT",
     .help = "where to serve (default: " LISTEN_DEFAULT "; PORT alone is on loopback)",
     .text = &arg_listen},
    {.name = "--agent",
     .value = "ADDRESS",
     .help = "the agent: unix:PATH or ssh://HOST (default: $SLIPWAY_AGENT, or " AGENT_DEFAULT ")",
     .text = &arg_agent},
    {.name = "--timeout",
     .value = "SECONDS",
     .help = "an agent that takes longer is away (default: " TIMEOUT_DEFAULT ")",
     .text = &arg_timeout},
    {.name = "--version", .help = "show the version and exit", .flag = &arg_is_version},
    {.name = "--help", .help = "show this and exit", .flag = &arg_is_help},
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list arguments;

    (void)fputs("slipway-health: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
}

static void show_help(void)
{
    (void)printf("Usage: slipway-health [OPTION]...\n"
                 "Serves the health of one agent over HTTP, to read only:\n\n"
                 "  /          a page for people\n"
                 "  /healthz   200: this program is alive\n"
                 "  /readyz    200: the agent takes more work; 503: why it does not, or will not "
                 "for long\n"
                 "  /metrics   for Prometheus\n"
                 "  /version   JSON\n\n");
    for (size_t i = 0; i < N_OPTIONS; i++) {
        (void)printf("  %s %-*s %s\n", options[i].name, (int)(23 - strlen(options[i].name)),
                     options[i].value ? options[i].value : "", options[i].help);
    }
    (void)printf("\nWhoever can connect may read it: there is no password and no TLS. Beyond "
                 "loopback, put a\nreverse proxy before it.\n"
                 "Exit status: 0, 64 usage, 69 cannot listen.\n");
}

static const Option *find_option(const char *word, size_t n)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (strncmp(options[i].name, word, n) == 0 && !options[i].name[n]) {
            return &options[i];
        }
    }
    return NULL;
}

/* Takes the option at argv[*at], with its value in the same word or the next. */
static int take_option(int argc, char **argv, int *at)
{
    const char *word = argv[*at], *equals = strchr(word, '='), *value;
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    const Option *option = find_option(word, n);

    if (!option) {
        say("there is no option '%.*s'; see slipway-health --help", (int)n, word);
        return -1;
    }
    if (option->flag) {
        *option->flag = true;
        return equals ? (say("%s takes no value", option->name), -1) : 0;
    }
    value = equals ? equals + 1 : *at + 1 < argc ? argv[++*at] : NULL;
    if (!value || !*value) {
        say("%s needs a value: %s %s", option->name, option->name, option->value);
        return -1;
    }
    *option->text = value;
    return 0;
}

/* An agent of its own, started here, would be the health of nothing. */
static int check_agent(void)
{
    const char *variable = getenv("SLIPWAY_AGENT");

    if (!arg_agent) {
        arg_agent = variable && *variable ? variable : AGENT_DEFAULT;
    }
    if (strncmp(arg_agent, "unix:", 5) != 0 && strncmp(arg_agent, "ssh://", 6) != 0) {
        say("'%s' is no agent that runs: unix:PATH or ssh://HOST is", arg_agent);
        return -1;
    }
    return 0;
}

/* 0: it is no number of seconds. */
static int timeout_ms(void)
{
    char *end;
    double seconds = strtod(arg_timeout, &end);

    return *end == '\0' && seconds >= 0.001 && seconds <= TIMEOUT_SECONDS_MAX
               ? (int)(seconds * 1000)
               : 0;
}

static int parse_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (take_option(argc, argv, &i) < 0) {
            return -1;
        }
    }
    if (timeout_ms() == 0) {
        say("--timeout takes a number of seconds up to %d, not '%s'", TIMEOUT_SECONDS_MAX,
            arg_timeout);
        return -1;
    }
    return check_agent();
}

/* ---- serving ----------------------------------------------------------------------------------
 */

typedef struct Program {
    Watch *watch;
    Server *server;
} Program;

static int on_request(void *userdata, const char *path, ServerReply *ret)
{
    Program *program = userdata;

    if (answer_needs_facts(path) && !watch_refresh(program->watch)) {
        return SERVER_LATER;
    }
    answer_path(path, watch_facts(program->watch), ret);
    return 0;
}

static void on_told(void *userdata)
{
    server_wake(((Program *)userdata)->server);
}

static int soonest(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static void serve(Program *program, int signal_fd)
{
    struct pollfd polls[3] = {{.fd = signal_fd, .events = POLLIN}, {.events = POLLIN}, {0}};

    while (!(polls[0].revents & POLLIN)) {
        int timeout_ms =
            soonest(server_get_timeout_ms(program->server), watch_get_timeout_ms(program->watch));

        polls[1].fd = server_get_fd(program->server);
        polls[2].fd = watch_get_fd(program->watch);
        polls[2].events = watch_get_events(program->watch);
        (void)poll(polls, 3, timeout_ms);
        watch_process(program->watch);
        server_process(program->server);
    }
}

static int block_signals(void)
{
    sigset_t signals;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run(const ListenAddress *address)
{
    int signal_fd = block_signals(), fd = listen_address_open(address);
    char shown[LISTEN_TEXT_SIZE];
    Program program = {0};

    if (fd < 0) {
        say("cannot listen on %s: %s", arg_listen, strerror(-fd));
        return EX_UNAVAILABLE;
    }
    (void)listen_address_tell(fd, shown);
    program.watch = watch_new(arg_agent, timeout_ms(), on_told, &program);
    program.server = server_new_take(fd, on_request, &program);
    if (signal_fd < 0 || !program.watch || !program.server) {
        say("cannot serve: out of memory or descriptors");
    } else {
        say("http://%s tells of the agent at %s", shown, arg_agent);
        serve(&program, signal_fd);
    }
    fd = program.server != NULL;
    program.server = server_free(program.server);
    program.watch = watch_free(program.watch);
    return fd ? EX_OK : EX_UNAVAILABLE;
}

int main(int argc, char **argv)
{
    ListenAddress address;

    if (parse_arguments(argc, argv) < 0) {
        return EX_USAGE;
    }
    if (arg_is_help || arg_is_version) {
        arg_is_help ? show_help() : (void)printf("slipway-health %s\n", slipway_version());
        return EX_OK;
    }
    if (listen_address_parse(arg_listen, &address) < 0) {
        say("'%s' is no ADDRESS:PORT: 127.0.0.1:%d, [::1]:%d, or %d alone are", arg_listen,
            LISTEN_PORT_DEFAULT, LISTEN_PORT_DEFAULT, LISTEN_PORT_DEFAULT);
        return EX_USAGE;
    }
    return run(&address);
}
