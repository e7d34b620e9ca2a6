/* SPDX-License-Identifier: MIT */
#include "agent/deploy/changes.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* How many lines of the text each part may have; together with the headings they are below
 * CHANGES_LINES_MAX. */
#define TEXT_COMMITS_MAX 12
#define TEXT_FILES_MAX 10
#define TEXT_CONFIGURATION_MAX 9

#define SUBJECT_MAX ((size_t)72)
#define AUTHOR_MAX ((size_t)24)
#define NAME_MAX_SHOWN ((size_t)256)
#define CONFIGURATION_LINES_MAX 200

#define FIELD_END '\x1f'
#define RECORD_END '\x1e'

/* ---- text that cannot pretend -----------------------------------------------------------------
 */

/* Control characters (C0, DEL, C1) and those that turn the direction of writing: U+200E, U+200F,
 * U+202A to U+202E, U+2066 to U+2069; and the line separators U+2028, U+2029. */
static bool is_pretender(const unsigned char *c, size_t n)
{
    if (n == 1) {
        return c[0] < 0x20 || c[0] == 0x7f;
    }
    if (n == 2) {
        return c[0] == 0xc2 && c[1] < 0xa0;
    }
    if (n != 3 || c[0] != 0xe2) {
        return false;
    }
    return (c[1] == 0x80 && (c[2] == 0x8e || c[2] == 0x8f || (c[2] >= 0xa8 && c[2] <= 0xae))) ||
           (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9);
}

static size_t character_len(unsigned char first)
{
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Appends at most `max` characters of the bytes, "…" where there are more. */
static int append_plain(Buffer *out, const char *data, size_t len, size_t max)
{
    int r = 0;

    for (size_t at = 0, count = 0; r == 0 && at < len; count++) {
        size_t n = character_len((unsigned char)data[at]);

        if (count == max) {
            return buffer_append_text(out, "…");
        }
        if (n > len - at || text_utf8_prefix(data + at, n) < n) {
            r = buffer_append_text(out, "\xef\xbf\xbd");
            n = 1;
        } else if (is_pretender((const unsigned char *)data + at, n)) {
            r = buffer_append_text(out, "\xef\xbf\xbd");
        } else {
            r = buffer_append(out, data + at, n);
        }
        at += n;
    }
    return r;
}

static Json *new_plain(const char *data, size_t len, size_t max)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

    return append_plain(&text, data, len, max) < 0
               ? NULL
               : json_new_string_n(buffer_text(&text), text.len);
}

/* ---- what git says ----------------------------------------------------------------------------
 */

typedef struct Lists {
    Json *commits;
    Json *files;
    Json *configuration;
    int64_t n_coming;
    int64_t n_going;
    int64_t n_files;
    int64_t added;
    int64_t removed;
} Lists;

/* The piece up to `end`, and moves on behind it. False when there is none. */
static bool next_piece(ChangesBytes *rest, char end, ChangesBytes *ret)
{
    const char *at = rest->len > 0 ? memchr(rest->data, end, rest->len) : NULL;
    size_t n = at ? (size_t)(at - rest->data) : 0;

    if (!at) {
        return false;
    }
    *ret = (ChangesBytes){rest->data, n};
    *rest = (ChangesBytes){at + 1, rest->len - n - 1};
    return true;
}

static int read_commit(ChangesBytes record, bool is_going, Json *commits)
{
    static const char *const names[] = {"commit", "author", "date", "subject"};
    static const size_t limits[] = {64, AUTHOR_MAX, 10, SUBJECT_MAX};
    Json *commit = json_new_object();
    int r = commit ? 0 : -ENOMEM;

    while (record.len > 0 && *record.data == '\n') { /* git's own, between records */
        record.data++;
        record.len--;
    }
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++) {
        ChangesBytes field = record;

        if (i + 1 < ARRAY_SIZE(names) && !next_piece(&record, FIELD_END, &field)) {
            field = (ChangesBytes){"", 0};
        }
        r = json_set_take(commit, names[i], new_plain(field.data, field.len, limits[i]));
    }
    r = r == 0 && is_going ? json_set_bool(commit, "isGoing", true) : r;
    if (r < 0) {
        (void)json_unref(commit);
        return r;
    }
    return json_append_take(commits, commit);
}

static int read_log(ChangesBytes log, bool is_going, Lists *lists)
{
    int64_t *count = is_going ? &lists->n_going : &lists->n_coming;
    ChangesBytes record;
    int r = 0;

    while (r == 0 && next_piece(&log, RECORD_END, &record)) {
        (*count)++;
        if (json_length(lists->commits) < CHANGES_COMMITS_MAX) {
            r = read_commit(record, is_going, lists->commits);
        }
    }
    return r;
}

