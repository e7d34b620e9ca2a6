/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/deploy-evidence.h"

#include "agent/release/decision.h"
#include "agent/release/host-key.h"
#include "agent/release/nonces.h"
#include "agent/runners/deploy/changes-verb.h"
#include "agent/runners/deploy/deploy-bundle.h"
#include "agent/runners/deploy/running.h"
#include "agent/runners/evidence.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIGEST_PREFIX "sha256:"

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- what would change ------------------------------------------------------------------------
 */

typedef struct Change {
    DecisionOrder order;
    char sha256[DIGEST_HEX_SIZE]; /* "" where it cannot be told */
} Change;

/* Without its history a commit is as old as it says. */
static DecisionOrder order_by_time(const Release *release, const Running *running)
{
    int64_t then =
        json_get_int(running->release ? running->release->record : NULL, "committedAt", 0);

    if (!running->is_running) {
        return DECISION_ORDER_FIRST;
    }
    if (then <= 0 || release->committed_at <= 0) {
        return DECISION_ORDER_UNKNOWN;
    }
    return release->committed_at < then ? DECISION_ORDER_OLDER : DECISION_ORDER_NEWER;
}

static DecisionOrder order_by_history(const char *relation, const Release *release,
                                      const Running *running)
{
    static const struct {
        const char *relation;
        DecisionOrder order;
    } orders[] = {
        {"first", DECISION_ORDER_FIRST},
        {"same", DECISION_ORDER_SAME},
        {"forward", DECISION_ORDER_NEWER},
        {"back", DECISION_ORDER_OLDER},
    };

    for (size_t i = 0; relation && i < ARRAY_SIZE(orders); i++) {
        if (strcmp(orders[i].relation, relation) == 0) {
            return orders[i].order;
        }
    }
    return order_by_time(release, running);
}

/* That the change cannot be told is no failure here: the decision says what it means. */
static int find_change(const DeployCall *call, const Release *release, const Running *running,
                       Change *ret, Error *err)
{
    _cleanup_json_ Json *outputs = NULL;
    _cleanup_error_ Error problem = {0};
    const char *text;
    int r = release->repository && release->commit
                ? changes_compute(call->spec, release->repository, release->commit, release->ref,
                                  running, &outputs, &problem)
                : -ENOENT;

    *ret = (Change){.order = order_by_time(release, running)};
    if (r < 0) {
        log_info("the whole change cannot be told here%s%s", problem.code ? ": " : "",
                 problem.code ? error_text(&problem) : "");
        return 0;
    }
    ret->order = order_by_history(json_get_string(outputs, "relation"), release, running);
    text = json_get_string(outputs, "text");
    r = digest_bytes(text, strlen(text), ret->sha256);
    return r < 0 ? error_set_errno(err, r, "cannot digest the change") : 0;
}

/* ---- the decision -----------------------------------------------------------------------------
 */

static int decide_on(const DeployCall *call, const Release *release, const Running *running,
                     const Bundle *bundle, Decision *ret, Error *err)
{
    Change change;
    int r = find_change(call, release, running, &change, err);

    return r < 0 ? r
                 : decision_make(
                       &(DecisionRequest){
                           .environment = call->spec->environment,
                           .bundle = bundle,
                           .digest = release->digest,
                           .commit = release->commit,
                           .running_commit = running_commit(running),
                           .order = change.order,
                           .change_sha256 = change.sha256[0] ? change.sha256 : NULL,
                           .now_us = clock_wall_us(),
                       },
                       ret, err);
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : !a && !b;
}

static int decide_twice(const DeployCall *call, const Release *release, const Bundle *bundle,
                        Decision *ret, Error *err)
{
    _cleanup_running_ Running remembered = RUNNING_INIT, asked = RUNNING_INIT;
    int r = running_remember(call->spec, &remembered, err);

    r = r < 0 ? r : decide_on(call, release, &remembered, bundle, ret, err);
    if (r < 0 || !ret->is_allowed) {
        return r;
    }
    r = running_ask(call->spec, call->report, &asked, err);
    if (r < 0 || is_same(running_digest(&remembered), running_digest(&asked))) {
        return r;
    }
    decision_done(ret);
    return decide_on(call, release, &asked, bundle, ret, err);
}

