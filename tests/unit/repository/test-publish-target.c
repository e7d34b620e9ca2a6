/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/publish-backend.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static void test_addresses(void **state)
{
    static const char *const bad[] = {"", "apt", "ftp://x/y", "s3://x"};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_error_ Error err = {0};
        PublishTarget *target = NULL;

        assert_int_equal(publish_target_open(bad[i], NULL, &target, &err), -EINVAL);
        assert_non_null(strstr(error_text(&err), "is no place to publish to"));
        assert_null(target);
    }
    assert_null(publish_target_close(NULL));
}

static void test_names(void **state)
{
    static const char *const bad[] = {"", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a/."};
    _cleanup_(publish_target_closep) PublishTarget *target = NULL;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

    assert_int_equal(publish_target_open(SCRATCH_PATH, NULL, &target, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_error_ Error err = {0};

        assert_int_equal(publish_target_put(target, bad[i], "", 0, &err), -EINVAL);
        assert_non_null(strstr(error_text(&err), "is no name in a repository"));
        assert_int_equal(publish_target_put_file(target, bad[i], -1, 0, NULL), -EIO);
        assert_int_equal(publish_target_read(target, bad[i], &text, NULL), -EIO);
        assert_int_equal(publish_target_remove(target, bad[i], NULL), -EIO);
    }
    assert_int_equal(publish_target_put(target, "a..b/...", "", 0, NULL), 0);
}

static void test_holder(void **state)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};

    assert_int_equal(publish_lock_format("call c1\nsecond", 0, &text), 0);
    assert_string_equal(buffer_text(&text), "call c1\n1970-01-01T00:00:00.000000Z\n");
    assert_int_equal(publish_lock_tell(buffer_text(&text), "/apt", &err), PUBLISH_LOCK_HELD);
    assert_string_equal(error_text(&err), "call c1 has been publishing to '/apt' since "
                                          "1970-01-01T00:00:00.000000Z");
    assert_int_equal(publish_lock_tell("", "/apt", &err), PUBLISH_LOCK_HELD);
    assert_string_equal(error_text(&err), "somebody else is publishing to '/apt'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        scratch_test(test_names),
        cmocka_unit_test(test_holder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
