/* SPDX-License-Identifier: MIT */
/* slipway-agent: one loop between the controllers' connections and the calls of one state
 * directory. Things are made in the order configuration, calls, server, and go in the reverse. */
#include "agent/calls/agent-config.h"
#include "agent/calls/calls.h"
#include "agent/endpoint/bridge.h"
#include "agent/endpoint/server.h"
#include "agent/endpoint/systemd.h"
#include "agent/endpoint/unix-socket.h"
#include "agent/endpoint/version.h"
#include "agent/forward/forward-watch.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define LISTEN_ADDRESSES_MAX 16
/* How long `--stdio` waits for the socket of an agent that just starts, or for the state directory
 * of one that just ends. */
#define HANDOVER_MS 5000
#define HANDOVER_STEP_MS 5
/* The first controller's answers come before the first start's work. */
#define HOST_KEY_DELAY_MS 100

typedef struct Agent {
    uv_loop_t loop;
    AgentConfig *config;
    Calls *calls;
    Server *server;
    ForwardWatch *forward; /* NULL: the audit log is not forwarded */
    uv_signal_t signals[3];
    size_t n_signals;
    uv_timer_t watchdog;
    uv_timer_t host_key;
    bool is_stopping;
} Agent;

static const char *arg_config;
static const char *arg_state;
static const char *arg_listen[LISTEN_ADDRESSES_MAX]; /* paths */
static size_t arg_n_listen;
static bool arg_is_stdio;
static bool arg_is_check;
static bool arg_is_version;
static bool arg_is_help;

/* ---- the command line -------------------------------------------------------------------------
 */

typedef struct Option {
    const char *name;
    const char *value; /* what it is called in the help; NULL: it takes none */
    const char *help;
    bool *flag;
    const char **text;
} Option;

static const Option options[] = {
    {.name = "--stdio",
     .help = "serve one client on stdin and stdout, for as long as stdin lives",
     .flag = &arg_is_stdio},
    {.name = "--listen",
     .value = "ADDRESS",
     .help = "listen on unix:PATH, besides STATE/agent.sock; may be repeated"},
    {.name = "--config",
     .value = "PATH",
     .help = "the configuration (default: see agent.json(5))",
     .text = &arg_config},
    {.name = "--state",
     .value = "DIRECTORY",
     .help = "the state directory, whatever the configuration says",
     .text = &arg_state},
    {.name = "--check-config",
     .help = "tell every mistake in the configuration and exit",
     .flag = &arg_is_check},
    {.name = "--version", .help = "show the version and exit", .flag = &arg_is_version},
    {.name = "--help", .help = "show this and exit", .flag = &arg_is_help},
};

static void show_help(void)
{
    printf("Usage: slipway-agent [OPTION]...\n"
           "Runs the actions of this host for the controllers that connect to it.\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        printf("  %s %-*s %s\n", options[i].name, (int)(26 - strlen(options[i].name)),
               options[i].value ? options[i].value : "", options[i].help);
    }
    printf("\nExit status: 0, 64 usage, 69 unavailable, 75 the state directory is in use, 78 "
           "configuration.\n");
}

static int take_listen(const char *address)
{
    if (!text_has_prefix(address, "unix:") || !address[strlen("unix:")]) {
        log_error("--listen takes unix:PATH, not '%s'", address);
        return -EINVAL;
    }
    if (arg_n_listen == LISTEN_ADDRESSES_MAX) {
        log_error("more than %d --listen", LISTEN_ADDRESSES_MAX);
        return -EINVAL;
    }
    arg_listen[arg_n_listen++] = address + strlen("unix:");
    return 0;
}

static const Option *find_option(const char *word, size_t n)
{
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
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
    const Option *option = find_option(word, equals ? (size_t)(equals - word) : strlen(word));

    if (!option) {
        log_error("there is no option '%s'; see slipway-agent --help", word);
        return -EINVAL;
    }
    if (option->flag) {
        if (equals) {
            log_error("%s takes no value", option->name);
            return -EINVAL;
        }
        *option->flag = true;
        return 0;
    }
    value = equals ? equals + 1 : *at + 1 < argc ? argv[++*at] : NULL;
    if (!value || !*value) {
        log_error("%s needs a value: %s %s", option->name, option->name, option->value);
        return -EINVAL;
    }
    if (!option->text) {
        return take_listen(value);
    }
    *option->text = value;
    return 0;
}

