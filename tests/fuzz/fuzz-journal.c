/* SPDX-License-Identifier: MIT */
/* Any line as a journal record, any bytes as a journal: what the short way takes for a log record,
 * the parser of JSON takes for the same; and no report, however strange, is more than an event. */
#include "agent/calls/result.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_log(const char *line, size_t n, const JournalRecord *record)
{
    _cleanup_json_ Json *json = NULL;

    require(json_parse(line, n, &json, NULL) == 0);
    require(json_get_int(json, "seq", -1) == (int64_t)record->seq);
    require(json_get_int(json, "time", 0) == record->time_us);
    require(strcmp(json_get_string(json, "type"), "log") == 0);
    require(json_get_int(json, "offset", -1) == record->offset && record->offset >= 0);
    require(json_get_int(json, "length", -1) == record->length && record->length >= 0);
}

static void check_line(const char *line, size_t n, Result *result)
{
    _cleanup_json_ Json *json = NULL, *details = NULL;
    JournalRecord record;
    CallEventType type;

    if (journal_parse(line, n, &record, &json, NULL) < 0) {
        return;
    }
    require(record.seq > 0 && record.type < _JOURNAL_TYPE_MAX);
    if (record.type == JOURNAL_LOG) {
        check_log(line, n, &record);
        return;
    }
    require(record.json == json);
    require(result_add(result, "call", &record) == 0);
    if (record.type == JOURNAL_REPORT) {
        require(result_describe_report("call", &record, &type, &details) == 0);
        require(type != CALL_EVENT_LOG && json_type_of(details) == JSON_OBJECT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_result_ Result result = RESULT_EMPTY;
    const char *line = (const char *)data, *end = line + size;

    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));

        stop = stop ? stop : end;
        check_line(line, (size_t)(stop - line), &result);
        line = stop + 1;
    }
    require(result.outputs_size <= RESULT_OUTPUTS_MAX);
    require(json_length(result.artifacts) <= RESULT_ARTIFACTS_MAX);
    return 0;
}
