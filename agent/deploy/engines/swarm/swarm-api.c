/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/swarm/swarm-api.h"

#include "agent/deploy/engine-server.h"
#include "agent/deploy/engines/swarm/swarm-registry.h"
#include "agent/deploy/engines/swarm/swarm-tasks.h"
#include "agent/http/http-url.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

/* A thousand instances with the five that docker keeps of each are some 20 MB. */
#define TASKS_MAX ((size_t)64 << 20)
#define LOG_LINES "20"
#define LOG_MAX ((size_t)16 << 10)
/* A log or a check's answer explains a failure; it must not hold up saying so. */
#define DETAIL_TIMEOUT_MS 2000
/* The first with what is asked here. */
#define API_VERSION_MIN 40

struct SwarmApi {
    EngineServer *server;
    const char *registry_credentials_file; /* NULL: docker's own */
};

static const EngineServerTraits traits = {
    .title = "Docker Swarm",
    .example = "unix:/run/docker.sock or https://manager.example:2376",
    .token_prefix = "Bearer ",
};

SwarmApi *swarm_api_close(SwarmApi *api)
{
    if (api) {
        api->server = engine_server_close(api->server);
        free(api);
    }
    return NULL;
}

int swarm_api_open(const Json *environment, SwarmApi **ret, Error *err)
{
    _cleanup_(swarm_api_closep) SwarmApi *api = calloc(1, sizeof(*api));
    int r;

    if (!api) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    api->registry_credentials_file = json_get_string(environment, "registryCredentialsFile");
    r = engine_server_open(environment, &traits, &api->server, err);
    if (r == 0) {
        *ret = TAKE_PTR(api);
    }
    return r;
}

/* ---- answers ----------------------------------------------------------------------------------
 */

/* Docker's own sentence, without what its insides put before it. */
static int append_said(const EngineReply *reply, Buffer *text)
{
    static const char inside[] = "rpc error: code = ", end_of_inside[] = " desc = ";
    const char *said = json_get_string(reply->json, "message");
    const char *desc = said && text_has_prefix(said, inside) ? strstr(said, end_of_inside) : NULL;

    return desc ? buffer_append_text(text, desc + strlen(end_of_inside))
                : engine_reply_append_said(reply, text);
}