static int parse_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int r = take_option(argc, argv, &i);

        if (r < 0) {
            return r;
        }
    }
    if (arg_is_stdio && arg_n_listen > 0) {
        log_error("--stdio and --listen exclude each other: with --stdio another agent may be the "
                  "one that listens");
        return -EINVAL;
    }
    return 0;
}

/* ---- stopping ---------------------------------------------------------------------------------
 */

static void on_calls_closed(void *userdata)
{
    Agent *agent = userdata;
    sigset_t all;

    agent->calls = NULL;
    /* Nothing is left that takes time; a signal that comes once nobody handles it any more must not
     * make a clean end look like another. */
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    for (size_t i = 0; i < agent->n_signals; i++) {
        uv_close((uv_handle_t *)&agent->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&agent->watchdog, NULL);
    uv_close((uv_handle_t *)&agent->host_key, NULL);
}

static void on_forward_closed(void *userdata)
{
    Agent *agent = userdata;

    agent->forward = NULL;
    calls_close(agent->calls, on_calls_closed, agent);
}

static void on_server_stopped(void *userdata)
{
    Agent *agent = userdata;

    forward_watch_close(agent->forward, on_forward_closed, agent);
}

static void stop(Agent *agent)
{
    if (!agent->is_stopping) {
        agent->is_stopping = true;
        systemd_notify("STOPPING=1");
        server_stop(agent->server, on_server_stopped, agent);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    Agent *agent = handle->data;

    if (!agent->is_stopping) {
        log_info("%s: stopping; calls that run go on, the next agent takes them over",
                 strsignal(number));
        stop(agent);
    }
}

static void on_stdio_ended(void *userdata)
{
    stop(userdata);
}

/* ---- starting ---------------------------------------------------------------------------------
 */

static void on_watchdog(uv_timer_t *timer)
{
    systemd_notify("WATCHDOG=1");
}

static void on_host_key(uv_timer_t *timer)
{
    Agent *agent = timer->data;
    _cleanup_error_ Error problem = {0};

    if (!agent->is_stopping && calls_make_host_key(agent->calls, &problem) < 0) {
        log_warning("this host has no key, so what it does cannot be proved: %s",
                    error_text(&problem));
    }
}

static void watch_process(Agent *agent)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    int64_t watchdog_ms = systemd_watchdog_ms();

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        uv_signal_t *handle = &agent->signals[agent->n_signals];

        if (uv_signal_init(&agent->loop, handle) == 0) {
            handle->data = agent;
            (void)uv_signal_start(handle, on_signal, numbers[i]);
            agent->n_signals++;
        }
    }
    (void)uv_timer_init(&agent->loop, &agent->watchdog); /* cannot fail, neither of them */
    (void)uv_timer_init(&agent->loop, &agent->host_key);
    agent->host_key.data = agent;
    (void)uv_timer_start(&agent->host_key, on_host_key, HOST_KEY_DELAY_MS, 0);
    if (watchdog_ms > 0) {
        (void)uv_timer_start(&agent->watchdog, on_watchdog, (uint64_t)watchdog_ms,
                             (uint64_t)watchdog_ms);
    }
}

static char *own_socket(const Agent *agent)
{
    char *path;

    return asprintf(&path, "%s/agent.sock", agent->config->state_directory) < 0 ? NULL : path;
}

/* The client's descriptors are taken away from where a stray printf would find them. */
static int serve_stdio(Agent *agent, Error *err)
{
    _cleanup_fd_ int in_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, SYSTEMD_FIRST_FD);
    _cleanup_fd_ int out_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, SYSTEMD_FIRST_FD);
    _cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (in_fd < 0 || out_fd < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(null, STDOUT_FILENO) < 0) {
        return error_set_errno(err, -errno, "stdin and stdout");
    }
    return server_serve_take(agent->server, TAKE_FD(in_fd), TAKE_FD(out_fd), on_stdio_ended, agent,
                             err);
}

static int listen_everywhere(Agent *agent, Error *err)
{
    _cleanup_free_ char *own = own_socket(agent);
    int n_passed = systemd_take_listen_fds(err);
    int r = n_passed < 0 ? n_passed
            : own        ? server_listen(agent->server, own, err)
                         : error_set(err, -ENOMEM, "out of memory");

    for (int i = 0; r == 0 && i < n_passed; i++) {
        r = server_listen_fd_take(agent->server, SYSTEMD_FIRST_FD + i, err);
    }
    for (size_t i = 0; r == 0 && i < arg_n_listen; i++) {
        r = server_listen(agent->server, arg_listen[i], err);
    }
    return r == 0 && arg_is_stdio ? serve_stdio(agent, err) : r;
}

