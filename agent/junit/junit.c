/* SPDX-License-Identifier: MIT */
#include "agent/junit/junit.h"

#include "agent/junit/junit-text.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <expat.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define READ_STEP ((size_t)32 << 10)

/* Longer than any test; a number that is larger is none. */
#define SECONDS_MAX 1e9

typedef enum Outcome {
    OUTCOME_PASSED,
    OUTCOME_SKIPPED,
    OUTCOME_FAILED, /* counts more than skipped: a case may have both */
} Outcome;

typedef struct JunitReader {
    XML_Parser parser;
    JunitText text;
    Buffer repaired;
    size_t fed_since_event; /* to see a token that does not end */
    TestSums *sums;
    Error *err;
    int code; /* why we stopped the parser */
    unsigned depth;
    bool has_root;

    Buffer suite; /* name of the innermost test suite that began last */
    bool is_in_case;
    unsigned case_depth;
    Buffer case_suite, case_name, message;
    Outcome outcome;
    bool is_in_failure;
    bool has_message_attribute;
} JunitReader;

/* ---- sums -------------------------------------------------------------------------------------
 */

void test_sums_done(TestSums *sums)
{
    for (size_t i = 0; i < sums->n_failures; i++) {
        free(sums->failures[i].suite);
        free(sums->failures[i].name);
        free(sums->failures[i].message);
    }
    free(sums->failures);
    *sums = (TestSums){0};
}

static int append_failure(Json *array, const TestFailure *failure)
{
    _cleanup_json_ Json *object = json_new_object();
    int r = object ? json_set_string(object, "suite", failure->suite) : -ENOMEM;

    r = r == 0 ? json_set_string(object, "name", failure->name) : r;
    r = r == 0 ? json_set_string(object, "message", failure->message) : r;
    return r == 0 ? json_append_take(array, TAKE_PTR(object)) : r;
}

static int set_seconds(Json *object, double seconds)
{
    char text[64];
    Json *value = NULL;
    int n = snprintf(text, sizeof(text), "%.3f", seconds);
    int r = json_parse(text, (size_t)n, &value, NULL);

    return r == 0 ? json_set_take(object, "seconds", value) : r;
}

static int make_sums(const TestSums *sums, size_t n_failures, Json **ret)
{
    _cleanup_json_ Json *object = json_new_object(), *failures = json_new_array();
    int r = object && failures ? json_set_int(object, "total", sums->total) : -ENOMEM;

    r = r == 0 ? json_set_int(object, "passed", sums->total - sums->failed - sums->skipped) : r;
    r = r == 0 ? json_set_int(object, "failed", sums->failed) : r;
    r = r == 0 ? json_set_int(object, "skipped", sums->skipped) : r;
    r = r == 0 ? set_seconds(object, sums->seconds) : r;
    for (size_t i = 0; r == 0 && i < n_failures; i++) {
        r = append_failure(failures, &sums->failures[i]);
    }
    r = r == 0 ? json_set_take(object, "failures", TAKE_PTR(failures)) : r;
    if (r == 0) {
        *ret = TAKE_PTR(object);
    }
    return r;
}

int test_sums_to_json(const TestSums *sums, Json **ret)
{
    for (size_t n = sums->n_failures;; n /= 2) {
        _cleanup_buffer_ Buffer line = BUFFER_INIT(JUNIT_SUMS_MAX);
        _cleanup_json_ Json *object = NULL;
        int r = make_sums(sums, n, &object);

        r = r == 0 ? json_format(object, &line) : r;
        if (r == 0) {
            *ret = TAKE_PTR(object);
        }
        if (r != -ENOBUFS || n == 0) {
            return r;
        }
    }
}

static int add_failure(TestSums *sums, char *suite_take, char *name_take, char *message_take)
{
    TestFailure failure = {suite_take, name_take, message_take};
    TestFailure *failures =
        reallocarray(sums->failures, sums->n_failures + 1, sizeof(*sums->failures));

    if (failures) {
        sums->failures = failures;
    }
    if (!failures || !suite_take || !name_take || !message_take) {
        free(suite_take);
        free(name_take);
        free(message_take);
        return -ENOMEM;
    }
    failures[sums->n_failures++] = failure;
    return 0;
}

/* ---- elements ---------------------------------------------------------------------------------
 */

static void stop(JunitReader *reader, int code, const char *format, const char *what)
{
    if (reader->code == 0) {
        reader->code = code;
        (void)error_set(reader->err, code, "line %lu: %s%s",
                        (unsigned long)XML_GetCurrentLineNumber(reader->parser), format, what);
    }
    (void)XML_StopParser(reader->parser, XML_FALSE);
}

/* Replaces what is in `b`; cut at a character where it is too long. */
static void set_text(JunitReader *reader, Buffer *b, const char *text, size_t max)
{
    size_t n = strnlen(text, max);

    if (text[n]) {
        n -= text_utf8_incomplete_tail(text, n);
    }
    buffer_clear(b);
    if (buffer_append(b, text, n) < 0) {
        stop(reader, -ENOMEM, "out of memory", "");
    }
}

