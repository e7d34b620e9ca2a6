/* SPDX-License-Identifier: MIT */
#include "agent/release/decision.h"

#include "protocol/base/clock.h"
#include "protocol/evidence/dsse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OTHER_HEX "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define COMMIT "d20ace7968ba43c0219f62d71334c1095bab1602"
#define OTHER_COMMIT "1111111111111111111111111111111111111111"
#define RUNNING "2222222222222222222222222222222222222222"
#define CHANGE "3333333333333333333333333333333333333333333333333333333333333333"
#define NOW "2026-11-25T10:00:00Z"
/* The whole bar. */
#define ALL                                                                                        \
    "{\"name\":\"prod\",\"requires\":{\"provenance\":true,\"tests\":true,\"staging\":\"staging\"," \
    "\"approval\":true,\"change\":true}}"

enum { BUILDER, TESTER, STAGER, APPROVER, STRANGER, KEYS };

static Key *keys[KEYS];
static TrustedKey trusted[] = {
    {.name = "builder", .roles = KEY_ROLE_BUILDER},
    {.name = "tester", .roles = KEY_ROLE_TESTER},
    {.name = "stager", .roles = KEY_ROLE_STAGER},
    {.name = "controller", .roles = KEY_ROLE_APPROVER},
};

static int set_up(void **state)
{
    for (int i = 0; i < KEYS; i++) {
        if (key_generate(&keys[i], NULL) < 0) {
            return -1;
        }
    }
    for (int i = 0; i < STRANGER; i++) {
        trusted[i].key = keys[i];
    }
    return 0;
}

static int tear_down(void **state)
{
    for (int i = 0; i < KEYS; i++) {
        keys[i] = key_free(keys[i]);
    }
    return 0;
}

/* Predicates with what a case changes in them. */
static char *format(const char *text, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *text, ...)
{
    char *out = NULL;
    va_list arguments;

    va_start(arguments, text);
    assert_true(vasprintf(&out, text, arguments) >= 0);
    va_end(arguments);
    return out;
}

static char *provenance(const char *commit)
{
    return format("{\"buildDefinition\":{\"buildType\":\"slipway:package/v1\","
                  "\"externalParameters\":{\"repository\":\"r\"},\"resolvedDependencies\":["
                  "{\"uri\":\"git+r\",\"digest\":{\"gitCommit\":\"%s\"}}]},\"runDetails\":"
                  "{\"builder\":{\"id\":\"slipway:agent/b\"},\"metadata\":{\"invocationId\":\"c\","
                  "\"startedOn\":\"" NOW "\",\"finishedOn\":\"" NOW "\"}}}",
                  commit);
}

static char *test_result(const char *result)
{
    return format("{\"result\":\"%s\",\"configuration\":[]}", result);
}

static char *receipt(const char *environment)
{
    return format("{\"environment\":\"%s\",\"engine\":\"local\",\"deployment\":\"d\",\"commit\":"
                  "\"" COMMIT "\",\"agent\":\"slipway:agent/s\",\"call\":\"c\",\"startedOn\":\"" NOW
                  "\",\"finishedOn\":\"" NOW "\"}",
                  environment);
}

static char *verification(const char *environment, const char *result, const char *when)
{
    return format(
        "{\"verifier\":{\"id\":\"slipway:agent/s\"},\"timeVerified\":\"%s\","
        "\"resourceUri\":\"slipway:environment/%s\",\"policy\":{\"uri\":\"slipway:verify\"}"
        ",\"verificationResult\":\"%s\",\"verifiedLevels\":[]}",
        when, environment, result);
}

/* `more` are members that stand at the end. */
static char *approval(const char *environment, const char *issued, const char *expires,
                      const char *commit, const char *more)
{
    return format(
        "{\"approver\":{\"name\":\"Ada\",\"url\":\"https://ci.example/7\"},"
        "\"environment\":\"%s\",\"issuedOn\":\"%s\",\"expiresOn\":\"%s\",\"commit\":\"%s\","
        "\"nonce\":\"00112233445566778899aabbccddeeff\"%s}",
        environment, issued, expires, commit, more);
}

