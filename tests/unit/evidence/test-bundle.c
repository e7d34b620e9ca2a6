/* SPDX-License-Identifier: MIT */
#include "protocol/evidence/bundle.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define COMMIT "d20ace7968ba43c0219f62d71334c1095bab1602"

static Key *tester, *stager, *stranger;
static TrustedKey trusted[2];

static int set_up(void **state)
{
    if (key_generate(&tester, NULL) < 0 || key_generate(&stager, NULL) < 0 ||
        key_generate(&stranger, NULL) < 0) {
        return -1;
    }
    trusted[0] = (TrustedKey){.name = "tester", .key = tester, .roles = KEY_ROLE_TESTER};
    trusted[1] = (TrustedKey){.name = "stager", .key = stager, .roles = KEY_ROLE_STAGER};
    return 0;
}

static int tear_down(void **state)
{
    tester = key_free(tester);
    stager = key_free(stager);
    stranger = key_free(stranger);
    return 0;
}

/* A test result, signed. */
static void add_result(Buffer *out, const Key *key, const char *result)
{
    _cleanup_json_ Json *predicate = json_new_object();
    _cleanup_buffer_ Buffer text = {0};

    assert_int_equal(json_set_string(predicate, "result", result), 0);
    assert_int_equal(json_set_take(predicate, "configuration", json_new_array()), 0);
    assert_int_equal(statement_format(STATEMENT_TEST_RESULT,
                                      &(StatementSubject){NULL, "gitCommit", COMMIT}, 1, predicate,
                                      &text, NULL),
                     0);
    assert_int_equal(dsse_append_signed(out, key, text.data, text.len, NULL), 0);
}

static void test_who_signed_what(void **state)
{
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_buffer_ Buffer text = {0};

    add_result(&text, tester, "PASSED");
    add_result(&text, stager, "PASSED");
    add_result(&text, stranger, "PASSED");
    assert_int_equal(bundle_add(&bundle, text.data, text.len, trusted, 2, NULL), 0);
    assert_int_equal(bundle.count, 3);
    assert_int_equal(bundle.entries[0].trust, BUNDLE_TRUSTED);
    assert_string_equal(bundle.entries[0].signer->name, "tester");
    assert_int_equal(bundle.entries[0].statement.kind, STATEMENT_TEST_RESULT);
    assert_int_equal(bundle.entries[1].trust, BUNDLE_WRONG_ROLE);
    assert_string_equal(bundle.entries[1].signer->name, "stager");
    assert_int_equal(bundle.entries[2].trust, BUNDLE_UNTRUSTED);
    assert_null(bundle.entries[2].statement.root);
    assert_string_equal(bundle.entries[2].claimed_key_id, key_id(stranger));
    assert_int_equal(bundle.entries[2].line, 3);
}

/* With another payload the signature does not hold; without the hint nobody can say whose it was.
 */
static void test_altered_lines_are_told_from_those_of_strangers(void **state)
{
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_buffer_ Buffer text = {0};
    char *payload;

    add_result(&text, tester, "PASSED");
    payload = strstr(buffer_text(&text), "\"payload\":\"") + strlen("\"payload\":\"") + 8;
    *payload = *payload == 'A' ? 'B' : 'A';
    assert_int_equal(bundle_add(&bundle, text.data, text.len, trusted, 2, NULL), 0);
    assert_int_equal(bundle.entries[0].trust, BUNDLE_ALTERED);
    assert_string_equal(bundle.entries[0].signer->name, "tester");
    assert_null(bundle.entries[0].statement.root);
}

static void test_the_same_line_counts_once(void **state)
{
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_buffer_ Buffer text = {0};

    add_result(&text, tester, "PASSED");
    assert_int_equal(bundle_add(&bundle, text.data, text.len, trusted, 2, NULL), 0);
    assert_int_equal(bundle_add(&bundle, text.data, text.len, trusted, 2, NULL), 0);
    assert_int_equal(bundle_add(&bundle, text.data, text.len - 1, trusted, 2, NULL), 0);
    assert_int_equal(bundle.count, 1);
}

/* During a rotation one name has two keys; a key may also be listed twice, for two roles. */
static void test_a_key_listed_for_two_roles_has_both(void **state)
{
    TrustedKey keys[] = {{.name = "as stager", .key = tester, .roles = KEY_ROLE_STAGER},
                         {.name = "as tester", .key = tester, .roles = KEY_ROLE_TESTER}};
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_buffer_ Buffer text = {0};

    add_result(&text, tester, "PASSED");
    assert_int_equal(bundle_add(&bundle, text.data, text.len, keys, 2, NULL), 0);
    assert_int_equal(bundle.entries[0].trust, BUNDLE_TRUSTED);
    assert_string_equal(bundle.entries[0].signer->name, "as tester");
}

static void test_a_broken_line_is_named(void **state)
{
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_error_ Error err = {0};

    add_result(&text, tester, "PASSED");
    assert_int_equal(buffer_append_text(&text, "{\"payload\n"), 0);
    assert_int_equal(bundle_add(&bundle, text.data, text.len, trusted, 2, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "line 2 of the bundle"));
}

/* Signed by a known key, but not a statement that we understand: nobody may guess what it means. */
static void test_a_signed_statement_that_is_none_is_refused(void **state)
{
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(dsse_append_signed(&text, tester, "{}", 2, NULL), 0);
    assert_int_equal(bundle_add(&bundle, text.data, text.len, trusted, 2, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "\"_type\" is missing"));
}

static void test_the_number_of_statements_is_limited(void **state)
{
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_error_ Error err = {0};
    int r = 0;

    for (int i = 0; r == 0 && i <= BUNDLE_ENTRIES_MAX; i++) {
        _cleanup_buffer_ Buffer text = {0};
        char payload[16];
        int n = snprintf(payload, sizeof(payload), "%d", i);

        assert_int_equal(dsse_append_signed(&text, stranger, payload, (size_t)n, NULL), 0);
        r = bundle_add(&bundle, text.data, text.len, trusted, 2, &err);
    }
    assert_int_equal(r, -EINVAL);
    assert_int_equal(bundle.count, BUNDLE_ENTRIES_MAX);
}

static void test_roles_have_names(void **state)
{
    for (StatementKind kind = 0; kind < _STATEMENT_KIND_MAX; kind++) {
        KeyRole role = bundle_role_for(kind), found;

        assert_int_equal(bundle_role_from_name(bundle_role_name(role), &found), 0);
        assert_int_equal(found, role);
    }
    assert_int_equal(bundle_role_from_name("boss", &(KeyRole){0}), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_signed_what),
        cmocka_unit_test(test_altered_lines_are_told_from_those_of_strangers),
        cmocka_unit_test(test_the_same_line_counts_once),
        cmocka_unit_test(test_a_key_listed_for_two_roles_has_both),
        cmocka_unit_test(test_a_broken_line_is_named),
        cmocka_unit_test(test_a_signed_statement_that_is_none_is_refused),
        cmocka_unit_test(test_the_number_of_statements_is_limited),
        cmocka_unit_test(test_roles_have_names),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
