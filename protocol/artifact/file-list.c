/* SPDX-License-Identifier: MIT */
/* The tree is walked once, and only where a pattern can still match: `dist/` beside a
 * `node_modules` costs what `dist/` costs. */
#include "protocol/artifact/file-list.h"

#include "protocol/artifact/archive-name.h"
#include "protocol/base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Pattern {
    const char *text; /* borrowed, without its '!' */
    bool takes_away;
    bool has_matched;
} Pattern;

typedef struct Walk {
    Pattern *patterns;
    size_t n_patterns;
    FileList *list;
    Error *err;
} Walk;

void file_list_done(FileList *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->names[i]);
    }
    free(list->names);
    *list = (FileList){0};
}

/* One character, which in UTF-8 is a byte and its continuation bytes. */
static const char *next_char(const char *s)
{
    do {
        s++;
    } while (((unsigned char)*s & 0xc0) == 0x80);
    return s;
}

static bool is_same_char(const char *a, const char *b)
{
    size_t n = (size_t)(next_char(a) - a);

    return strncmp(a, b, n) == 0 && next_char(b) == b + n;
}

/* By code point, as the bytes of UTF-8 compare. */
static bool is_in_range(const char *c, const char *low, const char *high)
{
    size_t n = (size_t)(next_char(c) - c);
    size_t n_low = (size_t)(next_char(low) - low), n_high = (size_t)(next_char(high) - high);
    int to_low = n != n_low ? (n > n_low ? 1 : -1) : memcmp(c, low, n);
    int to_high = n != n_high ? (n > n_high ? 1 : -1) : memcmp(c, high, n);

    return to_low >= 0 && to_high <= 0;
}

/* `set` stands behind the '['. The end of the set is told in *ret_end, NULL if it has none (then
 * the bracket means itself, as in sh(1)). */
static bool set_matches(const char *set, const char *set_limit, const char *c, const char **ret_end)
{
    bool is_negated = *set == '!' || *set == '^', is_found = false, is_first = true;

    *ret_end = NULL;
    for (set += is_negated; set < set_limit && (is_first || *set != ']'); is_first = false) {
        const char *after = next_char(set);

        if (*after == '-' && after + 1 < set_limit && after[1] != ']') {
            is_found |= is_in_range(c, set, after + 1);
            set = next_char(after + 1);
        } else {
            is_found |= is_same_char(c, set);
            set = after;
        }
    }
    if (set >= set_limit) {
        return false;
    }
    *ret_end = set + 1;
    return is_found != is_negated;
}

/* One character of the pattern (no star) against one of the name; the pattern's rest, or NULL. */
static const char *match_char(const char *p, const char *p_end, const char *c)
{
    const char *end;

    if (*p == '?') {
        return p + 1;
    }
    if (*p == '[') {
        bool is_match = set_matches(p + 1, p_end, c, &end);

        if (end) {
            return is_match ? end : NULL;
        }
    }
    if (*p == '\\' && p + 1 < p_end) {
        p++;
    }
    return is_same_char(p, c) ? next_char(p) : NULL;
}

/* One part of a pattern against one part of a name. Only the last star is ever tried again, so the
 * cost is at most the product of the two lengths. */
