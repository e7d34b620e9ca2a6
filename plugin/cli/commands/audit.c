/* SPDX-License-Identifier: MIT */
#include "plugin/cli/audit-log.h"
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/report/history.h"
#include "plugin/cli/report/moment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_DEFAULT 100
/* Records before the first that is shown which may say who released it. */
#define LOOK_BACK 64

static const Option options[] = {
    {"since", OPTION_TEXT, "T", NULL,
     "show: from this day, moment or time ago on (2026-11-25, 2026-11-25T10:00:00Z, 36h, 30d)"},
    {"env", OPTION_TEXT, "E", NULL, "show: only what is about this environment"},
    {"limit", OPTION_NUMBER, "N", NULL, "show: at most so many, the newest (default: 100; 0: all)"},
    {"log", OPTION_TEXT, "FILE", NULL, "show: a log that was exported, instead of the agent's"},
    {"evidence", OPTION_LIST, "FILE", NULL,
     "verify: against the receipts of this log's host in this bundle, too"},
    {"keys", OPTION_LIST, "FILE", NULL,
     "verify: whom you believe: an agent.json, a JSON file with its `keys`, or what "
     "`slipway keys --json` prints; may be given several times"},
    {"name", OPTION_TEXT, "NAME", NULL,
     "verify: the agent whose log FILE is (default: whose receipt is of one of its calls)"},
    {0},
};

static int say(Session *s, const char *about, const char *text)
{
    SlipwayError error = {.code = SLIPWAY_ERROR_LOCAL, .message = text};

    (void)session_fail(s, &error, about);
    return EXIT_ACTION_FAILED;
}

static int out_of_memory(Session *s)
{
    return say(s, "audit", "out of memory");
}

/* ---- show -------------------------------------------------------------------------------------
 */

typedef struct Shown {
    SlipwayJson **records; /* a ring where there is a limit */
    size_t room, first, n;
    size_t limit; /* 0: none */
    int64_t since_us;
    const char *environment;
} Shown;

static const SlipwayJson *shown_at(const Shown *shown, size_t index)
{
    return shown->records[(shown->first + index) % shown->room];
}

static void shown_done(Shown *shown)
{
    for (size_t i = 0; i < shown->n; i++) {
        (void)slipway_json_unref((SlipwayJson *)shown_at(shown, i));
    }
    free(shown->records);
}

static bool is_wanted(const Shown *shown, const SlipwayJson *record)
{
    int64_t us;

    if (shown->environment && strcmp(history_environment(record), shown->environment) != 0) {
        return false;
    }
    return shown->since_us == MOMENT_NONE ||
           (moment_parse(slipway_json_get_string(record, "/time", ""), &us) == 0 &&
            us >= shown->since_us);
}

static int make_room(Shown *shown)
{
    size_t most = shown->limit ? shown->limit + LOOK_BACK : SIZE_MAX / sizeof(void *);
    size_t room = shown->room ? shown->room * 2 : 256;
    SlipwayJson **grown;

    if (shown->n < shown->room) {
        return 0;
    }
    if (shown->room == most) { /* the oldest makes room */
        (void)slipway_json_unref(shown->records[shown->first]);
        shown->first = (shown->first + 1) % shown->room;
        shown->n--;
        return 0;
    }
    room = room < most ? room : most; /* it is no ring before it has its full size */
    grown = reallocarray(shown->records, room, sizeof(*grown));
    if (!grown) {
        return -ENOMEM;
    }
    shown->records = grown;
    shown->room = room;
    return 0;
}

static int keep_record(const SlipwayJson *record, void *userdata)
{
    Shown *shown = userdata;
    SlipwayJson *kept;

    if (!is_wanted(shown, record)) {
        return 0;
    }
    if (make_room(shown) < 0) {
        return -ENOMEM;
    }
    kept = slipway_json_ref(record);
    shown->records[(shown->first + shown->n++) % shown->room] = kept;
    return 0;
}

/* An end says itself who it was, or the last record of its call before it that does. */
static const char *find_who(const Shown *shown, size_t index)
{
    const char *call = slipway_json_get_string(shown_at(shown, index), "/call", "");
    size_t oldest = index > LOOK_BACK ? index - LOOK_BACK : 0;

    for (size_t i = index + 1; i > oldest; i--) {
        const SlipwayJson *record = shown_at(shown, i - 1);
        const char *who = history_who(record);

        if (*who && (i - 1 == index ||
                     (*call && strcmp(slipway_json_get_string(record, "/call", ""), call) == 0))) {
            return who;
        }
    }
    return "";
}

