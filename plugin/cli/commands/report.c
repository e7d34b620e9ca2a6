/* SPDX-License-Identifier: MIT */
#include "plugin/cli/audit-log.h"
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/report/moment.h"
#include "plugin/cli/report/report-html.h"
#include "plugin/cli/report/report-text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ENVIRONMENT_DEFAULT "prod"

static const Option options[] = {
    {"since", OPTION_TEXT, "DATE", NULL,
     "from this day, moment or time ago on: 2026-11-25, 2026-11-25T10:00:00Z, 30d, 12w (default: "
     "the day of the first record)"},
    {"until", OPTION_TEXT, "DATE", NULL,
     "up to the end of this day, or to this moment (default: now)"},
    {"env", OPTION_TEXT, "E", NULL, "the environment (default: prod)"},
    {"log", OPTION_LIST, "FILE", NULL,
     "an audit log that was exported, instead of the agent's; given several times they are put "
     "together by time"},
    {"html", OPTION_TEXT, "FILE", NULL,
     "write a page with plots, too, that needs no network and nothing beside it"},
    {0},
};

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * MOMENT_SECOND_US + now.tv_nsec / 1000;
}

static int read_period(Session *s, ReportPeriod *ret)
{
    const char *since = options_text(s->options, "since", NULL);
    const char *until = options_text(s->options, "until", NULL);
    int64_t now = now_us();

    *ret = (ReportPeriod){
        .environment = options_text(s->options, "env", ENVIRONMENT_DEFAULT),
        .since_us = MOMENT_NONE,
        .until_us = now,
        .now_us = now,
    };
    if (since && moment_parse_said(since, false, now, &ret->since_us) < 0) {
        return session_usage(s,
                             "--since is a day (2026-11-25), a moment (2026-11-25T10:00:00Z) or "
                             "how long ago (36h, 30d, 12w), not '%s'",
                             since);
    }
    if (until && moment_parse_said(until, true, now, &ret->until_us) < 0) {
        return session_usage(s,
                             "--until is a day (2026-11-25), a moment (2026-11-25T10:00:00Z) or "
                             "how long ago (36h, 30d, 12w), not '%s'",
                             until);
    }
    if (ret->since_us != MOMENT_NONE && ret->since_us >= ret->until_us) {
        return session_usage(s, "the period ends before it begins: --since %s%s%s", since,
                             until ? " --until " : ", which is not over yet", until ? until : "");
    }
    return EXIT_DONE;
}

static int out_of_memory(Session *s, int r)
{
    output_say(&s->output, "slipway: %s",
               r == -EFBIG ? "these logs are more than a report can hold" : "out of memory");
    return EXIT_ACTION_FAILED;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static int take_record(const SlipwayJson *record, void *userdata)
{
    return history_take(userdata, record);
}

/* A log that was tampered with gives no figures: they would be somebody's, not the host's. */
static int read_log(Session *s, const char *file, History *history)
{
    _cleanup_(audit_log_done) AuditLog log = {0};
    SlipwayJson *head = NULL;
    int r = audit_log_open(s, file, &log);

    if (r != 0) {
        return r;
    }
    r = history_begin(history, strrchr(log.name, '/') ? strrchr(log.name, '/') + 1 : log.name);
    if (r < 0) {
        return out_of_memory(s, r);
    }
    r = audit_log_walk(s, &log, NULL, take_record, history, &head);
    if (r < 0) {
        r = out_of_memory(s, r);
    } else if (r == 0 && history_end(history, slipway_json_get_bool(head, "/isTorn", false)) < 0) {
        r = out_of_memory(s, -ENOMEM);
    }
    (void)slipway_json_unref(head);
    return r;
}

static int read_logs(Session *s, History *history)
{
    const char *file = options_item(s->options, "log", 0);
    int r = file ? EXIT_DONE : read_log(s, NULL, history);

    for (size_t i = 0; r == EXIT_DONE && file; i++) {
        r = read_log(s, file, history);
        file = options_item(s->options, "log", i + 1);
    }
    if (r == EXIT_DONE) {
        int merged = history_merge(history);

        r = merged < 0 ? out_of_memory(s, merged) : EXIT_DONE;
    }
    return r;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static int write_page(const Report *report, const char *part)
{
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    int r = 0;

    if (!out) {
        r = -errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return r;
    }
    report_write_html(out, report);
    errno = EIO;
    r = fflush(out) != 0 || ferror(out) || fsync(fd) < 0 ? -errno : 0;
    return fclose(out) != 0 && r == 0 ? -errno : r;
}

/* Whole or not at all: somebody may look at the page that is there. */
static int print_html(Session *s, const Report *report, const char *path)
{
    char *part = NULL;
    int r;

    if (asprintf(&part, "%s.part", path) < 0) {
        return out_of_memory(s, -ENOMEM);
    }
    r = write_page(report, part);
    r = r == 0 && rename(part, path) < 0 ? -errno : r;
    if (r < 0) {
        output_say(&s->output, "slipway: the page '%s': %s", path, strerror(-r));
        (void)unlink(part);
    }
    free(part);
    return r < 0 ? EXIT_ACTION_FAILED : EXIT_DONE;
}

static int print_json(Session *s, const Report *report)
{
    SlipwayJson *json = report_to_json(report);

    if (!json) {
        return out_of_memory(s, -ENOMEM);
    }
    session_print_json(s, NULL, json);
    (void)slipway_json_unref(json);
    return EXIT_DONE;
}

static int print_text(Session *s, const Report *report)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    if (out) {
        report_write_text(out, report);
    }
    if (!out || fclose(out) != 0) {
        free(text);
        return out_of_memory(s, -ENOMEM);
    }
    output_write(&s->output, text, n);
    free(text);
    return EXIT_DONE;
}

static int print_report(Session *s, const Report *report)
{
    const char *page = options_text(s->options, "html", NULL);
    int r = page ? print_html(s, report, page) : EXIT_DONE;

    if (r == EXIT_DONE && s->output.is_json) {
        r = print_json(s, report);
    } else if (r == EXIT_DONE && !s->output.is_quiet) {
        r = print_text(s, report);
    }
    return r;
}

static int run(Session *s)
{
    _cleanup_(history_done) History history = {0};
    _cleanup_(report_done) Report report = {0};
    ReportPeriod period;
    int r = read_period(s, &period);

    r = r == EXIT_DONE ? read_logs(s, &history) : r;
    if (r != EXIT_DONE) {
        return r;
    }
    if (report_make(&history, &period, &report) < 0 || report_add_notes(&report, &history) < 0) {
        return out_of_memory(s, -ENOMEM);
    }
    return print_report(s, &report);
}

const Command command_report = {
    .name = "report",
    .synopsis = "",
    .summary = "deploys, lead time, failures and repairs of a period",
    .description =
        "Computes from the audit log how deploying goes, as text, as JSON (--json) and as a page "
        "(--html). The chain of each log is checked first; what was tampered with gives no "
        "figures.\n"
        "\nDeploys: " REPORT_ABOUT_DEPLOYS "\n\nLead time: " REPORT_ABOUT_LEAD
        "\n\nChange-fail rate: " REPORT_ABOUT_FAILURES "\n\nTime to restore: " REPORT_ABOUT_RESTORE
        "\n\nTime in each action: " REPORT_ABOUT_TIMES
        "\n\nRollbacks, refusals: " REPORT_ABOUT_COUNTS "\n\nMedian, p90: " REPORT_ABOUT_SPREAD,
    .options = options,
    .is_local = true, /* unless it has to ask the agent */
    .run = run,
};
