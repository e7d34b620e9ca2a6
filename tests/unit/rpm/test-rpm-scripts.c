/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-scripts.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static int read_scripts(void **state, const char *scripts_text, const char *units_text,
                        RpmScripts *ret, Error *err)
{
    _cleanup_json_ Json *scripts = NULL, *units = NULL;

    assert_int_equal(json_parse(scripts_text, strlen(scripts_text), &scripts, NULL), 0);
    assert_int_equal(json_parse(units_text, strlen(units_text), &units, NULL), 0);
    return rpm_scripts_read(SCRATCH_FD, scripts, units, ret, err);
}

static void test_programs(void **state)
{
    static const struct {
        const char *file, *text, *program, *argument;
    } rows[] = {
        {"a.sh", "echo", "/bin/sh", NULL},
        {"b.sh", "#!/bin/sh\necho\n", "/bin/sh", NULL},
        {"c.sh", "#! /bin/bash -eu\necho\n", "/bin/bash", "-eu"},
        {"d.py", "#!/usr/bin/env python3 -I \nprint()\n", "/usr/bin/env", "python3 -I"},
        {"e.lua", "print('x')\n", "<lua>", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_rpm_scripts_ RpmScripts scripts = {0};
        _cleanup_error_ Error err = {0};
        char text[64];

        scratch_write_text(SCRATCH_FD, rows[i].file, rows[i].text);
        (void)snprintf(text, sizeof(text), "{\"posttrans\":\"%s\"}", rows[i].file);
        if (read_scripts(state, text, "[]", &scripts, &err) < 0) {
            fail_msg("%s", error_text(&err));
        }
        assert_string_equal(scripts.list[RPM_MOMENT_POSTTRANS].program, rows[i].program);
        assert_true(scripts.list[RPM_MOMENT_POSTTRANS].argument || !rows[i].argument);
        if (rows[i].argument) {
            assert_string_equal(scripts.list[RPM_MOMENT_POSTTRANS].argument, rows[i].argument);
        }
        assert_true(strncmp(scripts.list[RPM_MOMENT_POSTTRANS].text, rows[i].text,
                            strlen(rows[i].text)) == 0);
        assert_null(scripts.list[RPM_MOMENT_POST].text);
    }
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *scripts, *units;
        int code;
        const char *mistake;
    } rows[] = {
        {"{\"pre\":\"gone\"}", "[]", -ENOENT, "/package/rpm/scripts/pre: cannot read 'gone'"},
        {"{\"postun\":\"empty\"}", "[]", -EINVAL, "/package/rpm/scripts/postun: 'empty' is empty"},
        {"{\"post\":\"binary\"}", "[]", -EINVAL, "not text in UTF-8"},
        {"{\"post\":\"relative\"}", "[]", -EINVAL, "names no program by an absolute path"},
        {"{\"post\":\"directory\"}", "[]", -EINVAL, "not a regular file"},
        {"{\"post\":\"python\"}", "[{\"from\":\"a.service\"}]", -EINVAL,
         "/package/rpm/scripts/post: it is for '/usr/bin/python3'"},
        {"{\"post\":\"large\"}", "[]", -ENOBUFS, "'large' is larger"},
    };
    char *large = calloc(1, RPM_SCRIPT_BYTES_MAX + 1);

    assert_non_null(large);
    memset(large, '#', RPM_SCRIPT_BYTES_MAX + 1);
    scratch_write(SCRATCH_FD, "large", large, RPM_SCRIPT_BYTES_MAX + 1, 0644);
    free(large);
    scratch_write_text(SCRATCH_FD, "empty", "");
    scratch_write(SCRATCH_FD, "binary", "a\0b", 3, 0644);
    scratch_write_text(SCRATCH_FD, "relative", "#!sh\n");
    scratch_write_text(SCRATCH_FD, "directory/x", "");
    scratch_write_text(SCRATCH_FD, "python", "#!/usr/bin/python3\n");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        RpmScripts scripts = {0};

        assert_int_equal(read_scripts(state, rows[i].scripts, rows[i].units, &scripts, &err),
                         rows[i].code);
        if (!strstr(error_text(&err), rows[i].mistake)) {
            fail_msg("'%s' is not in: %s", rows[i].mistake, error_text(&err));
        }
    }
}

