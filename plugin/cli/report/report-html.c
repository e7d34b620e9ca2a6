/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/report-html.h"

#include "plugin/cli/report/html.h"
#include "plugin/cli/report/moment.h"
#include "plugin/cli/report/svg.h"

#include <stdlib.h>
#include <string.h>

#define LATEST_MAX 25
#define TIME_LABELS_MAX 7
/* Pixels. The plots that stand side by side are as high as the longer list of actions makes them.
 */
#define PLOT_HEIGHT 170
#define PLOT_HEIGHT_MAX 420
#define ACTION_HEIGHT 44

/* Texts of the log are isolated (unicode-bidi), wrapped anywhere, and under a policy that runs no
 * script and fetches nothing even if one of them got out of its place. */
static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" "
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";

static const char style[] =
    "<style>\n"
    ":root{--plane:#f7f7f5;--card:#fff;--ink:#16181d;--ink2:#50535b;--ink3:#7d8087;"
    "--line:#e4e4e0;--base:#bfbfba;--fine:#2a6fd6;--light:#b9d2f6;--track:#efefec;--bad:#cf3a34;"
    "--bad-bg:#fbe9e7;--bad-ink:#9c231e;--good-bg:#e6f4ea;--good-ink:#1c6434;--flat-bg:#ececea;"
    "--warn-bg:#fdf3d9;--warn-ink:#6d4e00}\n"
    "@media(prefers-color-scheme:dark){:root{--plane:#101113;--card:#191b1f;--ink:#f1f2f4;"
    "--ink2:#b9bcc4;--ink3:#868a93;--line:#2b2e34;--base:#4a4e56;--fine:#4d8df0;--light:#27436f;"
    "--track:#23262b;--bad:#e5605a;--bad-bg:#3d1d1c;--bad-ink:#ffb0ab;--good-bg:#173324;"
    "--good-ink:#9fe0b4;--flat-bg:#2a2d33;--warn-bg:#3a2f12;--warn-ink:#f3d68d}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--plane);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif;"
    "-webkit-text-size-adjust:100%}\n"
    "main{max-width:1120px;margin:0 auto;padding:40px 24px 56px}\n"
    "h1{font-size:30px;line-height:1.2;letter-spacing:-.02em;margin:0 0 6px;font-weight:680}\n"
    "h2{font-size:16px;margin:0;font-weight:640}\n"
    "p{margin:0}\n"
    ".sub,.note{color:var(--ink2)}\n"
    ".note{font-size:13.5px;margin:2px 0 12px}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:20px "
    "22px;"
    "min-width:0}\n"
    ".grid{display:grid;gap:16px;margin-top:16px}\n"
    ".tiles{grid-template-columns:repeat(4,1fr);margin-top:28px}\n"
    ".two{grid-template-columns:1fr 1fr}\n"
    ".tile .label{font-size:13.5px;color:var(--ink2)}\n"
    ".tile .value{font-size:38px;line-height:1.15;font-weight:680;letter-spacing:-.025em;"
    "margin:6px 0;font-variant-numeric:tabular-nums}\n"
    ".tile .value small{font-size:18px;font-weight:560;letter-spacing:0;color:var(--ink2);"
    "margin-left:5px}\n"
    ".tile .sub{font-size:13.5px;line-height:1.4}\n"
    ".apart{color:var(--ink2);margin:16px 4px 0;font-size:14px}\n"
    ".apart b{color:var(--ink);font-variant-numeric:tabular-nums}\n"
    ".warn{background:var(--warn-bg);color:var(--warn-ink);border-radius:12px;padding:12px 18px;"
    "margin-top:20px;font-size:14px}\n"
    ".warn p+p{margin-top:6px}\n"
    "svg{display:block;overflow:visible}\n"
    "svg text{font-size:12px;fill:var(--ink3);font-variant-numeric:tabular-nums}\n"
    "svg text.name{font-size:14px;fill:var(--ink);font-weight:560}\n"
    "rect.off{fill:var(--track);opacity:.75}\n"
    "line.grid{stroke:var(--line)}line.base{stroke:var(--base)}\n"
    "rect.fine{fill:var(--fine)}rect.light{fill:var(--light)}rect.track{fill:var(--track)}"
    "rect.bad{fill:var(--bad)}\n"
    "g:hover>rect.fine,g:hover>rect.bad{opacity:.82}\n"
    ".key{font-size:13px;color:var(--ink2);display:flex;flex-wrap:wrap;gap:4px 18px;"
    "margin-top:6px}\n"
    ".key i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:7px}\n"
    ".key .f{background:var(--fine)}.key .l{background:var(--light)}.key "
    ".b{background:var(--bad)}\n"
    "table{border-collapse:collapse;width:100%;margin-top:6px;font-size:14px}\n"
    "th{text-align:left;font-weight:560;font-size:13px;color:var(--ink2);padding:8px 12px 8px 0;"
    "border-bottom:1px solid var(--base);white-space:nowrap}\n"
    "td{padding:10px 12px 10px 0;border-bottom:1px solid var(--line);vertical-align:top;"
    "overflow-wrap:anywhere;unicode-bidi:isolate}\n"
    "tr:last-child td{border-bottom:0}\n"
    ".num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    ".when{white-space:nowrap;font-variant-numeric:tabular-nums;color:var(--ink2)}\n"
    ".name{white-space:nowrap}\n"
    ".rows .what{width:32%}.rows .who{width:15%;min-width:110px}.rows .num{width:11%}\n"
    ".dim{color:var(--ink2)}\n"
    "code{font:12.5px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--ink2)}\n"
    ".pill{display:inline-block;border-radius:999px;padding:1px 10px;font-size:12.5px;"
    "font-weight:560;background:var(--flat-bg);color:var(--ink2);white-space:nowrap}\n"
    ".pill.good{background:var(--good-bg);color:var(--good-ink)}"
    ".pill.bad{background:var(--bad-bg);color:var(--bad-ink)}\n"
    ".why{font-size:13px;color:var(--ink2);margin-top:3px}\n"
    "dl{margin:8px 0 0;display:grid;grid-template-columns:170px 1fr;gap:9px 20px;font-size:14px}\n"
    "dt{font-weight:560}dd{margin:0;color:var(--ink2)}\n"
    "footer{margin:20px 4px 0;font-size:13px;color:var(--ink3)}\n"
    "@media(max-width:960px){.tiles{grid-template-columns:1fr "
    "1fr}.two{grid-template-columns:1fr}}\n"
    "@media(max-width:640px){main{padding:24px 14px 40px}h1{font-size:25px}.card{padding:16px}"
    ".tile .value{font-size:30px}.tiles,.grid{gap:12px}dl{grid-template-columns:1fr;gap:2px}"
    "dd{margin-bottom:10px}"
    ".rows thead{display:none}.rows tr{display:block;padding:12px 0;"
    "border-bottom:1px solid var(--line)}.rows tr:last-child{border:0}"
    ".rows td,.rows .what,.rows .who{display:block;border:0;padding:1px 0;text-align:left;"
    "width:auto}.rows td:empty{display:none}.rows td.num::before{content:'lead time ';"
    "color:var(--ink2)}.who .dim{display:inline}"
    ".scroll{overflow-x:auto}}\n"
    "@media print{:root{--plane:#fff}body{font-size:11pt}main{padding:0;max-width:none}"
    ".card{break-inside:avoid;border-radius:6px}.long{break-inside:auto}tr{break-inside:avoid}"
    ".tiles{grid-template-columns:repeat(4,1fr)}.two{grid-template-columns:1fr 1fr}"
    "main{zoom:.78}h2,.note{break-after:avoid}"
    "*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}\n"
    "</style>\n";

