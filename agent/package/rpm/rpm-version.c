/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-version.h"

#include "protocol/base/buffer.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* git abbreviates to no fewer. */
#define HASH_LEN_MIN ((size_t)4)

/* What follows the numbers, and what is put before it. The words of one side sort among themselves
 * as they should: alpha, beta, pre, preview, rc. */
static const struct {
    const char *word, *sign;
} words[] = {
    {"alpha", "~"}, {"beta", "~"},      {"pre", "~"},      {"preview", "~"}, {"rc", "~"},
    {"dev", "~~"},  {"snapshot", "~~"}, {"nightly", "~~"}, {"canary", "~~"}, {"post", "."},
    {"patch", "."}, {"hotfix", "."},    {"p", "."},        {"pl", "."},      {"sp", "."},
    {"fix", "."},   {"update", "."},
};

bool rpm_version_is_valid(const char *text)
{
    size_t n = strlen(text);

    return n > 0 && n <= RPM_VERSION_LEN_MAX && isalnum((unsigned char)text[0]) &&
           strspn(text, DIGITS LETTERS "._+~^") == n && !strstr(text, "..");
}

/* ---- cutting ----------------------------------------------------------------------------------
 */

typedef struct Parts {
    char *tag;    /* without what `git describe` puts behind it */
    char *count;  /* commits since; NULL: it is the tag itself */
    char *commit; /* "gabcdef0" */
} Parts;

static void parts_done(Parts *parts)
{
    free(parts->tag);
    free(parts->count);
    free(parts->commit);
}

/* Where "-4-gabcdef0" begins; NULL if it does not end so. */
static const char *find_distance(const char *text)
{
    const char *hash = strrchr(text, '-'), *count = hash;

    if (!hash || hash[1] != 'g' || strspn(hash + 2, DIGITS "abcdef") < HASH_LEN_MIN ||
        hash[2 + strspn(hash + 2, DIGITS "abcdef")] != '\0') {
        return NULL;
    }
    while (count > text && isdigit((unsigned char)count[-1])) {
        count--;
    }
    return count > text + 1 && count < hash && count[-1] == '-' ? count - 1 : NULL;
}

static int cut(const char *text, Parts *parts)
{
    const char *distance = find_distance(text);

    if (!distance) {
        parts->tag = strdup(text);
        return parts->tag ? 0 : -ENOMEM;
    }
    parts->tag = strndup(text, (size_t)(distance - text));
    parts->count = strndup(distance + 1, strcspn(distance + 1, "-"));
    parts->commit = strdup(strrchr(text, '-') + 1);
    return parts->tag && parts->count && parts->commit ? 0 : -ENOMEM;
}

/* Without "NAME-", "NAME/", "release-", "release/" and "v". */
static const char *skip_prefix(const char *tag, const char *name)
{
    const char *const prefixes[] = {name, "release", "version"};

    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        size_t n = strlen(prefixes[i]);

        if (n > 0 && strncmp(tag, prefixes[i], n) == 0 && (tag[n] == '-' || tag[n] == '/')) {
            tag += n + 1;
            break;
        }
    }
    return (*tag == 'v' || *tag == 'V') && isdigit((unsigned char)tag[1]) ? tag + 1 : tag;
}

/* ---- putting together -------------------------------------------------------------------------
 */

/* 1.2.3: numbers with single dots between them. Their length; 0: it does not begin with one. */
static size_t numbers_length(const char *text)
{
    size_t n = strspn(text, DIGITS);

    while (n > 0 && text[n] == '.' && isdigit((unsigned char)text[n + 1])) {
        n += 1 + strspn(text + n + 1, DIGITS);
    }
    return n;
}

static const char *find_sign(const char *word, size_t n)
{
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strlen(words[i].word) == n && strncasecmp(words[i].word, word, n) == 0) {
            return words[i].sign;
        }
    }
    return NULL;
}

static int refuse(const char *tag, const char *what, Error *err)
{
    return error_set(err, -EINVAL,
                     "the tag '%s' makes no version of an rpm: %s; name one in "
                     "`package.rpm.version`, or tag like v1.2.3, v1.2.3-rc.1, v1.2.3-hotfix1",
                     tag, what);
}

/* "-rc.1", ".Beta2", "rc1": the word decides on which side of the release it is. In lower case,
 * because to rpm "RC2" is older than "rc1". */