static int fail(const SwarmApi *api, const EngineReply *reply, int code, const char *what,
                Error *err)
{
    const char *file = engine_server_credentials_file(api->server);
    _cleanup_buffer_ Buffer said = BUFFER_INIT(0);
    int status = reply->response.status;

    if (append_said(reply, &said) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (status == 401 || status == 403) {
        return error_set(err, -EACCES, "Docker Swarm at %s does not let us %s (status %d): %s%s%s",
                         reply->address, what, status, buffer_text(&said),
                         file ? "; the credentials are from " : "", file ? file : "");
    }
    return error_set(err, code, "Docker Swarm at %s cannot %s (status %d): %s", reply->address,
                     what, status, buffer_text(&said));
}

/* 500 is docker's word for everything. These it will say again however often it is asked; all else
 * (a lost race, an election, a database that is busy) it may not. */
static bool is_final(const EngineReply *reply)
{
    static const char *const words[] = {
        "code = InvalidArgument",
        "code = FailedPrecondition",
        "code = NotFound",
        "code = PermissionDenied",
        "code = Unimplemented",
        "code = AlreadyExists",
        " not found",
        "invalid ",
    };
    const char *said = json_get_string(reply->json, "message");

    for (size_t i = 0; said && i < ARRAY_SIZE(words); i++) {
        if (strstr(said, words[i])) {
            return true;
        }
    }
    return reply->response.status == 501;
}

/* Whoever answers JSON is not docker for that. */
static int check_version(const EngineReply *reply, Error *err)
{
    const char *version = http_response_header(&reply->response, "Api-Version", 0);
    int64_t minor = 0;

    if (!version) {
        return error_set(
            err, -EPROTO,
            "%s answers (status %d), but without docker's API version. Is that Docker?",
            reply->address, reply->response.status);
    }
    if (!text_has_prefix(version, "1.") ||
        text_parse_int(version + 2, API_VERSION_MIN, INT32_MAX, &minor) < 0) {
        return error_set(err, -EPROTO,
                         "%s speaks version %.20s of Docker's API; 1.%d (Docker 19.03) or a newer "
                         "1.x is needed",
                         reply->address, version, API_VERSION_MIN);
    }
    return 0;
}

/* 0: a success; ENGINE_ABSENT: there is no such `kind` (NULL: there must be). */
static int ask(SwarmApi *api, const EngineQuestion *question, const char *what, const char *kind,
               EngineReply *ret, Error *err)
{
    int r = engine_server_ask_for(api->server, question, ret, err);
    int status = ret->response.status;
    const char *said;

    if (r != 0) {
        return r;
    }
    said = json_get_string(ret->json, "message");
    if (status >= 500 && !is_final(ret)) {
        (void)fail(api, ret, -EIO, what, err);
        return ENGINE_AWAY;
    }
    if (status != 401 && status != 403) {
        r = check_version(ret, err);
    }
    if (r == 0 && status == 404 && kind && said && strstr(said, kind) &&
        strstr(said, "not found")) {
        return ENGINE_ABSENT;
    }
    if (r == 0 && !http_status_is_success(status)) {
        r = fail(api, ret, status == 400 || status == 409 ? -EINVAL : -EIO, what, err);
    }
    return r;
}

static int ask_json(SwarmApi *api, const EngineQuestion *question, const char *what,
                    const char *kind, JsonType type, Json **ret, Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    int r = ask(api, question, what, kind, &reply, err);

    if (r != 0) {
        return r;
    }
    if (json_type_of(reply.json) != type) {
        return error_set(err, -EBADMSG, "%s: asked to %s, it answers with %s instead of %s",
                         reply.address, what, json_type_name(json_type_of(reply.json)),
                         json_type_name(type));
    }
    *ret = TAKE_PTR(reply.json);
    return 0;
}

static int no_memory(int r, Error *err)
{
    return r < 0 ? error_set_errno(err, r, "cannot write a request to Docker Swarm") : 0;
}

/* "BEFORE" "NAME" "AFTER", the name escaped. */
static int path_of(const char *before, const char *name, const char *after, Buffer *ret, Error *err)
{
    int r = buffer_append_text(ret, before);

    r = r < 0 ? r : http_append_escaped(ret, name);
    r = r < 0 ? r : buffer_append_text(ret, after);
    return no_memory(r, err);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* Docker also finds a service by the first letters of its ID. */
int swarm_api_get_service(SwarmApi *api, const char *name, Json **ret, Error *err)
{
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    _cleanup_json_ Json *service = NULL;
    const char *found;
    int r = path_of("/services/", name, "", &path, err);

    r = r < 0 ? r
              : ask_json(api, &(EngineQuestion){.method = "GET", .path = buffer_text(&path)},
                         "say what runs", "service", JSON_OBJECT, &service, err);
    if (r != 0) {
        return r;
    }
    found = json_as_string(json_pointer(service, "/Spec/Name"));
    if (!found || !json_get_string(service, "ID") ||
        json_type_of(json_pointer(service, "/Version/Index")) != JSON_INTEGER) {
        return error_set(err, -EBADMSG,
                         "Docker Swarm describes the service '%s' without ID, Version or Spec",
                         name);
    }
    if (strcmp(found, name) != 0) {
        return ENGINE_ABSENT;
    }
    *ret = TAKE_PTR(service);
    return 0;
}

int swarm_api_get_tasks(SwarmApi *api, const char *service_id, Json **ret, Error *err)
{
    _cleanup_buffer_ Buffer filter = BUFFER_INIT(0), path = BUFFER_INIT(0);
    int r = buffer_append_text(&filter, "{\"service\":{");

    r = r < 0 ? r : text_append_json(&filter, service_id, strlen(service_id));
    r = r < 0 ? r : buffer_append_text(&filter, ":true}}");
    r = no_memory(r, err);
    r = r < 0 ? r : path_of("/tasks?filters=", buffer_text(&filter), "", &path, err);
    return r < 0
               ? r
               : ask_json(api,
                          &(EngineQuestion){
                              .method = "GET", .path = buffer_text(&path), .max_bytes = TASKS_MAX},
                          "list the service's tasks", NULL, JSON_ARRAY, ret, err);
}

int swarm_api_get_down_nodes(SwarmApi *api, Json **ret, Error *err)
{
    _cleanup_json_ Json *nodes = NULL, *down = json_new_object();
    int r = ask_json(api, &(EngineQuestion){.method = "GET", .path = "/nodes"}, "list its nodes",
                     NULL, JSON_ARRAY, &nodes, err);

    for (size_t i = 0; r == 0 && i < json_length(nodes); i++) {
        const char *state = json_as_string(json_pointer(json_at(nodes, i), "/Status/State"));
        const char *id = json_get_string(json_at(nodes, i), "ID");

        if (id && state && strcmp(state, "down") == 0) {
            r = no_memory(json_set_bool(down, id, true), err);
        }
    }
    if (r == 0) {
        *ret = TAKE_PTR(down);
    }
    return r;
}

static int copy_text(const Json *object, const char *name, char **ret, Error *err)
{
    const char *text = json_get_string(object, name);

    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? error_set(err, -ENOMEM, "out of memory") : 0;
}

int swarm_api_find_network(SwarmApi *api, const char *name, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    _cleanup_json_ Json *network = NULL;
    int r = path_of("/networks/", name, "?scope=swarm", &path, err);

    r = r < 0 ? r
              : ask_json(api, &(EngineQuestion){.method = "GET", .path = buffer_text(&path)},
                         "find a network", "network", JSON_OBJECT, &network, err);
    return r == ENGINE_ABSENT ? 0 : r != 0 ? r : copy_text(network, "Id", ret, err);
}

int swarm_api_find_file(SwarmApi *api, const char *kind, const char *name, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer before = BUFFER_INIT(0), path = BUFFER_INIT(0);
    _cleanup_json_ Json *file = NULL;
    const char *found;
    int r = no_memory(buffer_append_format(&before, "/%s/", kind), err);

    r = r < 0 ? r : path_of(buffer_text(&before), name, "", &path, err);
    r = r < 0 ? r
              : ask_json(api, &(EngineQuestion){.method = "GET", .path = buffer_text(&path)},
                         "find a secret or config", "not found", JSON_OBJECT, &file, err);
    if (r != 0) {
        return r;
    }
    found = json_as_string(json_pointer(file, "/Spec/Name"));
    if (!found || strcmp(found, name) != 0) {
        return ENGINE_ABSENT;
    }
    return copy_text(file, "ID", ret, err);
}

int swarm_api_get_log(SwarmApi *api, const char *task_id, char **ret)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0), text = BUFFER_INIT(0);
    const Buffer *body = &reply.response.body;
    int r = path_of("/tasks/", task_id, "/logs?stdout=1&stderr=1&tail=" LOG_LINES, &path, NULL);

    r = r < 0 ? r
              : ask(api,
                    &(EngineQuestion){.method = "GET",
                                      .path = buffer_text(&path),
                                      .is_raw = true,
                                      .timeout_ms = DETAIL_TIMEOUT_MS},
                    "give a log", NULL, &reply, NULL);
    if (r != 0) {
        return r == -ENOMEM ? r : 0;
    }
    /* With a terminal it is no stream of frames; a frame begins with 0, 1 or 2. */
    r = swarm_log_append(buffer_text(body), body->len, (unsigned char)*buffer_text(body) <= 2,
                         LOG_MAX, &text);
    if (r == 0 && text.len > 0) {
        *ret = buffer_take_text(&text);
        r = *ret ? 0 : -ENOMEM;
    }
    return r;
}

