/* SPDX-License-Identifier: MIT */
#include "agent/calls/result.h"

#include "protocol/base/text.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define SPEC                                                        \
    "{\"action\":\"build\",\"idempotencyKey\":\"k\",\"createdAt\":" \
    "\"2026-01-01T00:00:00.000000Z\",\"directories\":{\"workspace\":\"/w\"}}"

#define T0 1767225600000000 /* createdAt */

/* A journal of `started`, these reports, and `end`. */
static void write_journal(int fd, const char *const *reports, const char *end)
{
    _cleanup_buffer_ Buffer text = {0};
    unsigned seq = 1;

    assert_int_equal(buffer_append_format(&text,
                                          "{\"seq\":1,\"time\":%lld,\"type\":\"started\","
                                          "\"pid\":7}\n",
                                          T0 + 500000LL),
                     0);
    for (; *reports; reports++) {
        assert_int_equal(buffer_append_format(&text,
                                              "{\"seq\":%u,\"time\":1,\"type\":\"report\","
                                              "\"line\":",
                                              ++seq),
                         0);
        assert_int_equal(text_append_json(&text, *reports, strlen(*reports)), 0);
        assert_int_equal(buffer_append_text(&text, "}\n"), 0);
    }
    assert_int_equal(buffer_append_format(&text,
                                          "{\"seq\":%u,\"time\":%lld,\"type\":\"finished\",%s}\n",
                                          ++seq, T0 + 2000000LL, end),
                     0);
    scratch_write(fd, "journal.ndjson", text.data, text.len, 0600);
    scratch_write_text(fd, "spec.json", SPEC);
}

