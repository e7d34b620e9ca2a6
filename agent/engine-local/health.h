/* SPDX-License-Identifier: MIT */
/* Asks instances how they are: GET over HTTP on loopback, any number at once, within the loop. The
 * one file that includes libcurl. */
#pragma once

#include "agent/engine-local/loop.h"

#include <stdint.h>

typedef struct Health Health;
typedef struct HealthCheck HealthCheck;

/* Called once: `problem` is NULL after an answer of 2xx, else a sentence without an end, as
 * "GET /health: answered 503". The check is gone when this is called. */
typedef void (*HealthFunction)(void *userdata, const char *problem);

int health_new(Loop *loop, Health **ret) _must_check_;
Health *health_free(Health *health); /* after all checks are done or cancelled */
DEFINE_CLEANUP(Health, health_free)

/* Starts one GET of `path` at 127.0.0.1:port. -ENOMEM. */
int health_check(Health *health, uint16_t port, const char *path, int64_t timeout_ms,
                 HealthFunction done, void *userdata, HealthCheck **ret) _must_check_;

/* Ends it without calling back. NULL is nothing. Returns NULL. */
HealthCheck *health_cancel(HealthCheck *check);
