/* SPDX-License-Identifier: MIT */
/* A session over a socket pair with fake calls behind it, and the client's end to talk to it. The
 * loop is turned by hand, so nothing waits. */
#pragma once

#include "agent/endpoint/dispatch.h"
#include "agent/endpoint/session.h"
#include "tests/unit/endpoint/fake-calls.h"

typedef struct Talk {
    uv_loop_t loop;
    AgentConfig config;
    ActionConfig action;
    Calls *calls;
    Endpoint endpoint;
    Session *session; /* NULL once it has ended */
    int client;       /* -1 after a hang-up */
    Buffer heard;
    size_t taken;
} Talk;

void talk_begin(Talk *t);
void talk_end(Talk *t);

/* The things that Talk is made of, for tests that make their own sessions. */
void talk_begin_endpoint(Talk *t);
void talk_end_endpoint(Talk *t);

void talk_send(Talk *t, const char *text, size_t n);
#define talk_say(t, text) talk_send(t, text "\n", sizeof(text))
void talk_hang_up(Talk *t);

/* Turns the loop until nothing more happens, reading what the agent sends. */
void talk_turn(Talk *t);
/* The same without reading. */
void talk_turn_deaf(Talk *t);

/* Turns, then takes the next line that was heard; "" when there is none. Borrowed until the next.
 */
const char *talk_hear(Talk *t);

/* Past `initialize`. */
void talk_initialize(Talk *t);
