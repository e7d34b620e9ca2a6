/* SPDX-License-Identifier: MIT */
/* Wu and Manber's way of looking for several patterns: a table says, for the last two bytes of a
 * window as long as the shortest pattern, how far the window may move on because no pattern has
 * these two bytes any nearer to its start. The longer the secrets, the faster. */
#include "agent/shim/mask.h"

#include "protocol/base/text.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define MASK_TEXT "****"
#define MASK_TEXT_LEN (sizeof(MASK_TEXT) - 1)
#define MASK_WINDOW_MAX ((size_t)64)
#define MASK_SHIFTS ((size_t)1 << 16)

_Static_assert(MASK_TEXT_LEN <= MASK_SECRET_MIN, "masked text may not be longer than the text");

static uint16_t load_pair(const char *p)
{
    uint16_t pair;

    memcpy(&pair, p, sizeof(pair));
    return pair;
}

static void fill_shifts(Mask *mask)
{
    memset(mask->shift, (int)mask->window - 1, MASK_SHIFTS);
    for (size_t k = 0; k < mask->n_patterns; k++) {
        for (size_t at = 0; at + 2 <= mask->window; at++) {
            uint8_t *shift = &mask->shift[load_pair(mask->patterns[k].data + at)];

            *shift = MIN(*shift, (uint8_t)(mask->window - 2 - at));
        }
    }
}

static int add_pattern(Mask *mask, const char *data, size_t n)
{
    MaskPattern *patterns;
    size_t at = 0;
    char *copy;

    while (at < mask->n_patterns && mask->patterns[at].len >= n) {
        if (mask->patterns[at].len == n && memcmp(mask->patterns[at].data, data, n) == 0) {
            return 0;
        }
        at++;
    }
    if (mask->n_patterns == MASK_PATTERNS_MAX) {
        return -EFBIG;
    }
    patterns = reallocarray(mask->patterns, mask->n_patterns + 1, sizeof(*patterns));
    if (!patterns) {
        return -ENOMEM;
    }
    mask->patterns = patterns;
    copy = malloc(n);
    if (!copy) {
        return -ENOMEM;
    }
    memcpy(copy, data, n);
    memmove(&patterns[at + 1], &patterns[at], (mask->n_patterns - at) * sizeof(*patterns));
    patterns[at] = (MaskPattern){.data = copy, .len = n};
    mask->n_patterns++;
    return 0;
}

static int add_lines(Mask *mask, const char *secret, size_t n)
{
    for (size_t start = 0; start < n;) {
        const char *lf = memchr(secret + start, '\n', n - start);
        size_t end = lf ? (size_t)(lf - secret) : n, next = end + 1;
        int r;

        while (start < end && strchr(" \t\r", secret[start])) {
            start++;
        }
        while (end > start && strchr(" \t\r", secret[end - 1])) {
            end--;
        }
        r = end - start >= MASK_LINE_MIN ? add_pattern(mask, secret + start, end - start) : 0;
        if (r < 0) {
            return r;
        }
        start = next;
    }
    return 0;
}

static int add_json_form(Mask *mask, const char *secret, size_t n)
{
    /* Never moved while it grows, so that no copy stays behind: six bytes for one at most. */
    _cleanup_buffer_ Buffer b = {0};
    int r = buffer_reserve(&b, 6 * n + 3);

    if (r < 0) {
        return r;
    }
    r = text_append_json(&b, secret, n);
    if (r == 0 && b.len - 2 != n) { /* nothing was escaped where the length is the same */
        r = add_pattern(mask, b.data + 1, b.len - 2);
    }
    explicit_bzero(b.data, b.allocated);
    return r;
}

int mask_add(Mask *mask, const char *secret, size_t n)
{
    int r;

    if (n == 0) {
        return 0;
    }
    if (n < MASK_SECRET_MIN) {
        return -EINVAL;
    }
    if (n > MASK_SECRET_MAX) {
        return -EFBIG;
    }
    if (!mask->shift) {
        mask->shift = malloc(MASK_SHIFTS);
    }
    if (!mask->shift) {
        return -ENOMEM;
    }
    r = add_pattern(mask, secret, n);
    r = r == 0 && memchr(secret, '\n', n) ? add_lines(mask, secret, n) : r;
    r = r == 0 ? add_json_form(mask, secret, n) : r;
    if (r < 0) {
        return r;
    }
    mask->longest = mask->patterns[0].len;
    mask->window = MIN(mask->patterns[mask->n_patterns - 1].len, MASK_WINDOW_MAX);
    fill_shifts(mask);
    return 0;
}

/* The next place from `i` on where a pattern may begin; behind the last window: its first place
 * after it, where only the beginning of a pattern fits. */
static size_t find_candidate(const Mask *mask, const char *data, size_t i, size_t n)
{
    const uint8_t *shift = mask->shift;
    const size_t last_pair = mask->window - 2;

    while (n - i >= mask->window) {
        size_t step = shift[load_pair(data + i + last_pair)];

        if (step == 0) {
            break;
        }
        i += step; /* at most window - 1, so never past n */
    }
    return i;
}

/* Length of the longest pattern that begins here, 0 if none does; more than `n`: the bytes are the
 * beginning of one. Longest first, so the first that fits decides. */
static size_t match(const Mask *mask, const char *data, size_t n, bool is_final)
{
    for (size_t k = 0; k < mask->n_patterns; k++) {
        const MaskPattern *p = &mask->patterns[k];

        if (p->data[0] != data[0] || (is_final && p->len > n)) {
            continue;
        }
        if (memcmp(p->data, data, MIN(p->len, n)) == 0) {
            return p->len;
        }
    }
    return 0;
}

MaskResult mask_apply(const Mask *mask, MaskState *state, const char *data, size_t n, bool is_final,
                      char *space)
{
    size_t done = state->done, from = done, i = 0, len = 0;

    if (mask->n_patterns == 0) {
        assert(done <= n);
        *state = (MaskState){0};
        return (MaskResult){.text = data + done, .len = n - done};
    }
    for (;; i++) {
        size_t matched;

        i = find_candidate(mask, data, i, n);
        matched = i < n ? match(mask, data + i, n - i, is_final) : 0;
        if (matched > n - i || i >= n) {
            break;
        }
        if (matched == 0 || i + matched <= done) {
            continue;
        }
        if (i > from) {
            memcpy(space + len, data + from, i - from);
            len += i - from;
        }
        if (i >= done || !state->is_masked) {
            memcpy(space + len, MASK_TEXT, MASK_TEXT_LEN);
            len += MASK_TEXT_LEN;
        }
        from = done = i + matched;
        state->is_masked = true;
    }
    if (i > from) {
        memcpy(space + len, data + from, i - from);
        len += i - from;
    }
    assert(len <= n);
    state->done = done > i ? done - i : 0;
    state->is_masked = state->is_masked && state->done > 0;
    return (MaskResult){.text = space, .len = len, .held = n - i};
}

void mask_done(Mask *mask)
{
    for (size_t k = 0; k < mask->n_patterns; k++) {
        explicit_bzero(mask->patterns[k].data, mask->patterns[k].len);
        free(mask->patterns[k].data);
    }
    free(mask->patterns);
    free(mask->shift);
    *mask = (Mask){0};
}
