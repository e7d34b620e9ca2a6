/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/history.h"

#include "plugin/cli/report/moment.h"

#include <errno.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Calls that began and have not ended: a host has a few. The oldest is forgotten; then nobody is
 * named for it. */
#define PENDING_MAX 256
#define BLOCK_SIZE ((size_t)64 << 10)
#define NOTES_MAX 256
#define NAMES_MAX 4096
/* Thirty years: no call has taken longer, so that is no duration. */
#define SECONDS_MAX 1e9
/* What git shows of a commit at the least. */
#define COMMIT_DIGITS 7

typedef struct HistoryBlock {
    struct HistoryBlock *next;
    size_t used;
    char text[BLOCK_SIZE];
} HistoryBlock;

/* A name and its number, in a tree of tsearch(3). */
typedef struct Name {
    const char *text;
    unsigned number;
} Name;

struct HistoryNames {
    void *services, *actions;
};

/* What is known of a call before its end. */
typedef struct Pending {
    const char *call, *who, *via;
    bool is_approved; /* `who` released it; whoever asked for it says less */
    size_t refusal;   /* its entry + 1, where it was refused; 0: none */
} Pending;

struct HistoryLog {
    const char *name;
    HistoryEntry *entries;
    size_t n, room, n_records;
    char *first; /* the first record's text: two logs that share it are one */
    int64_t last_us;
    size_t n_steps_back;
    int64_t first_step_back; /* seq */
    size_t n_without_time;
    Pending pending[PENDING_MAX];
    size_t next_pending;
};

/* ---- texts ------------------------------------------------------------------------------------
 */

/* Length of the character at `text` (which is UTF-8), and whether it is one to be shown: no control
 * character, and none that turns the direction of writing. */
static size_t look_at(const unsigned char *text, bool *ret_is_shown)
{
    size_t n = *text < 0x80 ? 1 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : 4;
    unsigned point = 0;

    for (size_t i = 0; i < n; i++) { /* a text that ends early is no UTF-8, and not believed */
        if (!text[i]) {
            *ret_is_shown = false;
            return i ? i : 1;
        }
    }
    if (n == 2) {
        point = (text[0] & 0x1fu) << 6 | (text[1] & 0x3fu);
    } else if (n == 3) {
        point = (text[0] & 0xfu) << 12 | (text[1] & 0x3fu) << 6 | (text[2] & 0x3fu);
    }
    *ret_is_shown = n == 1 ? *text >= 0x20 && *text != 0x7f
                    : n == 4
                        ? true
                        : point >= 0xa0 && point != 0x200e && point != 0x200f && point != 0x061c &&
                              point != 0xfeff && !(point >= 0x2028 && point <= 0x202e) &&
                              !(point >= 0x2066 && point <= 0x2069);
    return n;
}

const char *history_clean(const char *text, char *out)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t len = 0;

    while (*at) {
        bool is_shown;
        size_t n = look_at(at, &is_shown);

        if (len + n > HISTORY_TEXT_MAX) {
            memcpy(out + len, "…", strlen("…"));
            len += strlen("…");
            break;
        }
        if (is_shown) {
            memcpy(out + len, at, n);
            len += n;
        } else if (len > 0 && out[len - 1] != ' ') {
            out[len++] = ' ';
        }
        at += n;
    }
    while (len > 0 && out[len - 1] == ' ') {
        len--;
    }
    out[len] = '\0';
    return out;
}

static const char *keep_n(History *h, const char *text, size_t n)
{
    HistoryBlock *block = h->blocks;
    char *kept;

    if (n == 0) {
        return "";
    }
    if (!block || block->used + n + 1 > BLOCK_SIZE) {
        block = malloc(sizeof(*block));
        if (!block) {
            return NULL;
        }
        block->next = h->blocks;
        block->used = 0;
        h->blocks = block;
    }
    kept = block->text + block->used;
    memcpy(kept, text, n);
    kept[n] = '\0';
    block->used += n + 1;
    return kept;
}

/* A copy that is the history's; NULL when memory is out. */
static const char *keep(History *h, const char *text)
{
    char clean[HISTORY_TEXT_MAX + 4];

    return keep_n(h, clean, strlen(history_clean(text, clean)));
}

