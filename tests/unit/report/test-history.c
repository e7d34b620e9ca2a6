/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/history.h"

#include "plugin/cli/report/moment.h"
#include "tests/unit/report/records.h"

#include <errno.h>

static void an_end_becomes_an_entry(void **state)
{
    _cleanup_history_ History h = {0};
    const HistoryEntry *e;

    make_history(
        &h,
        RECORD("requested", DAY("02", "10:00:00"),
               ",\"call\":\"c1\",\"action\":\"deploy-prod\",\"origin\":{\"user\":\"scm\"}"),
        RECORD("decided", DAY("02", "10:00:01"),
               ",\"call\":\"c1\",\"action\":\"deploy-prod\",\"isAllowed\":true,"
               "\"approver\":{\"name\":\"Ada\",\"via\":\"jenkins\"}"),
        END("deploy-prod", DAY("02", "10:00:30"), "succeeded",
            ",\"call\":\"c1\",\"seconds\":29.5,\"digest\":\"sha256:a\",\"previousDigest\":\"sha256:"
            "b\","
            "\"commit\":\"0123\",\"committedAt\":\"2026-11-02T09:00:00Z\",\"version\":\"1.2\","
            "\"name\":\"shop\",\"repository\":\"https://git/other.git\",\"subject\":\"Fix it\""));
    assert_int_equal(h.n, 1);
    e = &h.entries[0];
    assert_int_equal(e->verb, HISTORY_DEPLOY);
    assert_int_equal(e->outcome, HISTORY_SUCCEEDED);
    assert_string_equal(e->environment, "prod");
    assert_string_equal(h.services[e->service], "shop");
    assert_string_equal(h.actions[e->action], "deploy-prod");
    assert_string_equal(e->who, "Ada");
    assert_string_equal(e->via, "jenkins");
    assert_string_equal(e->digest, "sha256:a");
    assert_string_equal(e->previous, "sha256:b");
    assert_string_equal(e->commit, "0123");
    assert_string_equal(e->version, "1.2");
    assert_string_equal(e->subject, "Fix it");
    assert_string_equal(e->call, "c1");
    assert_string_equal(e->reason, "");
    assert_true(e->seconds == 29.5);
    assert_int_equal(e->time_us - e->committed_us, (int64_t)3630 * MOMENT_SECOND_US);
    assert_false(e->is_unchanged || e->is_restored);
    assert_int_equal(h.last_us - h.first_us, 30 * MOMENT_SECOND_US);
}

static void what_is_not_said_is_told_apart(void **state)
{
    _cleanup_history_ History h = {0};

    make_history(&h, END("build", DAY("02", "10:00:00"), "failed", ""),
                 END("deploy-", DAY("02", "10:00:01"), "succeeded", ",\"committedAt\":\"soon\""),
                 END("test", DAY("02", "10:00:01"), "succeeded", ",\"seconds\":1e300"),
                 RECORD("approved", DAY("02", "10:00:02"), ",\"call\":\"x\""),
                 END("deploy-prod", DAY("02", "10:00:03"), "cancelled",
                     ",\"environment\":\"live\",\"isRestored\":true,\"isUnchanged\":true"));
    assert_int_equal(h.n, 4);
    assert_int_equal(h.entries[0].verb, HISTORY_OTHER);
    assert_int_equal(h.entries[0].outcome, HISTORY_FAILED);
    assert_true(h.entries[0].seconds < 0 && h.entries[0].committed_us == MOMENT_NONE);
    assert_string_equal(h.entries[0].environment, "");
    assert_string_equal(h.entries[0].who, "");
    assert_int_equal(h.entries[1].verb, HISTORY_OTHER); /* "deploy-" is of no environment */
    assert_true(h.entries[1].committed_us == MOMENT_NONE);
    assert_true(h.entries[2].seconds < 0);                  /* that long takes nothing */
    assert_int_equal(h.entries[3].outcome, HISTORY_FAILED); /* whatever it is, it is no success */
    assert_string_equal(h.entries[3].environment, "live");
    assert_true(h.entries[3].is_restored && h.entries[3].is_unchanged);
}

