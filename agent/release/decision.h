/* SPDX-License-Identifier: MIT */
/* May this call change this environment? Decided in one place, from what the host's agent.json
 * demands and what the call brings, before anything is touched.
 *
 * Requirements are a table in decision.c; each looks at one thing and, where it is not met, says
 * what is missing and what would mend it. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>

typedef struct DecisionRequest {
    const char *verb;        /* "deploy" or "rollback" */
    const Json *environment; /* the object of agent.json with its `name` */
    const Json *approval;    /* of the call: `by`, `at`, `url`; NULL: none */
} DecisionRequest;

typedef struct Decision {
    bool is_allowed;
    char *text; /* allowed: on whose word; refused: the first thing that is missing. Never NULL. */
} Decision;

void decision_done(Decision *decision);
#define _cleanup_decision_ _cleanup_(decision_done)

/* -ENOMEM is the only failure: bad evidence is a refusal. */
int decision_make(const DecisionRequest *request, Decision *ret, Error *err) _must_check_;
