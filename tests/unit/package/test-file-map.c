/* SPDX-License-Identifier: MIT */
#include "agent/package/file-map.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static int find(void **state, const char *text, FileMap *ret, Error *err)
{
    _cleanup_json_ Json *files = NULL;

    assert_int_equal(json_parse(text, strlen(text), &files, NULL), 0);
    return file_map_find(SCRATCH_FD, files, "/package/x/files", ret, err);
}

static const char *const kinds[] = {
    [FILE_MAP_FILE] = "file",
    [FILE_MAP_LINK] = "link",
    [FILE_MAP_DIRECTORY] = "dir",
    [FILE_MAP_NAME] = "name",
};

/* One line for each entry: "kind mode element from > to". */
static void expect(void **state, const char *text, const char *wanted)
{
    _cleanup_file_map_ FileMap map = {0};
    _cleanup_buffer_ Buffer found = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};

    if (find(state, text, &map, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    for (size_t i = 0; i < map.count; i++) {
        const FileMapEntry *e = &map.entries[i];

        assert_int_equal(buffer_append_format(&found, "%s %o %d %s > %s\n", kinds[e->kind],
                                              (unsigned)e->mode,
                                              e->element == FILE_MAP_PARENT ? -1 : (int)e->element,
                                              e->from ? e->from : "-", e->to),
                         0);
    }
    assert_string_equal(buffer_text(&found), wanted);
}

static void make_tree(void **state)
{
    scratch_write(SCRATCH_FD, "dist/run", "x", 1, 0700);
    scratch_write(SCRATCH_FD, "dist/etc/a.conf", "x", 1, 0600);
    scratch_write(SCRATCH_FD, "dist/etc/d/b.conf", "x", 1, 0644);
    assert_int_equal(symlinkat("run", SCRATCH_FD, "dist/link"), 0);
}

/* What lies at `to` and below belongs to the element; what leads there, to nobody. */
static void test_whose_directories(void **state)
{
    make_tree(state);
    expect(state, "[{\"from\":\"dist/run\",\"to\":\"/opt/x/run\"}]",
           "dir 755 -1 - > opt\ndir 755 -1 - > opt/x\nfile 755 0 dist/run > opt/x/run\n");
    expect(state, "[{\"from\":\"dist/etc\",\"to\":\"/etc/x/\"}]",
           "dir 755 -1 - > etc\ndir 755 0 - > etc/x\nfile 644 0 dist/etc/a.conf > etc/x/a.conf\n"
           "dir 755 0 - > etc/x/d\nfile 644 0 dist/etc/d/b.conf > etc/x/d/b.conf\n");
}

static void test_places(void **state)
{
    make_tree(state);
    expect(state,
           "[{\"dir\":true,\"to\":\"/var/lib/x\",\"mode\":\"0750\"},"
           "{\"ghost\":true,\"to\":\"/var/log/x.log\"}]",
           "dir 755 -1 - > var\ndir 755 -1 - > var/lib\ndir 750 0 - > var/lib/x\n"
           "dir 755 -1 - > var/log\nname 644 1 - > var/log/x.log\n");
}

/* So a tree can be named whole, and one file of it again with what is special about it. */
static void test_later_element_wins(void **state)
{
    make_tree(state);
    expect(state,
           "[{\"from\":\"dist/etc\",\"to\":\"/etc\"},"
           "{\"from\":\"dist/etc/a.conf\",\"to\":\"/etc/a.conf\",\"mode\":\"0600\"},"
           "{\"dir\":true,\"to\":\"/etc/d\",\"mode\":\"0700\"}]",
           "dir 755 0 - > etc\nfile 600 1 dist/etc/a.conf > etc/a.conf\ndir 700 2 - > etc/d\n"
           "file 644 0 dist/etc/d/b.conf > etc/d/b.conf\n");
}

static void test_setuid_has_to_be_meant(void **state)
{
    make_tree(state);
    assert_int_equal(fchmodat(SCRATCH_FD, "dist/run", 04755, 0), 0);
    expect(state, "[{\"from\":\"dist/run\",\"to\":\"/x\",\"mode\":\"4711\"}]",
           "file 4711 0 dist/run > x\n");
    expect(state, "[{\"from\":\"dist/run\",\"to\":\"/x\",\"mode\":\"0755\"}]",
           "file 755 0 dist/run > x\n");
}

static void test_get(void **state)
{
    _cleanup_file_map_ FileMap map = {0}, empty = {0};

    make_tree(state);
    assert_int_equal(find(state, "[{\"from\":\"dist\",\"to\":\"/a\"}]", &map, NULL), 0);
    assert_string_equal(file_map_get(&map, "/a/run")->from, "dist/run");
    assert_string_equal(file_map_get(&map, "a/run")->from, "dist/run");
    assert_int_equal(file_map_get(&map, "/a")->kind, FILE_MAP_DIRECTORY);
    assert_null(file_map_get(&map, "/a/ru"));
    assert_null(file_map_get(&empty, "/a"));
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *files;
        int code;
        const char *mistake;
    } rows[] = {
        {"[{\"from\":\"gone\",\"to\":\"/a\"}]", -ENOENT, "/package/x/files/0: 'gone' matches"},
        {"[{\"from\":\"special/pipe\",\"to\":\"/a\"}]", -EINVAL, "'special/pipe' is a named pipe"},
        {"[{\"from\":\"special\",\"to\":\"/a\"}]", -EINVAL, "'special/pipe' is a named pipe"},
        {"[{\"from\":\"setuid\",\"to\":\"/a\"}]", -EINVAL, "'setuid' is setuid"},
        {"[{\"from\":\"setgid\",\"to\":\"/a\"}]", -EINVAL, "'setgid' is setuid, setgid"},
        {"[{\"dir\":true,\"to\":\"/\"}]", -EINVAL, "'/' belongs to no package"},
        {"[{\"from\":\"dist/run\",\"to\":\"/a\"},{\"from\":\"dist/link\",\"to\":\"/a\"}]", -EEXIST,
         "/package/x/files/1: '/a' would be 'dist/run' and 'dist/link'"},
        {"[{\"from\":\"dist/run\",\"to\":\"/a\"},{\"from\":\"dist/etc\",\"to\":\"/a\"}]", -EEXIST,
         "'/a' would be 'dist/run' and a directory"},
        {"[{\"from\":\"dist/etc\",\"to\":\"/a\"},{\"ghost\":true,\"to\":\"/a/a.conf\"}]", -EEXIST,
         "would be"},
    };

    make_tree(state);
    scratch_write(SCRATCH_FD, "setuid", "x", 1, 04755);
    scratch_write(SCRATCH_FD, "setgid", "x", 1, 02755);
    assert_int_equal(mkdirat(SCRATCH_FD, "special", 0755), 0);
    assert_int_equal(mkfifoat(SCRATCH_FD, "special/pipe", 0600), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        FileMap map = {0};

        assert_int_equal(find(state, rows[i].files, &map, &err), rows[i].code);
        assert_null(map.entries);
        if (!strstr(error_text(&err), rows[i].mistake)) {
            fail_msg("'%s' is not in: %s", rows[i].mistake, error_text(&err));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_whose_directories),
        scratch_test(test_places),
        scratch_test(test_later_element_wins),
        scratch_test(test_setuid_has_to_be_meant),
        scratch_test(test_get),
        scratch_test(test_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
