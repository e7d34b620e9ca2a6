/* SPDX-License-Identifier: MIT */
#include "plugin/health/page-parts.h"

#include "tests/unit/health/some-facts.h"

static void shows_progress_and_what_waits(void **state)
{
    SomeFacts f;
    char *text;

    some_facts_init(&f, SOME_HEALTH);
    text = some_text(page_write_live, &f.facts);
    expect_in("compile: a &amp; b<progress max=\"12\" value=\"3\"></progress>3 of 12 files", text);
    expect_in("&lt;eve&gt;", text);
    expect_in(">30 s</span>", text);
    expect_in("for call c of the same run", text);
    expect_in(">running<", text);
    expect_in(">waiting<", strstr(text, ">running<")); /* which comes first */
    free(text);
    f.facts.live = NULL;
    text = some_text(page_write_live, &f.facts);
    expect_in("Nothing runs, nothing waits.", text);
    free(text);
    some_facts_done(&f);
}

static void shows_what_ended(void **state)
{
    SomeFacts f;
    char *text;

    some_facts_init(&f, SOME_HEALTH);
    text = some_text(page_write_ended, &f.facts);
    expect_in("<span class=\"pill bad\">timed out</span>", text);
    expect_in("&lt;took&gt; too long", text);
    free(text);
    f.facts.ended = NULL;
    text = some_text(page_write_ended, &f.facts);
    assert_string_equal(text, "");
    free(text);
    some_facts_done(&f);
}

static void shows_what_runs_where(void **state)
{
    LedgerService services[] = {
        {.environment = (char *)"prod",
         .service = (char *)"<shop>",
         .version = (char *)"1.4-gabcdef012345",
         .commit = (char *)"abcdef0123456789",
         .subject = (char *)"Sell \"more\"",
         .who = (char *)"Ann & Bob",
         .since_us = 1,
         .last_verb = HISTORY_DEPLOY,
         .last_outcome = HISTORY_FAILED,
         .last_reason = (char *)"<ill>"},
    };
    Ledger ledger = {.services = services, .n_services = 1};
    SomeFacts f;
    char *text;

    some_facts_init(&f, SOME_HEALTH);
    text = some_text(page_write_environments, &f.facts);
    expect_in("nothing was deployed yet", text);
    free(text);
    f.facts.ledger = &ledger;
    text = some_text(page_write_environments, &f.facts);
    expect_in(">answers<", text);
    expect_in(">not looked at<", text);
    expect_in("&lt;shop&gt;", text);
    expect_in("1.4-gabcdef012345<div", text); /* which says the commit already */
    expect_in("Sell &quot;more&quot;", text);
    expect_in("Ann &amp; Bob", text);
    expect_in("The last deploy failed: &lt;ill&gt;", text);
    free(text);
    some_facts_done(&f);
}

static void shows_the_host(void **state)
{
    SomeFacts f;
    char *text;

    some_facts_init(&f, SOME_HEALTH);
    f.facts.clock_offset = -2;
    f.facts.audit_problem = "record 3 was <edited>";
    text = some_text(page_write_host, &f.facts);
    expect_in("4 ended since the agent started, 3 of them succeeded; 7 are kept", text);
    expect_in("by cgroup", text);
    expect_in("kept in time; 2.00 s behind this program’s host", text);
    expect_in("12 records; record 3 was &lt;edited&gt;", text);
    expect_in("<dt>Key</dt><dd>none</dd>", text);
    free(text);
    some_facts_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_progress_and_what_waits),
        cmocka_unit_test(shows_what_ended),
        cmocka_unit_test(shows_what_runs_where),
        cmocka_unit_test(shows_the_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
