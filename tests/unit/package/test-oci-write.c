/* SPDX-License-Identifier: MIT */
#include "agent/package/oci-write.h"

#include "protocol/artifact/digest.h"
#include "tests/unit/scratch.h"

#include <errno.h>

static char app[] = "app", from[] = "dist/greeter", to[] = "app/greeter", link_from[] = "dist/link",
            link_to[] = "app/link", gone[] = "dist/gone";

static const LayerEntry entries[] = {
    {.to = app, .mode = 0755},
    {.from = from, .to = to, .mode = 0755},
    {.from = link_from, .to = link_to, .mode = (mode_t)-1},
};

static void make_tree(int root_fd, mode_t mode, time_t mtime)
{
    const struct timespec times[2] = {{.tv_sec = mtime}, {.tv_sec = mtime}};

    scratch_write(root_fd, "dist/greeter", "#!/bin/sh\n", 10, mode);
    assert_int_equal(symlinkat("greeter", root_fd, "dist/link"), 0);
    assert_int_equal(utimensat(root_fd, "dist/greeter", times, 0), 0);
}

static int write_layout(int root_fd, const LayerSpec *layers, size_t n_layers, const char *name,
                        const Json *config, const Json *annotations, OciLayout *ret, Error *err)
{
    const OciImageSpec image = {.platform = oci_platform_of_host(),
                                .layers = layers,
                                .n_layers = n_layers,
                                .config = config};

    return oci_layout_write(
        &(OciLayoutSpec){
            .images = &image, .n_images = 1, .created = 1700000000, .annotations = annotations},
        root_fd, name, ret, err);
}

static int write_image(int root_fd, const char *name, const Json *annotations, char *ret_digest)
{
    _cleanup_json_ Json *config = json_new_object();
    _cleanup_oci_layout_ OciLayout layout = {0};
    const LayerSpec layer = {.root_fd = root_fd,
                             .entries = entries,
                             .n_entries = ARRAY_SIZE(entries),
                             .time = 1700000000};
    _cleanup_error_ Error err = {0};
    int r = json_set_string(config, "User", "1000");

    r = r == 0 ? write_layout(root_fd, &layer, 1, name, config, annotations, &layout, &err) : r;
    if (r < 0 && r != -EEXIST) {
        fail_msg("%s", error_text(&err));
    }
    if (r == 0) {
        (void)strcpy(ret_digest, layout.digest);
        assert_int_equal(layout.n_layers, 1);
        assert_int_equal(json_length(layout.layers), 1);
        assert_true(layout.size_bytes > 500);
    }
    return r;
}

static Json *read_json(int root_fd, const char *path)
{
    size_t n;
    _cleanup_free_ char *text = scratch_read(root_fd, path, &n);
    Json *value = NULL;

    assert_int_equal(json_parse(text, n, &value, NULL), 0);
    return value;
}

/* The blob that a descriptor names, once its digest was seen to be right. */
static Json *read_blob(int root_fd, const Json *descriptor, const char *media_type)
{
    char path[200], hex[DIGEST_HEX_SIZE];
    const char *digest = json_get_string(descriptor, "digest");
    _cleanup_free_ char *text = NULL;
    Json *value = NULL;
    size_t n;

    assert_string_equal(json_get_string(descriptor, "mediaType"), media_type);
    (void)snprintf(path, sizeof(path), "oci/blobs/sha256/%s", digest + strlen("sha256:"));
    text = scratch_read(root_fd, path, &n);
    assert_int_equal(json_get_int(descriptor, "size", -1), n);
    assert_int_equal(digest_bytes(text, n, hex), 0);
    assert_string_equal(hex, digest + strlen("sha256:"));
    if (text[0] == '{') {
        assert_int_equal(json_parse(text, n, &value, NULL), 0);
    }
    return value;
}

