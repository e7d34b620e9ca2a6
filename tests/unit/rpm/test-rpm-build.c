/* SPDX-License-Identifier: MIT */
/* What other tools make of it is in tests/integration/test-rpm.py. */
#include "agent/package/rpm/rpm-build.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static int build(void **state, const char *rpm, RpmBuilt *ret, Error *err)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_json_ Json *recipe = NULL;
    _cleanup_fd_ int out_fd = -1;

    assert_true(asprintf(&text, "{\"package\":{\"rpm\":%s}}", rpm) > 0);
    assert_int_equal(json_parse(text, strlen(text), &recipe, NULL), 0);
    assert_true(rpm_is_wanted(recipe));
    assert_true(mkdirat(SCRATCH_FD, "out", 0755) == 0 || errno == EEXIST);
    out_fd = openat(SCRATCH_FD, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return rpm_build(&(PackageRequest){.workspace_fd = SCRATCH_FD,
                                       .recipe = recipe,
                                       .name = "greeter",
                                       .version = "v1.2.3-4-gabcdef0",
                                       .commit = "abcdef0123456789abcdef0123456789abcdef01",
                                       .committed_at = 1700000000},
                     NULL, out_fd, ret, err);
}

#define WITH(more) "{\"summary\":\"S\",\"license\":\"L\"" more "}"
#define FILES ",\"files\":[{\"from\":\"a\",\"to\":\"/opt/x/a\"}]"

static void test_build(void **state)
{
    static const char *const leads[] = {"\xed\xab\xee\xdb\3\0\0\0\0\1greeter-1.2.3^4.gabcdef0-1"};
    _cleanup_rpm_built_ RpmBuilt built = {0};
    _cleanup_error_ Error err = {0};
    _cleanup_free_ char *data = NULL;
    char sha256[DIGEST_HEX_SIZE];
    char name[256];
    size_t len;

    scratch_write_text(SCRATCH_FD, "a", "x");
    if (build(state, WITH(FILES), &built, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_string_equal(built.file, "greeter-1.2.3^4.gabcdef0-1.noarch.rpm");
    assert_string_equal(built.version, "1.2.3^4.gabcdef0");
    (void)snprintf(name, sizeof(name), "out/%s", built.file);
    data = scratch_read(SCRATCH_FD, name, &len);
    assert_int_equal(len, built.size_bytes);
    assert_int_equal(digest_bytes(data, len, sha256), 0);
    assert_string_equal(sha256, built.sha256);
    assert_memory_equal(data, leads[0], 10 + strlen(leads[0] + 10));
    assert_int_equal(scratch_count(SCRATCH_FD, "out"), 1); /* nothing else stays */
}

/* Whatever the clock, the umask and the file's time say. */
static void test_same_bytes(void **state)
{
    _cleanup_rpm_built_ RpmBuilt one = {0}, other = {0};
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

    scratch_write_text(SCRATCH_FD, "a", "x");
    assert_int_equal(build(state, WITH(FILES), &one, NULL), 0);
    assert_int_equal(fchmodat(SCRATCH_FD, "a", 0600, 0), 0);
    assert_int_equal(utimensat(SCRATCH_FD, "a", times, 0), 0);
    assert_int_equal(build(state, WITH(FILES), &other, NULL), 0);
    assert_string_equal(one.sha256, other.sha256);
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *rpm;
        int code;
        const char *mistake;
    } rows[] = {
        {WITH(""), -EINVAL, "/package/rpm: it has no `files`"},
        {WITH(",\"files\":[{\"from\":\"gone\",\"to\":\"/a\"}]"), -ENOENT,
         "/package/rpm/files/0: 'gone'"},
        {WITH(FILES ",\"units\":[{\"from\":\"gone.service\"}]"), -ENOENT,
         "/package/rpm/units/0/from"},
        {WITH(FILES ",\"requires\":[\"a\",\"b c\"]"), -EINVAL, "/package/rpm/requires/1: 'b c'"},
        {WITH(FILES ",\"scripts\":{\"pre\":\"gone\"}"), -ENOENT, "/package/rpm/scripts/pre"},
        {WITH(FILES
              ",\"changelog\":[{\"date\":\"2023-02-30\",\"author\":\"A\",\"changes\":[\"c\"]}]"),
         -EINVAL, "/package/rpm/changelog/0/date: '2023-02-30' is no day"},
        {WITH(FILES
              ",\"changelog\":[{\"date\":\"2023-02-01\",\"author\":\"A\",\"changes\":[\"c\"]},"
              "{\"date\":\"2023-02-02\",\"author\":\"A\",\"changes\":[\"c\"]}]"),
         -EINVAL, "/package/rpm/changelog/1/date: '2023-02-02' is later"},
    };

    scratch_write_text(SCRATCH_FD, "a", "x");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        RpmBuilt built = {0};

        assert_int_equal(build(state, rows[i].rpm, &built, &err), rows[i].code);
        assert_null(built.file);
        assert_int_equal(scratch_count(SCRATCH_FD, "out"), 0);
        if (!strstr(error_text(&err), rows[i].mistake)) {
            fail_msg("'%s' is not in: %s", rows[i].mistake, error_text(&err));
        }
    }
}

/* Requirements alone. */
static void test_no_files(void **state)
{
    _cleanup_rpm_built_ RpmBuilt built = {0};

    assert_int_equal(build(state, WITH(",\"files\":[],\"requires\":[\"a\"]"), &built, NULL), 0);
    assert_string_equal(built.arch, "noarch");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_build),
        scratch_test(test_same_bytes),
        scratch_test(test_mistakes),
        scratch_test(test_no_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