enum { TIME, EVENT, ACTION, ENVIRONMENT, WHAT, WHO, OUTCOME, COLUMNS };

/* Name, version and commit, as far as the record has them; else the digest. */
static void describe_what(const SlipwayJson *record, char *text, size_t size)
{
    const char *parts[] = {slipway_json_get_string(record, "/name", ""),
                           slipway_json_get_string(record, "/version", ""),
                           slipway_json_get_string(record, "/commit", "")};
    size_t len = 0;

    text[0] = '\0';
    if (history_version_says_commit(parts[1], parts[2])) {
        parts[2] = "";
    }
    for (size_t i = 0; i < 3 && len < size; i++) {
        if (*parts[i]) {
            len += (size_t)snprintf(text + len, size - len, i == 2 ? "%s%.8s" : "%s%s",
                                    len ? " " : "", parts[i]);
        }
    }
    if (len == 0) {
        (void)snprintf(text, size, "%.19s", slipway_json_get_string(record, "/digest", ""));
    }
}

static void describe_outcome(const SlipwayJson *record, char *text, size_t size)
{
    const char *outcome = slipway_json_get_string(record, "/outcome", "");
    const char *reason = slipway_json_get_string(record, "/reason", "");
    double seconds = slipway_json_get_number(record, "/seconds", -1);
    char time[MOMENT_TEXT_SIZE];
    size_t n;

    if (slipway_json_get_type(record, "/isAllowed") == SLIPWAY_JSON_BOOLEAN) {
        outcome = slipway_json_get_bool(record, "/isAllowed", false) ? "allowed" : "refused";
    }
    n = strlen(outcome); /* a sentence that begins with it says it once */
    if (n > 0 && strncmp(reason, outcome, n) == 0 && strncmp(reason + n, ": ", 2) == 0) {
        reason += n + 2;
    }
    (void)snprintf(text, size, "%s%s%s%s%s%s", outcome,
                   slipway_json_get_bool(record, "/isUnchanged", false) ? ", unchanged" : "",
                   seconds >= 0 ? " in " : "", seconds >= 0 ? moment_duration(seconds, time) : "",
                   *reason && *outcome ? ": " : "", reason);
}

/* The cells are the table's; what comes from the log cannot command the terminal. */
static int fill_row(const Shown *shown, size_t index, char **cells)
{
    const SlipwayJson *record = shown_at(shown, index);
    char what[HISTORY_TEXT_MAX], outcome[HISTORY_TEXT_MAX], clean[HISTORY_TEXT_MAX + 4];
    char time[MOMENT_TEXT_SIZE];
    const char *said = slipway_json_get_string(record, "/time", "");
    const char *texts[COLUMNS] = {
        [TIME] = said,
        [EVENT] = slipway_json_get_string(record, "/event", ""),
        [ACTION] = slipway_json_get_string(record, "/action", ""),
        [ENVIRONMENT] = history_environment(record),
        [WHAT] = what,
        [WHO] = find_who(shown, index),
        [OUTCOME] = outcome,
    };
    int64_t us;

    describe_what(record, what, sizeof(what));
    describe_outcome(record, outcome, sizeof(outcome));
    if (moment_parse(said, &us) == 0) {
        (void)snprintf(time, sizeof(time), "%.10s %.8s", said, said + 11);
        texts[TIME] = time;
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        cells[i] = strdup(history_clean(texts[i], clean));
        if (!cells[i]) {
            return -ENOMEM;
        }
    }
    return 0;
}

static int print_table(Session *s, const Shown *shown, size_t first)
{
    static const char *const head[COLUMNS] = {"TIME (UTC)", "EVENT", "ACTION", "ENV",
                                              "WHAT",       "WHO",   "OUTCOME"};
    size_t n = shown->n - first, n_cells = (n + 1) * COLUMNS;
    char **cells = calloc(n_cells, sizeof(*cells));
    int r = cells ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < n; i++) {
        r = fill_row(shown, first + i, cells + (i + 1) * COLUMNS);
    }
    if (r == 0) {
        memcpy(cells, head, sizeof(head));
        output_table(&s->output, (const char *const *)cells, n + 1, COLUMNS);
    }
    for (size_t i = COLUMNS; cells && i < n_cells; i++) {
        free(cells[i]);
    }
    free(cells);
    return r == 0 ? EXIT_DONE : out_of_memory(s);
}

