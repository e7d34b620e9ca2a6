/* SPDX-License-Identifier: MIT */
#include "plugin/cli/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static void on_event(SlipwayClient *client, const SlipwayEvent *event, void *userdata)
{
    Session *s = userdata;

    if (s->output.is_json) {
        output_print(&s->output, "{\"event\":\"%s\",", event->name);
        output_write(&s->output, event->text + 1, event->text_len - 1);
        output_write(&s->output, "\n", 1);
    }
    if (s->on_event) {
        s->on_event(s, event, s->userdata);
    }
}

static void on_connection(SlipwayClient *client, bool is_connected, const char *text,
                          void *userdata)
{
    Session *s = userdata;

    output_say(&s->output, is_connected ? "slipway: %s: %s" : "slipway: %s: %s; trying again",
               slipway_client_get_address(client), text);
}

int session_init(Session *s, const Options *options, const Command *const *commands)
{
    *s = (Session){.options = options, .commands = commands, .signal_fd = -1};
    if (output_init(&s->output, options_text(options, "color", "auto"),
                    options_flag(options, "json"), options_flag(options, "quiet")) < 0) {
        return -1;
    }
    s->output.is_raw = options_flag(options, "raw");
    return 0;
}

void session_done(Session *s)
{
    s->on_event = NULL;
    session_disarm_signals(s);
    s->client = slipway_client_free(s->client);
    output_done(&s->output);
}

static int unreachable(Session *s)
{
    const char *address = options_text(s->options, "agent", getenv("SLIPWAY_AGENT"));

    if (address && strncmp(address, "ssh://", strlen("ssh://")) == 0) { /* it says what to do */
        output_say(&s->output, "slipway: no agent: %s", slipway_client_get_error(s->client));
        return EXIT_UNREACHABLE;
    }
    output_say(&s->output,
               "slipway: no agent: %s\n"
               "Start one with `slipway-agent --listen unix:PATH` and name it with --agent or "
               "$SLIPWAY_AGENT,\nor install slipway-agent where PATH finds it.",
               slipway_client_get_error(s->client));
    return EXIT_UNREACHABLE;
}

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int await_greeting(Session *s, int timeout_ms)
{
    int64_t deadline_ms = now_ms() + timeout_ms;
    int r = 0;

    while (r >= 0 && !slipway_client_get_agent(s->client)) {
        int64_t left_ms = timeout_ms < 0 ? -1 : deadline_ms - now_ms();

        if (timeout_ms >= 0 && left_ms <= 0) {
            return -ETIMEDOUT;
        }
        r = slipway_client_wait(s->client, (int)left_ms);
        r = r == -EINTR ? 0 : r;
    }
    return r;
}

int session_connect(Session *s)
{
    return session_connect_within(s, -1);
}

int session_connect_within(Session *s, int timeout_ms)
{
    int r;

    s->client = slipway_client_new("slipway", slipway_version());
    if (!s->client) {
        output_say(&s->output, "slipway: out of memory");
        return EXIT_UNREACHABLE;
    }
    slipway_client_set_event_callback(s->client, on_event, s);
    slipway_client_set_connection_callback(s->client, on_connection, s);
    r = slipway_client_connect(s->client, options_text(s->options, "agent", NULL));
    if (r == -EINVAL) {
        return session_usage(s, "%s", slipway_client_get_error(s->client));
    }
    r = r < 0 ? r : await_greeting(s, timeout_ms);
    if (r == -ETIMEDOUT) {
        output_say(&s->output, "slipway: no agent: %s does not answer",
                   slipway_client_get_address(s->client));
        return EXIT_UNREACHABLE;
    }
    if (r < 0) {
        return unreachable(s);
    }
    slipway_client_set_reconnect(s->client, SESSION_RECONNECT_MS);
    return EXIT_DONE;
}

/* ---- waiting ----------------------------------------------------------------------------------
 */

void session_arm_signals(Session *s)
{
    sigset_t signals;

    if (s->signal_fd >= 0) {
        return;
    }
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signal_fd >= 0) {
        (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    }
    s->n_interrupts = 0;
}