/* "-" for a binary file, which counts as no lines. */
static int64_t read_count(ChangesBytes text)
{
    int64_t value = 0;

    for (size_t i = 0; i < text.len && value < INT64_MAX / 20; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return 0;
        }
        value = value * 10 + (text.data[i] - '0');
    }
    return value;
}

static int read_file(ChangesBytes record, Lists *lists)
{
    ChangesBytes added, removed;
    Json *file = NULL;
    int r;

    if (!next_piece(&record, '\t', &added) || !next_piece(&record, '\t', &removed)) {
        return 0;
    }
    lists->n_files++;
    lists->added += read_count(added);
    lists->removed += read_count(removed);
    if (json_length(lists->files) >= CHANGES_FILES_MAX) {
        return 0;
    }
    file = json_new_object();
    r = file ? json_set_take(file, "name", new_plain(record.data, record.len, NAME_MAX_SHOWN))
             : -ENOMEM;
    r = r < 0 ? r : json_set_int(file, "added", read_count(added));
    r = r < 0 ? r : json_set_int(file, "removed", read_count(removed));
    if (r < 0) {
        (void)json_unref(file);
        return r;
    }
    return json_append_take(lists->files, file);
}

static int read_files(ChangesBytes numstat, Lists *lists)
{
    ChangesBytes record;
    int r = 0;

    while (r == 0 && next_piece(&numstat, '\0', &record)) {
        r = read_file(record, lists);
    }
    return r;
}

/* ---- configuration ----------------------------------------------------------------------------
 */

static int add_configuration(Lists *lists, const char *data, size_t len)
{
    if (json_length(lists->configuration) >= CONFIGURATION_LINES_MAX) {
        return 0;
    }
    return json_append_take(lists->configuration, new_plain(data, len, NAME_MAX_SHOWN));
}

static bool begins_with(ChangesBytes line, const char *prefix)
{
    size_t n = strlen(prefix);

    return line.len >= n && memcmp(line.data, prefix, n) == 0;
}

/* The last line may lack its line feed. */
static bool next_line(ChangesBytes *rest, ChangesBytes *ret)
{
    if (next_piece(rest, '\n', ret)) {
        return true;
    }
    *ret = *rest;
    rest->len = 0;
    return ret->len > 0;
}

/* Of a unified diff: the names of the files, and the lines that come and go. */
static int read_configuration(ChangesBytes diff, Lists *lists)
{
    bool is_in_hunk = false;
    ChangesBytes line;
    int r = 0;

    while (r == 0 && next_line(&diff, &line)) {
        if (begins_with(line, "diff --git ")) {
            const char *name = memmem(line.data, line.len, " b/", 3);

            is_in_hunk = false;
            r = name ? add_configuration(lists, name + 3, line.len - (size_t)(name + 3 - line.data))
                     : 0;
        } else if (begins_with(line, "@@")) {
            is_in_hunk = true;
        } else if (is_in_hunk && (begins_with(line, "+") || begins_with(line, "-"))) {
            r = add_configuration(lists, line.data, line.len);
        }
    }
    return r;
}

static int append_value(Buffer *out, const Json *value)
{
    const char *text = json_as_string(value);

    return text ? buffer_append_text(out, text) : json_format(value, out);
}

static int add_variable(Lists *lists, const char *name, bool was, const Json *then, bool is,
                        const Json *now)
{
    _cleanup_buffer_ Buffer line = BUFFER_INIT(0);
    int r = buffer_append_format(&line, "the environment's variable %s: ", name);

    r = r < 0 ? r : was ? append_value(&line, then) : buffer_append_text(&line, "(none)");
    r = r < 0 ? r : buffer_append_text(&line, " → ");
    r = r < 0 ? r : is ? append_value(&line, now) : buffer_append_text(&line, "(none)");
    return r < 0 ? r : add_configuration(lists, buffer_text(&line), line.len);
}

static int compare_variables(const ChangesFacts *facts, Lists *lists)
{
    const Json *then = facts->variables_then, *now = facts->variables_now;
    int r = 0;

    if (!then) {
        return 0;
    }
    for (JsonMember m = {0}; r == 0 && json_next_member(then, &m);) {
        if (!json_has(now, m.name) || !json_equal(json_get(now, m.name), m.value)) {
            r = add_variable(lists, m.name, true, m.value, json_has(now, m.name),
                             json_get(now, m.name));
        }
    }
    for (JsonMember m = {0}; r == 0 && json_next_member(now, &m);) {
        if (!json_has(then, m.name)) {
            r = add_variable(lists, m.name, false, NULL, true, m.value);
        }
    }
    return r;
}

