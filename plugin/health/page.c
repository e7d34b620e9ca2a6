/* SPDX-License-Identifier: MIT */
#include "plugin/health/page.h"

#include "plugin/cli/report/html.h"
#include "plugin/cli/report/moment.h"
#include "plugin/health/page-parts.h"

#include <string.h>

/* It is asked for again by itself, since it has no script to do so. */
#define REFRESH "15"

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<meta http-equiv=\"refresh\" content=\"" REFRESH "\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" "
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";

static const char style[] =
    "<style>\n"
    ":root{--plane:#f7f7f5;--card:#fff;--ink:#16181d;--ink2:#50535b;--ink3:#7d8087;"
    "--line:#e4e4e0;--base:#bfbfba;--fine:#2a6fd6;--track:#e7e7e3;--bad:#cf3a34;"
    "--bad-bg:#fbe9e7;--bad-ink:#9c231e;--good-bg:#e6f4ea;--good-ink:#1c6434;--flat-bg:#ececea;"
    "--live-bg:#e3edfb;--live-ink:#1d4f9c;--warn-bg:#fdf3d9;--warn-ink:#6d4e00}\n"
    "@media(prefers-color-scheme:dark){:root{--plane:#101113;--card:#191b1f;--ink:#f1f2f4;"
    "--ink2:#b9bcc4;--ink3:#868a93;--line:#2b2e34;--base:#4a4e56;--fine:#4d8df0;"
    "--track:#2b2e34;--bad:#e5605a;--bad-bg:#3d1d1c;--bad-ink:#ffb0ab;--good-bg:#173324;"
    "--good-ink:#9fe0b4;--flat-bg:#2a2d33;--live-bg:#1b2f4f;--live-ink:#a9cbfb;"
    "--warn-bg:#3a2f12;--warn-ink:#f3d68d}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--plane);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif;"
    "-webkit-text-size-adjust:100%}\n"
    "main{max-width:1120px;margin:0 auto;padding:36px 24px 48px;display:grid;gap:16px}\n"
    "h1{font-size:28px;line-height:1.2;letter-spacing:-.02em;margin:0 12px 0 0;font-weight:680;"
    "overflow-wrap:anywhere}\n"
    "h2{font-size:16px;margin:0 0 6px;font-weight:640}\n"
    "p{margin:0}\n"
    "header{display:flex;flex-wrap:wrap;align-items:center;gap:4px}\n"
    "header p{flex-basis:100%}\n"
    ".sub,.note,.dim{color:var(--ink2)}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:14px;"
    "padding:18px 22px;min-width:0}\n"
    ".tiles{display:grid;gap:16px;grid-template-columns:repeat(3,1fr)}\n"
    ".tile .label{font-size:13.5px;color:var(--ink2)}\n"
    ".tile .value{font-size:34px;line-height:1.15;font-weight:680;letter-spacing:-.025em;"
    "margin:6px 0;font-variant-numeric:tabular-nums}\n"
    ".tile .value small{font-size:17px;font-weight:560;letter-spacing:0;color:var(--ink2);"
    "margin-left:6px}\n"
    ".tile .sub{font-size:13.5px}\n"
    ".warn.box{background:var(--warn-bg);color:var(--warn-ink);border-radius:12px;"
    "padding:12px 18px}\n"
    ".bad.box{background:var(--bad-bg);color:var(--bad-ink);border-radius:12px;padding:12px 18px}\n"
    ".box{overflow-wrap:anywhere;unicode-bidi:isolate}.box p+p{margin-top:4px}\n"
    "progress{appearance:none;display:block;width:100%;max-width:320px;height:6px;margin:6px 0 2px;"
    "border:0;border-radius:3px;background:var(--track);overflow:hidden}\n"
    "progress::-webkit-progress-bar{background:var(--track)}\n"
    "progress::-webkit-progress-value{background:var(--fine)}\n"
    "progress::-moz-progress-bar{background:var(--fine)}\n"
    ".tile progress{max-width:none;height:8px;border-radius:4px;margin:4px 0 8px}\n"
    "table{border-collapse:collapse;width:100%;font-size:14px}\n"
    "th{text-align:left;font-weight:560;font-size:13px;color:var(--ink2);padding:6px 14px 6px 0;"
    "border-bottom:1px solid var(--base);white-space:nowrap}\n"
    "td{padding:9px 14px 9px 0;border-bottom:1px solid var(--line);vertical-align:top;"
    "overflow-wrap:anywhere;unicode-bidi:isolate}\n"
    "th:last-child,td:last-child{padding-right:0}\n"
    "tbody tr:last-child td{border-bottom:0;padding-bottom:0}\n"
    ".num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;"
    "color:var(--ink2)}\n"
    "th:last-child,.ended th:nth-child(5){text-align:right}\n"
    ".name{white-space:nowrap;font-weight:560}.name .why{font-weight:400}\n"
    ".live .name,.ended .name{width:130px}.state{white-space:nowrap;width:124px}"
    ".rows .num{width:90px}.live .run,.ended .run,.live .who{width:17%}"
    ".run,.who{color:var(--ink2)}\n"
    "code{font:12.5px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--ink2);"
    "overflow-wrap:anywhere}\n"
    ".pill{display:inline-block;border-radius:999px;padding:1px 10px;font-size:12.5px;"
    "font-weight:560;background:var(--flat-bg);color:var(--ink2);white-space:nowrap}\n"
    ".pill.good{background:var(--good-bg);color:var(--good-ink)}"
    ".pill.bad{background:var(--bad-bg);color:var(--bad-ink)}"
    ".pill.live{background:var(--live-bg);color:var(--live-ink)}"
    ".pill.warn{background:var(--warn-bg);color:var(--warn-ink)}\n"
    "header .pill{font-size:14px;padding:3px 14px}\n"
    ".why{font-size:13px;color:var(--ink2);margin-top:2px}.why.late{color:var(--bad)}\n"
    "dl{margin:0;display:grid;grid-template-columns:130px 1fr;gap:7px 20px;font-size:14px}\n"
    "dt{font-weight:560}dd{margin:0;color:var(--ink2);overflow-wrap:anywhere;min-width:0}\n"
    "footer{margin:4px 4px 0;font-size:13px;color:var(--ink3)}\n"
    "@media(max-width:720px){main{padding:22px 14px 36px;gap:12px}h1{font-size:24px}"
    ".card{padding:15px 16px}.tiles{grid-template-columns:1fr;gap:12px}"
    ".tile .value{font-size:28px}"
    ".rows thead{display:none}.rows tr{display:block;padding:10px 0;"
    "border-bottom:1px solid var(--line)}.rows tr:last-child{border:0;padding-bottom:0}"
    ".rows td{display:block;border:0;padding:2px 0;text-align:left;width:auto}"
    ".rows td.run,.rows td.who,.rows td.num{width:auto}.rows td:empty{display:none}.live "
    ".name,.ended .name,.rows .state{display:inline-block;"
    "width:auto;margin-right:10px}.live .num::before,.environments .num:not(:empty)::before{"
    "content:'for '}.ended .took:not(:empty)::before{content:'took '}.ended .num:last-child::after{"
    "content:' ago'}dl{grid-template-columns:1fr;gap:1px}dd{margin-bottom:9px}}\n"
    "</style>\n";

