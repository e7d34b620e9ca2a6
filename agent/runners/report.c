/* SPDX-License-Identifier: MIT */
#include "agent/runners/report.h"

#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Enough for every mistake of a slipway.json; beyond it the log has the rest. */
#define REPORT_REASON_MAX ((size_t)16 << 10)

int report_open(int fd, Report *ret, Error *err)
{
    int flags = fcntl(fd, F_GETFD);

    if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0) {
        return error_set(err, -errno,
                         "fd %d, where reports go, is not open: a runner is started by "
                         "slipway-shim, or by hand with %d>reports.ndjson",
                         fd, fd);
    }
    *ret = (Report){.fd = fd};
    return 0;
}

static int write_line_take(Report *report, Json *object)
{
    _cleanup_json_ Json *owned = object;
    _cleanup_buffer_ Buffer line = BUFFER_INIT(REPORT_LINE_MAX);
    int r = json_format(owned, &line);

    if (r == 0) {
        r = buffer_append(&line, "\n", 1);
    }
    if (r < 0) {
        return r == -ENOBUFS ? -EMSGSIZE : r;
    }
    return fd_write_all(report->fd, line.data, line.len);
}

/* File names and what other programs say need not be UTF-8; a report has to be. */
static Json *new_text(const char *text, size_t n)
{
    _cleanup_buffer_ Buffer quoted = BUFFER_INIT(0);
    Json *value = NULL;

    if (text_is_utf8(text, n)) {
        return json_new_string_n(text, n);
    }
    if (text_append_json(&quoted, text, n) < 0 ||
        json_parse(quoted.data, quoted.len, &value, NULL) < 0) {
        return NULL;
    }
    return value;
}

static int set_text(Json *object, const char *name, const char *text)
{
    return text ? json_set_take(object, name, new_text(text, strlen(text))) : 0;
}

static Json *new_report(const char *type)
{
    Json *object = json_new_object();

    if (object && json_set_string(object, "type", type) < 0) {
        return json_unref(object);
    }
    return object;
}

int report_progress(Report *report, const ReportProgress *progress)
{
    _cleanup_json_ Json *object = new_report("progress");
    int r = object ? 0 : -ENOMEM;

    r = r == 0 ? json_set_string(object, "phase", progress->phase) : r;
    r = r == 0 ? set_text(object, "message", progress->message) : r;
    if (r == 0 && progress->done >= 0) {
        r = json_set_int(object, "done", progress->done);
    }
    if (r == 0 && progress->total >= 0) {
        r = json_set_int(object, "total", progress->total);
    }
    r = r == 0 ? json_set_string(object, "unit", progress->unit) : r;
    return r == 0 ? write_line_take(report, TAKE_PTR(object)) : r;
}

int report_phase(Report *report, const char *phase, const char *message)
{
    return report_progress(
        report, &(ReportProgress){.phase = phase, .message = message, .done = -1, .total = -1});
}

int report_output_take(Report *report, const char *name, Json *value)
{
    _cleanup_json_ Json *owned = value, *object = new_report("output");
    int r = object && owned ? 0 : -ENOMEM;

    r = r == 0 ? json_set_string(object, "name", name) : r;
    r = r == 0 ? json_set_take(object, "value", TAKE_PTR(owned)) : r;
    return r == 0 ? write_line_take(report, TAKE_PTR(object)) : r;
}

int report_output(Report *report, const char *name, const char *text)
{
    return text ? report_output_take(report, name, new_text(text, strlen(text))) : 0;
}

int report_artifact(Report *report, const char *name, const char *file, const char *format,
                    const ArchiveSummary *summary)
{
    _cleanup_json_ Json *object = new_report("artifact");
    int r = object ? 0 : -ENOMEM;

    r = r == 0 ? json_set_string(object, "name", name) : r;
    r = r == 0 ? json_set_string(object, "file", file) : r;
    r = r == 0 ? json_set_int(object, "size", summary->size_bytes) : r;
    r = r == 0 ? json_set_string(object, "sha256", summary->sha256) : r;
    r = r == 0 ? json_set_string(object, "format", format) : r;
    if (r == 0 && strcmp(format, "tar.zst") == 0) {
        r = json_set_int(object, "entries", summary->entries);
    }
    return r == 0 ? write_line_take(report, TAKE_PTR(object)) : r;
}

int report_reason(Report *report, const char *text, int exit_code)
{
    _cleanup_json_ Json *object = new_report("reason");
    size_t n = strnlen(text, REPORT_REASON_MAX);
    int r = object ? 0 : -ENOMEM;

    if (text[n]) { /* cut, but not through a character */
        n -= text_utf8_incomplete_tail(text, n);
    }
    r = r == 0 ? json_set_take(object, "text", new_text(text, n)) : r;
    if (r == 0 && exit_code >= 0) {
        r = json_set_int(object, "exitCode", exit_code);
    }
    return r == 0 ? write_line_take(report, TAKE_PTR(object)) : r;
}
