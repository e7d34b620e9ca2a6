/* SPDX-License-Identifier: MIT */
/* What the scripts do when a shell runs them is tested in tests/integration/test-deb.py. */
#include "agent/package/deb/deb-scripts.h"

#include "tests/unit/deb/deb-recipe.h"

#include <errno.h>

#define UNIT "\"units\":[{\"from\":\"d/x.service\"}]"

static char *make(void **state, DebScriptKind kind, const char *recipe, Error *err)
{
    _cleanup_json_ Json *deb = json_of(recipe);
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

    return deb_script_make(kind, SCRATCH_FD, deb, &text, err) < 0 ? NULL : buffer_take_text(&text);
}

static void test_nothing(void **state)
{
    for (DebScriptKind kind = DEB_PREINST; kind < _DEB_SCRIPT_KIND_MAX; kind++) {
        _cleanup_free_ char *text = make(state, kind, "{}", NULL);
        _cleanup_free_ char *template =
            make(state, kind, "{\"units\":[{\"from\":\"x@.service\"}]}", NULL);

        assert_string_equal(text, "");
        assert_string_equal(template, "");
    }
}

static void test_units(void **state)
{
    static const char recipe[] =
        "{\"units\":[{\"from\":\"d/a.service\"},{\"from\":\"b.timer\",\"restart\":false},"
        "{\"from\":\"c.service\",\"enable\":false,\"start\":false},{\"from\":\"t@.service\"}]}";
    _cleanup_free_ char *preinst = make(state, DEB_PREINST, recipe, NULL);
    _cleanup_free_ char *postinst = make(state, DEB_POSTINST, recipe, NULL);
    _cleanup_free_ char *prerm = make(state, DEB_PRERM, recipe, NULL);
    _cleanup_free_ char *postrm = make(state, DEB_POSTRM, recipe, NULL);

    assert_string_equal(preinst, "");
    assert_memory_equal(postinst, "#!/bin/sh\nset -e\n", 17);
    assert_non_null(strstr(postinst, "for unit in 'a.service' 'b.timer'; do"));
    assert_non_null(strstr(postinst, "for unit in 'c.service'; do"));
    assert_non_null(strstr(postinst, "deb-systemd-invoke $unit_action 'a.service' >"));
    assert_non_null(strstr(postinst, "deb-systemd-invoke start 'b.timer' >"));
    assert_null(strstr(postinst, "t@"));
    assert_non_null(strstr(prerm, "deb-systemd-invoke stop 'a.service' 'b.timer' >"));
    assert_non_null(strstr(postrm, "deb-systemd-helper purge 'a.service' 'b.timer' 'c.service' >"));
}

static void test_own_script(void **state)
{
    _cleanup_free_ char *alone = NULL, *around = NULL, *before = NULL, *token = NULL;

    scratch_write_text(SCRATCH_FD, "p", "#!/bin/sh -e\necho own\nexit 0");
    scratch_write_text(SCRATCH_FD, "t", "#!/usr/bin/perl\nBEGIN\n  #DEBHELPER#\nEND\n");
    alone = make(state, DEB_POSTINST, "{\"scripts\":{\"postinst\":\"p\"}}", NULL);
    assert_string_equal(alone, "#!/bin/sh -e\necho own\nexit 0\n");
    around = make(state, DEB_POSTINST, "{\"scripts\":{\"postinst\":\"p\"}," UNIT "}", NULL);
    assert_non_null(strstr(around, "#!/bin/sh -e\nset -e\n# p of the repository\n(\necho own\nexit "
                                   "0\n)\ncase "));
    before = make(state, DEB_PRERM, "{\"scripts\":{\"prerm\":\"p\"}," UNIT "}", NULL);
    assert_true(strstr(before, "deb-systemd-invoke stop") < strstr(before, "echo own"));
    token = make(state, DEB_PRERM, "{\"scripts\":{\"prerm\":\"t\"}," UNIT "}", NULL);
    assert_non_null(strstr(token, "#!/usr/bin/perl\nBEGIN\nif [ \"$1\" = remove ]"));
    assert_non_null(strstr(token, "fi\nEND\n"));
}

static void test_refused(void **state)
{
    static const struct {
        const char *content, *complaint;
        int r;
    } rows[] = {
        {"echo\n", "/package/deb/scripts/postinst: 's' does not begin with #!", -EINVAL},
        {"", "/package/deb/scripts/postinst: 's' does not begin with #!", -EINVAL},
        {"#!/bin/sh\r\nx\r\n", "carriage return", -EINVAL},
        {"#!/usr/bin/perl\n", "is no script of a shell", -EINVAL},
        {NULL, "/package/deb/scripts/postinst: ", -ENOENT},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};

        if (rows[i].content) {
            scratch_write_text(SCRATCH_FD, "s", rows[i].content);
        } else {
            assert_int_equal(unlinkat(SCRATCH_FD, "s", 0), 0);
        }
        assert_null(make(state, DEB_POSTINST, "{\"scripts\":{\"postinst\":\"s\"}," UNIT "}", &err));
        assert_int_equal(err.code, rows[i].r);
        EXPECT_COMPLAINT(&err, rows[i].complaint);
    }
    {
        _cleanup_error_ Error err = {0};

        scratch_write(SCRATCH_FD, "s", "#!/bin/sh\n\0", 11, 0644);
        assert_null(make(state, DEB_POSTRM, "{\"scripts\":{\"postrm\":\"s\"}}", &err));
        EXPECT_COMPLAINT(&err, "is no text");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_nothing),
        scratch_test(test_units),
        scratch_test(test_own_script),
        scratch_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
