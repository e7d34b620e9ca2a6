/* SPDX-License-Identifier: MIT */
#include "agent/deploy/changes.h"

#include "protocol/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FROM "1111111111111111111111111111111111111111"
#define TO "2222222222222222222222222222222222222222"
#define COMMIT(id, author, subject) \
    id "\x1f" author "\x1f"         \
       "2026-11-24\x1f" subject "\x1e\n"
#define BYTES(text)              \
    {                            \
        (text), sizeof(text) - 1 \
    }

static Json *describe(const ChangesFacts *facts)
{
    _cleanup_error_ Error err = {0};
    Json *outputs = NULL;

    assert_int_equal(changes_describe(facts, &outputs, &err), 0);
    return outputs;
}

static const char *text_of(const Json *outputs)
{
    return json_get_string(outputs, "text");
}

static void assert_says(const Json *outputs, const char *wanted)
{
    if (!strstr(text_of(outputs), wanted)) {
        fail_msg("'%s' is not in:\n%s", wanted, text_of(outputs));
    }
}

static void one_commit(void **state)
{
    const ChangesFacts facts = {
        .environment = "prod",
        .relation = CHANGES_FORWARD,
        .from_commit = FROM,
        .from_version = "1.0",
        .to_commit = TO,
        .to_version = "1.1",
        .coming = BYTES(COMMIT(TO, "Ann", "Greet in the morning")),
        .files = BYTES("3\t1\tgreeter.c\0-\t-\tlogo.png\0"),
    };
    _cleanup_json_ Json *outputs = describe(&facts);
    const Json *commit = json_at(json_get(outputs, "commits"), 0);

    assert_string_equal(text_of(outputs), "prod: 1.0 (111111111111) → 1.1 (222222222222)\n"
                                          "One commit:\n"
                                          "  2222222222  2026-11-24  Greet in the morning  (Ann)\n"
                                          "\n"
                                          "2 files changed, 3 lines added, 1 removed:\n"
                                          "  greeter.c  +3 -1\n"
                                          "  logo.png  +0 -0");
    assert_string_equal(json_get_string(outputs, "from"), FROM);
    assert_string_equal(json_get_string(outputs, "to"), TO);
    assert_string_equal(json_get_string(outputs, "relation"), "forward");
    assert_string_equal(json_get_string(commit, "commit"), TO);
    assert_string_equal(json_get_string(commit, "author"), "Ann");
    assert_string_equal(json_get_string(commit, "subject"), "Greet in the morning");
    assert_int_equal(json_get_int(outputs, "commitCount", 0), 1);
    assert_int_equal(json_get_int(outputs, "fileCount", 0), 2);
}