/* The members of a record about what the call is for; NULL when memory is out. */
static Json *new_members(const DeployCall *call)
{
    Json *members = json_new_object();
    int r = members ? evidence_add_release(members, call->wanted) : -ENOMEM;

    return r < 0 ? json_unref(members) : members;
}

static int record_request(const DeployCall *call, Error *err)
{
    Json *members = new_members(call);

    if (members && call->spec->origin &&
        json_set_take(members, "origin", json_ref((Json *)call->spec->origin)) < 0) {
        members = json_unref(members);
    }
    return evidence_record_take(call->spec, "requested", members, NULL, err);
}

/* Who released it, as the approval has it. */
static int add_approval(const Statement *approval, Json *members)
{
    int r = json_set_take(members, "approver", json_ref(json_get(approval->predicate, "approver")));

    return r < 0 ? r : json_set_string(members, "nonce", statement_text(approval, "/nonce"));
}

static int record_decision(DeployCall *call, const Decision *decision, Error *err)
{
    Json *members = new_members(call);
    int r = members ? json_set_bool(members, "isAllowed", decision->is_allowed) : -ENOMEM;

    r = r < 0 ? r : json_set_string(members, "reason", decision->text);
    if (r == 0 && decision->approval) {
        r = add_approval(&decision->approval->statement, members);
    }
    if (r < 0) {
        (void)json_unref(members);
        return out_of_memory(err);
    }
    return evidence_record_take(call->spec, "decided", members, &call->audit_head, err);
}

static int act_on(const Decision *decision, Error *err)
{
    if (!decision->is_allowed) {
        (void)error_set(err, -EPERM, "%s", decision->text);
        return DEPLOY_CALL_REFUSED;
    }
    (void)printf("%s\n", decision->text);
    (void)fflush(stdout);
    return 0;
}

static int keep_approval(DeployCall *call, const Decision *decision, Error *err)
{
    const Statement *approval = decision->approval ? &decision->approval->statement : NULL;

    if (!approval) {
        return 0;
    }
    call->nonce = strdup(statement_text(approval, "/nonce"));
    call->approver = strdup(statement_text(approval, "/approver/name"));
    return call->nonce && call->approver ? 0 : out_of_memory(err);
}

int deploy_evidence_decide(DeployCall *call, const KeptPackage *package, Error *err)
{
    const Release *release = &package->release;
    _cleanup_trust_ Trust trust = {0};
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_decision_ Decision decision = {0};
    int r;

    call->wanted = evidence_describe_release(release);
    r = call->wanted ? record_request(call, err) : out_of_memory(err);
    r = r < 0 ? r
              : host_key_trust(call->spec->keys_directory, call->spec->agent, call->spec->keys,
                               &trust, err);
    r = r < 0 ? r : deploy_bundle_read(call->spec, &trust, &bundle, err);
    if (r == DEPLOY_BUNDLE_BAD) { /* whoever sends that is told, and it is written down */
        decision.text = strdup(error_text(err));
        error_done(err);
        r = decision.text ? 0 : out_of_memory(err);
    } else {
        r = r < 0 ? r : decide_twice(call, release, &bundle, &decision, err);
    }
    r = r < 0 ? r : record_decision(call, &decision, err);
    r = r < 0 ? r : keep_approval(call, &decision, err);
    return r < 0 ? r : act_on(&decision, err);
}

/* ---- the approval's one use -------------------------------------------------------------------
 */

