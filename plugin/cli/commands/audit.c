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
/* A bundle is at most 16 MiB; a head file has a hundred bytes. */
#define FILE_SIZE_MAX ((off_t)16 << 20)

static const Option options[] = {
    {"since", OPTION_TEXT, "T", NULL,
     "show: from this day, moment or time ago on (2026-11-25, 2026-11-25T10:00:00Z, 36h, 30d)"},
    {"env", OPTION_TEXT, "E", NULL, "show: only what is about this environment"},
    {"limit", OPTION_NUMBER, "N", NULL, "show: at most so many, the newest (default: 100; 0: all)"},
    {"log", OPTION_TEXT, "FILE", NULL, "show: a log that was exported, instead of the agent's"},
    {"bundle", OPTION_LIST, "FILE", NULL,
     "verify: against the receipts of this log's host in the bundle"},
    {"name", OPTION_TEXT, "NAME", NULL,
     "verify: the agent whose log FILE is (default: who signed a receipt of one of its calls)"},
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

    if (slipway_json_get_type(record, "/isAllowed") == SLIPWAY_JSON_BOOLEAN) {
        outcome = slipway_json_get_bool(record, "/isAllowed", false) ? "allowed" : "refused";
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

/* ---- verify -----------------------------------------------------------------------------------
 */

/* What a deployment's receipt says of its host's log. */
typedef struct Receipt {
    const char *bundle;         /* the file */
    const SlipwayJson *entry;   /* of the bundle */
    const SlipwayJson *receipt; /* its predicate */
    const char *agent, *call;
    bool is_of_call; /* the log has a record of its call */
} Receipt;

typedef struct Verifying {
    Session *session;
    SlipwayJson **bundles;
    size_t n_bundles;
    Receipt *receipts;
    size_t n_receipts;
    char *agent; /* "slipway:agent/NAME" whose log it is; NULL: not known */
} Verifying;

static void verifying_done(Verifying *v)
{
    for (size_t i = 0; i < v->n_bundles; i++) {
        (void)slipway_json_unref(v->bundles[i]);
    }
    free(v->bundles);
    free(v->receipts);
    free(v->agent);
}

/* *ret is to be freed. -ENOENT is left to the caller. */
static int read_file(const char *path, char **ret, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    char *text = NULL;
    ssize_t got = 0;
    size_t len = 0;
    int r;

    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_SIZE_MAX) {
        (void)close(fd);
        return -EFBIG;
    }
    text = malloc((size_t)st.st_size + 1);
    while (text && len < (size_t)st.st_size) {
        got = read(fd, text + len, (size_t)st.st_size - len);
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
    }
    r = !text ? -ENOMEM : got < 0 ? -errno : 0;
    (void)close(fd);
    if (r < 0) {
        free(text);
        return r;
    }
    *ret = text;
    *ret_len = len;
    return 0;
}

static int read_bundle(Session *s, const char *path, SlipwayJson **ret)
{
    char *text = NULL, *sentence = NULL;
    size_t len = 0;
    int r = read_file(path, &text, &len);

    if (r < 0) {
        return session_usage(s, "the bundle '%s': %s", path,
                             r == -EFBIG ? "no file of at most 16 MiB" : strerror(-r));
    }
    r = slipway_bundle_read(text, len, NULL, ret, &sentence);
    if (r < 0) {
        (void)say(s, path, sentence ? sentence : "out of memory");
    }
    free(sentence);
    free(text);
    return r < 0 ? EXIT_ACTION_FAILED : EXIT_DONE;
}

static int add_receipts(Verifying *v, const char *path, const SlipwayJson *bundle)
{
    for (size_t i = 0; i < slipway_json_get_count(bundle, ""); i++) {
        const SlipwayJson *entry = slipway_json_get_element(bundle, i);
        const SlipwayJson *receipt = slipway_json_get(entry, "/statement/predicate");
        Receipt *grown;

        if (strcmp(slipway_json_get_string(entry, "/kind", ""), "deployment") != 0 ||
            !slipway_json_get(receipt, "/audit")) {
            continue;
        }
        grown = reallocarray(v->receipts, v->n_receipts + 1, sizeof(*grown));
        if (!grown) {
            return -ENOMEM;
        }
        v->receipts = grown;
        grown[v->n_receipts++] = (Receipt){
            .bundle = path,
            .entry = entry,
            .receipt = receipt,
            .agent = slipway_json_get_string(receipt, "/agent", ""),
            .call = slipway_json_get_string(receipt, "/call", ""),
        };
    }
    return 0;
}

static int read_bundles(Verifying *v)
{
    Session *s = v->session;
    const char *path;

    for (size_t i = 0; (path = options_item(s->options, "bundle", i)); i++) {
        SlipwayJson **grown = reallocarray(v->bundles, v->n_bundles + 1, sizeof(*grown));
        int r;

        if (!grown) {
            return out_of_memory(s);
        }
        v->bundles = grown;
        r = read_bundle(s, path, &grown[v->n_bundles]);
        if (r != EXIT_DONE) {
            return r;
        }
        if (add_receipts(v, path, grown[v->n_bundles++]) < 0) {
            return out_of_memory(s);
        }
    }
    return EXIT_DONE;
}

static int look_for_calls(const SlipwayJson *record, void *userdata)
{
    Verifying *v = userdata;
    const char *call = slipway_json_get_string(record, "/call", "");

    for (size_t i = 0; *call && i < v->n_receipts; i++) {
        v->receipts[i].is_of_call |= strcmp(v->receipts[i].call, call) == 0;
    }
    return 0;
}

/* Whose log it is: as it was said, as the agent says, or as the receipt of one of its calls says. A
 * bundle has receipts of several hosts, and each is about its own log. */
static int find_agent(Verifying *v, const AuditLog *log, bool is_agents)
{
    const char *name = options_text(v->session->options, "name", is_agents ? log->name : NULL);

    for (size_t i = 0; !name && !v->agent && i < v->n_receipts; i++) {
        if (v->receipts[i].is_of_call) {
            v->agent = strdup(v->receipts[i].agent);
            return v->agent ? 0 : -ENOMEM;
        }
    }
    if (name && asprintf(&v->agent, "slipway:agent/%s", name) < 0) {
        v->agent = NULL;
        return -ENOMEM;
    }
    return 0;
}

static bool is_of_this_log(const Verifying *v, const Receipt *receipt)
{
    return v->agent && strcmp(receipt->agent, v->agent) == 0;
}

/* What FILE.head says, where somebody verifies the log in its own place. */
static int add_head_file(const AuditLog *log, SlipwayJson *heads, SlipwayJson *anchors)
{
    SlipwayJson *head = NULL;
    char *path = NULL, *text = NULL;
    size_t len = 0;
    int r;

    if (asprintf(&path, "%s.head", log->path) < 0) {
        return -ENOMEM;
    }
    r = read_file(path, &text, &len);
    r = r == 0 ? slipway_json_parse(text, len, &head) : r == -ENOENT ? 0 : r;
    r = r == 0 && head ? slipway_json_set(heads, "/-", head) : r;
    if (r == 0 && head) {
        SlipwayJson *anchor = slipway_json_new_object();

        (void)slipway_json_set_string(anchor, "/file", path);
        (void)slipway_json_set(anchor, "/seq", slipway_json_get(head, "/seq"));
        r = slipway_json_set(anchors, "/-", anchor);
        (void)slipway_json_unref(anchor);
    }
    (void)slipway_json_unref(head);
    free(text);
    free(path);
    return r;
}

static int add_receipt_head(const Receipt *receipt, SlipwayJson *heads, SlipwayJson *anchors)
{
    SlipwayJson *anchor = slipway_json_new_object();
    int r = slipway_json_set_string(anchor, "/file", receipt->bundle);

    r = r < 0 ? r : slipway_json_set(anchor, "/line", slipway_json_get(receipt->entry, "/line"));
    r = r < 0 ? r
              : slipway_json_set(anchor, "/environment",
                                 slipway_json_get(receipt->receipt, "/environment"));
    r = r < 0 ? r : slipway_json_set(anchor, "/call", slipway_json_get(receipt->receipt, "/call"));
    r = r < 0 ? r
              : slipway_json_set(anchor, "/seq", slipway_json_get(receipt->receipt, "/audit/seq"));
    r = r < 0 ? r : slipway_json_set(anchors, "/-", anchor);
    r = r < 0 ? r : slipway_json_set(heads, "/-", slipway_json_get(receipt->receipt, "/audit"));
    (void)slipway_json_unref(anchor);
    return r;
}

/* Receipts that are of no use for this log, when all are: whose they are. */
static int say_no_receipt(const Verifying *v)
{
    char text[512];

    if (v->n_receipts == 0) {
        return say(v->session, "audit verify",
                   "no receipt in the bundles says where its host's log ended");
    }
    (void)snprintf(text, sizeof(text),
                   v->agent ? "no receipt in the bundles is of %.128s, but of %.128s; say whose "
                              "log it is with --name"
                            : "no receipt in the bundles is of a call in this log%s, but of "
                              "%.128s; if the log is that agent's, say so with --name",
                   v->agent ? v->agent : "", v->receipts[0].agent);
    return say(v->session, "audit verify", text);
}

static int gather_heads(Verifying *v, const AuditLog *log, bool is_agents, SlipwayJson *heads,
                        SlipwayJson *anchors)
{
    size_t n_ours = 0;
    int r = is_agents ? 0 : add_head_file(log, heads, anchors);

    if (r < 0) {
        return say(v->session, log->name, "the file .head beside it cannot be read");
    }
    for (size_t i = 0; r == 0 && i < v->n_receipts; i++) {
        if (is_of_this_log(v, &v->receipts[i])) {
            r = add_receipt_head(&v->receipts[i], heads, anchors);
            n_ours++;
        }
    }
    if (r < 0) {
        return out_of_memory(v->session);
    }
    return v->n_bundles > 0 && n_ours == 0 ? say_no_receipt(v) : EXIT_DONE;
}

static void print_anchor(Session *s, const SlipwayJson *anchor)
{
    const char *environment = slipway_json_get_string(anchor, "/environment", NULL);
    const char *file = slipway_json_get_string(anchor, "/file", "?");
    long long seq = (long long)slipway_json_get_int(anchor, "/seq", 0);

    if (environment) {
        output_print(&s->output,
                     "  record %lld is the one that the receipt of %s names (line %lld of '%s')\n",
                     seq, environment, (long long)slipway_json_get_int(anchor, "/line", 0), file);
    } else {
        output_print(&s->output, "  record %lld is the one that '%s' names\n", seq, file);
    }
}

static void print_verified(Session *s, const AuditLog *log, const SlipwayJson *head,
                           const SlipwayJson *anchors)
{
    long long n = (long long)slipway_json_get_int(head, "/seq", 0);

    if (s->output.is_quiet) {
        return;
    }
    output_print(&s->output, "%s%s%s: %lld record%s, each as it was when the next was written\n",
                 output_style(&s->output, false, STYLE_GOOD), log->name,
                 output_plain(&s->output, false), n, n == 1 ? "" : "s");
    if (n > 0) {
        output_print(&s->output, "  the last has SHA-256 %s\n",
                     slipway_json_get_string(head, "/sha256", ""));
    }
    for (size_t i = 0; i < slipway_json_get_count(anchors, ""); i++) {
        print_anchor(s, slipway_json_get_element(anchors, i));
    }
    if (slipway_json_get_count(anchors, "") == 0 && !s->client) {
        output_print(&s->output, "  whether records are missing at its end shows only against "
                                 "receipts: --bundle FILE\n");
    }
    if (slipway_json_get_bool(head, "/isTorn", false)) {
        output_print(&s->output, "  its last line is torn: a record that was being written, or a "
                                 "crash; nothing depends on it\n");
    }
}

static int print_verification(Session *s, const AuditLog *log, const SlipwayJson *head,
                              const SlipwayJson *anchors)
{
    SlipwayJson *line;

    if (!s->output.is_json) {
        print_verified(s, log, head, anchors);
        return EXIT_DONE;
    }
    line = slipway_json_new_object();
    (void)slipway_json_set_string(line, "/log", log->name);
    (void)slipway_json_set(line, "/records", slipway_json_get(head, "/seq"));
    (void)slipway_json_set(line, "/head", head);
    (void)slipway_json_set(line, "/anchors", anchors);
    session_print_json(s, "audit/verified", line);
    (void)slipway_json_unref(line);
    return EXIT_DONE;
}

static int verify(Verifying *v, const AuditLog *log, bool is_agents)
{
    SlipwayJson *heads = slipway_json_new_array(), *anchors = slipway_json_new_array();
    SlipwayJson *head = NULL;
    int r = heads && anchors ? audit_log_walk(v->session, log, NULL, look_for_calls, v, NULL)
                             : out_of_memory(v->session);

    if (r == 0 && find_agent(v, log, is_agents) < 0) {
        r = out_of_memory(v->session);
    }
    r = r == 0 ? gather_heads(v, log, is_agents, heads, anchors) : r;
    r = r == 0 ? audit_log_walk(v->session, log, heads, NULL, NULL, &head) : r;
    r = r < 0 ? out_of_memory(v->session) : r;
    r = r == 0 ? print_verification(v->session, log, head, anchors) : r;
    (void)slipway_json_unref(head);
    (void)slipway_json_unref(anchors);
    (void)slipway_json_unref(heads);
    return r;
}

static int run_verify(Session *s, const char *file)
{
    _cleanup_(verifying_done) Verifying v = {.session = s};
    _cleanup_(audit_log_done) AuditLog log = {0};
    int r = read_bundles(&v);

    r = r == EXIT_DONE ? audit_log_open(s, file, &log) : r;
    return r == EXIT_DONE ? verify(&v, &log, !file) : r;
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
    } subcommands[] = {{"show", run_show}, {"verify", run_verify}, {"export", run_export}};
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
        "that the records are in it which receipts in bundles (--bundle) name: an edited, removed, "
        "moved or cut off record is named, and the exit code is 1. Whether a receipt is signed by "
        "whom one believes is for `slipway release verify`.\n"
        "\nexport copies it into FILE, byte for byte and whole records only. A FILE that is there "
        "is gone on with; it is left alone, and the exit code is 1, if the agent's log does not "
        "begin like it.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 2,
    .is_local = true, /* unless it has to ask the agent */
    .run = run,
};
