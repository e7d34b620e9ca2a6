/* SPDX-License-Identifier: MIT */
/* Calls that are followed. `seq` has no gaps, so the last one seen says all: what is not newer was
 * seen (after a reconnection), and what is newer by more than one means that the agent lost
 * something, which is never passed over in silence. */
#include "plugin/client/client.h"
#include "plugin/client/wire.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

static ClientFollowed *find_followed(const SlipwayClient *client, const char *call, size_t n)
{
    for (size_t i = 0; i < client->n_followed; i++) {
        if (strncmp(client->followed[i].call, call, n) == 0 && !client->followed[i].call[n]) {
            return &client->followed[i];
        }
    }
    return NULL;
}

static int follow(SlipwayClient *client, const char *call, uint64_t after)
{
    ClientFollowed *entry = find_followed(client, call, strlen(call)), *grown;

    if (entry) {
        entry->last_seq = after;
        return 0;
    }
    grown = realloc(client->followed, (client->n_followed + 1) * sizeof(*grown));
    if (!grown) {
        return -ENOMEM;
    }
    client->followed = grown;
    entry = &grown[client->n_followed];
    *entry = (ClientFollowed){.call = strdup(call), .last_seq = after};
    if (!entry->call) {
        return -ENOMEM;
    }
    client->n_followed++;
    return 0;
}

static void unfollow(SlipwayClient *client, const char *call)
{
    ClientFollowed *entry = find_followed(client, call, strlen(call));

    if (entry) {
        free(entry->call);
        *entry = client->followed[--client->n_followed];
    }
}

void client_follow_done(SlipwayClient *client)
{
    for (size_t i = 0; i < client->n_followed; i++) {
        free(client->followed[i].call);
    }
    free(client->followed);
    client->followed = NULL;
    client->n_followed = 0;
}

int client_follow_answered(SlipwayClient *client, const ClientRequest *request, const Json *result)
{
    if (request->detach_call) {
        unfollow(client, request->detach_call);
        return 0;
    }
    if (request->attach_call) {
        return follow(client, request->attach_call, request->attach_after);
    }
    if (request->is_start && json_get_string(result, "call")) {
        return follow(client, json_get_string(result, "call"), 0);
    }
    return 0;
}

/* ---- events -----------------------------------------------------------------------------------
 */

/* 1: it is the next one. 0: it was seen before. -EPROTO: one is missing. */
static int advance(SlipwayClient *client, const char *call, size_t call_len, uint64_t seq)
{
    ClientFollowed *entry = find_followed(client, call, call_len);

    if (!entry) {
        return 1; /* attached behind our back, by a plain request: nothing is known of its past */
    }
    if (seq <= entry->last_seq) {
        return 0;
    }
    if (seq != entry->last_seq + 1) {
        return client_fail(client, -EPROTO, "the agent left out events %llu to %llu of call '%.*s'",
                           (unsigned long long)entry->last_seq + 1, (unsigned long long)seq - 1,
                           (int)call_len, call);
    }
    entry->last_seq = seq;
    return 1;
}

static void deliver(SlipwayClient *client, const SlipwayEvent *event)
{
    if (client->event_callback) {
        client->event_callback(client, event, client->event_userdata);
    }
}

int client_take_log_line(SlipwayClient *client, const char *line, size_t n)
{
    char call[TEXT_IDENTIFIER_MAX + 1], moment[64];
    SlipwayEvent event;
    WireLog log;
    int r = wire_scan_log(line, n, &log, &client->data);

    if (r <= 0) {
        return r;
    }
    if (log.call_len >= sizeof(call) || log.time_len >= sizeof(moment)) {
        return 0;
    }
    memcpy(call, log.call, log.call_len);
    call[log.call_len] = '\0';
    memcpy(moment, log.time, log.time_len);
    moment[log.time_len] = '\0';
    r = advance(client, call, log.call_len, log.seq);
    if (r <= 0) {
        return r < 0 ? r : 1;
    }
    event = (SlipwayEvent){
        .type = SLIPWAY_EVENT_LOG,
        .name = "call/log",
        .call = call,
        .seq = log.seq,
        .time = moment,
        .stream = log.is_stderr ? "stderr" : "stdout",
        .offset = log.offset,
        .data = buffer_text(&client->data),
        .data_len = client->data.len,
        .text = log.params,
        .text_len = log.params_len,
    };
    deliver(client, &event);
    return 1;
}

