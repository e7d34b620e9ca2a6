/* SPDX-License-Identifier: MIT */
#include "plugin/health/page-parts.h"

#include "plugin/cli/report/html.h"
#include "plugin/cli/report/moment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Less than asking takes is no difference. */
#define CLOCK_SECONDS 0.1

/* ---- cells ------------------------------------------------------------------------------------
 */

static void write_pill(FILE *out, const char *kind, const char *text)
{
    (void)fprintf(out, "<span class=\"pill %s\">", kind);
    html_text(out, text);
    (void)fprintf(out, "</span>");
}

static void write_cell(FILE *out, const char *class_name, const char *text)
{
    (void)fprintf(out, "<td class=\"%s\">", class_name);
    html_text(out, text);
    (void)fprintf(out, "</td>");
}

/* How long ago, or "" where it is not said. */
static void write_ago(FILE *out, const Facts *facts, int64_t us)
{
    char age[MOMENT_TEXT_SIZE], moment[MOMENT_TEXT_SIZE];

    if (us == MOMENT_NONE) {
        return;
    }
    (void)fprintf(out, "<span title=\"%s\">", moment_rfc3339(us, moment));
    html_text(out,
              moment_duration(us < facts->now_us ? (double)(facts->now_us - us) / 1e6 : 0, age));
    (void)fprintf(out, "</span>");
}

static int64_t read_moment(const SlipwayJson *call, const char *pointer)
{
    int64_t us;

    return moment_parse(slipway_json_get_string(call, pointer, ""), &us) < 0 ? MOMENT_NONE : us;
}

static void begin_section(FILE *out, const char *title, const char *class_name)
{
    (void)fprintf(out, "<section class=\"card\">\n<h2>%s</h2>\n<table class=\"%s\">\n", title,
                  class_name);
}

static void end_section(FILE *out)
{
    (void)fprintf(out, "</tbody>\n</table>\n</section>\n");
}

static void write_head(FILE *out, const char *const *titles)
{
    (void)fprintf(out, "<thead><tr>");
    for (; *titles; titles++) {
        (void)fprintf(out, "<th>%s</th>", *titles);
    }
    (void)fprintf(out, "</tr></thead>\n<tbody>\n");
}

#define HEAD(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- calls that run or wait -------------------------------------------------------------------
 */

static void write_progress(FILE *out, const SlipwayJson *progress)
{
    const char *phase = slipway_json_get_string(progress, "/phase", "");
    const char *message = slipway_json_get_string(progress, "/message", "");
    double done = slipway_json_get_number(progress, "/done", -1);
    double total = slipway_json_get_number(progress, "/total", -1);

    html_format(out, "%s%s%s", phase, *phase && *message ? ": " : "", message);
    if (total > 0 && done >= 0) {
        (void)fprintf(out, "<progress max=\"%.17g\" value=\"%.17g\"></progress>", total,
                      done < total ? done : total);
        html_format(out, "%.0f of %.0f %s", done, total,
                    slipway_json_get_string(progress, "/unit", ""));
    } else if (done >= 0) {
        html_format(out, " %.0f %s", done, slipway_json_get_string(progress, "/unit", ""));
    }
}

static const char *who_of(const SlipwayJson *call)
{
    const char *by = slipway_json_get_string(call, "/approval/by", "");

    return *by ? by : slipway_json_get_string(call, "/origin/user", "");
}

static bool is_running(const SlipwayJson *call)
{
    return strcmp(slipway_json_get_string(call, "/state", ""), "running") == 0;
}