static bool part_matches(const char *p, size_t p_len, const char *c, size_t c_len)
{
    const char *p_end = p + p_len, *c_end = c + c_len, *star = NULL, *star_c = NULL;

    while (c < c_end) {
        const char *rest;

        if (p < p_end && *p == '*') {
            star = ++p;
            star_c = c;
            continue;
        }
        rest = p < p_end ? match_char(p, p_end, c) : NULL;
        if (rest) {
            p = rest;
            c = next_char(c);
        } else if (star) {
            p = star;
            star_c = next_char(star_c);
            c = star_c;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '*') {
        p++;
    }
    return p == p_end;
}

static const char *next_part(const char *s)
{
    s += strcspn(s, "/");
    return s + strspn(s, "/");
}

typedef enum Match {
    MATCH_NONE,
    MATCH_BELOW, /* not the name, but perhaps something below it */
    MATCH_WHOLE, /* the name, or a directory that it is in */
} Match;

static const char *skip_empty_parts(const char *s)
{
    for (;;) {
        if (*s == '/') {
            s++;
        } else if (s[0] == '.' && (s[1] == '/' || s[1] == '\0')) {
            s++;
        } else {
            return s;
        }
    }
}

/* As part_matches, one storey up: only the last `**` is ever tried again. */
static Match match_parts(const char *pattern, const char *name)
{
    const char *star = NULL, *star_name = NULL;

    for (;;) {
        size_t p_len, n_len = strcspn(name, "/");

        pattern = skip_empty_parts(pattern);
        p_len = strcspn(pattern, "/");
        if (p_len == 0 && pattern != star) {
            return MATCH_WHOLE;
        }
        if (n_len == 0) {
            return MATCH_BELOW;
        }
        if (p_len == 0) {
            return MATCH_WHOLE; /* a trailing `**`, and something is left for it */
        }
        if (p_len == 2 && memcmp(pattern, "**", 2) == 0) {
            pattern = skip_empty_parts(pattern + 2);
            star = pattern;
            star_name = name;
            continue;
        }
        if (part_matches(pattern, p_len, name, n_len)) {
            pattern += p_len;
            name = next_part(name);
        } else if (star) {
            pattern = star;
            star_name = next_part(star_name);
            name = star_name;
        } else {
            return MATCH_NONE;
        }
    }
}

bool file_list_pattern_matches(const char *pattern, const char *name)
{
    return match_parts(pattern + (pattern[0] == '!'), name) == MATCH_WHOLE;
}

static int list_add(FileList *list, const char *name, Error *err)
{
    size_t limit = list->limit ? list->limit : FILE_LIST_MAX;

    if (list->count == limit) {
        return error_set(err, -E2BIG, "the patterns name more than %zu files", limit);
    }
    if (list->count == list->allocated) {
        size_t allocated = MAX((size_t)64, list->allocated * 2);
        char **names = reallocarray(list->names, allocated, sizeof(*names));

        if (!names) {
            return error_set(err, -ENOMEM, "out of memory");
        }
        list->names = names;
        list->allocated = allocated;
    }
    list->names[list->count] = strdup(name);
    if (!list->names[list->count]) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    list->count++;
    return 0;
}

/* The best that the patterns make of a name. What one of them takes away, none brings back. */
static Match walk_match(Walk *walk, const char *name)
{
    Match best = MATCH_NONE;

    for (size_t i = 0; i < walk->n_patterns; i++) {
        Pattern *pattern = &walk->patterns[i];
        Match match = match_parts(pattern->text, name);

        if (pattern->takes_away) {
            if (match == MATCH_WHOLE) {
                return MATCH_NONE;
            }
        } else {
            best = MAX(best, match);
        }
    }
    return best;
}

static void walk_note_matched(Walk *walk, const char *name)
{
    for (size_t i = 0; i < walk->n_patterns; i++) {
        Pattern *pattern = &walk->patterns[i];

        if (!pattern->takes_away && !pattern->has_matched) {
            pattern->has_matched = match_parts(pattern->text, name) == MATCH_WHOLE;
        }
    }
}

/* A socket or the like: nothing that could be kept. */
static int walk_special(Walk *walk, const char *name, unsigned char type)
{
    if (!walk->list->refuses_special || walk_match(walk, name) != MATCH_WHOLE) {
        return 0;
    }
    return error_set(walk->err, -EINVAL, "'%s' is a %s, which no package can hold", name,
                     type == DT_SOCK   ? "socket"
                     : type == DT_FIFO ? "named pipe"
                                       : "device");
}

static int walk_directory(Walk *walk, int dir_fd, const char *name, Match match, int depth);

static int walk_entry(Walk *walk, int dir_fd, const struct dirent *entry, const char *parent,
                      int depth)
{
    _cleanup_free_ char *name = NULL;
    unsigned char type = entry->d_type;
    struct stat st;
    Match match;

    if (asprintf(&name, "%s%s%s", parent, *parent ? "/" : "", entry->d_name) < 0) {
        name = NULL;
        return error_set(walk->err, -ENOMEM, "out of memory");
    }
    if (type == DT_UNKNOWN) { /* a file system that does not tell */
        if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            return error_set_errno(walk->err, -errno, "'%s'", name);
        }
        type = IFTODT(st.st_mode);
    }
    if (type != DT_DIR && type != DT_REG && type != DT_LNK) {
        return walk_special(walk, name, type);
    }
    walk_note_matched(walk, name);
    match = walk_match(walk, name);
    if (type == DT_DIR && match != MATCH_NONE) {
        return walk_directory(walk, dir_fd, name, match, depth + 1);
    }
    return match == MATCH_WHOLE ? list_add(walk->list, name, walk->err) : 0;
}

