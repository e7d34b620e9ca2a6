/* SPDX-License-Identifier: MIT */
#include "agent/release/decision.h"

#include "agent/release/freeze.h"
#include "protocol/base/clock.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DIGEST_PREFIX "sha256:"

/* While it is made. */
typedef struct Deciding {
    const DecisionRequest *request;
    const char *environment; /* its name */
    const char *hex;         /* of the digest */
    Buffer text;             /* what is missing; empty while all is well */
    const BundleEntry *approval;
} Deciding;

typedef int (*Requirement)(Deciding *d);

/* ---- what is demanded -------------------------------------------------------------------------
 */

static bool is_demanded(const Json *environment, const char *what)
{
    return json_get_bool(json_get(environment, "requires"), what, false);
}

/* The environment in which it has to have run before; NULL: none. */
static const char *staging_of(const Json *environment)
{
    return json_get_string(json_get(environment, "requires"), "staging");
}

/* ---- looking for statements -------------------------------------------------------------------
 */

/* What a statement has to be about to count here. */
typedef struct Wanted {
    StatementKind kind;
    const char *algorithm;
    const char *digest;
    const char *environment; /* NULL: any */
} Wanted;

static bool is_wanted(const Wanted *wanted, const Statement *statement)
{
    const char *environment = statement_environment(statement);

    return statement->root && statement->kind == wanted->kind &&
           statement_is_about(statement, wanted->algorithm, wanted->digest) &&
           (!wanted->environment || (environment && strcmp(environment, wanted->environment) == 0));
}

static const BundleEntry *next_trusted(const Deciding *d, const Wanted *wanted,
                                       const BundleEntry *after)
{
    const Bundle *bundle = d->request->bundle;

    for (size_t i = after ? (size_t)(after - bundle->entries) + 1 : 0; i < bundle->count; i++) {
        const BundleEntry *entry = &bundle->entries[i];

        if (entry->trust == BUNDLE_TRUSTED && is_wanted(wanted, &entry->statement)) {
            return entry;
        }
    }
    return NULL;
}

/* Says why nothing that was brought counts: the nearest miss, then what would mend it. */
static int say_missing(Deciding *d, const Wanted *wanted, const char *what, const char *mend)
{
    const Bundle *bundle = d->request->bundle;
    const BundleEntry *altered = NULL;
    size_t unknown = 0;

    for (size_t i = 0; i < bundle->count; i++) {
        const BundleEntry *entry = &bundle->entries[i];

        if (entry->trust == BUNDLE_WRONG_ROLE && is_wanted(wanted, &entry->statement)) {
            return buffer_append_format(
                &d->text,
                "%s is signed by '%s', which has not the role %s; give it that role in the host's "
                "agent.json, or let a key that has it sign",
                what, entry->signer->name, bundle_role_name(bundle_role_for(wanted->kind)));
        }
        if (entry->trust == BUNDLE_TRUSTED && entry->statement.kind == wanted->kind &&
            !is_wanted(wanted, &entry->statement)) {
            const char *environment = statement_environment(&entry->statement);

            return buffer_append_format(
                &d->text, "%s is missing; there is one, but it is about %s %s%s%s. %s", what,
                wanted->algorithm,
                statement_digest(&entry->statement, wanted->algorithm)
                    ? statement_digest(&entry->statement, wanted->algorithm)
                    : "of another kind",
                environment ? " in " : "", environment ? environment : "", mend);
        }
        unknown += entry->trust == BUNDLE_UNTRUSTED;
        altered = entry->trust == BUNDLE_ALTERED ? entry : altered;
    }
    if (altered) {
        return buffer_append_format(
            &d->text,
            "%s is missing; line %u of the bundle says that '%s' signed it, but the signature does "
            "not hold: it was altered on the way. %s",
            what, altered->line, altered->signer->name, mend);
    }
    if (unknown > 0) {
        return buffer_append_format(&d->text,
                                    "%s is missing; %zu statement%s signed by keys that this host "
                                    "does not know (`keys` in agent.json). %s",
                                    what, unknown, unknown == 1 ? " is" : "s are", mend);
    }
    return buffer_append_format(&d->text, "%s is missing. %s", what, mend);
}

/* ---- the requirements -------------------------------------------------------------------------
 */

static int require_no_freeze(Deciding *d)
{
    _cleanup_error_ Error err = {0};
    const Json *window = NULL;
    const char *reason, *zone;
    int r;

    r = freeze_find(json_get(d->request->environment, "freeze"), d->request->now_us, &window, &err);
    if (r == -ENOMEM) {
        return r;
    }
    if (r < 0) {
        return buffer_append_format(&d->text, "the freezes of '%s' cannot be understood: %s",
                                    d->environment, error_text(&err));
    }
    if (r != FREEZE_ACTIVE) {
        return 0;
    }
    reason = json_get_string(window, "reason");
    zone = json_get_string(window, "timeZone");
    return buffer_append_format(&d->text,
                                "'%s' is frozen from %s to %s (%s)%s%s; wait until then, or change "
                                "`freeze` in the host's agent.json. A rollback is always allowed",
                                d->environment, json_get_string(window, "from"),
                                json_get_string(window, "to"), zone ? zone : "UTC",
                                reason ? ": " : "", reason ? reason : "");
}