static void write_live_row(FILE *out, const Facts *facts, const SlipwayJson *call)
{
    bool runs = is_running(call);

    (void)fprintf(out, "<tr>");
    write_cell(out, "name", slipway_json_get_string(call, "/action", "?"));
    (void)fprintf(out, "<td class=\"state\">");
    write_pill(out, runs ? "live" : "", runs ? "running" : "waiting");
    (void)fprintf(out, "</td><td class=\"what\">");
    if (runs) {
        write_progress(out, slipway_json_get(call, "/progress"));
    } else {
        html_format(out, "for %s", slipway_json_get_string(call, "/waitsFor", "a free slot"));
    }
    (void)fprintf(out, "</td>");
    write_cell(out, "run", slipway_json_get_string(call, "/run", ""));
    write_cell(out, "who", who_of(call));
    (void)fprintf(out, "<td class=\"num\">");
    write_ago(out, facts, read_moment(call, runs ? "/startedAt" : "/createdAt"));
    (void)fprintf(out, "</td></tr>\n");
}

void page_write_live(FILE *out, const Facts *facts)
{
    const SlipwayJson *call;

    if (slipway_json_get_count(facts->live, "") == 0) {
        (void)fprintf(out,
                      "<section class=\"card\">\n<h2>Now</h2>\n<p class=\"note\">Nothing runs, "
                      "nothing waits.</p>\n</section>\n");
        return;
    }
    begin_section(out, "Now", "rows live");
    write_head(out, HEAD("Action", "", "Progress", "Run", "Who", "For"));
    for (int wanted = 1; wanted >= 0; wanted--) { /* those that run come first */
        for (size_t i = 0; (call = slipway_json_get_element(facts->live, i)); i++) {
            if (is_running(call) == wanted) {
                write_live_row(out, facts, call);
            }
        }
    }
    end_section(out);
}

/* ---- what ended -------------------------------------------------------------------------------
 */

static const char *kind_of(const char *status)
{
    return strcmp(status, "succeeded") == 0                                     ? "good"
           : strcmp(status, "cancelled") == 0 || strcmp(status, "refused") == 0 ? "warn"
                                                                                : "bad";
}

static void write_ended_row(FILE *out, const Facts *facts, const SlipwayJson *call)
{
    const char *status = slipway_json_get_string(call, "/status", "?");
    int64_t started_us = read_moment(call, "/startedAt");
    int64_t finished_us = read_moment(call, "/finishedAt");
    char seconds[MOMENT_TEXT_SIZE] = "";

    if (started_us != MOMENT_NONE && finished_us >= started_us) {
        (void)moment_duration((double)(finished_us - started_us) / 1e6, seconds);
    }
    (void)fprintf(out, "<tr>");
    write_cell(out, "name", slipway_json_get_string(call, "/action", "?"));
    (void)fprintf(out, "<td class=\"state\">");
    write_pill(out, kind_of(status), strcmp(status, "timed_out") == 0 ? "timed out" : status);
    (void)fprintf(out, "</td>");
    write_cell(out, "what", slipway_json_get_string(call, "/reason", ""));
    write_cell(out, "run", slipway_json_get_string(call, "/run", ""));
    write_cell(out, "num took", seconds);
    (void)fprintf(out, "<td class=\"num\">");
    write_ago(out, facts, finished_us);
    (void)fprintf(out, "</td></tr>\n");
}

void page_write_ended(FILE *out, const Facts *facts)
{
    const SlipwayJson *call;

    if (slipway_json_get_count(facts->ended, "") == 0) {
        return;
    }
    begin_section(out, "Last calls", "rows ended");
    write_head(out, HEAD("Action", "", "Why", "Run", "Took", "Ago"));
    for (size_t i = 0; (call = slipway_json_get_element(facts->ended, i)); i++) {
        write_ended_row(out, facts, call);
    }
    end_section(out);
}

/* ---- environments -----------------------------------------------------------------------------
 */

static void write_engine(FILE *out, const SlipwayJson *environment)
{
    bool is_known = slipway_json_get_type(environment, "/isReachable") == SLIPWAY_JSON_BOOLEAN;
    bool is_reachable = slipway_json_get_bool(environment, "/isReachable", false);

    write_pill(out,
               !is_known      ? ""
               : is_reachable ? "good"
                              : "bad",
               !is_known      ? "not looked at"
               : is_reachable ? "answers"
                              : "does not answer");
}