static int print_records(Session *s, const Shown *shown)
{
    size_t first = shown->limit && shown->n > shown->limit ? shown->n - shown->limit : 0;

    if (!s->output.is_json) {
        return print_table(s, shown, first);
    }
    for (size_t i = first; i < shown->n; i++) {
        session_print_json(s, NULL, shown_at(shown, i));
    }
    return EXIT_DONE;
}

static int64_t now_us(void)
{
    return (int64_t)time(NULL) * MOMENT_SECOND_US;
}

static int run_show(Session *s, const char *file)
{
    _cleanup_(audit_log_done) AuditLog log = {0};
    const char *since = options_text(s->options, "since", NULL);
    Shown shown = {
        .limit = (size_t)options_number(s->options, "limit", LIMIT_DEFAULT),
        .since_us = MOMENT_NONE,
        .environment = options_text(s->options, "env", NULL),
    };
    int r;

    if (since && moment_parse_said(since, false, now_us(), &shown.since_us) < 0) {
        return session_usage(s,
                             "--since is a day (2026-11-25), a moment (2026-11-25T10:00:00Z) or "
                             "how long ago (36h, 30d, 12w), not '%s'",
                             since);
    }
    if (file) {
        return session_usage(s, "to show a log that was exported say --log '%s'", file);
    }
    r = audit_log_open(s, options_text(s->options, "log", NULL), &log);
    if (r == 0) {
        r = audit_log_walk(s, &log, NULL, keep_record, &shown, NULL);
        r = r < 0 ? out_of_memory(s) : r;
    }
    if (r == 0) {
        r = print_records(s, &shown);
    }
    shown_done(&shown);
    return r;
}

/* ---- export -----------------------------------------------------------------------------------
 */

static int run_export(Session *s, const char *file)
{
    AuditLog log = {.name = (char *)file, .path = (char *)file};
    SlipwayJson *head = NULL, *line;
    long long n;
    int r;

    if (!file) {
        return session_usage(s, "say where to: slipway audit export FILE");
    }
    r = audit_log_download(s, file);
    r = r == 0 ? audit_log_walk(s, &log, NULL, NULL, NULL, &head) : r;
    if (r != 0) {
        return r;
    }
    n = (long long)slipway_json_get_int(head, "/seq", 0);
    if (s->output.is_json) {
        line = slipway_json_new_object();
        (void)slipway_json_set_string(line, "/path", file);
        (void)slipway_json_set_int(line, "/records", n);
        (void)slipway_json_set(line, "/head", head);
        session_print_json(s, "audit/exported", line);
        (void)slipway_json_unref(line);
    } else {
        output_say(&s->output, "%s: %lld record%s", file, n, n == 1 ? "" : "s");
    }
    (void)slipway_json_unref(head);
    return EXIT_DONE;
}

static int run(Session *s)
{
    static const struct {
        const char *name;
        int (*run)(Session *s, const char *file);
    } subcommands[] = {{"show", run_show}, {"verify", audit_verify}, {"export", run_export}};
    const char *wanted = s->options->arguments[0];
    const char *file = s->options->n_arguments > 1 ? s->options->arguments[1] : NULL;

    for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        if (strcmp(wanted, subcommands[i].name) == 0) {
            return subcommands[i].run(s, file);
        }
    }
    return session_usage(s, "audit can show, verify and export, but not '%s'", wanted);
}

const Command command_audit = {
    .name = "audit",
    .synopsis = "show | verify [FILE] | export FILE",
    .summary = "who released what, checked and exported",
    .description =
        "The audit log of the agent's host: who asked for what, what was decided on it, how it "
        "ended.\n"
        "\nshow lists it, newest last.\n"
        "\nverify checks the chain of the agent's log, or of one that was exported to FILE, and "
        "that the records are in it which receipts name: those that the agent keeps with its "
        "calls, and those in bundles (--evidence). A record that was edited, removed, moved or cut "
        "off is named, and the exit code is 1. With --keys a receipt that none of them has signed "
        "is a finding, too; without, a receipt is taken for what it says.\n"
        "\nexport copies it into FILE, byte for byte and whole records only. A FILE that is there "
        "is gone on with; it is left alone, and the exit code is 1, if the agent's log does not "
        "begin like it.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 2,
    .is_local = true, /* unless it has to ask the agent */
    .run = run,
};
