/* SPDX-License-Identifier: MIT */
#include "agent/package/oci-layer.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static void put(void **state, const char *name, const char *text)
{
    scratch_write_text(SCRATCH_FD, name, text);
}

static void merge(void **state, int code)
{
    _cleanup_error_ Error err = {0};

    (void)mkdirat(SCRATCH_FD, "root", 0755);
    assert_int_equal(oci_layer_merge(SCRATCH_FD, "layer", "root", &err), code);
    assert_int_equal(file_exists(SCRATCH_FD, "layer"), code < 0);
}

static void test_add_and_replace(void **state)
{
    put(state, "root/etc/a", "old");
    put(state, "root/etc/keep", "kept");
    put(state, "layer/etc/a", "new");
    put(state, "layer/app/bin/run", "x");
    merge(state, 0);
    scratch_expect_text(SCRATCH_FD, "root/etc/a", "new");
    scratch_expect_text(SCRATCH_FD, "root/etc/keep", "kept");
    scratch_expect_text(SCRATCH_FD, "root/app/bin/run", "x");
}

static void test_whiteout(void **state)
{
    put(state, "root/etc/a", "a");
    put(state, "root/etc/b", "b");
    put(state, "root/var/log/x", "x");
    put(state, "layer/etc/.wh.a", "");
    put(state, "layer/.wh.var", "");
    put(state, "layer/.wh.never-there", "");
    merge(state, 0);
    assert_false(file_exists(SCRATCH_FD, "root/etc/a"));
    assert_false(file_exists(SCRATCH_FD, "root/etc/.wh.a"));
    assert_true(file_exists(SCRATCH_FD, "root/etc/b"));
    assert_false(file_exists(SCRATCH_FD, "root/var"));
    assert_false(file_exists(SCRATCH_FD, "root/.wh.var"));
}

/* It hides what is below, not what the same layer brings. */
static void test_opaque(void **state)
{
    put(state, "root/etc/a", "a");
    put(state, "root/etc/sub/b", "b");
    put(state, "root/usr/c", "c");
    put(state, "layer/etc/new", "new");
    put(state, "layer/etc/.wh..wh..opq", "");
    merge(state, 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "root/etc"), 1);
    scratch_expect_text(SCRATCH_FD, "root/etc/new", "new");
    assert_true(file_exists(SCRATCH_FD, "root/usr/c"));
}

static void test_whiteout_and_add_of_the_same_name(void **state)
{
    put(state, "root/data/old", "old");
    put(state, "layer/.wh.data", "");
    put(state, "layer/data/new", "new");
    merge(state, 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "root/data"), 1);
    scratch_expect_text(SCRATCH_FD, "root/data/new", "new");
}

/* A directory takes the place of a link and never writes through it. */
static void test_kinds_change(void **state)
{
    put(state, "elsewhere/untouched", "x");
    (void)mkdirat(SCRATCH_FD, "root", 0755);
    assert_int_equal(symlinkat("../elsewhere", SCRATCH_FD, "root/lib"), 0);
    put(state, "root/file", "file");
    put(state, "root/dir/a", "a");
    put(state, "layer/lib/so", "so");
    put(state, "layer/file/below", "below");
    put(state, "layer/dir", "now a file");
    merge(state, 0);
    scratch_expect_text(SCRATCH_FD, "root/lib/so", "so");
    assert_int_equal(scratch_count(SCRATCH_FD, "elsewhere"), 1);
    scratch_expect_text(SCRATCH_FD, "root/file/below", "below");
    scratch_expect_text(SCRATCH_FD, "root/dir", "now a file");
}

static void test_whiteout_never_leads_out(void **state)
{
    put(state, "outside", "x");
    put(state, "root/a/b", "b");
    put(state, "layer/a/.wh...", ""); /* `..` */
    merge(state, -EBADMSG);
    assert_true(file_exists(SCRATCH_FD, "root/a/b"));
    assert_true(file_exists(SCRATCH_FD, "outside"));
}

static void test_whiteout_of_nothing(void **state)
{
    put(state, "layer/.wh.", "");
    merge(state, -EBADMSG);
}

static void test_modes(void **state)
{
    struct stat st;

    put(state, "root/tight/old", "old");
    put(state, "layer/tight/new", "new");
    put(state, "layer/open/new", "new");
    assert_int_equal(fchmodat(SCRATCH_FD, "root/tight", 0500, 0), 0);
    assert_int_equal(fchmodat(SCRATCH_FD, "layer/tight", 0550, 0), 0);
    assert_int_equal(fchmodat(SCRATCH_FD, "layer/open", 0755, 0), 0);
    merge(state, 0);
    assert_int_equal(fstatat(SCRATCH_FD, "root/tight", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0550);
    assert_int_equal(fstatat(SCRATCH_FD, "root/open", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(scratch_count(SCRATCH_FD, "root/tight"), 2);
}

static void test_depth(void **state)
{
    char path[2 * 300 + sizeof("layer")];
    size_t n = strlen(strcpy(path, "layer"));

    assert_int_equal(mkdirat(SCRATCH_FD, "layer", 0755), 0);
    for (int i = 0; i < 300; i++, n += 2) {
        (void)strcpy(path + n, "/d");
        assert_int_equal(mkdirat(SCRATCH_FD, path, 0755), 0);
    }
    merge(state, -EBADMSG);
}

static void test_missing(void **state)
{
    _cleanup_error_ Error err = {0};

    assert_int_equal(mkdirat(SCRATCH_FD, "root", 0755), 0);
    assert_int_equal(oci_layer_merge(SCRATCH_FD, "layer", "root", &err), -ENOENT);
    assert_non_null(strstr(error_text(&err), "'layer'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_add_and_replace),
        scratch_test(test_whiteout),
        scratch_test(test_opaque),
        scratch_test(test_whiteout_and_add_of_the_same_name),
        scratch_test(test_kinds_change),
        scratch_test(test_whiteout_never_leads_out),
        scratch_test(test_whiteout_of_nothing),
        scratch_test(test_modes),
        scratch_test(test_depth),
        scratch_test(test_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
