/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/release-subject.h"

#include "tests/unit/evidence/entries.h"

#include <errno.h>
#include <stdlib.h>

static void expect_problem(const char *text, const char *digest, int expected, const char *words)
{
    SlipwayJson *entries = parse_text(text);
    ReleaseSubject subject = {.name = "untouched"};
    char *problem = NULL;

    assert_int_equal(release_subject_find(entries, digest, &subject, &problem), expected);
    assert_string_equal(subject.name, "untouched");
    if (!strstr(problem, words)) {
        fail_msg("'%s' is not in: %s", words, problem);
    }
    free(problem);
    (void)slipway_json_unref(entries);
}

static void the_package_is_that_of_its_provenance(void **state)
{
    SlipwayJson *entries =
        parse_text("[" TEST_RESULT("trusted", "PASSED") "," PROVENANCE("untrusted") "]");
    ReleaseSubject subject;

    assert_int_equal(release_subject_find(entries, NULL, &subject, NULL), 0);
    assert_string_equal(subject.digest, "sha256:" HEX);
    assert_string_equal(subject.name, "greeter");
    assert_string_equal(subject.version, "v1");
    assert_string_equal(subject.commit, COMMIT);
    assert_string_equal(subject.repository, "/srv/greeter.git");
    assert_string_equal(subject.ref, "refs/heads/main");
    assert_string_equal(subject.run, "r7");
    (void)slipway_json_unref(entries);
}

static void what_it_does_not_say_is_null(void **state)
{
    SlipwayJson *entries =
        parse_text("[" ENTRY("provenance", "trusted", OF_PACKAGE, "\"runDetails\":{}") "]");
    ReleaseSubject subject;

    assert_int_equal(release_subject_find(entries, NULL, &subject, NULL), 0);
    assert_null(subject.version);
    assert_null(subject.commit);
    assert_null(subject.repository);
    assert_null(subject.ref);
    (void)slipway_json_unref(entries);
}

static void packaged_twice_it_is_one_package(void **state)
{
    SlipwayJson *entries = parse_text(
        "[" PROVENANCE("trusted") "," PROVENANCE_OF("trusted", OF_PACKAGE, OTHER_COMMIT) "]");
    ReleaseSubject subject;

    assert_int_equal(release_subject_find(entries, NULL, &subject, NULL), 0);
    assert_string_equal(subject.commit, OTHER_COMMIT);
    (void)slipway_json_unref(entries);
}

static void of_several_packages_one_has_to_be_named(void **state)
{
    static const char text[] =
        "[" PROVENANCE("trusted") "," PROVENANCE_OF("trusted", OF_OTHER, OTHER_COMMIT) "]";
    SlipwayJson *entries = parse_text(text);
    ReleaseSubject subject;

    expect_problem(text, NULL, -EEXIST, "several packages (sha256:" HEX " and sha256:" OTHER_HEX);
    assert_int_equal(release_subject_find(entries, "sha256:" HEX, &subject, NULL), 0);
    assert_string_equal(subject.commit, COMMIT);
    (void)slipway_json_unref(entries);
}

static void without_provenance_nobody_knows(void **state)
{
    expect_problem("[]", NULL, -ENOENT, "no provenance");
    expect_problem("[" APPROVAL("trusted") "]", NULL, -ENOENT, "no provenance");
    expect_problem("[" PROVENANCE("trusted") "]", "sha256:" OTHER_HEX, -ENOENT,
                   "no provenance of sha256:" OTHER_HEX);
    expect_problem("[" PROVENANCE("trusted") "]", HEX, -EINVAL, "no digest");
    expect_problem("[" PROVENANCE("trusted") "]", "sha256:" HEX "0", -EINVAL, "no digest");
    expect_problem("[" PROVENANCE("trusted") "]", "sha256:x", -EINVAL, "no digest");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_package_is_that_of_its_provenance),
        cmocka_unit_test(what_it_does_not_say_is_null),
        cmocka_unit_test(packaged_twice_it_is_one_package),
        cmocka_unit_test(of_several_packages_one_has_to_be_named),
        cmocka_unit_test(without_provenance_nobody_knows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