int swarm_api_get_health(SwarmApi *api, const char *container_id, Json **ret)
{
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    _cleanup_json_ Json *container = NULL;
    int r = path_of("/containers/", container_id, "/json", &path, NULL);

    r = r < 0 ? r
              : ask_json(api,
                         &(EngineQuestion){.method = "GET",
                                           .path = buffer_text(&path),
                                           .timeout_ms = DETAIL_TIMEOUT_MS},
                         "describe a container", "container", JSON_OBJECT, &container, NULL);
    if (r == 0 && json_pointer(container, "/State/Health")) {
        *ret = json_ref(json_pointer(container, "/State/Health"));
    }
    return r == -ENOMEM ? r : 0;
}

/* ---- changing ---------------------------------------------------------------------------------
 */

static int change(SwarmApi *api, const char *path, const Json *spec, const char *what,
                  EngineReply *ret, Error *err)
{
    _cleanup_swarm_secret_ Buffer auth = BUFFER_INIT(0);
    const char *image = json_as_string(json_pointer(spec, "/TaskTemplate/ContainerSpec/Image"));
    int r = swarm_registry_append_header(api->registry_credentials_file, image, &auth, err);

    return r < 0 ? r
                 : ask(api,
                       &(EngineQuestion){.method = "POST",
                                         .path = path,
                                         .body = spec,
                                         .header = auth.len > 0 ? buffer_text(&auth) : NULL},
                       what, NULL, ret, err);
}

int swarm_api_create(SwarmApi *api, const Json *spec, Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    int r = change(api, "/services/create", spec, "create the service", &reply, err);

    /* Somebody was faster, perhaps ourselves before an answer was lost: the next look tells. */
    return r < 0 && reply.response.status == 409 ? ENGINE_AWAY : r;
}

int swarm_api_update(SwarmApi *api, const Json *service, const Json *spec, Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    _cleanup_buffer_ Buffer query = BUFFER_INIT(0), path = BUFFER_INIT(0);
    int r = no_memory(
        buffer_append_format(&query, "/update?version=%lld",
                             (long long)json_as_int(json_pointer(service, "/Version/Index"), 0)),
        err);

    r = r < 0 ? r
              : path_of("/services/", json_get_string(service, "ID"), buffer_text(&query), &path,
                        err);
    return r < 0 ? r : change(api, buffer_text(&path), spec, "update the service", &reply, err);
}

int swarm_api_remove(SwarmApi *api, const char *service_id, Error *err)
{
    _cleanup_engine_reply_ EngineReply reply = {0};
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0);
    int r = path_of("/services/", service_id, "", &path, err);

    r = r < 0 ? r
              : ask(api, &(EngineQuestion){.method = "DELETE", .path = buffer_text(&path)},
                    "remove the service", "service", &reply, err);
    return r == ENGINE_ABSENT ? 0 : r;
}
