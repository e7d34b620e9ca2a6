/* SPDX-License-Identifier: MIT */
/* Any lines as the records of a host: there is a report, what it counts is consistent, and no text
 * of theirs becomes a tag of the page. */
#include "plugin/cli/report/moment.h"
#include "plugin/cli/report/report-html.h"
#include "plugin/cli/report/report-text.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void take_lines(History *h, const char *line, const char *end)
{
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        SlipwayJson *record = NULL;

        stop = stop ? stop : end;
        if (slipway_json_parse(line, (size_t)(stop - line), &record) == 0) {
            require(history_take(h, record) == 0);
        }
        (void)slipway_json_unref(record);
        line = stop + 1;
    }
}

static void check_counts(const Report *report)
{
    const ReportFigures *f = &report->total;
    size_t n = 0, n_leads = 0;

    for (size_t i = 0; i < report->n_buckets; i++) {
        n += report->buckets[i].n_fine + report->buckets[i].n_failures;
    }
    for (size_t i = 0; i < REPORT_LEAD_CLASSES; i++) {
        n_leads += report->lead_classes[i];
    }
    require(n == f->n_changed + f->n_failed);
    require(n_leads == f->lead.n && f->lead.n <= f->n_changed);
    require(f->n_failures == f->n_failed + f->n_taken_back + f->n_failed_checks);
    require(f->n_failures <= n);
    require(f->lead.median >= 0 && f->lead.median <= f->lead.p90 && f->lead.p90 <= f->lead.max);
    require(f->restore.median >= 0 && f->restore.p90 <= f->restore.max);
}

/* Every "<" of the page begins a tag of ours. */
static void check_page(const Report *report)
{
    static const char *const never[] = {"<script", "<img", "<a ", "<b>x"};
    char *page = NULL;
    size_t n;
    FILE *out = open_memstream(&page, &n);

    require(out);
    report_write_html(out, report);
    require(fclose(out) == 0 && strlen(page) == n);
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        require(!strstr(page, never[i]));
    }
    free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ReportPeriod period = {.environment = "prod", .since_us = MOMENT_NONE};
    const char *text = (const char *)data;
    History h = {0};
    Report report = {0};
    SlipwayJson *json;
    FILE *out = fopen("/dev/null", "w");

    require(out && moment_parse("2026-12-01T00:00:00Z", &period.until_us) == 0);
    period.now_us = period.until_us;
    require(history_begin(&h, "host") == 0);
    take_lines(&h, text, text + size);
    require(history_end(&h, false) == 0 && history_merge(&h) == 0);
    require(report_make(&h, &period, &report) == 0);
    require(report_add_notes(&report, &h) == 0);
    check_counts(&report);
    check_page(&report);
    report_write_text(out, &report);
    json = report_to_json(&report);
    require(json);
    (void)slipway_json_unref(json);
    (void)fclose(out);
    report_done(&report);
    history_done(&h);
    return 0;
}