int history_note(History *h, const char *format, ...)
{
    char text[HISTORY_TEXT_MAX];
    const char **grown;
    va_list arguments;

    if (h->n_notes == NOTES_MAX) {
        return 0; /* whoever has read so many needs no more */
    }
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    grown = reallocarray(h->notes, h->n_notes + 1, sizeof(*grown));
    if (!grown) {
        return -ENOMEM;
    }
    h->notes = grown;
    grown[h->n_notes] = keep(h, text);
    if (!grown[h->n_notes]) {
        return -ENOMEM;
    }
    h->n_notes++;
    return 0;
}

/* ---- names that have numbers ------------------------------------------------------------------
 */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const Name *)a)->text, ((const Name *)b)->text);
}

/* The number of a name; a new one where it was not there. */
static int number_name(History *h, void **tree, const char ***names, size_t *n, const char *text,
                       unsigned *ret)
{
    Name wanted = {.text = text}, *name;
    void *found = tfind(&wanted, tree, compare_names);
    const char **grown;

    if (found) {
        *ret = (*(Name **)found)->number;
        return 0;
    }
    if (*n == NAMES_MAX) {
        return -EFBIG;
    }
    grown = reallocarray(*names, *n + 1, sizeof(*grown));
    if (!grown) {
        return -ENOMEM;
    }
    *names = grown;
    name = malloc(sizeof(*name));
    if (!name) {
        return -ENOMEM;
    }
    *name = (Name){.text = text, .number = (unsigned)*n};
    if (!tsearch(name, tree, compare_names)) {
        free(name);
        return -ENOMEM;
    }
    grown[(*n)++] = text;
    *ret = name->number;
    return 0;
}

/* A service is what its package is called, else where its source is: the last part of that, which
 * is what a person calls it. NULL when memory is out. */
static const char *keep_service(History *h, const SlipwayJson *record)
{
    const char *name = slipway_json_get_string(record, "/name", "");
    char text[HISTORY_TEXT_MAX + 4], *end, *slash;

    if (*name) {
        return keep(h, name);
    }
    (void)history_clean(slipway_json_get_string(record, "/repository", ""), text);
    end = text + strlen(text);
    while (end > text && end[-1] == '/') {
        *--end = '\0';
    }
    if (end - text > 4 && strcmp(end - 4, ".git") == 0) {
        end[-4] = '\0';
    }
    slash = strrchr(text, '/');
    return keep(h, slash ? slash + 1 : text);
}

/* ---- one record -------------------------------------------------------------------------------
 */

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static HistoryVerb verb_of(const char *action)
{
    static const struct {
        const char *prefix;
        HistoryVerb verb;
    } verbs[] = {
        {"deploy-", HISTORY_DEPLOY}, {"rollback-", HISTORY_ROLLBACK}, {"verify-", HISTORY_VERIFY}};

    for (size_t i = 0; i < 3; i++) {
        if (begins_with(action, verbs[i].prefix) && action[strlen(verbs[i].prefix)]) {
            return verbs[i].verb;
        }
    }
    return HISTORY_OTHER;
}

const char *history_environment(const SlipwayJson *record)
{
    const char *said = slipway_json_get_string(record, "/environment", "");
    const char *action = slipway_json_get_string(record, "/action", "");

    return *said || verb_of(action) == HISTORY_OTHER ? said : strchr(action, '-') + 1;
}

const char *history_who(const SlipwayJson *record)
{
    const char *who = slipway_json_get_string(record, "/approver/name",
                                              slipway_json_get_string(record, "/approver", ""));

    return *who ? who : slipway_json_get_string(record, "/origin/user", "");
}

bool history_version_says_commit(const char *version, const char *commit)
{
    char digits[COMMIT_DIGITS + 1];

    (void)snprintf(digits, sizeof(digits), "%s", commit);
    return strlen(digits) == COMMIT_DIGITS && strstr(version, digits);
}

static Pending *find_pending(HistoryLog *log, const char *call)
{
    for (size_t i = 0; i < PENDING_MAX; i++) {
        if (log->pending[i].call && strcmp(log->pending[i].call, call) == 0) {
            return &log->pending[i];
        }
    }
    return NULL;
}