static void every_relation_says_what_it_is(void **state)
{
    static const struct {
        ChangesFacts facts;
        const char *said[3];
    } cases[] = {
        {{.relation = CHANGES_FIRST, .to_commit = TO, .coming = BYTES(COMMIT(TO, "A", "S"))},
         {"prod: nothing runs there yet; this would be the first: 222222222222", "  2222222222  "}},
        {{.relation = CHANGES_SAME, .from_commit = TO, .to_commit = TO},
         {"prod: already runs this commit: 222222222222"}},
        {{.relation = CHANGES_BACK,
          .from_commit = FROM,
          .to_commit = TO,
          .going = BYTES(COMMIT(FROM, "A", "S"))},
         {"111111111111 → 222222222222", "GOING BACK",
          "1 commit would be taken back:\n  1111111111"}},
        {{.relation = CHANGES_APART,
          .from_commit = FROM,
          .to_commit = TO,
          .coming = BYTES(COMMIT(TO, "A", "S")),
          .going = BYTES(COMMIT(FROM, "A", "S"))},
         {"NOT A SUCCESSOR", "  2222222222", "  - 1111111111"}},
        {{.relation = CHANGES_UNKNOWN, .from_commit = FROM, .from_version = "9", .to_commit = TO},
         {"prod: 9 (111111111111) runs there, whose commit is not in this repository"}},
        {{.relation = CHANGES_UNKNOWN, .to_commit = TO, .coming = BYTES(COMMIT(TO, "A", "S"))},
         {"does not say its commit", "what would change cannot be told"}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ChangesFacts facts = cases[i].facts;
        _cleanup_json_ Json *outputs = NULL;

        facts.environment = "prod";
        outputs = describe(&facts);
        for (size_t j = 0; j < ARRAY_SIZE(cases[i].said) && cases[i].said[j]; j++) {
            assert_says(outputs, cases[i].said[j]);
        }
    }
}

static void configuration_is_told(void **state)
{
    static const char diff[] = "diff --git a/slipway.json b/slipway.json\n"
                               "index 1..2 100644\n"
                               "--- a/slipway.json\n"
                               "+++ b/slipway.json\n"
                               "@@ -3 +3 @@ context\n"
                               "-  \"instances\": 1\n"
                               "+  \"instances\": 2";
    static const char then_text[] = "{\"port\":\"1\",\"gone\":\"x\",\"same\":\"s\"}";
    static const char now_text[] = "{\"port\":\"2\",\"same\":\"s\",\"came\":true}";
    _cleanup_json_ Json *then = NULL, *now = NULL, *outputs = NULL;
    ChangesFacts facts = {
        .environment = "prod",
        .relation = CHANGES_SAME,
        .from_commit = TO,
        .to_commit = TO,
        .configuration = BYTES(diff),
    };

    assert_int_equal(json_parse(then_text, strlen(then_text), &then, NULL), 0);
    assert_int_equal(json_parse(now_text, strlen(now_text), &now, NULL), 0);
    facts.variables_then = then;
    facts.variables_now = now;
    outputs = describe(&facts);
    assert_string_equal(text_of(outputs), "prod: already runs this commit: 222222222222\n"
                                          "\n"
                                          "Configuration:\n"
                                          "  the environment's variable port: 1 → 2\n"
                                          "  the environment's variable gone: x → (none)\n"
                                          "  the environment's variable came: (none) → true\n"
                                          "  slipway.json\n"
                                          "  -  \"instances\": 1\n"
                                          "  +  \"instances\": 2");
}

/* What was not recorded is not a difference. */
static void unknown_variables_are_no_difference(void **state)
{
    _cleanup_json_ Json *now = json_new_object(), *outputs = NULL;
    ChangesFacts facts = {.environment = "prod", .relation = CHANGES_SAME, .to_commit = TO};

    assert_int_equal(json_set_string(now, "port", "1"), 0);
    facts.variables_now = now;
    outputs = describe(&facts);
    assert_int_equal(json_length(json_get(outputs, "configuration")), 0);
}

static void nothing_pretends(void **state)
{
    const ChangesFacts facts = {
        .environment = "prod",
        .relation = CHANGES_FORWARD,
        .from_commit = FROM,
        .to_commit = TO,
        .coming = BYTES(COMMIT(TO, "A\xe2\x80\xaezzz",
                               "a\x1b[2Jb\nc\xff\xc2\x9b"
                               "d\xe2\x81\xa6")),
        .files = BYTES("1\t1\ta\nb\xe2\x80\xa8\0"),
    };
    _cleanup_json_ Json *outputs = describe(&facts);
    const char *text = text_of(outputs);

    assert_true(text_is_utf8(text, strlen(text)));
    assert_null(strchr(text, '\x1b'));
    assert_null(strstr(text, "\xe2\x80\xae"));
    assert_null(strstr(text, "\xc2\x9b"));
    assert_says(outputs, "a\xef\xbf\xbd[2Jb\xef\xbf\xbd"
                         "c\xef\xbf\xbd\xef\xbf\xbd"
                         "d\xef\xbf\xbd");
    assert_says(outputs, "(A\xef\xbf\xbdzzz)");
    assert_says(outputs, "  a\xef\xbf\xbd"
                         "b\xef\xbf\xbd  +1 -1");
}

static size_t count_lines(const char *text)
{
    size_t n = 1;

    for (; *text; text++) {
        n += *text == '\n';
    }
    return n;
}

static void much_is_cut_and_counted(void **state)
{
    _cleanup_buffer_ Buffer log = BUFFER_INIT(0), files = BUFFER_INIT(0), diff = BUFFER_INIT(0);
    _cleanup_json_ Json *outputs = NULL;
    ChangesFacts facts = {
        .environment = "prod",
        .relation = CHANGES_APART,
        .from_commit = FROM,
        .to_commit = TO,
    };

    assert_int_equal(buffer_append_text(&diff, "diff --git a/x b/x\n@@ -1 +1 @@\n"), 0);
    for (int i = 0; i < 700; i++) {
        assert_int_equal(buffer_append_text(&log, COMMIT(TO, "Ann", "S")), 0);
        assert_int_equal(buffer_append_format(&files, "1\t2\tfile%d", i), 0);
        assert_int_equal(buffer_append(&files, "", 1), 0);
        assert_int_equal(buffer_append_format(&diff, "+line %d\n", i), 0);
    }
    facts.coming = facts.going = (ChangesBytes){log.data, log.len};
    facts.files = (ChangesBytes){files.data, files.len};
    facts.configuration = (ChangesBytes){diff.data, diff.len};
    outputs = describe(&facts);
    assert_true(count_lines(text_of(outputs)) <= CHANGES_LINES_MAX);
    assert_says(outputs, "… and 1388 more");
    assert_says(outputs, "700 files changed, 700 lines added, 1400 removed");
    assert_says(outputs, "… and 690 more");
    assert_int_equal(json_length(json_get(outputs, "commits")), CHANGES_COMMITS_MAX);
    assert_int_equal(json_length(json_get(outputs, "files")), CHANGES_FILES_MAX);
    assert_int_equal(json_get_int(outputs, "commitCount", 0), 1400);
    assert_int_equal(json_get_int(outputs, "fileCount", 0), 700);
}

/* git ends every record; what is cut, or is none, is no commit and no file. */
static void what_is_cut_is_left_out(void **state)
{
    const ChangesFacts facts = {
        .environment = "prod",
        .relation = CHANGES_FORWARD,
        .from_commit = FROM,
        .to_commit = TO,
        .coming = BYTES(TO "\x1f"
                           "Ann"),
        .files = BYTES("nothing\0x\ty\tfile\0"
                       "1\t1\tcut"),
    };
    _cleanup_json_ Json *outputs = describe(&facts);

    assert_int_equal(json_get_int(outputs, "commitCount", -1), 0);
    assert_int_equal(json_get_int(outputs, "fileCount", -1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_commit),
        cmocka_unit_test(every_relation_says_what_it_is),
        cmocka_unit_test(configuration_is_told),
        cmocka_unit_test(unknown_variables_are_no_difference),
        cmocka_unit_test(nothing_pretends),
        cmocka_unit_test(much_is_cut_and_counted),
        cmocka_unit_test(what_is_cut_is_left_out),
    };

    return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
