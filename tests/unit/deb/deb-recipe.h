/* SPDX-License-Identifier: MIT */
/* What tests of this room share: JSON from text. */
#pragma once

#include "protocol/json.h"
#include "tests/unit/scratch.h"

_unused_ static Json *json_of(const char *text)
{
    _cleanup_error_ Error err = {0};
    Json *json = NULL;

    if (json_parse(text, strlen(text), &json, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    return json;
}

#define EXPECT_COMPLAINT(err, complaint)                              \
    do {                                                              \
        if (!strstr(error_text(err), complaint)) {                    \
            fail_msg("'%s' is not '%s'", error_text(err), complaint); \
        }                                                             \
    } while (0)