/* ---- the top ----------------------------------------------------------------------------------
 */

static void write_head(FILE *out, const Report *report)
{
    char since[MOMENT_TEXT_SIZE], until[MOMENT_TEXT_SIZE];
    const History *h = report->history;

    (void)fprintf(out, "%s<title>", head);
    html_format(out, "Releases to %s", report->environment);
    (void)fprintf(out, "</title>\n%s</head>\n<body>\n<main>\n<header>\n<h1>", style);
    html_format(out, "Releases to %s", report->environment);
    (void)fprintf(out, "</h1>\n<p class=\"sub\">");
    html_format(out, "%s to %s · %u day%s (%u working) · from %s",
                moment_date(report->since_us, since), moment_date(report->until_us - 1, until),
                report->n_days, report->n_days == 1 ? "" : "s", report->n_working_days,
                h->n_logs == 1 ? "the audit log of " : "the audit logs of ");
    for (size_t i = 0; i < h->n_logs; i++) {
        html_format(out, "%s%s", i ? ", " : "", history_log_name(h, i));
    }
    (void)fprintf(out, "</p>\n</header>\n");
    if (h->n_notes > 0) {
        (void)fprintf(out, "<aside class=\"warn\">\n");
        for (size_t i = 0; i < h->n_notes; i++) {
            (void)fprintf(out, "<p>");
            html_text(out, h->notes[i]);
            (void)fprintf(out, "</p>\n");
        }
        (void)fprintf(out, "</aside>\n");
    }
}

