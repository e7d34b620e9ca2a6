/* SPDX-License-Identifier: MIT */
/* A history from records that are written as in the log, without what the chain needs. */
#pragma once

#include "plugin/cli/report/history.h"
#include "tests/unit/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A moment of the first of November 2026 (a Sunday) and the days after it. */
#define DAY(d, time) "2026-11-" d "T" time "Z"
#define RECORD(event, moment, members) \
    "{\"event\":\"" event "\",\"time\":\"" moment "\"" members "}"
#define END(action, moment, outcome, members) \
    RECORD("finished", moment, ",\"action\":\"" action "\",\"outcome\":\"" outcome "\"" members)

__attribute__((unused)) static void add_log(History *h, const char *name,
                                            const char *const *records)
{
    assert_int_equal(history_begin(h, name), 0);
    for (size_t i = 0; records[i]; i++) {
        SlipwayJson *record = NULL;

        if (slipway_json_parse(records[i], strlen(records[i]), &record) < 0) {
            fail_msg("no JSON: %s", records[i]);
        }
        assert_int_equal(history_take(h, record), 0);
        (void)slipway_json_unref(record);
    }
    assert_int_equal(history_end(h, false), 0);
}

/* One log of these records, merged. */
#define make_history(h, ...)                                       \
    do {                                                           \
        static const char *const records_[] = {__VA_ARGS__, NULL}; \
                                                                   \
        add_log(h, "host", records_);                              \
        assert_int_equal(history_merge(h), 0);                     \
    } while (0)

#define _cleanup_history_ __attribute__((cleanup(history_done)))
