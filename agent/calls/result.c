/* SPDX-License-Identifier: MIT */
#include "agent/calls/result.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SHA256_HEX_LEN 64

/* ---- one report -------------------------------------------------------------------------------
 */

typedef enum ReportType {
    REPORT_PROGRESS,
    REPORT_OUTPUT,
    REPORT_ARTIFACT,
    REPORT_REASON,
    REPORT_UNKNOWN,
} ReportType;

typedef struct Report {
    ReportType type;
    Json *json;
    const char *problem; /* unknown */
} Report;

static void report_done(Report *report)
{
    (void)json_unref(report->json);
}

static bool is_sha256(const char *text)
{
    return text && strlen(text) == SHA256_HEX_LEN &&
           strspn(text, "0123456789abcdef") == SHA256_HEX_LEN;
}

static const char *artifact_problem(const Json *json)
{
    const char *name = json_get_string(json, "name"), *file = json_get_string(json, "file");
    const char *format = json_get_string(json, "format");

    if (!name || !text_is_identifier(name)) {
        return "an artifact whose 'name' is no identifier";
    }
    if (!file || !*file || strchr(file, '/') || strcmp(file, ".") == 0 || strcmp(file, "..") == 0) {
        return "an artifact whose 'file' is not a file of artifacts/";
    }
    if (!format || (strcmp(format, "tar.zst") != 0 && strcmp(format, "file") != 0)) {
        return "an artifact whose 'format' is neither tar.zst nor file";
    }
    if (json_get_int(json, "size", -1) < 0 || !is_sha256(json_get_string(json, "sha256"))) {
        return "an artifact without its size and SHA-256";
    }
    return NULL;
}

static void classify(Report *report)
{
    const char *type = json_get_string(report->json, "type");

    report->type = REPORT_UNKNOWN;
    if (!type) {
        report->problem = "no JSON object with a 'type'";
    } else if (strcmp(type, "progress") == 0) {
        report->type = REPORT_PROGRESS;
    } else if (strcmp(type, "output") == 0) {
        report->problem = "an output without a name";
        report->type = json_get_string(report->json, "name") ? REPORT_OUTPUT : REPORT_UNKNOWN;
    } else if (strcmp(type, "reason") == 0) {
        report->problem = "a reason without text";
        report->type = json_get_string(report->json, "text") ? REPORT_REASON : REPORT_UNKNOWN;
    } else if (strcmp(type, "artifact") == 0) {
        report->problem = artifact_problem(report->json);
        report->type = report->problem ? REPORT_UNKNOWN : REPORT_ARTIFACT;
    } else {
        report->problem = "of no known type";
    }
}

static int read_report(const JournalRecord *record, Report *ret)
{
    const Json *line = json_get(record->json, "line");
    const char *text = json_as_string(line);
    Report report = {0};

    if (text && json_parse(text, json_as_string_len(line), &report.json, NULL) == -ENOMEM) {
        return -ENOMEM;
    }
    classify(&report);
    *ret = report;
    return 0;
}

static int copy_member(Json *to, const Json *from, const char *name)
{
    return json_has(from, name) ? json_set_take(to, name, json_ref(json_get(from, name))) : 0;
}

static int describe_progress(const Json *json, Json *details)
{
    static const struct {
        const char *name;
        bool is_text;
    } members[] = {
        {"phase", true}, {"message", true}, {"done", false}, {"total", false}, {"unit", true}};
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(members); i++) {
        JsonType type = json_type_of(json_get(json, members[i].name));

        if (members[i].is_text ? type == JSON_STRING
                               : type == JSON_INTEGER || type == JSON_NUMBER) {
            r = copy_member(details, json, members[i].name);
        }
    }
    return r;
}

