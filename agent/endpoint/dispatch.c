/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"

#include "protocol/base/log.h"
#include "protocol/schema.h"
#include "protocol/validate.h"

#include <errno.h>
#include <string.h>

typedef struct Method {
    const char *name;
    const char *schema; /* its file in protocol/schema, without the ending */
    MethodFunction function;
} Method;

#define METHOD(wire_name, name) {wire_name, #name, method_##name},
static const Method methods[] = {
#include "protocol/methods.def"
};
#undef METHOD

struct MethodSchemas {
    Json *of[ARRAY_SIZE(methods)];
};

/* ---- the table --------------------------------------------------------------------------------
 */

static const Method *find_method(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        if (strcmp(methods[i].name, name) == 0) {
            return &methods[i];
        }
    }
    return NULL;
}

Json *dispatch_list_methods(void)
{
    Json *names = json_new_array();

    for (size_t i = 0; names && i < ARRAY_SIZE(methods); i++) {
        if (json_append_string(names, methods[i].name) < 0) {
            names = json_unref(names);
        }
    }
    return names;
}

MethodSchemas *method_schemas_new(void)
{
    return calloc(1, sizeof(MethodSchemas));
}

MethodSchemas *method_schemas_free(MethodSchemas *schemas)
{
    for (size_t i = 0; schemas && i < ARRAY_SIZE(methods); i++) {
        (void)json_unref(schemas->of[i]);
    }
    free(schemas);
    return NULL;
}

/* The schema of `a_b` is in the file a-b. */
static int load_schema(const Method *method, Json **ret, Error *err)
{
    _cleanup_free_ char *name = strdup(method->schema);

    for (char *at = name; at && *at; at++) {
        *at = *at == '_' ? '-' : *at;
    }
    return name ? schema_load(name, ret, err) : error_set(err, -ENOMEM, "out of memory");
}

/* A mistake in the parameters is -EINVAL; in our schema, anything else. */
static int check_params(MethodSchemas *schemas, const Method *method, const Json *params,
                        Error *err)
{
    Json **schema = &schemas->of[method - methods];
    int r = *schema ? 0 : load_schema(method, schema, err);

    return r < 0 ? r : validate_value(json_pointer(*schema, "/$defs/params"), params, NULL, 0, err);
}

/* ---- answers ----------------------------------------------------------------------------------
 */

MessageErrorCode dispatch_code_of(int r)
{
    static const struct {
        int r;
        MessageErrorCode code;
    } codes[] = {
        {-EINVAL, MESSAGE_INVALID_PARAMS},
        {-ENOENT, MESSAGE_NOT_FOUND},
        {-EBUSY, MESSAGE_BUSY},
        {-EMFILE, MESSAGE_BUSY},
        {-ENFILE, MESSAGE_BUSY},
        {-EEXIST, MESSAGE_CONFLICT},
        {-EILSEQ, MESSAGE_CONFLICT},
        {-EBADMSG, MESSAGE_CONFLICT},
        {-EFBIG, MESSAGE_TOO_LARGE},
        {-ENOBUFS, MESSAGE_TOO_LARGE},
        {-EPERM, MESSAGE_NOT_ALLOWED},
        {-ENOSPC, MESSAGE_STORAGE},
        {-EDQUOT, MESSAGE_STORAGE},
        {-EIO, MESSAGE_STORAGE},
        {-EROFS, MESSAGE_STORAGE},
        {-EACCES, MESSAGE_STORAGE},
        {-ENOTDIR, MESSAGE_STORAGE},
        {-EISDIR, MESSAGE_STORAGE},
    };

    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        if (codes[i].r == r) {
            return codes[i].code;
        }
    }
    return MESSAGE_INTERNAL_ERROR;
}

int request_answer_take(Request *request, Json *result, Error *err)
{
    _cleanup_json_ Json *owned = result;
    Buffer *out = &request->session->channel.out;
    size_t start = out->len;
    int r = owned ? message_append_result(out, request->id, owned) : -ENOMEM;

    if (r == 0 && out->len - start > CHANNEL_LINE_MAX) {
        buffer_truncate(out, start);
        return error_set(err, -ENOBUFS, "the answer is longer than %zu bytes; ask for less",
                         CHANNEL_LINE_MAX);
    }
    return r < 0 ? error_set_errno(err, r, "the answer") : 0;
}

Call *request_find_call(const Request *request, Error *err)
{
    const char *name = json_get_string(request->params, "call");
    Call *call = calls_find(request->session->endpoint->calls, name);

    if (!call) {
        (void)error_set(err, -ENOENT, "there is no call '%s'", name);
    }
    return call;
}

static int answer_error(Session *s, const Json *id, MessageErrorCode code, const char *text,
                        const Json *data)
{
    log_debug("connection %d: error %d: %s", s->channel.input.fd, (int)code, text);
    return message_append_error(&s->channel.out, id, code, text, data);
}

static int answer_unknown_method(Session *s, const Message *m)
{
    _cleanup_json_ Json *data = json_new_object();
    _cleanup_error_ Error problem = {0};
    int r = data ? json_set_take(data, "methods", dispatch_list_methods()) : -ENOMEM;

    if (r < 0) {
        return r;
    }
    (void)error_set(&problem, -ENOSYS, "there is no method '%s'", m->method);
    return answer_error(s, m->id, MESSAGE_METHOD_NOT_FOUND, error_text(&problem), data);
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static bool may_come_first(const Method *method)
{
    return method->function == method_initialize || method->function == method_ping;
}

static int run_method(Session *s, const Method *method, const Message *m)
{
    _cleanup_json_ Json *empty = m->params ? NULL : json_new_object();
    _cleanup_error_ Error problem = {0};
    Request request = {.session = s, .id = m->id, .params = m->params ? m->params : empty};
    int r;

    if (!request.params) {
        return -ENOMEM;
    }
    if (s->state == SESSION_NEW && !may_come_first(method)) {
        return answer_error(s, m->id, MESSAGE_NOT_INITIALIZED,
                            "initialize has to come first; only ping may come before it", NULL);
    }
    r = check_params(s->endpoint->schemas, method, request.params, &problem);
    if (r == 0) {
        log_debug("connection %d: %s", s->channel.input.fd, method->name);
        r = method->function(&request, &problem);
    }
    if (r >= 0) {
        return 0;
    }
    return answer_error(s, m->id, request.code ? request.code : dispatch_code_of(r),
                        error_text(&problem), NULL);
}

int dispatch_line(Session *s, const char *line, size_t n)
{
    _cleanup_message_ Message m = {0};
    _cleanup_error_ Error problem = {0};
    MessageErrorCode code;
    const Method *method;

    if (message_parse(line, n, &m, &code, &problem) < 0) {
        return answer_error(s, m.id, code, error_text(&problem), NULL);
    }
    if (m.type == MESSAGE_RESULT || m.type == MESSAGE_ERROR) {
        return answer_error(s, NULL, MESSAGE_INVALID_REQUEST,
                            "this is an answer, but the agent asks nothing", NULL);
    }
    if (m.type == MESSAGE_NOTIFICATION) { /* nothing may answer it; see protocol/README.md */
        log_debug("connection %d: notification '%s', ignoring", s->channel.input.fd, m.method);
        return 0;
    }
    method = find_method(m.method);
    return method ? run_method(s, method, &m) : answer_unknown_method(s, &m);
}