/* "42 min": the unit is smaller than the number. */
static void write_value(FILE *out, const char *text)
{
    const char *space = strchr(text, ' ');

    (void)fprintf(out, "<p class=\"value\">");
    html_format(out, "%.*s", space ? (int)(space - text) : (int)strlen(text), text);
    if (space) {
        (void)fprintf(out, "<small>");
        html_text(out, space + 1);
        (void)fprintf(out, "</small>");
    }
    (void)fprintf(out, "</p>\n");
}

static void begin_tile(FILE *out, const char *label, const char *value)
{
    (void)fprintf(out, "<section class=\"card tile\">\n<p class=\"label\">");
    html_text(out, label);
    (void)fprintf(out, "</p>\n");
    write_value(out, value);
    (void)fprintf(out, "<p class=\"sub\">");
}

static void end_tile(FILE *out)
{
    (void)fprintf(out, "</p>\n</section>\n");
}

static void write_frequency_tile(FILE *out, const Report *report)
{
    double by_working_day = report_per_working_day(report);
    char value[MOMENT_TEXT_SIZE];

    (void)snprintf(value, sizeof(value), "%zu", report->total.n_changed);
    begin_tile(out, "Deploys", value);
    if (by_working_day >= 0) {
        html_format(out, "%.1f a working day, ", by_working_day);
    }
    html_format(out, "%.1f a day", report_per_day(report));
    end_tile(out);
}

static void write_lead_tile(FILE *out, const ReportSpread *lead)
{
    char text[MOMENT_TEXT_SIZE];

    begin_tile(out, "Lead time from commit", lead->n ? moment_duration(lead->median, text) : "–");
    if (lead->n > 1) {
        html_format(out, "median of %zu; nine of ten within %s", lead->n,
                    moment_duration(lead->p90, text));
    } else {
        html_text(out, lead->n ? "of one deploy" : "no deploy with a commit’s time");
    }
    end_tile(out);
}

static void write_rate_tile(FILE *out, const ReportFigures *f)
{
    double rate = report_fail_rate(f);
    char value[MOMENT_TEXT_SIZE];

    (void)snprintf(value, sizeof(value), rate < 0 ? "–" : "%.1f %%", 100 * rate);
    begin_tile(out, "Change-fail rate", value);
    html_format(out, "%zu of %zu", f->n_failures, f->n_changed + f->n_failed);
    if (f->n_failures > 0) {
        html_format(out, ": %zu failed, %zu taken back, %zu failed a check", f->n_failed,
                    f->n_taken_back, f->n_failed_checks);
    }
    end_tile(out);
}

