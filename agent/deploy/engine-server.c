/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engine-server.h"

#include "agent/http/http-url.h"
#include "agent/http/http.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Of an answer that is no JSON, what is shown to people. */
#define EXCERPT_MAX ((size_t)160)

typedef struct Address {
    const char *text; /* the environment's */
    Http *http;
} Address;

struct EngineServer {
    const EngineServerTraits *traits;
    Address addresses[ENGINE_SERVER_ADDRESSES_MAX];
    size_t n_addresses;
    size_t at; /* the one that is asked first */
    const char *credentials_file;
    char *authorization; /* the whole header, or NULL */
};

/* ---- credentials ------------------------------------------------------------------------------
 */

/* A header is made of it: what a user or a password may hold otherwise is their own matter. */
static int set_header(char **ret, const char *prefix, const char *value)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = buffer_append_format(&text, "Authorization: %s%s", prefix, value);

    if (r == 0 && strpbrk(buffer_text(&text), "\r\n")) {
        return -EINVAL;
    }
    *ret = r == 0 ? buffer_take_text(&text) : NULL;
    return *ret ? 0 : -ENOMEM;
}

static int set_basic(char **ret, const char *username, const char *password)
{
    _cleanup_buffer_ Buffer pair = BUFFER_INIT(0), encoded = BUFFER_INIT(0);
    int r = strchr(username, ':') ? -EINVAL : 0;

    r = r < 0 ? r : buffer_append_format(&pair, "%s:%s", username, password);
    r = r < 0 ? r : text_append_base64(&encoded, pair.data, pair.len);
    return r < 0 ? r : set_header(ret, "Basic ", buffer_text(&encoded));
}

/* The JSON error of this file is not told: it could quote what is secret. */
static int parse_credentials(const EngineServer *server, const Buffer *text, char **ret)
{
    _cleanup_json_ Json *json = NULL;
    int r = json_parse(buffer_text(text), text->len, &json, NULL);
    const char *username = json_get_string(json, "username");
    const char *password = json_get_string(json, "password");
    const char *token = json_get_string(json, "token");
    const char *whole = json_get_string(json, "authorization");

    if (r < 0) {
        return r == -ENOMEM ? r : -EINVAL;
    }
    if (json_member_count(json) == 2 && username && password) {
        return set_basic(ret, username, password);
    }
    if (json_member_count(json) == 1 && token) {
        return set_header(ret, server->traits->token_prefix, token);
    }
    if (json_member_count(json) == 1 && whole) {
        return set_header(ret, "", whole);
    }
    return -EINVAL;
}

