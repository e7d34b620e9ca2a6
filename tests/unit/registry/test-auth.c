/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/auth.h"

#include "tests/unit/registry/fake-registry.h"
#include "tests/unit/scratch.h"

#include <errno.h>

typedef struct Talk {
    FakeRegistry fake;
    Http *http;
    Auth *auth;
    const char *user, *password, *identity, *registry_token;
    int realm_result;
    bool was_told; /* that the token server would get a secret */
    Error err;
} Talk;

static int find_credential(void *userdata, Credential *ret, Error *err)
{
    const Talk *t = userdata;

    *ret = (Credential){.user = t->user ? strdup(t->user) : NULL,
                        .password = t->password ? strdup(t->password) : NULL,
                        .identity_token = t->identity ? strdup(t->identity) : NULL,
                        .registry_token = t->registry_token ? strdup(t->registry_token) : NULL};
    return t->user || t->identity || t->registry_token;
}

static int check_realm(void *userdata, const char *realm, bool has_secret, Error *err)
{
    Talk *t = userdata;

    t->was_told = has_secret;
    return t->realm_result < 0 ? error_set(err, t->realm_result, "not there") : 0;
}

static void talk_start(Talk *t)
{
    _cleanup_free_ char *address = NULL;

    fake_registry_start(&t->fake);
    assert_true(asprintf(&address, "http://%s", t->fake.host) > 0);
    assert_int_equal(http_open(address, &t->http, &t->err), 0);
    assert_int_equal(auth_new(&(AuthOptions){.http = t->http,
                                             .host = "r.io",
                                             .find_credential = find_credential,
                                             .check_realm = check_realm,
                                             .userdata = t},
                              &t->auth, &t->err),
                     0);
}

static void talk_done(Talk *t)
{
    t->auth = auth_free(t->auth);
    t->http = http_close(t->http);
    fake_registry_stop(&t->fake);
    error_done(&t->err);
}
#define _cleanup_talk_ _cleanup_(talk_done)

/* Learns from a 401 with this header ("%s" in it is the server's address). */
static int learn(Talk *t, const char *format, const char *scope, unsigned count)
{
    _cleanup_http_response_ HttpResponse response = {.status = 401,
                                                     .headers = BUFFER_INIT(HTTP_HEADERS_MAX)};
    _cleanup_buffer_ Buffer line = BUFFER_INIT(0);
    const char *address = strstr(format, "%s");

    assert_int_equal(buffer_append_text(&line, "WWW-Authenticate: "), 0);
    assert_int_equal(
        buffer_append(&line, format, address ? (size_t)(address - format) : strlen(format)), 0);
    if (address) {
        assert_int_equal(buffer_append_text(&line, t->fake.host), 0);
        assert_int_equal(buffer_append_text(&line, address + 2), 0);
    }
    assert_int_equal(http_response_add_line(&response, line.data, line.len), 0);
    error_done(&t->err);
    return auth_learn(t->auth, scope, &response, count, &t->err);
}

static void expect_header(Talk *t, const char *scope, const char *wanted)
{
    _cleanup_buffer_ Buffer value = BUFFER_INIT(0);

    assert_int_equal(auth_append_header(t->auth, scope, &value), 0);
    assert_string_equal(buffer_text(&value), wanted);
}

#define BEARER "Bearer realm=\"http://%s/token\",service=\"fake\""

static void nothing_is_told_unasked(void **state)
{
    _cleanup_talk_ Talk t = {.user = "user", .password = "password"};

    talk_start(&t);
    expect_header(&t, "s", "");
    assert_null(auth_user(t.auth));
}

static void a_password_is_told_once(void **state)
{
    _cleanup_talk_ Talk t = {.user = "user", .password = "password"}, nobody = {0};

    talk_start(&t);
    assert_int_equal(learn(&t, "Basic realm=\"x\"", "s", 0), 0);
    expect_header(&t, "s", "Basic dXNlcjpwYXNzd29yZA==");
    assert_string_equal(auth_user(t.auth), "user");
    assert_int_equal(learn(&t, "Basic realm=\"x\"", "s", 1), -EACCES);
    assert_non_null(strstr(error_text(&t.err), "does not accept the login of 'user'"));

    talk_start(&nobody);
    assert_int_equal(learn(&nobody, "Basic realm=\"x\"", "s", 0), -EACCES);
    assert_non_null(strstr(error_text(&nobody.err), "docker login r.io"));
}

/* Of the challenges a token's is taken, and the scope that was wanted stands first. */
static void a_token_is_fetched(void **state)
{
    _cleanup_talk_ Talk t = {.user = "user", .password = "password"};

    talk_start(&t);
    assert_int_equal(learn(&t, "Basic realm=\"x\", " BEARER ",scope=\"a:b:pull c\"", "a:b:pull", 0),
                     0);
    assert_true(t.was_told);
    expect_header(&t, "a:b:pull",
                  "Bearer user/service=fake&scope=a%3Ab%3Apull&scope=c&account=user");
    expect_header(&t, "another", "");
    assert_int_equal(learn(&t, BEARER, "another", 0), 0);
    expect_header(&t, "another", "Bearer user/service=fake&scope=another&account=user");
    assert_int_equal(fake_registry_count(&t.fake, "GET /token"), 2);
}