static int take_nonce(const DeployCall *call, Error *err)
{
    const char *directory = call->spec->audit_directory;
    _cleanup_fd_ int dir_fd = -1;
    int r;

    if (!directory) {
        return error_set(err, -EINVAL,
                         "the call's spec names no directory for the audit log, so "
                         "an approval cannot be marked as used");
    }
    r = file_make_dirs(directory, 0700, err);
    if (r < 0) {
        return r;
    }
    dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0 ? error_set_errno(err, -errno, "cannot open '%s'", directory)
                      : nonces_take(dir_fd, call->nonce, err);
}

int deploy_evidence_use_approval(DeployCall *call, Error *err)
{
    _cleanup_decision_ Decision decision = {0};
    int r = call->nonce ? take_nonce(call, err) : 0;

    if (r != NONCES_SEEN) {
        return r;
    }
    if (asprintf(&decision.text,
                 "the approval by %s was used already (nonce %s); each is good for one deploy. Ask "
                 "again",
                 call->approver, call->nonce) < 0) {
        decision.text = NULL;
        return out_of_memory(err);
    }
    r = record_decision(call, &decision, err);
    return r < 0 ? r : act_on(&decision, err);
}

int deploy_evidence_decide_rollback(DeployCall *call, const Json *record, Error *err)
{
    _cleanup_decision_ Decision decision = {0};
    int r;

    if (json_copy(record, &call->wanted) < 0) {
        return out_of_memory(err);
    }
    r = record_request(call, err);
    r = r < 0 ? r
              : decision_make(
                    &(DecisionRequest){
                        .is_rollback = true,
                        .environment = call->spec->environment,
                        .bundle = &(Bundle){0},
                        .digest = json_get_string(record, "digest"),
                        .now_us = clock_wall_us(),
                    },
                    &decision, err);
    r = r < 0 ? r : record_decision(call, &decision, err);
    return r < 0 ? r : act_on(&decision, err);
}

/* ---- the receipt ------------------------------------------------------------------------------
 */

static int add_anchor(const DeployCall *call, Json *predicate)
{
    Json *audit;
    int r;

    if (call->audit_head.seq == 0) {
        return 0;
    }
    audit = json_new_object();
    r = audit ? json_set_int(audit, "seq", (int64_t)call->audit_head.seq) : -ENOMEM;
    r = r < 0 ? r : json_set_string(audit, "sha256", call->audit_head.sha256);
    if (r < 0) {
        (void)json_unref(audit);
        return r;
    }
    return json_set_take(predicate, "audit", audit);
}

static int add_record(const DeployCall *call, Json *predicate)
{
    const Json *record = call->release;
    const EngineCurrent *current = &call->outcome.current;
    const char *url = json_get_string(call->spec->environment, "url");
    bool is_unchanged = call->outcome.result == DEPLOY_UNCHANGED;
    int r = json_set_string(predicate, "deployment",
                            current->deployment ? current->deployment
                                                : json_get_string(record, "deployment"));

    r = r < 0 ? r : json_set_string(predicate, "name", json_get_string(record, "name"));
    r = r < 0 ? r : json_set_string(predicate, "version", json_get_string(record, "version"));
    r = r < 0 ? r : json_set_string(predicate, "commit", json_get_string(record, "commit"));
    r = r < 0 ? r : json_set_string(predicate, "url", url ? url : current->url);
    r = r < 0 ? r : json_set_int(predicate, "instances", current->counts.healthy);
    r = r < 0 ? r
              : json_set_string(
                    predicate, "previous",
                    is_unchanged ? NULL : json_get_string(json_get(record, "before"), "digest"));
    return r < 0 || !is_unchanged ? r : json_set_bool(predicate, "isUnchanged", true);
}

