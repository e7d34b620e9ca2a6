/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/trusted-keys.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static int add(void **state, SlipwayJson **keys, const char *text, SlipwayJson **root, char **error)
{
    _cleanup_free_ char *path = NULL;

    scratch_write_text(SCRATCH_FD, "file", text);
    assert_true(asprintf(&path, "%s/file", SCRATCH_PATH) > 0);
    return trusted_keys_add_file(keys, path, root, error);
}

static void test_all_forms_are_put_together(void **state)
{
    SlipwayJson *keys = NULL, *root = NULL;

    assert_int_equal(
        add(state, &keys, "{\"name\":\"x\",\"keys\":{\"a\":{\"roles\":[1]}}}", &root, NULL), 0);
    assert_string_equal(slipway_json_get_string(root, "/name", ""), "x");
    assert_int_equal(add(state, &keys, "{\"b/~c\":{\"roles\":[2]}}", NULL, NULL), 0);
    assert_int_equal(
        add(state, &keys, "{\"name\":\"d\",\"id\":\"0\",\"key\":{\"roles\":[3]}}", NULL, NULL), 0);
    assert_int_equal(slipway_json_get_count(keys, ""), 3);
    assert_int_equal(slipway_json_get_int(keys, "/a/roles/0", 0), 1);
    assert_int_equal(slipway_json_get_int(keys, "/b~1~0c/roles/0", 0), 2);
    assert_int_equal(slipway_json_get_int(keys, "/d/roles/0", 0), 3);
    (void)slipway_json_unref(root);
    (void)slipway_json_unref(keys);
}

static void test_an_agent_that_believes_itself_alone(void **state)
{
    SlipwayJson *keys = NULL;

    assert_int_equal(add(state, &keys, "{\"environments\":{\"prod\":{}}}", NULL, NULL), 0);
    assert_null(keys);
}

static void test_what_is_none(void **state)
{
    _cleanup_free_ char *error = NULL, *missing = NULL;
    SlipwayJson *keys = NULL;

    assert_int_equal(add(state, &keys, "-----BEGIN PUBLIC KEY-----", NULL, &error), -EINVAL);
    assert_non_null(strstr(error, "file': no JSON object"));
    assert_int_equal(add(state, &keys, "[]", NULL, NULL), -EINVAL);
    assert_int_equal(trusted_keys_add_file(&keys, "no-such-file", NULL, &missing), -ENOENT);
    assert_non_null(strstr(missing, "no-such-file"));
    assert_null(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_all_forms_are_put_together),
        scratch_test(test_an_agent_that_believes_itself_alone),
        scratch_test(test_what_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