static void an_anonymous_token_is_fetched(void **state)
{
    _cleanup_talk_ Talk t = {0};

    talk_start(&t);
    assert_int_equal(learn(&t, BEARER, "s", 0), 0);
    assert_false(t.was_told);
    expect_header(&t, "s", "Bearer anyone/service=fake&scope=s");
    assert_int_equal(learn(&t, BEARER ",error=\"insufficient_scope\",scope=\"s t\"", "s", 1), 0);
    expect_header(&t, "s", "Bearer anyone/service=fake&scope=s&scope=t");
    assert_int_equal(learn(&t, BEARER, "s", 2), -EACCES);
    assert_non_null(strstr(error_text(&t.err), "docker login"));
}

static void an_identity_token_is_posted(void **state)
{
    _cleanup_talk_ Talk t = {.identity = "identity"};

    talk_start(&t);
    assert_int_equal(learn(&t, BEARER, "s", 0), 0);
    expect_header(&t, "s",
                  "Bearer user/grant_type=refresh_token&client_id=slipway&refresh_token=identity&"
                  "service=fake&scope=s");
}

static void a_registry_token_needs_no_server(void **state)
{
    _cleanup_talk_ Talk t = {.registry_token = "ready"};

    talk_start(&t);
    assert_int_equal(learn(&t, BEARER, "s", 0), 0);
    expect_header(&t, "s", "Bearer ready");
    assert_int_equal(learn(&t, BEARER, "s", 1), -EACCES);
}

static void token_servers_that_fail(void **state)
{
    static const struct {
        FakeRule rule;
        const char *challenge, *said;
        int result;
    } cases[] = {
        {{FAULT_STATUS, "GET", "/token", .status = 503, .text = ""},
         BEARER,
         "status 503",
         AUTH_AGAIN},
        {{FAULT_STATUS, "GET", "/token", .status = 429, .text = ""}, BEARER, "429", AUTH_AGAIN},
        {{FAULT_CUT_ANSWER, "GET", "/token", .times = 1},
         BEARER,
         "token server of r.io",
         AUTH_AGAIN},
        {{FAULT_STATUS, "GET", "/token", .status = 401, .text = ""},
         BEARER,
         "docker login",
         -EACCES},
        {{FAULT_STATUS, "GET", "/token", .status = 200, .text = "<html>"},
         BEARER,
         "not JSON",
         -EBADMSG},
        {{FAULT_STATUS, "GET", "/token", .status = 200, .text = "{}"},
         BEARER,
         "no token",
         -EBADMSG},
        {{FAULT_STATUS, "GET", "/token", .status = 200, .text = "{\"token\":\"a\\r\\nX: b\"}"},
         BEARER,
         "no token",
         -EBADMSG},
        {{0}, "Bearer realm=\"file:///etc/passwd\"", "no address", -EBADMSG},
        {{0}, "Bearer service=\"x\"", "no address", -EBADMSG},
        {{0}, "Negotiate", "without saying what", -EACCES},
        {{0}, "\"", "without saying what", -EACCES},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_talk_ Talk t = {
            .user = "user", .password = "password", .fake.rules = {cases[i].rule}};

        talk_start(&t);
        assert_int_equal(learn(&t, cases[i].challenge, "s", 0), cases[i].result);
        assert_non_null(strstr(error_text(&t.err), cases[i].said));
        assert_null(strstr(error_text(&t.err), "password"));
    }
}

static void a_realm_that_is_refused_gets_nothing(void **state)
{
    _cleanup_talk_ Talk t = {.user = "user", .password = "password", .realm_result = -EACCES};

    talk_start(&t);
    assert_int_equal(learn(&t, BEARER, "s", 0), -EACCES);
    assert_int_equal(fake_registry_count(&t.fake, "GET"), 0);
}

/* More scopes than tokens that are kept: the oldest goes. */
static void tokens_have_a_limit(void **state)
{
    _cleanup_talk_ Talk t = {0};
    char scope[16];

    talk_start(&t);
    for (int i = 0; i <= AUTH_TOKENS_MAX; i++) {
        (void)snprintf(scope, sizeof(scope), "s%d", i);
        assert_int_equal(learn(&t, BEARER, scope, 0), 0);
    }
    expect_header(&t, "s0", "");
    expect_header(&t, "s1", "Bearer anyone/service=fake&scope=s1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_told_unasked),
        cmocka_unit_test(a_password_is_told_once),
        cmocka_unit_test(a_token_is_fetched),
        cmocka_unit_test(an_anonymous_token_is_fetched),
        cmocka_unit_test(an_identity_token_is_posted),
        cmocka_unit_test(a_registry_token_needs_no_server),
        cmocka_unit_test(token_servers_that_fail),
        cmocka_unit_test(a_realm_that_is_refused_gets_nothing),
        cmocka_unit_test(tokens_have_a_limit),
    };

    return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
