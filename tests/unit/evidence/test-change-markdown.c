/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/change-markdown.h"

#include "tests/unit/evidence/entries.h"

#include <stdio.h>
#include <stdlib.h>

static void expect(const char *change, const char *expected)
{
    SlipwayJson *json = parse_text(change);
    char *text = change_markdown(json);

    assert_string_equal(text, expected);
    free(text);
    (void)slipway_json_unref(json);
}

static void expect_has(const char *change, const char *words)
{
    SlipwayJson *json = parse_text(change);
    char *text = change_markdown(json);

    if (!strstr(text, words)) {
        fail_msg("'%s' is not in: %s", words, text);
    }
    free(text);
    (void)slipway_json_unref(json);
}

static void the_whole(void **state)
{
    expect("{\"relation\":\"forward\",\"commitCount\":1,\"commits\":[{\"commit\":\"" COMMIT
           "\",\"author\":\"Ann\",\"date\":\"2026-11-25\",\"subject\":\"Greet\"}],"
           "\"files\":[{\"name\":\"a.c\",\"added\":3,\"removed\":1}],\"fileCount\":1,"
           "\"configuration\":[\"slipway.json\",\"-a\",\"+b\"],"
           "\"text\":\"prod: v1 → v2\\nOne commit:\\n\"}",
           "`prod: v1 → v2`\n\n"
           "**One commit.**\n\n"
           "- `e398692754` `Greet` by `Ann`, `2026-11-25`\n\n"
           "**1 file**\n\n"
           "- `a.c` +3 −1\n\n"
           "**Configuration**\n\n"
           "    slipway.json\n    -a\n    +b\n");
}

static void more_than_is_listed_is_counted(void **state)
{
    static const char change[] =
        "{\"relation\":\"forward\",\"commitCount\":9,\"commits\":[{\"commit\":\"" COMMIT
        "\",\"author\":\"a\",\"date\":\"d\",\"subject\":\"s\"}],\"files\":[],\"fileCount\":700}";

    expect_has(change, "**9 commits**, newest first.\n");
    expect_has(change, "- … and 8 more\n");
    expect_has(change, "**700 files**\n\n- … and 700 more\n");
}

static void how_it_stands_to_what_runs(void **state)
{
    expect_has("{\"relation\":\"same\"}", "**No change**");
    expect_has("{\"relation\":\"first\"}", "**The first deployment.**");
    expect_has("{\"relation\":\"back\",\"commitCount\":1}", "1 commit would be taken back");
    expect_has("{\"relation\":\"back\",\"commitCount\":2}", "2 commits would be taken back");
    expect_has("{\"relation\":\"unknown\"}", "cannot be told");
    expect_has("{\"relation\":\"apart\",\"commits\":[{\"commit\":\"" COMMIT "\",\"author\":\"a\","
               "\"date\":\"d\",\"subject\":\"s\",\"isGoing\":true}],\"commitCount\":1}",
               "**Not a successor**");
    expect_has("{\"relation\":\"apart\",\"commits\":[{\"commit\":\"" COMMIT "\",\"author\":\"a\","
               "\"date\":\"d\",\"subject\":\"s\",\"isGoing\":true}],\"commitCount\":1}",
               "- *taken back* `e398692754` `s`");
}

/* What a commit says, and what its line has to be. */
static void nothing_of_a_commit_is_rendered(void **state)
{
    static const struct {
        const char *subject; /* as JSON */
        const char *shown;
    } rows[] = {
        {"<img src=x onerror=a()>", "`<img src=x onerror=a()>` by"},
        {"[me](http://evil) ![i](http://evil)", "`[me](http://evil) ![i](http://evil)` by"},
        {"@all #12 GH-1 http://evil", "`@all #12 GH-1 http://evil` by"},
        {"a | b | c", "`a | b | c` by"},
        {"`@all`", "`` `@all` `` by"},
        {"``` ` ``", "```` ``` ` `` ```` by"},
        {"a\\n\\n# Heading", "`a  # Heading` by"},
        {"a\\r- b\\u001b[0m\\u007f", "`a - b [0m ` by"},
        {"a\\\\`b", "`` a\\`b `` by"},
        {"", "(empty) by"},
        {"  ", "(empty) by"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char change[1024];

        (void)snprintf(change, sizeof(change),
                       "{\"relation\":\"forward\",\"commitCount\":1,\"commits\":[{\"commit\":"
                       "\"" COMMIT "\",\"author\":\"a\",\"date\":\"d\",\"subject\":\"%s\"}]}",
                       rows[i].subject);
        expect_has(change, rows[i].shown);
    }
}

static void names_authors_and_lines_neither(void **state)
{
    expect_has("{\"relation\":\"forward\",\"commits\":[{\"commit\":\"`x`\",\"author\":\"*a*\","
               "\"date\":\"<d>\",\"subject\":\"s\"}]}",
               "- `` `x` `` `s` by `*a*`, `<d>`\n");
    expect_has(
        "{\"fileCount\":1,\"files\":[{\"name\":\"[x](y)\\n- z\",\"added\":1,\"removed\":0}]}",
        "- `[x](y) - z` +1 −0\n");
    expect_has("{\"configuration\":[\"a\\nb\",\"<script>\"]}", "    a b\n    <script>\n");
    expect_has("{\"text\":\"prod: <b> → `x`\\nmore\"}", "`` prod: <b> → `x` ``\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole),
        cmocka_unit_test(more_than_is_listed_is_counted),
        cmocka_unit_test(how_it_stands_to_what_runs),
        cmocka_unit_test(nothing_of_a_commit_is_rendered),
        cmocka_unit_test(names_authors_and_lines_neither),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
