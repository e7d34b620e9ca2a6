/* SPDX-License-Identifier: MIT */
/* A docker that says what a test wrote, for the tests of the swarm engine. */
#pragma once

#include "agent/deploy/engine.h"
#include "tests/unit/http/scripted-server.h"

#define SWARM_ANSWERS_MAX 8

/* A status and a body; of a body that begins with "HTTP/" the whole answer, as it stands. */
typedef struct SwarmAnswer {
    int status;
    const char *body;
} SwarmAnswer;

typedef struct SwarmTalk {
    ScriptedServer server;
    Json *environment;
    char *answers[SWARM_ANSWERS_MAX];
    Error err;
} SwarmTalk;

/* One answer for each request, up to one without a body. */
void swarm_talk_start(SwarmTalk *talk, const SwarmAnswer *answers);

/* The next request was `wanted`, up to where that ends. */
void swarm_talk_assert_asked(SwarmTalk *talk, const char *wanted);
void swarm_talk_assert_silence(SwarmTalk *talk);
void swarm_talk_stop(SwarmTalk *talk);

/* The text as JSON, with ' for ". */
Json *swarm_json(const char *text);
