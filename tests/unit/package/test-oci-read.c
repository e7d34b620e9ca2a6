/* SPDX-License-Identifier: MIT */
#include "agent/package/oci-read.h"

#include "agent/package/oci-write.h"
#include "protocol/artifact/archive.h"
#include "protocol/artifact/digest.h"
#include "tests/unit/scratch.h"

#include <errno.h>

/* ---- a layout, written by hand so that every part of it can be wrong --------------------------
 */

typedef struct Blob {
    char hex[DIGEST_HEX_SIZE];
    size_t size;
} Blob;

static Blob put_blob(int root_fd, const void *data, size_t n)
{
    Blob blob = {.size = n};
    char path[200];

    assert_int_equal(digest_bytes(data, n, blob.hex), 0);
    (void)snprintf(path, sizeof(path), "oci/blobs/sha256/%s", blob.hex);
    scratch_write(root_fd, path, data, n, 0644);
    return blob;
}

static Blob put_layer(int root_fd, const char *name, const char *content)
{
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    _cleanup_fd_ int fd =
        openat(root_fd, "layer.tmp", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    _cleanup_free_ char *text = NULL;
    ArchiveSummary summary;
    size_t n;

    assert_int_equal(archive_writer_new(ARCHIVE_TAR_GZIP, 0, fd, 0, &writer, NULL), 0);
    assert_int_equal(archive_writer_add_bytes(writer, name, content, strlen(content), 0644, NULL),
                     0);
    assert_int_equal(archive_writer_finish(writer, &summary, NULL), 0);
    text = scratch_read(root_fd, "layer.tmp", &n);
    return put_blob(root_fd, text, n);
}

typedef struct Layout {
    const char *version;
    const char *layer_type;
    const char *manifest_type;
    int64_t layer_size_more; /* than it has */
    size_t n_layers;
    Blob layers[3];
} Layout;

#define LAYOUT_INIT                              \
    ((Layout){.version = "1.0.0",                \
              .layer_type = OCI_TYPE_LAYER_GZIP, \
              .manifest_type = OCI_TYPE_MANIFEST})

/* Writes what stands above the layers; returns the manifest's. */
static Blob put_layout(int root_fd, const Layout *layout)
{
    static const char config_text[] = "{\"architecture\":\"amd64\",\"os\":\"linux\"}";
    Blob config = put_blob(root_fd, config_text, strlen(config_text)), manifest;
    _cleanup_buffer_ Buffer b = BUFFER_INIT(0), index = BUFFER_INIT(0);
    char text[100];

    assert_int_equal(buffer_append_format(&b,
                                          "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" //
                                          OCI_TYPE_CONFIG
                                          "\",\"digest\":\"sha256:%s\",\"size\":%zu},"
                                          "\"layers\":[",
                                          config.hex, config.size),
                     0);
    for (size_t i = 0; i < layout->n_layers; i++) {
        assert_int_equal(buffer_append_format(
                             &b, "%s{\"mediaType\":\"%s\",\"digest\":\"sha256:%s\",\"size\":%lld}",
                             i ? "," : "", layout->layer_type, layout->layers[i].hex,
                             (long long)layout->layers[i].size + layout->layer_size_more),
                         0);
    }
    assert_int_equal(buffer_append_text(&b, "]}"), 0);
    manifest = put_blob(root_fd, b.data, b.len);
    assert_int_equal(buffer_append_format(&index,
                                          "{\"manifests\":[{\"mediaType\":\"%s\",\"digest\":"
                                          "\"sha256:%s\",\"size\":%zu}]}",
                                          layout->manifest_type, manifest.hex, manifest.size),
                     0);
    scratch_write(root_fd, "oci/index.json", index.data, index.len, 0644);
    (void)snprintf(text, sizeof(text), "{\"imageLayoutVersion\":\"%s\"}", layout->version);
    scratch_write_text(root_fd, "oci/oci-layout", text);
    return manifest;
}

static void expect_refused(int root_fd, const char *digest, const char *mistake)
{
    _cleanup_error_ Error err = {0};
    _cleanup_oci_image_ OciImage image = OCI_IMAGE_INIT;
    int r = oci_image_open(root_fd, "oci", digest, &image, &err);

    r = r == 0 ? oci_image_verify(&image, &err) : r;
    assert_int_equal(r, -EBADMSG);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
}

/* ---- tests ------------------------------------------------------------------------------------
 */

static char from[] = "greeter", to[] = "app/greeter", app[] = "app";

static void test_reads_what_we_write(void **state)
{
    const LayerEntry entries[] = {{.to = app, .mode = 0755},
                                  {.from = from, .to = to, .mode = 0755}};
    const LayerSpec layer = {
        .root_fd = SCRATCH_FD, .entries = entries, .n_entries = 2, .time = 1700000000};
    const OciImageSpec written = {
        .platform = oci_platform_of_host(), .layers = &layer, .n_layers = 1};
    _cleanup_oci_layout_ OciLayout layout = {0};
    _cleanup_oci_image_ OciImage image = OCI_IMAGE_INIT;
    _cleanup_error_ Error err = {0};
    struct stat st;

    scratch_write_text(SCRATCH_FD, "greeter", "hello");
    assert_int_equal(oci_layout_write(&(OciLayoutSpec){.images = &written, .n_images = 1},
                                      SCRATCH_FD, "oci", &layout, NULL),
                     0);
    assert_int_equal(oci_image_open(SCRATCH_FD, "oci", layout.digest, &image, NULL), 0);
    assert_string_equal(image.manifest.digest, layout.digest);
    assert_int_equal(image.n_layers, 1);
    assert_string_equal(json_get_string(image.config_json, "os"), "linux");
    assert_int_equal(oci_image_verify(&image, NULL), 0);
    assert_int_equal(oci_image_unpack(&image, SCRATCH_FD, "root", NULL), 0);
    scratch_expect_text(SCRATCH_FD, "root/app/greeter", "hello");
    assert_int_equal(fstatat(SCRATCH_FD, "root/app/greeter", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    assert_false(file_exists(SCRATCH_FD, "root.tmp"));
    assert_false(file_exists(SCRATCH_FD, "root.layer"));
    assert_int_equal(oci_image_unpack(&image, SCRATCH_FD, "root", &err), -EEXIST);
}

static void test_layers_in_order(void **state)
{
    Layout layout = LAYOUT_INIT;
    _cleanup_oci_image_ OciImage image = OCI_IMAGE_INIT;

    layout.layers[0] = put_layer(SCRATCH_FD, "etc/a", "first");
    layout.layers[1] = put_layer(SCRATCH_FD, "etc/b", "second");
    layout.layers[2] = put_layer(SCRATCH_FD, "etc/.wh.a", "");
    layout.n_layers = 3;
    (void)put_layout(SCRATCH_FD, &layout);
    assert_int_equal(oci_image_open(SCRATCH_FD, "oci", NULL, &image, NULL), 0);
    assert_int_equal(oci_image_unpack(&image, SCRATCH_FD, "root", NULL), 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "root/etc"), 1);
    scratch_expect_text(SCRATCH_FD, "root/etc/b", "second");
}

/* A changed blob of the same length, and nothing left of the unpacking. */
static void test_changed_layer(void **state)
{
    Layout layout = LAYOUT_INIT;
    _cleanup_oci_image_ OciImage image = OCI_IMAGE_INIT;
    _cleanup_error_ Error err = {0};
    _cleanup_free_ char *text = NULL;
    char path[200];
    size_t n;

    layout.layers[0] = put_layer(SCRATCH_FD, "a", "first");
    layout.n_layers = 1;
    (void)put_layout(SCRATCH_FD, &layout);
    (void)snprintf(path, sizeof(path), "oci/blobs/sha256/%s", layout.layers[0].hex);
    text = scratch_read(SCRATCH_FD, path, &n);
    text[n / 2] ^= 1;
    scratch_write(SCRATCH_FD, path, text, n, 0644);
    expect_refused(SCRATCH_FD, NULL, "was changed");
    assert_int_equal(oci_image_open(SCRATCH_FD, "oci", NULL, &image, NULL), 0);
    assert_int_equal(oci_image_unpack(&image, SCRATCH_FD, "root", &err), -EBADMSG);
    assert_false(file_exists(SCRATCH_FD, "root"));
    assert_false(file_exists(SCRATCH_FD, "root.tmp"));
    assert_false(file_exists(SCRATCH_FD, "root.layer"));
}

static void test_wrong_size(void **state)
{
    Layout layout = LAYOUT_INIT;

    layout.layers[0] = put_layer(SCRATCH_FD, "a", "first");
    layout.layer_size_more = 1;
    layout.n_layers = 1;
    (void)put_layout(SCRATCH_FD, &layout);
    expect_refused(SCRATCH_FD, NULL, "bytes");
}

static void test_missing_layer(void **state)
{
    Layout layout = LAYOUT_INIT;
    char path[200];

    layout.layers[0] = put_layer(SCRATCH_FD, "a", "first");
    layout.n_layers = 1;
    (void)put_layout(SCRATCH_FD, &layout);
    (void)snprintf(path, sizeof(path), "oci/blobs/sha256/%s", layout.layers[0].hex);
    assert_int_equal(unlinkat(SCRATCH_FD, path, 0), 0);
    expect_refused(SCRATCH_FD, NULL, "is missing");
}

static void test_unknown_types(void **state)
{
    Layout layout = LAYOUT_INIT;

    layout.layers[0] = put_layer(SCRATCH_FD, "a", "first");
    layout.n_layers = 1;
    layout.layer_type = "application/x-foreign";
    (void)put_layout(SCRATCH_FD, &layout);
    expect_refused(SCRATCH_FD, NULL, "application/x-foreign");
    layout = LAYOUT_INIT;
    layout.manifest_type = "application/x-foreign";
    (void)put_layout(SCRATCH_FD, &layout);
    expect_refused(SCRATCH_FD, NULL, "'application/x-foreign' is no OCI image manifest");
    layout = LAYOUT_INIT;
    layout.manifest_type = OCI_TYPE_INDEX; /* which it is not */
    (void)put_layout(SCRATCH_FD, &layout);
    expect_refused(SCRATCH_FD, NULL, "none of the 0 images of the index");
    layout = LAYOUT_INIT;
    layout.version = "2.0.0";
    (void)put_layout(SCRATCH_FD, &layout);
    expect_refused(SCRATCH_FD, NULL, "version 2.0.0");
}

static void test_another_digest(void **state)
{
    Layout layout = LAYOUT_INIT;
    Blob manifest = put_layout(SCRATCH_FD, &layout);
    _cleanup_oci_image_ OciImage image = OCI_IMAGE_INIT;
    char digest[OCI_DIGEST_SIZE];

    (void)snprintf(digest, sizeof(digest), "sha256:%s", manifest.hex);
    assert_int_equal(oci_image_open(SCRATCH_FD, "oci", digest, &image, NULL), 0);
    digest[10] = digest[10] == '0' ? '1' : '0';
    expect_refused(SCRATCH_FD, digest, "has no image");
}

static void test_changed_manifest(void **state)
{
    Layout layout = LAYOUT_INIT;
    Blob manifest = put_layout(SCRATCH_FD, &layout);
    char path[200];

    (void)snprintf(path, sizeof(path), "oci/blobs/sha256/%s", manifest.hex);
    scratch_write_text(SCRATCH_FD, path, "{}");
    expect_refused(SCRATCH_FD, NULL, "bytes");
}

static void test_index_mistakes(void **state)
{
    static const struct {
        const char *text, *mistake;
    } cases[] = {
        {"[]", "not a JSON object"},
        {"{", "not JSON"},
        {"{\"manifests\":[]}", "0 images"},
        {"{\"manifests\":[{},{}]}", "2 images"},
        {"{\"manifests\":[{\"digest\":\"sha256:../../../../etc/passwd\"}]}", "64 hexadecimal"},
        {"{\"manifests\":[{\"digest\":\"md5:0\"}]}", "64 hexadecimal"},
        {"{\"manifests\":[{\"digest\":\"sha256:"
         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}]}",
         "mediaType is missing"},
    };
    Layout layout = LAYOUT_INIT;

    (void)put_layout(SCRATCH_FD, &layout);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        scratch_write_text(SCRATCH_FD, "oci/index.json", cases[i].text);
        expect_refused(SCRATCH_FD, NULL, cases[i].mistake);
    }
}

