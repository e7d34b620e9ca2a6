/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/host.h"

#include "agent/http/http-url.h"
#include "agent/package/registry/auth.h"
#include "agent/package/registry/docker-config.h"
#include "agent/package/registry/reference.h"
#include "protocol/base/clock.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

/* Pauses do not grow beyond this; a registry that wants a longer one is told no. */
#define PAUSE_MAX_MS ((int64_t)30000)
#define RETRY_AFTER_MAX_MS ((int64_t)120000)

#define REDIRECTS_MAX 5u

/* Of what a registry says about an error. */
#define COMPLAINTS_SHOWN_MAX 3
#define COMPLAINT_SHOWN_MAX 300

/* Docker's name for its registry is not where the registry is. */
#define DOCKER_ENDPOINT "registry-1.docker.io"

/* Token servers that are known to be of the registry's owner. */
static const struct {
    const char *host, *token_host;
} known_token_hosts[] = {
    {REFERENCE_DOCKER_HOST, "auth.docker.io"},
    {"registry.gitlab.com", "gitlab.com"},
};

struct RegistryHost {
    const RegistryOptions *options;
    char *name;
    char *address;
    Http *http;
    Auth *auth;
    const char *repository; /* of the call that is made, for who looks for a login */
};

const char *registry_host_name(const RegistryHost *host)
{
    return host->name;
}

const RegistryOptions *registry_host_options(const RegistryHost *host)
{
    return host->options;
}

void registry_host_tell(const RegistryHost *host, RegistryStage stage, const char *digest,
                        int64_t done, int64_t total)
{
    if (host->options->on_progress) {
        host->options->on_progress(
            host->options->userdata,
            &(RegistryProgress){.stage = stage, .digest = digest, .done = done, .total = total});
    }
}

/* ---- whom to trust with what ------------------------------------------------------------------
 */