static void add(Buffer *out, int key, StatementKind kind, const char *algorithm, const char *digest,
                char *predicate_take)
{
    _cleanup_free_ char *text = predicate_take;
    _cleanup_json_ Json *predicate = NULL;
    _cleanup_buffer_ Buffer payload = {0};

    assert_int_equal(json_parse(text, strlen(text), &predicate, NULL), 0);
    assert_int_equal(statement_format(kind, &(StatementSubject){"greeter", algorithm, digest}, 1,
                                      predicate, &payload, NULL),
                     0);
    assert_int_equal(dsse_append_signed(out, keys[key], payload.data, payload.len, NULL), 0);
}

/* Which of the whole evidence a case leaves out. */
enum {
    NO_PROVENANCE = 1 << 0,
    NO_TESTS = 1 << 1,
    NO_RECEIPT = 1 << 2,
    NO_VERIFICATION = 1 << 3,
    NO_APPROVAL = 1 << 4,
};

static char *good_approval(void)
{
    return approval("prod", "2026-11-25T09:30:00Z", "2026-11-25T10:30:00Z", COMMIT,
                    ",\"previousCommit\":\"" RUNNING "\",\"change\":{\"sha256\":\"" CHANGE "\"}");
}

static void add_all_but(Buffer *out, unsigned left_out)
{
    if (!(left_out & NO_PROVENANCE)) {
        add(out, BUILDER, STATEMENT_PROVENANCE, "sha256", HEX, provenance(COMMIT));
    }
    if (!(left_out & NO_TESTS)) {
        add(out, TESTER, STATEMENT_TEST_RESULT, "gitCommit", COMMIT, test_result("PASSED"));
    }
    if (!(left_out & NO_RECEIPT)) {
        add(out, STAGER, STATEMENT_DEPLOYMENT, "sha256", HEX, receipt("staging"));
    }
    if (!(left_out & NO_VERIFICATION)) {
        add(out, STAGER, STATEMENT_VERIFICATION, "sha256", HEX,
            verification("staging", "PASSED", NOW));
    }
    if (!(left_out & NO_APPROVAL)) {
        add(out, APPROVER, STATEMENT_APPROVAL, "sha256", HEX, good_approval());
    }
}

/* What the request of a case differs in from a good one. */
typedef struct Difference {
    const char *environment;
    bool is_rollback;
    DecisionOrder order; /* 0 (first) stands for newer */
    const char *running;
    const char *change;
} Difference;

/* Decides, and checks: NULL is allowed, else the refusal has to say this. */
static void decide(const Buffer *text, const Difference *difference, const char *refusal)
{
    _cleanup_json_ Json *environment = NULL;
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_decision_ Decision decision = {0};
    const char *config = difference->environment ? difference->environment : ALL;
    DecisionRequest request = {
        .is_rollback = difference->is_rollback,
        .bundle = &bundle,
        .digest = "sha256:" HEX,
        .commit = COMMIT,
        .running_commit = difference->running ? difference->running : RUNNING,
        .order = difference->order ? difference->order : DECISION_ORDER_NEWER,
        .change_sha256 = difference->change ? difference->change : CHANGE,
    };

    assert_int_equal(json_parse(config, strlen(config), &environment, NULL), 0);
    assert_int_equal(
        bundle_add(&bundle, buffer_text(text), text->len, trusted, ARRAY_SIZE(trusted), NULL), 0);
    assert_int_equal(clock_parse(NOW, &request.now_us), 0);
    request.environment = environment;
    assert_int_equal(decision_make(&request, &decision, NULL), 0);
    if (!refusal) {
        if (!decision.is_allowed) {
            fail_msg("refused: %s", decision.text);
        }
        return;
    }
    assert_false(decision.is_allowed);
    assert_null(decision.approval);
    if (!strstr(decision.text, refusal)) {
        fail_msg("'%s' does not say '%s'", decision.text, refusal);
    }
}