/* ---- the text ---------------------------------------------------------------------------------
 */

static int append_release(Buffer *text, const char *version, const char *commit)
{
    int r = version ? append_plain(text, version, strlen(version), SUBJECT_MAX)
                    : buffer_append_format(text, "%.12s", commit ? commit : "?");

    return r == 0 && version && commit ? buffer_append_format(text, " (%.12s)", commit) : r;
}

static const char *plural(int64_t n, const char *one, const char *many)
{
    return n == 1 ? one : many;
}

static int append_counts(const ChangesFacts *facts, const Lists *lists, Buffer *text)
{
    switch (facts->relation) {
    case CHANGES_FORWARD:
        return lists->n_coming == 1
                   ? buffer_append_text(text, "One commit:")
                   : buffer_append_format(
                         text, "%lld commits, newest first:", (long long)lists->n_coming);
    case CHANGES_BACK:
        return buffer_append_format(
            text, "GOING BACK: this is older than what runs. %lld %s would be taken back:",
            (long long)lists->n_going, plural(lists->n_going, "commit", "commits"));
    case CHANGES_APART:
        return buffer_append_format(
            text,
            "NOT A SUCCESSOR of what runs: %lld %s would come, and %lld that %s now would go "
            "(marked -):",
            (long long)lists->n_coming, plural(lists->n_coming, "commit", "commits"),
            (long long)lists->n_going, plural(lists->n_going, "runs", "run"));
    case CHANGES_UNKNOWN:
        return buffer_append_text(text, "So what would change cannot be told. The commit and those "
                                        "before it, newest first:");
    case CHANGES_FIRST:
        return buffer_append_text(text, "The commit and those before it, newest first:");
    default:
        return 0;
    }
}

static int append_head(const ChangesFacts *facts, Buffer *text)
{
    int r = buffer_append_format(text, "%s: ", facts->environment);

    switch (facts->relation) {
    case CHANGES_FIRST:
        r = r < 0 ? r
                  : buffer_append_text(text, "nothing runs there yet; this would be the first: ");
        break;
    case CHANGES_SAME:
        r = r < 0 ? r : buffer_append_text(text, "already runs this commit: ");
        break;
    case CHANGES_UNKNOWN:
        if (!facts->from_commit) {
            r = r < 0 ? r
                      : buffer_append_text(text, "what runs there does not say its commit; this "
                                                 "would replace it: ");
            break;
        }
        r = r < 0 ? r : append_release(text, facts->from_version, facts->from_commit);
        r = r < 0 ? r
                  : buffer_append_text(text, " runs there, whose commit is not in this repository; "
                                             "this would replace it: ");
        break;
    default:
        r = r < 0 ? r : append_release(text, facts->from_version, facts->from_commit);
        r = r < 0 ? r : buffer_append_text(text, " → ");
        break;
    }
    r = r < 0 ? r : append_release(text, facts->to_version, facts->to_commit);
    return r < 0 ? r : buffer_append_text(text, "\n");
}

static int append_more(Buffer *text, int64_t n)
{
    return n > 0 ? buffer_append_format(text, "  … and %lld more\n", (long long)n) : 0;
}

static int append_commits(const ChangesFacts *facts, const Lists *lists, Buffer *text)
{
    int64_t total = lists->n_coming + lists->n_going;
    size_t shown = MIN(json_length(lists->commits), (size_t)TEXT_COMMITS_MAX);
    int r;

    if (facts->relation == CHANGES_SAME || total == 0) {
        return 0;
    }
    r = append_counts(facts, lists, text);
    r = r < 0 ? r : buffer_append_text(text, "\n");
    for (size_t i = 0; r == 0 && i < shown; i++) {
        const Json *commit = json_at(lists->commits, i);
        bool is_marked =
            facts->relation == CHANGES_APART && json_get_bool(commit, "isGoing", false);

        r = buffer_append_format(text, "  %s%.10s  %s  %s  (%s)\n", is_marked ? "- " : "",
                                 json_get_string(commit, "commit"), json_get_string(commit, "date"),
                                 json_get_string(commit, "subject"),
                                 json_get_string(commit, "author"));
    }
    return r < 0 ? r : append_more(text, total - (int64_t)shown);
}