/* ---- the top ----------------------------------------------------------------------------------
 */

static const char *agent_name(const Facts *facts)
{
    return facts->is_up ? slipway_json_get_string(facts->health, "/name", "agent") : "No agent";
}

static void write_state(FILE *out, const Facts *facts)
{
    static const struct {
        const char *kind, *word;
    } states[_READINESS_STATE_MAX] = {
        [READINESS_READY] = {"good", "ready"},
        [READINESS_UNREADY] = {"warn", "not ready"},
        [READINESS_BROKEN] = {"bad", "cannot work"},
    };
    size_t state = facts->is_up ? facts->readiness->state : READINESS_BROKEN;

    (void)fprintf(out, "<span class=\"pill %s\">%s</span>\n", states[state].kind,
                  facts->is_up ? states[state].word : "away");
}

static void write_header(FILE *out, const Facts *facts)
{
    char now[MOMENT_TEXT_SIZE], uptime[MOMENT_TEXT_SIZE];

    (void)fprintf(out, "<header>\n<h1>");
    html_text(out, agent_name(facts));
    (void)fprintf(out, "</h1>\n");
    write_state(out, facts);
    (void)fprintf(out, "<p class=\"sub\">");
    if (facts->is_up) {
        double seconds = slipway_json_get_number(facts->health, "/uptimeSeconds", 0);

        html_format(out, "slipway-agent %s, %s%s · ",
                    slipway_json_get_string(facts->health, "/version", "?"),
                    seconds < 1 ? "just started" : "up for ",
                    seconds < 1 ? "" : moment_duration(seconds, uptime));
    }
    html_format(out, "%s", facts->address);
    (void)fprintf(out, " · %s UTC</p>\n</header>\n", moment_minute(facts->now_us, now));
}

