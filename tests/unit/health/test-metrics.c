/* SPDX-License-Identifier: MIT */
#include "plugin/health/metrics.h"

#include "tests/unit/health/some-facts.h"

static void tells_the_numbers(void **state)
{
    static const char *const lines[] = {
        "# TYPE slipway_up gauge\nslipway_up 1\n",
        "slipway_ready 1\n",
        "slipway_scrape_duration_seconds 0.125\n",
        ("slipway_build_info{agent=\"a<1>\",version=\"1.2\",containment=\"cgroup\","
         "confinement=\"none\"} 1\n"),
        "slipway_start_time_seconds 1764064700\n",
        "slipway_slots 4\n",
        "slipway_queue_oldest_seconds 2.5\n",
        "# TYPE slipway_calls_lost_total counter\nslipway_calls_lost_total 2\n",
        "slipway_disk_free_bytes 80000000000\n",
        "slipway_calls_finished_total{action=\"build \\\"x\\\"\\\\\\n\",status=\"succeeded\"} 3\n",
        "slipway_calls_duration_seconds_total{action=\"test\",status=\"failed\"} 0\n",
        "slipway_clock_synchronized 1\n",
        "slipway_clock_kernel_offset_seconds -0.0015",
        "slipway_engine_reachable{environment=\"prod\",engine=\"local\"} 1\n",
        "slipway_engine_connect_seconds{environment=\"prod\",engine=\"local\"} 0.25\n",
        "slipway_host_key_present 0\n",
        "slipway_audit_records 12\n",
    };
    SomeFacts f;
    char *text;

    some_facts_init(&f, SOME_HEALTH);
    assert_int_equal(moment_parse("2025-11-25T10:00:00Z", &f.facts.now_us), 0);
    text = some_text(metrics_write, &f.facts);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        expect_in(lines[i], text);
    }
    free(text);
    some_facts_done(&f);
}

static void leaves_out_what_is_not_known(void **state)
{
    SomeFacts f;
    char *text;

    some_facts_init(&f, SOME_HEALTH);
    text = some_text(metrics_write, &f.facts);
    expect_not_in("environment=\"bare\"", text);
    expect_not_in("slipway_disk_free_inodes", text); /* such a disk has no limit */
    expect_not_in("slipway_clock_offset_seconds", text);
    expect_not_in("slipway_audit_intact", text);
    expect_not_in("slipway_audit_forward", text);
    free(text);
    some_facts_done(&f);
}

static void says_that_the_agent_is_away(void **state)
{
    Readiness readiness = {0};
    Facts facts = {.why = "gone", .readiness = &readiness, .clock_offset = NAN, .seconds = 6};
    char *text = some_text(metrics_write, &facts);

    expect_in("slipway_up 0\n", text);
    expect_in("slipway_ready 0\n", text);
    expect_in("slipway_scrape_duration_seconds 6\n", text);
    expect_not_in("slipway_calls", text);
    free(text);
}

static void tells_what_the_log_comes_to(void **state)
{
    LedgerCount counts[] = {
        {(char *)"prod", HISTORY_DEPLOY, HISTORY_SUCCEEDED, 5},
        {(char *)"prod", HISTORY_VERIFY, HISTORY_FAILED, 1},
        {(char *)"a\"b", HISTORY_DEPLOY, HISTORY_REFUSED, 2},
    };
    LedgerService services[] = {
        {.environment = (char *)"prod", .service = (char *)"shop", .since_us = 1700000000500000},
        {.environment = (char *)"prod", .service = (char *)"mail", .since_us = MOMENT_NONE},
    };
    Ledger ledger = {counts, 3, services, 2};
    SomeFacts f;
    char *text;

    some_facts_init(&f, SOME_HEALTH);
    f.facts.ledger = &ledger;
    text = some_text(metrics_write, &f.facts);
    expect_in("slipway_deploys_total{environment=\"prod\",outcome=\"succeeded\"} 5\n"
              "slipway_deploys_total{environment=\"a\\\"b\",outcome=\"refused\"} 2\n",
              text);
    expect_in("slipway_verifications_total{environment=\"prod\",outcome=\"failed\"} 1\n", text);
    expect_not_in("slipway_rollbacks_total", text);
    expect_in("slipway_last_deploy_timestamp_seconds{environment=\"prod\",service=\"shop\"} "
              "1700000000\n",
              text);
    expect_not_in("service=\"mail\"", text);
    expect_in("slipway_audit_intact 1\n", text);
    free(text);
    f.facts.ledger = NULL;
    f.facts.audit_problem = "edited";
    text = some_text(metrics_write, &f.facts);
    expect_in("slipway_audit_intact 0\n", text);
    free(text);
    some_facts_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_numbers),
        cmocka_unit_test(leaves_out_what_is_not_known),
        cmocka_unit_test(says_that_the_agent_is_away),
        cmocka_unit_test(tells_what_the_log_comes_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