static int append_files(const Lists *lists, Buffer *text)
{
    size_t shown = MIN(json_length(lists->files), (size_t)TEXT_FILES_MAX);
    int r;

    if (lists->n_files == 0) {
        return 0;
    }
    r = buffer_append_format(text, "\n%lld %s changed, %lld %s added, %lld removed:\n",
                             (long long)lists->n_files, plural(lists->n_files, "file", "files"),
                             (long long)lists->added, plural(lists->added, "line", "lines"),
                             (long long)lists->removed);
    for (size_t i = 0; r == 0 && i < shown; i++) {
        const Json *file = json_at(lists->files, i);

        r = buffer_append_format(text, "  %s  +%lld -%lld\n", json_get_string(file, "name"),
                                 (long long)json_get_int(file, "added", 0),
                                 (long long)json_get_int(file, "removed", 0));
    }
    return r < 0 ? r : append_more(text, lists->n_files - (int64_t)shown);
}

static int append_configuration(const Lists *lists, Buffer *text)
{
    size_t total = json_length(lists->configuration);
    size_t shown = MIN(total, (size_t)TEXT_CONFIGURATION_MAX);
    int r;

    if (total == 0) {
        return 0;
    }
    r = buffer_append_text(text, "\nConfiguration:\n");
    for (size_t i = 0; r == 0 && i < shown; i++) {
        r = buffer_append_format(text, "  %s\n", json_as_string(json_at(lists->configuration, i)));
    }
    return r < 0 ? r : append_more(text, (int64_t)(total - shown));
}

static int write_text(const ChangesFacts *facts, const Lists *lists, Buffer *text)
{
    int r = append_head(facts, text);

    r = r < 0 ? r : append_commits(facts, lists, text);
    r = r < 0 ? r : append_files(lists, text);
    r = r < 0 ? r : append_configuration(lists, text);
    while (r == 0 && text->len > 0 && text->data[text->len - 1] == '\n') {
        buffer_truncate(text, text->len - 1);
    }
    return r;
}

/* ---- outputs ----------------------------------------------------------------------------------
 */

static int set_outputs(const ChangesFacts *facts, Lists *lists, Json *outputs)
{
    static const char *const relations[_CHANGES_RELATION_MAX] = {
        [CHANGES_FIRST] = "first", [CHANGES_SAME] = "same",   [CHANGES_FORWARD] = "forward",
        [CHANGES_BACK] = "back",   [CHANGES_APART] = "apart", [CHANGES_UNKNOWN] = "unknown",
    };
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = write_text(facts, lists, &text);

    r = r < 0 ? r : json_set_string(outputs, "from", facts->from_commit);
    r = r < 0 ? r : json_set_string(outputs, "to", facts->to_commit);
    r = r < 0 ? r : json_set_string(outputs, "relation", relations[facts->relation]);
    r = r < 0 ? r : json_set_take(outputs, "commits", TAKE_PTR(lists->commits));
    r = r < 0 ? r : json_set_int(outputs, "commitCount", lists->n_coming + lists->n_going);
    r = r < 0 ? r : json_set_take(outputs, "files", TAKE_PTR(lists->files));
    r = r < 0 ? r : json_set_int(outputs, "fileCount", lists->n_files);
    r = r < 0 ? r : json_set_take(outputs, "configuration", TAKE_PTR(lists->configuration));
    return r < 0 ? r : json_set_string(outputs, "text", buffer_text(&text));
}

int changes_describe(const ChangesFacts *facts, Json **ret, Error *err)
{
    Lists lists = {
        .commits = json_new_array(),
        .files = json_new_array(),
        .configuration = json_new_array(),
    };
    _cleanup_json_ Json *outputs = json_new_object();
    int r = outputs && lists.commits && lists.files && lists.configuration ? 0 : -ENOMEM;

    r = r < 0 ? r : read_log(facts->coming, false, &lists);
    r = r < 0 ? r : read_log(facts->going, true, &lists);
    r = r < 0 ? r : read_files(facts->files, &lists);
    r = r < 0 ? r : compare_variables(facts, &lists);
    r = r < 0 ? r : read_configuration(facts->configuration, &lists);
    r = r < 0 ? r : set_outputs(facts, &lists, outputs);
    (void)json_unref(lists.commits);
    (void)json_unref(lists.files);
    (void)json_unref(lists.configuration);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    *ret = TAKE_PTR(outputs);
    return 0;
}