static void write_restore_tile(FILE *out, const ReportFigures *f)
{
    char text[MOMENT_TEXT_SIZE];

    begin_tile(out, "Time to restore",
               f->restore.n ? moment_duration(f->restore.median, text) : "–");
    if (f->restore.n > 1) {
        html_format(out, "median of %zu outages; the longest took %s", f->restore.n,
                    moment_duration(f->restore.max, text));
    } else {
        html_text(out, f->restore.n ? "one outage" : "no outage that ended");
    }
    if (f->n_open > 0) {
        html_format(out, "; %zu %s not over", f->n_open, f->n_open > 1 ? "are" : "is");
    }
    end_tile(out);
}

static void write_apart(FILE *out, const ReportFigures *f)
{
    (void)fprintf(out, "<p class=\"apart\">Counted apart: <b>%zu</b> rollback%s", f->n_rollbacks,
                  f->n_rollbacks == 1 ? "" : "s");
    if (f->n_failed_rollbacks > 0) {
        (void)fprintf(out, " (and %zu that failed)", f->n_failed_rollbacks);
    }
    (void)fprintf(out,
                  ", <b>%zu</b> refusal%s, <b>%zu</b> deploy%s that found %s package running "
                  "already.</p>\n",
                  f->n_refusals, f->n_refusals == 1 ? "" : "s", f->n_unchanged,
                  f->n_unchanged == 1 ? "" : "s", f->n_unchanged == 1 ? "its" : "their");
}

static void write_tiles(FILE *out, const Report *report)
{
    (void)fprintf(out, "<div class=\"grid tiles\">\n");
    write_frequency_tile(out, report);
    write_lead_tile(out, &report->total.lead);
    write_rate_tile(out, &report->total);
    write_restore_tile(out, &report->total);
    (void)fprintf(out, "</div>\n");
    write_apart(out, &report->total);
}

/* ---- plots ------------------------------------------------------------------------------------
 */

static void begin_card(FILE *out, const char *class, const char *title, const char *note)
{
    (void)fprintf(out, "<section class=\"card%s\">\n<h2>", class);
    html_text(out, title);
    (void)fprintf(out, "</h2>\n<p class=\"note\">");
    html_text(out, note);
    (void)fprintf(out, "</p>\n");
}

/* The words that a plot borrows while it is drawn. */
typedef struct Words {
    char label[MOMENT_TEXT_SIZE];
    char tip[160];
} Words;

static void describe_bucket(const Report *report, size_t i, Words *words, SvgColumn *column)
{
    static const char *const of[] = {"", "week of ", "month of "};
    const ReportBucket *bucket = &report->buckets[i];
    size_t every = (report->n_buckets + TIME_LABELS_MAX - 1) / TIME_LABELS_MAX;
    char date[MOMENT_TEXT_SIZE], span[64];

    (void)snprintf(span, sizeof(span), "%s%s", of[report->unit],
                   moment_date(bucket->start_us, date));
    (void)snprintf(words->tip, sizeof(words->tip), "%s: %zu deploy%s%s", span,
                   bucket->n_fine + bucket->n_failures,
                   bucket->n_fine + bucket->n_failures == 1 ? "" : "s",
                   bucket->n_failures ? "" : ", none of them a failure");
    if (bucket->n_failures > 0) {
        size_t len = strlen(words->tip);

        (void)snprintf(words->tip + len, sizeof(words->tip) - len, ", %zu of them a failure",
                       bucket->n_failures);
    }
    (void)snprintf(words->label, sizeof(words->label), "%s", moment_short(bucket->start_us, date));
    *column = (SvgColumn){
        .fine = (double)bucket->n_fine,
        .bad = (double)bucket->n_failures,
        .label = i % every == 0 ? words->label : NULL,
        .tip = words->tip,
        .is_off = report->unit == REPORT_DAYS && moment_weekday(bucket->start_us) >= 5,
    };
}

