/* SPDX-License-Identifier: MIT */
/* With the real createrepo_c. What dnf thinks of it, and signatures, are in
 * tests/integration/test-rpm.py. */
#include "agent/package/rpm/yum-repository.h"

#include "agent/package/rpm/yum-metadata.h"
#include "protocol/artifact/decompress.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define NOW_US ((int64_t)1700000000 * 1000000)
#define DAY_US ((int64_t)24 * 3600 * 1000000)

static void build(void **state, const char *version, const char *content, RpmBuilt *ret)
{
    _cleanup_error_ Error err = {0};
    _cleanup_free_ char *text = NULL;
    _cleanup_json_ Json *recipe = NULL;
    _cleanup_fd_ int out_fd = -1;

    scratch_write_text(SCRATCH_FD, "source/a", content);
    assert_true(asprintf(&text,
                         "{\"package\":{\"rpm\":{\"summary\":\"S\",\"license\":\"L\",\"version\":"
                         "\"%s\",\"files\":[{\"from\":\"source/a\",\"to\":\"/opt/x/a\"}]}}}",
                         version) > 0);
    assert_int_equal(json_parse(text, strlen(text), &recipe, NULL), 0);
    assert_true(mkdirat(SCRATCH_FD, "out", 0755) == 0 || errno == EEXIST);
    out_fd = openat(SCRATCH_FD, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rpm_build(&(PackageRequest){.workspace_fd = SCRATCH_FD,
                                    .recipe = recipe,
                                    .name = "greeter",
                                    .version = "v1",
                                    .committed_at = 1700000000},
                  NULL, out_fd, ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static int add(void **state, const RpmBuilt *built, size_t keep, int64_t now_us, YumOutcome *ret,
               Error *err)
{
    _cleanup_(publish_target_closep) PublishTarget *target = NULL;
    _cleanup_free_ char *address = NULL, *directory = NULL;
    int r;

    assert_true(asprintf(&address, "%s/repository", SCRATCH_PATH) > 0);
    assert_true(asprintf(&directory, "%s/out", SCRATCH_PATH) > 0);
    assert_int_equal(publish_target_open(address, &(PublishAccess){0}, &target, NULL), 0);
    assert_int_equal(publish_target_lock(target, "a test", 0, NULL), 0);
    r = yum_repository_add(
        &(YumRepository){.target = target, .work_directory = SCRATCH_PATH, .keep = keep}, built,
        directory, now_us, ret, err);
    assert_false(file_exists(SCRATCH_FD, "yum.tmp"));
    return r;
}

static void publish(void **state, const char *version, size_t keep, int64_t now_us)
{
    _cleanup_rpm_built_ RpmBuilt built = {0};
    _cleanup_error_ Error err = {0};
    YumOutcome outcome;

    build(state, version, version, &built);
    if (add(state, &built, keep, now_us, &outcome, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_int_equal(outcome, YUM_PUBLISHED);
}

static void read_index(void **state, YumIndex *ret)
{
    _cleanup_free_ char *text = scratch_read(SCRATCH_FD, "repository/repodata/repomd.xml", NULL);

    assert_int_equal(yum_index_parse(text, strlen(text), ret, NULL), 0);
}

/* "1 2": the versions that a reader finds, in the order of the list. All files are there. */
static void expect(void **state, const char *wanted)
{
    _cleanup_yum_index_ YumIndex index = {0};
    _cleanup_yum_packages_ YumPackages packages = {0};
    _cleanup_buffer_ Buffer text = {0}, told = {0};
    _cleanup_free_ char *primary = NULL;
    char name[512];
    size_t len;

    read_index(state, &index);
    for (size_t i = 0; i < index.count; i++) {
        (void)snprintf(name, sizeof(name), "repository/%s", index.list[i].location);
        assert_true(file_exists(SCRATCH_FD, name));
    }
    (void)snprintf(name, sizeof(name), "repository/%s",
                   yum_index_find(&index, "primary")->location);
    primary = scratch_read(SCRATCH_FD, name, &len);
    assert_int_equal(decompress_bytes(primary, len, &text, NULL), 0);
    assert_int_equal(yum_packages_parse(buffer_text(&text), text.len, &packages, NULL), 0);
    for (size_t i = 0; i < packages.count; i++) {
        (void)snprintf(name, sizeof(name), "repository/%s", packages.list[i].location);
        assert_true(file_exists(SCRATCH_FD, name));
        assert_int_equal(
            buffer_append_format(&told, "%s%s", i > 0 ? " " : "", packages.list[i].version), 0);
    }
    assert_string_equal(buffer_text(&told), wanted);
}

/* Old entries are taken over, though their packages cannot be read. */
static void test_add(void **state)
{
    publish(state, "1", 0, NOW_US);
    expect(state, "1");
    scratch_write_text(SCRATCH_FD, "repository/Packages/greeter-1-1.noarch.rpm", "damaged");
    publish(state, "2", 0, NOW_US);
    publish(state, "1.5", 0, NOW_US);
    expect(state, "1 1.5 2");
}

static void test_again(void **state)
{
    _cleanup_rpm_built_ RpmBuilt same = {0}, other = {0};
    _cleanup_error_ Error err = {0};
    YumOutcome outcome;

    publish(state, "1", 0, NOW_US);
    build(state, "1", "1", &same);
    assert_int_equal(add(state, &same, 0, NOW_US, &outcome, NULL), 0);
    assert_int_equal(outcome, YUM_UNCHANGED);
    build(state, "1", "another", &other);
    assert_int_equal(add(state, &other, 0, NOW_US, &outcome, &err), -EEXIST);
    assert_non_null(strstr(error_text(&err), "with other bytes"));
    expect(state, "1");
}

/* By version, not by time; the new one stays though it is older. Files go a day later. */
static void test_keep(void **state)
{
    static const char *const versions[] = {"1.9", "1.10", "1.11~rc1"};

    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        publish(state, versions[i], 2, NOW_US);
    }
    expect(state, "1.10 1.11~rc1");
    assert_true(file_exists(SCRATCH_FD, "repository/Packages/greeter-1.9-1.noarch.rpm"));
    publish(state, "1.8", 2, NOW_US + 1);
    expect(state, "1.11~rc1 1.8");
    publish(state, "1.12", 2, NOW_US + 2 * DAY_US);
    expect(state, "1.11~rc1 1.12");
    assert_false(file_exists(SCRATCH_FD, "repository/Packages/greeter-1.9-1.noarch.rpm"));
    assert_false(file_exists(SCRATCH_FD, "repository/Packages/greeter-1.10-1.noarch.rpm"));
    assert_true(file_exists(SCRATCH_FD, "repository/Packages/greeter-1.8-1.noarch.rpm"));
}

static void expect_bad(void **state, const char *mistake)
{
    _cleanup_rpm_built_ RpmBuilt built = {0};
    _cleanup_error_ Error err = {0};
    YumOutcome outcome;

    build(state, "9", "9", &built);
    assert_int_equal(add(state, &built, 0, NOW_US, &outcome, &err), -EBADMSG);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
    assert_false(file_exists(SCRATCH_FD, "repository/Packages/greeter-9-1.noarch.rpm"));
}

/* Nothing is built upon what is not what its index says. */
static void test_damaged(void **state)
{
    _cleanup_yum_index_ YumIndex index = {0};
    char name[512];

    publish(state, "1", 0, NOW_US);
    read_index(state, &index);
    (void)snprintf(name, sizeof(name), "repository/%s",
                   yum_index_find(&index, "filelists")->location);
    scratch_write_text(SCRATCH_FD, name, "damaged");
    expect_bad(state, "not what its repomd.xml says");
    assert_int_equal(unlinkat(SCRATCH_FD, name, 0), 0);
    expect_bad(state, "is missing");
    scratch_write_text(SCRATCH_FD, "repository/repodata/repomd.xml", "<repomd/>");
    expect_bad(state, "names no 'primary'");
    scratch_write_text(SCRATCH_FD, "repository/repodata/repomd.xml", "<html>404</html>");
    expect_bad(state, "it does not begin as such a file does");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_add),
        scratch_test(test_again),
        scratch_test(test_keep),
        scratch_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
