/* SPDX-License-Identifier: MIT */
#include "plugin/readiness/readiness.h"

#include "tests/unit/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WELL                                                                                    \
    "{\"status\":\"ok\",\"problems\":[],\"isWorking\":true,\"slots\":{\"total\":4,\"busy\":4}," \
    "\"queue\":{\"length\":10,\"max\":100,\"oldestSeconds\":2.5},\"calls\":{\"lost\":1},"       \
    "\"disk\":{\"freeBytes\":80000000000,\"totalBytes\":100000000000,\"markBytes\":5000000000," \
    "\"freeInodes\":900000,\"totalInodes\":1000000},\"memory\":{\"rssBytes\":2000000}}"

static SlipwayJson *health(void)
{
    SlipwayJson *value = NULL;

    assert_int_equal(slipway_json_parse(WELL, strlen(WELL), &value), 0);
    return value;
}

/* Judges, expects a state and one reason with these words (NULL: none). Frees `h`. */
static void expect(SlipwayJson *h, double clock_offset, ReadinessState state, const char *words)
{
    Readiness readiness;

    assert_int_equal(readiness_judge(h, clock_offset, &readiness), 0);
    assert_int_equal(readiness.state, state);
    assert_int_equal(slipway_json_get_count(readiness.reasons, ""), words ? 1 : 0);
    if (words && !strstr(slipway_json_get_string(readiness.reasons, "/0", ""), words)) {
        fail_msg("'%s' is not in '%s'", words,
                 slipway_json_get_string(readiness.reasons, "/0", ""));
    }
    readiness_done(&readiness);
    (void)slipway_json_unref(h);
}

static SlipwayJson *with(const char *pointer, long long value)
{
    SlipwayJson *h = health();

    assert_int_equal(slipway_json_set_int(h, pointer, value), 0);
    return h;
}

static void is_ready_when_well(void **state)
{
    expect(health(), NAN, READINESS_READY, NULL);
    expect(health(), -29, READINESS_READY, NULL);
    expect(slipway_json_new_object(), NAN, READINESS_READY, NULL); /* an older agent */
}

static void turns_before_the_queue_is_full(void **state)
{
    expect(with("/queue/length", 79), NAN, READINESS_READY, NULL);
    expect(with("/queue/length", 80), NAN, READINESS_UNREADY, "will be full soon: 80 of 100");
    expect(with("/queue/length", 100), NAN, READINESS_BROKEN, "is full: 100 calls");
}

static void turns_when_slots_do_not_come_free(void **state)
{
    SlipwayJson *h = with("/queue/oldestSeconds", 901);

    expect(with("/queue/oldestSeconds", 899), NAN, READINESS_READY, NULL);
    expect(with("/queue/oldestSeconds", 1801), NAN, READINESS_UNREADY, "waited for 30 minutes");
    assert_int_equal(slipway_json_set_int(h, "/slots/busy", 3), 0); /* it waits for its own run */
    expect(h, NAN, READINESS_READY, NULL);
}

static void turns_at_the_mark_of_the_disk(void **state)
{
    SlipwayJson *h = with("/disk/freeInodes", 5), *no_mark = with("/disk/freeBytes", 400000000);

    expect(with("/disk/freeBytes", 4999999999), NAN, READINESS_UNREADY, "4999 MB are free");
    expect(with("/disk/freeInodes", 19999), NAN, READINESS_UNREADY, "19999 are free");
    assert_int_equal(slipway_json_set_int(h, "/disk/totalInodes", 0), 0); /* btrfs has no such */
    expect(h, NAN, READINESS_READY, NULL);
    assert_int_equal(slipway_json_set_int(no_mark, "/disk/markBytes", 0), 0);
    expect(no_mark, NAN, READINESS_UNREADY, "400 MB are free");
}

static void counts_what_the_agent_says(void **state)
{
    SlipwayJson *h = health(), *broken = health(), *silent = health();

    assert_int_equal(slipway_json_set_string(h, "/problems/-", "no steering wheel"), 0);
    expect(h, NAN, READINESS_UNREADY, "no steering wheel");
    assert_int_equal(slipway_json_set_string(broken, "/problems/-", "no wheels"), 0);
    assert_int_equal(slipway_json_set_bool(broken, "/isWorking", false), 0);
    expect(broken, NAN, READINESS_BROKEN, "no wheels");
    assert_int_equal(slipway_json_set_bool(silent, "/isWorking", false), 0);
    expect(silent, NAN, READINESS_BROKEN, "no call can run");
}

static void minds_the_clock(void **state)
{
    expect(health(), 31, READINESS_UNREADY, "31 s ahead of this host's");
    expect(health(), -90, READINESS_UNREADY, "90 s behind this host's");
}

static void expect_nagios(SlipwayJson *h, int code, const char *line)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    Readiness readiness;

    assert_int_equal(readiness_judge(h, NAN, &readiness), 0);
    assert_int_equal(readiness_print_nagios(out, h, &readiness), code);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, line);
    free(text);
    readiness_done(&readiness);
    (void)slipway_json_unref(h);
}

#define FIGURES                                          \
    "queue=10;80;100;0;100 oldest=2.500s;900;;0 "        \
    "disk_free=80000000000B;5000000000:;;0;100000000000" \
    " inodes_free=900000;20000:;;0;1000000 rss=2000000B lost=1c\n"

static void writes_a_line_for_nagios(void **state)
{
    SlipwayJson *warned = health(), *broken = health();

    expect_nagios(
        health(), 0,
        "SLIPWAY OK - 4 of 4 slots busy, 10 queued, 80.0 GB free | slots=4;;;0;4 " FIGURES);
    assert_int_equal(slipway_json_set_string(warned, "/problems/-", "a|b\nc"), 0);
    assert_int_equal(slipway_json_set_string(warned, "/problems/-", "two"), 0);
    expect_nagios(warned, 1, "SLIPWAY WARNING - a/b c; two | slots=4;;;0;4 " FIGURES);
    assert_int_equal(slipway_json_set_bool(broken, "/isWorking", false), 0);
    expect_nagios(broken, 2, "SLIPWAY CRITICAL - no call can run | slots=4;;;0;4 " FIGURES);
}

static void says_that_the_agent_is_away(void **state)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);

    assert_int_equal(readiness_print_nagios_away(out, "no agent:\nnone | at all"), 2);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "SLIPWAY CRITICAL - no agent: none / at all\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_ready_when_well),
        cmocka_unit_test(turns_before_the_queue_is_full),
        cmocka_unit_test(turns_when_slots_do_not_come_free),
        cmocka_unit_test(turns_at_the_mark_of_the_disk),
        cmocka_unit_test(counts_what_the_agent_says),
        cmocka_unit_test(minds_the_clock),
        cmocka_unit_test(writes_a_line_for_nagios),
        cmocka_unit_test(says_that_the_agent_is_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
