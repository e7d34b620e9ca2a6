/* SPDX-License-Identifier: MIT */
#include "agent/release/decision.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static Json *parsed(const char *text)
{
    Json *j = NULL;

    assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
    return j;
}

static void who_may_change_what(void **state)
{
    static const struct {
        const char *verb;
        const char *environment;
        const char *approval;
        bool is_allowed;
    } cases[] = {
        {"deploy", "{\"name\":\"staging\"}", "null", true},
        {"deploy", "{\"name\":\"staging\",\"needsApproval\":true}", "null", false},
        {"deploy", "{\"name\":\"staging\",\"needsApproval\":true}", "{\"by\":\"ann\"}", true},
        {"deploy", "{\"name\":\"prod\"}", "null", false},
        {"deploy", "{\"name\":\"production\"}", "null", false},
        {"deploy", "{\"name\":\"products\"}", "null", true},
        {"deploy", "{\"name\":\"prod\"}", "{\"by\":\"ann\"}", true},
        {"deploy", "{\"name\":\"prod\"}", "{\"by\":\"\"}", false},
        {"deploy", "{\"name\":\"prod\"}", "{\"by\":true}", false},
        {"deploy", "{\"name\":\"prod\"}", "{\"url\":\"http://ci/1\"}", false},
        {"deploy", "{\"name\":\"prod\",\"needsApproval\":false}", "null", true},
        {"rollback", "{\"name\":\"prod\"}", "null", true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *environment = parsed(cases[i].environment);
        _cleanup_json_ Json *approval = parsed(cases[i].approval);
        _cleanup_decision_ Decision decision = {0};
        DecisionRequest request = {cases[i].verb, environment, approval};

        assert_int_equal(decision_make(&request, &decision, NULL), 0);
        assert_int_equal(decision.is_allowed, cases[i].is_allowed);
        assert_non_null(decision.text);
    }
}

static void a_refusal_says_what_would_mend_it(void **state)
{
    _cleanup_json_ Json *environment = parsed("{\"name\":\"prod\"}");
    _cleanup_decision_ Decision decision = {0};

    assert_int_equal(
        decision_make(&(DecisionRequest){"deploy", environment, NULL}, &decision, NULL), 0);
    assert_non_null(strstr(decision.text, "'prod'"));
    assert_non_null(strstr(decision.text, "approval.by"));
    assert_non_null(strstr(decision.text, "--approver"));
}

static void an_allowance_says_on_whose_word(void **state)
{
    _cleanup_json_ Json *environment = parsed("{\"name\":\"prod\"}");
    _cleanup_json_ Json *approval = parsed("{\"by\":\"ann\",\"url\":\"http://ci/1\"}");
    _cleanup_decision_ Decision decision = {0};

    assert_int_equal(
        decision_make(&(DecisionRequest){"deploy", environment, approval}, &decision, NULL), 0);
    assert_string_equal(decision.text, "released by ann (http://ci/1)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_may_change_what),
        cmocka_unit_test(a_refusal_says_what_would_mend_it),
        cmocka_unit_test(an_allowance_says_on_whose_word),
    };

    return cmocka_run_group_tests_name("decision", tests, NULL, NULL);
}
