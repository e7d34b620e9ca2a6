/* SPDX-License-Identifier: MIT */
#include "agent/package/docker-archive.h"

#include "agent/package/oci-read.h"
#include "protocol/artifact/archive.h"
#include "tests/unit/scratch.h"

#include <errno.h>

/* A layer's tar with one file, as `path` of the archive; its digest is the caller's. */
static void put_layer(void **state, const char *path, ArchiveFormat format, const char *content,
                      char *ret_diff_id)
{
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    ArchiveSummary summary;
    _cleanup_fd_ int fd = -1;

    scratch_write_text(SCRATCH_FD, path, "");
    fd = openat(SCRATCH_FD, path, O_RDWR | O_TRUNC | O_CLOEXEC);
    assert_int_equal(archive_writer_new(format, 0, fd, 0, &writer, NULL), 0);
    assert_int_equal(
        archive_writer_add_bytes(writer, content, content, strlen(content), 0644, NULL), 0);
    assert_int_equal(archive_writer_finish(writer, &summary, NULL), 0);
    (void)strcpy(ret_diff_id, summary.contents_sha256);
}

static void put_config(void **state, const char *first, const char *second)
{
    char text[512];

    (void)snprintf(text, sizeof(text),
                   "{ \"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
                   "\"diff_ids\":[\"sha256:%s\",\"sha256:%s\"]}}",
                   first, second);
    scratch_write_text(SCRATCH_FD, "a/config.json", text);
}

static void put_manifest(void **state, const char *text)
{
    scratch_write_text(SCRATCH_FD, "a/manifest.json", text);
}

static int import(void **state, const char *name, Error *err)
{
    _cleanup_fd_ int fd = openat(SCRATCH_FD, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return docker_archive_import(fd, NULL, SCRATCH_FD, name, err);
}

#define MANIFEST "[{\"Config\":\"config.json\",\"Layers\":[\"one/layer.tar\",\"two/layer.tar\"]}]"

/* As docker before 25 writes it: a layer that is there twice is a link. Compressed layers are taken
 * as they are. */
static void test_imports(void **state)
{
    _cleanup_oci_image_ OciImage image = OCI_IMAGE_INIT;
    _cleanup_error_ Error err = {0};
    char one[DIGEST_HEX_SIZE], two[DIGEST_HEX_SIZE];

    put_layer(state, "a/one/layer.tar", ARCHIVE_TAR, "first", one);
    put_layer(state, "a/real/layer.tar", ARCHIVE_TAR_GZIP, "second", two);
    assert_int_equal(mkdirat(SCRATCH_FD, "a/two", 0755), 0);
    assert_int_equal(symlinkat("../real/layer.tar", SCRATCH_FD, "a/two/layer.tar"), 0);
    put_config(state, one, two);
    put_manifest(state, MANIFEST);
    if (import(state, "oci", &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_int_equal(oci_image_open(SCRATCH_FD, "oci", NULL, &image, NULL), 0);
    assert_int_equal(oci_image_unpack(&image, SCRATCH_FD, "root", NULL), 0);
    scratch_expect_text(SCRATCH_FD, "root/first", "first");
    scratch_expect_text(SCRATCH_FD, "root/second", "second");
}

static void expect_refused(void **state, const char *mistake)
{
    _cleanup_error_ Error err = {0};

    assert_true(import(state, "out", &err) < 0);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
    assert_int_equal(file_remove_tree(SCRATCH_FD, "out", NULL), 0);
}

static void test_refused(void **state)
{
    char one[DIGEST_HEX_SIZE], two[DIGEST_HEX_SIZE];

    put_layer(state, "a/one/layer.tar", ARCHIVE_TAR, "first", one);
    put_layer(state, "a/two/layer.tar", ARCHIVE_TAR, "second", two);
    expect_refused(state, "manifest.json");
    put_manifest(state, "[{\"Config\":\"config.json\"},{}]");
    expect_refused(state, "has 2 images, not one");
    put_manifest(state, "[{\"Config\":\"../../etc/passwd\"}]");
    expect_refused(state, "it names no configuration");
    put_manifest(state, MANIFEST);
    expect_refused(state, "config.json");
    put_config(state, two, one);
    expect_refused(state, "layer 1, 'one/layer.tar': the layer sha256:");
    put_config(state, one, "short");
    expect_refused(state, "layer 2 has neither a file nor a SHA-256");
    put_config(state, one, two);
    put_manifest(state, "[{\"Config\":\"config.json\",\"Layers\":[\"one/layer.tar\"]}]");
    expect_refused(state, "1 layers are there, and the configuration tells of 2");
    put_manifest(state, "[{\"Config\":\"config.json\",\"Layers\":[\"/etc/passwd\",\"one\"]}]");
    expect_refused(state, "layer 1 has neither");
    put_manifest(state, "[{\"Config\":\"config.json\",\"Layers\":[\"one\",\"two/layer.tar\"]}]");
    expect_refused(state, "it is no file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_imports),
        scratch_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