static void who_asked_is_named_where_nobody_released(void **state)
{
    _cleanup_history_ History h = {0};

    make_history(&h,
                 RECORD("requested", DAY("02", "10:00:00"),
                        ",\"call\":\"c1\",\"origin\":{\"user\":\"bob\"}"),
                 RECORD("decided", DAY("02", "10:00:00"),
                        ",\"call\":\"c2\",\"isAllowed\":true,\"approver\":\"Ada\""),
                 RECORD("requested", DAY("02", "10:00:00"),
                        ",\"call\":\"c2\",\"origin\":{\"user\":\"eve\"}"),
                 END("rollback-prod", DAY("02", "10:00:01"), "succeeded", ",\"call\":\"c1\""),
                 END("deploy-prod", DAY("02", "10:00:02"), "succeeded", ",\"call\":\"c2\""),
                 END("deploy-prod", DAY("02", "10:00:03"), "succeeded", ",\"call\":\"c1\""));
    assert_string_equal(h.entries[0].who, "bob");
    assert_string_equal(h.entries[1].who, "Ada"); /* she released it, whoever asked after that */
    assert_string_equal(h.entries[2].who, "");    /* the call had ended */
}

/* A refusal counts once, also where the host died before it could write the end. */
static void a_refusal_is_one_entry(void **state)
{
    _cleanup_history_ History h = {0};

    make_history(
        &h,
        RECORD("decided", DAY("02", "10:00:00"),
               ",\"call\":\"c1\",\"action\":\"deploy-prod\",\"isAllowed\":false,"
               "\"reason\":\"frozen\",\"approver\":{\"name\":\"Ada\"}"),
        END("deploy-prod", DAY("02", "10:00:01"), "refused",
            ",\"call\":\"c1\",\"reason\":\"frozen\",\"name\":\"shop\",\"seconds\":0.1"),
        RECORD(
            "decided", DAY("02", "10:00:02"),
            ",\"call\":\"c2\",\"action\":\"deploy-prod\",\"isAllowed\":false,\"reason\":\"old\""),
        END("deploy-prod", DAY("02", "10:00:03"), "refused", ",\"call\":\"c3\",\"name\":\"shop\""));
    assert_int_equal(h.n, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(h.entries[i].outcome, HISTORY_REFUSED);
        assert_string_equal(h.services[h.entries[i].service], "shop"); /* the only one */
    }
    assert_string_equal(h.entries[0].who, "Ada");
    assert_true(h.entries[0].seconds == 0.1);
    assert_string_equal(h.entries[1].reason, "old");
}

static void a_service_is_known_by_its_package(void **state)
{
    _cleanup_history_ History h = {0};

    make_history(&h,
                 END("deploy-prod", DAY("02", "10:00:00"), "succeeded",
                     ",\"digest\":\"d1\",\"repository\":\"ssh://git/team/shop.git\""),
                 END("deploy-prod", DAY("02", "10:00:01"), "succeeded",
                     ",\"digest\":\"d2\",\"repository\":\"search/\""),
                 END("verify-prod", DAY("02", "10:00:02"), "failed", ",\"digest\":\"d2\""),
                 END("rollback-prod", DAY("02", "10:00:03"), "succeeded",
                     ",\"digest\":\"d0\",\"previousDigest\":\"d1\""),
                 END("verify-prod", DAY("02", "10:00:04"), "succeeded", ""));
    assert_string_equal(h.services[h.entries[0].service], "shop");
    assert_string_equal(h.services[h.entries[1].service], "search");
    assert_int_equal(h.entries[2].service, h.entries[1].service);
    assert_int_equal(h.entries[3].service, h.entries[0].service);
    assert_string_equal(h.services[h.entries[4].service], ""); /* of two, nobody can tell */
}

