/* SPDX-License-Identifier: MIT */
#include "plugin/include/slipway.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static char *path_of(void **state, const char *name)
{
    char *path = NULL;

    assert_true(asprintf(&path, "%s/%s", SCRATCH_PATH, name) > 0);
    return path;
}

static void expect_mistake(int (*function)(const char *, const char *, char **), const char *from,
                           const char *to, int code, const char *words)
{
    _cleanup_free_ char *error = NULL;

    assert_int_equal(function(from, to, &error), code);
    assert_non_null(error);
    if (!strstr(error, words)) {
        fail_msg("'%s' is not in: %s", words, error);
    }
}

static void test_there_and_back(void **state)
{
    _cleanup_free_ char *in = path_of(state, "in"), *archive = path_of(state, "a.tar.zst"),
                        *out = path_of(state, "out/");
    char *error = NULL;

    scratch_write(SCRATCH_FD, "in/bin/tool", "#!", 2, 0755);
    scratch_write_text(SCRATCH_FD, "in/.git/HEAD", "ref");
    assert_int_equal(slipway_archive_pack(in, archive, &error), 0);
    assert_int_equal(slipway_archive_unpack(archive, out, &error), 0);
    assert_null(error);
    scratch_expect_text(SCRATCH_FD, "out/bin/tool", "#!");
    scratch_expect_text(SCRATCH_FD, "out/.git/HEAD", "ref");
    assert_int_equal(faccessat(SCRATCH_FD, "out/bin/tool", X_OK, 0), 0);
}

static void test_pack_mistakes(void **state)
{
    _cleanup_free_ char *absent = path_of(state, "absent"), *empty = path_of(state, "empty"),
                        *in = path_of(state, "in"), *archive = path_of(state, "a.tar.zst");

    assert_int_equal(mkdirat(SCRATCH_FD, "empty", 0755), 0);
    scratch_write_text(SCRATCH_FD, "in/f", "x");
    expect_mistake(slipway_archive_pack, absent, archive, -ENOENT, "absent'");
    expect_mistake(slipway_archive_pack, empty, archive, -ENOENT, "empty' is empty");
    assert_false(file_exists(SCRATCH_FD, "a.tar.zst"));
    scratch_write_text(SCRATCH_FD, "a.tar.zst", "kept");
    expect_mistake(slipway_archive_pack, in, archive, -EEXIST, "a.tar.zst'");
    scratch_expect_text(SCRATCH_FD, "a.tar.zst", "kept");
    assert_int_equal(slipway_archive_pack(in, archive, NULL), -EEXIST);

    /* What cannot be packed leaves nothing. */
    assert_int_equal(unlinkat(SCRATCH_FD, "a.tar.zst", 0), 0);
    assert_int_equal(symlinkat("/etc/passwd", SCRATCH_FD, "in/link"), 0);
    expect_mistake(slipway_archive_pack, in, archive, -EINVAL, "'link': is a link that");
    assert_false(file_exists(SCRATCH_FD, "a.tar.zst"));
}

static void test_unpack_mistakes(void **state)
{
    _cleanup_free_ char *absent = path_of(state, "absent"), *archive = path_of(state, "a.tar.zst"),
                        *out = path_of(state, "out"), *deep = path_of(state, "no/out");

    scratch_write_text(SCRATCH_FD, "a.tar.zst", "no archive");
    expect_mistake(slipway_archive_unpack, absent, out, -ENOENT, "absent'");
    expect_mistake(slipway_archive_unpack, archive, deep, -ENOENT, "/no'");
    expect_mistake(slipway_archive_unpack, archive, out, -EBADMSG, "unpacking '");
    assert_false(file_exists(SCRATCH_FD, "out"));
    assert_int_equal(mkdirat(SCRATCH_FD, "out", 0755), 0);
    expect_mistake(slipway_archive_unpack, archive, out, -EEXIST, "there already");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_there_and_back),
        scratch_test(test_pack_mistakes),
        scratch_test(test_unpack_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
