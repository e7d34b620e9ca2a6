/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/host-pattern.h"

#include "tests/unit/cmocka.h"

#include <string.h>

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern;
        const char *name;
        bool is_match;
    } rows[] = {
        {"host", "host", true},
        {"host", "hosts", false},
        {"hosts", "host", false},
        {"HOST.example", "host.Example", true},
        {"*", "", true},
        {"", "", true},
        {"", "a", false},
        {"*", "anything", true},
        {"*.example.com", "a.b.example.com", true},
        {"*.example.com", "example.com", false},
        {"web?", "web1", true},
        {"web?", "web", false},
        {"web?", "web12", false},
        {"a*b*c", "a-b-b-c", true},
        {"a*b*c", "a-b-b", false},
        {"*a*a*a*", "aa", false},
        {"**", "x", true},
        {"10.0.*.?", "10.0.12.3", true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (host_pattern_matches(rows[i].pattern, rows[i].name) != rows[i].is_match) {
            fail_msg("'%s' and '%s'", rows[i].pattern, rows[i].name);
        }
    }
}

/* One that tried every way to share the name among the stars would not come to an end. */
static void test_many_stars_are_no_trap(void **state)
{
    char pattern[401], name[100001];

    for (size_t i = 0; i < 400; i += 2) {
        memcpy(pattern + i, "*a", 2);
    }
    pattern[400] = '\0';
    memset(name, 'a', 100000);
    name[100000] = '\0';
    assert_true(host_pattern_matches(pattern, name));
    name[99999] = 'b';
    assert_false(host_pattern_matches(pattern, name));
}

static void test_lists(void **state)
{
    static const struct {
        const char *list;
        const char *name;
        bool is_match;
    } rows[] = {
        {"a,b", "b", true},
        {"a,b", "c", false},
        {"", "a", false},
        {",,a,,", "a", true},
        {"*.example,!bad.example", "good.example", true},
        {"*.example,!bad.example", "bad.example", false},
        {"!bad.example,*.example", "bad.example", false},
        {"!a", "b", false},
        {"ab", "a", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (host_pattern_list_matches(rows[i].list, ",", rows[i].name) != rows[i].is_match) {
            fail_msg("'%s' and '%s'", rows[i].list, rows[i].name);
        }
    }
    assert_true(host_pattern_list_matches(" a \t b ", " \t", "b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_many_stars_are_no_trap),
        cmocka_unit_test(test_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
