/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/host.h"

#include "tests/unit/registry/sample.h"

#include <errno.h>

#define AUTHS "{\"auths\":{\"%s\":{\"auth\":\"dXNlcjpwYXNzd29yZA==\"}}}" /* user:password */

static int get(SampleHost *s, bool may_write, HttpResponse *response)
{
    error_done(&s->err);
    return registry_host_call(s->host,
                              &(RegistryCall){.method = may_write ? "PUT" : "GET",
                                              .repository = "a/b",
                                              .path = "manifests/x",
                                              .may_write = may_write},
                              response, &s->err);
}

static void what_fails_for_a_while_is_repeated(void **state)
{
    static const FakeRule rules[] = {
        {FAULT_STATUS, "GET", "/", .times = 2, .status = 503},
        {FAULT_STATUS, "GET", "/", .times = 2, .status = 429, .header = "Retry-After: 0"},
        {FAULT_STATUS, "GET", "/", .times = 2, .status = 500, .text = "{\"errors\":[]}"},
        {FAULT_CUT_ANSWER, "GET", "/", .times = 2},
        {FAULT_CUT_REQUEST, "GET", "/", .times = 2},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        _cleanup_sample_ SampleHost s = {.fake.rules = {rules[i]}};
        _cleanup_http_response_ HttpResponse response = {0};

        sample_start(&s);
        expect_result(get(&s, false, &response), 0, &s.err);
        assert_int_equal(response.status, 404);
        assert_true(fake_registry_count(&s.fake, "GET") >= 3);
    }
}

static void what_fails_for_good_is_said(void **state)
{
    static const struct {
        FakeRule rule;
        int result;
        unsigned count;
        const char *said;
    } cases[] = {
        {{FAULT_STATUS, "GET", "/", .times = 9, .status = 502, .text = "<html>bad"},
         -EIO,
         3,
         "web page"},
        {{FAULT_STATUS, "GET", "/", .times = 9, .status = 503,
          .text = "{\"errors\":[{\"code\":\"UNAVAILABLE\",\"message\":\"read\\nonly\"}]}"},
         -EIO,
         3,
         "UNAVAILABLE: read only"},
        {{FAULT_STATUS, "GET", "/", .times = 9, .status = 429, .header = "Retry-After: 9999"},
         -EIO,
         1,
         "left alone for 9999 s"},
        {{FAULT_STATUS, "GET", "/", .times = 9, .status = 403,
          .text = "{\"errors\":[{\"code\":\"DENIED\"}]}"},
         -EACCES,
         1,
         "pull without a login is refused"},
        {{FAULT_STATUS, "GET", "/", .times = 9, .status = 401}, -EACCES, 1, "is it a registry"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_sample_ SampleHost s = {.fake.rules = {cases[i].rule}};
        _cleanup_http_response_ HttpResponse response = {0};

        sample_start(&s);
        expect_result(get(&s, false, &response), cases[i].result, &s.err);
        expect_says(&s.err, cases[i].said);
        expect_says(&s.err, s.fake.host);
        assert_int_equal(fake_registry_count(&s.fake, "GET"), cases[i].count);
    }
}

static void a_stall_is_no_answer(void **state)
{
    _cleanup_sample_ SampleHost s = {
        .fake.rules = {{FAULT_STALL, "GET", "/", .times = 9}},
        .options = {.docker_config = "/nonexistent", .attempts = 1, .reply_timeout_ms = 20}};
    _cleanup_http_response_ HttpResponse response = {0};

    sample_start(&s);
    expect_result(get(&s, false, &response), -EIO, &s.err);
    expect_says(&s.err, "tried 1 times");
    expect_says(&s.err, "no answer came in time");
}

static void write_config(void **state, const char *host)
{
    _cleanup_free_ char *text = NULL;

    assert_true(asprintf(&text, AUTHS, host) > 0);
    scratch_write_text(SCRATCH_FD, "config.json", text);
}

static void logins_are_brought(void **state)
{
    static const FakeAuth kinds[] = {FAKE_BASIC, FAKE_BEARER};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        for (int has_login = 0; has_login <= 1; has_login++) {
            _cleanup_sample_ SampleHost s = {.fake.auth = kinds[i]};
            _cleanup_http_response_ HttpResponse response = {0};

            s.options = (RegistryOptions)SAMPLE_OPTIONS;
            s.options.docker_config = SCRATCH_PATH;
            sample_start(&s);
            write_config(state, has_login ? s.fake.host : "other.example");
            expect_result(get(&s, true, &response), has_login ? 0 : -EACCES, &s.err);
            if (has_login) {
                assert_int_equal(response.status, 400); /* of an empty manifest */
                expect_result(get(&s, true, &response), 0, &s.err);
                assert_int_equal(fake_registry_count(&s.fake, "PUT"), 3); /* one 401 in all */
            } else {
                expect_says(&s.err, "docker login");
            }
        }
    }
}