static bool is_listed(const char *const *names, const char *name)
{
    for (; names && *names; names++) {
        if (strcasecmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

/* "host" of "host:port". */
static size_t name_length(const char *host)
{
    const char *end = strrchr(host, ']'), *colon = strchr(end ? end : host, ':');

    return colon ? (size_t)(colon - host) : strlen(host);
}

static bool may_tell(const RegistryHost *host, const char *realm_host)
{
    size_t n = name_length(host->name);

    if (name_length(realm_host) == n && strncasecmp(realm_host, host->name, n) == 0) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(known_token_hosts); i++) {
        if (strcmp(host->name, known_token_hosts[i].host) == 0 &&
            strcasecmp(realm_host, known_token_hosts[i].token_host) == 0) {
            return true;
        }
    }
    return is_listed(host->options->token_hosts, realm_host);
}

static int check_realm(void *userdata, const char *realm, bool has_secret, Error *err)
{
    const RegistryHost *host = userdata;
    _cleanup_free_ char *realm_host = NULL;
    int r = http_url_host(realm, &realm_host, err);

    if (r < 0) {
        return r;
    }
    if (!http_url_is_https(realm) && !http_url_is_loopback(realm) &&
        !is_listed(host->options->plain_hosts, realm_host)) {
        return error_set(err, -EACCES,
                         "%s asks for a token of http://%s, which is not encrypted; allow plain "
                         "HTTP to that host, or mend the registry's 'realm'",
                         host->name, realm_host);
    }
    if (has_secret && !may_tell(host, realm_host)) {
        return error_set(err, -EACCES,
                         "%s asks to send its password to %s, which is another host; name it "
                         "among the hosts of token servers if that is right",
                         host->name, realm_host);
    }
    return 0;
}

static int find_in(const char *path, const RegistryHost *host, Credential *ret, Error *err)
{
    _cleanup_(docker_config_freep) DockerConfig *config = NULL;
    int r = docker_config_load(path, &config, err);

    return r < 0 ? r : docker_config_find(config, host->name, host->repository, ret, err);
}

static int find_credential(void *userdata, Credential *ret, Error *err)
{
    const RegistryHost *host = userdata;
    _cleanup_free_ char *path = NULL;
    int r = 0;

    if (host->options->credentials_file) {
        r = find_in(host->options->credentials_file, host, ret, err);
    }
    if (r != 0) {
        return r;
    }
    if (docker_config_path(host->options->docker_config, &path) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return path ? find_in(path, host, ret, err) : 0;
}

/* ---- construction -----------------------------------------------------------------------------
 */

static int set_address(RegistryHost *host)
{
    bool is_docker = strcmp(host->name, REFERENCE_DOCKER_HOST) == 0;
    bool is_plain = is_listed(host->options->plain_hosts, host->name);
    _cleanup_buffer_ Buffer address = BUFFER_INIT(0);
    int r = buffer_append_format(&address, "http://%s", is_docker ? DOCKER_ENDPOINT : host->name);

    if (r < 0) {
        return r;
    }
    if (!is_plain && !http_url_is_loopback(buffer_text(&address))) {
        return asprintf(&host->address, "https://%s", buffer_text(&address) + 7) < 0 ? -ENOMEM : 0;
    }
    host->address = buffer_take_text(&address);
    return host->address ? 0 : -ENOMEM;
}

/* Loopback is plain unless there is something that only TLS needs. */
static bool wants_tls(const RegistryOptions *options, const char *name)
{
    return (options->ca_file || options->certificate_file) &&
           !is_listed(options->plain_hosts, name);
}

int registry_host_new(const RegistryOptions *options, const char *name, RegistryHost **ret,
                      Error *err)
{
    _cleanup_(registry_host_freep) RegistryHost *host = calloc(1, sizeof(*host));
    const HttpOptions http_options = {.ca_file = options->ca_file,
                                      .certificate_file = options->certificate_file,
                                      .key_file = options->key_file,
                                      .has_environment_proxy = options->has_environment_proxy};
    int r;

    if (!host || !(host->name = strdup(name))) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    host->options = options;
    if (wants_tls(options, name)) {
        r = asprintf(&host->address, "https://%s",
                     strcmp(name, REFERENCE_DOCKER_HOST) == 0 ? DOCKER_ENDPOINT : name);
        host->address = r < 0 ? NULL : host->address;
    } else {
        r = set_address(host);
    }
    if (r < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = http_open_with(host->address, &http_options, &host->http, err);
    r = r < 0 ? r
              : auth_new(&(AuthOptions){.http = host->http,
                                        .host = name,
                                        .find_credential = find_credential,
                                        .check_realm = check_realm,
                                        .userdata = host},
                         &host->auth, err);
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(host);
    return 0;
}

RegistryHost *registry_host_free(RegistryHost *host)
{
    if (host) {
        (void)auth_free(host->auth);
        (void)http_close(host->http);
        free(host->address);
        free(host->name);
        free(host);
    }
    return NULL;
}

/* ---- what an answer means ---------------------------------------------------------------------
 */

/* The errors of a registry's answer, "CODE: message", a few of them. */
static int append_errors(const HttpResponse *response, Buffer *text)
{
    _cleanup_json_ Json *answer = NULL;
    const Json *errors;
    int r = 0;

    if (json_parse(buffer_text(&response->body), response->body.len, &answer, NULL) < 0) {
        const char *body = buffer_text(&response->body);

        body += strspn(body, " \t\r\n");
        return body[0] == '<'
                   ? buffer_append_text(text, ": the answer is a web page, not a registry's; "
                                              "is a proxy in between, or is this another "
                                              "server?")
                   : 0;
    }
    errors = json_get(answer, "errors");
    for (size_t i = 0; r == 0 && i < MIN(json_length(errors), (size_t)COMPLAINTS_SHOWN_MAX); i++) {
        const char *code = json_get_string(json_at(errors, i), "code");
        const char *message = json_get_string(json_at(errors, i), "message");

        r = buffer_append_format(text, "%s %.*s%s%.*s", i == 0 ? ":" : ";", 64, code ? code : "",
                                 message && *message ? ": " : "", COMPLAINT_SHOWN_MAX,
                                 message ? message : "");
    }
    return r;
}

int registry_host_complain(const RegistryHost *host, const HttpResponse *response, int code,
                           const char *what, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

    if (append_errors(response, &text) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (char *p = text.data; p && *p; p++) {
        *p = (unsigned char)*p < ' ' ? ' ' : *p; /* one line, and no terminal's commands */
    }
    return error_set(err, code, "%s, %s: status %d%s", host->name, what, response->status,
                     buffer_text(&text));
}

static int refuse(const RegistryHost *host, const RegistryCall *call, const HttpResponse *response,
                  Error *err)
{
    const char *user = auth_user(host->auth);

    (void)registry_host_complain(host, response, -EACCES, call->repository, err);
    return error_wrap(err, "%s%s%s is refused", call->may_write ? "push" : "pull",
                      user ? " as user " : " without a login", user ? user : "");
}

/* ---- calling ----------------------------------------------------------------------------------
 */

static int64_t with_jitter(int64_t ms)
{
    uint32_t random = 0;

    (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
    return ms / 2 + (int64_t)(random % (uint64_t)(ms + 1));
}

bool registry_host_pause(RegistryHost *host, unsigned attempt, int64_t retry_after_ms, Error *err)
{
    const RegistryOptions *options = host->options;
    int64_t pause_ms = options->pause_ms ? options->pause_ms : REGISTRY_PAUSE_MS;
    struct timespec left;

    if (attempt >= (options->attempts ? options->attempts : REGISTRY_ATTEMPTS)) {
        return false;
    }
    if (retry_after_ms > RETRY_AFTER_MAX_MS) {
        (void)error_wrap(err, "it asks to be left alone for %lld s, which is too long",
                         (long long)retry_after_ms / 1000);
        return false;
    }
    for (unsigned i = 1; i < attempt && pause_ms < PAUSE_MAX_MS; i++) {
        pause_ms *= 2;
    }
    pause_ms = with_jitter(MIN(pause_ms, PAUSE_MAX_MS));
    pause_ms = MAX(pause_ms, retry_after_ms);
    if (options->on_progress) {
        options->on_progress(options->userdata, &(RegistryProgress){.stage = REGISTRY_WAITING,
                                                                    .done = pause_ms,
                                                                    .text = error_text(err)});
    }
    left = (struct timespec){.tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
    error_done(err);
    return true;
}

/* "repository:R:pull,push repository:FROM:pull" */
static int append_scope(const RegistryCall *call, Buffer *scope)
{
    int r = buffer_append_format(scope, "repository:%s:pull%s", call->repository,
                                 call->may_write ? ",push" : "");

    return r < 0 || !call->from ? r
                                : buffer_append_format(scope, " repository:%s:pull", call->from);
}

/* Storing a blob away may take a registry some time, all else does not. */
static int64_t reply_timeout(const RegistryHost *host, const RegistryCall *call)
{
    int64_t timeout_ms = host->options->reply_timeout_ms;

    bool is_upload = call->url && call->content;

    if (is_upload) {
        return HTTP_REPLY_TIMEOUT_MS;
    }
    return timeout_ms ? timeout_ms : REGISTRY_REPLY_TIMEOUT_MS;
}

/* One request with what the registry wants to see, as far as it is known. */
static int call_once(RegistryHost *host, const RegistryCall *call, const char *path,
                     const char *scope, HttpResponse *ret, Error *err)
{
    _cleanup_buffer_ Buffer authorization = BUFFER_INIT(0);
    const char *headers[3] = {NULL};
    bool is_ours = !call->url || http_url_is_same_origin(call->url, host->address);
    size_t n = 0, prefix;
    int r = buffer_append_text(&authorization, "Authorization: ");

    prefix = authorization.len;
    r = r < 0 || !is_ours ? r : auth_append_header(host->auth, scope, &authorization);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    if (call->header) {
        headers[n++] = call->header;
    }
    if (authorization.len > prefix) {
        headers[n++] = buffer_text(&authorization);
    }
    r = http_request(host->http,
                     &(HttpRequest){.method = call->method,
                                    .path = call->url ? NULL : path,
                                    .url = call->url,
                                    .headers = headers,
                                    .content = call->content,
                                    .sink = call->sink,
                                    .progress = call->progress,
                                    .userdata = call->userdata,
                                    .is_sent_once = call->is_once,
                                    .max_redirects = REDIRECTS_MAX,
                                    .timeout_ms = HTTP_TIMEOUT_NONE,
                                    .stall_timeout_ms = host->options->stall_timeout_ms,
                                    .reply_timeout_ms = reply_timeout(host, call),
                                    .max_bytes = call->max_bytes},
                     ret, err);
    explicit_bzero(authorization.data, authorization.allocated);
    return r;
}

/* One request, with the login that it may need first. */
static int call_known(RegistryHost *host, const RegistryCall *call, const char *path,
                      const char *scope, HttpResponse *ret, Error *err)
{
    for (unsigned count = 0;; count++) {
        int r = call_once(host, call, path, scope, ret, err);

        if (r == HTTP_NO_ANSWER) {
            return REGISTRY_AGAIN;
        }
        if (r < 0) {
            return r;
        }
        if (ret->status == 401) {
            host->repository = call->repository;
            r = auth_learn(host->auth, scope, ret, count, err);
            if (r != 0) {
                return r == AUTH_AGAIN ? REGISTRY_AGAIN : r;
            }
            continue;
        }
        if (ret->status == 403) {
            return refuse(host, call, ret, err);
        }
        if (ret->status == 429 || ret->status >= 500) {
            r = registry_host_complain(host, ret, -EIO, call->repository, err);
            return r == -EIO ? REGISTRY_AGAIN : r;
        }
        return 0;
    }
}

int registry_host_call(RegistryHost *host, const RegistryCall *call, HttpResponse *ret, Error *err)
{
    _cleanup_buffer_ Buffer path = BUFFER_INIT(0), scope = BUFFER_INIT(0);
    int r = append_scope(call, &scope);

    if (r == 0 && !call->url) {
        r = buffer_append_format(&path, "/v2/%s/%s", call->repository, call->path);
    }
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    for (unsigned attempt = 1;; attempt++) {
        r = call_known(host, call, buffer_text(&path), buffer_text(&scope), ret, err);
        if (r != REGISTRY_AGAIN || call->is_once) {
            return r;
        }
        if (!registry_host_pause(host, attempt, ret->retry_after_ms, err)) {
            return error_wrap(err, "tried %u times", attempt);
        }
    }
}
