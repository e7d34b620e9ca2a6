/* SPDX-License-Identifier: MIT */
#include "agent/package/image-files.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static int find(void **state, const char *text, ImageFiles *ret, Error *err)
{
    _cleanup_json_ Json *files = NULL;

    assert_int_equal(json_parse(text, strlen(text), &files, NULL), 0);
    return image_files_find(SCRATCH_FD, files, ret, err);
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
        const OciEntry *e = &files.entries[i];

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
        scratch_test(test_one_file), scratch_test(test_directory),       scratch_test(test_pattern),
        scratch_test(test_mode),     scratch_test(test_empty_directory), scratch_test(test_overlap),
        scratch_test(test_mistakes), scratch_test(test_executable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
