/* SPDX-License-Identifier: MIT */
#include "tests/unit/registry/fake-registry.h"

#include "protocol/artifact/digest.h"
#include "protocol/base/fd.h"
#include "protocol/base/macro.h"
#include "protocol/base/text.h"
#include "protocol/json.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD_MAX ((size_t)64 << 10)
#define BASIC "Basic dXNlcjpwYXNzd29yZA==" /* user:password */

static void must(bool is_right, const char *what)
{
    if (!is_right) {
        perror(what);
        abort();
    }
}

typedef struct Request {
    char head[HEAD_MAX]; /* request line and headers */
    char method[16];
    char path[1024];  /* without query */
    char query[4096]; /* "" where there is none */
    char *body;
    size_t size;
    /* Of a path below /v2/. */
    char repository[128];
    char kind[16]; /* "blobs", "uploads", "manifests", "referrers" */
    char name[256];
} Request;

typedef struct Answer {
    int status;
    char headers[2048];
    const char *body;
    size_t size;
    char own[16384]; /* where a body is made */
} Answer;

/* The one upload that is open. */
static struct {
    char repository[128];
    char *data;
    size_t size;
    unsigned state;
    bool is_open;
} upload;

/* ---- items ------------------------------------------------------------------------------------
 */

static const char *digest_of(const void *data, size_t n)
{
    static char text[80];
    char hex[DIGEST_HEX_SIZE];

    must(digest_bytes(data, n, hex) == 0, "digest");
    (void)snprintf(text, sizeof(text), "sha256:%s", hex);
    return text;
}

static FakeItem *find_item(FakeRegistry *fake, const char *repository, const char *name,
                           bool is_manifest)
{
    for (size_t i = 0; i < fake->n_items; i++) {
        FakeItem *item = &fake->items[i];

        if (item->is_manifest == is_manifest && strcmp(item->repository, repository) == 0 &&
            strcmp(item->name, name) == 0) {
            return item;
        }
    }
    return NULL;
}

static void set_item(FakeRegistry *fake, const char *repository, const char *name,
                     const char *media_type, const void *data, size_t n)
{
    FakeItem *item = find_item(fake, repository, name, media_type != NULL);

    if (!item) {
        must(fake->n_items < FAKE_ITEMS_MAX, "room for an item");
        item = &fake->items[fake->n_items++];
    }
    free(item->data);
    *item = (FakeItem){.size = n, .is_manifest = media_type != NULL};
    (void)snprintf(item->repository, sizeof(item->repository), "%s", repository);
    (void)snprintf(item->name, sizeof(item->name), "%s", name);
    (void)snprintf(item->media_type, sizeof(item->media_type), "%s", media_type ? media_type : "");
    item->data = malloc(n + 1);
    must(item->data, "malloc");
    memcpy(item->data, data, n);
    item->data[n] = '\0';
}

const char *fake_registry_add_blob(FakeRegistry *fake, const char *repository, const void *data,
                                   size_t n)
{
    const char *digest = digest_of(data, n);

    set_item(fake, repository, digest, NULL, data, n);
    return digest;
}

