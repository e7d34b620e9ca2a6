/* SPDX-License-Identifier: MIT */
#include "plugin/health/answer.h"

#include "plugin/health/metrics.h"
#include "tests/unit/health/some-facts.h"

static void expect_answer(const char *path, const Facts *facts, unsigned status, const char *type,
                          const char *part)
{
    ServerReply reply;

    answer_path(path, facts, &reply);
    assert_int_equal(reply.status, status);
    assert_string_equal(reply.type, type);
    assert_int_equal(reply.len, strlen(reply.body));
    expect_in(part, reply.body);
    free(reply.body);
}

#define TEXT "text/plain; charset=utf-8"

static void has_its_pages(void **state)
{
    SomeFacts f;

    some_facts_init(&f, SOME_HEALTH);
    expect_answer("/", &f.facts, 200, "text/html; charset=utf-8", "<!doctype html>");
    expect_answer("/readyz", &f.facts, 200, TEXT, "ready\n");
    expect_answer("/metrics", &f.facts, 200, METRICS_CONTENT_TYPE, "slipway_up 1\n");
    expect_answer("/version", &f.facts, 200, "application/json",
                  "\"agent\":{\"isUp\":true,\"name\":\"a<1>\",\"version\":\"1.2\"}}\n");
    some_facts_done(&f);
}

static void says_why_it_is_not_ready(void **state)
{
    SomeFacts f;

    some_facts_init(&f, "{\"problems\":[\"one\",\"two\"]}");
    expect_answer("/readyz", &f.facts, 503, TEXT, "one\ntwo\n");
    some_facts_done(&f);
}

static void stays_alive_without_an_agent(void **state)
{
    Readiness readiness = {0};
    Facts facts = {.address = "unix:/x", .why = "it hung up", .readiness = &readiness};

    expect_answer("/readyz", &facts, 503, TEXT, "no agent: it hung up\n");
    expect_answer("/metrics", &facts, 200, METRICS_CONTENT_TYPE, "slipway_up 0\n");
    expect_answer("/version", &facts, 200, "application/json", "\"agent\":{\"isUp\":false}}\n");
    expect_answer("/healthz", NULL, 200, TEXT, "ok\n");
}

static void asks_the_agent_only_where_it_must(void **state)
{
    assert_true(answer_needs_facts("/metrics"));
    assert_true(answer_needs_facts("/"));
    assert_false(answer_needs_facts("/healthz"));
    assert_false(answer_needs_facts("/nothing"));
    expect_answer("/nothing", NULL, 404, TEXT, "/metrics");
    expect_answer("/metrics/", NULL, 404, TEXT, "/metrics");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_its_pages),
        cmocka_unit_test(says_why_it_is_not_ready),
        cmocka_unit_test(stays_alive_without_an_agent),
        cmocka_unit_test(asks_the_agent_only_where_it_must),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