static void write_reasons(FILE *out, const Facts *facts)
{
    const SlipwayJson *reasons = facts->is_up ? facts->readiness->reasons : NULL, *reason;
    bool is_bad = !facts->is_up || facts->readiness->state == READINESS_BROKEN;

    if (facts->is_up && slipway_json_get_count(reasons, "") == 0) {
        return;
    }
    (void)fprintf(out, "<aside class=\"box %s\">\n", is_bad ? "bad" : "warn");
    for (size_t i = 0; (reason = slipway_json_get_element(reasons, i)); i++) {
        (void)fprintf(out, "<p>");
        html_text(out, slipway_json_get_string(reason, "", "?"));
        (void)fprintf(out, "</p>\n");
    }
    if (!facts->is_up) {
        (void)fprintf(out, "<p>");
        html_text(out, facts->why);
        (void)fprintf(out, "</p>\n");
    }
    (void)fprintf(out, "</aside>\n");
}

/* ---- tiles ------------------------------------------------------------------------------------
 */

static void begin_tile(FILE *out, const char *label, const char *value, const char *unit)
{
    (void)fprintf(out,
                  "<section class=\"card tile\">\n<p class=\"label\">%s</p>\n<p class=\"value\">%s"
                  "<small>%s</small></p>\n",
                  label, value, unit);
}

static void write_slots(FILE *out, const SlipwayJson *health)
{
    long long busy = slipway_json_get_int(health, "/slots/busy", 0);
    long long total = slipway_json_get_int(health, "/slots/total", 0);
    char value[32], unit[64];

    (void)snprintf(value, sizeof(value), "%lld", busy);
    (void)snprintf(unit, sizeof(unit), "of %lld slot%s", total, total == 1 ? "" : "s");
    begin_tile(out, "Running", value, unit);
    (void)fprintf(out, "<progress max=\"%lld\" value=\"%lld\"></progress>\n</section>\n",
                  total > 0 ? total : 1, busy);
}

static void write_queue(FILE *out, const SlipwayJson *health)
{
    long long length = slipway_json_get_int(health, "/queue/length", 0);
    char value[32], oldest[MOMENT_TEXT_SIZE];

    (void)snprintf(value, sizeof(value), "%lld", length);
    begin_tile(out, "Waiting", value, length == 1 ? "call" : "calls");
    if (length > 0) {
        (void)fprintf(
            out, "<p class=\"sub\">the oldest for %s</p>\n",
            moment_duration(slipway_json_get_number(health, "/queue/oldestSeconds", 0), oldest));
    } else {
        (void)fprintf(out, "<p class=\"sub\">a call would start at once</p>\n");
    }
    (void)fprintf(out, "</section>\n");
}

static void write_disk(FILE *out, const SlipwayJson *health)
{
    double free_bytes = slipway_json_get_number(health, "/disk/freeBytes", 0);
    double total = slipway_json_get_number(health, "/disk/totalBytes", 0);
    double inodes = slipway_json_get_number(health, "/disk/totalInodes", 0);
    char value[32], unit[64];

    (void)snprintf(value, sizeof(value), free_bytes < 9.95e9 ? "%.1f" : "%.0f", free_bytes / 1e9);
    (void)snprintf(unit, sizeof(unit), "of %.0f GB free", total / 1e9);
    begin_tile(out, "Disk", value, unit);
    (void)fprintf(out, "<progress max=\"100\" value=\"%.1f\"></progress>\n",
                  total > 0 ? 100 * (1 - free_bytes / total) : 0);
    if (inodes > 0) {
        (void)fprintf(out, "<p class=\"sub\">%.0f %% of inodes are free</p>\n",
                      100 * slipway_json_get_number(health, "/disk/freeInodes", 0) / inodes);
    }
    (void)fprintf(out, "</section>\n");
}

void page_write(FILE *out, const Facts *facts)
{
    (void)fprintf(out, "%s<title>", head);
    html_format(out, "%s · Slipway", agent_name(facts));
    (void)fprintf(out, "</title>\n%s</head>\n<body>\n<main>\n", style);
    write_header(out, facts);
    write_reasons(out, facts);
    if (facts->is_up) {
        (void)fprintf(out, "<div class=\"tiles\">\n");
        write_slots(out, facts->health);
        write_queue(out, facts->health);
        write_disk(out, facts->health);
        (void)fprintf(out, "</div>\n");
        page_write_live(out, facts);
        page_write_environments(out, facts);
        page_write_ended(out, facts);
        page_write_host(out, facts);
    }
    (void)fprintf(out,
                  "<footer>slipway-health %s · /metrics, /healthz, /readyz, /version · "
                  "renewed every " REFRESH " s</footer>\n</main>\n</body>\n</html>\n",
                  slipway_version());
}