/* From here on the loop has handles, so every end goes through stop(). */
static int serve(Agent *agent)
{
    _cleanup_error_ Error problem = {0};
    int r = server_new(&agent->loop, agent->config, agent->calls, &agent->server, &problem);
    int code = EX_OK;

    watch_process(agent);
    r = r == 0 ? forward_watch_open(&agent->loop, agent->config, &agent->forward, &problem) : r;
    r = r == 0 ? listen_everywhere(agent, &problem) : r;
    if (r < 0) {
        log_error("%s", error_text(&problem));
        code = agent->server ? EX_UNAVAILABLE : EX_CONFIG;
    } else if (!arg_is_stdio) {
        log_info("agent '%s' %s is ready, its state is in '%s'", agent->config->name, AGENT_VERSION,
                 agent->config->state_directory);
    }
    if (!agent->server) {
        on_server_stopped(agent);
    } else if (r < 0) {
        stop(agent);
    } else {
        systemd_notify("READY=1");
    }
    (void)uv_run(&agent->loop, UV_RUN_DEFAULT);
    agent->server = server_free(agent->server);
    return code;
}

/* ---- --stdio where another agent is at work ---------------------------------------------------
 */

static int open_calls(Agent *agent, Error *err)
{
    return calls_open(&agent->loop, agent->config, &agent->calls, err);
}

/* The state directory is held. Either its agent answers: *ret_socket is set; or it goes meanwhile
 * and the directory is ours: agent->calls is. */
static int hand_over(Agent *agent, int *ret_socket, Error *err)
{
    _cleanup_free_ char *path = own_socket(agent);
    int64_t deadline = clock_monotonic_ms() + HANDOVER_MS;
    const struct timespec step = {.tv_nsec = HANDOVER_STEP_MS * 1000000L};
    int r = path ? -EWOULDBLOCK : error_set(err, -ENOMEM, "out of memory");

    while (r == -EWOULDBLOCK) {
        _cleanup_error_ Error no_socket = {0}, no_calls = {0};

        if (unix_socket_connect(path, ret_socket, &no_socket) == 0) {
            return 0;
        }
        r = open_calls(agent, &no_calls);
        if (r == -EWOULDBLOCK && clock_monotonic_ms() >= deadline) {
            return error_set(err, r, "%s, and it does not answer: %s", error_text(&no_calls),
                             error_text(&no_socket));
        }
        if (r < 0 && r != -EWOULDBLOCK) {
            return error_set(err, r, "%s", error_text(&no_calls));
        }
        if (r < 0) {
            (void)nanosleep(&step, NULL);
        }
    }
    return r;
}

static int run(Agent *agent)
{
    _cleanup_error_ Error problem = {0};
    _cleanup_fd_ int socket = -1;
    int r = open_calls(agent, &problem);

    if (r == -EWOULDBLOCK && arg_is_stdio) {
        error_done(&problem);
        r = hand_over(agent, &socket, &problem);
    }
    if (r == 0 && socket >= 0) {
        r = bridge_run_take(STDIN_FILENO, STDOUT_FILENO, TAKE_FD(socket), &problem);
        return r < 0 ? (log_error("%s", error_text(&problem)), EX_UNAVAILABLE) : EX_OK;
    }
    if (r < 0) {
        log_error("%s", error_text(&problem));
        return r == -EWOULDBLOCK ? EX_TEMPFAIL : EX_UNAVAILABLE;
    }
    return serve(agent);
}

int main(int argc, char **argv)
{
    _cleanup_error_ Error problem = {0};
    Agent agent = {0};
    int code;

    log_open("slipway-agent");
    if (parse_arguments(argc, argv) < 0) {
        return EX_USAGE;
    }
    if (arg_is_help || arg_is_version) {
        arg_is_help ? show_help() : (void)printf("slipway-agent %s\n", AGENT_VERSION);
        return EX_OK;
    }
    if (agent_config_load(arg_config, arg_state, &agent.config, &problem) < 0) {
        log_error("%s", error_text(&problem));
        return EX_CONFIG;
    }
    if (arg_is_check) {
        printf("the configuration is valid\n");
        agent.config = agent_config_free(agent.config);
        return EX_OK;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&agent.loop) < 0) {
        log_error("making the loop: %s", strerror(errno));
        code = EX_UNAVAILABLE;
    } else {
        code = run(&agent);
        if (uv_loop_close(&agent.loop) < 0) {
            log_debug("the loop still has handles");
        }
    }
    agent.config = agent_config_free(agent.config);
    return code;
}