/* The realm is on another host by name; whether it may be told is a matter of options. */
static void a_password_stays_with_its_host(void **state)
{
    for (int is_allowed = 0; is_allowed <= 1; is_allowed++) {
        _cleanup_sample_ SampleHost s = {.fake.auth = FAKE_BEARER};
        FakeRegistry elsewhere = {0};
        _cleanup_http_response_ HttpResponse response = {0};
        _cleanup_free_ char *realm = NULL, *host = NULL;
        const char *allowed[] = {NULL, NULL};

        fake_registry_start(&elsewhere);
        assert_true(asprintf(&host, "localhost%s", strchr(elsewhere.host, ':')) > 0);
        assert_true(asprintf(&realm, "http://%s/token", host) > 0);
        allowed[0] = is_allowed ? host : NULL;
        s.fake.realm = realm;
        s.options = (RegistryOptions)SAMPLE_OPTIONS;
        s.options.docker_config = SCRATCH_PATH;
        s.options.token_hosts = allowed;
        sample_start(&s);
        write_config(state, s.fake.host);
        expect_result(get(&s, true, &response), is_allowed ? 0 : -EACCES, &s.err);
        if (!is_allowed) {
            expect_says(&s.err, host);
            assert_int_equal(fake_registry_count(&elsewhere, "GET"), 0);
        }
        fake_registry_stop(&elsewhere);
    }
}

static void plain_http_is_for_loopback(void **state)
{
    static const char *const hosts[] = {"registry.invalid:5000", NULL};
    const RegistryOptions options = {.attempts = 1, .pause_ms = 1},
                          plain = {.attempts = 1, .pause_ms = 1, .plain_hosts = hosts};
    const struct {
        const RegistryOptions *options;
        const char *address;
    } cases[] = {{&options, "https://registry.invalid:5000"},
                 {&plain, "http://registry.invalid:5000"}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(registry_host_freep) RegistryHost *host = NULL;
        _cleanup_http_response_ HttpResponse response = {0};
        _cleanup_error_ Error err = {0};

        assert_int_equal(registry_host_new(cases[i].options, hosts[0], &host, &err), 0);
        assert_int_equal(registry_host_call(host, &(RegistryCall){.repository = "a", .path = "b"},
                                            &response, &err),
                         -EIO);
        expect_says(&err, cases[i].address);
    }
}

/* A blob that is elsewhere: the way there is followed, and nobody is told who we are. */
static void redirects_are_followed_without_a_login(void **state)
{
    _cleanup_sample_ SampleHost s = {.fake.auth = FAKE_BASIC};
    FakeRegistry elsewhere = {0};
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_free_ char *address = NULL;

    (void)fake_registry_add_manifest(&elsewhere, "a/b", "x", OCI_TYPE_MANIFEST, "{}");
    fake_registry_start(&elsewhere); /* answers 400 to who tells it a secret */
    assert_true(asprintf(&address, "http://localhost%s", strchr(elsewhere.host, ':')) > 0);
    s.fake.rules[0] = (FakeRule){FAULT_REDIRECT, "GET", "/", .skip = 1, .text = address};
    s.options = (RegistryOptions)SAMPLE_OPTIONS;
    s.options.docker_config = SCRATCH_PATH;
    sample_start(&s);
    write_config(state, s.fake.host);
    expect_result(registry_host_call(s.host,
                                     &(RegistryCall){.repository = "a/b",
                                                     .path = "manifests/x",
                                                     .header = "Accept: " OCI_TYPE_MANIFEST},
                                     &response, &s.err),
                  0, &s.err);
    assert_int_equal(response.status, 200);
    fake_registry_stop(&elsewhere);
}

static unsigned waits;

static void count_waits(void *userdata, const RegistryProgress *progress)
{
    if (progress->stage == REGISTRY_WAITING) {
        assert_non_null(strstr(progress->text, "503"));
        waits++;
    }
}

static void waiting_is_told(void **state)
{
    _cleanup_sample_ SampleHost s = {
        .fake.rules = {{FAULT_STATUS, "GET", "/", .times = 2, .status = 503}}};
    _cleanup_http_response_ HttpResponse response = {0};

    s.options = (RegistryOptions)SAMPLE_OPTIONS;
    s.options.on_progress = count_waits;
    sample_start(&s);
    expect_result(get(&s, false, &response), 0, &s.err);
    assert_int_equal(waits, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fails_for_a_while_is_repeated),
        cmocka_unit_test(what_fails_for_good_is_said),
        cmocka_unit_test(a_stall_is_no_answer),
        scratch_test(logins_are_brought),
        scratch_test(a_password_stays_with_its_host),
        cmocka_unit_test(plain_http_is_for_loopback),
        scratch_test(redirects_are_followed_without_a_login),
        cmocka_unit_test(waiting_is_told),
    };

    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
