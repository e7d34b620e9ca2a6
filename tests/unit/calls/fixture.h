/* SPDX-License-Identifier: MIT */
/* A state directory of one's own, and the calls in it. The shim is fake-shim.c: an action's command
 * says what it does. */
#pragma once

#include "agent/calls/call.h"

typedef struct Fixture {
    char directory[64];
    uv_loop_t loop;
    AgentConfig *config;
    Calls *calls;
    int fd; /* of `directory` */
} Fixture;

/* `settings` are members of agent.json, "" for none; the actions are added. */
void fixture_init(Fixture *f, const char *settings);
void fixture_done(Fixture *f);

/* As an agent that starts (or dies and starts again). */
void fixture_open(Fixture *f);
void fixture_close(Fixture *f);

/* Turns the loop until `condition`; fails the test where that takes too long. */
void fixture_wait(Fixture *f, bool (*condition)(Fixture *f, void *userdata), void *userdata);
void fixture_wait_state(Fixture *f, Call *call, CallState state);

/* Starts a call and fails the test where that does not work. `run` may be NULL. */
Call *fixture_start(Fixture *f, const char *action, const char *key, const char *run);

/* The value at `pointer` of the call's result, as JSON text; to be freed. */
char *fixture_result(Call *call, const char *pointer);

/* Writes a file below `directory`, with its directories. */
void fixture_write(Fixture *f, const char *path, const char *text);
char *fixture_read(Fixture *f, const char *path);
bool fixture_exists(Fixture *f, const char *path);

/* A call made by hand: its directory with spec.json and nothing else. */
void fixture_write_call(Fixture *f, const char *id, const char *action, const char *key,
                        const char *run);
