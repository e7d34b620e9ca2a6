/* SPDX-License-Identifier: MIT */
/* Would a deploy take this bundle, as far as it can be told away from the host that decides? For
 * each piece of evidence: is it there, is it believed, does it hold, and if not, what brings it.
 *
 * What only the host knows (what runs, freezes, whether an approval was used) is not looked at. */
#pragma once

#include "plugin/cli/evidence/release-subject.h"

typedef enum PieceState {
    PIECE_GOOD,
    PIECE_BAD, /* believed, but it says the wrong thing: a failed test, an expired approval */
    PIECE_WRONG_ROLE, /* a key that you believe signed what it may not say */
    PIECE_UNKNOWN,    /* no key that you believe signed it: a claim */
    PIECE_MISSING,
    _PIECE_STATE_MAX,
} PieceState;

const char *piece_state_name(PieceState state); /* "good", "bad", "wrong_role", … */

typedef enum PieceIndex {
    PIECE_PROVENANCE,
    PIECE_TESTS,
    PIECE_STAGING,
    PIECE_VERIFICATION,
    PIECE_APPROVAL,
    RELEASE_PIECES,
} PieceIndex;

typedef struct ReleasePiece {
    const char *name; /* "provenance", "tests", … */
    bool is_demanded;
    PieceState state;
    const SlipwayJson *entry; /* the one that counts; NULL: missing. Borrowed. */
    char *reason;             /* what is wrong; NULL where it is good */
    char *mend;               /* what would mend it; NULL where it is good */
} ReleasePiece;

typedef struct ReleaseVerdict {
    ReleasePiece pieces[RELEASE_PIECES];
    bool is_ready; /* all that is demanded is good */
} ReleaseVerdict;

void release_verdict_done(ReleaseVerdict *verdict);

typedef struct ReleaseQuestion {
    const SlipwayJson *entries; /* slipway_bundle_read, with the keys that are believed */
    const ReleaseSubject *subject;
    const char *environment;     /* to deploy to */
    const SlipwayJson *requires; /* of that environment in agent.json; NULL: all of it */
    bool has_keys;               /* some are believed */
    int64_t now_us;
} ReleaseQuestion;

/* Everything is borrowed. -ENOMEM. */
int release_verdict_make(const ReleaseQuestion *question, ReleaseVerdict *ret);

/* The environment that it has to have run in before. */
const char *release_staging_of(const SlipwayJson *requires);