static int open_directory(int dir_fd, const char *name, DIR **ret)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    *ret = fd < 0 ? NULL : fdopendir(fd);
    if (!*ret) {
        int r = -errno;

        (void)fd_close(fd);
        return r;
    }
    return 0;
}

static void closedirp(DIR **dir)
{
    if (*dir) {
        (void)closedir(*dir);
    }
}

static int walk_directory(Walk *walk, int dir_fd, const char *name, Match match, int depth)
{
    const char *slash = strrchr(name, '/');
    _cleanup_(closedirp) DIR *dir = NULL;
    struct dirent *entry;
    bool is_empty = true;
    int r;

    if (depth > ARCHIVE_DEPTH_MAX) {
        return error_set(walk->err, -EINVAL, "'%s' is more than %d directories deep", name,
                         ARCHIVE_DEPTH_MAX);
    }
    r = open_directory(dir_fd, slash ? slash + 1 : (*name ? name : "."), &dir);
    if (r < 0) {
        return error_set_errno(walk->err, r, "'%s'", *name ? name : ".");
    }
    while (errno = 0, (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        is_empty = false;
        r = walk_entry(walk, dirfd(dir), entry, name, depth);
        if (r < 0) {
            return r;
        }
    }
    if (errno != 0) {
        return error_set_errno(walk->err, -errno, "'%s'", *name ? name : ".");
    }
    return is_empty && match == MATCH_WHOLE && *name ? list_add(walk->list, name, walk->err) : 0;
}

static int pattern_parse(const char *text, Pattern *ret, Error *err)
{
    Pattern pattern = {.text = text + (text[0] == '!'), .takes_away = text[0] == '!'};

    if (pattern.text[0] == '\0') {
        return error_set(err, -EINVAL, "'%s' names nothing", text);
    }
    if (pattern.text[0] == '/') {
        return error_set(err, -EINVAL, "'%s' is absolute; it has to be relative to the workspace",
                         text);
    }
    for (const char *part = pattern.text; *part; part = next_part(part)) {
        if (strcspn(part, "/") == 2 && memcmp(part, "..", 2) == 0) {
            return error_set(err, -EINVAL, "'%s' has '..' in it", text);
        }
    }
    *ret = pattern;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int walk_all(Walk *walk, int root_fd)
{
    int r = walk_directory(walk, root_fd, "", MATCH_BELOW, 0);

    for (size_t i = 0; i < walk->n_patterns && r == 0 && !walk->list->may_match_nothing; i++) {
        if (!walk->patterns[i].takes_away && !walk->patterns[i].has_matched) {
            r = error_set(walk->err, -ENOENT, "'%s' matches nothing", walk->patterns[i].text);
        }
    }
    return r;
}

int file_list_match(int root_fd, const char *const *patterns, size_t n_patterns, FileList *ret,
                    Error *err)
{
    _cleanup_free_ Pattern *parsed = calloc(n_patterns + 1, sizeof(*parsed));
    _cleanup_(file_list_done) FileList list = {.limit = ret->limit,
                                               .may_match_nothing = ret->may_match_nothing,
                                               .refuses_special = ret->refuses_special};
    Walk walk = {.patterns = parsed, .n_patterns = n_patterns, .list = &list, .err = err};
    int r;

    if (!parsed) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n_patterns; i++) {
        r = pattern_parse(patterns[i], &parsed[i], err);
        if (r < 0) {
            return r;
        }
    }
    r = walk_all(&walk, root_fd);
    if (r < 0) {
        return r;
    }
    if (list.count > 0) {
        qsort(list.names, list.count, sizeof(*list.names), compare_names);
    }
    *ret = list;
    list = (FileList){0};
    return 0;
}
