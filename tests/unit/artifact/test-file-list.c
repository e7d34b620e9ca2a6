/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/file-list.h"

#include "protocol/artifact/archive-name.h"
#include "tests/unit/scratch.h"

#include <errno.h>

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool is_match;
    } cases[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"a", "a/b/c", true}, /* a directory means all below it */
        {"a/b", "a", false},
        {"a/", "a/b", true},
        {"./a/./b", "a/b", true},
        {".", "a", true},
        {"*", "a", true},
        {"*", ".hidden", true},
        {"*", "a/b", true},
        {"*.o", "a.o", true},
        {"*.o", "a.oo", false},
        {"*.o", "d/a.o", false},
        {"a*b*c", "aXbXbc", true},
        {"a*b*c", "aXbXb", false},
        {"*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"?", "a", true},
        {"?", "ä", true}, /* one character, whatever its bytes */
        {"?", "ab", false},
        {"?", "", false},
        {"[abc]x", "bx", true},
        {"[abc]x", "dx", false},
        {"[a-c]", "b", true},
        {"[a-c]", "d", false},
        {"[ä-ö]", "ö", true},
        {"[!a-c]", "d", true},
        {"[^a-c]", "a", false},
        {"[]]", "]", true},
        {"[a-]", "-", true},
        {"[a", "[a", true}, /* no end: a bracket, as in sh */
        {"[a", "a", false},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"\\", "\\", true},
        {"**", "a/b/c", true},
        {"**", "", false},
        {"a/**", "a/b/c", true},
        {"a/**", "a", false},
        {"**/c", "c", true},
        {"**/c", "a/b/c", true},
        {"**/c", "a/b/d", false},
        {"a/**/c", "a/c", true},
        {"a/**/c", "a/x/y/c/below", true},
        {"a/**/b/**/c", "a/b/b/x/c", true},
        {"a/**/b/**/c", "a/x/c/b", false},
        {"**/a/**/a/**/a/**/a/**/b", "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", false},
        {"**x", "aax", true}, /* inside a name two stars are one */
        {"A", "a", false},
        {"!a", "a", true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (file_list_pattern_matches(cases[i].pattern, cases[i].name) != cases[i].is_match) {
            fail_msg("'%s' should %smatch '%s'", cases[i].pattern, cases[i].is_match ? "" : "not ",
                     cases[i].name);
        }
    }
}

static void make_tree(int fd)
{
    static const char *const names[] = {"dist/app",     "dist/lib/a.so", "dist/lib/b.so",
                                        "dist-2",       "src/main.c",    "src/main.o",
                                        "src/x/deep.o", ".hidden",       "dist/lib/.keep"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        scratch_write_text(fd, names[i], names[i]);
    }
    assert_int_equal(mkdirat(fd, "dist/empty", 0755), 0);
    assert_int_equal(symlinkat("..", fd, "src/up"), 0);
    assert_int_equal(mkfifoat(fd, "src/fifo", 0600), 0);
}

#define PATTERNS(...) \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