static int describe_artifact(const char *call, const Json *json, Json *details)
{
    static const char *const members[] = {"name", "size", "sha256", "format"};
    _cleanup_free_ char *artifact = NULL;
    int r;

    if (asprintf(&artifact, "%s/%s", call, json_get_string(json, "name")) < 0) {
        artifact = NULL;
        return -ENOMEM;
    }
    r = json_set_string(details, "artifact", artifact);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(members); i++) {
        r = copy_member(details, json, members[i]);
    }
    if (r == 0 && json_get_int(json, "entries", -1) >= 0) {
        r = copy_member(details, json, "entries");
    }
    return r;
}

static int describe_output(const Json *json, Json *details)
{
    int r = copy_member(details, json, "name");

    if (r < 0) {
        return r;
    }
    return json_get(json, "value") ? copy_member(details, json, "value")
                                   : json_set_null(details, "value");
}

static int describe_unknown(const Report *report, Json *details)
{
    _cleanup_free_ char *text = NULL;

    if (asprintf(&text, "a report of the action is ignored: %s", report->problem) < 0) {
        text = NULL;
        return -ENOMEM;
    }
    return json_set_string(details, "message", text);
}

static int describe(const char *call, const Report *report, CallEventType *ret_type, Json *details)
{
    switch (report->type) {
    case REPORT_OUTPUT:
        *ret_type = CALL_EVENT_OUTPUT;
        return describe_output(report->json, details);
    case REPORT_ARTIFACT:
        *ret_type = CALL_EVENT_ARTIFACT;
        return describe_artifact(call, report->json, details);
    case REPORT_REASON:
        *ret_type = CALL_EVENT_PROGRESS;
        return json_set_string(details, "message", json_get_string(report->json, "text"));
    case REPORT_PROGRESS:
        *ret_type = CALL_EVENT_PROGRESS;
        return describe_progress(report->json, details);
    case REPORT_UNKNOWN:
        break;
    }
    *ret_type = CALL_EVENT_PROGRESS;
    return describe_unknown(report, details);
}

int result_describe_report(const char *call, const JournalRecord *record, CallEventType *ret_type,
                           Json **ret_details)
{
    _cleanup_(report_done) Report report = {0};
    _cleanup_json_ Json *details = json_new_object();
    CallEventType type = CALL_EVENT_PROGRESS;
    int r;

    if (!details) {
        return -ENOMEM;
    }
    r = read_report(record, &report);
    r = r == 0 ? describe(call, &report, &type, details) : r;
    if (r < 0) {
        return r;
    }
    *ret_type = type;
    *ret_details = TAKE_PTR(details);
    return 0;
}

/* ---- gathering --------------------------------------------------------------------------------
 */

void result_done(Result *result)
{
    (void)json_unref(result->outputs);
    (void)json_unref(result->progress);
    (void)json_unref(result->tests);
    (void)json_unref(result->artifacts);
    (void)json_unref(result->end);
    free(result->reason);
    *result = RESULT_EMPTY;
}

static int size_of(const Json *value, size_t *ret)
{
    _cleanup_buffer_ Buffer text = {0};
    int r = json_format(value, &text);

    *ret = text.len;
    return r;
}

static void cut_failures(Json *tests)
{
    Json *failures = json_get(tests, "failures"), *first;

    if (json_length(failures) <= RESULT_FAILURES_MAX) {
        return;
    }
    first = json_new_array();
    for (size_t i = 0; first && i < RESULT_FAILURES_MAX; i++) {
        if (json_append_take(first, json_ref(json_at(failures, i))) < 0) {
            first = json_unref(first);
        }
    }
    if (!first || json_set_take(tests, "failures", first) < 0) {
        json_remove(tests, "failures");
    }
}

