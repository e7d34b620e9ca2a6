/* SPDX-License-Identifier: MIT */
#include "agent/runners/spec.h"

#include "protocol/base/fd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static int read_text(const char *text, size_t n, Spec *ret, Error *err)
{
    _cleanup_fd_ int fd = memfd_create("spec", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, n), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return spec_read(fd, ret, err);
}

static void expect_mistake(const char *text, int code, const char *mistake)
{
    _cleanup_error_ Error err = {0};
    Spec spec = {0};

    assert_int_equal(read_text(text, strlen(text), &spec, &err), code);
    assert_null(spec.root);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
}

static void test_whole(void **state)
{
    static const char text[] =
        "{\"call\":\"c1\",\"agent\":\"a1\",\"action\":\"deploy-staging\",\"run\":\"r1\","
        "\"graceSeconds\":2.5,"
        "\"parameters\":{\"clean\":true},\"traceparent\":\"00-1\",\"unknown\":[1],"
        "\"directories\":{\"call\":\"/s/calls/c1\",\"workspace\":\"/s/runs/r1/workspace\","
        "\"calls\":\"/s/calls\",\"inputs\":\"/s/inputs\",\"cache\":\"/s/cache\","
        "\"releases\":\"/s/releases\",\"state\":\"/s\",\"keys\":\"/s/keys\","
        "\"audit\":\"/s/audit\"},\"confine\":true,"
        "\"keys\":{\"k\":{\"file\":\"/k\",\"roles\":[\"tester\"]}},"
        "\"environment\":{\"name\":\"staging\",\"url\":\"u\"}}";
    _cleanup_error_ Error err = {0};
    _cleanup_spec_ Spec spec = {0};

    assert_int_equal(read_text(text, strlen(text), &spec, &err), 0);
    assert_string_equal(spec.call, "c1");
    assert_string_equal(spec.agent, "a1");
    assert_string_equal(spec.action, "deploy-staging");
    assert_string_equal(spec.verb, "deploy");
    assert_string_equal(spec.run, "r1");
    assert_string_equal(spec.traceparent, "00-1");
    assert_true(json_get_bool(spec.parameters, "clean", false));
    assert_int_equal(spec.grace_ms, 2500);
    assert_string_equal(spec.call_directory, "/s/calls/c1");
    assert_string_equal(spec.workspace, "/s/runs/r1/workspace");
    assert_string_equal(spec.calls_directory, "/s/calls");
    assert_string_equal(spec.inputs_directory, "/s/inputs");
    assert_string_equal(spec.cache_directory, "/s/cache");
    assert_string_equal(spec.releases_directory, "/s/releases");
    assert_string_equal(spec.state_directory, "/s");
    assert_true(spec.is_confined);
    assert_string_equal(spec.keys_directory, "/s/keys");
    assert_string_equal(spec.audit_directory, "/s/audit");
    assert_true(json_has(spec.keys, "k"));
    assert_string_equal(spec.environment_name, "staging");
    assert_string_equal(json_get_string(spec.environment, "url"), "u");
}

static void test_least(void **state)
{
    static const char text[] = "{\"call\":\"c\",\"action\":\"re-build\",\"directories\":"
                               "{\"call\":\"/c\",\"workspace\":\"/w\",\"cache\":\"/k\"}}\n";
    _cleanup_spec_ Spec spec = {0};

    assert_int_equal(read_text(text, strlen(text), &spec, NULL), 0);
    assert_string_equal(spec.verb, "re-build");
    assert_null(spec.run);
    assert_null(spec.environment);
    assert_null(spec.inputs_directory);
    assert_null(spec.state_directory);
    assert_false(spec.is_confined);
    assert_null(spec.agent);
    assert_null(spec.keys);
    assert_null(spec.keys_directory);
    assert_null(spec.audit_directory);
    assert_non_null(spec.parameters);
    assert_int_equal(json_member_count(spec.parameters), 0);
    assert_true(spec.grace_ms > 0);
}

/* The environment's name has to be the action's end; otherwise the action is its own verb. */
static void test_verb_of_another_environment(void **state)
{
    static const char text[] =
        "{\"call\":\"c\",\"action\":\"migrate-db\",\"environment\":{\"name\":\"prod\"},"
        "\"directories\":{\"call\":\"/c\",\"workspace\":\"/w\",\"cache\":\"/k\"}}";
    _cleanup_spec_ Spec spec = {0};

    assert_int_equal(read_text(text, strlen(text), &spec, NULL), 0);
    assert_string_equal(spec.verb, "migrate-db");
}

static void test_mistakes(void **state)
{
    expect_mistake("", -EINVAL, "nothing there");
    expect_mistake("{\"call\":", -EINVAL, "line 1, column");
    expect_mistake("[]", -EINVAL, "spec.json on fd");
    /* All of them at once. */
    expect_mistake("{\"call\":1,\"directories\":{\"call\":\"/c\",\"workspace\":\"w\","
                   "\"cache\":\"/k\"}}",
                   -EINVAL, "/call: ");
    expect_mistake("{\"call\":1,\"directories\":{\"call\":\"/c\",\"workspace\":\"w\","
                   "\"cache\":\"/k\"}}",
                   -EINVAL, "/directories/workspace: ");
    expect_mistake("{\"call\":1,\"directories\":{\"call\":\"/c\",\"workspace\":\"/w\","
                   "\"cache\":\"/k\"}}",
                   -EINVAL, "action");
}

static void test_too_large(void **state)
{
    size_t n = ((size_t)4 << 20) + 1;
    _cleanup_free_ char *text = malloc(n);
    _cleanup_error_ Error err = {0};
    Spec spec = {0};

    assert_non_null(text);
    memset(text, ' ', n);
    assert_int_equal(read_text(text, n, &spec, &err), -EFBIG);
}

static void test_unreadable(void **state)
{
    _cleanup_error_ Error err = {0};
    Spec spec = {0};

    assert_int_equal(spec_read(-1, &spec, &err), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_verb_of_another_environment),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_unreadable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