/* Names as they come, namespaces' prefixes left out. */
static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');

    return colon ? colon + 1 : name;
}

static const char *attribute(const char **attributes, const char *name)
{
    for (; *attributes; attributes += 2) {
        if (strcmp(local_name(attributes[0]), name) == 0) {
            return attributes[1];
        }
    }
    return NULL;
}

/* "1.5", and "1,234.5" as surefire writes it. */
static double parse_seconds(const char *text)
{
    char digits[64], *end;
    size_t n = 0;
    double seconds;

    for (; text && *text && n + 1 < sizeof(digits); text++) {
        if (*text != ',') {
            digits[n++] = *text;
        }
    }
    digits[n] = '\0';
    seconds = strtod(digits, &end);
    return *end == '\0' && isfinite(seconds) && seconds > 0 && seconds < SECONDS_MAX ? seconds : 0;
}

static void begin_case(JunitReader *reader, const char **attributes)
{
    const char *name = attribute(attributes, "name"), *class = attribute(attributes, "classname");
    const char *status = attribute(attributes, "status"), *result = attribute(attributes, "result");

    reader->is_in_case = true;
    reader->case_depth = reader->depth;
    reader->outcome = OUTCOME_PASSED;
    reader->has_message_attribute = false;
    /* GoogleTest has no <skipped>: a disabled test says so in an attribute. */
    if ((status && (strcmp(status, "notrun") == 0 || strcmp(status, "disabled") == 0)) ||
        (result && (strcmp(result, "skipped") == 0 || strcmp(result, "suppressed") == 0))) {
        reader->outcome = OUTCOME_SKIPPED;
    }
    set_text(reader, &reader->case_name, name ? name : "", JUNIT_NAME_MAX);
    set_text(reader, &reader->case_suite, class && *class ? class : buffer_text(&reader->suite),
             JUNIT_NAME_MAX);
    buffer_clear(&reader->message);
    reader->sums->seconds += parse_seconds(attribute(attributes, "time"));
}

static void end_case(JunitReader *reader)
{
    TestSums *sums = reader->sums;

    reader->is_in_case = false;
    sums->total++;
    sums->skipped += reader->outcome == OUTCOME_SKIPPED;
    if (reader->outcome != OUTCOME_FAILED) {
        return;
    }
    sums->failed++;
    if (sums->n_failures < JUNIT_FAILURES_MAX &&
        add_failure(sums, buffer_take_text(&reader->case_suite),
                    buffer_take_text(&reader->case_name), buffer_take_text(&reader->message)) < 0) {
        stop(reader, -ENOMEM, "out of memory", "");
    }
}

/* What a test case can contain. `flakyFailure` and its like, of a test that passed in the end, are
 * none of these. */
static void begin_in_case(JunitReader *reader, const char *name, const char **attributes)
{
    const char *message = attribute(attributes, "message");

    if (strcmp(name, "skipped") == 0) {
        if (reader->outcome == OUTCOME_PASSED) {
            reader->outcome = OUTCOME_SKIPPED;
        }
    } else if (strcmp(name, "failure") == 0 || strcmp(name, "error") == 0) {
        if (reader->outcome != OUTCOME_FAILED) { /* of several, the first tells most */
            reader->is_in_failure = true;
            reader->has_message_attribute = message && *message;
            set_text(reader, &reader->message, message ? message : "", JUNIT_MESSAGE_MAX);
        }
        reader->outcome = OUTCOME_FAILED;
    }
}

static void on_start(void *userdata, const char *qualified, const char **attributes)
{
    JunitReader *reader = userdata;
    const char *name = local_name(qualified), *suite = attribute(attributes, "name");
    bool is_suite = strcmp(name, "testsuite") == 0;

    reader->fed_since_event = 0;
    if (++reader->depth > JUNIT_DEPTH_MAX) {
        stop(reader, -EINVAL, "elements are nested too deep", "");
        return;
    }
    if (!reader->has_root && !is_suite && strcmp(name, "testsuites") != 0) {
        stop(reader, -EINVAL,
             "not JUnit XML: it begins with <testsuites> or <testsuite>, not with ", name);
        return;
    }
    reader->has_root = true;
    if (reader->is_in_case) {
        begin_in_case(reader, name, attributes);
    } else if (strcmp(name, "testcase") == 0) {
        begin_case(reader, attributes);
    } else if (is_suite) {
        set_text(reader, &reader->suite, suite ? suite : "", JUNIT_NAME_MAX);
    }
}

static void on_end(void *userdata, const char *qualified)
{
    JunitReader *reader = userdata;

    reader->fed_since_event = 0;
    if (reader->is_in_case && reader->depth == reader->case_depth) {
        end_case(reader);
    } else if (reader->depth == reader->case_depth + 1) {
        reader->is_in_failure = false;
    }
    reader->depth--;
}

