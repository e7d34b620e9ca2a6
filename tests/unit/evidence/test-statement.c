/* SPDX-License-Identifier: MIT */
#include "protocol/evidence/statement.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define COMMIT "d20ace7968ba43c0219f62d71334c1095bab1602"
#define NOW "2026-11-25T10:00:00Z"

/* A right predicate of each kind, and where its commit and environment are. */
static const struct {
    const char *predicate;
    const char *algorithm;
    const char *digest;
    const char *commit;
    const char *environment;
} good[_STATEMENT_KIND_MAX] = {
    [STATEMENT_PROVENANCE] =
        {"{\"buildDefinition\":{\"buildType\":\"slipway:package/v1\",\"externalParameters\":"
         "{\"repository\":\"https://git.example/greeter\",\"ref\":\"main\"},"
         "\"resolvedDependencies\":[{\"uri\":\"git+https://git.example/greeter\","
         "\"digest\":{\"gitCommit\":\"" COMMIT "\"}}]},\"runDetails\":{\"builder\":{\"id\":"
         "\"slipway:agent/one\"},\"metadata\":{\"invocationId\":\"c1\",\"startedOn\":\"" NOW
         "\",\"finishedOn\":\"" NOW "\"}}}",
         "sha256", SHA256, COMMIT, NULL},
    [STATEMENT_TEST_RESULT] = {"{\"result\":\"PASSED\",\"configuration\":[{\"name\":"
                               "\"slipway.json\",\"digest\":{\"sha256\":\"" SHA256 "\"}}],"
                               "\"passedTests\":[\"a\"],\"failedTests\":[]}",
                               "gitCommit", COMMIT, COMMIT, NULL},
    [STATEMENT_DEPLOYMENT] =
        {"{\"environment\":\"staging\",\"engine\":\"local\",\"deployment\":\"d1\",\"commit\":"
         "\"" COMMIT "\",\"agent\":\"slipway:agent/one\",\"call\":\"c2\",\"startedOn\":\"" NOW
         "\",\"finishedOn\":\"" NOW "\",\"instances\":2}",
         "sha256", SHA256, COMMIT, "staging"},
    [STATEMENT_VERIFICATION] =
        {"{\"verifier\":{\"id\":\"slipway:agent/one\"},\"timeVerified\":\"" NOW
         "\",\"resourceUri\":\"slipway:environment/"
         "staging\",\"policy\":{\"uri\":\"slipway:verify\"},"
         "\"verificationResult\":\"PASSED\",\"verifiedLevels\":[]}",
         "sha256", SHA256, NULL, "staging"},
    [STATEMENT_APPROVAL] = {"{\"approver\":{\"name\":\"Ada\",\"via\":\"terminal\"},\"environment\":"
                            "\"prod\",\"commit\":"
                            "\"" COMMIT "\",\"issuedOn\":\"" NOW
                            "\",\"expiresOn\":\"2026-11-25T11:00:00Z\",\"nonce\":"
                            "\"00112233445566778899aabbccddeeff\"}",
                            "sha256", SHA256, COMMIT, "prod"},
};

static void format(StatementKind kind, Buffer *out)
{
    _cleanup_json_ Json *predicate = NULL;

    assert_int_equal(
        json_parse(good[kind].predicate, strlen(good[kind].predicate), &predicate, NULL), 0);
    assert_int_equal(
        statement_format(kind,
                         &(StatementSubject){"greeter", good[kind].algorithm, good[kind].digest}, 1,
                         predicate, out, NULL),
        0);
}

static void test_each_kind_comes_back(void **state)
{
    for (StatementKind kind = 0; kind < _STATEMENT_KIND_MAX; kind++) {
        _cleanup_statement_ Statement statement = {0};
        _cleanup_buffer_ Buffer text = {0};

        format(kind, &text);
        assert_int_equal(statement_parse(text.data, text.len, &statement, NULL), 0);
        assert_int_equal(statement.kind, kind);
        assert_true(statement_is_about(&statement, good[kind].algorithm, good[kind].digest));
        assert_false(statement_is_about(&statement, good[kind].algorithm, "0000"));
        assert_string_equal(statement_subject_name(&statement), "greeter");
        if (good[kind].commit) {
            assert_string_equal(statement_commit(&statement), good[kind].commit);
        } else {
            assert_null(statement_commit(&statement));
        }
        if (good[kind].environment) {
            assert_string_equal(statement_environment(&statement), good[kind].environment);
        } else {
            assert_null(statement_environment(&statement));
        }
    }
}

