/* SPDX-License-Identifier: MIT */
#include "agent/package/oci-archive.h"

#include "agent/package/oci-write.h"
#include "tests/unit/scratch.h"

#include <errno.h>

static char from[] = "run", to[] = "app";

/* A layout `oci` with one file, for one platform. */
static void make_layout(void **state, const OciPlatform *platform, size_t n)
{
    static const OciPlatform other = {"linux", "none-such", NULL};
    const LayerEntry entry = {.from = from, .to = to, .mode = 0755};
    const LayerSpec layer = {.root_fd = SCRATCH_FD, .entries = &entry, .n_entries = 1};
    const OciImageSpec images[] = {{.platform = other, .layers = &layer, .n_layers = 1},
                                   {.platform = *platform, .layers = &layer, .n_layers = 1}};
    _cleanup_oci_layout_ OciLayout layout = {0};

    scratch_write_text(SCRATCH_FD, "run", "#!/bin/sh\n");
    assert_int_equal(oci_layout_write(&(OciLayoutSpec){.images = images + 2 - n, .n_images = n},
                                      SCRATCH_FD, "oci", &layout, NULL),
                     0);
}

static void write_archive(void **state, const char *name, ArchiveSummary *ret)
{
    _cleanup_fd_ int fd = openat(SCRATCH_FD, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    _cleanup_fd_ int layout = openat(SCRATCH_FD, "oci", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_error_ Error err = {0};

    if (oci_archive_write(layout, "greeter:v1", 1700000000, fd, ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static Json *read_docker_manifest(void **state)
{
    _cleanup_free_ char *text = NULL;
    char command[256];
    Json *manifest = NULL;
    size_t n;

    (void)snprintf(command, sizeof(command), "cd '%s' && mkdir -p out && tar -xf one.tar -C out",
                   SCRATCH_PATH);
    assert_int_equal(system(command), 0);
    if (!file_exists(SCRATCH_FD, "out/manifest.json")) {
        return NULL;
    }
    text = scratch_read(SCRATCH_FD, "out/manifest.json", &n);
    assert_int_equal(json_parse(text, n, &manifest, NULL), 0);
    return manifest;
}

static void test_both_formats(void **state)
{
    const OciPlatform host = oci_platform_of_host();
    _cleanup_json_ Json *manifest = NULL;
    ArchiveSummary one, two;
    char path[200];

    make_layout(state, &host, 1);
    write_archive(state, "one.tar", &one);
    write_archive(state, "two.tar", &two);
    assert_string_equal(one.sha256, two.sha256);
    manifest = read_docker_manifest(state);
    assert_string_equal(json_as_string(json_pointer(manifest, "/0/RepoTags/0")), "greeter:v1");
    (void)snprintf(path, sizeof(path), "out/%s",
                   json_as_string(json_pointer(manifest, "/0/Layers/0")));
    assert_true(file_exists(SCRATCH_FD, path));
    (void)snprintf(path, sizeof(path), "out/%s",
                   json_as_string(json_pointer(manifest, "/0/Config")));
    assert_true(file_exists(SCRATCH_FD, path));
    scratch_expect_text(SCRATCH_FD, "out/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    assert_true(file_exists(SCRATCH_FD, "out/index.json"));
}

/* Docker's part has one image: this host's, if there is one. */
static void test_platforms(void **state)
{
    static const OciPlatform other = {"linux", "another", NULL};
    const OciPlatform host = oci_platform_of_host();
    _cleanup_json_ Json *manifest = NULL, *none = NULL;
    ArchiveSummary summary;

    make_layout(state, &host, 2);
    write_archive(state, "one.tar", &summary);
    manifest = read_docker_manifest(state);
    assert_int_equal(json_length(manifest), 1);
    assert_int_equal(file_remove_tree(SCRATCH_FD, "oci", NULL), 0);
    assert_int_equal(file_remove_tree(SCRATCH_FD, "out", NULL), 0);
    make_layout(state, &other, 2);
    write_archive(state, "one.tar", &summary);
    none = read_docker_manifest(state);
    assert_null(none);
}

static void test_references(void **state)
{
    static const struct {
        const char *name, *version, *wanted; /* NULL: refused */
    } rows[] = {
        {"greeter", "v1.2", "greeter:v1.2"},
        {"a.b_c--d__e0", "1", "a.b_c--d__e0:1"},
        {"greeter", "1.0+3", "greeter:1.0_3"},
        {"greeter", "release/1", "greeter:release_1"},
        {"greeter", "-1", "greeter:_1"},
        {"greeter", ".1", "greeter:_1"},
        {"greeter", "\xc3\xa4", "greeter:__"},
        {"Greeter", "1", NULL},
        {"a..b", "1", NULL},
        {"a___b", "1", NULL},
        {"-a", "1", NULL},
        {"a-", "1", NULL},
        {"a.", "1", NULL},
        {"", "1", NULL},
        {"a/b", "1", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
        _cleanup_error_ Error err = {0};
        int r = oci_archive_reference(rows[i].name, rows[i].version, &text, &err);

        if (r != (rows[i].wanted ? 0 : -EINVAL)) {
            fail_msg("'%s': %s", rows[i].name, error_text(&err));
        }
        if (rows[i].wanted) {
            assert_string_equal(buffer_text(&text), rows[i].wanted);
        }
    }
}

static void test_long_version(void **state)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    char version[201];

    memset(version, 'v', sizeof(version) - 1);
    version[sizeof(version) - 1] = '\0';
    assert_int_equal(oci_archive_reference("a", version, &text, NULL), 0);
    assert_int_equal(text.len, 2 + 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_both_formats),
        scratch_test(test_platforms),
        scratch_test(test_references),
        scratch_test(test_long_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