static void write_deploys_plot(FILE *out, const Report *report)
{
    static const char *const titles[] = {"Deploys by day", "Deploys by week", "Deploys by month"};
    SvgColumn *columns = calloc(report->n_buckets + 1, sizeof(*columns));
    Words *words = calloc(report->n_buckets + 1, sizeof(*words));

    begin_card(out, "", titles[report->unit],
               report->unit == REPORT_DAYS
                   ? "Deploys that changed what runs, and those that failed. Days are in UTC; "
                     "weekends are shaded."
                   : "Deploys that changed what runs, and those that failed. Days are in UTC.");
    for (size_t i = 0; columns && words && i < report->n_buckets; i++) {
        describe_bucket(report, i, &words[i], &columns[i]);
    }
    if (columns && words) {
        svg_columns(out, &(SvgColumns){.title = titles[report->unit],
                                       .columns = columns,
                                       .n = report->n_buckets,
                                       .width_max = 3,
                                       .height = PLOT_HEIGHT});
    }
    (void)fprintf(out, "<p class=\"key\"><span><i class=\"f\"></i>released and stayed</span>"
                       "<span><i class=\"b\"></i>failed, taken back, or failed a check</span></p>\n"
                       "</section>\n");
    free(columns);
    free(words);
}

/* Actions of which it is known how long they took. */
static size_t count_timed(const Report *report)
{
    size_t n = 0;

    for (size_t i = 0; i < report->n_actions; i++) {
        n += report->actions[i].seconds.n > 0;
    }
    return n;
}

static void write_lead_plot(FILE *out, const Report *report)
{
    static const char *const ends[] = {"10 m", "30 m", "1 h", "2 h", "4 h",
                                       "8 h",  "1 d",  "2 d", "1 w", NULL};
    static const char *const spans[] = {
        "within 10 minutes", "10 to 30 minutes", "30 minutes to 1 hour", "1 to 2 hours",
        "2 to 4 hours",      "4 to 8 hours",     "8 to 24 hours",        "1 to 2 days",
        "2 days to a week",  "more than a week"};
    SvgColumn columns[REPORT_LEAD_CLASSES];
    Words words[REPORT_LEAD_CLASSES];
    double height = (double)count_timed(report) * ACTION_HEIGHT;

    height = height < PLOT_HEIGHT       ? PLOT_HEIGHT
             : height > PLOT_HEIGHT_MAX ? PLOT_HEIGHT_MAX
                                        : height;

    for (size_t i = 0; i < REPORT_LEAD_CLASSES; i++) {
        (void)snprintf(words[i].tip, sizeof(words[i].tip), "%s: %zu", spans[i],
                       report->lead_classes[i]);
        columns[i] = (SvgColumn){
            .fine = (double)report->lead_classes[i], .label = ends[i], .tip = words[i].tip};
    }
    begin_card(out, "", "Lead time",
               "Deploys by how long their commit took to get there, in classes that grow.");
    svg_columns(out, &(SvgColumns){.title = "Deploys by lead time",
                                   .columns = columns,
                                   .n = REPORT_LEAD_CLASSES,
                                   .has_edges = true,
                                   .width_max = 8,
                                   .height = height});
    (void)fprintf(out, "</section>\n");
}

static void describe_action(const ReportAction *action, Words *words, SvgSpan *span)
{
    char median[MOMENT_TEXT_SIZE], p90[MOMENT_TEXT_SIZE];

    (void)moment_duration(action->seconds.median, median);
    (void)moment_duration(action->seconds.p90, p90);
    (void)snprintf(words->label, sizeof(words->label), "%.16s · %.16s", median, p90);
    (void)snprintf(words->tip, sizeof(words->tip),
                   "median %s, p90 %s of %zu; %zu succeeded, %zu failed, %zu refused", median, p90,
                   action->seconds.n, action->n_succeeded, action->n_failed, action->n_refused);
    *span = (SvgSpan){
        .name = action->name,
        .text = words->label,
        .tip = words->tip,
        .median = action->seconds.median,
        .p90 = action->seconds.p90,
    };
}

