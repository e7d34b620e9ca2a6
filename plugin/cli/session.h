/* SPDX-License-Identifier: MIT */
/* One run of the program: its options, its output, its conversation with the agent, and Ctrl-C. */
#pragma once

#include "plugin/cli/options.h"
#include "plugin/cli/output.h"
#include "plugin/include/slipway.h"

/* The exit codes; the text is in main.c's help, and this is the one place that numbers them. */
typedef enum ExitCode {
    EXIT_DONE = 0,
    EXIT_ACTION_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 3,
    EXIT_REFUSED = 4,
    EXIT_TIMED_OUT = 5,
    EXIT_CANCELLED = 6,
} ExitCode;

/* How long a broken connection is tried again while a call runs. */
#define SESSION_RECONNECT_MS 60000

struct Session {
    const Options *options;
    const Command *const *commands;
    Output output;
    SlipwayClient *client;
    int signal_fd; /* -1: signals end the program, as usual */
    unsigned n_interrupts;
    void (*on_interrupt)(Session *session, void *userdata);
    void (*on_event)(Session *session, const SlipwayEvent *event, void *userdata);
    void *userdata; /* of both */
};

int session_init(Session *s, const Options *options, const Command *const *commands);
void session_done(Session *s);

/* Connects and waits for the agent's greeting. 0, or EXIT_UNREACHABLE with everything said. */
int session_connect(Session *s);

/* The same within this time (-1: however long it takes). */
int session_connect_within(Session *s, int timeout_ms);

/* One turn: shows what is buffered, waits, processes. 0, or the exit code with the reason said. */
int session_step(Session *s);

/* From here on (until disarmed) Ctrl-C and SIGTERM are counted and told to on_interrupt. */
void session_arm_signals(Session *s);
void session_disarm_signals(Session *s);

/* A request and its answer, which is the caller's (*ret may be NULL). 0, or the exit code with the
 * reason said. */
int session_request(Session *s, const char *method, const SlipwayJson *params, SlipwayJson **ret);

/* Says an error of the agent's. Returns the exit code for it. */
int session_fail(Session *s, const SlipwayError *error, const char *about);

/* Says why the command line cannot be done. Returns EXIT_USAGE. */
int session_usage(Session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A value as a line of JSON, for --json. `event` (may be NULL) is put before its members. */
void session_print_json(Session *s, const char *event, const SlipwayJson *value);

/* Leaves a value in a file, as one line of JSON. 0, or the exit code with the reason said. */
int session_save_json(Session *s, const SlipwayJson *value, const char *path);

/* "0a1b2c3d4e5f6071": for keys and names that nobody chose. */
#define SESSION_ID_SIZE 17
void session_random_id(char text[SESSION_ID_SIZE]);
