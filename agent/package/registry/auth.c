/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/auth.h"

#include "agent/http/http-url.h"
#include "agent/package/registry/challenge.h"
#include "protocol/base/clock.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* A token whose server says nothing of it lives this long. */
#define TOKEN_LIFETIME_S 60

/* One that has less than this left may end on the way. */
#define TOKEN_MARGIN_MS ((int64_t)5000)

#define TOKEN_ANSWER_MAX ((size_t)256 << 10)
#define TOKEN_TIMEOUT_MS ((int64_t)30000)
#define TOKEN_REDIRECTS_MAX 3

/* Asking again is of use once for a scope that was too small, and once for a token that ended. */
#define LEARN_MAX 2u

#define CLIENT_ID "slipway"

typedef struct Token {
    char *scope; /* what a request asked for */
    char *text;
    int64_t ends_at_ms;
} Token;

typedef enum AuthKind {
    AUTH_NONE,
    AUTH_BASIC,
    AUTH_BEARER,
} AuthKind;

struct Auth {
    Http *http;
    char *host;
    AuthOptions options;
    AuthKind kind;
    bool has_asked; /* for a credential */
    bool has_credential;
    Credential credential;
    Token tokens[AUTH_TOKENS_MAX];
    size_t next_token; /* that is replaced when all are in use */
};

int auth_new(const AuthOptions *options, Auth **ret, Error *err)
{
    _cleanup_(auth_freep) Auth *auth = calloc(1, sizeof(*auth));

    if (!auth || !(auth->host = strdup(options->host))) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    auth->http = options->http;
    auth->options = *options;
    *ret = TAKE_PTR(auth);
    return 0;
}

static void token_done(Token *token)
{
    if (token->text) {
        explicit_bzero(token->text, strlen(token->text));
    }
    free(token->text);
    free(token->scope);
    *token = (Token){0};
}

Auth *auth_free(Auth *auth)
{
    if (auth) {
        for (size_t i = 0; i < ARRAY_SIZE(auth->tokens); i++) {
            token_done(&auth->tokens[i]);
        }
        credential_done(&auth->credential);
        free(auth->host);
        free(auth);
    }
    return NULL;
}

const char *auth_user(const Auth *auth)
{
    if (!auth->has_credential) {
        return NULL;
    }
    return auth->credential.user ? auth->credential.user : "(token)";
}

static int load_credential(Auth *auth, Error *err)
{
    int r;

    if (auth->has_asked) {
        return 0;
    }
    r = auth->options.find_credential(auth->options.userdata, &auth->credential, err);
    if (r < 0) {
        return r;
    }
    auth->has_asked = true;
    auth->has_credential = r > 0;
    return 0;
}

/* ---- tokens -----------------------------------------------------------------------------------
 */

static Token *find_token(Auth *auth, const char *scope)
{
    for (size_t i = 0; i < ARRAY_SIZE(auth->tokens); i++) {
        if (auth->tokens[i].scope && strcmp(auth->tokens[i].scope, scope) == 0) {
            return &auth->tokens[i];
        }
    }
    return NULL;
}

static void forget_token(Auth *auth, const char *scope)
{
    Token *token = find_token(auth, scope);

    if (token) {
        token_done(token);
    }
}

static int keep_token(Auth *auth, const char *scope, const char *text, int64_t lifetime_s)
{
    Token *token = &auth->tokens[auth->next_token];

    forget_token(auth, scope);
    auth->next_token = (auth->next_token + 1) % ARRAY_SIZE(auth->tokens);
    token_done(token);
    token->scope = strdup(scope);
    token->text = strdup(text);
    token->ends_at_ms = clock_monotonic_ms() + lifetime_s * 1000;
    if (!token->scope || !token->text) {
        token_done(token);
        return -ENOMEM;
    }
    return 0;
}

int auth_append_header(Auth *auth, const char *scope, Buffer *value)
{
    const Token *token;

    switch (auth->kind) {
    case AUTH_NONE:
        return 0;
    case AUTH_BASIC:
        return credential_append_basic(&auth->credential, value);
    case AUTH_BEARER:
        break;
    }
    token = find_token(auth, scope);
    if (!token || clock_monotonic_ms() + TOKEN_MARGIN_MS >= token->ends_at_ms) {
        return 0; /* the challenge says where to get one */
    }
    return buffer_append_format(value, "Bearer %s", token->text);
}

/* It becomes part of a header, so it has one line and no spaces. */
static bool is_token(const char *text)
{
    for (; *text > ' ' && *text < 0x7f; text++) {
    }
    return !*text;
}