void session_disarm_signals(Session *s)
{
    sigset_t signals;

    if (s->signal_fd < 0) {
        return;
    }
    (void)close(s->signal_fd);
    s->signal_fd = -1;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

/* Once: the command ends what it began. Ctrl-C twice: leave at once. SIGTERM comes twice, too,
 * where a controller ends a tree of processes one by one: it never means that the call may go on.
 */
static int take_signals(Session *s)
{
    struct signalfd_siginfo info;

    while (s->signal_fd >= 0 && read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        bool is_first = s->n_interrupts++ == 0;

        if (!is_first && info.ssi_signo == SIGINT) {
            output_say(&s->output, "slipway: leaving; what runs on the agent's host goes on there");
            return EXIT_CANCELLED;
        }
        if (is_first && s->on_interrupt) {
            s->on_interrupt(s, s->userdata);
        }
    }
    return 0;
}

int session_step(Session *s)
{
    struct pollfd wait[2];
    int r = 0;

    output_flush(&s->output);
    if (s->output.is_broken) {
        output_say(&s->output, "slipway: nobody reads the output any more");
        return EXIT_ACTION_FAILED;
    }
    /* First wait, then process: what a callback found out then ends the caller's loop, instead of
     * waiting for whatever comes after it. */
    wait[0] = (struct pollfd){.fd = slipway_client_get_fd(s->client),
                              .events = slipway_client_get_events(s->client)};
    wait[1] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
    if (poll(wait, 2, slipway_client_get_timeout_ms(s->client)) > 0 && (wait[1].revents & POLLIN)) {
        r = take_signals(s);
    }
    if (r != 0) {
        return r;
    }
    if (slipway_client_process(s->client) < 0) {
        output_say(&s->output, "slipway: %s", slipway_client_get_error(s->client));
        return EXIT_UNREACHABLE;
    }
    return 0;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static int code_of(int error)
{
    switch (error) {
    case SLIPWAY_ERROR_INVALID_PARAMS:
    case SLIPWAY_ERROR_METHOD_NOT_FOUND:
    case SLIPWAY_ERROR_NOT_FOUND:
    case SLIPWAY_ERROR_CONFLICT:
        return EXIT_USAGE;
    case SLIPWAY_ERROR_NOT_ALLOWED:
        return EXIT_REFUSED;
    case SLIPWAY_ERROR_DISCONNECTED:
        return EXIT_UNREACHABLE;
    default:
        return EXIT_ACTION_FAILED;
    }
}

int session_fail(Session *s, const SlipwayError *error, const char *about)
{
    if (s->output.is_json) {
        SlipwayJson *line = slipway_json_new_object();

        (void)slipway_json_set_int(line, "/code", error->code);
        (void)slipway_json_set_string(line, "/message", error->message);
        if (error->data) {
            (void)slipway_json_set(line, "/data", error->data);
        }
        session_print_json(s, "error", line);
        (void)slipway_json_unref(line);
    }
    /* That the connection is gone ends each request, but is said once: by session_step. */
    if (error->code != SLIPWAY_ERROR_DISCONNECTED || slipway_client_get_fd(s->client) >= 0) {
        output_say(&s->output, "%sslipway: %s: %s%s", output_style(&s->output, true, STYLE_BAD),
                   about, error->message, output_plain(&s->output, true));
    }
    return code_of(error->code);
}

typedef struct Asked {
    Session *session;
    const char *method;
    bool is_answered;
    int code;
    SlipwayJson *result;
} Asked;

static void on_answer(SlipwayClient *client, const SlipwayJson *result, const SlipwayError *error,
                      void *userdata)
{
    Asked *asked = userdata;

    asked->is_answered = true;
    if (error) {
        asked->code = session_fail(asked->session, error, asked->method);
    } else {
        asked->result = slipway_json_ref(result);
    }
}

int session_request(Session *s, const char *method, const SlipwayJson *params, SlipwayJson **ret)
{
    Asked asked = {.session = s, .method = method};
    int r = slipway_client_request(s->client, method, params, on_answer, &asked);

    if (r < 0) {
        output_say(&s->output, "slipway: %s: %s", method, slipway_client_get_error(s->client));
        return r == -ENOTCONN ? EXIT_UNREACHABLE : EXIT_ACTION_FAILED;
    }
    /* Nothing but the answer, or the end of the connection, ends this: signals are not armed. */
    while (!asked.is_answered && session_step(s) == 0) {
    }
    if (!asked.is_answered) { /* nobody reads the output: nor would the answer be */
        s->client = slipway_client_free(s->client);
        return EXIT_ACTION_FAILED;
    }
    if (asked.code == EXIT_DONE && ret) {
        *ret = asked.result;
    } else {
        (void)slipway_json_unref(asked.result);
    }
    return asked.code;
}

int session_usage(Session *s, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
    }
    va_end(arguments);
    output_say(&s->output, "slipway: %s\nSee slipway %s%s--help", text ? text : "out of memory",
               s->options->command ? s->options->command->name : "",
               s->options->command ? " " : "");
    free(text);
    return EXIT_USAGE;
}

void session_print_json(Session *s, const char *event, const SlipwayJson *value)
{
    char *text = slipway_json_format(value);

    if (!text) {
        output_say(&s->output, "slipway: out of memory");
        return;
    }
    if (event && text[0] == '{') {
        output_print(&s->output, "{\"event\":\"%s\"%s%s\n", event, text[1] == '}' ? "" : ",",
                     text + 1);
    } else {
        output_print(&s->output, "%s\n", text);
    }
    free(text);
}

int session_save_json(Session *s, const SlipwayJson *value, const char *path)
{
    char *text = slipway_json_format(value);
    FILE *file = text ? fopen(path, "we") : NULL;
    bool is_good = file && fprintf(file, "%s\n", text) > 0;

    if (file && fclose(file) != 0) {
        is_good = false;
    }
    if (!is_good) {
        output_say(&s->output, "slipway: '%s': %s", path, text ? strerror(errno) : "out of memory");
    }
    free(text);
    return is_good ? EXIT_DONE : EXIT_ACTION_FAILED;
}

void session_random_id(char text[SESSION_ID_SIZE])
{
    unsigned char bytes[(SESSION_ID_SIZE - 1) / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        abort(); /* the kernel promises these few bytes */
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
}
