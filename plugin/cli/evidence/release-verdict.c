/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/release-verdict.h"

#include "plugin/cli/report/moment.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAGING_DEFAULT "staging"
#define ENVIRONMENT_PREFIX "slipway:environment/"
#define DIGEST_PREFIX_LEN (sizeof("sha256:") - 1)
/* Two clocks differ; the host that decides allows as much. */
#define CLOCK_SKEW_US (60 * MOMENT_SECOND_US)

typedef struct Judging {
    const ReleaseQuestion *question;
    const char *hex; /* of the digest */
    const char *staging;
    const char *run; /* a name, or a word in its place */
} Judging;

/* A kind of evidence. */
typedef struct PieceKind {
    const char *name;
    const char *kind;   /* of its statement */
    const char *member; /* of `requires` */
    const char *role;   /* that its key needs */
    bool (*is_about)(const Judging *j, const SlipwayJson *entry);
    /* What is wrong with one that is believed: 0 and an untouched *ret where nothing is. */
    int (*judge)(const Judging *j, const SlipwayJson *entry, char **ret);
    int (*say_mend)(const Judging *j, char **ret);
    bool is_newest; /* the newest counts, not the best */
} PieceKind;

const char *piece_state_name(PieceState state)
{
    static const char *const names[_PIECE_STATE_MAX] = {
        [PIECE_GOOD] = "good",
        [PIECE_BAD] = "bad",
        [PIECE_WRONG_ROLE] = "wrong_role",
        [PIECE_UNKNOWN] = "untrusted",
        [PIECE_MISSING] = "missing",
    };

    return names[state];
}

const char *release_staging_of(const SlipwayJson *requires)
{
    return slipway_json_get_string(requires, "/staging", STAGING_DEFAULT);
}

