/* SPDX-License-Identifier: MIT */
#include "agent/package/deb/deb-version.h"

#include "protocol/base/buffer.h"
#include "protocol/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* As git shortens commits; a shorter text is a tag, also when a commit happens to begin with it. */
#define HASH_LENGTH_MIN 7

/* What people call versions that come before the one that they are of. */
static const char *const words_before[] = {"alpha", "beta",     "dev",     "pre", "preview",
                                           "rc",    "snapshot", "nightly", "test"};
/* PEP 440 shortens some; a letter alone may as well mean a later one (1.1.1a). */
static const char *const letters_before[] = {"a", "b", "c"};

static const char digits[] = "0123456789";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---- order ------------------------------------------------------------------------------------
 */

/* `~` is before the end, the end before letters, letters before the rest. A digit ends a part that
 * is no number, so it counts as the end. */
static int order_of(char c)
{
    if (c == '~') {
        return -1;
    }
    if (c == '\0' || is_digit(c)) {
        return 0;
    }
    return is_letter(c) ? c : (unsigned char)c + 256;
}

static int compare_numbers(const char **a, const char **b)
{
    const char *x = *a + strspn(*a, "0"), *y = *b + strspn(*b, "0");
    size_t x_len = strspn(x, digits), y_len = strspn(y, digits);

    *a = x + x_len;
    *b = y + y_len;
    return x_len != y_len ? (x_len < y_len ? -1 : 1) : strncmp(x, y, x_len);
}

