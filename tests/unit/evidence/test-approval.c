/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/approval.h"

#include "plugin/cli/report/moment.h"
#include "tests/unit/evidence/entries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW_TEXT "2026-11-25T10:00:00Z"
#define TEXT "prod: v1 → v2\nOne commit:\n  e398692754  2026-11-25  Greet  (Ann)"

static char directory[] = "/tmp/slipway-test-approval-XXXXXX";
static char key_path[sizeof(directory) + 8], public_path[sizeof(directory) + 12];

static int set_up(void **state)
{
    if (!mkdtemp(directory)) {
        return -1;
    }
    (void)snprintf(key_path, sizeof(key_path), "%s/key", directory);
    (void)snprintf(public_path, sizeof(public_path), "%s/key.pub", directory);
    return slipway_key_generate(key_path, NULL, NULL);
}

static int tear_down(void **state)
{
    (void)unlink(key_path);
    (void)unlink(public_path);
    return rmdir(directory);
}

static const ReleaseSubject subject = {
    .digest = "sha256:" HEX,
    .name = "greeter",
    .commit = COMMIT,
};

static SlipwayJson *make_change(const char *more)
{
    char *text = NULL;
    SlipwayJson *change;

    assert_true(asprintf(&text, "{\"environment\":\"prod\",\"to\":\"" COMMIT "\"%s}", more) > 0);
    change = parse_text(text);
    assert_int_equal(slipway_json_set_string(change, "/text", TEXT), 0);
    free(text);
    return change;
}

static int64_t now(void)
{
    int64_t us;

    assert_int_equal(moment_parse(NOW_TEXT, &us), 0);
    return us;
}

/* The one entry of a line, with our key believed as an approver. */
static SlipwayJson *read_back(const char *line)
{
    SlipwayJson *keys = parse_text("{\"me\":{\"roles\":[\"approver\"]}}"), *entries = NULL;
    char *problem = NULL;

    assert_int_equal(slipway_json_set_string(keys, "/me/file", public_path), 0);
    if (slipway_bundle_read(line, strlen(line), keys, &entries, &problem) < 0) {
        fail_msg("%s", problem);
    }
    assert_int_equal(slipway_json_get_count(entries, ""), 1);
    (void)slipway_json_unref(keys);
    return entries;
}

static void expect_said(const SlipwayJson *entries, const char *pointer, const char *expected)
{
    assert_string_equal(release_said(slipway_json_get_element(entries, 0), pointer, "(nothing)"),
                        expected);
}

static void what_is_signed_is_what_was_shown(void **state)
{
    SlipwayJson *change = make_change(",\"from\":\"" OTHER_COMMIT "\",\"relation\":\"forward\"");
    ApprovalRequest request = {
        .key_path = key_path,
        .subject = &subject,
        .environment = "prod",
        .approver = "Ann",
        .via = "jenkins",
        .url = "http://jenkins/7",
        .reason = "it is Friday",
        .minutes = 30,
        .change = change,
    };
    char *line = NULL, *sha256 = slipway_sha256(TEXT, strlen(TEXT));
    SlipwayJson *entries;

    assert_int_equal(approval_sign(&request, now(), &line, NULL), 0);
    assert_null(strchr(line, '\n'));
    entries = read_back(line);
    assert_string_equal(slipway_json_get_string(entries, "/0/trust", ""), "trusted");
    expect_said(entries, "/subject/0/digest/sha256", HEX);
    expect_said(entries, "/subject/0/name", "greeter");
    expect_said(entries, "/predicate/approver/name", "Ann");
    expect_said(entries, "/predicate/approver/via", "jenkins");
    expect_said(entries, "/predicate/approver/url", "http://jenkins/7");
    expect_said(entries, "/predicate/environment", "prod");
    expect_said(entries, "/predicate/commit", COMMIT);
    expect_said(entries, "/predicate/previousCommit", OTHER_COMMIT);
    expect_said(entries, "/predicate/change/sha256", sha256);
    expect_said(entries, "/predicate/reason", "it is Friday");
    expect_said(entries, "/predicate/issuedOn", NOW_TEXT);
    expect_said(entries, "/predicate/expiresOn", "2026-11-25T10:30:00Z");
    (void)slipway_json_unref(entries);
    (void)slipway_json_unref(change);
    free(sha256);
    free(line);
}

static void a_first_deployment_has_nothing_before(void **state)
{
    SlipwayJson *change = make_change(",\"relation\":\"first\""), *entries;
    ApprovalRequest request = {
        .key_path = key_path,
        .subject = &subject,
        .environment = "prod",
        .approver = "Ann",
        .minutes = APPROVAL_MINUTES_DEFAULT,
        .change = change,
    };
    char *first = NULL, *second = NULL;

    assert_int_equal(approval_sign(&request, now(), &first, NULL), 0);
    assert_int_equal(approval_sign(&request, now(), &second, NULL), 0);
    assert_string_not_equal(first, second); /* each has a nonce of its own */
    entries = read_back(first);
    expect_said(entries, "/predicate/previousCommit", "(nothing)");
    expect_said(entries, "/predicate/reason", "(nothing)");
    expect_said(entries, "/predicate/expiresOn", "2026-11-25T14:00:00Z");
    (void)slipway_json_unref(entries);
    (void)slipway_json_unref(change);
    free(second);
    free(first);
}

