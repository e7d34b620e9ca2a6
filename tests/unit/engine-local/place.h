/* SPDX-License-Identifier: MIT */
/* What a test of the engine stands on: a temporary directory, a loop, and what instances share. */
#pragma once

#include "agent/engine-local/instance.h"

#include <stdbool.h>

typedef struct Place {
    char path[40];
    Loop *loop;
    InstanceHost host;
} Place;

/* cmocka's setup and teardown; the state is a Place. */
int place_set_up(void **state);
int place_tear_down(void **state);

/* Steps the loop until the condition holds. False after half a minute. */
bool place_wait(Place *place, bool (*condition)(void *userdata), void *userdata);

/* A specification of "app" that runs `command` (JSON), with `more` members (NULL or ",…"). */
Specification *place_specification(const char *command, const char *more);

/* A listening socket on a free port of 127.0.0.1. */
int place_listen(uint16_t *ret_port);

/* The command of a service that listens on PORT and answers every request with 200 (service.c), as
 * JSON; borrowed until the next call. `argument` may be NULL. */
const char *place_server(const char *argument);
