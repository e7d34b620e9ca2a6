/* SPDX-License-Identifier: MIT */
/* Inside of a SlipwayClient, for the files of this folder.
 *
 * The one idea of reconnecting: every method of the protocol may be repeated (calls/start by its
 * idempotency key, pieces by their offset), so each request keeps its line until it is answered,
 * and each attached call its last seq. After a break both are simply sent again. */
#pragma once

#include "plugin/client/json-value.h"
#include "plugin/client/transport.h"
#include "protocol/base/buffer.h"
#include "protocol/message.h"
#include "protocol/ndjson.h"

/* A line from the agent that is longer is dropped as a mistake of the agent's. Its own limit for
 * what it takes is 1 MiB; a result with many outputs may be longer than what it takes. */
#define CLIENT_LINE_MAX ((size_t)16 << 20)
/* Lines that wait to be sent: all that may be pending, and more. */
#define CLIENT_OUT_MAX ((size_t)128 << 20)
/* Requests without an answer, and bytes of one, until the agent has announced its own limits. */
#define CLIENT_PENDING_MAX 64
#define CLIENT_REQUEST_MAX ((int64_t)1 << 20)
/* Calls followed at once. */
#define CLIENT_FOLLOWED_MAX 1024
/* An agent that takes a connection and says nothing for so long is taken for broken. */
#define CLIENT_INITIALIZE_MS 15000
#define CLIENT_BACKOFF_MIN_MS 50
#define CLIENT_BACKOFF_MAX_MS 2000

/* A piece of an artifact, from the fast path or the full parser alike. */
typedef void (*ClientChunkCallback)(SlipwayClient *client, int64_t offset, const char *data,
                                    size_t n, bool is_last, void *userdata);

/* One request without an answer. */
typedef struct ClientRequest {
    struct ClientRequest *next;
    int64_t id;
    char *line;
    size_t line_len;
    SlipwayReplyCallback callback;
    ClientChunkCallback chunk; /* artifacts/read: instead of callback on success */
    void *userdata;
    char *attach_call; /* the answer begins the following of this call */
    char *detach_call; /* the answer ends it */
    uint64_t attach_after;
    bool is_start;      /* calls/start with attach: the call's name is in the answer */
    bool is_connection; /* initialize, or attaching again: belongs to this connection only */
    bool is_sent;       /* on this connection */
} ClientRequest;

typedef struct ClientFollowed {
    char *call;
    uint64_t last_seq;
} ClientFollowed;

typedef enum ClientState {
    CLIENT_IDLE,         /* no connection yet */
    CLIENT_INITIALIZING, /* connected, `initialize` is not answered */
    CLIENT_READY,
    CLIENT_WAITING, /* for the next attempt to reconnect */
    CLIENT_BROKEN,  /* for good */
    _CLIENT_STATE_MAX,
} ClientState;

struct SlipwayClient {
    char *name;
    char *version;
    Transport transport;
    ClientState state;
    NdjsonReader reader;
    Buffer out;
    size_t sent;             /* of out */
    Buffer data;             /* decoded bytes of the line in work */
    ClientRequest *requests; /* oldest first */
    ClientRequest **requests_end;
    size_t n_requests;   /* of the program; those of the connection are not counted */
    size_t n_sent;       /* of both: sent and not answered */
    size_t max_requests; /* of each */
    int64_t next_id;
    ClientFollowed *followed;
    size_t n_followed;
    Json *agent; /* the answer to initialize */
    Error error;
    bool is_processing;
    bool is_abandoned; /* another attempt would end the same way */

    bool was_ready; /* it stood once: only then is a break worth another attempt */
    int64_t reconnect_ms;
    int64_t give_up_at; /* monotonic ms, while there is an outage; 0: none */
    int64_t retry_at;
    int64_t backoff_ms;
    int64_t initialize_by;

    SlipwayEventCallback event_callback;
    void *event_userdata;
    SlipwayConnectionCallback connection_callback;
    void *connection_userdata;
};

/* Records what went wrong (for slipway_client_get_error) and returns `code`. */
int client_fail(SlipwayClient *client, int code, const char *format, ...) _printf_(3, 4);

/* How many bytes one piece of an artifact or input has. */
int64_t client_piece_size(const SlipwayClient *client);
#define CLIENT_PIECE_MAX ((int64_t)256 << 10)

/* ---- request.c: requests without an answer -----------------------------------------------------
 */

/* As slipway_client_request, giving the request for the caller to mark. It is borrowed. */
int client_send(SlipwayClient *client, const char *method, const Json *params,
                SlipwayReplyCallback callback, void *userdata, ClientRequest **ret) _must_check_;

/* The same for what belongs to this connection: it waits for its turn beyond any limit, and is
 * forgotten when the connection breaks. */
int client_send_connection(SlipwayClient *client, const char *method, const Json *params,
                           SlipwayReplyCallback callback) _must_check_;

/* Puts requests on their way, as many as the agent takes at once. */
int client_pump(SlipwayClient *client) _must_check_;

/* The place in the list of the request with this id; NULL: there is none. */
ClientRequest **client_request_find(SlipwayClient *client, int64_t id);

/* Out of the list; the caller owns it. */
ClientRequest *client_request_take(SlipwayClient *client, ClientRequest **link);

/* Tells its callback that it failed, and frees it. */
void client_request_fail(SlipwayClient *client, ClientRequest *request, int code, const char *text);
void client_request_free(ClientRequest *request);

/* The same with all that there are. */
void client_fail_requests(SlipwayClient *client, const char *reason);

/* ---- follow.c: calls and their events ----------------------------------------------------------
 */

/* Is this line a call/log that the fast path takes? 1 done, 0 no, negative errno. */
int client_take_log_line(SlipwayClient *client, const char *line, size_t n) _must_check_;

/* A notification. */
int client_take_event(SlipwayClient *client, const Message *m) _must_check_;

/* The answer to a request that attaches or detaches. */
int client_follow_answered(SlipwayClient *client, const ClientRequest *request,
                           const Json *result) _must_check_;

/* After a reconnection: attaches all again, from where each was. */
int client_follow_again(SlipwayClient *client) _must_check_;

void client_follow_done(SlipwayClient *client);