/* An output of the same name replaces the one before. */
static int add_output(Result *result, const Json *json)
{
    const char *name = json_get_string(json, "name");
    Json *value = json_get(json, "value");
    size_t size, old_size = 0;
    int r;

    if (strcmp(name, "tests") == 0 && json_type_of(value) == JSON_OBJECT) {
        (void)json_unref(result->tests);
        result->tests = json_ref(value);
        cut_failures(result->tests);
        return 0;
    }
    if (!result->outputs && !(result->outputs = json_new_object())) {
        return -ENOMEM;
    }
    r = size_of(value, &size);
    if (r == 0 && json_has(result->outputs, name)) {
        r = size_of(json_get(result->outputs, name), &old_size);
        old_size += strlen(name);
    }
    if (r < 0) {
        return r;
    }
    size += strlen(name);
    if (result->outputs_size - old_size + size > RESULT_OUTPUTS_MAX) {
        return 0; /* still an event; only the summary is bounded */
    }
    result->outputs_size += size - old_size;
    return value ? json_set_take(result->outputs, name, json_ref(value))
                 : json_set_null(result->outputs, name);
}

static Json *find_artifact(const Json *artifacts, const char *name)
{
    for (size_t i = 0; i < json_length(artifacts); i++) {
        Json *artifact = json_at(artifacts, i);

        if (strcmp(json_get_string(artifact, "name"), name) == 0) {
            return artifact;
        }
    }
    return NULL;
}

static int add_artifact(Result *result, const char *call, const Json *json)
{
    Json *existing = find_artifact(result->artifacts, json_get_string(json, "name")), *artifact;
    int r;

    if (!result->artifacts && !(result->artifacts = json_new_array())) {
        return -ENOMEM;
    }
    if (!existing && json_length(result->artifacts) >= RESULT_ARTIFACTS_MAX) {
        return 0;
    }
    artifact = existing ? existing : json_new_object();
    if (!artifact) {
        return -ENOMEM;
    }
    json_remove(artifact, "entries");
    r = describe_artifact(call, json, artifact);
    r = r == 0 ? copy_member(artifact, json, "file") : r;
    if (existing) {
        return r;
    }
    if (r < 0) {
        (void)json_unref(artifact);
        return r;
    }
    return json_append_take(result->artifacts, artifact);
}

static int add_reason(Result *result, const Json *json)
{
    const char *text = json_get_string(json, "text");
    size_t n = strlen(text);
    char *reason;

    n = n <= RESULT_REASON_MAX ? n : text_utf8_prefix(text, RESULT_REASON_MAX);
    reason = strndup(text, n);
    if (!reason) {
        return -ENOMEM;
    }
    free(result->reason);
    result->reason = reason;
    result->reason_exit_code = json_get_int(json, "exitCode", -1);
    return 0;
}

static int cut_text(Json *object, const char *name)
{
    const Json *value = json_get(object, name);
    const char *text = json_as_string(value);

    return text && json_as_string_len(value) > RESULT_PROGRESS_TEXT_MAX
               ? json_set_take(
                     object, name,
                     json_new_string_n(text, text_utf8_prefix(text, RESULT_PROGRESS_TEXT_MAX)))
               : 0;
}

/* The newest alone is kept, for lists. */
static int set_progress(Result *result, const Json *json)
{
    _cleanup_json_ Json *progress = json_new_object();
    int r = progress ? describe_progress(json, progress) : -ENOMEM;

    r = r < 0 ? r : cut_text(progress, "phase");
    r = r < 0 ? r : cut_text(progress, "message");
    if (r < 0) {
        return r;
    }
    (void)json_unref(result->progress);
    result->progress = TAKE_PTR(progress);
    return 0;
}

static int add_report(Result *result, const char *call, const JournalRecord *record)
{
    _cleanup_(report_done) Report report = {0};
    int r = read_report(record, &report);

    if (r < 0) {
        return r;
    }
    switch (report.type) {
    case REPORT_OUTPUT:
        return add_output(result, report.json);
    case REPORT_ARTIFACT:
        return add_artifact(result, call, report.json);
    case REPORT_REASON:
        return add_reason(result, report.json);
    case REPORT_PROGRESS:
        return set_progress(result, report.json);
    case REPORT_UNKNOWN:
        break;
    }
    return 0;
}