static SlipwayEventType type_of(const char *method)
{
    static const struct {
        const char *name;
        SlipwayEventType type;
    } types[] = {
        {"call/started", SLIPWAY_EVENT_STARTED},   {"call/log", SLIPWAY_EVENT_LOG},
        {"call/progress", SLIPWAY_EVENT_PROGRESS}, {"call/output", SLIPWAY_EVENT_OUTPUT},
        {"call/artifact", SLIPWAY_EVENT_ARTIFACT}, {"call/finished", SLIPWAY_EVENT_FINISHED},
    };

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (strcmp(types[i].name, method) == 0) {
            return types[i].type;
        }
    }
    return SLIPWAY_EVENT_OTHER;
}

/* Fills in what a log event has besides; -EPROTO for one that is not whole. */
static int read_log(SlipwayClient *client, const Json *params, SlipwayEvent *event)
{
    const Json *text = json_get(params, "text"), *base64 = json_get(params, "base64");

    event->stream = json_get_string(params, "stream");
    event->offset = json_get_int(params, "offset", -1);
    event->json = NULL;
    if (json_as_string(text)) {
        event->data = json_as_string(text);
        event->data_len = json_as_string_len(text);
    } else if (json_as_string(base64)) {
        int r;

        buffer_clear(&client->data);
        r = text_decode_base64(&client->data, json_as_string(base64), json_as_string_len(base64));
        if (r == -ENOMEM) {
            return r;
        }
        event->data = r < 0 ? NULL : buffer_text(&client->data);
        event->data_len = client->data.len;
    }
    if (!event->stream || event->offset < 0 || !event->data) {
        return client_fail(client, -EPROTO,
                           "a call/log event needs a stream, an offset and text or base64");
    }
    return 0;
}

int client_take_event(SlipwayClient *client, const Message *m)
{
    _cleanup_buffer_ Buffer text = {0};
    SlipwayEvent event = {
        .type = type_of(m->method),
        .name = m->method,
        .call = json_get_string(m->params, "call"),
        .time = json_get_string(m->params, "time"),
        .json = json_value_expose(m->params),
    };
    int64_t seq = json_get_int(m->params, "seq", 0);
    int r;

    if (event.type != SLIPWAY_EVENT_OTHER && (!event.call || seq < 1)) {
        return client_fail(client, -EPROTO, "a %s event without a call or a seq", m->method);
    }
    event.seq = (uint64_t)seq;
    event.time = event.time ? event.time : "";
    r = event.type == SLIPWAY_EVENT_LOG ? read_log(client, m->params, &event) : 0;
    if (r == 0 && event.call && seq > 0) {
        r = advance(client, event.call, strlen(event.call), event.seq);
        if (r <= 0) {
            return r;
        }
    }
    r = r < 0 ? r : json_format(m->params, &text);
    if (r < 0) {
        return r;
    }
    event.text = buffer_text(&text);
    event.text_len = text.len;
    if (event.type == SLIPWAY_EVENT_FINISHED) {
        unfollow(client, event.call);
    }
    deliver(client, &event);
    return 0;
}

/* ---- requests ---------------------------------------------------------------------------------
 */

/* The parameters of a request about a call. */
static int describe(const char *call, uint64_t after, Json **ret)
{
    _cleanup_json_ Json *params = json_new_object();
    int r = params ? json_set_string(params, "call", call) : -ENOMEM;

    if (r == 0 && after > 0) {
        r = json_set_int(params, "after", (int64_t)after);
    }
    if (r == 0) {
        *ret = TAKE_PTR(params);
    }
    return r;
}