static int append_word(const char *tag, const char *rest, Buffer *version, Error *err)
{
    const char *word = rest + (*rest && strchr("-._", *rest));
    size_t n_word = strspn(word, LETTERS);
    const char *sign = find_sign(word, n_word);
    int r;

    if (n_word == 0) {
        return refuse(tag, "nobody can tell whether what follows the numbers is before or after",
                      err);
    }
    if (!sign) {
        return refuse(tag, "the word after the numbers is none that says before or after", err);
    }
    r = buffer_append_text(version, sign);
    for (; r == 0 && *word; word++) {
        char c = (char)tolower((unsigned char)*word);

        if (!isalnum((unsigned char)c) && !strchr(".-_+", c)) {
            return refuse(tag, "it has characters that no version may have", err);
        }
        c = c == '-' ? '.' : c;
        r = buffer_append(version, &c, 1);
    }
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

/* Build metadata: it says nothing about the order, and rpm would let it. */
static int append_rest(const char *tag, const char *rest, Buffer *version, Error *err)
{
    if (*rest == '+') {
        return refuse(tag, "rpm would sort by what follows the '+'", err);
    }
    return *rest ? append_word(tag, rest, version, err) : 0;
}

static int append_tag(const Parts *parts, const char *name, Buffer *version, Error *err)
{
    const char *text = skip_prefix(parts->tag, name);
    size_t n = numbers_length(text);
    int r;

    if (n == 0) {
        return refuse(parts->tag, "it does not begin with a number", err);
    }
    r = buffer_append(version, text, n);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = append_rest(parts->tag, text + n, version, err);
    if (r == 0 && parts->count && strcmp(parts->count, "0") != 0) {
        r = buffer_append_format(version, "^%s.%s", parts->count, parts->commit);
        r = r < 0 ? error_set(err, r, "out of memory") : 0;
    }
    if (r == 0 && !rpm_version_is_valid(buffer_text(version))) {
        return refuse(parts->tag, "it is too long, or has characters that no version may have",
                      err);
    }
    return r;
}

/* A repository without tags: older than any version it will have, in the order of its commits. */
static int append_time(const char *hash, int64_t committed_at, Buffer *version)
{
    time_t seconds = (time_t)committed_at;
    struct tm tm;
    char text[32];

    if (!gmtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%Y%m%d%H%M%S", &tm) == 0) {
        return -EINVAL;
    }
    return buffer_append_format(version, "0^%s.g%s", text, hash);
}

int rpm_version_from_describe(const char *describe, const char *name, const char *commit,
                              int64_t committed_at, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer version = BUFFER_INIT(0);
    _cleanup_(parts_done) Parts parts = {0};
    int r = cut(describe, &parts);

    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    if (commit && strlen(describe) >= HASH_LEN_MIN &&
        strncmp(commit, describe, strlen(describe)) == 0) {
        r = append_time(describe, committed_at, &version);
        r = r < 0 ? error_set(err, r, "'%s' makes no version", describe) : 0;
    } else {
        r = append_tag(&parts, name, &version, err);
    }
    if (r < 0) {
        return r;
    }
    *ret = buffer_take_text(&version);
    return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* ---- order ------------------------------------------------------------------------------------
 */

/* Where one has a sign and the other has not: `weight` 1 is newer with it than at the end (caret),
 * -1 is older in any case (tilde). 2: neither has it. */
static int compare_signs(char a, char b, char sign)
{
    if (a != sign && b != sign) {
        return 2;
    }
    if (a == sign && b == sign) {
        return 0;
    }
    if (sign == '~') {
        return a == sign ? -1 : 1;
    }
    if (a == sign) {
        return b == '\0' ? 1 : -1;
    }
    return a == '\0' ? -1 : 1;
}

/* A run of digits, or of letters, of each; both moved behind it. */
static int compare_runs(const char **a, const char **b)
{
    bool is_number = isdigit((unsigned char)**a);
    const char *set = is_number ? DIGITS : LETTERS;
    size_t n_a, n_b;
    int r;

    if (is_number) {
        *a += strspn(*a, "0");
    }
    n_a = strspn(*a, set);
    if (strspn(*b, set) == 0) {
        return is_number ? 1 : -1; /* numbers are newer than letters */
    }
    if (is_number) {
        *b += strspn(*b, "0");
    }
    n_b = strspn(*b, set);
    r = is_number && n_a != n_b ? (n_a > n_b ? 1 : -1) : strncmp(*a, *b, MIN(n_a, n_b));
    r = r == 0 && n_a != n_b ? (n_a > n_b ? 1 : -1) : r;
    *a += n_a;
    *b += n_b;
    return r;
}

int rpm_version_compare(const char *a, const char *b)
{
    static const char signs[] = {'~', '^'};

    while (*a || *b) {
        bool has_sign = false;
        int r;

        a += strcspn(a, DIGITS LETTERS "~^");
        b += strcspn(b, DIGITS LETTERS "~^");
        for (size_t i = 0; i < ARRAY_SIZE(signs) && !has_sign; i++) {
            r = compare_signs(*a, *b, signs[i]);
            if (r == -1 || r == 1) {
                return r;
            }
            has_sign = r == 0;
        }
        if (has_sign) {
            a++;
            b++;
            continue;
        }
        if (!*a || !*b) {
            break;
        }
        r = compare_runs(&a, &b);
        if (r != 0) {
            return r;
        }
    }
    return (*a != '\0') - (*b != '\0');
}