int result_add(Result *result, const char *call, const JournalRecord *record)
{
    switch (record->type) {
    case JOURNAL_STARTED:
        result->started_us = record->time_us;
        return 0;
    case JOURNAL_REPORT:
        return add_report(result, call, record);
    case JOURNAL_FINISHED:
        (void)json_unref(result->end);
        result->end = json_ref((Json *)record->json);
        return 0;
    case JOURNAL_LOG:
    case _JOURNAL_TYPE_MAX:
        break;
    }
    return 0;
}

int result_read(Result *result, const char *call, Journal *journal, Error *err)
{
    JournalRecord record;
    int r;

    while ((r = journal_next(journal, &record, err)) > 0) {
        r = result_add(result, call, &record);
        if (r < 0) {
            return error_set(err, r, "out of memory");
        }
    }
    return r < 0 ? r : result->end != NULL;
}

/* ---- the result -------------------------------------------------------------------------------
 */

static int set_time(Json *object, const char *name, int64_t wall_us)
{
    char text[CLOCK_TEXT_SIZE];

    return json_set_string(object, name, clock_format(wall_us, text));
}

/* The runner knows best why it failed; what ended it from outside knows better than the runner. */
static int build_end(const Result *result, Json *out)
{
    const char *status = json_get_string(result->end, "status");
    const char *reason = json_get_string(result->end, "reason");
    int64_t exit_code = json_get_int(result->end, "exitCode", -1);
    int64_t signal = json_get_int(result->end, "signal", 0);
    bool is_own = status && (strcmp(status, "failed") == 0 || strcmp(status, "refused") == 0);
    int r;

    status = status ? status : "failed";
    if (is_own && result->reason) {
        reason = result->reason;
        exit_code = result->reason_exit_code >= 0 ? result->reason_exit_code : exit_code;
    }
    r = json_set_string(out, "status", status);
    if (r == 0 && exit_code >= 0) {
        r = json_set_int(out, "exitCode", exit_code);
    }
    if (r == 0 && signal > 0) {
        r = json_set_int(out, "signal", signal);
    }
    if (r == 0 && reason && *reason && strcmp(status, "succeeded") != 0) {
        r = json_set_string(out, "reason", reason);
    }
    return r;
}

static int build_processes(const Result *result, Json *out)
{
    int64_t survivors = json_get_int(result->end, "survivors", -1);
    _cleanup_json_ Json *resources = NULL;
    int r = 0;

    if (survivors >= 0) {
        r = json_set_int(out, "survivors", survivors);
    }
    if (r < 0 || !result->started_us) {
        return r;
    }
    resources = json_new_object();
    r = json_set_int(out, "leftovers", json_get_int(result->end, "leftovers", 0));
    if (r < 0 || survivors < 0) { /* lost: nobody measured */
        return r;
    }
    r = resources ? 0 : -ENOMEM;
    r = r == 0
            ? call_dir_set_seconds(resources, "userSeconds", json_get_int(result->end, "userUs", 0))
            : r;
    r = r == 0 ? call_dir_set_seconds(resources, "systemSeconds",
                                      json_get_int(result->end, "systemUs", 0))
               : r;
    r = r == 0 ? json_set_int(resources, "maxRssBytes", json_get_int(result->end, "maxRssBytes", 0))
               : r;
    return r == 0 ? json_set_take(out, "resources", TAKE_PTR(resources)) : r;
}

static int build_times(const Result *result, const CallSpec *spec, Json *out)
{
    int64_t finished_us = json_get_int(result->end, "time", 0);
    int64_t started_us = result->started_us;
    int r = set_time(out, "createdAt", spec->created_us);

    if (r == 0 && started_us) {
        r = set_time(out, "startedAt", started_us);
    }
    r = r == 0 ? set_time(out, "finishedAt", finished_us) : r;
    if (r == 0 && started_us) {
        r = call_dir_set_seconds(out, "durationSeconds", finished_us - started_us);
    }
    return r == 0 ? call_dir_set_seconds(out, "waitedSeconds",
                                         (started_us ? started_us : finished_us) - spec->created_us)
                  : r;
}

