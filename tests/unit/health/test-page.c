/* SPDX-License-Identifier: MIT */
#include "plugin/health/page.h"

#include "tests/unit/health/some-facts.h"

static void shows_an_agent(void **state)
{
    SomeFacts f;
    char *text;

    some_facts_init(&f, SOME_HEALTH);
    text = some_text(page_write, &f.facts);
    expect_in("<title>a&lt;1&gt; · Slipway</title>", text);
    expect_in("<span class=\"pill good\">ready</span>", text);
    expect_in("slipway-agent 1.2, up for ", text);
    expect_in(">1<small>of 4 slots</small>", text);
    expect_in("default-src 'none'", text);
    expect_not_in("<aside", text);
    expect_not_in("<script", text);
    expect_not_in("a<1>", text);
    assert_string_equal(text + strlen(text) - 8, "</html>\n");
    free(text);
    some_facts_done(&f);
}

static void shows_the_reasons(void **state)
{
    SomeFacts f;
    char *text;

    some_facts_init(&f, "{\"problems\":[\"no <shim>\"],\"isWorking\":false}");
    text = some_text(page_write, &f.facts);
    expect_in("<aside class=\"box bad\">\n<p>no &lt;shim&gt;</p>\n", text);
    expect_in(">cannot work<", text);
    free(text);
    some_facts_done(&f);
}

static void shows_that_nobody_is_there(void **state)
{
    Readiness readiness = {0};
    Facts facts = {.address = "unix:/<x>", .why = "no & way", .readiness = &readiness};
    char *text = some_text(page_write, &facts);

    expect_in(">away<", text);
    expect_in("<p>no &amp; way</p>", text);
    expect_in("unix:/&lt;x&gt;", text);
    expect_not_in("<table", text);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_an_agent),
        cmocka_unit_test(shows_the_reasons),
        cmocka_unit_test(shows_that_nobody_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
