/* SPDX-License-Identifier: MIT */
#include "agent/package/image.h"

#include "protocol/artifact/digest.h"
#include "tests/unit/scratch.h"

#include <errno.h>

static ImageRequest request_of(int root_fd, const Json *package)
{
    return (ImageRequest){.workspace_fd = root_fd,
                          .package = package,
                          .name = "greeter",
                          .version = "v1",
                          .commit = "0123",
                          .committed_at = 1700000000,
                          .base_fd = -1};
}

static int build(void **state, const char *text, const char *base, const char *name, Image *ret,
                 Error *err)
{
    _cleanup_json_ Json *package = NULL;
    ImageRequest request;

    assert_int_equal(json_parse(text, strlen(text), &package, NULL), 0);
    request = request_of(SCRATCH_FD, package);
    if (base) {
        request.base_fd = SCRATCH_FD;
        request.base_layout = base;
        request.base_name = base;
    }
    return image_build(&request, SCRATCH_FD, name, ret, err);
}

static void expect_built(void **state, const char *text, const char *base, const char *name,
                         Image *ret)
{
    _cleanup_error_ Error err = {0};

    if (build(state, text, base, name, ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

#define FILES "\"files\":[{\"from\":\"run\",\"to\":\"/app/greeter\"}]"

static void make_tree(void **state)
{
    scratch_write(SCRATCH_FD, "run", "#!/bin/sh\n", 10, 0755);
    scratch_write_text(SCRATCH_FD, "lib", "library");
    scratch_write_text(SCRATCH_FD, "data", "data");
}

/* Another commit: the layer with a name is the same, the one without has the commit's time. */
static void test_named_layers_stay(void **state)
{
    static const char text[] = "{\"files\":[{\"from\":\"lib\",\"to\":\"/lib\",\"layer\":\"deps\"},"
                               "{\"from\":\"run\",\"to\":\"/run\"}]}";
    _cleanup_json_ Json *package = NULL;
    _cleanup_image_ Image one = {0}, two = {0};
    ImageRequest request;

    make_tree(state);
    expect_built(state, text, NULL, "one", &one);
    assert_int_equal(one.layout.n_layers, 2);
    assert_int_equal(json_parse(text, strlen(text), &package, NULL), 0);
    request = request_of(SCRATCH_FD, package);
    request.committed_at++;
    assert_int_equal(image_build(&request, SCRATCH_FD, "two", &two, NULL), 0);
    assert_string_equal(json_as_string(json_pointer(one.layout.layers, "/0/digest")),
                        json_as_string(json_pointer(two.layout.layers, "/0/digest")));
    assert_string_not_equal(json_as_string(json_pointer(one.layout.layers, "/1/digest")),
                            json_as_string(json_pointer(two.layout.layers, "/1/digest")));
}

static void test_base(void **state)
{
    _cleanup_image_ Image base = {0}, image = {0};
    _cleanup_oci_image_ OciImage read = OCI_IMAGE_INIT;

    make_tree(state);
    expect_built(state, "{\"files\":[{\"from\":\"lib\",\"to\":\"/lib\"}],\"env\":{\"A\":\"1\"}}",
                 NULL, "base", &base);
    assert_string_equal(base.base_digest, "");
    expect_built(state, "{" FILES "}", "./base", "oci", &image);
    assert_string_equal(image.base_digest, base.layout.digest);
    assert_int_equal(image.layout.n_layers, 2);
    assert_int_equal(oci_image_open(SCRATCH_FD, "oci", image.layout.digest, &read, NULL), 0);
    assert_string_equal(json_as_string(json_pointer(read.config_json, "/config/Env/0")), "A=1");
    assert_int_equal(json_length(json_get(read.config_json, "history")), 2);
    assert_string_equal(
        json_as_string(
            json_pointer(read.manifest_json, "/annotations/org.opencontainers.image.base.digest")),
        base.layout.digest);
    assert_int_equal(oci_image_unpack(&read, SCRATCH_FD, "root", NULL), 0);
    scratch_expect_text(SCRATCH_FD, "root/lib", "library");
    scratch_expect_text(SCRATCH_FD, "root/app/greeter", "#!/bin/sh\n");
}

static void test_whole(void **state)
{
    _cleanup_json_ Json *package = json_new_object();
    _cleanup_image_ Image base = {0}, image = {0};
    _cleanup_oci_image_ OciImage read = OCI_IMAGE_INIT;
    ImageRequest request = request_of(SCRATCH_FD, package);

    make_tree(state);
    expect_built(state, "{" FILES "}", NULL, "base", &base);
    request.is_whole = true;
    request.base_fd = SCRATCH_FD;
    request.base_layout = "base";
    request.base_name = "Dockerfile";
    assert_int_equal(image_build(&request, SCRATCH_FD, "oci", &image, NULL), 0);
    assert_int_equal(image.layout.n_layers, 1);
    assert_int_equal(oci_image_open(SCRATCH_FD, "oci", NULL, &read, NULL), 0);
    assert_int_equal(json_length(json_get(read.config_json, "history")), 2);
    assert_null(json_get(read.manifest_json, "annotations"));
}

/* An index of them; a host gets its own. */
static void test_platforms(void **state)
{
    static const char text[] =
        "{\"platforms\":[\"linux/amd64\",\"linux/arm/v7\",\"linux/riscv64\"],\"files\":["
        "{\"from\":\"lib\",\"to\":\"/lib\",\"layer\":\"l\"},"
        "{\"from\":\"run\",\"to\":\"/run\",\"platform\":\"linux/arm/v7\"},"
        "{\"from\":\"data\",\"to\":\"/run\",\"platform\":\"linux/amd64\"}]}";
    static const OciPlatform arm = {"linux", "arm", "v7"}, arm6 = {"linux", "arm", "v6"};
    _cleanup_oci_image_ OciImage read = OCI_IMAGE_INIT;
    _cleanup_image_ Image image = {0}, on_top = {0};
    _cleanup_error_ Error err = {0};
    OciImage none;

    make_tree(state);
    expect_built(state, text, NULL, "oci", &image);
    assert_int_equal(oci_image_open_for(SCRATCH_FD, "oci", image.layout.digest, &arm, &read, NULL),
                     0);
    assert_string_equal(json_get_string(read.config_json, "architecture"), "arm");
    assert_string_equal(json_get_string(read.config_json, "variant"), "v7");
    assert_int_equal(oci_image_unpack(&read, SCRATCH_FD, "root", NULL), 0);
    scratch_expect_text(SCRATCH_FD, "root/run", "#!/bin/sh\n");
    /* Three manifests, three configurations, an index, one shared layer and two more. */
    assert_int_equal(scratch_count(SCRATCH_FD, "oci/blobs/sha256"), 10);
    assert_int_equal(oci_image_open_for(SCRATCH_FD, "oci", NULL, &arm6, &none, &err), -EBADMSG);
    assert_non_null(strstr(error_text(&err), "none of the 3 images of the index is for linux/arm"));
    expect_built(state, "{\"platforms\":[\"linux/arm/v7\",\"linux/amd64\"]," FILES "}", "./oci",
                 "on-top", &on_top);
}

static void expect_mistake(void **state, const char *text, const char *base, const char *mistake)
{
    _cleanup_error_ Error err = {0};
    Image image = {0};

    assert_true(build(state, text, base, "out", &image, &err) < 0);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
    assert_int_equal(file_remove_tree(SCRATCH_FD, "out", NULL), 0);
}

static void damage_layer(void **state, const Image *image)
{
    const char *digest = json_as_string(json_pointer(image->layout.layers, "/0/digest"));
    char path[200];

    (void)snprintf(path, sizeof(path), "base/blobs/sha256/%s", digest + strlen("sha256:"));
    scratch_write_text(SCRATCH_FD, path, "other bytes");
}

static void test_mistakes(void **state)
{
    _cleanup_image_ Image base = {0};

    make_tree(state);
    expect_mistake(state, "{}", NULL, "nothing to package");
    expect_mistake(state, "{" FILES "}", "./gone", "/package/base: './gone'");
    expect_mistake(state,
                   "{\"platforms\":[\"linux/amd64\",\"linux/arm64\"],\"files\":[{\"from\":\"run\","
                   "\"to\":\"/r\",\"platform\":\"linux/amd64\"}]}",
                   NULL, "nothing to package for linux/arm64");
    expect_built(state, "{\"platforms\":[\"linux/s390x\"]," FILES "}", NULL, "base", &base);
    expect_mistake(state, "{\"platforms\":[\"linux/amd64\"]," FILES "}", "./base",
                   "for linux/amd64: /package/base: './base': it is for linux/s390x");
    damage_layer(state, &base);
    expect_mistake(state, "{" FILES "}", "./base", "but the one that is meant has");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_named_layers_stay), scratch_test(test_base),     scratch_test(test_whole),
        scratch_test(test_platforms),         scratch_test(test_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
