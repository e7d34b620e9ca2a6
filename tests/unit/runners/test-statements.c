/* SPDX-License-Identifier: MIT */
#include "agent/runners/statements.h"

#include "agent/release/host-key.h"
#include "protocol/evidence/bundle.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define COMMIT "0123456789012345678901234567890123456789"
#define OTHER_HEX "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
#define HEX "abababababababababababababababababababababababababababababababab"

typedef struct Place {
    Action action;
    char call[96];
    char keys[96];
    Trust trust;
    Bundle bundle;
} Place;

static void open_place(void **state, Place *place)
{
    (void)snprintf(place->call, sizeof(place->call), "%s/call", SCRATCH_PATH);
    (void)snprintf(place->keys, sizeof(place->keys), "%s/keys", SCRATCH_PATH);
    assert_int_equal(mkdirat(SCRATCH_FD, "call", 0755), 0);
    assert_int_equal(mkdirat(SCRATCH_FD, "call/artifacts", 0755), 0);
    assert_int_equal(mkdirat(SCRATCH_FD, "workspace", 0755), 0);
    place->action = ACTION_INIT;
    place->action.name = "greeter";
    place->action.workspace_fd = openat(SCRATCH_FD, "workspace", O_RDONLY | O_CLOEXEC);
    place->action.report.fd = openat(SCRATCH_FD, "reports", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    place->action.spec = (Spec){
        .call = "c1",
        .agent = "builder-1",
        .run = "r1",
        .environment_name = "staging",
        .call_directory = place->call,
        .keys_directory = place->keys,
    };
    place->action.source = (Source){
        .commit = strdup(COMMIT),
        .repository = strdup("https://git.example/greeter"),
        .ref = strdup("refs/heads/main"),
    };
    assert_int_equal(host_key_trust(place->keys, "builder-1", NULL, &place->trust, NULL), 0);
}

static void close_place(Place *place)
{
    (void)fd_close(place->action.report.fd);
    place->action.tests = (TestSums){0}; /* the test's own */
    action_done(&place->action);
    bundle_done(&place->bundle);
    trust_done(&place->trust);
}

/* What was stated, which is all of it, well signed and of that kind. */
static const Statement *stated(void **state, Place *place, StatementKind kind)
{
    _cleanup_free_ char *line = NULL;
    size_t n;

    line = scratch_read(SCRATCH_FD, "call/artifacts/" BUNDLE_FILE, &n);
    assert_int_equal(
        bundle_add(&place->bundle, line, n, place->trust.keys, place->trust.count, NULL), 0);
    assert_int_equal(place->bundle.count, 1);
    assert_int_equal(place->bundle.entries[0].trust, BUNDLE_TRUSTED);
    assert_int_equal(place->bundle.entries[0].statement.kind, kind);
    return &place->bundle.entries[0].statement;
}

static void assert_said(const Statement *statement, const char *pointer, const char *expected)
{
    assert_string_equal(statement_text(statement, pointer), expected);
}

static void provenance_says_of_what_and_by_whom(void **state)
{
    Release release = {
        .name = (char *)"greeter", .version = (char *)"v1", .digest = (char *)"sha256:" HEX};
    _cleanup_(close_place) Place place = {0};
    const Statement *said;

    open_place(state, &place);
    assert_int_equal(
        statements_provenance(&place.action,
                              &(StatementsPackaged){.release = &release,
                                                    .files = {{0}, {"g.rpm", OTHER_HEX}},
                                                    .base = "registry.example/base:1",
                                                    .base_digest = "sha256:" OTHER_HEX,
                                                    .tool = "docker 20.10.24",
                                                    .began_us = 1700000000000000},
                              NULL),
        0);
    said = stated(state, &place, STATEMENT_PROVENANCE);
    assert_string_equal(statement_digest(said, "sha256"), HEX);
    assert_true(statement_is_about(said, "sha256", OTHER_HEX));
    assert_said(said, "/buildDefinition/resolvedDependencies/1/uri", "registry.example/base:1");
    assert_said(said, "/buildDefinition/resolvedDependencies/1/digest/sha256", OTHER_HEX);
    assert_said(said, "/buildDefinition/internalParameters/tool", "docker 20.10.24");
    assert_string_equal(statement_commit(said), COMMIT);
    assert_said(said, "/buildDefinition/externalParameters/repository",
                "https://git.example/greeter");
    assert_said(said, "/buildDefinition/resolvedDependencies/0/uri",
                "git+https://git.example/greeter@refs/heads/main");
    assert_said(said, "/buildDefinition/internalParameters/run", "r1");
    assert_said(said, "/runDetails/builder/id", "slipway:agent/builder-1");
    assert_said(said, "/runDetails/metadata/startedOn", "2023-11-14T22:13:20.000000Z");
}

static void a_test_result_names_what_failed_and_by_which_rules(void **state)
{
    TestFailure failures[] = {{.suite = (char *)"http", .name = (char *)"greets"},
                              {.name = (char *)"alone"}};
    TestSums sums = {
        .total = 3, .failed = 2, .failures = failures, .n_failures = ARRAY_SIZE(failures)};
    _cleanup_(close_place) Place place = {0};
    const Statement *said;

    open_place(state, &place);
    scratch_write_text(SCRATCH_FD, "workspace/slipway.json", "{}");
    assert_int_equal(statements_test_result(&place.action, false, &sums, NULL), 0);
    said = stated(state, &place, STATEMENT_TEST_RESULT);
    assert_true(statement_is_about(said, "gitCommit", COMMIT));
    assert_said(said, "/result", "FAILED");
    assert_said(said, "/failedTests/0", "http/greets");
    assert_said(said, "/failedTests/1", "alone");
    /* printf '{}' | sha256sum */
    assert_said(said, "/configuration/0/digest/sha256",
                "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
}

static void a_verification_says_where_and_by_what(void **state)
{
    _cleanup_(close_place) Place place = {0};
    const Statement *said;

    open_place(state, &place);
    assert_int_equal(statements_verification(&place.action,
                                             &(StatementsVerified){
                                                 .name = "greeter",
                                                 .digest = "sha256:" HEX,
                                                 .receipt_sha256 = OTHER_HEX,
                                                 .has_passed = true,
                                             },
                                             NULL),
                     0);
    said = stated(state, &place, STATEMENT_VERIFICATION);
    assert_true(statement_is_about(said, "sha256", HEX));
    assert_string_equal(statement_environment(said), "staging");
    assert_said(said, "/policy/uri", "slipway:health");
    assert_said(said, "/inputAttestations/0/digest/sha256", OTHER_HEX);
    assert_said(said, "/verificationResult", "PASSED");
    assert_said(said, "/verifier/id", "slipway:agent/builder-1");
}

/* A directory that somebody sent is nothing that a commit can be tested or released by. */
static void of_no_commit_nothing_is_stated(void **state)
{
    Release release = {.name = (char *)"greeter", .digest = (char *)"sha256:" HEX};
    _cleanup_(close_place) Place place = {0};

    open_place(state, &place);
    free(place.action.source.commit);
    place.action.source.commit = NULL;
    assert_int_equal(
        statements_provenance(&place.action, &(StatementsPackaged){.release = &release}, NULL), 0);
    assert_int_equal(statements_test_result(&place.action, true, &(TestSums){0}, NULL), 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "call/artifacts"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(provenance_says_of_what_and_by_whom),
        scratch_test(a_test_result_names_what_failed_and_by_which_rules),
        scratch_test(a_verification_says_where_and_by_what),
        scratch_test(of_no_commit_nothing_is_stated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
