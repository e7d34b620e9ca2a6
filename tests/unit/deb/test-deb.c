/* SPDX-License-Identifier: MIT */
/* That dpkg takes it is tested in tests/integration/test-deb.py. */
#include "agent/package/deb/deb.h"

#include "tests/unit/deb/deb-recipe.h"

#include <errno.h>

#define RECIPE(more)                                          \
    "{\"files\":[{\"from\":\"a\",\"to\":\"/opt/"              \
    "a\"}],\"deb\":{\"architecture\":\"all\",\"maintainer\":" \
    "\"T <t@x>\",\"description\":\"s\"" more "}}"

static int build(void **state, const char *recipe, const char *version, DebPackage *ret, Error *err)
{
    _cleanup_json_ Json *package = json_of(recipe);
    _cleanup_fd_ int out_fd = -1;

    (void)mkdirat(SCRATCH_FD, "out", 0755);
    out_fd = openat(SCRATCH_FD, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return deb_build(&(DebRequest){.workspace_fd = SCRATCH_FD,
                                   .package = package,
                                   .name = "greeter",
                                   .version = version,
                                   .committed_at = 1700000000},
                     out_fd, ret, err);
}

static void test_build(void **state)
{
    _cleanup_deb_package_ DebPackage package = {0};
    _cleanup_error_ Error err = {0};
    _cleanup_free_ char *bytes = NULL;
    size_t n;

    scratch_write_text(SCRATCH_FD, "a", "x");
    if (build(state, RECIPE(",\"epoch\":1,\"revision\":\"2\",\"compression\":\"gzip\""), "v1.2",
              &package, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_string_equal(package.name, "greeter");
    assert_string_equal(package.version, "1:1.2-2");
    assert_string_equal(package.architecture, "all");
    assert_string_equal(package.file_name, "greeter_1.2-2_all.deb");
    assert_non_null(strstr(package.control, "Package: greeter\nVersion: 1:1.2-2\n"));
    assert_int_equal(scratch_count(SCRATCH_FD, "out"), 1);
    bytes = scratch_read(SCRATCH_FD, "out/greeter_1.2-2_all.deb", &n);
    assert_int_equal(n, package.summary.size_bytes);
    assert_memory_equal(
        bytes, "!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n", 72);
    assert_non_null(memmem(bytes, n, "control.tar.gz  ", 16));
    assert_non_null(memmem(bytes, n, "data.tar.gz     ", 16));
}

static void test_refused(void **state)
{
    static const struct {
        const char *recipe, *version, *complaint;
    } rows[] = {
        {RECIPE(""), "latest", "/package/deb: the version 'latest'"},
        {RECIPE(",\"files\":[{\"from\":\"gone\",\"to\":\"/x\"}]"), "v1",
         "/package/deb/files/0: 'gone'"},
        {RECIPE(",\"scripts\":{\"prerm\":\"gone\"}"), "v1", "/package/deb/scripts/prerm: "},
        {"{\"deb\":{\"maintainer\":\"T <t@x>\",\"description\":\"s\"}}", "v1",
         "/package/deb/files: is missing, and so is"},
    };

    scratch_write_text(SCRATCH_FD, "a", "x");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        DebPackage package = {0};

        assert_true(build(state, rows[i].recipe, rows[i].version, &package, &err) < 0);
        EXPECT_COMPLAINT(&err, rows[i].complaint);
        assert_null(package.name);
        assert_int_equal(scratch_count(SCRATCH_FD, "out"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_build),
        scratch_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