static int set_or_empty(Json *out, const char *name, Json *value, Json *(*make)(void))
{
    return json_set_take(out, name, value ? json_ref(value) : make());
}

int result_build(const Result *result, const char *call, const CallSpec *spec, Json **ret)
{
    _cleanup_json_ Json *out = json_new_object();
    int r = out ? 0 : -ENOMEM;

    r = r == 0 ? json_set_string(out, "call", call) : r;
    r = r == 0 ? json_set_string(out, "action", spec->action) : r;
    r = r == 0 ? json_set_string(out, "run", spec->run) : r;
    r = r == 0 ? build_end(result, out) : r;
    r = r == 0 ? build_processes(result, out) : r;
    r = r == 0 ? build_times(result, spec, out) : r;
    r = r == 0 ? json_set_int(out, "logBytes", json_get_int(result->end, "logBytes", 0)) : r;
    r = r == 0 ? set_or_empty(out, "outputs", result->outputs, json_new_object) : r;
    if (r == 0 && result->tests) {
        r = json_set_take(out, "tests", json_ref(result->tests));
    }
    r = r == 0 ? set_or_empty(out, "artifacts", result->artifacts, json_new_array) : r;
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(out);
    return 0;
}

/* ---- result.json ------------------------------------------------------------------------------
 */

int result_store(int call_fd, const Json *result, Error *err)
{
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_fd_ int fd = -1;
    int r = json_format(result, &text);

    r = r == 0 ? buffer_append(&text, "\n", 1) : r;
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    fd = openat(call_fd, "result.json.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                0600);
    r = fd < 0 ? -errno : fd_write_all(fd, text.data, text.len);
    if (r == 0 && renameat(call_fd, "result.json.tmp", call_fd, "result.json") < 0) {
        r = -errno;
    }
    return r < 0 ? error_set_errno(err, r, "writing 'result.json'") : 0;
}

static int make_again(int call_fd, const char *call, Json **ret, Error *err)
{
    _cleanup_journal_ Journal journal = JOURNAL_EMPTY;
    _cleanup_result_ Result result = RESULT_EMPTY;
    _cleanup_call_spec_ CallSpec spec = {0};
    int r = call_dir_read_spec(call_fd, &spec, err);

    r = r == 0 ? journal_open(&journal, call_fd, err) : r;
    r = r == 0 ? result_read(&result, call, &journal, err) : r;
    if (r == 0) { /* the journal's end was lost in a power cut, status.json was not */
        r = call_dir_read_json(call_fd, "status.json", &result.end, err);
    }
    if (r < 0) {
        return r;
    }
    r = result_build(&result, call, &spec, ret);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

int result_load(int call_fd, const char *call, Json **ret, Error *err)
{
    Json *result;
    int r = call_dir_read_json(call_fd, "result.json", &result, NULL);

    if (r == -ENOMEM) {
        return error_set(err, r, "out of memory");
    }
    if (r < 0) {
        r = make_again(call_fd, call, &result, err);
        if (r < 0) {
            return error_wrap(err, "call '%s'", call);
        }
        if (result_store(call_fd, result, NULL) < 0) {
            log_debug("call '%s': the result is made again next time", call);
        }
    }
    *ret = result;
    return 0;
}

int result_copy_artifacts(const Json *artifacts, Json **ret)
{
    _cleanup_json_ Json *copy = NULL;
    int r = artifacts ? json_copy(artifacts, &copy) : 0;

    copy = copy ? copy : json_new_array();
    if (r < 0 || !copy) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < json_length(copy); i++) {
        json_remove(json_at(copy, i), "file");
    }
    *ret = TAKE_PTR(copy);
    return 0;
}