static int require_order(Deciding *d)
{
    if (d->request->order != DECISION_ORDER_OLDER) {
        return 0;
    }
    return buffer_append_format(&d->text,
                                "commit %.12s is older than %.12s, which runs in '%s'; to go back, "
                                "call rollback-%s, which says so",
                                d->request->commit ? d->request->commit : "unknown",
                                d->request->running_commit ? d->request->running_commit : "unknown",
                                d->environment, d->environment);
}

static int require_provenance(Deciding *d)
{
    Wanted wanted = {STATEMENT_PROVENANCE, "sha256", d->hex, NULL};
    const BundleEntry *entry = NULL;
    const char *commit = NULL;

    if (!is_demanded(d->request->environment, "provenance")) {
        return 0;
    }
    /* Two commits may make the same bytes. */
    while ((entry = next_trusted(d, &wanted, entry))) {
        commit = statement_commit(&entry->statement);
        if (commit && d->request->commit && strcmp(commit, d->request->commit) == 0) {
            return 0;
        }
    }
    if (commit) {
        return buffer_append_format(&d->text,
                                    "the provenance says that the package is of commit %.12s, the "
                                    "package says %.12s; one of them is not what it seems. Package "
                                    "it again",
                                    commit, d->request->commit ? d->request->commit : "none");
    }
    return say_missing(d, &wanted, "the provenance of this package",
                       "`package` signs it; bring its " BUNDLE_FILE);
}

static int require_tests(Deciding *d)
{
    Wanted wanted = {STATEMENT_TEST_RESULT, "gitCommit",
                     d->request->commit ? d->request->commit : "", NULL};
    const BundleEntry *entry = NULL;
    const char *result = NULL;

    if (!is_demanded(d->request->environment, "tests")) {
        return 0;
    }
    while ((entry = next_trusted(d, &wanted, entry))) {
        result = statement_text(&entry->statement, "/result");
        if (strcmp(result, "PASSED") == 0 &&
            json_length(json_get(entry->statement.predicate, "failedTests")) == 0) {
            return 0;
        }
    }
    if (result) {
        return buffer_append_format(&d->text,
                                    "the tests of commit %.12s did not pass (%s); mend what they "
                                    "found and go this road with that commit",
                                    wanted.digest, result);
    }
    return say_missing(d, &wanted, "a test result of this commit",
                       "`test` signs it; bring its " BUNDLE_FILE);
}

/* The newest of the trusted ones by the text of a member, which is RFC 3339 in UTC. */
static const BundleEntry *newest(const Deciding *d, const Wanted *wanted, const char *pointer)
{
    const BundleEntry *entry = NULL, *found = NULL;

    while ((entry = next_trusted(d, wanted, entry))) {
        if (!found || strcmp(statement_text(&entry->statement, pointer),
                             statement_text(&found->statement, pointer)) > 0) {
            found = entry;
        }
    }
    return found;
}

static int require_staging(Deciding *d)
{
    const char *staging = staging_of(d->request->environment);
    Wanted receipt = {STATEMENT_DEPLOYMENT, "sha256", d->hex, staging};
    Wanted verified = {STATEMENT_VERIFICATION, "sha256", d->hex, staging};
    const BundleEntry *entry;
    char what[256], mend[256];

    if (!staging) {
        return 0;
    }
    if (!next_trusted(d, &receipt, NULL)) {
        (void)snprintf(what, sizeof(what), "the receipt of a deployment of this package to '%s'",
                       staging);
        (void)snprintf(mend, sizeof(mend), "deploy-%s signs it; bring its " BUNDLE_FILE, staging);
        return say_missing(d, &receipt, what, mend);
    }
    entry = newest(d, &verified, "/timeVerified");
    if (!entry) {
        (void)snprintf(what, sizeof(what), "the verification of this package in '%s'", staging);
        (void)snprintf(mend, sizeof(mend), "verify-%s signs it; bring its " BUNDLE_FILE, staging);
        return say_missing(d, &verified, what, mend);
    }
    if (strcmp(statement_text(&entry->statement, "/verificationResult"), "PASSED") != 0) {
        return buffer_append_format(&d->text,
                                    "this package did not pass its verification in '%s' (%s); mend "
                                    "it and go this road with that commit",
                                    staging, statement_text(&entry->statement, "/timeVerified"));
    }
    return 0;
}

/* ---- the approval -----------------------------------------------------------------------------
 */

static int64_t moment(const Statement *statement, const char *pointer)
{
    int64_t us = 0;

    return clock_parse(statement_text(statement, pointer), &us) < 0 ? -1 : us;
}

static const char *short_or(const char *commit, const char *fallback)
{
    return commit ? commit : fallback;
}