static void test_whole_evidence_is_allowed_on_somebodys_word(void **state)
{
    _cleanup_json_ Json *environment = NULL;
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_decision_ Decision decision = {0};
    _cleanup_buffer_ Buffer text = {0};
    DecisionRequest request = {.bundle = &bundle,
                               .digest = "sha256:" HEX,
                               .commit = COMMIT,
                               .running_commit = RUNNING,
                               .order = DECISION_ORDER_NEWER,
                               .change_sha256 = CHANGE};

    add_all_but(&text, 0);
    assert_int_equal(json_parse(ALL, strlen(ALL), &environment, NULL), 0);
    request.environment = environment;
    assert_int_equal(bundle_add(&bundle, text.data, text.len, trusted, ARRAY_SIZE(trusted), NULL),
                     0);
    assert_int_equal(clock_parse(NOW, &request.now_us), 0);
    assert_int_equal(decision_make(&request, &decision, NULL), 0);
    assert_true(decision.is_allowed);
    assert_non_null(strstr(decision.text, "released by Ada at https://ci.example/7"));
    assert_int_equal(decision.approval->statement.kind, STATEMENT_APPROVAL);
}

static void test_each_missing_piece_is_named(void **state)
{
    static const struct {
        unsigned left_out;
        const char *refusal;
    } cases[] = {
        {NO_PROVENANCE, "the provenance of this package is missing"},
        {NO_TESTS, "a test result of this commit is missing"},
        {NO_RECEIPT, "the receipt of a deployment of this package to 'staging' is missing"},
        {NO_VERIFICATION, "the verification of this package in 'staging' is missing"},
        {NO_APPROVAL, "an approval of this package for 'prod' is missing"},
        {~0u, "the provenance of this package is missing"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buffer_ Buffer text = {0};

        add_all_but(&text, cases[i].left_out);
        decide(&text, &(Difference){0}, cases[i].refusal);
    }
}

/* One statement in the place of the good one of its kind. */
static void test_each_wrong_piece_is_named(void **state)
{
    struct {
        unsigned left_out;
        int key;
        StatementKind kind;
        const char *algorithm;
        const char *digest;
        char *predicate;
        const char *refusal;
    } cases[] = {
        {NO_PROVENANCE, BUILDER, STATEMENT_PROVENANCE, "sha256", OTHER_HEX, provenance(COMMIT),
         "there is one, but it is about sha256 " OTHER_HEX},
        {NO_PROVENANCE, BUILDER, STATEMENT_PROVENANCE, "sha256", HEX, provenance(OTHER_COMMIT),
         "one of them is not what it seems"},
        {NO_PROVENANCE, TESTER, STATEMENT_PROVENANCE, "sha256", HEX, provenance(COMMIT),
         "signed by 'tester', which has not the role builder"},
        {NO_PROVENANCE, STRANGER, STATEMENT_PROVENANCE, "sha256", HEX, provenance(COMMIT),
         "1 statement is signed by keys that this host does not know"},
        {NO_TESTS, TESTER, STATEMENT_TEST_RESULT, "gitCommit", OTHER_COMMIT, test_result("PASSED"),
         "about gitCommit " OTHER_COMMIT},
        {NO_TESTS, TESTER, STATEMENT_TEST_RESULT, "gitCommit", COMMIT, test_result("FAILED"),
         "did not pass (FAILED)"},
        {NO_TESTS, BUILDER, STATEMENT_TEST_RESULT, "gitCommit", COMMIT, test_result("PASSED"),
         "has not the role tester"},
        {NO_RECEIPT, STAGER, STATEMENT_DEPLOYMENT, "sha256", HEX, receipt("other"), "in other"},
        {NO_RECEIPT, STAGER, STATEMENT_DEPLOYMENT, "sha256", OTHER_HEX, receipt("staging"),
         OTHER_HEX},
        {NO_VERIFICATION, STAGER, STATEMENT_VERIFICATION, "sha256", HEX,
         verification("staging", "FAILED", NOW), "did not pass its verification in 'staging'"},
        {NO_VERIFICATION, STAGER, STATEMENT_VERIFICATION, "sha256", HEX,
         verification("prod", "PASSED", NOW), "in prod"},
        {0, STAGER, STATEMENT_VERIFICATION, "sha256", HEX,
         verification("staging", "FAILED", "2026-11-25T11:00:00Z"), "did not pass"},
        {NO_APPROVAL, STAGER, STATEMENT_APPROVAL, "sha256", HEX, good_approval(),
         "has not the role approver"},
        {NO_APPROVAL, APPROVER, STATEMENT_APPROVAL, "sha256", OTHER_HEX, good_approval(),
         OTHER_HEX},
        {NO_APPROVAL, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
         approval("staging", "2026-11-25T09:30:00Z", "2026-11-25T10:30:00Z", COMMIT, ""),
         "an approval of this package for 'prod' is missing; there is one, but it is about "
         "sha256 " HEX " in staging"},
        {NO_APPROVAL, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
         approval("prod", "2026-11-25T08:30:00Z", "2026-11-25T09:58:59Z", COMMIT, ""),
         "expired at 2026-11-25T09:58:59Z"},
        {NO_APPROVAL, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
         approval("prod", "2026-11-25T10:01:01Z", "2026-11-25T11:00:00Z", COMMIT, ""),
         "from the future"},
        {NO_APPROVAL, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
         approval("prod", "2026-11-25T10:01:00Z", "2026-11-25T09:00:00Z", COMMIT, ""),
         "no sensible time"},
        {NO_APPROVAL, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
         approval("prod", "2026-11-25T09:30:00Z", "2026-11-25T10:30:00Z", OTHER_COMMIT, ""),
         "is for commit 111111111111"},
        {NO_APPROVAL, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
         approval("prod", "2026-11-25T09:30:00Z", "2026-11-25T10:30:00Z", COMMIT, ""),
         "then nothing ran in 'prod', now 222222222222"},
        {NO_APPROVAL, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
         approval("prod", "2026-11-25T09:30:00Z", "2026-11-25T10:30:00Z", COMMIT,
                  ",\"previousCommit\":\"" OTHER_COMMIT "\""),
         "the change has moved since the approval by Ada"},
        {NO_APPROVAL, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
         approval("prod", "2026-11-25T09:30:00Z", "2026-11-25T10:30:00Z", COMMIT,
                  ",\"previousCommit\":\"" RUNNING "\",\"change\":{\"sha256\":\"" HEX "\"}"),
         "the change that was shown to Ada is not the one"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buffer_ Buffer text = {0};

        add_all_but(&text, cases[i].left_out);
        add(&text, cases[i].key, cases[i].kind, cases[i].algorithm, cases[i].digest,
            cases[i].predicate);
        decide(&text, &(Difference){0}, cases[i].refusal);
    }
}

static void test_clocks_may_differ_by_a_minute(void **state)
{
    static const char *const times[][2] = {{"2026-11-25T08:30:00Z", "2026-11-25T09:59:00Z"},
                                           {"2026-11-25T10:01:00Z", "2026-11-25T11:00:00Z"}};

    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        _cleanup_buffer_ Buffer text = {0};

        add_all_but(&text, NO_APPROVAL);
        add(&text, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
            approval("prod", times[i][0], times[i][1], COMMIT,
                     ",\"previousCommit\":\"" RUNNING "\",\"change\":{\"sha256\":\"" CHANGE "\"}"));
        decide(&text, &(Difference){0}, NULL);
    }
}

static void test_one_good_approval_among_stale_ones_is_enough(void **state)
{
    _cleanup_buffer_ Buffer text = {0};

    add(&text, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
        approval("prod", "2026-11-25T07:00:00Z", "2026-11-25T08:00:00Z", COMMIT, ""));
    add_all_but(&text, 0);
    add(&text, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
        approval("prod", "2026-11-25T07:00:00Z", "2026-11-25T08:00:00Z", COMMIT, ""));
    decide(&text, &(Difference){0}, NULL);
}

static void test_two_commits_may_make_the_same_bytes(void **state)
{
    _cleanup_buffer_ Buffer text = {0};

    add(&text, BUILDER, STATEMENT_PROVENANCE, "sha256", HEX, provenance(OTHER_COMMIT));
    add_all_but(&text, 0);
    decide(&text, &(Difference){0}, NULL);
}

static void test_a_test_that_passed_the_second_time_passed(void **state)
{
    _cleanup_buffer_ Buffer text = {0};

    add(&text, TESTER, STATEMENT_TEST_RESULT, "gitCommit", COMMIT, test_result("FAILED"));
    add_all_but(&text, 0);
    decide(&text, &(Difference){0}, NULL);
}

static void test_what_an_environment_demands(void **state)
{
    static const struct {
        const char *environment;
        unsigned left_out;
        const char *refusal;
    } cases[] = {
        {"{\"name\":\"staging\"}", ~0u, NULL},
        {"{\"name\":\"prod\",\"requires\":{}}", ~0u, NULL},
        {"{\"name\":\"staging\",\"requires\":{\"tests\":true}}", ~0u, "a test result"},
        {"{\"name\":\"prod\",\"requires\":{\"approval\":true}}", ~0u & ~(unsigned)NO_APPROVAL,
         NULL},
        {"{\"name\":\"prod\",\"requires\":{\"staging\":\"qa\"}}", 0, "'qa' is missing"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buffer_ Buffer text = {0};

        add_all_but(&text, cases[i].left_out);
        decide(&text, &(Difference){.environment = cases[i].environment}, cases[i].refusal);
    }
}

static void test_a_change_has_to_have_been_shown_where_that_is_demanded(void **state)
{
    _cleanup_buffer_ Buffer text = {0};

    add(&text, APPROVER, STATEMENT_APPROVAL, "sha256", HEX,
        approval("prod", "2026-11-25T09:30:00Z", "2026-11-25T10:30:00Z", COMMIT,
                 ",\"previousCommit\":\"" RUNNING "\""));
    decide(&text,
           &(Difference){.environment = "{\"name\":\"prod\",\"requires\":{\"approval\":true,"
                                        "\"change\":true}}"},
           "does not say which change was shown");
}

static void test_an_older_commit_is_a_rollback_or_nothing(void **state)
{
    _cleanup_buffer_ Buffer text = {0};

    add_all_but(&text, 0);
    decide(&text, &(Difference){.order = DECISION_ORDER_OLDER}, "call rollback-prod");
    decide(&text, &(Difference){.order = DECISION_ORDER_OLDER, .is_rollback = true}, NULL);
    decide(&(Buffer){0}, &(Difference){.is_rollback = true}, NULL);
    decide(&(Buffer){0},
           &(Difference){.environment = "{\"name\":\"staging\"}", .order = DECISION_ORDER_OLDER},
           "older");
}

static void test_a_frozen_environment(void **state)
{
    static const char frozen[] =
        "{\"name\":\"prod\",\"requires\":{},\"freeze\":[{\"from\":\"Wed 08:00\",\"to\":\"Thu "
        "08:00\",\"timeZone\":\"Europe/Berlin\",\"reason\":\"audit\"}]}";
    static const char broken[] = "{\"name\":\"prod\",\"requires\":{},\"freeze\":[{\"from\":\"now\","
                                 "\"to\":\"then\"}]}";
    _cleanup_buffer_ Buffer text = {0};

    decide(&text, &(Difference){.environment = frozen}, "frozen from Wed 08:00 to Thu 08:00");
    decide(&text, &(Difference){.environment = frozen, .is_rollback = true}, NULL);
    decide(&text, &(Difference){.environment = broken}, "cannot be understood");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_evidence_is_allowed_on_somebodys_word),
        cmocka_unit_test(test_each_missing_piece_is_named),
        cmocka_unit_test(test_each_wrong_piece_is_named),
        cmocka_unit_test(test_clocks_may_differ_by_a_minute),
        cmocka_unit_test(test_one_good_approval_among_stale_ones_is_enough),
        cmocka_unit_test(test_two_commits_may_make_the_same_bytes),
        cmocka_unit_test(test_a_test_that_passed_the_second_time_passed),
        cmocka_unit_test(test_what_an_environment_demands),
        cmocka_unit_test(test_a_change_has_to_have_been_shown_where_that_is_demanded),
        cmocka_unit_test(test_an_older_commit_is_a_rollback_or_nothing),
        cmocka_unit_test(test_a_frozen_environment),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
