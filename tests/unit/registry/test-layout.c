/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/layout.h"

#include "tests/unit/registry/sample.h"

#include <errno.h>

static void an_empty_directory_becomes_one(void **state)
{
    _cleanup_error_ Error err = {0};

    for (int i = 0; i < 2; i++) {
        expect_result(layout_init(SCRATCH_FD, &err), 0, &err);
    }
    scratch_expect_text(SCRATCH_FD, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    assert_int_equal(scratch_count(SCRATCH_FD, "blobs"), 1);
    scratch_write_text(SCRATCH_FD, "oci-layout", "{\"imageLayoutVersion\":\"2.0\"}");
    assert_int_equal(layout_init(SCRATCH_FD, &err), -EBADMSG);
}

static void blobs(void **state)
{
    _cleanup_error_ Error err = {0};
    _cleanup_fd_ int fd = -1, part_fd = -1, again_fd = -1;
    Descriptor blob, other = sample_descriptor("t", "other", 5);
    int64_t size;

    assert_int_equal(layout_init(SCRATCH_FD, &err), 0);
    blob = sample_blob(SCRATCH_FD, "t", "bytes");
    expect_result(layout_open_blob(SCRATCH_FD, &blob, &fd, &err), 1, &err);
    expect_result(layout_open_blob(SCRATCH_FD, &other, NULL, &err), 0, &err);
    blob.size_bytes++;
    expect_result(layout_open_blob(SCRATCH_FD, &blob, NULL, &err), -EBADMSG, &err);
    blob.size_bytes--;
    (void)sample_blob(SCRATCH_FD, "t", "bytes");
    {
        char path[128];

        (void)snprintf(path, sizeof(path), "blobs/sha256/%s", blob.digest + 7);
        scratch_write_text(SCRATCH_FD, path, "bytez");
    }
    expect_result(layout_open_blob(SCRATCH_FD, &blob, NULL, &err), -EBADMSG, &err);
    expect_says(&err, "was changed");

    expect_result(layout_begin_blob(SCRATCH_FD, other.digest, &part_fd, &size, &err), 0, &err);
    assert_int_equal(size, 0);
    assert_int_equal(fd_write_all(part_fd, "oth", 3), 0);
    expect_result(layout_begin_blob(SCRATCH_FD, other.digest, &again_fd, &size, &err), 0, &err);
    assert_int_equal(size, 3);
    assert_int_equal(fd_write_all(part_fd, "er", 2), 0);
    expect_result(layout_open_blob(SCRATCH_FD, &other, NULL, &err), 0, &err);
    expect_result(layout_finish_blob(SCRATCH_FD, other.digest, part_fd, &err), 0, &err);
    expect_result(layout_open_blob(SCRATCH_FD, &other, NULL, &err), 1, &err);
}

static void names(void **state)
{
    _cleanup_free_ char *one_text = sample_manifest_text("{}", "one"),
                        *two_text = sample_manifest_text("{}", "two"), *index = NULL;
    _cleanup_manifest_ Manifest one = {0}, two = {0};
    _cleanup_error_ Error err = {0};
    Descriptor found;

    assert_int_equal(layout_init(SCRATCH_FD, &err), 0);
    sample_parse(one_text, &one);
    sample_parse(two_text, &two);
    assert_int_equal(layout_find(SCRATCH_FD, NULL, &found, &err), -ENOENT);
    assert_int_equal(layout_name(SCRATCH_FD, &one, "stable", &err), 0);
    assert_int_equal(layout_find(SCRATCH_FD, NULL, &found, &err), 0);
    assert_string_equal(found.digest, one.self.digest);
    assert_int_equal(layout_name(SCRATCH_FD, &one, "old", &err), 0);
    assert_int_equal(layout_name(SCRATCH_FD, &two, "stable", &err), 0);
    assert_int_equal(layout_name(SCRATCH_FD, &two, "stable", &err), 0);
    index = scratch_read(SCRATCH_FD, "index.json", NULL);
    assert_non_null(strstr(index, "\"old\""));
    assert_int_equal(layout_find(SCRATCH_FD, NULL, &found, &err), -ENOENT);
    expect_says(&err, "2 images");
    assert_int_equal(layout_find(SCRATCH_FD, two.self.digest, &found, &err), 0);
    assert_int_equal(layout_find(SCRATCH_FD, "sha256:none", &found, &err), -ENOENT);
}

static void an_image_of_an_index_is_found(void **state)
{
    _cleanup_error_ Error err = {0};
    Descriptor one = sample_image(SCRATCH_FD, "{}", "one");
    Descriptor two = sample_image(SCRATCH_FD, "{}", "two"), found;

    (void)unlinkat(SCRATCH_FD, "index.json", 0);
    assert_int_equal(layout_init(SCRATCH_FD, &err), 0);
    (void)sample_index(SCRATCH_FD, &one, &two);
    expect_result(layout_find(SCRATCH_FD, two.digest, &found, &err), 0, &err);
    assert_string_equal(found.digest, two.digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(an_empty_directory_becomes_one),
        scratch_test(blobs),
        scratch_test(names),
        scratch_test(an_image_of_an_index_is_found),
    };

    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