static void test_shapes(void **state)
{
    _cleanup_json_ Json *layout = NULL, *index = NULL, *manifest = NULL, *config = NULL,
                        *annotations = json_new_object();
    char digest[OCI_DIGEST_SIZE];

    make_tree(SCRATCH_FD, 0700, 1);
    assert_int_equal(json_set_string(annotations, "org.opencontainers.image.version", "v1"), 0);
    assert_int_equal(write_image(SCRATCH_FD, "oci", annotations, digest), 0);

    layout = read_json(SCRATCH_FD, "oci/oci-layout");
    assert_string_equal(json_get_string(layout, "imageLayoutVersion"), "1.0.0");
    index = read_json(SCRATCH_FD, "oci/index.json");
    assert_int_equal(json_get_int(index, "schemaVersion", 0), 2);
    assert_string_equal(json_as_string(json_pointer(index, "/manifests/0/digest")), digest);
    assert_string_equal(json_as_string(json_pointer(index, "/manifests/0/platform/os")), "linux");
    assert_string_equal(json_as_string(json_pointer(
                            index, "/manifests/0/annotations/org.opencontainers.image.version")),
                        "v1");
    manifest = read_blob(SCRATCH_FD, json_pointer(index, "/manifests/0"), OCI_TYPE_MANIFEST);
    assert_int_equal(json_length(json_get(manifest, "layers")), 1);
    assert_null(read_blob(SCRATCH_FD, json_pointer(manifest, "/layers/0"), OCI_TYPE_LAYER_GZIP));
    config = read_blob(SCRATCH_FD, json_get(manifest, "config"), OCI_TYPE_CONFIG);
    assert_string_equal(json_get_string(config, "created"), "2023-11-14T22:13:20Z");
    assert_string_equal(json_as_string(json_pointer(config, "/config/User")), "1000");
    assert_string_equal(json_as_string(json_pointer(config, "/rootfs/type")), "layers");
    assert_int_equal(json_length(json_pointer(config, "/rootfs/diff_ids")), 1);
    assert_int_equal(json_length(json_get(config, "history")), 1);
    assert_int_equal(scratch_count(SCRATCH_FD, "oci/blobs/sha256"), 3);
}

/* Another place, other times, modes and umask: the same image. */
static void test_reproducible(void **state)
{
    char first[OCI_DIGEST_SIZE], second[OCI_DIGEST_SIZE];
    _cleanup_json_ Json *annotations = json_new_object();
    _cleanup_fd_ int a = -1, b = -1;
    mode_t before;

    assert_int_equal(mkdirat(SCRATCH_FD, "a", 0755), 0);
    assert_int_equal(mkdirat(SCRATCH_FD, "b", 0700), 0);
    a = openat(SCRATCH_FD, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    b = openat(SCRATCH_FD, "b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_tree(a, 0755, 1000000000);
    assert_int_equal(write_image(a, "oci", NULL, first), 0);
    before = umask(077);
    make_tree(b, 0700, 1500000000);
    assert_int_equal(json_set_string(annotations, "any", "thing"), 0);
    assert_int_equal(write_image(b, "oci", annotations, second), 0);
    (void)umask(before);
    assert_string_equal(first, second);
}

static void test_other_content_is_another_image(void **state)
{
    char first[OCI_DIGEST_SIZE], second[OCI_DIGEST_SIZE];

    make_tree(SCRATCH_FD, 0755, 1);
    assert_int_equal(write_image(SCRATCH_FD, "one", NULL, first), 0);
    scratch_write_text(SCRATCH_FD, "dist/greeter", "#!/bin/sh\n#");
    assert_int_equal(write_image(SCRATCH_FD, "two", NULL, second), 0);
    assert_string_not_equal(first, second);
}

static void test_fresh_only(void **state)
{
    char digest[OCI_DIGEST_SIZE] = "untouched";

    make_tree(SCRATCH_FD, 0755, 1);
    assert_int_equal(mkdirat(SCRATCH_FD, "oci", 0755), 0);
    assert_int_equal(write_image(SCRATCH_FD, "oci", NULL, digest), -EEXIST);
    assert_string_equal(digest, "untouched");
}

static void test_missing_file(void **state)
{
    const LayerEntry missing = {.from = gone, .to = to, .mode = 0644};
    const LayerSpec layer = {.root_fd = SCRATCH_FD, .entries = &missing, .n_entries = 1};
    _cleanup_error_ Error err = {0};
    OciLayout layout;

    assert_int_equal(write_layout(SCRATCH_FD, &layer, 1, "oci", NULL, NULL, &layout, &err),
                     -ENOENT);
    assert_non_null(strstr(error_text(&err), "dist/gone"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_shapes),
        scratch_test(test_reproducible),
        scratch_test(test_other_content_is_another_image),
        scratch_test(test_fresh_only),
        scratch_test(test_missing_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