/* The version, and the commit where that does not say it. */
static void write_version(FILE *out, const LedgerService *service)
{
    html_text(out, *service->version                  ? service->version
                   : service->since_us == MOMENT_NONE ? "nothing"
                                                      : "?");
    if (*service->commit && !history_version_says_commit(service->version, service->commit)) {
        (void)fprintf(out, " <code>");
        html_format(out, "%.12s", service->commit);
        (void)fprintf(out, "</code>");
    }
    if (*service->subject) {
        (void)fprintf(out, "<div class=\"why\">");
        html_text(out, service->subject);
        (void)fprintf(out, "</div>");
    }
    if (service->last_outcome != HISTORY_SUCCEEDED) {
        static const char *const verbs[] = {
            [HISTORY_OTHER] = "action",
            [HISTORY_DEPLOY] = "deploy",
            [HISTORY_ROLLBACK] = "rollback",
            [HISTORY_VERIFY] = "verification",
        };

        (void)fprintf(out, "<div class=\"why late\">");
        html_format(out, "The last %s %s%s%s", verbs[service->last_verb],
                    service->last_outcome == HISTORY_REFUSED ? "was refused" : "failed",
                    *service->last_reason ? ": " : "", service->last_reason);
        (void)fprintf(out, "</div>");
    }
}

static void begin_environment_row(FILE *out, const SlipwayJson *environment, bool is_first)
{
    (void)fprintf(out, "<tr>");
    if (!is_first) {
        (void)fprintf(out, "<td></td><td></td>");
        return;
    }
    (void)fprintf(out, "<td class=\"name\">");
    html_text(out, slipway_json_get_string(environment, "/name", "?"));
    (void)fprintf(out, "<div class=\"why\">");
    html_text(out, slipway_json_get_string(environment, "/engine", ""));
    (void)fprintf(out, "</div></td><td class=\"state\">");
    write_engine(out, environment);
    (void)fprintf(out, "</td>");
}

static void write_service(FILE *out, const Facts *facts, const LedgerService *service)
{
    write_cell(out, "name", service->service);
    (void)fprintf(out, "<td class=\"what\">");
    write_version(out, service);
    (void)fprintf(out, "</td>");
    write_cell(out, "who", service->who);
    (void)fprintf(out, "<td class=\"num\">");
    write_ago(out, facts, service->since_us);
    (void)fprintf(out, "</td></tr>\n");
}

static void write_environment(FILE *out, const Facts *facts, const SlipwayJson *environment)
{
    const char *name = slipway_json_get_string(environment, "/name", "");
    size_t n = 0;

    for (size_t i = 0; facts->ledger && i < facts->ledger->n_services; i++) {
        const LedgerService *service = &facts->ledger->services[i];

        if (strcmp(service->environment, name) == 0) {
            begin_environment_row(out, environment, n++ == 0);
            write_service(out, facts, service);
        }
    }
    if (n == 0) {
        begin_environment_row(out, environment, true);
        (void)fprintf(out, "<td colspan=\"4\" class=\"dim\">nothing was deployed yet</td></tr>\n");
    }
}

void page_write_environments(FILE *out, const Facts *facts)
{
    const SlipwayJson *list = slipway_json_get(facts->health, "/environments"), *environment;

    if (slipway_json_get_count(list, "") == 0) {
        return;
    }
    begin_section(out, "Environments", "rows environments");
    write_head(out, HEAD("Environment", "Engine", "Service", "Runs", "Released by", "For"));
    for (size_t i = 0; (environment = slipway_json_get_element(list, i)); i++) {
        write_environment(out, facts, environment);
    }
    end_section(out);
}

/* ---- the host ---------------------------------------------------------------------------------
 */

static void begin_fact(FILE *out, const char *name)
{
    (void)fprintf(out, "<dt>%s</dt><dd>", name);
}

