/* SPDX-License-Identifier: MIT */
#include "agent/package/deb/deb-control.h"

#include "tests/unit/deb/deb-recipe.h"

#include <errno.h>

static int format(const char *recipe, Buffer *text, Error *err)
{
    _cleanup_json_ Json *deb = json_of(recipe);

    return deb_control_format(
        &(DebControl){.deb = deb, .name = "greeter", .version = "1.2-1", .installed_kib = 42}, text,
        err);
}

static void test_all_fields(void **state)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};

    if (format("{\"architecture\":\"amd64\",\"maintainer\":\"T <t@x>\",\"depends\":[\"a\",\"b (>= "
               "1) | c\"],"
               "\"preDepends\":[\"p\"],\"provides\":[\"q\"],\"conflicts\":[\"r\"],\"homepage\":"
               "\"https://x\","
               "\"section\":\"net\",\"priority\":\"extra\",\"description\":\"short\\nlong\\n\\n  "
               "as is\\n\\n\"}",
               &text, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_string_equal(
        buffer_text(&text),
        "Package: greeter\nVersion: 1.2-1\nArchitecture: amd64\nMaintainer: T <t@x>\n"
        "Installed-Size: 42\nPre-Depends: p\nDepends: a, b (>= 1) | c\nConflicts: r\n"
        "Provides: q\nSection: net\nPriority: extra\nHomepage: https://x\n"
        "Description: short\n long\n .\n   as is\n");
}

static void test_defaults(void **state)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

    assert_int_equal(format("{\"maintainer\":\"T <t@x>\",\"description\":\"s\"}", &text, NULL), 0);
    assert_non_null(strstr(buffer_text(&text), "Section: misc\nPriority: optional\n"));
    assert_non_null(strstr(buffer_text(&text), "Architecture: "));
    assert_null(strstr(buffer_text(&text), "Homepage"));
}

static void test_refused(void **state)
{
    static const struct {
        const char *recipe, *complaint;
    } rows[] = {
        {"{\"maintainer\":\"T <t@x>\",\"description\":\"\\nlate\"}",
         "/package/deb/description: has no"},
        {"{\"maintainer\":\"T <t@x>\",\"description\":\" \\n\"}",
         "/package/deb/description: has no"},
        {"{\"maintainer\":\"T <t@x>\",\"description\":\"a\\tb\"}", "control character (0x09)"},
        {"{\"maintainer\":\"T\\nX: y\",\"description\":\"a\"}", "/package/deb/maintainer: has a"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
        _cleanup_error_ Error err = {0};

        assert_int_equal(format(rows[i].recipe, &text, &err), -EINVAL);
        EXPECT_COMPLAINT(&err, rows[i].complaint);
    }
}

static void test_name(void **state)
{
    _cleanup_json_ Json *none = json_of("{}"), *own = json_of("{\"name\":\"other\"}");
    static const char *const bad[] = {"Greeter", "g", "-greeter", "gree_ter", ""};

    assert_string_equal(deb_control_name(none, "greeter2.0+x", NULL), "greeter2.0+x");
    assert_string_equal(deb_control_name(own, "Greeter", NULL), "other");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_error_ Error err = {0};

        assert_null(deb_control_name(none, bad[i], &err));
        EXPECT_COMPLAINT(&err, "/package/deb/name: is missing");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_fields),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