static void test_too_many_layers(void **state)
{
    _cleanup_buffer_ Buffer b = BUFFER_INIT(0);
    Blob manifest;
    char index[300];

    assert_int_equal(buffer_append_text(&b, "{\"config\":{\"mediaType\":\"" OCI_TYPE_CONFIG
                                            "\",\"size\":1,\"digest\":\"sha256:"),
                     0);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(buffer_append_text(&b, "0"), 0);
    }
    assert_int_equal(buffer_append_text(&b, "\"},\"layers\":[{}"), 0);
    for (int i = 0; i < 128; i++) {
        assert_int_equal(buffer_append_text(&b, ",{}"), 0);
    }
    assert_int_equal(buffer_append_text(&b, "]}"), 0);
    (void)put_layout(SCRATCH_FD, &LAYOUT_INIT);
    manifest = put_blob(SCRATCH_FD, b.data, b.len);
    (void)snprintf(index, sizeof(index),
                   "{\"manifests\":[{\"mediaType\":\"" OCI_TYPE_MANIFEST
                   "\",\"digest\":\"sha256:%s\",\"size\":%zu}]}",
                   manifest.hex, manifest.size);
    scratch_write_text(SCRATCH_FD, "oci/index.json", index);
    expect_refused(SCRATCH_FD, NULL, "129 layers");
}

static void test_no_layout(void **state)
{
    _cleanup_error_ Error err = {0};
    OciImage image = OCI_IMAGE_INIT;

    assert_int_equal(oci_image_open(SCRATCH_FD, "oci", NULL, &image, &err), -ENOENT);
    assert_non_null(strstr(error_text(&err), "'oci'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_reads_what_we_write), scratch_test(test_layers_in_order),
        scratch_test(test_changed_layer),       scratch_test(test_wrong_size),
        scratch_test(test_missing_layer),       scratch_test(test_unknown_types),
        scratch_test(test_another_digest),      scratch_test(test_changed_manifest),
        scratch_test(test_index_mistakes),      scratch_test(test_too_many_layers),
        scratch_test(test_no_layout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