static Json *receipt(const DeployCall *call)
{
    const Spec *spec = call->spec;
    _cleanup_free_ char *agent = evidence_agent_uri(spec);
    _cleanup_json_ Json *predicate = json_new_object();
    int r = predicate && agent ? 0 : -ENOMEM;

    r = r < 0 ? r : json_set_string(predicate, "environment", spec->environment_name);
    r = r < 0 ? r
              : json_set_string(predicate, "engine", json_get_string(spec->environment, "engine"));
    r = r < 0 ? r : json_set_string(predicate, "agent", agent);
    r = r < 0 ? r : json_set_string(predicate, "call", spec->call);
    r = r < 0 ? r : evidence_set_time(predicate, "startedOn", call->began_at_us);
    r = r < 0 ? r : evidence_set_time(predicate, "finishedOn", clock_wall_us());
    r = r < 0 ? r : add_record(call, predicate);
    r = r < 0 ? r : add_anchor(call, predicate);
    return r < 0 ? NULL : TAKE_PTR(predicate);
}

int deploy_evidence_state(const DeployCall *call, Error *err)
{
    _cleanup_json_ Json *predicate = NULL;
    const char *digest = json_get_string(call->release, "digest");

    if (!digest || !json_get_string(call->release, "commit")) {
        log_info("the package says no commit, so there is no receipt of it");
        return 0;
    }
    predicate = receipt(call);
    return evidence_state(call->spec, call->report, STATEMENT_DEPLOYMENT,
                          &(StatementSubject){
                              .name = json_get_string(call->release, "name"),
                              .algorithm = "sha256",
                              .digest = digest + strlen(DIGEST_PREFIX),
                          },
                          1, predicate, err);
}

/* The record of a release that is running already says what ran before *it*, which is nothing that
 * this call has replaced. */
static const char *replaced_digest(const DeployCall *call)
{
    return call->outcome.result == DEPLOY_UNCHANGED
               ? NULL
               : json_get_string(json_get(call->release, "before"), "digest");
}

void deploy_evidence_record_end(const DeployCall *call, const char *outcome, const char *reason)
{
    Json *members = json_new_object();
    int r = members ? evidence_add_release(members, call->release ? call->release : call->wanted)
                    : -ENOMEM;

    r = r < 0 ? r : json_set_string(members, "previousDigest", replaced_digest(call));
    if (r == 0 && call->outcome.result == DEPLOY_UNCHANGED) {
        r = json_set_bool(members, "isUnchanged", true);
    }
    if (r == 0 && call->outcome.is_restored) {
        r = json_set_bool(members, "isRestored", true);
    }
    if (r < 0) {
        members = json_unref(members);
    }
    evidence_record_end_take(call->spec, call->seconds, outcome, reason, members);
}

/* How long it took, as far as anybody saw. */
static double seconds_since(const Json *record, const char *name)
{
    const char *text = json_get_string(record, name);
    int64_t then_us = 0;

    return text && clock_parse(text, &then_us) == 0 ? (double)(clock_wall_us() - then_us) / 1e6 : 0;
}

void deploy_evidence_record_settled(const DeployCall *call, const Json *record)
{
    const char *outcome = json_get_string(record, "outcome");
    bool has_succeeded = outcome && strcmp(outcome, "succeeded") == 0;
    const char *kind = json_get_string(record, "kind");
    _cleanup_free_ char *action = NULL;
    Json *members;
    int r;

    if (!outcome) {
        return;
    }
    if (asprintf(&action, "%s-%s", kind ? kind : "deploy", call->spec->environment_name) < 0) {
        action = NULL;
    }
    members = json_new_object();
    r = members && action ? evidence_add_release(members, record) : -ENOMEM;
    r = r < 0 ? r : json_set_string(members, "call", json_get_string(record, "call"));
    r = r < 0 ? r : json_set_string(members, "action", action);
    r = r < 0 ? r : json_set_string(members, "run", json_get_string(record, "run"));
    r = r < 0 ? r
              : json_set_string(members, "previousDigest",
                                json_get_string(json_get(record, "before"), "digest"));
    r = r < 0 ? r : json_set_string(members, "settledBy", call->spec->call);
    if (r < 0) {
        members = json_unref(members);
    }
    evidence_record_end_take(call->spec, seconds_since(record, "createdAt"),
                             has_succeeded ? "succeeded" : "failed",
                             has_succeeded ? NULL : json_get_string(record, "reason"), members);
}