static Pending *make_pending(HistoryLog *log, const char *call)
{
    Pending *pending = find_pending(log, call);

    if (!pending) {
        pending = &log->pending[log->next_pending];
        log->next_pending = (log->next_pending + 1) % PENDING_MAX;
        *pending = (Pending){.call = call, .who = "", .via = ""};
    }
    return pending;
}

static HistoryEntry *add_entry(HistoryLog *log)
{
    if (log->n == log->room) {
        size_t room = log->room ? log->room * 2 : 256;
        HistoryEntry *grown = reallocarray(log->entries, room, sizeof(*grown));

        if (!grown) {
            return NULL;
        }
        log->entries = grown;
        log->room = room;
    }
    return &log->entries[log->n];
}

static int keep_texts(History *h, const SlipwayJson *record, HistoryEntry *entry)
{
    const struct {
        const char **to;
        const char *text;
    } texts[] = {
        {&entry->environment, history_environment(record)},
        {&entry->digest, slipway_json_get_string(record, "/digest", "")},
        {&entry->previous, slipway_json_get_string(record, "/previousDigest", "")},
        {&entry->commit, slipway_json_get_string(record, "/commit", "")},
        {&entry->version, slipway_json_get_string(record, "/version", "")},
        {&entry->subject, slipway_json_get_string(record, "/subject", "")},
        {&entry->reason, slipway_json_get_string(record, "/reason", "")},
        {&entry->call, slipway_json_get_string(record, "/call", "")},
        {&entry->who, history_who(record)},
        {&entry->via, slipway_json_get_string(record, "/approver/via", "")},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i].to = keep(h, texts[i].text);
        if (!*texts[i].to) {
            return -ENOMEM;
        }
    }
    return 0;
}

static int fill_entry(History *h, const SlipwayJson *record, int64_t time_us, HistoryEntry *entry)
{
    const char *action = slipway_json_get_string(record, "/action", "");
    const char *outcome = slipway_json_get_string(record, "/outcome", "refused");
    double seconds = slipway_json_get_number(record, "/seconds", -1);
    const char *service, *kept_action;
    int r;

    *entry = (HistoryEntry){
        .time_us = time_us,
        .seconds = seconds >= 0 && seconds <= SECONDS_MAX ? seconds : -1,
        .verb = verb_of(action),
        .outcome = strcmp(outcome, "succeeded") == 0 ? HISTORY_SUCCEEDED
                   : strcmp(outcome, "refused") == 0 ? HISTORY_REFUSED
                                                     : HISTORY_FAILED,
        .is_unchanged = slipway_json_get_bool(record, "/isUnchanged", false),
        .is_restored = slipway_json_get_bool(record, "/isRestored", false),
    };
    if (moment_parse(slipway_json_get_string(record, "/committedAt", ""), &entry->committed_us) <
        0) {
        entry->committed_us = MOMENT_NONE;
    }
    r = keep_texts(h, record, entry);
    service = keep_service(h, record);
    kept_action = keep(h, action);
    if (r < 0 || !service || !kept_action) {
        return -ENOMEM;
    }
    r = number_name(h, &h->names->services, &h->services, &h->n_services, service, &entry->service);
    return r < 0 ? r
                 : number_name(h, &h->names->actions, &h->actions, &h->n_actions, kept_action,
                               &entry->action);
}

/* Who asked (`requested`) or released it (`decided`), for the end that will come. */
static int take_beginning(History *h, HistoryLog *log, const SlipwayJson *record, bool is_decision)
{
    const char *call = slipway_json_get_string(record, "/call", ""), *who = history_who(record);
    Pending *pending = find_pending(log, call);

    if (!*call) {
        return 0;
    }
    if (!pending) {
        call = keep(h, call);
        if (!call) {
            return -ENOMEM;
        }
        pending = make_pending(log, call);
    }
    if (*who && (is_decision || !pending->is_approved)) {
        pending->is_approved = is_decision;
        pending->who = keep(h, who);
        pending->via = keep(h, slipway_json_get_string(record, "/approver/via", ""));
    }
    return pending->who && pending->via ? 0 : -ENOMEM;
}

/* An end becomes an entry; so does a decision against, which its end then only says more about,
 * since that end may be missing. */
