/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/yum-metadata.h"

#include "protocol/base/buffer.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

#define SHA "d938116c4e2ad43a733e28f145781a0b114a3dfd30b8bb198c6d3ab354ca282e"

#define DATA(type, location, sha)                                          \
    "<data type=\"" type "\"><checksum type=\"sha256\">" sha "</checksum>" \
    "<open-checksum type=\"sha256\">0</open-checksum><location href=\"" location "\"/></data>"
#define REPOMD(data) \
    "<?xml version=\"1.0\"?>\n<repomd xmlns=\"x\">\n<revision>1</revision>\n" data "</repomd>"

#define PACKAGE(name, epoch, version, location)                                                 \
    "<package type=\"rpm\"><name>" name "</name><arch>noarch</arch>"                            \
    "<version epoch=\"" epoch "\" ver=\"" version "\" rel=\"1\"/>"                              \
    "<checksum type=\"sha256\" pkgid=\"YES\">" SHA "</checksum><summary>&lt;name&gt;</summary>" \
    "<location href=\"" location "\"/><format><rpm:license>L</rpm:license><rpm:provides>"       \
    "<rpm:entry name=\"other\"/></rpm:provides></format></package>"
#define PRIMARY(packages) \
    "<metadata xmlns=\"x\" xmlns:rpm=\"y\" packages=\"1\">" packages "</metadata>"

static void test_index(void **state)
{
    static const char text[] = REPOMD(DATA("primary", "repodata/a.xml.gz",
                                           SHA) "<tags/>" DATA("other", "repodata/b.xml.gz", SHA));
    _cleanup_yum_index_ YumIndex index = {0};
    _cleanup_error_ Error err = {0};

    if (yum_index_parse(text, strlen(text), &index, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_int_equal(index.count, 2);
    assert_string_equal(yum_index_find(&index, "other")->location, "repodata/b.xml.gz");
    assert_string_equal(yum_index_find(&index, "primary")->sha256, SHA);
    assert_null(yum_index_find(&index, "filelists"));
}

static void test_index_mistakes(void **state)
{
    static const struct {
        const char *text, *mistake;
    } rows[] = {
        {"", "no element found"},
        {"<html/>", "line 1: it does not begin"},
        {REPOMD("<data>"), "line 4: <data> has no type"},
        {REPOMD(DATA("a", "../a", SHA)), "not below the repository"},
        {REPOMD(DATA("a", "/a", SHA)), "not below the repository"},
        {REPOMD(DATA("a", "a/../../b", SHA)), "not below the repository"},
        {REPOMD(DATA("a", "a//b", SHA)), "not below the repository"},
        {REPOMD(DATA("a", "a&#10;b", SHA)), "not below the repository"},
        {REPOMD(DATA("a", "", SHA)), "not below the repository"},
        {REPOMD(DATA("a", "a", "abc")), "no SHA-256"},
        {REPOMD("<data type=\"a\"><location href=\"a\"/></data>"), "no location or no checksum"},
        {REPOMD("<data type=\"a\"><checksum type=\"md5\">1</checksum></data>"),
         "not of type sha256"},
        {REPOMD(DATA("a", "a", SHA)) "x", "junk after"},
        {"<!DOCTYPE repomd [<!ENTITY a \"b\">]><repomd/>", "DOCTYPE"},
        {"<repomd><data type=\"a\">", "line 1: no element found"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        YumIndex index = {0};

        assert_int_equal(yum_index_parse(rows[i].text, strlen(rows[i].text), &index, &err),
                         -EBADMSG);
        assert_null(index.list);
        if (!strstr(error_text(&err), rows[i].mistake)) {
            fail_msg("'%s' is not in: %s", rows[i].mistake, error_text(&err));
        }
    }
}

static void test_packages(void **state)
{
    static const char text[] = PRIMARY(PACKAGE("a", "0", "1", "Packages/a.rpm")
                                           PACKAGE("b&amp;c", "2", "1.0~rc1", "b &amp;.rpm"));
    _cleanup_yum_packages_ YumPackages packages = {0};
    _cleanup_error_ Error err = {0};

    if (yum_packages_parse(text, strlen(text), &packages, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_int_equal(packages.count, 2);
    assert_string_equal(packages.list[0].name, "a");
    assert_string_equal(packages.list[0].arch, "noarch");
    assert_string_equal(packages.list[0].sha256, SHA);
    assert_string_equal(packages.list[1].name, "b&c");
    assert_string_equal(packages.list[1].epoch, "2");
    assert_string_equal(packages.list[1].version, "1.0~rc1");
    assert_string_equal(packages.list[1].release, "1");
    assert_string_equal(packages.list[1].location, "b &.rpm");
    assert_true(yum_package_compare(&packages.list[0], &packages.list[1]) < 0);
    assert_true(yum_package_compare(&packages.list[1], &packages.list[0]) > 0);
    assert_int_equal(yum_package_compare(&packages.list[1], &packages.list[1]), 0);
}

static void test_packages_mistakes(void **state)
{
    static const char *const rows[] = {
        PRIMARY(PACKAGE("", "0", "1", "a")),
        PRIMARY(PACKAGE("a", "0", "", "a")),
        PRIMARY(PACKAGE("a", "0", "1", "../a")),
        PRIMARY("<package type=\"deb\"></package>"),
        PRIMARY("<package type=\"rpm\"><name>a</name></package>"),
        PRIMARY(
            "<package type=\"rpm\"><format><a><b><c><d><e><f><g><h><i><j><k><l><m><n></package>"),
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        YumPackages packages = {0};

        assert_int_equal(yum_packages_parse(rows[i], strlen(rows[i]), &packages, &err), -EBADMSG);
        assert_null(packages.list);
        assert_non_null(strstr(error_text(&err), "line 1: "));
    }
}

/* At the limits, and one beyond. */
static void test_limits(void **state)
{
    for (size_t extra = 0; extra < 2; extra++) {
        _cleanup_buffer_ Buffer text = {0}, name = {0};
        _cleanup_yum_index_ YumIndex index = {0};
        _cleanup_yum_packages_ YumPackages packages = {0};

        assert_int_equal(buffer_append_text(&text, "<repomd>"), 0);
        for (size_t i = 0; i < YUM_DATA_MAX + extra; i++) {
            assert_int_equal(buffer_append_text(&text, DATA("a", "a", SHA)), 0);
        }
        assert_int_equal(buffer_append_text(&text, "</repomd>"), 0);
        assert_int_equal(yum_index_parse(text.data, text.len, &index, NULL), extra ? -E2BIG : 0);

        for (size_t i = 0; i < YUM_TEXT_MAX + extra; i++) {
            assert_int_equal(buffer_append_text(&name, "n"), 0);
        }
        buffer_clear(&text);
        assert_int_equal(
            buffer_append_format(&text, PRIMARY(PACKAGE("%s", "0", "1", "a")), buffer_text(&name)),
            0);
        assert_int_equal(yum_packages_parse(text.data, text.len, &packages, NULL),
                         extra ? -EBADMSG : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index),    cmocka_unit_test(test_index_mistakes),
        cmocka_unit_test(test_packages), cmocka_unit_test(test_packages_mistakes),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
