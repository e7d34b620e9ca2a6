/* SPDX-License-Identifier: MIT */
#include "agent/junit/junit.h"

#include "agent/runners/report.h"
#include "tests/unit/scratch.h"

#include <errno.h>

static void parse(const char *text, TestSums *sums)
{
    _cleanup_error_ Error err = {0};

    if (junit_parse(text, strlen(text), sums, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void expect_sums(const TestSums *sums, int64_t total, int64_t failed, int64_t skipped)
{
    assert_int_equal(sums->total, total);
    assert_int_equal(sums->failed, failed);
    assert_int_equal(sums->skipped, skipped);
}

static void test_surefire(void **state)
{
    _cleanup_test_sums_ TestSums sums = {0};

    parse(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<testsuite xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" name=\"a.BTest\" "
        "time=\"1,234.5\" tests=\"9\" errors=\"0\" skipped=\"0\" failures=\"0\">"
        "<properties><property name=\"x\" value=\"y\"/></properties>"
        "<testcase name=\"ok\" classname=\"a.BTest\" time=\"1,000.25\"/>"
        "<testcase name=\"bad\" classname=\"a.BTest\" time=\"0.5\">"
        "<failure message=\"expected &lt;1&gt;\" type=\"X\"><![CDATA[stack]]></failure>"
        "<system-out>failure</system-out></testcase>"
        "<testcase name=\"err\" classname=\"a.BTest\"><error type=\"X\">boom\nat line</error>"
        "<rerunFailure message=\"no\"/></testcase>"
        "<testcase name=\"skip\" classname=\"a.BTest\"><skipped message=\"later\"/></testcase>"
        "<testcase name=\"flaky\" classname=\"a.BTest\"><flakyFailure message=\"once\"/></testcase>"
        "</testsuite>",
        &sums);
    expect_sums(&sums, 5, 2, 1); /* of the cases: the attributes lie */
    assert_true(sums.seconds > 1000.74 && sums.seconds < 1000.76);
    assert_int_equal(sums.n_failures, 2);
    assert_string_equal(sums.failures[0].suite, "a.BTest");
    assert_string_equal(sums.failures[0].name, "bad");
    assert_string_equal(sums.failures[0].message, "expected <1>");
    assert_string_equal(sums.failures[1].message, "boom\nat line");
}

static void test_gtest_and_nesting(void **state)
{
    _cleanup_test_sums_ TestSums sums = {0};

    parse("<testsuites name=\"AllTests\"><testsuite name=\"outer\"><testsuite name=\"inner\">"
          "<testcase name=\"a\" status=\"run\" result=\"completed\"><failure "
          "message=\"\">text</failure>"
          "<failure message=\"second\"/></testcase>"
          "<testcase name=\"b\" status=\"notrun\" result=\"suppressed\"/></testsuite></testsuite>"
          "<testsuite name=\"empty\"/></testsuites>",
          &sums);
    expect_sums(&sums, 2, 1, 1);
    assert_string_equal(sums.failures[0].suite, "inner");  /* where a case names no class */
    assert_string_equal(sums.failures[0].message, "text"); /* of the first */
}

static void test_skipped_and_failed_is_failed(void **state)
{
    _cleanup_test_sums_ TestSums sums = {0};

    parse("<testsuite><testcase><skipped/><error/></testcase>"
          "<testcase><error/><skipped/></testcase></testsuite>",
          &sums);
    expect_sums(&sums, 2, 2, 0);
    assert_string_equal(sums.failures[0].name, "");
    assert_string_equal(sums.failures[0].message, "");
}

static void test_files_add_up(void **state)
{
    _cleanup_test_sums_ TestSums sums = {0};

    parse("<testsuite><testcase time=\"1\"/></testsuite>", &sums);
    parse("<testsuites/>", &sums);
    parse("<testsuite><testcase time=\"2\"><failure/></testcase></testsuite>", &sums);
    expect_sums(&sums, 2, 1, 0);
    assert_true(sums.seconds == 3);
}

static void test_odd_times(void **state)
{
    _cleanup_test_sums_ TestSums sums = {0};

    parse("<testsuite><testcase time=\"-1\"/><testcase time=\"nan\"/><testcase time=\"inf\"/>"
          "<testcase time=\"1e300\"/><testcase time=\"1s\"/><testcase time=\"\"/></testsuite>",
          &sums);
    assert_true(sums.seconds == 0);
}

static void expect_refused(const char *text, size_t n, const char *mistake)
{
    _cleanup_test_sums_ TestSums sums = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(junit_parse(text, n, &sums, &err), -EINVAL);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
}

static void test_refused(void **state)
{
    static const char *const cases[][2] = {
        {"", "no element"},
        {"nonsense", "line 1: "},
        {"<project/>",
         "not JUnit XML: it begins with <testsuites> or <testsuite>, not with project"},
        {"<testsuite>", "line 1: "},
        {"<testsuite>\n</testsuit>", "line 2: "},
        {"<!DOCTYPE a [<!ENTITY b \"c\">]><testsuite/>", "DOCTYPE"},
        {"<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><testsuite/>", "DOCTYPE"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        expect_refused(cases[i][0], strlen(cases[i][0]), cases[i][1]);
    }
    expect_refused("\xff\xfe<\0", 4, "UTF-16");
}

static void test_cut_file_counts_what_was_there(void **state)
{
    static const char text[] = "<testsuite><testcase/><testcase><failure/></testcase><testca";
    _cleanup_test_sums_ TestSums sums = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(junit_parse(text, strlen(text), &sums, &err), -EINVAL);
    expect_sums(&sums, 2, 1, 0);
}

static void append_times(Buffer *b, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        assert_int_equal(buffer_append_text(b, text), 0);
    }
}

static void test_depth(void **state)
{
    _cleanup_buffer_ Buffer b = BUFFER_INIT(0);
    _cleanup_test_sums_ TestSums sums = {0};

    append_times(&b, "<testsuite>", JUNIT_DEPTH_MAX);
    append_times(&b, "</testsuite>", JUNIT_DEPTH_MAX);
    parse(buffer_text(&b), &sums);
    buffer_clear(&b);
    append_times(&b, "<testsuite>", JUNIT_DEPTH_MAX + 1);
    expect_refused(b.data, b.len, "nested too deep");
}

static void test_huge_token(void **state)
{
    _cleanup_buffer_ Buffer b = BUFFER_INIT(0);
    _cleanup_test_sums_ TestSums sums = {0};

    assert_int_equal(buffer_append_text(&b, "<testsuite><testcase name=\""), 0);
    append_times(&b, "0123456789abcdef", (JUNIT_TOKEN_MAX >> 4) + 8192);
    assert_int_equal(buffer_append_text(&b, "\"/></testsuite>"), 0);
    expect_refused(b.data, b.len, "more than");
    /* As text it may be as long as it likes: it comes in pieces. */
    buffer_clear(&b);
    assert_int_equal(buffer_append_text(&b, "<testsuite><system-out>"), 0);
    append_times(&b, "0123456789abcde\n", (JUNIT_TOKEN_MAX >> 4) + 8192);
    assert_int_equal(buffer_append_text(&b, "</system-out></testsuite>"), 0);
    parse(b.data, &sums);
}

static void test_long_texts_are_cut(void **state)
{
    _cleanup_buffer_ Buffer b = BUFFER_INIT(0);
    _cleanup_test_sums_ TestSums sums = {0};

    assert_int_equal(buffer_append_text(&b, "<testsuite><testcase classname=\"x"), 0);
    append_times(&b, "\xc3\xa4", JUNIT_NAME_MAX);
    assert_int_equal(buffer_append_text(&b, "\"><failure>x"), 0);
    append_times(&b, "\xc3\xa4", JUNIT_MESSAGE_MAX);
    assert_int_equal(buffer_append_text(&b, "</failure></testcase></testsuite>"), 0);
    parse(b.data, &sums);
    assert_int_equal(strlen(sums.failures[0].suite), JUNIT_NAME_MAX - 1);
    assert_int_equal(strlen(sums.failures[0].message), JUNIT_MESSAGE_MAX - 1);
}

static void test_many_failures(void **state)
{
    _cleanup_buffer_ Buffer b = BUFFER_INIT(0);
    _cleanup_test_sums_ TestSums sums = {0};

    assert_int_equal(buffer_append_text(&b, "<testsuite>"), 0);
    append_times(&b, "<testcase><failure/></testcase>", JUNIT_FAILURES_MAX + 5);
    assert_int_equal(buffer_append_text(&b, "</testsuite>"), 0);
    parse(b.data, &sums);
    expect_sums(&sums, JUNIT_FAILURES_MAX + 5, JUNIT_FAILURES_MAX + 5, 0);
    assert_int_equal(sums.n_failures, JUNIT_FAILURES_MAX);
}

static void test_json(void **state)
{
    _cleanup_test_sums_ TestSums sums = {0};
    _cleanup_json_ Json *json = NULL;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

    parse("<testsuite name=\"s\"><testcase time=\"0.25\"/><testcase><skipped/></testcase>"
          "<testcase name=\"n\"><failure message=\"m\"/></testcase></testsuite>",
          &sums);
    assert_int_equal(test_sums_to_json(&sums, &json), 0);
    assert_int_equal(json_format(json, &text), 0);
    assert_string_equal(buffer_text(&text),
                        "{\"total\":3,\"passed\":1,\"failed\":1,\"skipped\":1,\"seconds\":0.250,"
                        "\"failures\":[{\"suite\":\"s\",\"name\":\"n\",\"message\":\"m\"}]}");
}

/* A hundred failures whose every byte needs escaping still make one report. */
static void test_json_fits(void **state)
{
    _cleanup_buffer_ Buffer b = BUFFER_INIT(0), line = BUFFER_INIT(0);
    _cleanup_test_sums_ TestSums sums = {0};
    _cleanup_json_ Json *json = NULL;
    size_t n;

    assert_int_equal(buffer_append_text(&b, "<testsuite>"), 0);
    for (int i = 0; i < JUNIT_FAILURES_MAX; i++) {
        assert_int_equal(buffer_append_text(&b, "<testcase><failure>"), 0);
        append_times(&b, "\x7f\"\\\"\\\"\\\"", JUNIT_MESSAGE_MAX / 8 + 1);
        append_times(&b, "\"\\\"\\\"\\\"\\", JUNIT_MESSAGE_MAX / 8 + 1);
        assert_int_equal(buffer_append_text(&b, "</failure></testcase>"), 0);
    }
    assert_int_equal(buffer_append_text(&b, "</testsuite>"), 0);
    parse(b.data, &sums);
    for (size_t i = 0; i < sums.n_failures; i++) { /* as many bytes again in the names */
        free(sums.failures[i].name);
        sums.failures[i].name = strdup(sums.failures[i].message);
    }
    assert_int_equal(test_sums_to_json(&sums, &json), 0);
    assert_int_equal(json_format(json, &line), 0);
    assert_true(line.len < REPORT_LINE_MAX);
    n = json_length(json_get(json, "failures"));
    assert_in_range(n, 10, JUNIT_FAILURES_MAX - 1);
    assert_int_equal(json_get_int(json, "failed", 0), JUNIT_FAILURES_MAX);
}

static void test_read(void **state)
{
    _cleanup_test_sums_ TestSums sums = {0};
    _cleanup_error_ Error err = {0};
    _cleanup_fd_ int fd = -1, huge_fd = -1;

    scratch_write_text(SCRATCH_FD, "a.xml", "<testsuite><testcase/></testsuite>");
    fd = openat(SCRATCH_FD, "a.xml", O_RDONLY | O_CLOEXEC);
    assert_int_equal(junit_read(fd, "a.xml", &sums, &err), 0);
    expect_sums(&sums, 1, 0, 0);
    huge_fd = openat(SCRATCH_FD, "huge.xml", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(huge_fd, JUNIT_FILE_MAX + 1), 0);
    assert_int_equal(junit_read(huge_fd, "huge.xml", &sums, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "JUnit file 'huge.xml': larger than"));
    assert_int_equal(junit_read(-1, "x", &sums, &err), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_surefire),
        cmocka_unit_test(test_gtest_and_nesting),
        cmocka_unit_test(test_skipped_and_failed_is_failed),
        cmocka_unit_test(test_files_add_up),
        cmocka_unit_test(test_odd_times),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut_file_counts_what_was_there),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_huge_token),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_many_failures),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_fits),
        scratch_test(test_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