static void bad_requests(void **state)
{
    static const long long minutes[] = {0, -1, APPROVAL_MINUTES_MAX + 1};
    ApprovalRequest request = {
        .key_path = key_path,
        .subject = &subject,
        .environment = "prod",
        .approver = "Ann",
        .minutes = 1,
    };
    char *line = NULL, *problem = NULL;

    for (size_t i = 0; i < sizeof(minutes) / sizeof(minutes[0]); i++) {
        request.minutes = minutes[i];
        assert_int_equal(approval_sign(&request, now(), &line, &problem), -EINVAL);
        assert_non_null(strstr(problem, "minutes"));
        free(problem);
        problem = NULL;
    }
    request.minutes = 1;
    request.approver = NULL;
    assert_int_equal(approval_sign(&request, now(), &line, &problem), -EINVAL);
    assert_non_null(strstr(problem, "approver"));
    free(problem);
    request.approver = "Ann";
    assert_int_equal(chmod(key_path, 0640), 0);
    assert_int_equal(approval_sign(&request, now(), &line, &problem), -EPERM);
    assert_non_null(strstr(problem, "0640"));
    free(problem);
    assert_int_equal(chmod(key_path, 0600), 0);
    assert_null(line);
}

static void expect_no_change(const char *text, int expected, const char *words)
{
    SlipwayJson *change = parse_text(text);
    char *problem = NULL;

    assert_int_equal(approval_check_change(change, &subject, "prod", &problem), expected);
    if (!strstr(problem, words)) {
        fail_msg("'%s' is not in: %s", words, problem);
    }
    free(problem);
    (void)slipway_json_unref(change);
}

static void only_the_change_of_this_release_is_approved(void **state)
{
    static const char *const good[] = {"forward", "same", "first", "apart", "unknown"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char more[64];
        SlipwayJson *change;

        (void)snprintf(more, sizeof(more), ",\"relation\":\"%s\"", good[i]);
        change = make_change(more);
        assert_int_equal(approval_check_change(change, &subject, "prod", NULL), 0);
        (void)slipway_json_unref(change);
    }
    expect_no_change("{}", -EINVAL, "slipway changes --json");
    expect_no_change("[]", -EINVAL, "slipway changes --json");
    expect_no_change("{\"text\":\"x\"}", -EINVAL, "slipway changes --json");
    expect_no_change("{\"text\":\"\",\"to\":\"" COMMIT "\"}", -EINVAL, "slipway changes --json");
    expect_no_change("{\"text\":\"x\",\"to\":\"" OTHER_COMMIT "\"}", -ESTALE,
                     "that of commit f3986927549a, the package is of e3986927549a");
    expect_no_change("{\"text\":\"x\",\"to\":\"" COMMIT "\",\"environment\":\"staging\"}", -ESTALE,
                     "that of 'staging', not of 'prod'");
    expect_no_change("{\"text\":\"x\",\"to\":\"" COMMIT "\",\"relation\":\"back\",\"from\":\"" HEX
                     "\"}",
                     -ESTALE, "rollback-prod");
}

static void the_controller_says_who_pressed(void **state)
{
    static const char *const signs[] = {"JENKINS_URL", "GITLAB_CI", "GITHUB_ACTIONS", "BUILDBOT",
                                        "BUILD_URL"};
    ApprovalOrigin origin;

    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        assert_int_equal(unsetenv(signs[i]), 0);
    }
    origin = approval_find_origin();
    assert_null(origin.via);
    assert_null(origin.name);
    assert_null(origin.url);

    assert_int_equal(setenv("BUILD_URL", "http://j/7", 1), 0);
    origin = approval_find_origin();
    assert_null(origin.via);
    assert_string_equal(origin.url, "http://j/7");
    assert_int_equal(setenv("JENKINS_URL", "http://j", 1), 0);
    origin = approval_find_origin();
    assert_string_equal(origin.via, "jenkins");
    assert_null(origin.name);
    assert_string_equal(origin.url, "http://j/7");
    assert_int_equal(unsetenv("JENKINS_URL"), 0);

    assert_int_equal(setenv("GITLAB_CI", "true", 1), 0);
    assert_int_equal(setenv("GITLAB_USER_LOGIN", "ann", 1), 0);
    assert_int_equal(setenv("CI_JOB_URL", "http://g/1", 1), 0);
    origin = approval_find_origin();
    assert_string_equal(origin.via, "gitlab");
    assert_string_equal(origin.name, "ann");
    assert_string_equal(origin.url, "http://g/1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_what_was_shown),
        cmocka_unit_test(a_first_deployment_has_nothing_before),
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(only_the_change_of_this_release_is_approved),
        cmocka_unit_test(the_controller_says_who_pressed),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
