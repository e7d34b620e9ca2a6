/* SPDX-License-Identifier: MIT */
#include "plugin/health/ledger.h"

#include "plugin/cli/report/moment.h"
#include "tests/unit/health/some-facts.h"

#include <errno.h>
#include <unistd.h>

/* A `finished` record of a service at a minute; `more` are further members. */
static void add(History *h, const char *action, const char *outcome, const char *name, int minute,
                const char *more)
{
    char *text = NULL;
    SlipwayJson *record;

    assert_true(asprintf(&text,
                         "{\"seq\":1,\"time\":\"2026-11-25T10:%02d:00Z\",\"event\":\"finished\","
                         "\"call\":\"c%d\",\"action\":\"%s\",\"outcome\":\"%s\",\"name\":\"%s\"%s}",
                         minute, minute, action, outcome, name, more) > 0);
    record = some_json(text);
    assert_int_equal(history_take(h, record), 0);
    (void)slipway_json_unref(record);
    free(text);
}

static void fold(History *h, Ledger *ret)
{
    assert_int_equal(history_end(h, false), 0);
    assert_int_equal(history_merge(h), 0);
    assert_int_equal(ledger_fold(h, ret), 0);
    history_done(h);
}

static void counts_and_knows_what_runs(void **state)
{
    const LedgerService *mail, *shop;
    History h = {0};
    Ledger ledger;

    assert_int_equal(history_begin(&h, "a"), 0);
    add(&h, "build", "succeeded", "shop", 1, "");
    add(&h, "deploy-prod", "succeeded", "shop", 2, ",\"version\":\"1\",\"commit\":\"aa\"");
    add(&h, "deploy-prod", "succeeded", "shop", 3, ",\"version\":\"2\",\"subject\":\"Two\"");
    add(&h, "deploy-prod", "succeeded", "shop", 4, ",\"version\":\"2\",\"isUnchanged\":true");
    add(&h, "deploy-prod", "failed", "shop", 5, ",\"version\":\"3\",\"reason\":\"ill\"");
    add(&h, "deploy-prod", "succeeded", "mail", 6, ",\"version\":\"9\"");
    add(&h, "rollback-prod", "succeeded", "mail", 7, ",\"version\":\"8\"");
    add(&h, "verify-prod", "succeeded", "mail", 8, ",\"version\":\"8\"");
    add(&h, "deploy-staging", "refused", "shop", 9, ",\"reason\":\"frozen\"");
    fold(&h, &ledger);

    assert_int_equal(ledger.n_counts, 5);
    assert_string_equal(ledger.counts[0].environment, "prod");
    assert_int_equal(ledger.counts[0].n, 4); /* deploys that succeeded */
    assert_int_equal(ledger.n_services, 3);
    mail = &ledger.services[0];
    shop = &ledger.services[1];
    assert_string_equal(mail->service, "mail");
    assert_string_equal(mail->version, "8");
    assert_int_equal(mail->last_outcome, HISTORY_SUCCEEDED);
    assert_string_equal(shop->version, "2");
    assert_int_equal(shop->since_us % (3600 * MOMENT_SECOND_US), 3 * 60 * MOMENT_SECOND_US);
    assert_int_equal(shop->last_outcome, HISTORY_FAILED);
    assert_string_equal(shop->last_reason, "ill");
    assert_string_equal(ledger.services[2].environment, "staging");
    assert_true(ledger.services[2].since_us == MOMENT_NONE);
    ledger_done(&ledger);
}

static void has_a_limit(void **state)
{
    History h = {0};
    char name[16];
    Ledger ledger;

    assert_int_equal(history_begin(&h, "a"), 0);
    for (int i = 0; i < LEDGER_ROWS_MAX + 5; i++) {
        (void)snprintf(name, sizeof(name), "s%d", i);
        add(&h, "deploy-prod", "succeeded", name, i % 60, "");
    }
    fold(&h, &ledger);
    assert_int_equal(ledger.n_services, LEDGER_ROWS_MAX);
    ledger_done(&ledger);
}

static void tells_that_a_log_is_none(void **state)
{
    char path[] = "/tmp/slipway-test-XXXXXX", *error = NULL;
    int fd = mkstemp(path);
    Ledger ledger;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"seq\":1}\n", 10), 10);
    assert_int_equal(ledger_read(path, &ledger, &error), -EBADMSG);
    assert_non_null(error);
    free(error);
    (void)close(fd);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_knows_what_runs),
        cmocka_unit_test(has_a_limit),
        cmocka_unit_test(tells_that_a_log_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
