/* SPDX-License-Identifier: MIT */
#include "agent/package/image-files.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/xattr.h>

static int find(void **state, const char *text, ImageFiles *ret, Error *err)
{
    _cleanup_json_ Json *files = NULL;

    assert_int_equal(json_parse(text, strlen(text), &files, NULL), 0);
    return image_files_find(SCRATCH_FD, files, NULL, ret, err);
}

/* One line for each entry: "mode from > to". */
static void expect(void **state, const char *text, const char *wanted)
{
    _cleanup_image_files_ ImageFiles files = {0};
    _cleanup_buffer_ Buffer found = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};

    if (find(state, text, &files, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    for (size_t i = 0; i < files.count; i++) {
        const LayerEntry *e = &files.entries[i];

        if (e->mode == (mode_t)-1) {
            assert_int_equal(buffer_append_format(&found, "link %s > %s\n", e->from, e->to), 0);
        } else {
            assert_int_equal(buffer_append_format(&found, "%o %s > %s\n", (unsigned)e->mode,
                                                  e->from ? e->from : "-", e->to),
                             0);
        }
    }
    assert_string_equal(buffer_text(&found), wanted);
}

static void make_tree(void **state)
{
    scratch_write(SCRATCH_FD, "dist/run", "x", 1, 0700);
    scratch_write(SCRATCH_FD, "dist/data", "x", 1, 0600);
    scratch_write(SCRATCH_FD, "dist/lib/a.so", "x", 1, 0644);
    scratch_write(SCRATCH_FD, "dist/lib/b.txt", "x", 1, 0644);
    assert_int_equal(symlinkat("run", SCRATCH_FD, "dist/link"), 0);
}

static void test_one_file(void **state)
{
    make_tree(state);
    expect(state, "[{\"from\":\"dist/data\",\"to\":\"/etc/x/data.conf\"}]",
           "755 - > etc\n755 - > etc/x\n644 dist/data > etc/x/data.conf\n");
    expect(state, "[{\"from\":\"dist/data\",\"to\":\"/etc/\"}]",
           "755 - > etc\n644 dist/data > etc/data\n");
    expect(state, "[{\"from\":\"./dist//data\",\"to\":\"//a/./b\"}]",
           "755 - > a\n644 dist/data > a/b\n");
}

static void test_directory(void **state)
{
    static const char wanted[] =
        "755 - > app\n644 dist/data > app/data\n755 - > app/lib\n"
        "644 dist/lib/a.so > app/lib/a.so\n644 dist/lib/b.txt > app/lib/b.txt\n"
        "link dist/link > app/link\n755 dist/run > app/run\n";

    make_tree(state);
    expect(state, "[{\"from\":\"dist\",\"to\":\"/app\"}]", wanted);
    expect(state, "[{\"from\":\"./dist/\",\"to\":\"/app/\"}]", wanted);
    expect(state, "[{\"from\":\"dist/**\",\"to\":\"/app\"}]", wanted);
}

static void test_pattern(void **state)
{
    make_tree(state);
    expect(state, "[{\"from\":\"dist/lib/*.so\",\"to\":\"/usr/lib\"}]",
           "755 - > usr\n755 - > usr/lib\n644 dist/lib/a.so > usr/lib/a.so\n");
    expect(state, "[{\"from\":\"dist/*/*.so\",\"to\":\"/\"}]",
           "755 - > lib\n644 dist/lib/a.so > lib/a.so\n");
}

static void test_mode(void **state)
{
    make_tree(state);
    expect(state,
           "[{\"from\":\"dist/data\",\"to\":\"/x\",\"mode\":\"0750\"},"
           "{\"from\":\"dist/link\",\"to\":\"/l\",\"mode\":\"0750\"}]",
           "link dist/link > l\n750 dist/data > x\n");
}

static void test_empty_directory(void **state)
{
    assert_int_equal(mkdirat(SCRATCH_FD, "dist", 0700), 0);
    assert_int_equal(mkdirat(SCRATCH_FD, "dist/empty", 0700), 0);
    expect(state, "[{\"from\":\"dist\",\"to\":\"/app\"}]", "755 - > app\n755 - > app/empty\n");
}

/* The same file twice to the same place is once; git's own files never come along. */
static void test_overlap(void **state)
{
    make_tree(state);
    scratch_write_text(SCRATCH_FD, "dist/.git/config", "x");
    expect(state,
           "[{\"from\":\"dist/lib\",\"to\":\"/l\"},{\"from\":\"dist/lib/*.so\",\"to\":\"/l\"}]",
           "755 - > l\n644 dist/lib/a.so > l/a.so\n644 dist/lib/b.txt > l/b.txt\n");
    expect(state, "[{\"from\":\"dist/.g*\",\"to\":\"/x\"},{\"from\":\"dist/data\",\"to\":\"/y\"}]",
           "644 dist/data > y\n");
}

static void expect_mistake(void **state, const char *text, int code, const char *mistake)
{
    _cleanup_error_ Error err = {0};
    ImageFiles files = {0};

    assert_int_equal(find(state, text, &files, &err), code);
    assert_null(files.entries);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
}

static void test_mistakes(void **state)
{
    make_tree(state);
    scratch_write_text(SCRATCH_FD, "odd/.wh.x", "x");
    expect_mistake(state, "[{\"from\":\"dist\",\"to\":\"/a\"},{\"from\":\"gone\",\"to\":\"/b\"}]",
                   -ENOENT, "/package/files/1: 'gone' matches nothing");
    expect_mistake(state,
                   "[{\"from\":\"dist/run\",\"to\":\"/a\"},{\"from\":\"dist/data\",\"to\":\"/a\"}]",
                   -EEXIST, "'/a' would be 'dist/");
    expect_mistake(state,
                   "[{\"from\":\"dist/run\",\"to\":\"/a\"},{\"from\":\"dist/lib\",\"to\":\"/a\"},"
                   "{\"from\":\"dist/data\",\"to\":\"/b\"}]",
                   -EEXIST, "'/a' would be 'dist/run' and a directory");
    expect_mistake(state, "[{\"from\":\"odd\",\"to\":\"/a\"}]", -EINVAL, ".wh.x");
    expect_mistake(state, "[{\"from\":\"dist/.\",\"to\":\"/.wh.a\"}]", -EINVAL, ".wh.a");
}

/* "layer first count" of each. */
static void expect_layers(void **state, const char *text, const char *platform, const char *wanted)
{
    _cleanup_json_ Json *files = NULL;
    _cleanup_image_files_ ImageFiles found = {0};
    _cleanup_buffer_ Buffer told = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};

    assert_int_equal(json_parse(text, strlen(text), &files, NULL), 0);
    if (image_files_find(SCRATCH_FD, files, platform, &found, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    for (size_t i = 0; i < found.n_layers; i++) {
        const ImageLayer *layer = &found.layers[i];

        assert_int_equal(buffer_append_format(&told, "%s:", layer->name ? layer->name : "-"), 0);
        for (size_t k = layer->first; k < layer->first + layer->count; k++) {
            assert_int_equal(buffer_append_format(&told, " %s", found.entries[k].to), 0);
        }
        assert_int_equal(buffer_append(&told, "\n", 1), 0);
    }
    assert_string_equal(buffer_text(&told), wanted);
}

/* In the order in which they are named; each has the directories that it needs. */
static void test_layers(void **state)
{
    make_tree(state);
    expect_layers(state,
                  "[{\"from\":\"dist/lib\",\"to\":\"/app/lib\",\"layer\":\"deps\"},"
                  "{\"from\":\"dist/run\",\"to\":\"/app/run\"},"
                  "{\"from\":\"dist/link\",\"to\":\"/app/lib/\",\"layer\":\"deps\"},"
                  "{\"from\":\"dist/data\",\"to\":\"/app/lib/data\"}]",
                  NULL,
                  "deps: app app/lib app/lib/a.so app/lib/b.txt app/lib/link\n"
                  "-: app app/lib app/lib/data app/run\n");
}

static void test_platforms(void **state)
{
    static const char files[] =
        "[{\"from\":\"dist/run\",\"to\":\"/run\",\"platform\":\"linux/amd64\"},"
        "{\"from\":\"dist/data\",\"to\":\"/run\",\"platform\":\"linux/arm64\",\"layer\":\"l\"},"
        "{\"from\":\"dist/link\",\"to\":\"/link\"}]";

    make_tree(state);
    expect_layers(state, files, "linux/amd64", "-: link run\n");
    expect_layers(state, files, "linux/arm64", "-: link\nl: run\n");
    expect_layers(state, files, NULL, "-: link\n");
}

/* What an image cannot have, or only where it was meant. */
static void test_refused(void **state)
{
    int fd;

    make_tree(state);
    scratch_write(SCRATCH_FD, "odd/su", "x", 1, 04755);
    assert_int_equal(mkfifoat(SCRATCH_FD, "fifo", 0600), 0);
    assert_int_equal(mknodat(SCRATCH_FD, "socket", S_IFSOCK | 0600, 0), 0);
    fd = openat(SCRATCH_FD, "huge", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(fd, ((off_t)64 << 30) + 1), 0); /* all of it a hole */
    (void)fd_close(fd);
    expect_mistake(state, "[{\"from\":\"odd\",\"to\":\"/a\"}]", -EINVAL, "'odd/su' is setuid");
    expect(state, "[{\"from\":\"odd\",\"to\":\"/a\",\"mode\":\"4755\"}]",
           "755 - > a\n4755 odd/su > a/su\n");
    expect(state, "[{\"from\":\"odd\",\"to\":\"/a\",\"mode\":\"755\"}]",
           "755 - > a\n755 odd/su > a/su\n");
    expect_mistake(state, "[{\"from\":\"fifo\",\"to\":\"/a\"}]", -EINVAL, "'fifo'");
    expect_mistake(state, "[{\"from\":\"*\",\"to\":\"/a\"}]", -EINVAL, "/package/files/0: '");
    expect_mistake(state, "[{\"from\":\"socket\",\"to\":\"/a\"}]", -EINVAL, "'socket'");
    expect_mistake(state, "[{\"from\":\"huge\",\"to\":\"/a\"}]", -EFBIG,
                   "/package/files/0: 'huge' has 68719476737 bytes");
}

static void test_capabilities(void **state)
{
    /* VFS_CAP_REVISION_2, cap_net_bind_service: as setcap writes it. */
    static const unsigned char capability[20] = {1, 0, 0, 2, 0, 4};
    char path[200];

    make_tree(state);
    (void)snprintf(path, sizeof(path), "%s/dist/run", SCRATCH_PATH);
    if (setxattr(path, "security.capability", capability, sizeof(capability), 0) < 0) {
        skip(); /* needs CAP_SETFCAP and a file system that has them */
    }
    expect_mistake(state, "[{\"from\":\"dist\",\"to\":\"/a\"}]", -EINVAL,
                   "'dist/run' has file capabilities");
}

static void test_executable(void **state)
{
    _cleanup_image_files_ ImageFiles files = {0};

    make_tree(state);
    assert_int_equal(find(state, "[{\"from\":\"dist\",\"to\":\"/app\"}]", &files, NULL), 0);
    assert_true(image_files_has_executable(&files, "/app/run"));
    assert_true(image_files_has_executable(&files, "/app/link"));
    assert_false(image_files_has_executable(&files, "/app/data"));
    assert_false(image_files_has_executable(&files, "/app/lib"));
    assert_false(image_files_has_executable(&files, "/app/gone"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_one_file),        scratch_test(test_directory),
        scratch_test(test_pattern),         scratch_test(test_mode),
        scratch_test(test_empty_directory), scratch_test(test_overlap),
        scratch_test(test_mistakes),        scratch_test(test_executable),
        scratch_test(test_layers),          scratch_test(test_platforms),
        scratch_test(test_refused),         scratch_test(test_capabilities),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