static void write_actions_plot(FILE *out, const Report *report)
{
    SvgSpan *spans = calloc(report->n_actions + 1, sizeof(*spans));
    Words *words = calloc(report->n_actions + 1, sizeof(*words));
    size_t n = 0;

    begin_card(out, "", "Time in each action",
               "Median and p90 of calls that succeeded and did something, in any environment.");
    for (size_t i = 0; spans && words && i < report->n_actions; i++) {
        if (report->actions[i].seconds.n > 0) {
            describe_action(&report->actions[i], &words[n], &spans[n]);
            n++;
        }
    }
    if (n > 0) {
        svg_spans(out, "Time in each action", spans, n);
        (void)fprintf(out, "<p class=\"key\"><span><i class=\"f\"></i>median</span>"
                           "<span><i class=\"l\"></i>p90</span></p>\n");
    } else {
        (void)fprintf(out, "<p class=\"dim\">No call in this period says how long it took.</p>\n");
    }
    (void)fprintf(out, "</section>\n");
    free(spans);
    free(words);
}

/* ---- tables -----------------------------------------------------------------------------------
 */

static void write_cell(FILE *out, const char *class, const char *text)
{
    (void)fprintf(out, "<td class=\"%s\">", class);
    html_text(out, text);
    (void)fprintf(out, "</td>");
}

static void write_number(FILE *out, size_t number)
{
    (void)fprintf(out, "<td class=\"num\">%zu</td>", number);
}

static void write_services(FILE *out, const Report *report)
{
    char text[MOMENT_TEXT_SIZE];

    begin_card(out, " long", "By service", "Each with the figures above, of it alone.");
    (void)fprintf(out, "<div class=\"scroll\"><table>\n<thead><tr><th>Service</th>"
                       "<th class=\"num\">Deploys</th><th class=\"num\">Lead time, median</th>"
                       "<th class=\"num\">Change-fail rate</th>"
                       "<th class=\"num\">Time to restore, median</th>"
                       "<th class=\"num\">Rollbacks</th><th class=\"num\">Refusals</th>"
                       "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < report->n_services; i++) {
        const ReportFigures *f = &report->services[i];
        double rate = report_fail_rate(f);

        (void)fprintf(out, "<tr>");
        write_cell(out, "name", *f->name ? f->name : "(not said)");
        write_number(out, f->n_changed);
        write_cell(out, "num", f->lead.n ? moment_duration(f->lead.median, text) : "–");
        (void)snprintf(text, sizeof(text), rate < 0 ? "–" : "%.1f %%", 100 * rate);
        write_cell(out, "num", text);
        write_cell(out, "num", f->restore.n ? moment_duration(f->restore.median, text) : "–");
        write_number(out, f->n_rollbacks);
        write_number(out, f->n_refusals);
        (void)fprintf(out, "</tr>\n");
    }
    (void)fprintf(out, "</tbody>\n</table></div>\n</section>\n");
}

static void write_what(FILE *out, const Report *report, const HistoryEntry *entry)
{
    const char *service = report->history->services[entry->service];

    (void)fprintf(out, "<td class=\"what\">");
    html_format(out, "%s%s%s", service, *service && *entry->version ? " " : "", entry->version);
    if ((*entry->commit || *entry->digest) &&
        !history_version_says_commit(entry->version, entry->commit)) {
        (void)fprintf(out, " <code>");
        html_format(out, *entry->commit ? "%.8s" : "%.19s",
                    *entry->commit ? entry->commit : entry->digest);
        (void)fprintf(out, "</code>");
    }
    if (*entry->subject) {
        (void)fprintf(out, "<div class=\"dim\">");
        html_text(out, entry->subject);
        (void)fprintf(out, "</div>");
    }
    (void)fprintf(out, "</td>");
}

