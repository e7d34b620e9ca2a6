/* SPDX-License-Identifier: MIT */
/* May this call change this environment? Decided in one place, from what the host's agent.json
 * demands and what the call brings, before anything is touched.
 *
 * What is demanded is `requires` of an environment:
 *
 *     "requires": {"provenance": true, "tests": true, "staging": "staging", "approval": true,
 *                  "change": true}
 *
 * A member that is missing is not demanded; what an environment demands that says nothing is for
 * who reads agent.json to fill in. Freezes and the order of commits hold everywhere. A rollback
 * goes to a package that this host kept, and on which it decided then: it is always allowed.
 *
 * Requirements are a table in decision.c; each looks at one thing and, where it is not met, says
 * what is missing or wrong and what would mend it. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/evidence/bundle.h"
#include "protocol/json.h"

#include <stdbool.h>

/* How the commit stands to the one that runs. */
typedef enum DecisionOrder {
    DECISION_ORDER_FIRST,   /* nothing runs yet */
    DECISION_ORDER_SAME,    /* the commit that runs */
    DECISION_ORDER_NEWER,   /* what runs is an ancestor, or older by its time */
    DECISION_ORDER_OLDER,   /* what runs is a descendant, or younger by its time */
    DECISION_ORDER_UNKNOWN, /* one of them says no commit and no time */
} DecisionOrder;

/* All borrowed. */
typedef struct DecisionRequest {
    bool is_rollback;           /* declared: goes back to what was released before */
    const Json *environment;    /* the object of agent.json with its `name` */
    const Bundle *bundle;       /* all that was brought, with who signed it */
    const char *digest;         /* "sha256:…", computed from the bytes that would run */
    const char *commit;         /* of the package; NULL: it says none */
    const char *running_commit; /* NULL: nothing runs, or it says none */
    DecisionOrder order;
    const char *change_sha256; /* of the change's text as it is now; NULL: it cannot be told here */
    int64_t now_us;
} DecisionRequest;

/* Two clocks differ; a person's approval is not refused for that much. */
#define DECISION_CLOCK_SKEW_US ((int64_t)60 * 1000000)

typedef struct Decision {
    bool is_allowed;
    char *text; /* allowed: on whose word; refused: the first thing that is missing. Never NULL. */
    const BundleEntry
        *approval; /* that it is allowed on; NULL where none is demanded. Borrowed from
                      the bundle. Its nonce is to be taken before anything is done. */
} Decision;

void decision_done(Decision *decision);
#define _cleanup_decision_ _cleanup_(decision_done)

/* -ENOMEM is the only failure: bad evidence is a refusal. */
int decision_make(const DecisionRequest *request, Decision *ret, Error *err) _must_check_;
