/* SPDX-License-Identifier: MIT */
/* Where the API of an engine is asked: one address or several of the same cluster, with the
 * credentials and certificates that the environment refers to (README.md, "Environment"). For every
 * engine that speaks HTTP.
 *
 * The addresses are asked in their order, beginning with the one that answered last. One that does
 * not answer, or says that it cannot now (502, 503, 504), is passed over while reading; a change
 * (any other method than GET) is sent to one address only, for who lost its answer does not know
 * whether it was made: that is ENGINE_AWAY, and the next question goes to the next address. A
 * redirect is followed to another of the addresses and nowhere else, so credentials reach nobody
 * that the operator did not name. */
#pragma once

#include "agent/deploy/engine.h"
#include "agent/http/http-response.h"

typedef struct EngineServer EngineServer;

/* What differs between engines; texts that outlive the server. */
typedef struct EngineServerTraits {
    const char *title;        /* of the engine, for people: "Marathon" */
    const char *example;      /* of an address: "https://marathon.example:8443" */
    const char *token_prefix; /* before a token in the header Authorization: "Bearer " */
} EngineServerTraits;

#define ENGINE_SERVER_ADDRESSES_MAX 16
#define ENGINE_SERVER_CREDENTIALS_MAX ((size_t)64 << 10)

/* Reads `address` or `addresses`, `caFile`, `certificateFile`, `keyFile`, `credentialsFile`.
 * -EINVAL: one is missing or wrong, and `err` names it. Nobody is asked. */
int engine_server_open(const Json *environment, const EngineServerTraits *traits,
                       EngineServer **ret, Error *err) _must_check_;
EngineServer *engine_server_close(EngineServer *server);
DEFINE_CLEANUP(EngineServer, engine_server_close)

typedef struct EngineReply {
    HttpResponse response;
    Json *json; /* the body; NULL where it is empty, or no JSON and the status no success */
    const char *address; /* that answered; the server's */
} EngineReply;

void engine_reply_done(EngineReply *reply);
#define _cleanup_engine_reply_ _cleanup_(engine_reply_done)

/* Appends what the answer says for people: the member `message` or `error` of an object, or the
 * beginning of a text; the status alone where it says nothing. */
int engine_reply_append_said(const EngineReply *reply, Buffer *text) _must_check_;

/* Sends `method` for `path` (and the query in it), with `body` unless it is NULL. 0: there is an
 * answer, of any status but 502 to 504. ENGINE_AWAY as above. -EBADMSG: a success whose body is not
 * JSON. -EPROTO: a redirect out of the cluster. Other negatives as http_request. */
int engine_server_ask(EngineServer *server, const char *method, const char *path, const Json *body,
                      EngineReply *ret, Error *err) _must_check_;

/* What is asked beyond that. */
typedef struct EngineQuestion {
    const char *method;
    const char *path;
    const Json *body;   /* NULL: none */
    const char *header; /* one more, "Name: value"; NULL: none */
    bool is_raw;        /* the body of a success is no JSON: it stays where it is */
    int64_t timeout_ms; /* of the whole; 0: HTTP_TIMEOUT_MS */
    size_t max_bytes;   /* of the answer; 0: HTTP_BODY_MAX */
} EngineQuestion;

/* As engine_server_ask. */
int engine_server_ask_for(EngineServer *server, const EngineQuestion *question, EngineReply *ret,
                          Error *err) _must_check_;

/* Where the credentials are from, for an error; NULL: there are none. */
const char *engine_server_credentials_file(const EngineServer *server);
