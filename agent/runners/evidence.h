/* SPDX-License-Identifier: MIT */
/* What a runner states and writes down about the call it is for: a signed statement, handed over as
 * the artifact release.intoto.jsonl, and records of the host's audit log
 * (protocol/evidence/README.md). */
#pragma once

#include "agent/package/release.h"
#include "agent/runners/report.h"
#include "agent/runners/spec.h"
#include "protocol/artifact/digest.h"
#include "protocol/evidence/chain.h"
#include "protocol/evidence/statement.h"

/* "slipway:agent/NAME", to free(). NULL when memory is out. */
char *evidence_agent_uri(const Spec *spec);

/* Signs a statement about `n` subjects with the host's key, writes it as the call's artifact,
 * synced, and reports it. `predicate` is borrowed; NULL is "out of memory". At most one statement
 * for each call. Without a directory of keys in the spec nothing is stated. */
int evidence_state(const Spec *spec, Report *report, StatementKind kind,
                   const StatementSubject *subjects, size_t n, const Json *predicate,
                   Error *err) _must_check_;

/* The SHA-256 of what another call of this host stated, in hexadecimal; false where it stated
 * nothing, or is not here any more. */
bool evidence_find_stated(const Spec *spec, const char *call, char ret[static DIGEST_HEX_SIZE]);

/* Appends `event` to the audit log, with the call's name, action and run put before `members`,
 * which is consumed. *ret_head may be NULL. Without an audit directory in the spec nothing is
 * written. */
int evidence_record_take(const Spec *spec, const char *event, Json *members, ChainHead *ret_head,
                         Error *err) _must_check_;

/* How the call ended: the record `finished`, with `outcome` ("succeeded", "failed", "refused"),
 * `reason` (NULL: none; cut where it is long) and `seconds` put before `members`, which is
 * consumed, as above. That it cannot be written is said in the log, and changes nothing of how it
 * ended. */
void evidence_record_end_take(const Spec *spec, double seconds, const char *outcome,
                              const char *reason, Json *members);

/* What a release is, as a kept release's record has it; NULL when memory is out. */
Json *evidence_describe_release(const Release *release);

/* Puts what a release is to `members`, as a record has it, from what `record` (a kept release's;
 * NULL: nothing) has of it. -ENOMEM. */
int evidence_add_release(Json *members, const Json *record) _must_check_;

/* Sets a moment as RFC 3339. -ENOMEM. */
int evidence_set_time(Json *object, const char *name, int64_t wall_us) _must_check_;
