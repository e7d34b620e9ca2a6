/* SPDX-License-Identifier: MIT */
#include "plugin/health/metrics.h"

#include "plugin/cli/report/moment.h"

#include <math.h>
#include <string.h>

/* ---- the format -------------------------------------------------------------------------------
 */

void metrics_write_label(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"') {
            (void)fprintf(out, "\\%c", *text);
        } else if (*text == '\n') {
            (void)fputs("\\n", out);
        } else {
            (void)fputc(*text, out);
        }
    }
}

static void begin(FILE *out, const char *name, const char *type, const char *help)
{
    (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* 17 digits are what a double needs to stay what it is; whole numbers are written whole. */
static void write_value(FILE *out, double value)
{
    (void)fprintf(out, value == floor(value) && fabs(value) < 1e15 ? " %.0f\n" : " %.17g\n", value);
}

static void write_one(FILE *out, const char *name, const char *type, const char *help, double value)
{
    begin(out, name, type, help);
    (void)fputs(name, out);
    write_value(out, value);
}

typedef struct Label {
    const char *name;
    const char *value;
} Label;

static void write_labelled(FILE *out, const char *name, const Label *labels, size_t n, double value)
{
    (void)fputs(name, out);
    for (size_t i = 0; i < n; i++) {
        (void)fprintf(out, "%c%s=\"", i ? ',' : '{', labels[i].name);
        metrics_write_label(out, labels[i].value);
        (void)fputc('"', out);
    }
    (void)fputc('}', out);
    write_value(out, value);
}

/* ---- one number of `health` each --------------------------------------------------------------
 */

typedef struct Plain {
    const char *pointer;
    const char *name;
    const char *type;
    const char *help;
} Plain;

static const Plain plain[] = {
    {"/slots/total", "slipway_slots", "gauge", "Calls that may run at once."},
    {"/slots/busy", "slipway_slots_busy", "gauge", "Slots that a call runs in."},
    {"/queue/length", "slipway_queue_length", "gauge", "Calls that wait."},
    {"/queue/max", "slipway_queue_limit", "gauge", "Calls that may wait; more are refused."},
    {"/queue/oldestSeconds", "slipway_queue_oldest_seconds", "gauge",
     "How long the call that waits longest has waited."},
    {"/calls/running", "slipway_calls_running", "gauge", "Calls that run."},
    {"/calls/finished", "slipway_calls_kept", "gauge", "Finished calls that are kept."},
    {"/calls/lost", "slipway_calls_lost_total", "counter",
     "Calls whose supervisor died, since the agent started."},
    {"/disk/freeBytes", "slipway_disk_free_bytes", "gauge",
     "Free on the disk of the state directory."},
    {"/disk/totalBytes", "slipway_disk_size_bytes", "gauge", "Size of that disk."},
    {"/disk/markBytes", "slipway_disk_mark_bytes", "gauge",
     "With less free than this the oldest calls are removed early."},
    {"/memory/rssBytes", "slipway_resident_memory_bytes", "gauge", "Resident memory of the agent."},
    {"/clock/offsetSeconds", "slipway_clock_kernel_offset_seconds", "gauge",
     "What the agent's host still has to correct, as its kernel was told."},
    {"/clock/maxErrorSeconds", "slipway_clock_max_error_seconds", "gauge",
     "The largest error of that host's clock, as its kernel was told."},
    {"/audit/records", "slipway_audit_records", "gauge", "Records in the host's audit log."},
    {"/audit/forward/waiting", "slipway_audit_forward_waiting_records", "gauge",
     "Records of the audit log that are not forwarded yet."},
};

static void write_plain(FILE *out, const SlipwayJson *health)
{
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        double value = slipway_json_get_number(health, plain[i].pointer, NAN);

        if (!isnan(value)) {
            write_one(out, plain[i].name, plain[i].type, plain[i].help, value);
        }
    }
}

static void write_truths(FILE *out, const SlipwayJson *health)
{
    write_one(out, "slipway_problems", "gauge", "Problems that the agent has of its own.",
              (double)slipway_json_get_count(health, "/problems"));
    write_one(out, "slipway_host_key_present", "gauge",
              "Whether the host has the key that it signs with.",
              slipway_json_get_string(health, "/publicKey", NULL) != NULL);
    if (slipway_json_get_type(health, "/clock/isSynchronized") == SLIPWAY_JSON_BOOLEAN) {
        write_one(out, "slipway_clock_synchronized", "gauge",
                  "Whether something keeps the clock of the agent's host.",
                  slipway_json_get_bool(health, "/clock/isSynchronized", false));
    }
    if (slipway_json_get(health, "/audit/forward")) {
        write_one(out, "slipway_audit_forward_failing", "gauge",
                  "Whether forwarding the audit log fails.",
                  slipway_json_get_string(health, "/audit/forward/problem", NULL) != NULL);
    }
    if (slipway_json_get_int(health, "/disk/totalInodes", 0) > 0) {
        write_one(out, "slipway_disk_free_inodes", "gauge",
                  "Free inodes on the disk of the state directory.",
                  slipway_json_get_number(health, "/disk/freeInodes", 0));
        write_one(out, "slipway_disk_inodes", "gauge", "Inodes of that disk.",
                  slipway_json_get_number(health, "/disk/totalInodes", 0));
    }
}

/* ---- several of one kind ----------------------------------------------------------------------
 */

static void write_ended_as(FILE *out, const SlipwayJson *ended, const char *name,
                           const char *member)
{
    const SlipwayJson *row;

    for (size_t i = 0; (row = slipway_json_get_element(ended, i)); i++) {
        const Label labels[] = {{"action", slipway_json_get_string(row, "/action", "")},
                                {"status", slipway_json_get_string(row, "/status", "")}};

        write_labelled(out, name, labels, 2, slipway_json_get_number(row, member, 0));
    }
}

static void write_ended(FILE *out, const SlipwayJson *health)
{
    const SlipwayJson *ended = slipway_json_get(health, "/calls/ended");

    if (slipway_json_get_count(ended, "") > 0) {
        begin(out, "slipway_calls_finished_total", "counter",
              "Calls that ended since the agent started.");
        write_ended_as(out, ended, "slipway_calls_finished_total", "/count");
        begin(out, "slipway_calls_duration_seconds_total", "counter",
              "How long these ran, in all.");
        write_ended_as(out, ended, "slipway_calls_duration_seconds_total", "/seconds");
    }
}

/* By environment: whether its engine answers, or how long it took to. */
static void write_engines_as(FILE *out, const SlipwayJson *list, const char *name, const char *help,
                             bool is_time)
{
    const char *pointer = is_time ? "/seconds" : "/isReachable";
    const SlipwayJson *environment;
    bool is_begun = false;

    for (size_t i = 0; (environment = slipway_json_get_element(list, i)); i++) {
        const Label labels[] = {{"environment", slipway_json_get_string(environment, "/name", "")},
                                {"engine", slipway_json_get_string(environment, "/engine", "")}};

        if (slipway_json_get_type(environment, pointer) == SLIPWAY_JSON_NULL) {
            continue;
        }
        if (!is_begun) {
            begin(out, name, "gauge", help);
            is_begun = true;
        }
        write_labelled(out, name, labels, 2,
                       is_time ? slipway_json_get_number(environment, pointer, 0)
                               : slipway_json_get_bool(environment, pointer, false));
    }
}

static void write_agent(FILE *out, const Facts *facts)
{
    const char *confinement = slipway_json_get_string(facts->health, "/confinement", "");
    const Label labels[] = {
        {"agent", slipway_json_get_string(facts->health, "/name", "")},
        {"version", slipway_json_get_string(facts->health, "/version", "")},
        {"containment", slipway_json_get_string(facts->health, "/containment", "")},
        {"confinement", strncmp(confinement, "none", 4) == 0 ? "none" : confinement},
    };

    begin(out, "slipway_build_info", "gauge", "The agent, and what it keeps its calls in with.");
    write_labelled(out, "slipway_build_info", labels, 4, 1);
    write_one(out, "slipway_start_time_seconds", "gauge",
              "When the agent started, in seconds since the epoch.",
              floor((double)facts->now_us / 1e6) -
                  slipway_json_get_number(facts->health, "/uptimeSeconds", 0));
}

/* ---- the audit log ----------------------------------------------------------------------------
 */

static void write_counts(FILE *out, const Ledger *ledger, HistoryVerb verb, const char *name,
                         const char *help)
{
    static const char *const outcomes[] = {
        [HISTORY_SUCCEEDED] = "succeeded",
        [HISTORY_FAILED] = "failed",
        [HISTORY_REFUSED] = "refused",
    };
    bool is_begun = false;

    for (size_t i = 0; i < ledger->n_counts; i++) {
        const LedgerCount *count = &ledger->counts[i];
        const Label labels[] = {{"environment", count->environment},
                                {"outcome", outcomes[count->outcome]}};

        if (count->verb != verb) {
            continue;
        }
        if (!is_begun) {
            begin(out, name, "counter", help);
            is_begun = true;
        }
        write_labelled(out, name, labels, 2, (double)count->n);
    }
}

static void write_last(FILE *out, const Ledger *ledger)
{
    static const char name[] = "slipway_last_deploy_timestamp_seconds";
    bool is_begun = false;

    for (size_t i = 0; i < ledger->n_services; i++) {
        const LedgerService *service = &ledger->services[i];
        const Label labels[] = {{"environment", service->environment},
                                {"service", service->service}};

        if (service->since_us == MOMENT_NONE) {
            continue;
        }
        if (!is_begun) {
            begin(out, name, "gauge",
                  "When what runs came to run, by deploy or rollback, in seconds since the epoch.");
            is_begun = true;
        }
        write_labelled(out, name, labels, 2, floor((double)service->since_us / 1e6));
    }
}

static void write_ledger(FILE *out, const Facts *facts)
{
    if (facts->ledger || facts->audit_problem) {
        write_one(out, "slipway_audit_intact", "gauge",
                  "Whether the audit log is the chain that it was written as.",
                  facts->audit_problem == NULL);
    }
    if (facts->ledger) {
        write_counts(out, facts->ledger, HISTORY_DEPLOY, "slipway_deploys_total",
                     "Deploys in the audit log.");
        write_counts(out, facts->ledger, HISTORY_ROLLBACK, "slipway_rollbacks_total",
                     "Rollbacks in the audit log.");
        write_counts(out, facts->ledger, HISTORY_VERIFY, "slipway_verifications_total",
                     "Verifications of what runs in the audit log.");
        write_last(out, facts->ledger);
    }
}

void metrics_write(FILE *out, const Facts *facts)
{
    const Label version = {"version", slipway_version()};

    write_one(out, "slipway_up", "gauge", "Whether the agent answers.", facts->is_up);
    write_one(out, "slipway_ready", "gauge", "Whether it takes more work, as /readyz says.",
              facts->is_up && facts->readiness->state == READINESS_READY);
    write_one(out, "slipway_scrape_duration_seconds", "gauge", "How long asking the agent took.",
              facts->seconds);
    begin(out, "slipway_exporter_build_info", "gauge", "This slipway-health.");
    write_labelled(out, "slipway_exporter_build_info", &version, 1, 1);
    if (facts->is_up) {
        write_agent(out, facts);
        write_plain(out, facts->health);
        write_truths(out, facts->health);
        write_ended(out, facts->health);
        write_engines_as(out, slipway_json_get(facts->health, "/environments"),
                         "slipway_engine_reachable",
                         "Whether the engine of an environment answers.", false);
        write_engines_as(out, slipway_json_get(facts->health, "/environments"),
                         "slipway_engine_connect_seconds", "How long connecting to it took.", true);
        if (!isnan(facts->clock_offset)) {
            write_one(out, "slipway_clock_offset_seconds", "gauge",
                      "How far the agent's clock is ahead of the one of this program's host.",
                      facts->clock_offset);
        }
        write_ledger(out, facts);
    }
}