static int read_credentials(const EngineServer *server, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(ENGINE_SERVER_CREDENTIALS_MAX);
    const char *file = server->credentials_file;
    struct stat st;
    int r = file_read(AT_FDCWD, file, &text, err);

    if (r < 0) {
        return error_wrap(err, "credentialsFile");
    }
    if (stat(file, &st) == 0 && (st.st_mode & S_IRWXO)) {
        return error_set(err, -EPERM,
                         "credentialsFile: '%s' is open to everybody on this host; "
                         "'chmod o= %s' mends that",
                         file, file);
    }
    r = parse_credentials(server, &text, ret);
    if (r == -EINVAL) {
        return error_set(err, r,
                         "credentialsFile: '%s' is to hold {\"username\": …, \"password\": …}, "
                         "{\"token\": …} or {\"authorization\": …}, each on one line",
                         file);
    }
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

/* A token that was refused may have been renewed meanwhile. */
static bool has_new_credentials(EngineServer *server)
{
    char *now = NULL;

    if (!server->credentials_file || read_credentials(server, &now, NULL) < 0) {
        return false;
    }
    if (strcmp(now, server->authorization) == 0) {
        free(now);
        return false;
    }
    free(server->authorization);
    server->authorization = now;
    return true;
}

const char *engine_server_credentials_file(const EngineServer *server)
{
    return server->credentials_file;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

EngineServer *engine_server_close(EngineServer *server)
{
    if (server) {
        for (size_t i = 0; i < server->n_addresses; i++) {
            server->addresses[i].http = http_close(server->addresses[i].http);
        }
        free(server->authorization);
        free(server);
    }
    return NULL;
}

static int add_address(EngineServer *server, const Json *environment, const char *text, Error *err)
{
    HttpOptions options = {
        .ca_file = json_get_string(environment, "caFile"),
        .certificate_file = json_get_string(environment, "certificateFile"),
        .key_file = json_get_string(environment, "keyFile"),
    };
    Address *address = &server->addresses[server->n_addresses];
    int r;

    if (!text) {
        return error_set(err, -EINVAL, "addresses: each is a text");
    }
    if (server->n_addresses == ENGINE_SERVER_ADDRESSES_MAX) {
        return error_set(err, -EINVAL, "addresses: at most %d", ENGINE_SERVER_ADDRESSES_MAX);
    }
    r = http_open_with(text, &options, &address->http, err);
    if (r < 0) {
        return r;
    }
    address->text = text;
    server->n_addresses++;
    return 0;
}

static int add_addresses(EngineServer *server, const Json *environment, Error *err)
{
    const char *one = json_get_string(environment, "address");
    const Json *several = json_get(environment, "addresses");
    int r = one ? add_address(server, environment, one, err) : 0;

    for (size_t i = 0; r == 0 && i < json_length(several); i++) {
        r = add_address(server, environment, json_as_string(json_at(several, i)), err);
    }
    if (r == 0 && server->n_addresses == 0) {
        return error_set(err, -EINVAL,
                         "the environment has neither `address` nor `addresses`: where %s is "
                         "asked, such as %s",
                         server->traits->title, server->traits->example);
    }
    return r;
}

int engine_server_open(const Json *environment, const EngineServerTraits *traits,
                       EngineServer **ret, Error *err)
{
    _cleanup_(engine_server_closep) EngineServer *server = calloc(1, sizeof(*server));
    int r;

    if (!server) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    server->traits = traits;
    server->credentials_file = json_get_string(environment, "credentialsFile");
    r = add_addresses(server, environment, err);
    if (r == 0 && server->credentials_file) {
        r = read_credentials(server, &server->authorization, err);
    }
    if (r == 0) {
        *ret = TAKE_PTR(server);
    }
    return r;
}

/* ---- answers ----------------------------------------------------------------------------------
 */

void engine_reply_done(EngineReply *reply)
{
    http_response_done(&reply->response);
    (void)json_unref(reply->json);
    *reply = (EngineReply){0};
}

/* The first line of a text, with nothing that a terminal could take for a command. */
static int append_excerpt(const Buffer *body, Buffer *text)
{
    size_t n = 0;

    while (n < body->len && n < EXCERPT_MAX && (unsigned char)body->data[n] >= ' ' &&
           body->data[n] != 0x7f) {
        n++;
    }
    return text_append_utf8(text, body->data, n);
}

int engine_reply_append_said(const EngineReply *reply, Buffer *text)
{
    const char *said = json_get_string(reply->json, "message");

    said = said ? said : json_get_string(reply->json, "error");
    said = said ? said : json_as_string(reply->json);
    if (said && *said) {
        return buffer_append_text(text, said);
    }
    if (!reply->json && reply->response.body.len > 0 && reply->response.body.data[0] != '<') {
        return append_excerpt(&reply->response.body, text);
    }
    return buffer_append_format(text, "status %d", reply->response.status);
}

static int read_json(const EngineServer *server, bool is_raw, EngineReply *reply, Error *err)
{
    _cleanup_buffer_ Buffer begin = BUFFER_INIT(0);
    _cleanup_error_ Error problem = {0};
    int r = 0;

    if (is_raw && http_status_is_success(reply->response.status)) {
        return 0;
    }
    if (reply->response.body.len > 0) {
        r = http_response_json(&reply->response, &reply->json, &problem);
    }
    if (r == -ENOMEM) {
        return error_set(err, r, "out of memory");
    }
    if (r == 0 || !http_status_is_success(reply->response.status)) {
        return 0;
    }
    r = append_excerpt(&reply->response.body, &begin);
    return r < 0 ? error_set(err, r, "out of memory")
                 : error_set(err, -EBADMSG, "%s: %s; it begins with '%s'. Is that %s?",
                             reply->address, error_text(&problem), buffer_text(&begin),
                             server->traits->title);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static int ask_one(EngineServer *server, size_t at, const EngineQuestion *question,
                   EngineReply *ret, Error *err)
{
    const char *headers[4] = {question->is_raw ? "Accept: */*" : "Accept: application/json"};
    size_t n_headers = 1;
    HttpRequest request = {
        .method = question->method,
        .path = question->path,
        .body = question->body,
        .headers = headers,
        .is_sent_once = strcmp(question->method, "GET") != 0,
        .timeout_ms = question->timeout_ms,
        .max_bytes = question->max_bytes,
    };

    if (server->authorization) {
        headers[n_headers++] = server->authorization;
    }
    if (question->header) {
        headers[n_headers++] = question->header;
    }

    engine_reply_done(ret);
    ret->address = server->addresses[at].text;
    return http_request(server->addresses[at].http, &request, &ret->response, err);
}

/* Which of the addresses an answer points to; -EPROTO: none of them. */
static int find_redirect(const EngineServer *server, const EngineReply *reply, size_t *ret,
                         Error *err)
{
    const char *location = http_response_header(&reply->response, "Location", 0);
    _cleanup_free_ char *url = NULL;
    int r = http_url_resolve(reply->response.url, location, &url, err);

    if (r == -ENOMEM) {
        return r;
    }
    for (size_t i = 0; r == 0 && i < server->n_addresses; i++) {
        const char *address = server->addresses[i].text;

        if (!text_has_prefix(address, "unix:") && http_url_is_same_origin(url, address)) {
            *ret = i;
            return 0;
        }
    }
    return error_set(err, -EPROTO,
                     "%s redirects to '%.*s', which is none of this environment's addresses, so "
                     "nothing is sent there",
                     reply->address, (int)MIN(strcspn(location, "?#"), (size_t)200), location);
}

static bool is_redirect(const EngineReply *reply)
{
    int status = reply->response.status;

    return (status == 301 || status == 302 || status == 307 || status == 308) &&
           http_response_header(&reply->response, "Location", 0);
}

/* One address, and where it points to. *at is the address that answered last. */
static int ask_and_follow(EngineServer *server, size_t *at, const EngineQuestion *question,
                          EngineReply *ret, Error *err)
{
    bool has_renewed = false;

    for (size_t hops = 0; hops <= server->n_addresses; hops++) {
        int r = ask_one(server, *at, question, ret, err);

        if (r == 0 && ret->response.status == 401 && !has_renewed && has_new_credentials(server)) {
            has_renewed = true;
            continue;
        }
        if (r != 0 || !is_redirect(ret)) {
            return r;
        }
        r = find_redirect(server, ret, at, err);
        if (r < 0) {
            return r;
        }
    }
    return error_set(err, -ELOOP, "%s: the addresses of %s redirect in a circle", ret->address,
                     server->traits->title);
}

/* 502, 503 and 504 are said by who stands before the engine, or by one that is no leader. */
static int note_unavailable(const EngineReply *reply, Error *err)
{
    _cleanup_buffer_ Buffer said = BUFFER_INIT(0);
    int status = reply->response.status;

    if (status < 502 || status > 504) {
        return 0;
    }
    if (engine_reply_append_said(reply, &said) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    (void)error_set(err, -EIO, "%s answers %d: %s", reply->address, status, buffer_text(&said));
    return HTTP_NO_ANSWER;
}

int engine_server_ask_for(EngineServer *server, const EngineQuestion *question, EngineReply *ret,
                          Error *err)
{
    bool is_change = strcmp(question->method, "GET") != 0;

    for (size_t i = 0; i < server->n_addresses; i++) {
        size_t at = server->at;
        int r = ask_and_follow(server, &at, question, ret, err);

        r = r == 0 ? read_json(server, question->is_raw, ret, err) : r;
        r = r == 0 ? note_unavailable(ret, err) : r;
        if (r == 0) {
            server->at = at;
        }
        if (r != HTTP_NO_ANSWER) {
            return r;
        }
        server->at = (at + 1) % server->n_addresses;
        if (is_change) {
            break;
        }
    }
    (void)error_wrap(err, "%s does not answer", server->traits->title);
    return ENGINE_AWAY;
}

int engine_server_ask(EngineServer *server, const char *method, const char *path, const Json *body,
                      EngineReply *ret, Error *err)
{
    return engine_server_ask_for(
        server, &(EngineQuestion){.method = method, .path = path, .body = body}, ret, err);
}
