/* SPDX-License-Identifier: MIT */
#include "agent/package/package.h"

#include "agent/package/oci-read.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

#define REFERENCE "registry.example:5000/team/greeter@"

static int build(void **state, const char *recipe_text, const char *version, const char *to,
                 Release *ret, Error *err)
{
    _cleanup_package_ Package package = {0};
    _cleanup_json_ Json *recipe = NULL;
    _cleanup_fd_ int to_fd = -1;
    int r;
    PackageRequest request = {.workspace_fd = SCRATCH_FD,
                              .name = "greeter",
                              .version = version,
                              .commit = COMMIT,
                              .repository = "https://git.example/greeter.git",
                              .committed_at = 1700000000,
                              .registry = "registry.example:5000/team/",
                              .cache_directory = SCRATCH_PATH,
                              .digests_fd = SCRATCH_FD};

    assert_int_equal(json_parse(recipe_text, strlen(recipe_text), &recipe, NULL), 0);
    request.recipe = recipe;
    assert_int_equal(mkdirat(SCRATCH_FD, to, 0755), 0);
    to_fd = openat(SCRATCH_FD, to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = package_build(&request, to_fd, &package, err);
    if (r == 0) {
        *ret = package.release;
        package.release = (Release){0};
    }
    return r;
}

static void expect_built(void **state, const char *recipe, const char *version, const char *to,
                         Release *ret)
{
    _cleanup_error_ Error err = {0};

    if (build(state, recipe, version, to, ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void test_conventions(void **state)
{
    _cleanup_release_ Release release = {0}, back = {0};
    _cleanup_oci_image_ OciImage image = OCI_IMAGE_INIT;
    _cleanup_fd_ int fd = -1;
    const Json *config;

    scratch_write(SCRATCH_FD, "dist/greeter", "#!/bin/sh\n", 10, 0755);
    scratch_write_text(SCRATCH_FD, "deploy/service.json", "{\"id\": \"${name}\"}");
    expect_built(state, "{}", "v1", "p", &release);
    fd = openat(SCRATCH_FD, "p", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(release_read(fd, &back, NULL), 0);
    assert_string_equal(back.digest, release.digest);
    assert_memory_equal(back.reference, REFERENCE, strlen(REFERENCE));
    assert_string_equal(back.reference + strlen(REFERENCE), release.digest);
    assert_string_equal(back.template, "deploy/service.json");
    assert_string_equal(back.commit, COMMIT);
    assert_int_equal(back.committed_at, 1700000000);
    scratch_expect_text(SCRATCH_FD, "p/deploy/service.json", "{\"id\": \"${name}\"}");
    assert_int_equal(oci_image_open(fd, RELEASE_IMAGE, release.digest, &image, NULL), 0);
    config = json_get(image.config_json, "config");
    assert_string_equal(json_as_string(json_pointer(config, "/Entrypoint/0")), "/app/greeter");
    assert_string_equal(json_get_string(config, "WorkingDir"), "/app");
    assert_int_equal(oci_image_unpack(&image, SCRATCH_FD, "root", NULL), 0);
    scratch_expect_text(SCRATCH_FD, "root/app/greeter", "#!/bin/sh\n");
}

static void test_no_entrypoint(void **state)
{
    _cleanup_release_ Release release = {0};
    _cleanup_oci_image_ OciImage image = OCI_IMAGE_INIT;

    scratch_write_text(SCRATCH_FD, "dist/index.html", "x");
    expect_built(state, "{}", "v1", "p", &release);
    assert_null(release.template);
    assert_int_equal(oci_image_open(SCRATCH_FD, "p/oci", NULL, &image, NULL), 0);
    assert_null(json_pointer(image.config_json, "/config/Entrypoint"));
}

/* Where and under which name the commit was found is no part of the image. */
static void test_digest(void **state)
{
    _cleanup_release_ Release first = {0}, second = {0}, third = {0};

    scratch_write(SCRATCH_FD, "dist/greeter", "#!/bin/sh\n", 10, 0755);
    expect_built(state, "{}", "v1", "p1", &first);
    expect_built(state, "{}", "v2", "p2", &second);
    assert_string_equal(first.digest, second.digest);
    assert_string_equal(second.version, "v2");
    expect_built(state, "{\"package\":{\"env\":{\"A\":\"1\"}}}", "v1", "p3", &third);
    assert_string_not_equal(first.digest, third.digest);
}

/* Made once, found again; and what the files are is remembered beside the workspace. */
static void test_cache(void **state)
{
    _cleanup_release_ Release first = {0}, second = {0};
    struct stat a, b;
    char path[200];

    scratch_write(SCRATCH_FD, "dist/greeter", "#!/bin/sh\n", 10, 0755);
    expect_built(state, "{}", "v1", "p1", &first);
    expect_built(state, "{}", "v1", "p2", &second);
    assert_string_equal(first.digest, second.digest);
    assert_int_equal(scratch_count(SCRATCH_FD, "blobs"), 2); /* a record and its blob */
    assert_true(file_exists(SCRATCH_FD, PACKAGE_DIGESTS_FILE));
    {
        _cleanup_oci_image_ OciImage image = OCI_IMAGE_INIT;

        assert_int_equal(oci_image_open(SCRATCH_FD, "p1/oci", NULL, &image, NULL), 0);
        (void)snprintf(path, sizeof(path), "p1/oci/blobs/sha256/%s",
                       image.layers[0].digest + strlen(OCI_DIGEST_PREFIX));
    }
    assert_int_equal(fstatat(SCRATCH_FD, path, &a, 0), 0);
    path[1] = '2';
    assert_int_equal(fstatat(SCRATCH_FD, path, &b, 0), 0);
    assert_int_equal(a.st_ino, b.st_ino);
}

/* A cache that cannot be had is no reason to fail. */
static void test_no_cache(void **state)
{
    _cleanup_release_ Release release = {0};

    scratch_write(SCRATCH_FD, "dist/greeter", "#!/bin/sh\n", 10, 0755);
    scratch_write_text(SCRATCH_FD, "blobs", "in the way");
    expect_built(state, "{}", "v1", "p", &release);
}

static void expect_mistake(void **state, const char *recipe, const char *mistake)
{
    _cleanup_error_ Error err = {0};
    Release release = {0};

    assert_true(build(state, recipe, "v1", "p", &release, &err) < 0);
    assert_null(release.digest);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
    assert_int_equal(file_remove_tree(SCRATCH_FD, "p", NULL), 0);
}

static void test_mistakes(void **state)
{
    expect_mistake(state, "{}", "nothing to package: there is no dist/");
    scratch_write_text(SCRATCH_FD, "dist/a", "x");
    scratch_write_text(SCRATCH_FD, "bad.json", "{\n\"a\": }");
    scratch_write_text(SCRATCH_FD, "release.json", "{}");
    scratch_write_text(SCRATCH_FD, "oci/t.json", "{}");
    expect_mistake(state, "{\"deploy\":{\"template\":\"gone.json\"}}",
                   "deploy template 'gone.json'");
    expect_mistake(state, "{\"deploy\":{\"template\":\"bad.json\"}}",
                   "deploy template 'bad.json': line 2");
    expect_mistake(state, "{\"deploy\":{\"template\":\"./release.json\"}}", "cannot be called");
    expect_mistake(state, "{\"deploy\":{\"template\":\"oci/t.json\"}}", "cannot be called");
    expect_mistake(state, "{\"package\":{\"base\":\"./gone\"}}",
                   "/package/base: './gone': image layout './gone'");
}

/* Only what slipway.json asks for, where nothing is there of an image. */
static void test_what_has_an_image(void **state)
{
    static const struct {
        const char *recipe;
        bool has_image;
    } rows[] = {
        {"{}", true},
        {"{\"package\":{}}", true},
        {"{\"package\":{\"deb\":{}}}", false},
        {"{\"package\":{\"rpm\":{}}}", false},
        {"{\"package\":{\"deb\":{},\"rpm\":{}}}", false},
        {"{\"package\":{\"deb\":{},\"files\":[]}}", true},
        {"{\"package\":{\"deb\":{},\"rpm\":{},\"entrypoint\":[\"/x\"]}}", true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_json_ Json *recipe = NULL;

        assert_int_equal(json_parse(rows[i].recipe, strlen(rows[i].recipe), &recipe, NULL), 0);
        assert_int_equal(package_has_image(SCRATCH_FD, recipe), rows[i].has_image);
    }
}

/* By convention. */
static void test_what_is_made_into_an_image(void **state)
{
    static const char *const names[] = {"dist/x", "Dockerfile"};
    const char *text = "{\"package\":{\"deb\":{}}}";
    _cleanup_json_ Json *recipe = NULL;

    assert_int_equal(json_parse(text, strlen(text), &recipe, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_false(package_has_image(SCRATCH_FD, recipe));
        scratch_write_text(SCRATCH_FD, names[i], "");
        assert_true(package_has_image(SCRATCH_FD, recipe));
        assert_int_equal(file_remove_tree(SCRATCH_FD, i == 0 ? "dist" : names[i], NULL), 0);
    }
}

static void test_without_an_image(void **state)
{
    static const PackageFile files[] = {
        {"x_1_all.deb", "abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd"},
        {"x-1.rpm", "0123"}};
    _cleanup_package_ Package package = {0}, none = {0};
    _cleanup_release_ Release back = {0};
    _cleanup_json_ Json *recipe = NULL;
    _cleanup_error_ Error err = {0};
    _cleanup_fd_ int to_fd = -1;
    const char *text = "{\"package\":{\"deb\":{},\"rpm\":{}}}";
    PackageRequest request = {.workspace_fd = SCRATCH_FD,
                              .name = "greeter",
                              .version = "v1",
                              .digests_fd = -1,
                              .files_fd = SCRATCH_FD,
                              .files = files,
                              .n_files = ARRAY_SIZE(files)};

    assert_int_equal(json_parse(text, strlen(text), &recipe, NULL), 0);
    request.recipe = recipe;
    scratch_write_text(SCRATCH_FD, "x_1_all.deb", "deb");
    scratch_write_text(SCRATCH_FD, "x-1.rpm", "rpm");
    assert_int_equal(mkdirat(SCRATCH_FD, "p", 0755), 0);
    to_fd = openat(SCRATCH_FD, "p", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (package_build(&request, to_fd, &package, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_false(package.has_image);
    assert_int_equal(release_read(to_fd, &back, NULL), 0);
    assert_string_equal(back.package, "packages/x_1_all.deb");
    assert_int_equal(strncmp(back.digest, "sha256:abcd", 11), 0);
    scratch_expect_text(SCRATCH_FD, "p/packages/x_1_all.deb", "deb");
    scratch_expect_text(SCRATCH_FD, "p/packages/x-1.rpm", "rpm");
    assert_false(file_exists(to_fd, RELEASE_IMAGE));
    request.n_files = 0;
    assert_int_equal(package_build(&request, to_fd, &none, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "there is nothing to package"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_what_has_an_image),
        scratch_test(test_what_is_made_into_an_image),
        scratch_test(test_without_an_image),
        scratch_test(test_conventions),
        scratch_test(test_no_entrypoint),
        scratch_test(test_digest),
        scratch_test(test_cache),
        scratch_test(test_no_cache),
        scratch_test(test_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