static int run_script(void **state, const char *text, const char *argument)
{
    char command[256];

    scratch_write_text(SCRATCH_FD, "script", text);
    (void)snprintf(command, sizeof(command), "cd %s && PATH=%s:/usr/bin:/bin sh script %s",
                   SCRATCH_PATH, SCRATCH_PATH, argument);
    return WEXITSTATUS(system(command));
}

/* Whatever the repository's own script does: `exit 0` leaves nothing out, and a failure is one. */
static void test_units_and_own_script(void **state)
{
    static const struct {
        const char *own;
        int status;
        bool goes_on;
    } rows[] = {
        {"exit 0", 0, true},
        {"exit 3", 3, false},
        {"set -e\nfalse\nexit 0", 1, false},
        {"cat <<X\na\nX\n# )", 0, true},
        {"true", 0, true},
    };

    scratch_write(SCRATCH_FD, "systemctl", "#!/bin/sh\necho \"$@\" >> log\n", 27, 0755);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_rpm_scripts_ RpmScripts scripts = {0};

        scratch_write_text(SCRATCH_FD, "own", rows[i].own);
        scratch_write_text(SCRATCH_FD, "log", "");
        assert_int_equal(read_scripts(state, "{\"post\":\"own\"}",
                                      "[{\"from\":\"u/a.service\",\"enable\":true},"
                                      "{\"from\":\"b@.timer\"}]",
                                      &scripts, NULL),
                         0);
        assert_string_equal(scripts.list[RPM_MOMENT_POST].program, "/bin/sh");
        assert_int_equal(run_script(state, scripts.list[RPM_MOMENT_POST].text, "1 > /dev/null"),
                         rows[i].status);
        {
            _cleanup_free_ char *log = scratch_read(SCRATCH_FD, "log", NULL);

            assert_int_equal(strstr(log, "--no-reload preset b@.timer\n") != NULL, rows[i].goes_on);
            assert_int_equal(strstr(log, "--no-reload enable a.service\n") != NULL,
                             rows[i].goes_on);
        }
    }
}

/* Nothing is enabled at an upgrade, and nothing is stopped. */
static void test_units_at_upgrade(void **state)
{
    _cleanup_rpm_scripts_ RpmScripts scripts = {0};
    _cleanup_free_ char *log = NULL;

    scratch_write(SCRATCH_FD, "systemctl", "#!/bin/sh\necho \"$@\" >> log\n", 27, 0755);
    scratch_write_text(SCRATCH_FD, "log", "");
    assert_int_equal(
        read_scripts(state, "{}", "[{\"from\":\"a.service\",\"start\":true}]", &scripts, NULL), 0);
    assert_int_equal(run_script(state, scripts.list[RPM_MOMENT_POST].text, "2"), 0);
    assert_int_equal(run_script(state, scripts.list[RPM_MOMENT_PREUN].text, "1"), 0);
    log = scratch_read(SCRATCH_FD, "log", NULL);
    assert_null(strstr(log, "preset"));
    assert_null(strstr(log, "start"));
    assert_null(strstr(log, "disable"));
    assert_null(strstr(log, "stop"));
    assert_null(scripts.list[RPM_MOMENT_PRE].text);
}

static void test_unit_name(void **state)
{
    _cleanup_json_ Json *unit = NULL;

    assert_int_equal(json_parse("{\"from\":\"a/b/c.service\"}", 24, &unit, NULL), 0);
    assert_string_equal(rpm_unit_name(unit), "c.service");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_programs),
        scratch_test(test_mistakes),
        scratch_test(test_units_and_own_script),
        scratch_test(test_units_at_upgrade),
        cmocka_unit_test(test_unit_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
