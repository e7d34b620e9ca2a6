/* SPDX-License-Identifier: MIT */
#include "agent/runners/evidence.h"

#include "agent/release/audit.h"
#include "agent/release/host-key.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"
#include "protocol/evidence/bundle.h"
#include "protocol/evidence/dsse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Of a record, which is a line: bytes of its reason. The call's own log has all of it. */
#define RECORD_REASON_MAX ((size_t)4 << 10)

char *evidence_agent_uri(const Spec *spec)
{
    char *text = NULL;

    return asprintf(&text, "slipway:agent/%s", spec->agent ? spec->agent : "unnamed") < 0 ? NULL
                                                                                          : text;
}

int evidence_set_time(Json *object, const char *name, int64_t wall_us)
{
    char text[CLOCK_TEXT_SIZE];

    return json_set_string(object, name, clock_format(wall_us, text));
}

/* ---- statements -------------------------------------------------------------------------------
 */

static int sign(const Spec *spec, StatementKind kind, const StatementSubject *subjects, size_t n,
                const Json *predicate, Buffer *line, Error *err)
{
    _cleanup_(key_freep) Key *key = NULL;
    _cleanup_buffer_ Buffer payload = {0};
    int r = statement_format(kind, subjects, n, predicate, &payload, err);

    r = r < 0 ? r : host_key_open(spec->keys_directory, &key, err);
    return r < 0 ? r : dsse_append_signed(line, key, payload.data, payload.len, err);
}

static int write_artifact(const Spec *spec, const Buffer *line, Error *err)
{
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/artifacts/" BUNDLE_FILE, spec->call_directory) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return file_replace(AT_FDCWD, path, line->data, line->len, 0644, err);
}

static int report_line(Report *report, const Buffer *line, Error *err)
{
    ArchiveSummary summary = {.size_bytes = (int64_t)line->len};
    int r = digest_bytes(line->data, line->len, summary.sha256);

    r = r < 0 ? r : report_artifact(report, BUNDLE_FILE, BUNDLE_FILE, "file", &summary);
    return r < 0 ? error_set_errno(err, r, "cannot report") : 0;
}

int evidence_state(const Spec *spec, Report *report, StatementKind kind,
                   const StatementSubject *subjects, size_t n, const Json *predicate, Error *err)
{
    _cleanup_buffer_ Buffer line = {0};
    int r;

    if (!predicate) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!spec->keys_directory) {
        log_info("this host has no key, so nobody signs the %s", statement_kind_name(kind));
        return 0;
    }
    r = sign(spec, kind, subjects, n, predicate, &line, err);
    r = r < 0 ? r : write_artifact(spec, &line, err);
    r = r < 0 ? r : report_line(report, &line, err);
    return r < 0 ? error_wrap(err, "stating the %s", statement_kind_name(kind)) : 0;
}

bool evidence_find_stated(const Spec *spec, const char *call, char ret[static DIGEST_HEX_SIZE])
{
    _cleanup_buffer_ Buffer line = BUFFER_INIT(DSSE_ENVELOPE_MAX);
    _cleanup_free_ char *path = NULL;

    if (!spec->calls_directory || !call || !text_is_identifier(call) ||
        asprintf(&path, "%s/%s/artifacts/" BUNDLE_FILE, spec->calls_directory, call) < 0) {
        path = NULL;
        return false;
    }
    if (file_read(AT_FDCWD, path, &line, NULL) < 0) {
        return false;
    }
    buffer_truncate(&line, line.len - (line.len > 0 && line.data[line.len - 1] == '\n'));
    return digest_bytes(buffer_text(&line), line.len, ret) == 0;
}

/* ---- records ----------------------------------------------------------------------------------
 */

Json *evidence_describe_release(const Release *release)
{
    Json *record = json_new_object();
    int r = record ? json_set_string(record, "name", release->name) : -ENOMEM;

    r = r < 0 ? r : json_set_string(record, "digest", release->digest);
    r = r < 0 ? r : json_set_string(record, "commit", release->commit);
    r = r < 0 ? r : json_set_string(record, "version", release->version);
    r = r < 0 ? r : json_set_string(record, "repository", release->repository);
    r = r < 0 ? r : json_set_string(record, "subject", release->subject);
    r = r < 0 ? r : json_set_int(record, "committedAt", release->committed_at);
    return r < 0 ? json_unref(record) : record;
}

int evidence_add_release(Json *members, const Json *record)
{
    static const char *const texts[] = {"name",   "digest",     "version",
                                        "commit", "repository", "subject"};
    int64_t committed_at = json_get_int(record, "committedAt", 0);
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++) {
        r = json_set_string(members, texts[i], json_get_string(record, texts[i]));
    }
    return r == 0 && committed_at > 0 && json_has(record, "commit")
               ? evidence_set_time(members, "committedAt", committed_at * 1000000)
               : r;
}

static int add_call(const Spec *spec, const Json *members, Json **ret)
{
    _cleanup_json_ Json *record = json_new_object();
    int r = record ? json_set_string(record, "call", spec->call) : -ENOMEM;

    r = r < 0 ? r : json_set_string(record, "action", spec->action);
    r = r < 0 ? r : json_set_string(record, "run", spec->run);
    r = r < 0 ? r : json_set_string(record, "environment", spec->environment_name);
    for (JsonMember m = {0}; r == 0 && json_next_member(members, &m);) {
        r = m.value ? json_set_take(record, m.name, json_ref(m.value)) : 0;
    }
    if (r == 0) {
        *ret = TAKE_PTR(record);
    }
    return r;
}

int evidence_record_take(const Spec *spec, const char *event, Json *members, ChainHead *ret_head,
                         Error *err)
{
    _cleanup_json_ Json *owned = members, *record = NULL;

    if (!spec->audit_directory) {
        return 0;
    }
    if (!owned || add_call(spec, owned, &record) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return audit_append(spec->audit_directory, event, record, ret_head, err);
}

static int add_end(double seconds, const char *outcome, const char *reason, Json *record)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = json_set_string(record, "outcome", outcome);

    if (r == 0 && reason && *reason) {
        size_t n = strnlen(reason, RECORD_REASON_MAX);

        n -= reason[n] ? text_utf8_incomplete_tail(reason, n) : 0;
        r = text_append_utf8(&text, reason, n);
        r = r < 0 ? r : json_set_string(record, "reason", buffer_text(&text));
    }
    return r < 0 ? r : json_set_take(record, "seconds", json_new_number(seconds));
}

void evidence_record_end_take(const Spec *spec, double seconds, const char *outcome,
                              const char *reason, Json *members)
{
    _cleanup_json_ Json *owned = members, *record = json_new_object();
    _cleanup_error_ Error err = {0};
    int r = owned && record ? add_end(seconds, outcome, reason, record) : -ENOMEM;

    for (JsonMember m = {0}; r == 0 && json_next_member(owned, &m);) {
        r = json_set_take(record, m.name, json_ref(m.value));
    }
    if (r < 0) {
        log_warning("out of memory for the audit log");
    } else if (evidence_record_take(spec, "finished", TAKE_PTR(record), NULL, &err) < 0) {
        log_warning("%s", error_text(&err));
    }
}