/* Fills `text` with what is wrong with this one; leaves it empty where nothing is. */
static int look_at_approval(const Deciding *d, const Statement *approval, Buffer *text)
{
    const DecisionRequest *request = d->request;
    const char *name = statement_text(approval, "/approver/name");
    const char *commit = statement_text(approval, "/commit");
    const char *previous = statement_text(approval, "/previousCommit");
    const char *change = statement_text(approval, "/change/sha256");
    const char *running = request->running_commit;
    int64_t issued = moment(approval, "/issuedOn"), expires = moment(approval, "/expiresOn");

    if (issued < 0 || expires < 0 || expires <= issued) {
        return buffer_append_format(text, "the approval by %s has no sensible time", name);
    }
    if (request->now_us > expires + DECISION_CLOCK_SKEW_US) {
        return buffer_append_format(text, "the approval by %s expired at %s; ask again", name,
                                    statement_text(approval, "/expiresOn"));
    }
    if (request->now_us < issued - DECISION_CLOCK_SKEW_US) {
        return buffer_append_format(text,
                                    "the approval by %s is from the future (%s); set the clocks of "
                                    "this host and the controller",
                                    name, statement_text(approval, "/issuedOn"));
    }
    if (!request->commit || strcmp(commit, request->commit) != 0) {
        return buffer_append_format(text,
                                    "the approval by %s is for commit %.12s, the package is of "
                                    "%.12s; ask again",
                                    name, commit, short_or(request->commit, "none"));
    }
    if (!previous != !running || (previous && strcmp(previous, running) != 0)) {
        return buffer_append_format(text,
                                    "the change has moved since the approval by %s: then %.12s ran "
                                    "in '%s', now %.12s; look at the change and ask again",
                                    name, short_or(previous, "nothing"), d->environment,
                                    short_or(running, "nothing"));
    }
    if (!change && is_demanded(request->environment, "change")) {
        return buffer_append_format(text,
                                    "the approval by %s does not say which change was shown; "
                                    "approve with the text of changes-%s",
                                    name, d->environment);
    }
    if (change && (!request->change_sha256 || strcmp(change, request->change_sha256) != 0)) {
        return buffer_append_format(text,
                                    "the change that was shown to %s is not the one that would be "
                                    "made now; look at it and ask again",
                                    name);
    }
    return 0;
}

/* Any approval that holds will do; of those that do not, the last is told. */
static int require_approval(Deciding *d)
{
    Wanted wanted = {STATEMENT_APPROVAL, "sha256", d->hex, d->environment};
    const BundleEntry *entry = NULL;
    char what[256];
    int r = 0;

    if (!is_demanded(d->request->environment, "approval")) {
        return 0;
    }
    while (r == 0 && (entry = next_trusted(d, &wanted, entry))) {
        buffer_clear(&d->text);
        r = look_at_approval(d, &entry->statement, &d->text);
        if (r == 0 && d->text.len == 0) {
            d->approval = entry;
            return 0;
        }
    }
    if (r < 0 || d->text.len > 0) {
        return r;
    }
    (void)snprintf(what, sizeof(what), "an approval of this package for '%s'", d->environment);
    return say_missing(d, &wanted, what,
                       "A person releases it: `slipway approve`, with the key of an approver");
}

static const Requirement requirements[] = {
    require_no_freeze, require_order,   require_provenance,
    require_tests,     require_staging, require_approval,
};

/* ---- the decision -----------------------------------------------------------------------------
 */

static int say_whose_word(Deciding *d)
{
    const Statement *statement = d->approval ? &d->approval->statement : NULL;
    const char *url = statement ? statement_text(statement, "/approver/url") : NULL;

    if (d->request->is_rollback) {
        return buffer_append_text(&d->text, "allowed: a rollback to what was released before");
    }
    if (!statement) {
        return buffer_append_format(&d->text, "allowed: '%s' demands no approval", d->environment);
    }
    return buffer_append_format(&d->text, "allowed: released by %s%s%s, signed by '%s'",
                                statement_text(statement, "/approver/name"), url ? " at " : "",
                                url ? url : "", d->approval->signer->name);
}

void decision_done(Decision *decision)
{
    free(decision->text);
    *decision = (Decision){0};
}

int decision_make(const DecisionRequest *request, Decision *ret, Error *err)
{
    const char *name = json_get_string(request->environment, "name");
    Deciding d = {
        .request = request,
        .environment = name ? name : "",
        .hex = text_has_prefix(request->digest, DIGEST_PREFIX)
                   ? request->digest + strlen(DIGEST_PREFIX)
                   : request->digest,
    };
    bool is_allowed = true;
    char *taken;
    int r = 0;

    /* Going back is for when things are bad, and takes what was decided on before. */
    for (size_t i = 0;
         !request->is_rollback && r == 0 && is_allowed && i < ARRAY_SIZE(requirements); i++) {
        r = requirements[i](&d);
        is_allowed = d.text.len == 0;
    }
    r = r == 0 && is_allowed ? say_whose_word(&d) : r;
    taken = r < 0 ? NULL : buffer_take_text(&d.text);
    buffer_done(&d.text);
    if (!taken) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret = (Decision){
        .is_allowed = is_allowed,
        .text = taken,
        .approval = is_allowed ? d.approval : NULL,
    };
    return 0;
}