static void logs_are_put_together_by_time(void **state)
{
    static const char *const first[] = {
        END("a1", DAY("02", "10:00:00"), "succeeded", ""),
        END("a2", DAY("02", "10:00:20"), "succeeded", ""),
        END("a3", DAY("02", "10:00:10"), "succeeded", ""), /* the clock went back */
        NULL};
    static const char *const second[] = {END("b1", DAY("02", "09:59:59"), "succeeded", ""),
                                         END("b2", DAY("02", "10:00:00"), "succeeded", ""),
                                         END("b3", DAY("02", "10:00:15"), "succeeded", ""), NULL};
    static const char *const expected[] = {"b1", "a1", "b2", "b3", "a2", "a3"};
    _cleanup_history_ History h = {0};

    add_log(&h, "first", first);
    add_log(&h, "second", second);
    assert_int_equal(history_merge(&h), 0);
    assert_int_equal(h.n, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(h.actions[h.entries[i].action], expected[i]);
    }
    assert_int_equal(h.n_notes, 1);
    assert_non_null(strstr(h.notes[0], "first: the host's clock went back 1 time"));
    assert_string_equal(history_log_name(&h, 1), "second");
    assert_null(history_log_name(&h, 2));
}

static void a_copy_of_a_log_counts_once(void **state)
{
    static const char *const whole[] = {END("a", DAY("02", "10:00:00"), "succeeded", ""),
                                        END("b", DAY("02", "10:00:01"), "succeeded", ""), NULL};
    static const char *const beginning[] = {END("a", DAY("02", "10:00:00"), "succeeded", ""), NULL};
    static const char *const other[] = {END("c", DAY("02", "10:00:00"), "succeeded", ""), NULL};
    _cleanup_history_ History h = {0};

    add_log(&h, "old", beginning);
    add_log(&h, "other", other);
    add_log(&h, "new", whole);
    add_log(&h, "older", beginning);
    assert_int_equal(history_merge(&h), 0);
    assert_int_equal(h.n, 3);
    assert_int_equal(h.n_logs, 2);
    assert_int_equal(h.n_notes, 2);
    assert_non_null(strstr(h.notes[1], "old and new are copies of one log; the longer one, new"));
}

static void an_empty_log_is_no_mistake(void **state)
{
    static const char *const none[] = {NULL};
    _cleanup_history_ History h = {0}, without = {0};

    add_log(&h, "empty", none);
    add_log(&h, "empty, too", none);
    assert_int_equal(history_merge(&h), 0);
    assert_int_equal(h.n, 0);
    assert_int_equal(h.n_logs, 2);
    assert_true(h.first_us == MOMENT_NONE && h.last_us == MOMENT_NONE);
    assert_int_equal(history_merge(&without), 0);
}

static void what_is_odd_in_a_log_is_noted(void **state)
{
    _cleanup_history_ History h = {0};
    SlipwayJson *record = NULL;

    assert_int_equal(slipway_json_parse("{\"event\":\"finished\"}", 20, &record), 0);
    assert_int_equal(history_begin(&h, "host"), 0);
    assert_int_equal(history_take(&h, record), 0);
    assert_int_equal(history_end(&h, true), 0);
    assert_int_equal(h.n_notes, 2);
    assert_non_null(strstr(h.notes[0], "host: its last line is torn"));
    assert_non_null(strstr(h.notes[1], "1 record without a time"));
    (void)slipway_json_unref(record);
}

static void limits_hold(void **state)
{
    _cleanup_history_ History h = {0};

    for (size_t i = 0; i < HISTORY_LOGS_MAX; i++) {
        assert_int_equal(history_begin(&h, "x"), 0);
    }
    assert_int_equal(history_begin(&h, "x"), -EFBIG);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(history_note(&h, "note %zu", i), 0);
    }
    assert_int_equal(h.n_notes, 256);
}

