/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-relation.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

static void test_texts(void **state)
{
    static const struct {
        const char *text, *name, *version;
        uint32_t sense;
    } rows[] = {
        {"foo", "foo", "", 0},
        {"foo >= 1.2-3", "foo", "1.2-3", RPM_SENSE_GREATER | RPM_SENSE_EQUAL},
        {"foo  <  2:4~rc1", "foo", "2:4~rc1", RPM_SENSE_LESS},
        {"foo <= 1", "foo", "1", RPM_SENSE_LESS | RPM_SENSE_EQUAL},
        {"foo > 1", "foo", "1", RPM_SENSE_GREATER},
        {"perl(Foo::Bar) = 1^2", "perl(Foo::Bar)", "1^2", RPM_SENSE_EQUAL},
        {"libc.so.6(GLIBC_2.34)(64bit)", "libc.so.6(GLIBC_2.34)(64bit)", "", 0},
        {"/bin/sh", "/bin/sh", "", 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_rpm_relations_ RpmRelations relations = {0};
        _cleanup_error_ Error err = {0};

        if (rpm_relations_add_text(&relations, rows[i].text, 0, &err) < 0) {
            fail_msg("%s", error_text(&err));
        }
        assert_string_equal(relations.list[0].name, rows[i].name);
        assert_string_equal(relations.list[0].version, rows[i].version);
        assert_int_equal(relations.list[0].sense, rows[i].sense);
    }
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *text, *mistake;
    } rows[] = {
        {"", "name of a package"},
        {">= 1", "name of a package"},
        {"a,b", "name of a package"},
        {"foo>=1", "name of a package"},
        {"foo 1", "NAME OP VERSION"},
        {"foo == 1", "NAME OP VERSION"},
        {"foo >=", "version"},
        {"foo >= 1 or bar", "version"},
        {"foo >= 1-2-3", "version"},
        {"foo >= -1", "version"},
        {"foo >= 1-", "version"},
        {"foo >= a:1", "version"},
        {"(foo or bar)", "rich dependency"},
        {"foo\n", "name of a package"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_rpm_relations_ RpmRelations relations = {0};
        _cleanup_error_ Error err = {0};

        assert_int_equal(rpm_relations_add_text(&relations, rows[i].text, 0, &err), -EINVAL);
        assert_int_equal(relations.count, 0);
        if (!strstr(error_text(&err), rows[i].mistake)) {
            fail_msg("'%s' is not in: %s", rows[i].mistake, error_text(&err));
        }
    }
}

static void test_json(void **state)
{
    static const char text[] =
        "[\"a\",{\"relation\":\"b >= 1\",\"when\":[\"pre\",\"postun\"]},{\"relation\":\"c d\"}]";
    _cleanup_rpm_relations_ RpmRelations relations = {0};
    _cleanup_error_ Error err = {0};
    _cleanup_json_ Json *array = NULL;

    assert_int_equal(json_parse(text, strlen(text), &array, NULL), 0);
    assert_int_equal(rpm_relations_add_json(&relations, array, "/x", &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "/x/2/relation: 'c d'"));
    assert_int_equal(relations.count, 2);
    assert_int_equal(relations.list[1].sense,
                     RPM_SENSE_PRE | RPM_SENSE_POSTUN | RPM_SENSE_GREATER | RPM_SENSE_EQUAL);
}

/* Sorted, each once, whatever the order in which they came. */
static void test_write(void **state)
{
    _cleanup_buffer_ Buffer one = {0}, other = {0};

    for (int i = 0; i < 2; i++) {
        static const char *const names[] = {"b", "a", "b", "c"};
        _cleanup_rpm_relations_ RpmRelations relations = {0};
        _cleanup_rpm_header_ RpmHeader header = {0};

        for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
            assert_int_equal(
                rpm_relations_add(&relations, names[i ? ARRAY_SIZE(names) - 1 - k : k], 0, ""), 0);
        }
        assert_int_equal(rpm_relations_add_feature(&relations, "X", "1-1"), 0);
        assert_int_equal(rpm_relations_write(&relations, RPM_REQUIRES, &header), 0);
        assert_int_equal(rpm_header_format(&header, RPM_REGION, i ? &one : &other), 0);
    }
    assert_int_equal(one.len, other.len);
    assert_memory_equal(one.data, other.data, one.len);
    assert_non_null(memmem(one.data, one.len, "a\0b\0c\0rpmlib(X)", 16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
