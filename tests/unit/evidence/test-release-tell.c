/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/release-tell.h"

#include "tests/unit/evidence/entries.h"

#include <stdlib.h>

static void expect(const char *entry, const char *expected)
{
    SlipwayJson *json = parse_text(entry);
    char *text = release_tell(json);

    assert_string_equal(text, expected);
    free(text);
    (void)slipway_json_unref(json);
}

static void each_kind_is_a_sentence(void **state)
{
    expect(PROVENANCE("trusted"), "packaged from /srv/greeter.git at e3986927549a by "
                                  "slipway:agent/b, 2026-11-25T10:00:00Z");
    expect(TEST_RESULT("trusted", "PASSED"), "tests of e3986927549a: PASSED");
    expect(ENTRY("test-result", "trusted", OF_COMMIT,
                 "\"result\":\"FAILED\",\"passedTests\":[\"a\",\"b\"],\"failedTests\":[\"c\"]"),
           "tests of e3986927549a: FAILED (2 passed, 1 failed)");
    expect(STAGED("trusted"), "ran in staging (local, 2 healthy), 2026-11-25T10:01:00Z");
    expect(VERIFIED("trusted"), "verified in staging: PASSED, 2026-11-25T10:02:00Z");
    expect(APPROVAL("trusted"), "released to prod by Ann, 2026-11-25T10:03:00Z, good until "
                                "2026-11-25T14:03:00Z");
    expect(ENTRY("approval", "trusted", OF_PACKAGE,
                 "\"approver\":{\"name\":\"Ann\",\"via\":\"jenkins\",\"url\":\"http://j/7\"},"
                 "\"environment\":\"prod\",\"issuedOn\":\"A\",\"expiresOn\":\"B\","
                 "\"reason\":\"it is Friday\""),
           "released to prod by Ann via jenkins at http://j/7, A, good until B: it is Friday");
}

static void what_is_not_known_is_said_to_be(void **state)
{
    expect("{\"trust\":\"untrusted\"}", "says something that is not known here");
    expect("{\"kind\":\"vaccination\"}", "says something that is not known here: vaccination");
    expect("{\"kind\":\"deployment\"}", "ran in ? (?, 0 healthy), ?");
}

static void nothing_in_it_commands_the_terminal(void **state)
{
    SlipwayJson *json = parse_text(
        ENTRY("deployment", "untrusted", OF_PACKAGE, "\"environment\":\"a\\u001b[31m\\nb\""));
    char *text = release_tell(json);

    assert_null(strchr(text, '\033'));
    assert_null(strchr(text, '\n'));
    assert_non_null(strstr(text, "ran in a"));
    free(text);
    (void)slipway_json_unref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_a_sentence),
        cmocka_unit_test(what_is_not_known_is_said_to_be),
        cmocka_unit_test(nothing_in_it_commands_the_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
