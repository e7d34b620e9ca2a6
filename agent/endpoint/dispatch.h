/* SPDX-License-Identifier: MIT */
/* From a request to its answer: the table of methods (protocol/methods.def), their schemas, and
 * what an errno of the rooms below is called on the wire. */
#pragma once

#include "agent/endpoint/session.h"
#include "protocol/message.h"

typedef struct Request {
    Session *session;
    const Json *id;
    const Json *params;    /* an object that fits the method's schema; never NULL */
    MessageErrorCode code; /* set by a method whose failure is not what its errno usually is */
} Request;

/* A method answers with request_answer*() and returns 0, or returns REQUEST_WAITS and sees to an
 * answer later, or returns -errno with the sentence in `err`, which becomes the answer. */
typedef int (*MethodFunction)(Request *request, Error *err);
#define REQUEST_WAITS 1

#define METHOD(wire_name, name) int method_##name(Request *request, Error *err);
#include "protocol/methods.def"
#undef METHOD

/* Sends the result, which is consumed. */
int request_answer_take(Request *request, Json *result, Error *err) _must_check_;

/* What `health` answers. The caller's. */
int dispatch_describe_health(const Endpoint *endpoint, Json **ret, Error *err) _must_check_;

/* The call that `params` names; NULL with the sentence in `err` where there is none (-ENOENT). */
Call *request_find_call(const Request *request, Error *err) _must_check_;

/* One line in, at most one answer out. Fails only if the answer cannot be written. */
int dispatch_line(Session *session, const char *line, size_t n) _must_check_;

/* The JSON-RPC code for an errno of the rooms below. */
MessageErrorCode dispatch_code_of(int r);

/* The names of all methods; NULL when memory is out. The caller's. */
Json *dispatch_list_methods(void) _must_check_;

/* The schemas of the methods, each parsed when it is first needed. */
typedef struct MethodSchemas MethodSchemas;
MethodSchemas *method_schemas_new(void) _must_check_;
MethodSchemas *method_schemas_free(MethodSchemas *schemas);