static int take_end(History *h, HistoryLog *log, const SlipwayJson *record, int64_t time_us,
                    bool is_decision)
{
    Pending *pending = find_pending(log, slipway_json_get_string(record, "/call", ""));
    bool is_known = pending && pending->refusal > 0;
    HistoryEntry *entry = is_known ? &log->entries[pending->refusal - 1] : add_entry(log);
    int r = entry ? fill_entry(h, record, time_us, entry) : -ENOMEM;

    if (r < 0) {
        return r;
    }
    if (pending && !*entry->who) {
        entry->who = pending->who;
        entry->via = pending->via;
    }
    log->n += !is_known;
    if (pending && is_decision) {
        pending->refusal = (size_t)(entry - log->entries) + 1;
    } else if (pending) {
        pending->call = NULL;
    }
    return 0;
}

/* ---- logs -------------------------------------------------------------------------------------
 */

int history_begin(History *h, const char *name)
{
    HistoryLog *log;

    if (h->n_logs == HISTORY_LOGS_MAX) {
        return -EFBIG;
    }
    if (h->n_logs == 0) {
        h->first_us = h->last_us = MOMENT_NONE;
    }
    if (!h->names) {
        h->names = calloc(1, sizeof(*h->names));
    }
    log = h->names ? calloc(1, sizeof(*log)) : NULL;
    if (!log) {
        return -ENOMEM;
    }
    h->logs[h->n_logs++] = log;
    log->name = keep(h, name);
    log->last_us = MOMENT_NONE;
    return log->name ? 0 : -ENOMEM;
}

/* Without a time a record has no place; the chain has its order, so it is only told. */
static bool take_time(History *h, HistoryLog *log, const SlipwayJson *record, int64_t *ret_us)
{
    int64_t us;

    if (moment_parse(slipway_json_get_string(record, "/time", ""), &us) < 0) {
        log->n_without_time++;
        return false;
    }
    if (log->last_us != MOMENT_NONE && us < log->last_us && log->n_steps_back++ == 0) {
        log->first_step_back = slipway_json_get_int(record, "/seq", 0);
    }
    log->last_us = us;
    h->first_us = h->first_us == MOMENT_NONE || us < h->first_us ? us : h->first_us;
    h->last_us = us > h->last_us ? us : h->last_us;
    *ret_us = us;
    return true;
}

int history_take(History *h, const SlipwayJson *record)
{
    HistoryLog *log = h->logs[h->n_logs - 1];
    const char *event = slipway_json_get_string(record, "/event", "");
    bool is_decision = strcmp(event, "decided") == 0;
    int64_t us;
    int r = 0;

    if (log->n_records++ == 0) {
        log->first = slipway_json_format(record);
        if (!log->first) {
            return -ENOMEM;
        }
    }
    if (!take_time(h, log, record, &us)) {
        return 0;
    }
    if (log->n == HISTORY_ENTRIES_MAX) {
        return -EFBIG;
    }
    if (is_decision || strcmp(event, "requested") == 0) {
        r = take_beginning(h, log, record, is_decision);
    }
    if (r == 0 && (strcmp(event, "finished") == 0 ||
                   (is_decision && !slipway_json_get_bool(record, "/isAllowed", true)))) {
        r = take_end(h, log, record, us, is_decision);
    }
    return r;
}

int history_end(History *h, bool is_torn)
{
    HistoryLog *log = h->logs[h->n_logs - 1];
    int r = 0;

    if (is_torn) {
        r = history_note(h,
                         "%s: its last line is torn (a record that was being written, or a crash) "
                         "and was left out",
                         log->name);
    }
    if (r == 0 && log->n_steps_back > 0) {
        r = history_note(h,
                         "%s: the host's clock went back %zu time%s, first at record %lld; "
                         "durations that come out negative are left out",
                         log->name, log->n_steps_back, log->n_steps_back > 1 ? "s" : "",
                         (long long)log->first_step_back);
    }
    if (r == 0 && log->n_without_time > 0) {
        r = history_note(h, "%s: %zu record%s without a time left out", log->name,
                         log->n_without_time, log->n_without_time > 1 ? "s" : "");
    }
    return r;
}

static void free_log(HistoryLog *log)
{
    if (log) {
        free(log->entries);
        free(log->first);
        free(log);
    }
}

