/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/marathon/marathon-reason.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define V1 "2026-01-01T00:00:00.001Z"
#define V2 "2026-01-01T00:00:00.002Z"

static Json *parsed(const char *text)
{
    Json *j = NULL;

    assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
    return j;
}

static void failures_are_judged(void **state)
{
    static const struct {
        const char *state;
        const char *message;
        MarathonVerdict verdict;
        const char *said;
    } cases[] = {
        {"TASK_FAILED", "Command exited with status 1", MARATHON_SUSPECT,
         "an instance ended: Command exited with status 1 (TASK_FAILED on h1)"},
        {"TASK_FAILED", "Failed to run 'docker -H unix:///x pull i': manifest unknown",
         MARATHON_HOPELESS, "the image 'r/i@sha256:d' cannot be had: Failed to run"},
        {"TASK_FAILED", "Failed to fetch all URIs for container 'c'", MARATHON_SUSPECT,
         "what the app fetches cannot be had: Failed to fetch"},
        {"TASK_KILLED",
         "Task was killed since health check failed. Reason: 503 Service "
         "Unavailable",
         MARATHON_HOPELESS, "Reason: 503 Service Unavailable (TASK_KILLED on h1)"},
        {"TASK_ERROR", "Task uses less memory than the minimum", MARATHON_HOPELESS, "less memory"},
        {"TASK_LOST", "Agent h1 removed", MARATHON_WAIT, "Agent h1 removed (TASK_LOST on h1)"},
        {"TASK_GONE_BY_OPERATOR", "", MARATHON_WAIT, "no message"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *app = parsed("{\"container\":{\"docker\":{\"image\":"
                                          "\"r/i@sha256:d\"}}}");
        _cleanup_json_ Json *failure = parsed("{\"host\":\"h1\"}");
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

        assert_int_equal(json_set_string(failure, "state", cases[i].state), 0);
        assert_int_equal(json_set_string(failure, "message", cases[i].message), 0);
        assert_int_equal(marathon_reason_judge(failure), cases[i].verdict);
        assert_int_equal(marathon_reason_append_failure(app, failure, &text), 0);
        if (!strstr(buffer_text(&text), cases[i].said)) {
            fail_msg("%s", buffer_text(&text));
        }
    }
}

static void a_failure_of_another_version_is_none(void **state)
{
    _cleanup_json_ Json *app = parsed("{\"lastTaskFailure\":{\"version\":\"" V1 "\"}}");

    assert_non_null(marathon_reason_failure(app, V1));
    assert_null(marathon_reason_failure(app, V2));
}

static void a_long_message_is_cut(void **state)
{
    _cleanup_json_ Json *app = json_new_object(), *failure = json_new_object();
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    char message[5000];

    memset(message, 'x', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    assert_int_equal(json_set_string(failure, "message", message), 0);
    assert_int_equal(marathon_reason_append_failure(app, failure, &text), 0);
    assert_in_range(text.len, 600, 700);
}

static void the_failing_check_of_a_new_task(void **state)
{
    static const char format[] = "{\"tasks\":[{\"version\":\"%s\",\"host\":\"h1\","
                                 "\"healthCheckResults\":[{\"alive\":true},{\"alive\":%s,"
                                 "\"lastFailureCause\":\"503 Service Unavailable\"}]}]}";
    static const struct {
        const char *version;
        const char *alive;
        const char *said;
    } cases[] = {
        {V2, "false", "the health check of an instance on h1 fails: 503 Service Unavailable"},
        {V2, "true", ""},
        {V1, "false", ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0), said = BUFFER_INIT(0);
        _cleanup_json_ Json *app = NULL;

        assert_int_equal(buffer_append_format(&text, format, cases[i].version, cases[i].alive), 0);
        app = parsed(buffer_text(&text));
        assert_int_equal(marathon_reason_append_check(app, V2, &said), 0);
        assert_string_equal(buffer_text(&said), cases[i].said);
    }
}

static void why_it_waits(void **state)
{
    static const struct {
        const char *entry;
        const char *said;
    } cases[] = {
        {"\"processedOffersSummary\":{\"processedOffersCount\":9,\"rejectSummaryLastOffers\":["
         "{\"reason\":\"UnfulfilledRole\",\"declined\":0,\"processed\":9},"
         "{\"reason\":\"InsufficientCpus\",\"declined\":7,\"processed\":9},"
         "{\"reason\":\"InsufficientMemory\",\"declined\":2,\"processed\":2}]}",
         "no room: InsufficientCpus declined 7 of 9 offers, InsufficientMemory declined 2 of 2 "
         "offers"},
        {"\"delay\":{\"timeLeftSeconds\":12,\"overdue\":false}",
         "Marathon waits a while before it tries again"},
        {"\"processedOffersSummary\":{\"processedOffersCount\":0}",
         "Mesos has offered no room so far"},
        {"\"processedOffersSummary\":{\"processedOffersCount\":9}", ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0), said = BUFFER_INIT(0);
        _cleanup_json_ Json *queue = NULL;

        assert_int_equal(buffer_append_format(&text,
                                              "{\"queue\":[{\"pod\":{}},{\"app\":{\"id\":\"/y\"}},"
                                              "{\"app\":{\"id\":\"/x\"},%s}]}",
                                              cases[i].entry),
                         0);
        queue = parsed(buffer_text(&text));
        assert_int_equal(marathon_reason_append_queue(queue, "/z", &said), 0);
        assert_string_equal(buffer_text(&said), "");
        assert_int_equal(marathon_reason_append_queue(queue, "/x", &said), 0);
        assert_string_equal(buffer_text(&said), cases[i].said);
    }
}

static void errors_in_both_forms(void **state)
{
    static const struct {
        const char *answer;
        const char *said;
    } cases[] = {
        {"{\"message\":\"Invalid JSON\",\"details\":\"Unexpected character\"}",
         "Invalid JSON; Unexpected character"},
        {"{\"message\":\"Object is not valid\",\"details\":[{\"path\":\"/healthChecks(0)/path\","
         "\"errors\":[\"is empty\",\"is short\"]},{\"errors\":[\"odd\"]}]}",
         "Object is not valid; /healthChecks(0)/path: is empty, is short; /: odd"},
        {"{\"message\":\"no\"}", "no"},
        {"{}", "no message"},
        {"{\"message\":7,\"details\":[7,{\"path\":7,\"errors\":7}]}", "no message; /:; /:"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *answer = parsed(cases[i].answer);
        _cleanup_buffer_ Buffer said = BUFFER_INIT(0);

        assert_int_equal(marathon_reason_append_error(answer, &said), 0);
        assert_string_equal(buffer_text(&said), cases[i].said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_are_judged),
        cmocka_unit_test(a_failure_of_another_version_is_none),
        cmocka_unit_test(a_long_message_is_cut),
        cmocka_unit_test(the_failing_check_of_a_new_task),
        cmocka_unit_test(why_it_waits),
        cmocka_unit_test(errors_in_both_forms),
    };

    return cmocka_run_group_tests_name("marathon-reason", tests, NULL, NULL);
}