const char *fake_registry_add_manifest(FakeRegistry *fake, const char *repository, const char *tag,
                                       const char *media_type, const char *json)
{
    const char *digest = digest_of(json, strlen(json));

    set_item(fake, repository, digest, media_type, json, strlen(json));
    if (tag) {
        set_item(fake, repository, tag, media_type, json, strlen(json));
    }
    return digest;
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static const char *header_of(const Request *request, const char *name, char value[static 4096])
{
    char wanted[64];
    const char *at;

    (void)snprintf(wanted, sizeof(wanted), "\r\n%s: ", name);
    at = strcasestr(request->head, wanted);
    if (!at) {
        return NULL;
    }
    at += strlen(wanted);
    (void)snprintf(value, 4096, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static void split_path(Request *request)
{
    static const char *const kinds[] = {"/blobs/uploads/", "/blobs/", "/manifests/", "/referrers/"};
    const char *path = request->path;

    if (strncmp(path, "/v2/", 4) != 0) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const char *at = strstr(path, kinds[i]);

        if (at) {
            (void)snprintf(request->repository, sizeof(request->repository), "%.*s",
                           (int)(at - path - 4), path + 4);
            (void)snprintf(request->kind, sizeof(request->kind), "%s",
                           i == 0 ? "uploads" : kinds[i] + 1);
            request->kind[strcspn(request->kind, "/")] = '\0';
            (void)snprintf(request->name, sizeof(request->name), "%s", at + strlen(kinds[i]));
            return;
        }
    }
}

/* False when the client has hung up. */
static bool read_head(int fd, Request *request, size_t *ret_length)
{
    char value[4096], target[5000], *question;
    size_t n = 0;

    *request = (Request){0};
    while (n < 4 || memcmp(request->head + n - 4, "\r\n\r\n", 4) != 0) {
        must(n + 1 < HEAD_MAX, "head");
        if (read(fd, request->head + n, 1) != 1) {
            return false;
        }
        n++;
    }
    must(sscanf(request->head, "%15s %4999s", request->method, target) == 2, "request line");
    question = strchr(target, '?');
    (void)snprintf(request->query, sizeof(request->query), "%s", question ? question + 1 : "");
    target[question ? (size_t)(question - target) : strlen(target)] = '\0';
    (void)snprintf(request->path, sizeof(request->path), "%s", target);
    split_path(request);
    *ret_length = header_of(request, "Content-Length", value) ? strtoul(value, NULL, 10) : 0;
    return true;
}

static bool read_body(int fd, Request *request, size_t n)
{
    request->body = malloc(n + 1);
    must(request->body, "malloc");
    request->size = n;
    request->body[n] = '\0';
    return fd_read_full(fd, request->body, n) == (ssize_t)n;
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static void add_header(Answer *answer, const char *format, ...) _printf_(2, 3);
static void add_header(Answer *answer, const char *format, ...)
{
    size_t n = strlen(answer->headers);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(answer->headers + n, sizeof(answer->headers) - n, format, args);
    va_end(args);
    (void)strcat(answer->headers, "\r\n");
}

static void answer_error(Answer *answer, int status, const char *code)
{
    answer->status = status;
    (void)snprintf(answer->own, sizeof(answer->own),
                   "{\"errors\":[{\"code\":\"%s\",\"message\":\"as the test wants\"}]}", code);
    answer->body = answer->own;
    answer->size = strlen(answer->own);
}

static void give_location(const Request *request, Answer *answer)
{
    add_header(answer, "Location: /v2/%s/blobs/uploads/one?_state=%u", request->repository,
               ++upload.state);
    if (upload.size > 0) {
        add_header(answer, "Range: 0-%zu", upload.size - 1);
    } else {
        add_header(answer, "Range: 0-0");
    }
}

static bool query_value(const Request *request, const char *name, char value[static 256])
{
    char wanted[32];
    const char *at;

    (void)snprintf(wanted, sizeof(wanted), "&%s=", name);
    if (strncmp(request->query, wanted + 1, strlen(wanted) - 1) == 0) {
        at = request->query + strlen(wanted) - 1;
    } else {
        at = strstr(request->query, wanted);
        at = at ? at + strlen(wanted) : NULL;
    }
    (void)snprintf(value, 256, "%.*s", at ? (int)strcspn(at, "&") : 0, at ? at : "");
    return at != NULL;
}

static void append_upload(const char *data, size_t n)
{
    upload.data = realloc(upload.data, upload.size + n + 1);
    must(upload.data, "realloc");
    memcpy(upload.data + upload.size, data, n);
    upload.size += n;
}

static bool is_newest(const Request *request)
{
    char state[256];

    return upload.is_open && query_value(request, "_state", state) &&
           strtoul(state, NULL, 10) == upload.state &&
           strcmp(upload.repository, request->repository) == 0;
}

static void take_chunk(const Request *request, Answer *answer)
{
    char type[4096], range[4096];

    if (!header_of(request, "Content-Type", type) ||
        strcmp(type, "application/octet-stream") != 0) {
        answer_error(answer, 500, "UNKNOWN");
        return;
    }
    if (header_of(request, "Content-Range", range) && strtoul(range, NULL, 10) != upload.size) {
        answer_error(answer, 416, "RANGE_INVALID");
        return;
    }
    append_upload(request->body, request->size);
    answer->status = 202;
    give_location(request, answer);
}

static void close_upload(FakeRegistry *fake, const Request *request, Answer *answer)
{
    char digest[256];

    append_upload(request->body, request->size);
    upload.is_open = false;
    if (!query_value(request, "digest", digest) ||
        strcmp(digest, digest_of(upload.data, upload.size)) != 0) {
        answer_error(answer, 400, "DIGEST_INVALID");
        return;
    }
    set_item(fake, request->repository, digest, NULL, upload.data, upload.size);
    answer->status = 201;
    add_header(answer, "Docker-Content-Digest: %s", digest);
}

static void open_upload(FakeRegistry *fake, const Request *request, Answer *answer)
{
    char digest[256], from[256], *escaped;
    FakeItem *item;

    if (fake->may_mount && query_value(request, "mount", digest) &&
        query_value(request, "from", from)) {
        while ((escaped = strstr(from, "%2F"))) {
            *escaped = '/';
            memmove(escaped + 1, escaped + 3, strlen(escaped + 3) + 1);
        }
        item = find_item(fake, from, digest, false);
        if (item) {
            set_item(fake, request->repository, digest, NULL, item->data, item->size);
            answer->status = 201;
            return;
        }
    }
    upload.is_open = true;
    upload.size = 0;
    (void)snprintf(upload.repository, sizeof(upload.repository), "%s", request->repository);
    answer->status = 202;
    give_location(request, answer);
}

static void serve_upload(FakeRegistry *fake, const Request *request, Answer *answer)
{
    if (strcmp(request->method, "POST") == 0) {
        open_upload(fake, request, answer);
    } else if (!is_newest(request)) {
        answer_error(answer, 404, "BLOB_UPLOAD_INVALID");
    } else if (strcmp(request->method, "PATCH") == 0) {
        take_chunk(request, answer);
    } else if (strcmp(request->method, "PUT") == 0) {
        close_upload(fake, request, answer);
    } else if (strcmp(request->method, "DELETE") == 0) {
        upload.is_open = false;
        answer->status = 204;
    } else {
        answer->status = 204;
        give_location(request, answer);
    }
}

static void serve_blob(FakeRegistry *fake, const Request *request, Answer *answer, bool has_ranges)
{
    FakeItem *item = find_item(fake, request->repository, request->name, false);
    char range[4096];
    size_t from = 0;

    if (!item) {
        answer_error(answer, 404, "BLOB_UNKNOWN");
        return;
    }
    answer->status = 200;
    if (has_ranges && header_of(request, "Range", range)) {
        from = strtoul(range + strlen("bytes="), NULL, 10);
        answer->status = from < item->size ? 206 : 416;
        from = MIN(from, item->size);
        add_header(answer, "Content-Range: bytes %zu-%zu/%zu", from, item->size - 1, item->size);
    }
    add_header(answer, "Docker-Content-Digest: %s", item->name);
    answer->body = item->data + from;
    answer->size = item->size - from;
}

static bool has_all(FakeRegistry *fake, const Request *request, const Json *manifest)
{
    const Json *layers = json_get(manifest, "layers"), *children = json_get(manifest, "manifests");
    const char *config = json_get_string(json_get(manifest, "config"), "digest");
    bool has = !config || find_item(fake, request->repository, config, false);

    for (size_t i = 0; i < json_length(layers); i++) {
        has = has && find_item(fake, request->repository,
                               json_get_string(json_at(layers, i), "digest"), false);
    }
    for (size_t i = 0; i < json_length(children); i++) {
        has = has && find_item(fake, request->repository,
                               json_get_string(json_at(children, i), "digest"), true);
    }
    return has;
}

static void put_manifest(FakeRegistry *fake, const Request *request, Answer *answer)
{
    _cleanup_json_ Json *manifest = NULL;
    const char *said, *digest = digest_of(request->body, request->size);
    char type[4096];

    if (json_parse(request->body, request->size, &manifest, NULL) < 0) {
        answer_error(answer, 400, "MANIFEST_INVALID");
        return;
    }
    said = json_get_string(manifest, "mediaType");
    if (!header_of(request, "Content-Type", type) || (said && strcmp(said, type) != 0)) {
        answer_error(answer, 400, "MANIFEST_INVALID");
        return;
    }
    if (!has_all(fake, request, manifest)) {
        answer_error(answer, 400, "MANIFEST_BLOB_UNKNOWN");
        return;
    }
    if (strchr(request->name, ':') && strcmp(request->name, digest) != 0) {
        answer_error(answer, 400, "DIGEST_INVALID");
        return;
    }
    set_item(fake, request->repository, digest, type, request->body, request->size);
    set_item(fake, request->repository, request->name, type, request->body, request->size);
    answer->status = 201;
    add_header(answer, "Docker-Content-Digest: %s", digest);
    if (fake->has_referrers && json_get(manifest, "subject")) {
        add_header(answer, "OCI-Subject: %s",
                   json_get_string(json_get(manifest, "subject"), "digest"));
    }
}

static void serve_manifest(FakeRegistry *fake, const Request *request, Answer *answer)
{
    FakeItem *item = find_item(fake, request->repository, request->name, true);
    char accept[4096];

    if (strcmp(request->method, "PUT") == 0) {
        put_manifest(fake, request, answer);
        return;
    }
    if (!item || !header_of(request, "Accept", accept) || !strstr(accept, item->media_type)) {
        answer_error(answer, 404, "MANIFEST_UNKNOWN");
        return;
    }
    answer->status = 200;
    answer->body = item->data;
    answer->size = item->size;
    add_header(answer, "Content-Type: %s", item->media_type);
    add_header(answer, "Docker-Content-Digest: %s", digest_of(item->data, item->size));
}

/* Two pages, where there are two. */
static void serve_referrers(FakeRegistry *fake, const Request *request, Answer *answer)
{
    size_t n = 0, skip = strstr(request->query, "page=2") ? 1 : 0;

    if (!fake->has_referrers) {
        answer_error(answer, 404, "NOT_FOUND");
        return;
    }
    answer->status = 200;
    (void)snprintf(answer->own, sizeof(answer->own), "{\"schemaVersion\":2,\"manifests\":[");
    for (size_t i = 0; i < fake->n_items; i++) {
        const FakeItem *item = &fake->items[i];
        size_t len = strlen(answer->own);

        if (!item->is_manifest || !strchr(item->name, ':') || !strstr(item->data, "\"subject\"") ||
            !strstr(item->data, request->name)) {
            continue;
        }
        if (n++ != skip) {
            continue;
        }
        (void)snprintf(answer->own + len, sizeof(answer->own) - len,
                       "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu,"
                       "\"artifactType\":\"application/vnd.in-toto.bundle\"}",
                       item->media_type, item->name, item->size);
    }
    (void)strcat(answer->own, "]}");
    if (n > 1 && skip == 0) {
        add_header(answer, "Link: <%s?page=2>; rel=\"next\"", request->path);
    }
    answer->body = answer->own;
    answer->size = strlen(answer->own);
}

/* ---- who may ----------------------------------------------------------------------------------
 */

/* "repository%3Aa%2Fb%3Apull" is how a scope stands in the query, and so in the token. */
static void serve_token(const Request *request, Answer *answer)
{
    char authorization[4096];
    bool is_known =
        header_of(request, "Authorization", authorization) && strcmp(authorization, BASIC) == 0;

    if (strcmp(request->method, "POST") == 0) {
        is_known = strstr(request->body, "refresh_token=identity&") != NULL;
    } else if (!is_known && header_of(request, "Authorization", authorization)) {
        answer_error(answer, 401, "UNAUTHORIZED");
        return;
    }
    answer->status = 200;
    (void)snprintf(answer->own, sizeof(answer->own), "{\"%s\":\"%s/%s\",\"expires_in\":300}",
                   is_known ? "token" : "access_token", is_known ? "user" : "anyone",
                   strcmp(request->method, "POST") == 0 ? request->body : request->query);
    answer->body = answer->own;
    answer->size = strlen(answer->own);
}

/* Anyone may pull, the user may push, with a token that says so. */
static bool has_token(const FakeRegistry *fake, const Request *request, Answer *answer)
{
    bool is_reading = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    char authorization[4096], own[64];
    bool has = header_of(request, "Authorization", authorization) != NULL;

    if (has && strstr(authorization, is_reading ? "pull" : "push") &&
        (is_reading || strncmp(authorization, "Bearer user/", 12) == 0)) {
        return true;
    }
    (void)snprintf(own, sizeof(own), "http://%s/token", fake->host);
    answer_error(answer, 401, "UNAUTHORIZED");
    add_header(
        answer,
        "WWW-Authenticate: Bearer realm=\"%s\",service=\"fake\",scope=\"repository:%s:%s\"%s",
        fake->realm ? fake->realm : own, request->repository, is_reading ? "pull" : "pull,push",
        has ? ",error=\"insufficient_scope\"" : "");
    return false;
}

static bool may(const FakeRegistry *fake, const Request *request, Answer *answer)
{
    char authorization[4096];

    switch (fake->auth) {
    case FAKE_ANONYMOUS:
        if (header_of(request, "Authorization", authorization)) {
            answer_error(answer, 400, "TOLD_A_SECRET");
            return false;
        }
        return true;
    case FAKE_BASIC:
        if (header_of(request, "Authorization", authorization) &&
            strcmp(authorization, BASIC) == 0) {
            return true;
        }
        answer_error(answer, 401, "UNAUTHORIZED");
        add_header(answer, "WWW-Authenticate: Basic realm=\"fake\"");
        return false;
    case FAKE_BEARER:
        return has_token(fake, request, answer);
    }
    return false;
}

static void serve_request(FakeRegistry *fake, const Request *request, Answer *answer,
                          const FakeRule *rule)
{
    if (strcmp(request->path, "/token") == 0) {
        serve_token(request, answer);
    } else if (!may(fake, request, answer)) {
        return;
    } else if (strcmp(request->kind, "uploads") == 0) {
        serve_upload(fake, request, answer);
    } else if (strcmp(request->kind, "blobs") == 0) {
        serve_blob(fake, request, answer, !rule || rule->fault != FAULT_NO_RANGE);
    } else if (strcmp(request->kind, "manifests") == 0) {
        serve_manifest(fake, request, answer);
    } else if (strcmp(request->kind, "referrers") == 0) {
        serve_referrers(fake, request, answer);
    } else {
        answer_error(answer, 404, "UNSUPPORTED");
    }
}

/* ---- doing wrong ------------------------------------------------------------------------------
 */

static FakeRule *find_rule(FakeRegistry *fake, const Request *request)
{
    for (size_t i = 0; i < FAKE_RULES_MAX; i++) {
        FakeRule *rule = &fake->rules[i];

        if (rule->fault == FAULT_NONE || strcmp(rule->method, request->method) != 0 ||
            !strstr(request->path, rule->path)) {
            continue;
        }
        if (rule->skip > 0) {
            rule->skip--;
            continue;
        }
        return rule;
    }
    return NULL;
}

static void spend(FakeRule *rule)
{
    if (rule->times > 1) {
        rule->times--;
    } else {
        rule->fault = FAULT_NONE;
    }
}

static void bend_answer(const FakeRule *rule, const Request *request, Answer *answer)
{
    if (rule->header) {
        add_header(answer, "%s", rule->header);
    }
    switch (rule->fault) {
    case FAULT_STATUS:
        answer->status = rule->status;
        answer->headers[0] = '\0';
        answer->body = rule->text ? rule->text : "";
        answer->size = strlen(answer->body);
        if (rule->header) {
            add_header(answer, "%s", rule->header);
        }
        break;
    case FAULT_LIE:
        answer->headers[0] = '\0';
        add_header(answer, "Docker-Content-Digest: %s", digest_of("a lie", 5));
        break;
    case FAULT_WRONG_BYTES:
        must(answer->size > 0 && answer->size < sizeof(answer->own), "bytes to change");
        memmove(answer->own, answer->body, answer->size);
        answer->own[0] ^= 1;
        answer->body = answer->own;
        break;
    case FAULT_MORE_BYTES:
        must(answer->size + 1 < sizeof(answer->own), "room for more");
        memmove(answer->own, answer->body, answer->size);
        answer->own[answer->size++] = '!';
        answer->body = answer->own;
        break;
    case FAULT_REDIRECT:
        *answer = (Answer){.status = 307};
        add_header(answer, "Location: %s%s", rule->text, request->path);
        break;
    default:
        break;
    }
}

static void hide_digest(Answer *answer)
{
    char *at = strstr(answer->headers, "Docker-Content-Digest:");

    if (at) {
        memcpy(at, "X-Hidden-Content------", 22);
    }
}

static bool send_answer(int fd, const Request *request, const Answer *answer, bool is_cut)
{
    bool has_body = strcmp(request->method, "HEAD") != 0 && answer->status != 204;
    size_t n = is_cut ? answer->size / 2 : answer->size;

    if (dprintf(fd, "HTTP/1.1 %d Fake\r\n%s", answer->status, answer->headers) < 0 ||
        (answer->status != 204 && dprintf(fd, "Content-Length: %zu\r\n", answer->size) < 0) ||
        dprintf(fd, "\r\n") < 0) {
        return false;
    }
    return (!has_body || fd_write_all(fd, answer->body ? answer->body : "", n) == 0) && !is_cut;
}

/* False: the connection is over. */
static bool serve_once(FakeRegistry *fake, int fd)
{
    static Request request;
    Answer answer = {0};
    FakeRule *rule, used = {0};
    size_t length;
    char byte;
    bool goes_on;

    if (!read_head(fd, &request, &length)) {
        return false;
    }
    must(dprintf(fake->log_fd, "%s %s\n", request.method, request.path) > 0, "log");
    rule = find_rule(fake, &request);
    if (rule) {
        used = *rule;
        spend(rule);
        rule = &used;
    }
    if (rule && rule->fault == FAULT_STALL) {
        while (read(fd, &byte, 1) > 0) {
        }
        return false;
    }
    if (rule && rule->fault == FAULT_CUT_REQUEST) {
        must(read_body(fd, &request, length / 2), "half of a body");
        if (is_newest(&request)) {
            append_upload(request.body, request.size);
            upload.is_open = !fake->is_forgetful;
        }
        free(request.body);
        return false;
    }
    if (!read_body(fd, &request, length)) {
        free(request.body);
        return false;
    }
    if (!rule || rule->fault != FAULT_STATUS) {
        serve_request(fake, &request, &answer, rule);
    }
    if (rule) {
        bend_answer(rule, &request, &answer);
    }
    if (fake->hides_digests) {
        hide_digest(&answer);
    }
    goes_on = send_answer(fd, &request, &answer, rule && rule->fault == FAULT_CUT_ANSWER);
    free(request.body);
    return goes_on;
}

static _noreturn_ void serve(FakeRegistry *fake, int listener)
{
    int on = 1;

    /* A test that fails does not stop us. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        must(fd >= 0, "accept");
        must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0, "TCP_NODELAY");
        while (serve_once(fake, fd)) {
        }
        (void)close(fd);
    }
}

/* ---- the test's side --------------------------------------------------------------------------
 */

void fake_registry_start(FakeRegistry *fake)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), log_fds[2];

    must(listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0, "bind");
    must(getsockname(listener, (struct sockaddr *)&address, &size) == 0, "getsockname");
    must(listen(listener, 8) == 0, "listen");
    must(pipe2(log_fds, O_CLOEXEC | O_NONBLOCK) == 0, "pipe");
    (void)snprintf(fake->host, sizeof(fake->host), "127.0.0.1:%d", ntohs(address.sin_port));
    fake->pid = fork();
    must(fake->pid >= 0, "fork");
    if (fake->pid == 0) {
        fake->log_fd = log_fds[1];
        serve(fake, listener);
    }
    (void)close(listener);
    (void)close(log_fds[1]);
    fake->log_fd = log_fds[0];
}

const char *fake_registry_log(FakeRegistry *fake)
{
    ssize_t n;

    while ((n = read(fake->log_fd, fake->log + fake->log_len,
                     sizeof(fake->log) - 1 - fake->log_len)) > 0) {
        fake->log_len += (size_t)n;
    }
    fake->log[fake->log_len] = '\0';
    return fake->log;
}

unsigned fake_registry_count(FakeRegistry *fake, const char *beginning)
{
    const char *line = fake_registry_log(fake);
    unsigned count = 0;

    while (*line) {
        count += strncmp(line, beginning, strlen(beginning)) == 0;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return count;
}

void fake_registry_stop(FakeRegistry *fake)
{
    if (fake->pid > 0) {
        (void)kill(fake->pid, SIGKILL);
        while (waitpid(fake->pid, NULL, 0) < 0) {
        }
        (void)close(fake->log_fd);
    }
    for (size_t i = 0; i < fake->n_items; i++) {
        free(fake->items[i].data);
    }
    *fake = (FakeRegistry){0};
}
