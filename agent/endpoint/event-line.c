/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/event-line.h"

#include "protocol/base/clock.h"
#include "protocol/base/text.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const char *const methods[_CALL_EVENT_TYPE_MAX] = {
    [CALL_EVENT_STARTED] = "call/started",   [CALL_EVENT_LOG] = "call/log",
    [CALL_EVENT_PROGRESS] = "call/progress", [CALL_EVENT_OUTPUT] = "call/output",
    [CALL_EVENT_ARTIFACT] = "call/artifact", [CALL_EVENT_FINISHED] = "call/finished",
};

const char *event_line_method(CallEventType type)
{
    assert(type < _CALL_EVENT_TYPE_MAX);
    return methods[type];
}

/* Call ids, method names and moments need no escapes. */
static int append_head(Buffer *out, const char *call, const CallEvent *event)
{
    char moment[CLOCK_TEXT_SIZE];

    return buffer_append_format(
        out,
        "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":{\"call\":\"%s\","
        "\"seq\":%llu,\"time\":\"%s\"",
        event_line_method(event->type), call, (unsigned long long)event->seq,
        clock_format(event->time_us, moment));
}

/* Text where the bytes are UTF-8, except with a NUL: it is legal in JSON, but many a reader of JSON
 * (ours, too) ends or refuses the string there. */
static int append_log(Buffer *out, const CallEvent *event)
{
    bool is_text = !memchr(event->data, '\0', event->len) && text_is_utf8(event->data, event->len);
    int r = buffer_append_format(out, ",\"stream\":\"%s\",\"offset\":%lld,%s", event->stream,
                                 (long long)event->offset, is_text ? "\"text\":" : "\"base64\":\"");

    if (r == 0 && is_text) {
        return text_append_json(out, event->data, event->len);
    }
    r = r == 0 ? text_append_base64(out, event->data, event->len) : r;
    return r == 0 ? buffer_append(out, "\"", 1) : r;
}

/* The members of `details` after those that every event has. */
static int append_details(Buffer *out, const Json *details)
{
    size_t start = out->len;
    int r;

    if (json_member_count(details) == 0) {
        return 0;
    }
    r = json_format(details, out);
    if (r < 0) {
        return r;
    }
    assert(out->data[start] == '{' && out->data[out->len - 1] == '}');
    out->data[start] = ',';
    buffer_truncate(out, out->len - 1);
    return 0;
}

int event_line_append(Buffer *out, const char *call, const CallEvent *event)
{
    size_t start = out->len;
    int r = append_head(out, call, event);

    if (r == 0) {
        r = event->type == CALL_EVENT_LOG ? append_log(out, event)
                                          : append_details(out, event->details);
    }
    r = r == 0 ? buffer_append(out, "}}\n", 3) : r;
    if (r < 0) {
        buffer_truncate(out, start);
    }
    return r;
}