/* Each member, wherever it stands, may neither be added nor come twice. */
static void test_unknown_and_second_members_are_refused_at_every_level(void **state)
{
    for (StatementKind kind = 0; kind < _STATEMENT_KIND_MAX; kind++) {
        _cleanup_buffer_ Buffer text = {0};
        unsigned levels = 0;

        format(kind, &text);
        for (size_t i = 0; i < text.len; i++) {
            static const char *const added[] = {"\"unheardOf\":1,", "\"digest\":1,\"digest\":1,"};

            for (size_t a = 0; text.data[i] == '{' && a < ARRAY_SIZE(added); a++) {
                _cleanup_statement_ Statement statement = {0};
                _cleanup_buffer_ Buffer changed = {0};
                _cleanup_error_ Error err = {0};

                assert_int_equal(buffer_append(&changed, text.data, i + 1), 0);
                assert_int_equal(buffer_append_text(&changed, added[a]), 0);
                assert_int_equal(buffer_append_text(&changed, text.data + i + 1), 0);
                assert_int_equal(statement_parse(changed.data, changed.len, &statement, &err),
                                 -EINVAL);
                assert_non_null(strstr(error_text(&err), a == 0 ? "unheardOf" : "second member"));
                levels++;
            }
        }
        assert_true(levels >= 6);
    }
}

static void test_what_does_not_fit_is_named(void **state)
{
    static const struct {
        const char *text;
        const char *hint;
    } cases[] = {
        {"{\"_type\":\"https://in-toto.io/Statement/"
         "v0.1\",\"subject\":[{\"digest\":{\"sha256\":\"" SHA256
         "\"}}],\"predicateType\":\"slipway:approval/v1\",\"predicate\":{}}",
         "/_type"},
        {"{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[],\"predicateType\":"
         "\"slipway:approval/v1\",\"predicate\":{}}",
         "/subject"},
        {"{\"_type\":\"https://in-toto.io/Statement/"
         "v1\",\"subject\":[{\"digest\":{\"md5\":\"00\"}}],"
         "\"predicateType\":\"slipway:approval/v1\",\"predicate\":{}}",
         "/subject/0/digest/md5"},
        {"{\"_type\":\"https://in-toto.io/Statement/"
         "v1\",\"subject\":[{\"digest\":{\"sha256\":\"" SHA256
         "\"}}],\"predicateType\":\"https://slsa.dev/provenance/v0.2\",\"predicate\":{}}",
         "provenance/v0.2"},
        {"{\"_type\":\"https://in-toto.io/Statement/"
         "v1\",\"subject\":[{\"digest\":{\"sha256\":\"" SHA256
         "\"}}],\"predicateType\":\"slipway:approval/v1\",\"predicate\":{}}",
         "\"nonce\" is missing"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_statement_ Statement statement = {0};
        _cleanup_error_ Error err = {0};

        assert_int_equal(statement_parse(cases[i].text, strlen(cases[i].text), &statement, &err),
                         -EINVAL);
        if (!strstr(error_text(&err), cases[i].hint)) {
            fail_msg("case %zu: '%s' does not say '%s'", i, error_text(&err), cases[i].hint);
        }
    }
}

static void test_a_wrong_statement_is_not_built(void **state)
{
    _cleanup_json_ Json *predicate = json_new_object();
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(statement_format(STATEMENT_APPROVAL,
                                      &(StatementSubject){NULL, "sha256", SHA256}, 1, predicate,
                                      &text, &err),
                     -EINVAL);
    assert_int_equal(text.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_comes_back),
        cmocka_unit_test(test_unknown_and_second_members_are_refused_at_every_level),
        cmocka_unit_test(test_what_does_not_fit_is_named),
        cmocka_unit_test(test_a_wrong_statement_is_not_built),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
