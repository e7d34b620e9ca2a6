/* SPDX-License-Identifier: MIT */
/* JSON-RPC 2.0 messages: what a line means, and how one is written.
 * https://www.jsonrpc.org/specification; batches are not part of Slipway's protocol. */
#pragma once

#include "protocol/json.h"

/* Error codes: JSON-RPC's own, then ours (protocol/README.md, "Errors"). */
typedef enum MessageErrorCode {
    MESSAGE_PARSE_ERROR = -32700,
    MESSAGE_INVALID_REQUEST = -32600,
    MESSAGE_METHOD_NOT_FOUND = -32601,
    MESSAGE_INVALID_PARAMS = -32602,
    MESSAGE_INTERNAL_ERROR = -32603,
    MESSAGE_NOT_INITIALIZED = -32001,
    MESSAGE_BUSY = -32002,      /* too many pending requests, connections or queued calls */
    MESSAGE_TOO_LARGE = -32003, /* a line, a chunk or an input beyond its limit */
    MESSAGE_NOT_FOUND = -32004, /* no such call, artifact, input, action */
    MESSAGE_CONFLICT = -32005,  /* the idempotency key, offset or state says otherwise */
    MESSAGE_NOT_ALLOWED = -32006,
    MESSAGE_SHUTTING_DOWN = -32007,
    MESSAGE_STORAGE = -32008, /* the agent's disk failed or is full */
} MessageErrorCode;

typedef enum MessageType {
    MESSAGE_REQUEST,
    MESSAGE_NOTIFICATION,
    MESSAGE_RESULT,
    MESSAGE_ERROR,
} MessageType;

typedef struct Message {
    MessageType type;
    Json *root; /* owned; the others are borrowed from it */
    Json *id;   /* a string or a number; NULL for a notification, and for an error without one */
    const char *method; /* request, notification */
    Json *params;       /* object or NULL */
    Json *result;       /* result */
    int error_code;     /* error */
    const char *error_text;
    Json *error_data;
} Message;

void message_done(Message *m);
#define _cleanup_message_ _cleanup_(message_done)

/* Parses one line. On failure *ret_code is the JSON-RPC code to answer with, and m->id the id if
 * one could be read. `m` is to be released with message_done in every case. */
int message_parse(const char *line, size_t n, Message *m, MessageErrorCode *ret_code,
                  Error *err) _must_check_;

/* Each appends one whole line with its line feed. `id`, `params` and so on are borrowed. */
int message_append_request(Buffer *out, int64_t id, const char *method,
                           const Json *params) _must_check_;
int message_append_notification(Buffer *out, const char *method, const Json *params) _must_check_;
int message_append_result(Buffer *out, const Json *id, const Json *result) _must_check_;
int message_append_error(Buffer *out, const Json *id, MessageErrorCode code, const char *text,
                         const Json *data) _must_check_;