static int say(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int say(char **ret, const char *format, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vasprintf(ret, format, arguments);
    va_end(arguments);
    if (n < 0) {
        *ret = NULL;
        return -ENOMEM;
    }
    return 0;
}

static bool says(const SlipwayJson *entry, const char *pointer, const char *text)
{
    const char *found = release_said(entry, pointer, NULL);

    return found && text && strcmp(found, text) == 0;
}

/* ---- what each is about -----------------------------------------------------------------------
 */

static bool is_about_package(const Judging *j, const SlipwayJson *entry)
{
    return says(entry, "/subject/0/digest/sha256", j->hex);
}

static bool is_about_commit(const Judging *j, const SlipwayJson *entry)
{
    return says(entry, "/subject/0/digest/gitCommit", j->question->subject->commit);
}

static bool is_in_staging(const Judging *j, const SlipwayJson *entry)
{
    return is_about_package(j, entry) && says(entry, "/predicate/environment", j->staging);
}

static bool is_verified_in_staging(const Judging *j, const SlipwayJson *entry)
{
    const char *resource = release_said(entry, "/predicate/resourceUri", "");
    size_t n = strlen(ENVIRONMENT_PREFIX);

    return is_about_package(j, entry) && strncmp(resource, ENVIRONMENT_PREFIX, n) == 0 &&
           strcmp(resource + n, j->staging) == 0;
}

static bool is_for_environment(const Judging *j, const SlipwayJson *entry)
{
    return is_about_package(j, entry) &&
           says(entry, "/predicate/environment", j->question->environment);
}

/* ---- whether it holds -------------------------------------------------------------------------
 */

static int judge_nothing(const Judging *j, const SlipwayJson *entry, char **ret)
{
    return 0;
}

static int judge_tests(const Judging *j, const SlipwayJson *entry, char **ret)
{
    if (says(entry, "/predicate/result", "PASSED") &&
        slipway_json_get_count(entry, "/statement/predicate/failedTests") == 0) {
        return 0;
    }
    return say(ret, "the tests did not pass");
}

static int judge_verification(const Judging *j, const SlipwayJson *entry, char **ret)
{
    return says(entry, "/predicate/verificationResult", "PASSED")
               ? 0
               : say(ret, "it did not pass its verification in '%s'", j->staging);
}

static bool is_change_demanded(const Judging *j)
{
    const SlipwayJson *requires = j->question->requires;

    return !requires || slipway_json_get_bool(requires, "/change", false);
}

static int judge_approval(const Judging *j, const SlipwayJson *entry, char **ret)
{
    const char *issued = release_said(entry, "/predicate/issuedOn", "");
    const char *expires = release_said(entry, "/predicate/expiresOn", "");
    int64_t from, until;

    if (moment_parse(issued, &from) < 0 || moment_parse(expires, &until) < 0 || until <= from) {
        return say(ret, "it has no sensible time");
    }
    if (j->question->now_us > until + CLOCK_SKEW_US) {
        return say(ret, "it expired at %s", expires);
    }
    if (j->question->now_us < from - CLOCK_SKEW_US) {
        return say(ret, "it is from the future (%s): a clock is wrong", issued);
    }
    if (!says(entry, "/predicate/commit", j->question->subject->commit)) {
        return say(ret, "it is for another commit");
    }
    if (is_change_demanded(j) && !release_said(entry, "/predicate/change/sha256", NULL)) {
        return say(ret, "it does not say which change was shown");
    }
    return 0;
}

/* ---- what brings it ---------------------------------------------------------------------------
 */

static int collect_after(const Judging *j, const char *verb, const char *environment, char **ret)
{
    return say(ret, "slipway call %s%s%s --run %s, then slipway release collect --run %s", verb,
               environment ? "-" : "", environment ? environment : "", j->run, j->run);
}

static int mend_provenance(const Judging *j, char **ret)
{
    return collect_after(j, "package", NULL, ret);
}

static int mend_tests(const Judging *j, char **ret)
{
    return collect_after(j, "test", NULL, ret);
}

static int mend_staging(const Judging *j, char **ret)
{
    return collect_after(j, "deploy", j->staging, ret);
}

static int mend_verification(const Judging *j, char **ret)
{
    return collect_after(j, "verify", j->staging, ret);
}

static int mend_approval(const Judging *j, char **ret)
{
    return say(ret, "slipway approve --env %s --key KEY", j->question->environment);
}

static const PieceKind kinds[RELEASE_PIECES] = {
    [PIECE_PROVENANCE] = {"provenance", "provenance", "/provenance", "builder", is_about_package,
                          judge_nothing, mend_provenance, false},
    [PIECE_TESTS] = {"tests", "test-result", "/tests", "tester", is_about_commit, judge_tests,
                     mend_tests, false},
    [PIECE_STAGING] = {"staging", "deployment", "/staging", "stager", is_in_staging, judge_nothing,
                       mend_staging, false},
    [PIECE_VERIFICATION] = {"verification", "verification", "/staging", "stager",
                            is_verified_in_staging, judge_verification, mend_verification, true},
    [PIECE_APPROVAL] = {"approval", "approval", "/approval", "approver", is_for_environment,
                        judge_approval, mend_approval, false},
};

/* ---- one piece --------------------------------------------------------------------------------
 */

static bool is_demanded(const ReleaseQuestion *question, const char *member)
{
    return !question->requires ||
           slipway_json_get_type(question->requires, member) == SLIPWAY_JSON_STRING ||
           slipway_json_get_bool(question->requires, member, false);
}

static int say_unknown(const Judging *j, const SlipwayJson *entry, char **ret)
{
    const char *id = slipway_json_get_string(entry, "/keyId", NULL);

    return !j->question->has_keys
               ? say(ret, "it is a claim: you named no keys to believe")
               : say(ret, "it is a claim: no key that you believe signed it (it names %.16s)",
                     id ? id : "none");
}

static int judge_entry(const Judging *j, const PieceKind *kind, const SlipwayJson *entry,
                       PieceState *ret, char **ret_reason)
{
    const char *trust = slipway_json_get_string(entry, "/trust", "");
    int r = 0;

    if (strcmp(trust, "wrong_role") == 0) {
        *ret = PIECE_WRONG_ROLE;
        return say(ret_reason, "it is signed by '%s', which has not the role %s",
                   slipway_json_get_string(entry, "/signer", "?"), kind->role);
    }
    if (strcmp(trust, "trusted") != 0) {
        *ret = PIECE_UNKNOWN;
        return say_unknown(j, entry, ret_reason);
    }
    r = kind->judge(j, entry, ret_reason);
    *ret = *ret_reason ? PIECE_BAD : PIECE_GOOD;
    return r;
}

/* Of those that are believed the newest, where that counts; else what is nearer to good. */
static bool is_better(const PieceKind *kind, PieceState state, const SlipwayJson *entry,
                      const ReleasePiece *than)
{
    if (kind->is_newest && state <= PIECE_BAD && than->state <= PIECE_BAD) {
        return strcmp(release_said(entry, "/predicate/timeVerified", ""),
                      release_said(than->entry, "/predicate/timeVerified", "")) > 0;
    }
    return state < than->state;
}

static int find_piece(const Judging *j, const PieceKind *kind, ReleasePiece *piece)
{
    const SlipwayJson *entries = j->question->entries, *entry;
    bool is_elsewhere = false;
    int r = 0;

    for (size_t i = 0; r == 0 && (entry = slipway_json_get_element(entries, i)); i++) {
        PieceState state = PIECE_MISSING;
        char *reason = NULL;

        if (!release_is_kind(entry, kind->kind)) {
            continue;
        }
        if (!kind->is_about(j, entry)) {
            is_elsewhere = true;
            continue;
        }
        r = judge_entry(j, kind, entry, &state, &reason);
        if (r == 0 && is_better(kind, state, entry, piece)) {
            free(piece->reason);
            piece->reason = reason;
            piece->state = state;
            piece->entry = entry;
        } else {
            free(reason);
        }
    }
    if (r == 0 && piece->state == PIECE_MISSING) {
        r = say(&piece->reason, is_elsewhere ? "there is none of this; what there is, is about "
                                               "something else"
                                             : "there is none");
    }
    return r;
}

/* A claim is mended by believing a key, if it deserves it; all else by doing it (again). */
static int say_mend(const Judging *j, const PieceKind *kind, ReleasePiece *piece)
{
    if (piece->state == PIECE_GOOD) {
        return 0;
    }
    if (piece->state == PIECE_UNKNOWN && !j->question->has_keys) {
        return say(&piece->mend, "say whom you believe with --keys FILE");
    }
    if (piece->state == PIECE_UNKNOWN || piece->state == PIECE_WRONG_ROLE) {
        return say(&piece->mend,
                   "the key that signed it in `keys` of agent.json with the role %s (for an "
                   "agent's own: slipway keys)",
                   kind->role);
    }
    return kind->say_mend(j, &piece->mend);
}

void release_verdict_done(ReleaseVerdict *verdict)
{
    for (size_t i = 0; i < RELEASE_PIECES; i++) {
        free(verdict->pieces[i].reason);
        free(verdict->pieces[i].mend);
    }
    *verdict = (ReleaseVerdict){0};
}

int release_verdict_make(const ReleaseQuestion *question, ReleaseVerdict *ret)
{
    const Judging j = {
        .question = question,
        .hex = question->subject->digest + DIGEST_PREFIX_LEN,
        .staging = release_staging_of(question->requires),
        .run = question->subject->run ? question->subject->run : "RUN",
    };
    ReleaseVerdict verdict = {.is_ready = true};
    int r = 0;

    for (size_t i = 0; r == 0 && i < RELEASE_PIECES; i++) {
        ReleasePiece *piece = &verdict.pieces[i];

        *piece = (ReleasePiece){
            .name = kinds[i].name,
            .is_demanded = is_demanded(question, kinds[i].member),
            .state = PIECE_MISSING,
        };
        r = find_piece(&j, &kinds[i], piece);
        r = r < 0 ? r : say_mend(&j, &kinds[i], piece);
        verdict.is_ready &= !piece->is_demanded || piece->state == PIECE_GOOD;
    }
    if (r < 0) {
        release_verdict_done(&verdict);
        return r;
    }
    *ret = verdict;
    return 0;
}