static int take_token(Auth *auth, const char *scope, const char *realm,
                      const HttpResponse *response, Error *err)
{
    _cleanup_json_ Json *answer = NULL;
    const char *text;
    int64_t lifetime_s;

    if (http_response_json(response, &answer, NULL) < 0) {
        return error_set(err, -EBADMSG,
                         "token server %.*s: its answer is not JSON; is this a token server?",
                         (int)strcspn(realm, "?#"), realm);
    }
    text = json_get_string(answer, "token");
    text = text && *text ? text : json_get_string(answer, "access_token");
    if (!text || !*text || !is_token(text)) {
        return error_set(err, -EBADMSG, "token server %.*s: its answer has no token",
                         (int)strcspn(realm, "?#"), realm);
    }
    lifetime_s = json_get_int(answer, "expires_in", TOKEN_LIFETIME_S);
    /* A clock that is off by years is its server's problem: the next 401 says so. */
    lifetime_s = lifetime_s <= 0 ? TOKEN_LIFETIME_S : MIN(lifetime_s, (int64_t)86400);
    /* Kept for less than the margin it would never be used at all. */
    lifetime_s = MAX(lifetime_s, TOKEN_MARGIN_MS / 1000 + 2);
    return keep_token(auth, scope, text, lifetime_s) < 0 ? error_set(err, -ENOMEM, "out of memory")
                                                         : 0;
}

/* Each of the scopes in `text`, which are set apart by spaces, as a parameter; in a form or a URL.
 */
static int append_scopes(Buffer *query, const char *text, const char *but)
{
    int r = 0;

    while (r == 0 && text && *text) {
        size_t n = strcspn(text, " ");
        _cleanup_free_ char *one = strndup(text, n);

        if (!one) {
            return -ENOMEM;
        }
        if (n > 0 && (!but || strcmp(one, but) != 0)) {
            r = buffer_append_text(query, "&scope=");
            r = r < 0 ? r : http_append_escaped(query, one);
        }
        text += n + strspn(text + n, " ");
    }
    return r;
}

/* "service=…&scope=…&scope=…" of what is wanted and what the challenge names. */
static int append_query(Buffer *query, const Challenge *challenge, const char *scope)
{
    int r = buffer_append_text(query, "service=");

    r = r < 0 ? r : http_append_escaped(query, challenge->service ? challenge->service : "");
    r = r < 0 ? r : append_scopes(query, scope, NULL);
    return r < 0 || !scope ? r : append_scopes(query, challenge->scope, scope);
}

static int ask_with_password(Auth *auth, const Challenge *challenge, const char *scope,
                             HttpResponse *response, Error *err)
{
    _cleanup_buffer_ Buffer url = BUFFER_INIT(0), header = BUFFER_INIT(0);
    const char *headers[] = {NULL, NULL};
    int r = buffer_append_format(&url, "%s%s", challenge->realm,
                                 strchr(challenge->realm, '?') ? "&" : "?");

    r = r < 0 ? r : append_query(&url, challenge, scope);
    if (r == 0 && auth->has_credential) {
        r = buffer_append_text(&url, "&account=");
        r = r < 0 ? r : http_append_escaped(&url, auth->credential.user);
        r = r < 0 ? r : buffer_append_text(&header, "Authorization: ");
        r = r < 0 ? r : credential_append_basic(&auth->credential, &header);
        headers[0] = buffer_text(&header);
    }
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = http_request(auth->http,
                     &(HttpRequest){.url = buffer_text(&url),
                                    .headers = headers,
                                    .max_redirects = TOKEN_REDIRECTS_MAX,
                                    .timeout_ms = TOKEN_TIMEOUT_MS,
                                    .max_bytes = TOKEN_ANSWER_MAX},
                     response, err);
    if (header.data) {
        explicit_bzero(header.data, header.allocated);
    }
    return r;
}

/* OAuth 2.0: an identity token, which a login left, for one of this scope.
 * https://distribution.github.io/distribution/spec/auth/oauth/ */
static int ask_with_identity(Auth *auth, const Challenge *challenge, const char *scope,
                             HttpResponse *response, Error *err)
{
    _cleanup_buffer_ Buffer form = BUFFER_INIT(0);
    HttpContent content = {.type = "application/x-www-form-urlencoded"};
    int r = buffer_append_text(&form,
                               "grant_type=refresh_token&client_id=" CLIENT_ID "&refresh_token=");

    r = r < 0 ? r : http_append_escaped(&form, auth->credential.identity_token);
    r = r < 0 ? r : buffer_append_text(&form, "&");
    r = r < 0 ? r : append_query(&form, challenge, scope);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    content.data = form.data;
    content.size_bytes = (int64_t)form.len;
    r = http_request(auth->http,
                     &(HttpRequest){.method = "POST",
                                    .url = challenge->realm,
                                    .content = &content,
                                    .timeout_ms = TOKEN_TIMEOUT_MS,
                                    .max_bytes = TOKEN_ANSWER_MAX},
                     response, err);
    explicit_bzero(form.data, form.allocated);
    return r;
}

