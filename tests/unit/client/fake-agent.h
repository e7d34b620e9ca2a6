/* SPDX-License-Identifier: MIT */
/* An agent whose every word the test says. It lives in the same thread as the client: whoever waits
 * for the client's next line gives it its turns meanwhile, so nothing ever sleeps. */
#pragma once

#include "plugin/include/slipway.h"
#include "protocol/json.h"
#include "protocol/ndjson.h"

typedef struct FakeAgent {
    int fd;       /* the agent's end; -1: nobody is connected */
    int listener; /* -1: a socketpair */
    NdjsonReader reader;
    SlipwayClient *client; /* who is connected */
} FakeAgent;

#define FAKE_AGENT_EMPTY ((FakeAgent){.fd = -1, .listener = -1})

void fake_agent_done(FakeAgent *agent);
#define _cleanup_fake_agent_ _cleanup_(fake_agent_done)

/* A client connected to it by a socketpair. It said `initialize` and waits for the answer. */
SlipwayClient *fake_agent_connect(FakeAgent *agent);

/* For cmocka: *state becomes a FakePair that is connected and greeted. */
typedef struct FakePair {
    FakeAgent agent;
    SlipwayClient *client;
} FakePair;

int fake_pair_setup(void **state);
int fake_pair_teardown(void **state);
#define fake_pair_test(f) cmocka_unit_test_setup_teardown(f, fake_pair_setup, fake_pair_teardown)

/* Listens on the unix socket `path`. */
void fake_agent_listen(FakeAgent *agent, const char *path);

/* Takes the next connection, giving the client its turns; what was before is hung up. */
void fake_agent_accept(FakeAgent *agent, SlipwayClient *client);
void fake_agent_hang_up(FakeAgent *agent);

/* The client's next message, which has to be a request of this method. The caller's. */
Json *fake_agent_expect(FakeAgent *agent, SlipwayClient *client, const char *method);

/* That the client has nothing more to say. */
void fake_agent_expect_silence(FakeAgent *agent, SlipwayClient *client);

/* Takes `initialize` and answers it with the protocol's default limits. */
void fake_agent_greet(FakeAgent *agent, SlipwayClient *client);

/* A line; the line feed is added. */
void fake_agent_say(FakeAgent *agent, const char *format, ...) _printf_(2, 3);

/* The answer to a request; `format` is the result's JSON. */
void fake_agent_answer(FakeAgent *agent, const Json *request, const char *format, ...)
    _printf_(3, 4);
void fake_agent_refuse(FakeAgent *agent, const Json *request, int code, const char *message);

/* The client's turns until it has taken all that was said. Returns the last answer of
 * slipway_client_process. */
int fake_agent_settle(FakeAgent *agent, SlipwayClient *client);