/* The names, with a blank between them. */
static void expect_list(int fd, const char *const *patterns, size_t n, const char *expected)
{
    _cleanup_(file_list_done) FileList list = {0};
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_error_ Error err = {0};

    if (file_list_match(fd, patterns, n, &list, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    for (size_t i = 0; i < list.count; i++) {
        assert_int_equal(buffer_append_format(&text, "%s%s", i ? " " : "", list.names[i]), 0);
    }
    assert_string_equal(buffer_text(&text), expected);
}

static void test_trees(void **state)
{
    make_tree(SCRATCH_FD);
    expect_list(SCRATCH_FD, PATTERNS("dist"),
                "dist/app dist/empty dist/lib/.keep dist/lib/a.so dist/lib/b.so");
    expect_list(SCRATCH_FD, PATTERNS("dist/", "dist/lib/*.so", "dist/app"),
                "dist/app dist/empty dist/lib/.keep dist/lib/a.so dist/lib/b.so");
    expect_list(SCRATCH_FD, PATTERNS("**/*.o"), "src/main.o src/x/deep.o");
    expect_list(SCRATCH_FD, PATTERNS("src", "!**/*.o"), "src/main.c src/up");
    expect_list(SCRATCH_FD, PATTERNS("!src/x", "src"), "src/main.c src/main.o src/up");
    expect_list(SCRATCH_FD, PATTERNS("dist*"),
                "dist-2 dist/app dist/empty dist/lib/.keep dist/lib/a.so dist/lib/b.so");
    expect_list(SCRATCH_FD, PATTERNS("**", "!dist", "!src"), ".hidden dist-2");
    expect_list(SCRATCH_FD, PATTERNS("dist/empty"), "dist/empty");
    expect_list(SCRATCH_FD, NULL, 0, "");
}

static void expect_failure(int fd, const char *const *patterns, size_t n, int code,
                           const char *words)
{
    _cleanup_error_ Error err = {0};
    FileList list = {0};

    assert_int_equal(file_list_match(fd, patterns, n, &list, &err), code);
    assert_null(list.names);
    if (!strstr(error_text(&err), words)) {
        fail_msg("'%s' is not in: %s", words, error_text(&err));
    }
}

/* Left out unless it matters; what is taken away, and what nobody asks for, never does. */
static void test_special_files(void **state)
{
    static const char *const with[] = {"src"}, *const without[] = {"src", "!src/fifo"};
    _cleanup_(file_list_done) FileList list = {.refuses_special = true};
    _cleanup_error_ Error err = {0};

    make_tree(SCRATCH_FD);
    assert_int_equal(file_list_match(SCRATCH_FD, with, 1, &list, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "'src/fifo' is a named pipe"));
    assert_int_equal(file_list_match(SCRATCH_FD, without, 2, &list, NULL), 0);
}

static void test_mistakes(void **state)
{
    make_tree(SCRATCH_FD);
    expect_failure(SCRATCH_FD, PATTERNS("dist", "build/*"), -ENOENT, "'build/*' matches nothing");
    expect_failure(SCRATCH_FD, PATTERNS("src/fifo"), -ENOENT, "'src/fifo'");
    /* Through a link nothing is found, so nothing can lead out either. */
    expect_failure(SCRATCH_FD, PATTERNS("src/up/dist/app"), -ENOENT, "'src/up/dist/app'");
    expect_failure(SCRATCH_FD, PATTERNS("/etc/passwd"), -EINVAL, "'/etc/passwd' is absolute");
    expect_failure(SCRATCH_FD, PATTERNS("!/etc"), -EINVAL, "'!/etc' is absolute");
    expect_failure(SCRATCH_FD, PATTERNS("src/../../x"), -EINVAL, "'..'");
    expect_failure(SCRATCH_FD, PATTERNS(".."), -EINVAL, "'..'");
    expect_failure(SCRATCH_FD, PATTERNS(""), -EINVAL, "names nothing");
    expect_failure(SCRATCH_FD, PATTERNS("!"), -EINVAL, "names nothing");
}

static void test_may_match_nothing(void **state)
{
    static const char *const patterns[] = {"a", "gone/**"};
    _cleanup_(file_list_done) FileList list = {.may_match_nothing = true};

    scratch_write_text(SCRATCH_FD, "a", "");
    assert_int_equal(file_list_match(SCRATCH_FD, patterns, 2, &list, NULL), 0);
    assert_int_equal(list.count, 1);
}

static void test_limit(void **state)
{
    static const char *const all[] = {"**"};
    _cleanup_(file_list_done) FileList enough = {.limit = 3}, list = {.limit = 2};
    _cleanup_error_ Error err = {0};

    scratch_write_text(SCRATCH_FD, "a", "");
    scratch_write_text(SCRATCH_FD, "b", "");
    scratch_write_text(SCRATCH_FD, "c", "");
    assert_int_equal(file_list_match(SCRATCH_FD, all, 1, &enough, &err), 0);
    assert_int_equal(enough.count, 3);
    assert_int_equal(file_list_match(SCRATCH_FD, all, 1, &list, &err), -E2BIG);
    assert_non_null(strstr(error_text(&err), "more than 2 files"));
}

static void test_depth(void **state)
{
    char name[2 * ARCHIVE_DEPTH_MAX + 8] = "";

    for (size_t i = 0; i <= ARCHIVE_DEPTH_MAX; i++) {
        (void)strcat(name, "d/");
    }
    (void)strcat(name, "f");
    scratch_write_text(SCRATCH_FD, name, "");
    expect_failure(SCRATCH_FD, PATTERNS("**"), -EINVAL, "128 directories deep");
    /* Not where nothing is looked for. */
    scratch_write_text(SCRATCH_FD, "e", "");
    expect_list(SCRATCH_FD, PATTERNS("e"), "e");
}

static void test_unreadable(void **state)
{
    bool is_root = geteuid() == 0;

    if (is_root) { /* who may read everything; somebody else tries, in a directory of his */
        assert_int_equal(fchown(SCRATCH_FD, 65534, (gid_t)-1), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    scratch_write_text(SCRATCH_FD, "closed/f", "");
    scratch_write_text(SCRATCH_FD, "open/f", "");
    assert_int_equal(fchmodat(SCRATCH_FD, "closed", 0, 0), 0);
    expect_failure(SCRATCH_FD, PATTERNS("**/f"), -EACCES, "'closed'");
    expect_list(SCRATCH_FD, PATTERNS("open"), "open/f");
    if (is_root) {
        assert_int_equal(seteuid(0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        scratch_test(test_trees),
        scratch_test(test_special_files),
        scratch_test(test_mistakes),
        scratch_test(test_may_match_nothing),
        scratch_test(test_limit),
        scratch_test(test_depth),
        scratch_test(test_unreadable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