/* Calls that never end are forgotten one by one, the oldest first. */
static void many_calls_without_an_end(void **state)
{
    _cleanup_history_ History h = {0};
    char text[200];

    assert_int_equal(history_begin(&h, "host"), 0);
    for (size_t i = 0; i < 2 * 257; i++) { /* 257 that begin, then their ends */
        SlipwayJson *record = NULL;

        (void)snprintf(
            text, sizeof(text),
            i < 257 ? "{\"event\":\"requested\",\"time\":\"" DAY(
                          "02", "10:00:00") "\",\"call\":\"c%zu\",\"origin\":{\"user\":\"u\"}}"
                    : "{\"event\":\"finished\",\"time\":\"" DAY(
                          "02", "10:00:01") "\",\"call\":\"c%zu\",\"action\":\"x\"}",
            i % 257);
        assert_int_equal(slipway_json_parse(text, strlen(text), &record), 0);
        assert_int_equal(history_take(&h, record), 0);
        (void)slipway_json_unref(record);
    }
    assert_int_equal(history_merge(&h), 0);
    assert_int_equal(h.n, 257);
    assert_string_equal(h.entries[0].who, "");
    assert_string_equal(h.entries[1].who, "u");
    assert_string_equal(h.entries[256].who, "u");
}

static void texts_are_harmless(void **state)
{
    static const struct {
        const char *text, *clean;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"Grüße · 日本 🚀", "Grüße · 日本 🚀"},
        {"\033[2Jx", "[2Jx"},
        {"a\r\nb\tc", "a b c"},
        {"a\x7f", "a"},
        {"a\xc2\x85\xc2\x9b"
         "b",
         "a b"},                      /* controls of two bytes */
        {"\u202egnp.exe", "gnp.exe"}, /* right to left */
        {"a\u2066\u2069\u200e\ufeffb", "a b"},
        {"\n\n", ""},
        {"<b>&amp;", "<b>&amp;"}, /* for HTML it is escaped where it is written */
        {"a\xe2\x80", "a"},       /* cut: never read beyond its end */
        {"a\xf0", "a"},
    };
    char out[HISTORY_TEXT_MAX + 4], many[HISTORY_TEXT_MAX + 2];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(history_clean(rows[i].text, out), rows[i].clean);
    }
    memset(many, 'x', sizeof(many) - 1);
    many[HISTORY_TEXT_MAX] = '\0';
    assert_int_equal(strlen(history_clean(many, out)), HISTORY_TEXT_MAX);
    many[HISTORY_TEXT_MAX] = 'x';
    many[HISTORY_TEXT_MAX + 1] = '\0';
    assert_int_equal(strlen(history_clean(many, out)), HISTORY_TEXT_MAX + strlen("…"));
    assert_string_equal(out + HISTORY_TEXT_MAX, "…");
}

static void test_a_version_that_says_its_commit(void **state)
{
    const char *commit = "0123456789abcdef0123456789abcdef01234567";

    assert_true(history_version_says_commit("0123456", commit));
    assert_true(history_version_says_commit("v1-3-g0123456", commit));
    assert_false(history_version_says_commit("v1", commit));
    assert_false(history_version_says_commit("v1", ""));
    assert_false(history_version_says_commit("", commit));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_version_that_says_its_commit),
        cmocka_unit_test(an_end_becomes_an_entry),
        cmocka_unit_test(what_is_not_said_is_told_apart),
        cmocka_unit_test(who_asked_is_named_where_nobody_released),
        cmocka_unit_test(a_refusal_is_one_entry),
        cmocka_unit_test(a_service_is_known_by_its_package),
        cmocka_unit_test(logs_are_put_together_by_time),
        cmocka_unit_test(a_copy_of_a_log_counts_once),
        cmocka_unit_test(an_empty_log_is_no_mistake),
        cmocka_unit_test(what_is_odd_in_a_log_is_noted),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(many_calls_without_an_end),
        cmocka_unit_test(texts_are_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
