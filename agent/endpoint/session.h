/* SPDX-License-Identifier: MIT */
/* One connection with a controller, from its first byte to its end.
 *
 * All progress is made in one place (session.c, `run`): what waits is sent, lines become answers
 * while the window has room, then calls that are followed fill what is left. Everything else only
 * says that there may be something to do. A session frees itself when its descriptors are closed,
 * after telling its owner. */
#pragma once

#include "agent/calls/calls.h"
#include "agent/endpoint/channel.h"
#include "agent/endpoint/open-artifact.h"
#include "agent/endpoint/subscription.h"
#include "agent/endpoint/waiting.h"
#include "protocol/ndjson.h"

#include <sys/queue.h>

/* `maxLineBytes` of the protocol. */
#define SESSION_LINE_MAX ((size_t)1 << 20)

/* What one read takes. */
#define SESSION_READ_SIZE ((size_t)64 << 10)

/* What all sessions of an agent share; borrowed from the server. */
typedef struct Endpoint {
    uv_loop_t *loop;
    const AgentConfig *config;
    Calls *calls;
    struct MethodSchemas *schemas;
    char *read_buffer; /* SESSION_READ_SIZE bytes, used within one callback */
    int64_t started_ms;
} Endpoint;

typedef enum SessionState {
    SESSION_NEW,      /* only `initialize` and `ping` are answered */
    SESSION_READY,    /* everything is */
    SESSION_DRAINING, /* nothing is taken any more; what waits is sent, within a time */
    SESSION_CLOSED,
    _SESSION_STATE_MAX,
} SessionState;

typedef struct Session Session;

struct Session {
    TAILQ_ENTRY(Session) link; /* the server's */
    Endpoint *endpoint;
    SessionState state;
    Channel channel;
    NdjsonReader reader;
    Subscriptions subscriptions;
    Waiting waiting;
    OpenArtifact artifact;
    uv_timer_t drain_timer;
    unsigned n_open;        /* channel and timer */
    bool is_input_over;     /* the client will send no more */
    bool has_lines;         /* that wait for room in the window */
    bool is_turn_of_events; /* else requests come first */
    void (*ended)(Session *session, void *userdata);
    void *userdata;
};

/* Takes the descriptors (equal for a socket), also on failure. `ended` is called once, from the
 * loop, just before the session frees itself; where a session was made and then failed, too (*ret
 * is set). */
int session_open_take(Endpoint *endpoint, int in_fd, int out_fd,
                      void (*ended)(Session *session, void *userdata), void *userdata,
                      Session **ret, Error *err) _must_check_;

/* The agent goes: requests that wait are answered with an error, what waits is sent within a short
 * time, then the session ends. */
void session_stop(Session *session);

/* For methods: `initialize` was answered; the connection ends once the answers are out. */
void session_set_initialized(Session *session);
void session_drain(Session *session);
