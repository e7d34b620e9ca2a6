/* SPDX-License-Identifier: MIT */
/* Makes the text of a JUnit file fit for an XML parser. Test programs put into it whatever they
 * printed: bytes that are not UTF-8, control characters, references to characters that XML does not
 * have, bare ampersands. None of that is a reason to lose a test result, so it is replaced
 * (U+FFFD) or escaped on the way. Sans-I/O. */
#pragma once

#include "protocol/base/buffer.h"

#include <stdbool.h>

typedef struct JunitText {
    Buffer pending; /* the end of what was fed, which the next bytes may complete */
    bool is_begun;  /* the encoding is known */
    bool is_latin1;
    bool is_in_cdata;
} JunitText;

void junit_text_done(JunitText *text);

/* Appends to `out` what can be told by now; with `is_last` all of it. -EINVAL: UTF-16 or UTF-32. */
int junit_text_feed(JunitText *text, const char *data, size_t n, bool is_last,
                    Buffer *out) _must_check_;
