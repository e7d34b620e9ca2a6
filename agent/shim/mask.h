/* SPDX-License-Identifier: MIT */
/* Replaces secrets by **** in a stream, whatever the chunks that the stream comes in.
 *
 * No byte of a whole occurrence is ever let through: where occurrences overlap, their union is
 * replaced. A chunk that ends within what may become an occurrence is held back from there on. */
#pragma once

#include "protocol/base/macro.h"

#include <stdbool.h>
#include <stdint.h>

/* A shorter secret is refused: it is no secret, and masking it would ruin the log. It is also the
 * length of ****, so that masked text is never longer than the text. */
#define MASK_SECRET_MIN ((size_t)4)
#define MASK_SECRET_MAX ((size_t)64 << 10)

/* A line of a secret of several lines is masked by itself from this length on, without the blanks
 * around it. Shorter ones ("{", "true", "-----") are words of their own. */
#define MASK_LINE_MIN ((size_t)8)

#define MASK_PATTERNS_MAX ((size_t)4096)

typedef struct MaskPattern {
    char *data;
    size_t len;
} MaskPattern;

typedef struct Mask {
    MaskPattern *patterns; /* longest first */
    size_t n_patterns;
    size_t longest;
    size_t window;  /* bytes looked at at once: the shortest pattern, at most MASK_WINDOW_MAX */
    uint8_t *shift; /* how far no pattern can begin, by the last two bytes of the window */
} Mask;

/* What has to be known of one stream between two chunks. */
typedef struct MaskState {
    size_t done;    /* bytes at the start of what is held that are out already, or masked */
    bool is_masked; /* they are masked: what overlaps them belongs to the same **** */
} MaskState;

typedef struct MaskResult {
    const char *text; /* in `space`, or in `data` where there is nothing to mask at all */
    size_t len;
    size_t held; /* bytes at the end of `data` to be given again before the next chunk */
} MaskResult;

/* Adds a secret, each of its lines, and how it looks inside a JSON string. Empty: nothing to do.
 * -EINVAL: too short. -EFBIG: too long, or too many. -ENOMEM. */
int mask_add(Mask *mask, const char *secret, size_t n) _must_check_;

/* Masks what was held before and the new bytes after it, `n` in all. `space` has room for `n`. With
 * `is_final` nothing is held. */
MaskResult mask_apply(const Mask *mask, MaskState *state, const char *data, size_t n, bool is_final,
                      char *space);

/* Zeroes and frees. */
void mask_done(Mask *mask);