static int send_about(SlipwayClient *client, const char *method, const char *call, uint64_t after,
                      SlipwayReplyCallback callback, void *userdata, ClientRequest **ret)
{
    _cleanup_json_ Json *params = NULL;
    int r = describe(call, after, &params);

    return r < 0 ? r : client_send(client, method, params, callback, userdata, ret);
}

/* The agent that came back does not know the call any more: nothing will follow, and whoever waits
 * for its end must be told. */
static void on_attached_again(SlipwayClient *client, const SlipwayJson *result,
                              const SlipwayError *error, void *userdata)
{
    if (error && error->code != SLIPWAY_ERROR_DISCONNECTED) {
        (void)client_fail(client, -EPROTO, "following the calls again: %s", error->message);
        client->is_abandoned = true;
    }
}

int client_follow_again(SlipwayClient *client)
{
    for (size_t i = 0; i < client->n_followed; i++) {
        const ClientFollowed *entry = &client->followed[i];
        _cleanup_json_ Json *params = NULL;
        int r = describe(entry->call, entry->last_seq, &params);

        if (r == 0) {
            r = client_send_connection(client, "calls/attach", params, on_attached_again);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* Asked before the request: a call that cannot be followed must not be attached to. */
static int check_room(SlipwayClient *client)
{
    return client->n_followed < CLIENT_FOLLOWED_MAX
               ? 0
               : client_fail(client, -EBUSY, "%d calls are followed already", CLIENT_FOLLOWED_MAX);
}

_public_ int slipway_call_start(SlipwayClient *client, const SlipwayJson *params,
                                SlipwayReplyCallback callback, void *userdata)
{
    bool is_attached = slipway_json_get_bool(params, "/attach", false);
    ClientRequest *request;
    int r = is_attached ? check_room(client) : 0;

    if (r == 0) {
        r = client_send(client, "calls/start", json_value_inner(params), callback, userdata,
                        &request);
    }
    if (r == 0) {
        request->is_start = is_attached;
    }
    return r;
}

_public_ int slipway_call_attach(SlipwayClient *client, const char *call, uint64_t after,
                                 SlipwayReplyCallback callback, void *userdata)
{
    _cleanup_free_ char *name = strdup(call);
    ClientRequest *request;
    int r = name ? check_room(client) : -ENOMEM;

    if (r == 0) {
        r = send_about(client, "calls/attach", call, after, callback, userdata, &request);
    }
    if (r == 0) {
        request->attach_call = TAKE_PTR(name);
        request->attach_after = after;
    }
    return r;
}

_public_ int slipway_call_detach(SlipwayClient *client, const char *call,
                                 SlipwayReplyCallback callback, void *userdata)
{
    _cleanup_free_ char *name = strdup(call);
    ClientRequest *request;
    int r =
        name ? send_about(client, "calls/detach", call, 0, callback, userdata, &request) : -ENOMEM;

    if (r == 0) {
        request->detach_call = TAKE_PTR(name);
    }
    return r;
}

_public_ int slipway_call_cancel(SlipwayClient *client, const char *call,
                                 SlipwayReplyCallback callback, void *userdata)
{
    ClientRequest *request;

    return send_about(client, "calls/cancel", call, 0, callback, userdata, &request);
}

_public_ uint64_t slipway_call_get_last_seq(const SlipwayClient *client, const char *call)
{
    const ClientFollowed *entry = find_followed(client, call, strlen(call));

    return entry ? entry->last_seq : 0;
}

_public_ void slipway_client_set_event_callback(SlipwayClient *client,
                                                SlipwayEventCallback callback, void *userdata)
{
    client->event_callback = callback;
    client->event_userdata = userdata;
}