static void end_fact(FILE *out)
{
    (void)fprintf(out, "</dd>\n");
}

static void write_clock(FILE *out, const Facts *facts)
{
    bool is_kept = slipway_json_get_bool(facts->health, "/clock/isSynchronized", false);

    begin_fact(out, "Clock");
    if (slipway_json_get_type(facts->health, "/clock/isSynchronized") == SLIPWAY_JSON_NULL) {
        html_text(out, "the kernel does not say how it is kept");
    } else {
        html_text(out, is_kept ? "kept in time" : "nothing keeps it in time");
    }
    if (fabs(facts->clock_offset) < CLOCK_SECONDS) { /* not where nobody knows */
        html_text(out, "; the same as this program’s host");
    } else if (!isnan(facts->clock_offset)) {
        html_format(out, "; %.2f s %s this program’s host", fabs(facts->clock_offset),
                    facts->clock_offset > 0 ? "ahead of" : "behind");
    }
    end_fact(out);
}

static void write_audit(FILE *out, const Facts *facts)
{
    const SlipwayJson *forward = slipway_json_get(facts->health, "/audit/forward");

    begin_fact(out, "Audit log");
    html_format(out, "%lld records",
                (long long)slipway_json_get_int(facts->health, "/audit/records", 0));
    if (facts->audit_problem) {
        html_format(out, "; %s", facts->audit_problem);
    } else if (facts->ledger) {
        html_text(out, ", one unbroken chain");
    }
    if (forward) {
        html_format(out, "; %lld wait to be forwarded",
                    (long long)slipway_json_get_int(forward, "/waiting", 0));
    }
    end_fact(out);
}

static void write_key(FILE *out, const Facts *facts)
{
    const char *pem = slipway_json_get_string(facts->health, "/publicKey", NULL);
    char *id = NULL;

    begin_fact(out, "Key");
    if (pem && slipway_key_id(pem, &id, NULL) == 0) {
        (void)fprintf(out, "<code>");
        html_text(out, id);
        (void)fprintf(out, "</code>");
    } else {
        html_text(out, pem ? "one that cannot be understood" : "none");
    }
    free(id);
    end_fact(out);
}

static void write_ends(FILE *out, const SlipwayJson *health)
{
    const SlipwayJson *ended = slipway_json_get(health, "/calls/ended"), *row;
    long long n = 0, n_succeeded = 0;

    for (size_t i = 0; (row = slipway_json_get_element(ended, i)); i++) {
        bool has_succeeded = strcmp(slipway_json_get_string(row, "/status", ""), "succeeded") == 0;

        n += slipway_json_get_int(row, "/count", 0);
        n_succeeded += has_succeeded ? slipway_json_get_int(row, "/count", 0) : 0;
    }
    begin_fact(out, "Calls");
    html_format(out, "%lld ended since the agent started, %lld of them succeeded; %lld are kept", n,
                n_succeeded, (long long)slipway_json_get_int(health, "/calls/finished", 0));
    end_fact(out);
}

void page_write_host(FILE *out, const Facts *facts)
{
    (void)fprintf(out, "<section class=\"card\">\n<h2>Host</h2>\n<dl>\n");
    write_ends(out, facts->health);
    begin_fact(out, "Killing");
    html_text(out, strcmp(slipway_json_get_string(facts->health, "/containment", ""), "cgroup") == 0
                       ? "by cgroup: all processes of a call at once"
                       : "by subreaper: process by process until none is left");
    end_fact(out);
    begin_fact(out, "Confinement");
    html_text(out, slipway_json_get_string(facts->health, "/confinement", "?"));
    end_fact(out);
    write_clock(out, facts);
    write_audit(out, facts);
    write_key(out, facts);
    begin_fact(out, "Memory");
    html_format(out, "%.1f MB resident",
                (double)slipway_json_get_int(facts->health, "/memory/rssBytes", 0) / 1e6);
    end_fact(out);
    (void)fprintf(out, "</dl>\n</section>\n");
}
