/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/packages-index.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define STANZA(name, version, arch)                                                             \
    "Package: " name "\nVersion: " version "\nArchitecture: " arch "\nDescription: x\n y\n .\n" \
    "Filename: pool/" name "_" version ".deb\nSize: 1\nSHA256: abc\n\n"

static void test_parse(void **state)
{
    static const char text[] =
        STANZA("a", "1", "amd64") STANZA("b", "1", "all") STANZA("a", "2", "amd64");
    _cleanup_packages_index_ PackagesIndex index = {0};
    const PackagesStanza *found;

    assert_int_equal(packages_index_parse(text, strlen(text), &index, NULL), 0);
    assert_int_equal(index.count, 3);
    found = packages_index_find(&index, "a", "2", "amd64");
    assert_ptr_equal(found, &index.stanzas[2]);
    assert_string_equal(found->filename, "pool/a_2.deb");
    assert_string_equal(found->sha256, "abc");
    assert_int_equal(found->start + found->len, strlen(text));
    assert_memory_equal(text + found->start, "Package: a\nVersion: 2", 21);
    assert_null(packages_index_find(&index, "a", "2", "all"));
    assert_null(packages_index_find(&index, "a", "3", "amd64"));
}

static void test_empty(void **state)
{
    _cleanup_packages_index_ PackagesIndex index = {0};

    assert_int_equal(packages_index_parse("", 0, &index, NULL), 0);
    assert_int_equal(index.count, 0);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *complaint;
    } rows[] = {
        {"Package: a", "ends in the middle"},
        {"Package: a\n\n", "line 2: the stanza that ends here has no Version"},
        {"\n", "line 1: is empty"},
        {STANZA("a", "1", "all") "\n", "is empty where a stanza should begin"},
        {" x\n", "line 1: continues"},
        {"Package: a\nnonsense\n", "line 2: is no field"},
        {"Package: a\nPackage: b\n", "line 2: says a field a second time"},
        {"Package:  \n", "line 1: is a field without value"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_packages_index_ PackagesIndex index = {0};
        _cleanup_error_ Error err = {0};

        assert_int_equal(packages_index_parse(rows[i].text, strlen(rows[i].text), &index, &err),
                         -EBADMSG);
        if (!strstr(error_text(&err), rows[i].complaint)) {
            fail_msg("%s", error_text(&err));
        }
        assert_int_equal(index.count, 0);
    }
}

static void test_choose(void **state)
{
    static const char text[] = STANZA("a", "1.10", "all") STANZA("a", "1.9", "all")
        STANZA("b", "1", "all") STANZA("a", "1.2", "all") STANZA("a", "1.10~rc1", "all");
    _cleanup_packages_index_ PackagesIndex index = {0};
    bool is_dropped[5] = {0};

    assert_int_equal(packages_index_parse(text, strlen(text), &index, NULL), 0);
    packages_index_choose(&index, "a", 0, is_dropped);
    assert_false(is_dropped[0] || is_dropped[1] || is_dropped[3]);
    packages_index_choose(&index, "a", 2, is_dropped);
    assert_false(is_dropped[0]);
    assert_true(is_dropped[1]);
    assert_false(is_dropped[2]);
    assert_true(is_dropped[3]);
    assert_false(is_dropped[4]);
}

static void test_append(void **state)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_packages_index_ PackagesIndex index = {0};

    assert_int_equal(packages_index_append(&text, "Package: a\nVersion: 1\nArchitecture: all\n",
                                           "pool/x", 7, "abc"),
                     0);
    assert_string_equal(buffer_text(&text), "Package: a\nVersion: 1\nArchitecture: all\nFilename: "
                                            "pool/x\nSize: 7\nSHA256: abc\n\n");
    assert_int_equal(packages_index_parse(text.data, text.len, &index, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),   cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_choose),
        cmocka_unit_test(test_append),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