static void write_row(FILE *out, const Report *report, const ReportRow *row)
{
    const HistoryEntry *entry = row->entry;
    const char *class = report_is_failure(row)              ? "bad"
                        : entry->outcome == HISTORY_REFUSED ? "flat"
                        : entry->verb == HISTORY_ROLLBACK   ? "flat"
                                                            : "good";
    char text[MOMENT_TEXT_SIZE];

    (void)fprintf(out, "<tr>");
    write_cell(out, "when", moment_minute(entry->time_us, text));
    write_what(out, report, entry);
    (void)fprintf(out, "<td class=\"who\">");
    html_text(out, entry->who);
    if (*entry->via) {
        (void)fprintf(out, " <div class=\"dim\">");
        html_format(out, "via %s", entry->via);
        (void)fprintf(out, "</div>");
    }
    (void)fprintf(out, "</td>");
    write_cell(out, "num", row->lead_seconds >= 0 ? moment_duration(row->lead_seconds, text) : "");
    (void)fprintf(out, "<td><span class=\"pill %s\">", class);
    html_text(out, report_fate(row));
    (void)fprintf(out, "</span>");
    if (*entry->reason) {
        (void)fprintf(out, "<div class=\"why\">");
        html_text(out, entry->reason);
        (void)fprintf(out, "</div>");
    }
    (void)fprintf(out, "</td></tr>\n");
}

static void write_latest(FILE *out, const Report *report)
{
    size_t indices[LATEST_MAX], n = report_latest(report, LATEST_MAX, indices);
    char note[120];

    (void)snprintf(note, sizeof(note),
                   "Deploys, rollbacks and refusals, newest first%s. Times are UTC.",
                   n == LATEST_MAX ? "; the latest 25" : "");
    begin_card(out, " long", "Who released what", note);
    if (n == 0) {
        (void)fprintf(out, "<p class=\"dim\">Nothing in this period.</p>\n</section>\n");
        return;
    }
    (void)fprintf(out, "<table class=\"rows\">\n<thead><tr><th>When</th><th "
                       "class=\"what\">What</th><th class=\"who\">Who</th>"
                       "<th class=\"num\">Lead time</th><th>What became of it</th></tr></thead>\n"
                       "<tbody>\n");
    for (size_t i = 0; i < n; i++) {
        write_row(out, report, &report->rows[indices[i]]);
    }
    (void)fprintf(out, "</tbody>\n</table>\n</section>\n");
}

static void write_definitions(FILE *out)
{
    static const struct {
        const char *name, *about;
    } definitions[] = {
        {"Deploys", REPORT_ABOUT_DEPLOYS},           {"Lead time", REPORT_ABOUT_LEAD},
        {"Change-fail rate", REPORT_ABOUT_FAILURES}, {"Time to restore", REPORT_ABOUT_RESTORE},
        {"Time in each action", REPORT_ABOUT_TIMES}, {"Rollbacks, refusals", REPORT_ABOUT_COUNTS},
        {"Median, p90", REPORT_ABOUT_SPREAD},
    };

    (void)fprintf(out, "<section class=\"card\">\n<h2>What the figures mean</h2>\n<dl>\n");
    for (size_t i = 0; i < sizeof(definitions) / sizeof(definitions[0]); i++) {
        (void)fprintf(out, "<dt>");
        html_text(out, definitions[i].name);
        (void)fprintf(out, "</dt><dd>");
        html_text(out, definitions[i].about);
        (void)fprintf(out, "</dd>\n");
    }
    (void)fprintf(out, "</dl>\n</section>\n");
}

void report_write_html(FILE *out, const Report *report)
{
    write_head(out, report);
    write_tiles(out, report);
    (void)fprintf(out, "<div class=\"grid\">\n");
    write_deploys_plot(out, report);
    (void)fprintf(out, "</div>\n<div class=\"grid two\">\n");
    write_lead_plot(out, report);
    write_actions_plot(out, report);
    (void)fprintf(out, "</div>\n<div class=\"grid\">\n");
    if (report->n_services > 1) {
        write_services(out, report);
    }
    write_latest(out, report);
    write_definitions(out);
    (void)fprintf(out, "</div>\n<footer>slipway ");
    html_text(out, slipway_version());
    (void)fprintf(out, " report, from the hash-chained audit log</footer>\n</main>\n</body>\n"
                       "</html>\n");
}
