/* SPDX-License-Identifier: MIT */
/* Requests, from being made to being answered: the list of those without an answer, in the order in
 * which they were made, and how many of them may be on their way at once. */
#include "plugin/client/client.h"

#include "protocol/base/clock.h"

#include <errno.h>
#include <string.h>

void client_request_free(ClientRequest *request)
{
    if (request) {
        free(request->line);
        free(request->attach_call);
        free(request->detach_call);
        free(request);
    }
}

ClientRequest *client_request_take(SlipwayClient *client, ClientRequest **link)
{
    ClientRequest *request = *link;

    *link = request->next;
    if (!*link) {
        client->requests_end = link;
    }
    client->n_requests -= !request->is_connection;
    client->n_sent -= request->is_sent;
    return request;
}

/* Answers come in the order of the requests, so the first look nearly always finds it. */
ClientRequest **client_request_find(SlipwayClient *client, int64_t id)
{
    ClientRequest **link = &client->requests;

    while (*link && (*link)->id != id) {
        link = &(*link)->next;
    }
    return *link ? link : NULL;
}

/* Puts requests on their way, as many as the agent takes at once. */
int client_pump(SlipwayClient *client)
{
    if (client->state != CLIENT_INITIALIZING && client->state != CLIENT_READY) {
        return 0;
    }
    for (ClientRequest *request = client->requests;
         request && client->n_sent < client->max_requests; request = request->next) {
        if (!request->is_sent) {
            int r = buffer_append(&client->out, request->line, request->line_len);

            if (r < 0) {
                return client_fail(client, r, "too much waits to be sent to the agent");
            }
            request->is_sent = true;
            client->n_sent++;
        }
    }
    return 0;
}

static int add_request(SlipwayClient *client, const char *method, const Json *params,
                       SlipwayReplyCallback callback, void *userdata, ClientRequest **ret)
{
    _cleanup_buffer_ Buffer line = {0};
    int64_t limit = slipway_json_get_int(json_value_expose(client->agent), "/limits/maxLineBytes",
                                         CLIENT_REQUEST_MAX);
    ClientRequest *request;
    int r;

    if (client->state == CLIENT_IDLE || client->state == CLIENT_BROKEN) {
        return client->error.code ? -ENOTCONN : client_fail(client, -ENOTCONN, "not connected");
    }
    r = message_append_request(&line, client->next_id, method, params);
    if (r == 0 && (int64_t)line.len > limit) {
        return client_fail(client, -EMSGSIZE,
                           "the request %s has %zu bytes; the agent takes at most %lld", method,
                           line.len, (long long)limit);
    }
    request = r == 0 ? calloc(1, sizeof(*request)) : NULL;
    if (!request) {
        return client_fail(client, -ENOMEM, "out of memory");
    }
    *request = (ClientRequest){
        .id = client->next_id++,
        .line_len = line.len,
        .callback = callback,
        .userdata = userdata,
    };
    request->line = buffer_take_text(&line);
    *client->requests_end = request;
    client->requests_end = &request->next;
    *ret = request;
    return 0;
}

int client_send(SlipwayClient *client, const char *method, const Json *params,
                SlipwayReplyCallback callback, void *userdata, ClientRequest **ret)
{
    int r;

    if (client->n_requests >= client->max_requests) {
        return client_fail(client, -EBUSY, "%zu requests wait for an answer already",
                           client->n_requests);
    }
    r = add_request(client, method, params, callback, userdata, ret);
    if (r < 0) {
        return r;
    }
    client->n_requests++;
    r = client_pump(client);
    if (r < 0) { /* out of memory: as if it had not been made */
        client_request_free(client_request_take(client, client_request_find(client, (*ret)->id)));
    }
    return r;
}

int client_send_connection(SlipwayClient *client, const char *method, const Json *params,
                           SlipwayReplyCallback callback)
{
    ClientRequest *request = NULL;
    int r = add_request(client, method, params, callback, NULL, &request);

    if (r == 0) {
        request->is_connection = true;
    }
    return r;
}

void client_request_fail(SlipwayClient *client, ClientRequest *request, int code, const char *text)
{
    SlipwayError error = {.code = code, .message = text};

    if (request->callback) {
        request->callback(client, NULL, &error, request->userdata);
    }
    client_request_free(request);
}

/* Also those that a callback adds meanwhile would be lost; client_send refuses them by the state.
 */
void client_fail_requests(SlipwayClient *client, const char *reason)
{
    /* A copy: the reason may be client->error, which callbacks change. */
    _cleanup_free_ char *copy = strdup(reason);
    const char *text = copy ? copy : "out of memory";

    while (client->requests) {
        client_request_fail(client, client_request_take(client, &client->requests),
                            SLIPWAY_ERROR_DISCONNECTED, text);
    }
}

_public_ int slipway_client_request(SlipwayClient *client, const char *method,
                                    const SlipwayJson *params, SlipwayReplyCallback callback,
                                    void *userdata)
{
    ClientRequest *request;

    return client_send(client, method, json_value_inner(params), callback, userdata, &request);
}

typedef struct WaitedFor {
    bool is_done;
    int code;
    Json *result;
} WaitedFor;

static void on_waited_for(SlipwayClient *client, const SlipwayJson *result,
                          const SlipwayError *error, void *userdata)
{
    WaitedFor *waited = userdata;

    if (!waited) {
        return; /* nobody waits any more */
    }
    waited->is_done = true;
    if (error) {
        waited->code = error->code;
        (void)client_fail(client, -EREMOTEIO, "%s", error->message);
    } else {
        waited->result = json_ref(json_value_inner(result));
    }
}

/* The answer may come after all, when `waited` is no more. */
static void forget(SlipwayClient *client, const WaitedFor *waited)
{
    for (ClientRequest *request = client->requests; request; request = request->next) {
        if (request->userdata == waited) {
            request->userdata = NULL;
        }
    }
}

_public_ int slipway_client_request_wait(SlipwayClient *client, const char *method,
                                         const SlipwayJson *params, int timeout_ms,
                                         SlipwayJson **ret, int *ret_code)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    WaitedFor waited = {0};
    int r;

    if (client->is_processing) {
        return -EDEADLK;
    }
    r = slipway_client_request(client, method, params, on_waited_for, &waited);
    while (r >= 0 && !waited.is_done) {
        int64_t left = deadline - clock_monotonic_ms();

        if (timeout_ms >= 0 && left <= 0) {
            forget(client, &waited);
            return client_fail(client, -ETIMEDOUT, "no answer to %s within %d ms", method,
                               timeout_ms);
        }
        r = slipway_client_wait(client, timeout_ms < 0 ? -1 : (int)left);
        r = r == -EINTR ? 0 : r;
    }
    if (waited.is_done && waited.code == 0) {
        if (ret) {
            *ret = json_value_expose(waited.result);
        } else {
            (void)json_unref(waited.result);
        }
        return 0;
    }
    if (waited.is_done && waited.code != SLIPWAY_ERROR_DISCONNECTED) {
        if (ret_code) {
            *ret_code = waited.code;
        }
        return -EREMOTEIO;
    }
    forget(client, &waited);
    return r < 0 ? r : -ENOTCONN;
}