static int check_realm(Auth *auth, const Challenge *challenge, Error *err)
{
    _cleanup_free_ char *url = NULL;
    const char *realm = challenge->realm;

    if (!realm || http_url_resolve("", realm, &url, NULL) < 0) {
        return error_set(err, -EBADMSG,
                         "%s asks for a token of '%.100s', which is no address of a token server",
                         auth->host, realm ? realm : "");
    }
    return auth->options.check_realm(auth->options.userdata, realm, auth->has_credential, err);
}

/* A token for the scope. */
static int fetch_token(Auth *auth, const Challenge *challenge, const char *scope, Error *err)
{
    _cleanup_http_response_ HttpResponse response = {0};
    bool has_identity = auth->has_credential && auth->credential.identity_token;
    const char *user = auth_user(auth), *realm = challenge->realm;
    int r = check_realm(auth, challenge, err);

    if (r < 0) {
        return r;
    }
    r = has_identity ? ask_with_identity(auth, challenge, scope, &response, err)
                     : ask_with_password(auth, challenge, scope, &response, err);
    if (r == HTTP_NO_ANSWER) {
        (void)error_wrap(err, "token server of %s", auth->host);
        return AUTH_AGAIN;
    }
    if (r < 0) {
        return error_wrap(err, "token server of %s", auth->host);
    }
    if (response.status == 429 || response.status >= 500) {
        (void)error_set(err, -EIO, "token server %.*s of %s: status %d", (int)strcspn(realm, "?#"),
                        realm, auth->host, response.status);
        return AUTH_AGAIN;
    }
    if (!http_status_is_success(response.status)) {
        return error_set(err, -EACCES,
                         "token server %.*s of %s: status %d %s%s%s; docker login %s, or have the "
                         "access granted",
                         (int)strcspn(realm, "?#"), realm, auth->host, response.status,
                         user ? "for user '" : "without a login", user ? user : "", user ? "'" : "",
                         auth->host);
    }
    return take_token(auth, scope, realm, &response, err);
}

/* ---- challenges -------------------------------------------------------------------------------
 */

/* The best that is offered: a token before a password, which then goes less far. */
static int choose(const HttpResponse *response, Challenge *ret)
{
    const char *header;

    for (size_t i = 0; (header = http_response_header(response, "WWW-Authenticate", i)); i++) {
        for (;;) {
            _cleanup_challenge_ Challenge challenge = {0};
            int r = challenge_next(&header, &challenge);

            if (r == -ENOMEM) {
                return r;
            }
            if (r <= 0) {
                break; /* what cannot be read may be of a scheme that we do not need */
            }
            if (strcasecmp(challenge.scheme, "Bearer") == 0 ||
                (strcasecmp(challenge.scheme, "Basic") == 0 && !ret->scheme)) {
                challenge_done(ret);
                *ret = challenge;
                challenge = (Challenge){0};
            }
            if (strcasecmp(ret->scheme ? ret->scheme : "", "Bearer") == 0) {
                return 0;
            }
        }
    }
    return 0;
}

static int refuse(const Auth *auth, const char *scope, Error *err)
{
    const char *user = auth_user(auth);

    if (user) {
        return error_set(err, -EACCES,
                         "%s does not accept the login of '%s' for %s: is the password right, and "
                         "has the access been granted?",
                         auth->host, user, scope);
    }
    return error_set(err, -EACCES, "%s wants a login for %s, and there is none: docker login %s",
                     auth->host, scope, auth->host);
}

static int learn_basic(Auth *auth, const char *scope, unsigned count, Error *err)
{
    const Credential *credential = &auth->credential;

    /* A second 401 is the answer to this very password. */
    if (!auth->has_credential || !credential->user || !credential->password || count > 0) {
        return refuse(auth, scope, err);
    }
    auth->kind = AUTH_BASIC;
    return 0;
}

static int learn_bearer(Auth *auth, const Challenge *challenge, const char *scope, unsigned count,
                        Error *err)
{
    auth->kind = AUTH_BEARER;
    forget_token(auth, scope);
    if (auth->has_credential && auth->credential.registry_token) {
        if (count > 0 || !is_token(auth->credential.registry_token)) {
            return refuse(auth, scope, err);
        }
        return keep_token(auth, scope, auth->credential.registry_token, 86400) < 0
                   ? error_set(err, -ENOMEM, "out of memory")
                   : 0;
    }
    return fetch_token(auth, challenge, scope, err);
}

int auth_learn(Auth *auth, const char *scope, const HttpResponse *response, unsigned count,
               Error *err)
{
    _cleanup_challenge_ Challenge challenge = {0};
    int r = load_credential(auth, err);

    if (r < 0) {
        return r;
    }
    if (choose(response, &challenge) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!challenge.scheme) {
        return error_set(err, -EACCES,
                         "%s refuses (status 401) without saying what it wants to see; is it a "
                         "registry?",
                         auth->host);
    }
    if (count >= LEARN_MAX) {
        return refuse(auth, scope, err);
    }
    return strcasecmp(challenge.scheme, "Basic") == 0
               ? learn_basic(auth, scope, count, err)
               : learn_bearer(auth, &challenge, scope, count, err);
}