/* Parts that are no numbers and numbers take turns. */
static int compare_parts(const char *a, const char *b)
{
    while (*a || *b) {
        int r;

        while ((*a && !is_digit(*a)) || (*b && !is_digit(*b))) {
            r = order_of(*a) - order_of(*b);
            if (r != 0) {
                return r;
            }
            a++;
            b++;
        }
        r = compare_numbers(&a, &b);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

/* A copy, cut in three; the caller frees it. Missing epoch and revision are "". */
static char *cut(const char *version, const char **ret_epoch, const char **ret_upstream,
                 const char **ret_revision)
{
    char *copy = strdup(version), *colon = copy ? strchr(copy, ':') : NULL;
    char *hyphen = copy ? strrchr(copy, '-') : NULL;

    if (!copy) {
        return NULL;
    }
    *ret_epoch = colon ? copy : "";
    *ret_upstream = colon ? colon + 1 : copy;
    *ret_revision = hyphen && hyphen > colon ? hyphen + 1 : "";
    if (colon) {
        *colon = '\0';
    }
    if (hyphen && hyphen > colon) {
        *hyphen = '\0';
    }
    return copy;
}

int deb_version_compare(const char *a, const char *b)
{
    const char *a_part[3], *b_part[3];
    _cleanup_free_ char *x = cut(a, &a_part[0], &a_part[1], &a_part[2]);
    _cleanup_free_ char *y = cut(b, &b_part[0], &b_part[1], &b_part[2]);

    if (!x || !y) { /* no memory: some order is better than none */
        return strcmp(a, b);
    }
    for (size_t i = 0; i < ARRAY_SIZE(a_part); i++) {
        int r = compare_parts(a_part[i], b_part[i]);

        if (r != 0) {
            return r;
        }
    }
    return 0;
}

/* ---- checking ---------------------------------------------------------------------------------
 */

static int check_characters(const char *what, const char *part, bool may_have_hyphen, Error *err)
{
    for (const char *c = part; *c; c++) {
        if (!is_digit(*c) && !is_letter(*c) && !strchr(".+~", *c) &&
            !(may_have_hyphen && *c == '-')) {
            return error_set(err, -EINVAL, "%s '%s' has '%c', which dpkg does not take", what, part,
                             isprint((unsigned char)*c) ? *c : '?');
        }
    }
    return 0;
}

int deb_version_check(const char *version, Error *err)
{
    const char *epoch, *upstream, *revision;
    _cleanup_free_ char *copy = cut(version, &epoch, &upstream, &revision);
    int64_t number;
    int r;

    if (!copy) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (strlen(version) > DEB_VERSION_MAX) {
        return error_set(err, -EINVAL, "the version has more than %d characters", DEB_VERSION_MAX);
    }
    if ((*epoch || version[0] == ':') && text_parse_int(epoch, 0, INT32_MAX, &number) < 0) {
        return error_set(err, -EINVAL, "'%s' is no epoch for dpkg", epoch);
    }
    if (!is_digit(upstream[0])) {
        return error_set(err, -EINVAL, "the version '%s' does not begin with a digit", version);
    }
    if (version[strlen(version) - 1] == '-') {
        return error_set(err, -EINVAL, "the version '%s' has an empty revision", version);
    }
    r = check_characters("the version", upstream, true, err);
    return r == 0 ? check_characters("the revision", revision, false, err) : r;
}

/* ---- from git ---------------------------------------------------------------------------------
 */

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* "v1.2", "greeter-1.2", "greeter/v1.2" */
static const char *skip_prefix(const char *version, const char *name)
{
    size_t n = strlen(name);

    if (n > 0 && strncmp(version, name, n) == 0 && version[n] && strchr("-_/", version[n])) {
        version += n + 1;
    }
    return (version[0] == 'v' || version[0] == 'V') && is_digit(version[1]) ? version + 1 : version;
}

/* The length before "-4-gabcdef1", which git describe adds; the whole length where it did not. */
static size_t length_before_describe(const char *version, const char **ret_count)
{
    const char *hash = strrchr(version, '-');
    const char *count = hash;

    *ret_count = NULL;
    if (!hash || hash[1] != 'g' || strlen(hash + 2) < 4 ||
        hash[2 + strspn(hash + 2, "0123456789abcdef")]) {
        return strlen(version);
    }
    while (count > version && is_digit(count[-1])) {
        count--;
    }
    if (count == hash || count == version || count[-1] != '-') {
        return strlen(version);
    }
    *ret_count = count;
    return (size_t)(count - 1 - version);
}

static bool is_one_of(const char *const *words, size_t n_words, const char *text, size_t n)
{
    for (size_t i = 0; i < n_words; i++) {
        if (strlen(words[i]) == n && strncasecmp(words[i], text, n) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether a word that begins here says that the version is an earlier one; *ret_len is its length.
 */
static bool is_word_before(const char *text, size_t *ret_len)
{
    size_t n = 0;

    while (is_letter(text[n])) {
        n++;
    }
    *ret_len = n;
    return is_one_of(words_before, ARRAY_SIZE(words_before), text, n) ||
           (is_digit(text[n]) && is_one_of(letters_before, ARRAY_SIZE(letters_before), text, n));
}

/* "2026-11-25" */
static bool is_date(const char *text)
{
    static const char shape[] = "dddd-dd-dd";

    for (size_t i = 0; shape[i]; i++) {
        if (shape[i] == 'd' ? !is_digit(text[i]) : text[i] != shape[i]) {
            return false;
        }
    }
    text += strlen(shape);
    return *text == '\0' || *text == '.' || (*text == '-' && is_digit(text[1]));
}

static int refuse_hyphen(const char *tag, const char *rest, Error *err)
{
    if (is_letter(rest[0])) {
        return error_set(err, -EINVAL,
                         "the version '%s': is '-%s' before or after the version without it? Of "
                         "words behind a hyphen only alpha, beta, rc, pre, preview, dev, snapshot, "
                         "nightly and test are understood, all of them before; '+%s' is after",
                         tag, rest, rest);
    }
    return error_set(err, -EINVAL,
                     "the version '%s': what is behind its hyphen would be a revision to dpkg, and "
                     "an earlier version to others; the revision is `package.deb.revision`",
                     tag);
}

/* The tag's own text, where `~` makes it an earlier version. */
static int append_tag(const char *tag, Buffer *text, Error *err)
{
    bool has_dots_for_hyphens = is_date(tag); /* also in what is behind a word: rc-1 */
    int r = 0;

    for (const char *c = tag; r == 0 && *c;) {
        bool is_separator = strchr("-.", *c) != NULL;
        const char *word = c + (is_separator ? 1 : 0);
        bool is_after_digit = c > tag && is_digit(c[-1]);
        size_t n;

        if (is_after_digit && is_letter(*word) && is_word_before(word, &n)) {
            r = buffer_append(text, "~", 1);
            for (size_t i = 0; r == 0 && i < n; i++) {
                char lower = (char)tolower((unsigned char)word[i]);

                r = buffer_append(text, &lower, 1);
            }
            c = word + n;
            has_dots_for_hyphens = true;
            continue;
        }
        if (*c == ':') { /* would make an epoch of what is before it */
            return error_set(err, -EINVAL, "the version '%s' has ':', which dpkg does not take",
                             tag);
        }
        if (*c == '-' && !has_dots_for_hyphens) {
            return refuse_hyphen(tag, c + 1, err);
        }
        r = buffer_append(text, *c == '-' ? "." : c, 1);
        c++;
    }
    return r < 0 ? out_of_memory(err) : 0;
}

/* "0~git20261125131415.abcdef1": one day's commits in their order, before everything that has a
 * tag.
 */
static int append_commit(const DebVersionRequest *request, Buffer *text, Error *err)
{
    time_t at = (time_t)request->committed_at;
    char moment[32];
    struct tm tm;

    if (!gmtime_r(&at, &tm) || strftime(moment, sizeof(moment), "%Y%m%d%H%M%S", &tm) == 0) {
        return error_set(err, -EINVAL, "the commit's time is none");
    }
    return buffer_append_format(text, "0~git%s.%s", moment, request->version) < 0
               ? out_of_memory(err)
               : 0;
}

static int append_upstream(const DebVersionRequest *request, Buffer *text, Error *err)
{
    const char *version = request->version, *count;
    _cleanup_free_ char *tag = NULL;
    size_t n = strlen(version);
    int r;

    if (request->commit && n >= HASH_LENGTH_MIN && strncmp(request->commit, version, n) == 0) {
        return append_commit(request, text, err);
    }
    if (!request->commit && n == 12 && strspn(version, "0123456789abcdef") == n) {
        return error_set(
            err, -EINVAL,
            "there is no version: the input '%s' says neither its commit nor a tag, so "
            "nothing tells which of two is the later one",
            version);
    }
    version = skip_prefix(version, request->name);
    tag = strndup(version, length_before_describe(version, &count));
    if (!tag) {
        return out_of_memory(err);
    }
    if (!is_digit(tag[0])) {
        return error_set(err, -EINVAL,
                         "the version '%s' does not begin with a number, which dpkg wants: tags "
                         "may be v1.2, 1.2, %s-1.2 or %s/1.2",
                         request->version, request->name, request->name);
    }
    r = append_tag(tag, text, err);
    if (r == 0 && count) {
        r = buffer_append_format(text, "+%.*s.%s", (int)strspn(count, digits), count,
                                 count + strspn(count, digits) + 1);
        r = r < 0 ? out_of_memory(err) : 0;
    }
    return r;
}

int deb_version_map(const DebVersionRequest *request, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r =
        request->epoch > 0 ? buffer_append_format(&text, "%lld:", (long long)request->epoch) : 0;

    r = r < 0 ? out_of_memory(err) : append_upstream(request, &text, err);
    if (r == 0 && request->revision) {
        r = buffer_append_format(&text, "-%s", request->revision) < 0 ? out_of_memory(err) : 0;
    }
    r = r == 0 ? deb_version_check(buffer_text(&text), err) : r;
    if (r < 0) {
        return r;
    }
    *ret = buffer_take_text(&text);
    return *ret ? 0 : out_of_memory(err);
}