static void on_text(void *userdata, const char *text, int n)
{
    JunitReader *reader = userdata;
    Buffer *message = &reader->message;
    size_t room, take;

    reader->fed_since_event = 0;
    if (!reader->is_in_failure || reader->has_message_attribute ||
        message->len >= JUNIT_MESSAGE_MAX) {
        return;
    }
    room = JUNIT_MESSAGE_MAX - message->len;
    take = MIN((size_t)n, room);
    if (take < (size_t)n) {
        take -= text_utf8_incomplete_tail(text, take);
    }
    if (buffer_append(message, text, take) < 0) {
        stop(reader, -ENOMEM, "out of memory", "");
    }
}

static void on_other(void *userdata, const char *text)
{
    ((JunitReader *)userdata)->fed_since_event = 0;
}

static void on_instruction(void *userdata, const char *target, const char *text)
{
    ((JunitReader *)userdata)->fed_since_event = 0;
}

/* Entities come with it, and JUnit has no use for one. */
static void on_doctype(void *userdata, const char *name, const char *system_id,
                       const char *public_id, int has_subset)
{
    stop(userdata, -EINVAL, "a DOCTYPE, which JUnit XML does not have, is refused", "");
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static void reader_done(JunitReader *reader)
{
    if (reader->parser) {
        XML_ParserFree(reader->parser);
    }
    junit_text_done(&reader->text);
    buffer_done(&reader->repaired);
    buffer_done(&reader->suite);
    buffer_done(&reader->case_suite);
    buffer_done(&reader->case_name);
    buffer_done(&reader->message);
}

static int reader_init(JunitReader *reader, TestSums *sums, Error *err)
{
    *reader = (JunitReader){.sums = sums, .err = err};
    reader->parser = XML_ParserCreate("UTF-8"); /* whatever it says: junit-text made it so */
    if (!reader->parser) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader->parser, on_text);
    XML_SetCommentHandler(reader->parser, on_other);
    XML_SetProcessingInstructionHandler(reader->parser, on_instruction);
    XML_SetStartDoctypeDeclHandler(reader->parser, on_doctype);
    return 0;
}

static int reader_feed(JunitReader *reader, const char *data, size_t n, bool is_last)
{
    enum XML_Status status;
    int r;

    buffer_clear(&reader->repaired);
    r = junit_text_feed(&reader->text, data, n, is_last, &reader->repaired);
    if (r < 0) {
        return error_set(reader->err, r,
                         r == -EINVAL ? "UTF-16 and UTF-32 are not understood" : "out of memory");
    }
    reader->fed_since_event += reader->repaired.len;
    status = XML_Parse(reader->parser, buffer_text(&reader->repaired), (int)reader->repaired.len,
                       is_last);
    if (reader->code < 0) {
        return reader->code;
    }
    if (status != XML_STATUS_OK) {
        return error_set(reader->err, -EINVAL, "line %lu: %s",
                         (unsigned long)XML_GetCurrentLineNumber(reader->parser),
                         XML_ErrorString(XML_GetErrorCode(reader->parser)));
    }
    if (reader->fed_since_event > JUNIT_TOKEN_MAX) {
        return error_set(reader->err, -EINVAL, "line %lu: a tag or comment has more than %zu bytes",
                         (unsigned long)XML_GetCurrentLineNumber(reader->parser), JUNIT_TOKEN_MAX);
    }
    return 0;
}

int junit_parse(const char *text, size_t n, TestSums *sums, Error *err)
{
    _cleanup_(reader_done) JunitReader reader;
    int r = reader_init(&reader, sums, err);

    for (size_t at = 0; r == 0 && at < n; at += READ_STEP) {
        r = reader_feed(&reader, text + at, MIN(READ_STEP, n - at), false);
    }
    return r == 0 ? reader_feed(&reader, "", 0, true) : r;
}

int junit_read(int fd, const char *name, TestSums *sums, Error *err)
{
    _cleanup_(reader_done) JunitReader reader;
    char data[READ_STEP];
    struct stat st;
    ssize_t n;
    int r = reader_init(&reader, sums, err);

    if (r == 0 && fstat(fd, &st) == 0 && st.st_size > JUNIT_FILE_MAX) {
        r = error_set(err, -EINVAL, "larger than %lld bytes", (long long)JUNIT_FILE_MAX);
    }
    do {
        n = r == 0 ? fd_read_full(fd, data, sizeof(data)) : 0;
        if (n < 0) {
            r = error_set_errno(err, (int)n, "cannot read it");
        } else if (r == 0) {
            r = reader_feed(&reader, data, (size_t)n, n == 0);
        }
    } while (n > 0 && r == 0);
    return r < 0 ? error_wrap(err, "JUnit file '%s'", name) : 0;
}