/* Of two copies of one log the longer has all that the other has. */
static int drop_copies(History *h)
{
    for (size_t i = 0; i < h->n_logs; i++) {
        for (size_t j = h->n_logs - 1; j > i; j--) {
            HistoryLog *a = h->logs[i], *b = h->logs[j];
            bool is_a_longer = a->n_records >= b->n_records;

            if (!a->first || !b->first || strcmp(a->first, b->first) != 0) {
                continue;
            }
            if (history_note(h, "%s and %s are copies of one log; the longer one, %s, is counted",
                             a->name, b->name, is_a_longer ? a->name : b->name) < 0) {
                return -ENOMEM;
            }
            h->logs[i] = is_a_longer ? a : b;
            free_log(is_a_longer ? b : a);
            memmove(&h->logs[j], &h->logs[j + 1], (h->n_logs - j - 1) * sizeof(*h->logs));
            h->n_logs--;
        }
    }
    return 0;
}

/* Not every record names its service: a check or a rollback may know the package's digest alone. It
 * is of the service whose package that is, or of the only one that there is. */
static int learn_service(void **packages, const char *digest, unsigned service)
{
    Name wanted = {.text = digest, .number = service}, *name;

    if (!*digest || tfind(&wanted, packages, compare_names)) {
        return 0;
    }
    name = malloc(sizeof(*name));
    if (!name) {
        return -ENOMEM;
    }
    *name = wanted;
    if (!tsearch(name, packages, compare_names)) {
        free(name);
        return -ENOMEM;
    }
    return 0;
}

static bool find_service(void **packages, const char *digest, unsigned *ret)
{
    Name wanted = {.text = digest};
    void *found = *digest ? tfind(&wanted, packages, compare_names) : NULL;

    if (found) {
        *ret = (*(Name **)found)->number;
    }
    return found;
}

static int resolve_services(History *h)
{
    void *packages = NULL;
    unsigned only = 0;
    size_t n_named = 0;
    int r = 0;

    for (unsigned i = 0; i < h->n_services; i++) {
        n_named += *h->services[i] != '\0';
        only = *h->services[i] ? i : only;
    }
    for (size_t i = 0; r == 0 && i < h->n; i++) {
        HistoryEntry *entry = &h->entries[i];

        if (*h->services[entry->service]) {
            r = learn_service(&packages, entry->digest, entry->service);
        }
    }
    for (size_t i = 0; r == 0 && i < h->n; i++) {
        HistoryEntry *entry = &h->entries[i];

        if (!*h->services[entry->service] &&
            !find_service(&packages, entry->digest, &entry->service) &&
            !find_service(&packages, entry->previous, &entry->service) && n_named == 1) {
            entry->service = only;
        }
    }
    tdestroy(packages, free);
    return r;
}

int history_merge(History *h)
{
    size_t at[HISTORY_LOGS_MAX] = {0}, n = 0;

    if (drop_copies(h) < 0) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < h->n_logs; i++) {
        n += h->logs[i]->n;
    }
    free(h->entries);
    h->entries = calloc(n + 1, sizeof(*h->entries));
    if (!h->entries) {
        return -ENOMEM;
    }
    for (h->n = 0; h->n < n; h->n++) {
        const HistoryEntry *first = NULL;
        size_t from = 0;

        for (size_t i = 0; i < h->n_logs; i++) {
            const HistoryEntry *next = &h->logs[i]->entries[at[i]];

            if (at[i] < h->logs[i]->n && (!first || next->time_us < first->time_us)) {
                first = next;
                from = i;
            }
        }
        h->entries[h->n] = *first;
        at[from]++;
    }
    return resolve_services(h);
}

void history_done(History *h)
{
    while (h->blocks) {
        HistoryBlock *next = h->blocks->next;

        free(h->blocks);
        h->blocks = next;
    }
    for (size_t i = 0; i < h->n_logs; i++) {
        free_log(h->logs[i]);
    }
    if (h->names) {
        tdestroy(h->names->services, free);
        tdestroy(h->names->actions, free);
    }
    free(h->names);
    free(h->services);
    free(h->actions);
    free(h->notes);
    free(h->entries);
    *h = (History){0};
}

const char *history_log_name(const History *h, size_t index)
{
    return index < h->n_logs ? h->logs[index]->name : NULL;
}