static Json *load(int fd)
{
    _cleanup_error_ Error err = {0};
    Json *result = NULL;

    if (result_load(fd, "c1", &result, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    return result;
}

static void check(const Json *result, const char *pointer, const char *expected)
{
    _cleanup_buffer_ Buffer text = {0};

    assert_int_equal(json_format(json_pointer(result, pointer), &text), 0);
    if (strcmp(buffer_text(&text), expected) != 0) {
        fail_msg("%s is %s, not %s", pointer, buffer_text(&text), expected);
    }
}

static void check_absent(const Json *result, const char *name)
{
    assert_false(json_has(result, name));
}

#define END(status, more) "\"status\":\"" status "\"," more
#define SUCCEEDED                                                                             \
    END("succeeded", "\"exitCode\":0,\"signal\":0,\"reason\":\"\",\"survivors\":0,"           \
                     "\"leftovers\":1,\"userUs\":1500000,\"systemUs\":20,\"maxRssBytes\":99," \
                     "\"logBytes\":12")

static void builds_a_success(void **state)
{
    static const char *const reports[] = {
        "{\"type\":\"output\",\"name\":\"a\",\"value\":1}",
        "{\"type\":\"output\",\"name\":\"a\",\"value\":{\"b\":[true]}}",
        "{\"type\":\"output\",\"name\":\"none\",\"value\":null}",
        "{\"type\":\"output\",\"name\":\"tests\",\"value\":{\"total\":2,\"failed\":0}}",
        "{\"type\":\"progress\",\"phase\":\"fetch\"}",
        "{\"type\":\"reason\",\"text\":\"said too early\",\"exitCode\":9}",
        "{\"type\":\"artifact\",\"name\":\"bin\",\"file\":\"bin.tar.zst\",\"size\":5,\"sha256\":"
        "\"" DIGEST "\",\"format\":\"tar.zst\",\"entries\":2}",
        NULL};
    _cleanup_json_ Json *result = NULL, *again = NULL;

    write_journal(SCRATCH_FD, reports, SUCCEEDED);
    scratch_write_text(SCRATCH_FD, "status.json", "{}");
    result = load(SCRATCH_FD);
    check(result, "/call", "\"c1\"");
    check(result, "/action", "\"build\"");
    check_absent(result, "run");
    check(result, "/status", "\"succeeded\"");
    check(result, "/exitCode", "0");
    check_absent(result, "signal");
    check_absent(result, "reason");
    check(result, "/survivors", "0");
    check(result, "/leftovers", "1");
    check(result, "/createdAt", "\"2026-01-01T00:00:00.000000Z\"");
    check(result, "/startedAt", "\"2026-01-01T00:00:00.500000Z\"");
    check(result, "/finishedAt", "\"2026-01-01T00:00:02.000000Z\"");
    check(result, "/waitedSeconds", "0.500000");
    check(result, "/durationSeconds", "1.500000");
    check(result, "/resources",
          "{\"userSeconds\":1.500000,\"systemSeconds\":0.000020,"
          "\"maxRssBytes\":99}");
    check(result, "/logBytes", "12");
    check(result, "/outputs", "{\"a\":{\"b\":[true]},\"none\":null}");
    check(result, "/tests", "{\"total\":2,\"failed\":0}");
    check(result, "/artifacts",
          "[{\"artifact\":\"c1/bin\",\"name\":\"bin\",\"size\":5,\"sha256\":\"" DIGEST
          "\",\"format\":\"tar.zst\",\"entries\":2,\"file\":\"bin.tar.zst\"}]");
    assert_true(file_exists(SCRATCH_FD, "result.json"));
    again = load(SCRATCH_FD);
    assert_true(json_equal(result, again));
}

static void takes_the_runners_reason(void **state)
{
    static const char *const reports[] = {
        "{\"type\":\"reason\",\"text\":\"first\"}",
        "{\"type\":\"reason\",\"text\":\"build.sh exited with status 3\",\"exitCode\":3}", NULL};
    _cleanup_json_ Json *result = NULL;

    write_journal(SCRATCH_FD, reports,
                  END("failed", "\"exitCode\":1,\"signal\":0,\"reason\":\"exited with status 1\","
                                "\"survivors\":0"));
    result = load(SCRATCH_FD);
    check(result, "/status", "\"failed\"");
    check(result, "/reason", "\"build.sh exited with status 3\"");
    check(result, "/exitCode", "3");
}

static void takes_the_shims_reason_for_what_it_ended(void **state)
{
    static const char *const reports[] = {"{\"type\":\"reason\",\"text\":\"terminated\"}", NULL};
    _cleanup_json_ Json *result = NULL;

    write_journal(SCRATCH_FD, reports,
                  END("timed_out", "\"exitCode\":-1,\"signal\":15,\"reason\":\"no output for 600 "
                                   "s\",\"survivors\":2"));
    result = load(SCRATCH_FD);
    check(result, "/status", "\"timed_out\"");
    check(result, "/reason", "\"no output for 600 s\"");
    check(result, "/signal", "15");
    check(result, "/survivors", "2");
    check_absent(result, "exitCode");
}

static void tells_nothing_of_what_was_not_measured(void **state)
{
    _cleanup_json_ Json *result = NULL;

    write_journal(SCRATCH_FD, (const char *const[]){NULL},
                  END("lost", "\"exitCode\":-1,\"signal\":0,\"reason\":\"gone\",\"survivors\":-1,"
                              "\"leftovers\":3,\"userUs\":0"));
    result = load(SCRATCH_FD);
    check_absent(result, "survivors");
    check_absent(result, "resources");
    check(result, "/leftovers", "3");
    check(result, "/outputs", "{}");
    check(result, "/artifacts", "[]");
}

static void builds_one_that_never_started(void **state)
{
    _cleanup_json_ Json *result = NULL;

    scratch_write_text(SCRATCH_FD, "spec.json", SPEC);
    scratch_write_text(SCRATCH_FD, "journal.ndjson",
                       "{\"seq\":1,\"time\":1767225601000000,\"type\":\"finished\",\"status\":"
                       "\"cancelled\",\"reason\":\"while it waited\",\"survivors\":-1}\n");
    result = load(SCRATCH_FD);
    check(result, "/status", "\"cancelled\"");
    check(result, "/waitedSeconds", "1");
    check_absent(result, "startedAt");
    check_absent(result, "durationSeconds");
    check_absent(result, "leftovers");
}

/* The journal is not synced with each record, status.json is. */
static void ends_by_status_json_where_the_journal_lost_it(void **state)
{
    _cleanup_json_ Json *result = NULL;

    scratch_write_text(SCRATCH_FD, "spec.json", SPEC);
    scratch_write_text(SCRATCH_FD, "journal.ndjson",
                       "{\"seq\":1,\"time\":1767225600500000,\"type\":\"started\",\"pid\":1}\n");
    scratch_write_text(SCRATCH_FD, "status.json",
                       "{\"seq\":2,\"time\":1767225602000000,\"type\":\"finished\",\"status\":"
                       "\"succeeded\",\"exitCode\":0,\"survivors\":0}\n");
    result = load(SCRATCH_FD);
    check(result, "/status", "\"succeeded\"");
    check(result, "/durationSeconds", "1.500000");
}

static void makes_a_torn_result_again(void **state)
{
    _cleanup_json_ Json *result = NULL;

    write_journal(SCRATCH_FD, (const char *const[]){NULL}, SUCCEEDED);
    scratch_write_text(SCRATCH_FD, "result.json", "{\"call\":\"c");
    result = load(SCRATCH_FD);
    check(result, "/status", "\"succeeded\"");
}

/* ---- reports ----------------------------------------------------------------------------------
 */

static void describes_reports(void **state)
{
    static const struct {
        const char *report;
        CallEventType type;
        const char *details;
    } rows[] = {
        {"{\"type\":\"progress\",\"phase\":\"p\",\"message\":\"m\",\"done\":1,\"total\":2.5,"
         "\"unit\":\"files\",\"other\":1}",
         CALL_EVENT_PROGRESS,
         "{\"phase\":\"p\",\"message\":\"m\",\"done\":1,\"total\":2.5,\"unit\":\"files\"}"},
        {"{\"type\":\"progress\",\"phase\":1,\"done\":\"1\"}", CALL_EVENT_PROGRESS, "{}"},
        {"{\"type\":\"output\",\"name\":\"n\",\"value\":[1]}", CALL_EVENT_OUTPUT,
         "{\"name\":\"n\",\"value\":[1]}"},
        {"{\"type\":\"output\",\"name\":\"n\"}", CALL_EVENT_OUTPUT,
         "{\"name\":\"n\",\"value\":null}"},
        {"{\"type\":\"reason\",\"text\":\"why\"}", CALL_EVENT_PROGRESS, "{\"message\":\"why\"}"},
        {"{\"type\":\"artifact\",\"name\":\"a\",\"file\":\"a.txt\",\"size\":0,\"sha256\":\"" DIGEST
         "\",\"format\":\"file\"}",
         CALL_EVENT_ARTIFACT,
         "{\"artifact\":\"c1/a\",\"name\":\"a\",\"size\":0,\"sha256\":\"" DIGEST
         "\",\"format\":\"file\"}"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_json_ Json *json = json_new_object(), *details = NULL;
        _cleanup_buffer_ Buffer text = {0};
        JournalRecord record = {.type = JOURNAL_REPORT, .json = json};
        CallEventType type;

        assert_int_equal(json_set_string(json, "line", rows[i].report), 0);
        assert_int_equal(result_describe_report("c1", &record, &type, &details), 0);
        assert_int_equal(type, rows[i].type);
        assert_int_equal(json_format(details, &text), 0);
        assert_string_equal(buffer_text(&text), rows[i].details);
    }
}

#define ARTIFACT(name, file, size, digest, format)                                      \
    "{\"type\":\"artifact\",\"name\":\"" name "\",\"file\":\"" file "\",\"size\":" size \
    ",\"sha256\":\"" digest "\",\"format\":\"" format "\"}"

static const char *const senseless[] = {
    "",
    "no json",
    "null",
    "[]",
    "{}",
    "{\"type\":1}",
    "{\"type\":\"boast\"}",
    "{\"type\":\"output\"}",
    "{\"type\":\"reason\"}",
    "{\"type\":\"artifact\"}",
    ARTIFACT("../a", "a", "1", DIGEST, "file"),
    ARTIFACT("a", "../../spec.json", "1", DIGEST, "file"),
    ARTIFACT("a", "..", "1", DIGEST, "file"),
    ARTIFACT("a", "", "1", DIGEST, "file"),
    ARTIFACT("a", "a", "-1", DIGEST, "file"),
    ARTIFACT("a", "a", "1", "abc", "file"),
    ARTIFACT("a", "a", "1", DIGEST, "zip"),
    NULL,
};

/* Each is an event, so that the numbers have no gap, and changes nothing. */
static void ignores_what_makes_no_sense(void **state)
{
    _cleanup_json_ Json *result = NULL;

    for (size_t i = 0; senseless[i]; i++) {
        _cleanup_json_ Json *json = json_new_object(), *details = NULL;
        JournalRecord record = {.type = JOURNAL_REPORT, .json = json};
        CallEventType type;

        assert_int_equal(json_set_string(json, "line", senseless[i]), 0);
        assert_int_equal(result_describe_report("c1", &record, &type, &details), 0);
        assert_int_equal(type, CALL_EVENT_PROGRESS);
        assert_non_null(strstr(json_get_string(details, "message"), "is ignored: "));
    }
    write_journal(SCRATCH_FD, senseless, SUCCEEDED);
    result = load(SCRATCH_FD);
    check(result, "/outputs", "{}");
    check(result, "/artifacts", "[]");
    check_absent(result, "reason");
}

/* ---- limits -----------------------------------------------------------------------------------
 */

static void add(Result *result, Json *report)
{
    _cleanup_json_ Json *record_json = json_new_object();
    _cleanup_buffer_ Buffer line = {0};
    JournalRecord record = {.type = JOURNAL_REPORT, .json = record_json};

    assert_int_equal(json_format(report, &line), 0);
    assert_int_equal(json_set_string(record_json, "line", buffer_text(&line)), 0);
    assert_int_equal(result_add(result, "c1", &record), 0);
    (void)json_unref(report);
}

static Json *new_output(const char *name, size_t size)
{
    Json *report = json_new_object();
    char *text = calloc(1, size + 1);

    memset(text, 'x', size);
    assert_int_equal(json_set_string(report, "type", "output"), 0);
    assert_int_equal(json_set_string(report, "name", name), 0);
    assert_int_equal(json_set_string(report, "value", text), 0);
    free(text);
    return report;
}

static void bounds_outputs(void **state)
{
    _cleanup_result_ Result result = RESULT_EMPTY;

    add(&result, new_output("a", RESULT_OUTPUTS_MAX / 2));
    add(&result, new_output("b", RESULT_OUTPUTS_MAX / 2)); /* with quotes and names: too much */
    assert_true(json_has(result.outputs, "a"));
    assert_false(json_has(result.outputs, "b"));
    add(&result, new_output("a", 10)); /* in its place there is room again */
    add(&result, new_output("b", RESULT_OUTPUTS_MAX / 2));
    assert_true(json_has(result.outputs, "b"));
}

static void bounds_artifacts_and_replaces_them(void **state)
{
    _cleanup_result_ Result result = RESULT_EMPTY;

    for (unsigned i = 0; i < RESULT_ARTIFACTS_MAX + 3; i++) {
        Json *report = json_new_object();
        char name[16];

        (void)snprintf(name, sizeof(name), "a%u", i == 1 ? 0 : i); /* the second is the first */
        assert_int_equal(json_set_string(report, "type", "artifact"), 0);
        assert_int_equal(json_set_string(report, "name", name), 0);
        assert_int_equal(json_set_string(report, "file", name), 0);
        assert_int_equal(json_set_int(report, "size", i), 0);
        assert_int_equal(json_set_string(report, "sha256", DIGEST), 0);
        assert_int_equal(json_set_string(report, "format", "file"), 0);
        add(&result, report);
    }
    assert_int_equal(json_length(result.artifacts), RESULT_ARTIFACTS_MAX);
    assert_int_equal(json_get_int(json_at(result.artifacts, 0), "size", -1), 1);
    assert_string_equal(json_get_string(json_at(result.artifacts, 1), "name"), "a2");
}

static void keeps_the_newest_progress(void **state)
{
    _cleanup_result_ Result result = RESULT_EMPTY;
    _cleanup_free_ char *message = malloc(2001);
    Json *report = json_new_object();

    assert_non_null(message);
    for (size_t i = 0; i < 1000; i++) {
        memcpy(message + 2 * i, "ä", 2);
    }
    message[2000] = '\0';
    assert_int_equal(json_set_string(report, "type", "progress"), 0);
    assert_int_equal(json_set_string(report, "phase", "old"), 0);
    add(&result, report);
    report = json_new_object();
    assert_int_equal(json_set_string(report, "type", "progress"), 0);
    assert_int_equal(json_set_string(report, "message", message + 1), 0); /* half a letter first */
    assert_int_equal(json_set_int(report, "done", 3), 0);
    add(&result, report);
    assert_false(json_has(result.progress, "phase"));
    assert_int_equal(json_get_int(result.progress, "done", 0), 3);
    assert_true(strlen(json_get_string(result.progress, "message")) <= RESULT_PROGRESS_TEXT_MAX);
    assert_true(strlen(json_get_string(result.progress, "message")) > RESULT_PROGRESS_TEXT_MAX - 4);
}

static void bounds_failures_and_reason(void **state)
{
    _cleanup_result_ Result result = RESULT_EMPTY;
    _cleanup_free_ char *text = calloc(1, RESULT_REASON_MAX + 10);
    Json *tests = json_new_object(), *failures = json_new_array(), *report = json_new_object();

    for (unsigned i = 0; i < RESULT_FAILURES_MAX + 5; i++) {
        assert_int_equal(json_append_take(failures, json_new_object()), 0);
    }
    assert_int_equal(json_set_take(tests, "failures", failures), 0);
    assert_int_equal(json_set_string(report, "type", "output"), 0);
    assert_int_equal(json_set_string(report, "name", "tests"), 0);
    assert_int_equal(json_set_take(report, "value", tests), 0);
    add(&result, report);
    assert_int_equal(json_length(json_get(result.tests, "failures")), RESULT_FAILURES_MAX);

    report = json_new_object();
    memset(text, 'x', RESULT_REASON_MAX - 1);
    memcpy(text + RESULT_REASON_MAX - 1, "\xc3\xa4z", 3); /* not in the middle of a character */
    assert_int_equal(json_set_string(report, "type", "reason"), 0);
    assert_int_equal(json_set_string(report, "text", text), 0);
    add(&result, report);
    assert_int_equal(strlen(result.reason), RESULT_REASON_MAX - 1);
}

static void keeps_file_names_to_itself(void **state)
{
    static const char text[] = "[{\"name\":\"a\",\"file\":\"a.txt\"}]";
    _cleanup_json_ Json *artifacts = NULL, *copy = NULL, *empty = NULL;

    assert_int_equal(json_parse(text, strlen(text), &artifacts, NULL), 0);
    assert_int_equal(result_copy_artifacts(artifacts, &copy), 0);
    check(copy, "", "[{\"name\":\"a\"}]");
    check(artifacts, "/0/file", "\"a.txt\"");
    assert_int_equal(result_copy_artifacts(NULL, &empty), 0);
    check(empty, "", "[]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(builds_a_success),
        scratch_test(takes_the_runners_reason),
        scratch_test(takes_the_shims_reason_for_what_it_ended),
        scratch_test(tells_nothing_of_what_was_not_measured),
        scratch_test(builds_one_that_never_started),
        scratch_test(ends_by_status_json_where_the_journal_lost_it),
        scratch_test(makes_a_torn_result_again),
        cmocka_unit_test(describes_reports),
        scratch_test(ignores_what_makes_no_sense),
        cmocka_unit_test(bounds_outputs),
        cmocka_unit_test(bounds_artifacts_and_replaces_them),
        cmocka_unit_test(keeps_the_newest_progress),
        cmocka_unit_test(bounds_failures_and_reason),
        cmocka_unit_test(keeps_file_names_to_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
