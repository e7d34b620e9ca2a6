/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/archive-name.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <langinfo.h>

static void expect_parts(const char *text, size_t count, const char *first, const char *last)
{
    _cleanup_(archive_name_done) ArchiveName name = {0};

    assert_int_equal(archive_name_parse(text, &name, NULL), 0);
    assert_int_equal(name.count, count);
    if (count > 0) {
        assert_string_equal(name.parts[0], first);
        assert_string_equal(name.parts[count - 1], last);
    }
}

static void test_parts(void **state)
{
    expect_parts("a", 1, "a", "a");
    expect_parts("a/b/c", 3, "a", "c");
    expect_parts("./a//b/./c/", 3, "a", "c");
    expect_parts("...", 1, "...", "...");
    expect_parts("a/..b", 2, "a", "..b");
    expect_parts(".", 0, NULL, NULL);
    expect_parts("./", 0, NULL, NULL);
    expect_parts("ä/漢", 2, "ä", "漢");
}

static void expect_refused(const char *text, const char *why)
{
    _cleanup_error_ Error err = {0};
    ArchiveName name = {0};

    assert_int_equal(archive_name_parse(text, &name, &err), -EBADMSG);
    assert_null(name.text);
    if (!strstr(error_text(&err), why)) {
        fail_msg("'%s' is not in: %s", why, error_text(&err));
    }
}

static void test_refused(void **state)
{
    expect_refused("", "no name");
    expect_refused("/", "absolute");
    expect_refused("/a", "absolute");
    expect_refused("..", "'..'");
    expect_refused("a/../b", "'..'");
    expect_refused("a/..", "'..'");
    expect_refused("a/\xff", "UTF-8");
    expect_refused("\xc0\xae\xc0\xae/a", "UTF-8"); /* an overlong ".." */
}

static void test_limits(void **state)
{
    char part[ARCHIVE_NAME_PART_MAX + 2], deep[2 * ARCHIVE_DEPTH_MAX + 3],
        name[ARCHIVE_NAME_MAX + 2];

    memset(part, 'x', sizeof(part));
    part[ARCHIVE_NAME_PART_MAX] = '\0';
    expect_parts(part, 1, part, part);
    part[ARCHIVE_NAME_PART_MAX] = 'x';
    part[ARCHIVE_NAME_PART_MAX + 1] = '\0';
    expect_refused(part, "255 bytes");

    for (size_t i = 0; i <= ARCHIVE_DEPTH_MAX; i++) {
        memcpy(deep + 2 * i, "d/", 3);
    }
    expect_refused(deep, "128 directories");
    deep[2 * ARCHIVE_DEPTH_MAX] = '\0';
    expect_parts(deep, ARCHIVE_DEPTH_MAX, "d", "d");

    for (size_t i = 0; i < sizeof(name); i++) {
        name[i] = i % 200 == 199 ? '/' : 'n';
    }
    name[ARCHIVE_NAME_MAX + 1] = '\0';
    expect_refused(name, "4095 bytes");
}

static int check_link(const char *at, const char *target)
{
    _cleanup_(archive_name_done) ArchiveName name = {0};

    assert_int_equal(archive_name_parse(at, &name, NULL), 0);
    return archive_name_check_link(&name, target, NULL);
}

static void test_links(void **state)
{
    char longest[ARCHIVE_NAME_MAX + 2];

    assert_int_equal(check_link("l", "a"), 0);
    assert_int_equal(check_link("l", "a/b/c"), 0);
    assert_int_equal(check_link("l", "."), 0);
    assert_int_equal(check_link("l", "./a//b"), 0);
    assert_int_equal(check_link("d/l", ".."), 0);
    assert_int_equal(check_link("d/l", "../a"), 0);
    assert_int_equal(check_link("d/e/l", "./../.././a"), 0);
    assert_int_equal(check_link("d/l", "..a/...b"), 0);

    assert_int_equal(check_link("l", ""), -EBADMSG);
    assert_int_equal(check_link("l", "/"), -EBADMSG);
    assert_int_equal(check_link("l", "/etc/passwd"), -EBADMSG);
    assert_int_equal(check_link("l", ".."), -EBADMSG);
    assert_int_equal(check_link("d/l", "../.."), -EBADMSG);
    assert_int_equal(check_link("l", "\xff"), -EBADMSG);
    /* Harmless by its words; but if "a" is a link to ".", it leads out. */
    assert_int_equal(check_link("d/l", "a/.."), -EBADMSG);
    assert_int_equal(check_link("d/l", "../a/../b"), -EBADMSG);

    memset(longest, 'x', sizeof(longest) - 1);
    longest[ARCHIVE_NAME_MAX + 1] = '\0';
    assert_int_equal(check_link("l", longest), -EBADMSG);
    longest[ARCHIVE_NAME_MAX] = '\0';
    assert_int_equal(check_link("l", longest), 0);
}

static void test_locale(void **state)
{
    locale_t own = archive_locale_new(ARCHIVE_LOCALE_WRITE);

    assert_true(own != (locale_t)0);
    assert_string_not_equal(nl_langinfo(CODESET), "UTF-8");
    {
        _cleanup_archive_locale_ _unused_ locale_t before = archive_locale_enter(own);

        assert_string_equal(nl_langinfo(CODESET), "UTF-8");
    }
    assert_string_not_equal(nl_langinfo(CODESET), "UTF-8");
    archive_locale_free(own);

    /* Where there is none, nothing is entered. */
    archive_locale_free((locale_t)0);
    assert_true(archive_locale_enter((locale_t)0) == (locale_t)0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts), cmocka_unit_test(test_refused), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_links), cmocka_unit_test(test_locale),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
