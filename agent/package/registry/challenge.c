/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/challenge.h"

#include "protocol/base/buffer.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define SPACE " \t"

/* A scope of a hundred repositories is none of ours. */
#define VALUE_MAX ((size_t)8 << 10)

void challenge_done(Challenge *challenge)
{
    free(challenge->scheme);
    free(challenge->realm);
    free(challenge->service);
    free(challenge->scope);
    free(challenge->error);
    *challenge = (Challenge){0};
}

static size_t token_length(const char *text)
{
    size_t n = 0;

    while (isalnum((unsigned char)text[n]) || (text[n] && strchr("!#$%&'*+-.^_`|~", text[n]))) {
        n++;
    }
    return n;
}

/* "token" or a quoted string, whose quotes and backslashes go. */
static int take_value(const char **position, Buffer *value)
{
    const char *p = *position;
    size_t n = token_length(p);
    int r = 0;

    if (*p != '"') {
        *position = p + n;
        return n > 0 ? buffer_append(value, p, n) : -EINVAL;
    }
    for (p++; r == 0 && *p != '"'; p++) {
        p += *p == '\\' && p[1] ? 1 : 0;
        if (!*p) {
            return -EINVAL;
        }
        r = buffer_append(value, p, 1);
    }
    *position = p + (r == 0);
    return r;
}

static void set_parameter(Challenge *challenge, const char *name, size_t n, char *value)
{
    const struct {
        const char *name;
        char **place;
    } known[] = {
        {"realm", &challenge->realm},
        {"service", &challenge->service},
        {"scope", &challenge->scope},
        {"error", &challenge->error},
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strlen(known[i].name) == n && strncasecmp(known[i].name, name, n) == 0) {
            free(*known[i].place);
            *known[i].place = value;
            return;
        }
    }
    free(value);
}

/* NAME = VALUE. 1: taken. 0: what comes next is no parameter, *position stays. */
static int take_parameter(const char **position, Challenge *challenge)
{
    const char *name = *position, *p;
    size_t n = token_length(name);
    _cleanup_buffer_ Buffer value = BUFFER_INIT(VALUE_MAX);
    char *text;
    int r;

    p = name + n + strspn(name + n, SPACE);
    if (n == 0 || *p != '=' || p[1] == '=') {
        return 0;
    }
    p++;
    p += strspn(p, SPACE);
    r = take_value(&p, &value);
    if (r < 0) {
        return r == -ENOMEM ? r : -EINVAL;
    }
    text = buffer_take_text(&value);
    if (!text) {
        return -ENOMEM;
    }
    set_parameter(challenge, name, n, text);
    *position = p;
    return 1;
}

/* The commas between parameters, and those between challenges, look the same. */
static int take_parameters(const char **position, Challenge *challenge)
{
    for (;;) {
        int r = take_parameter(position, challenge);

        if (r < 0) {
            return r;
        }
        *position += strspn(*position, SPACE);
        if (r == 0) {
            return 0;
        }
        if (**position && **position != ',') {
            return -EINVAL;
        }
        *position += strspn(*position, SPACE ",");
    }
}

int challenge_next(const char **position, Challenge *ret)
{
    _cleanup_challenge_ Challenge challenge = {0};
    size_t n;
    int r;

    *position += strspn(*position, SPACE ",");
    if (!**position) {
        return 0;
    }
    n = token_length(*position);
    if (n == 0) {
        return -EINVAL;
    }
    challenge.scheme = strndup(*position, n);
    if (!challenge.scheme) {
        return -ENOMEM;
    }
    *position += n;
    if (**position && !strchr(SPACE ",", **position)) {
        return -EINVAL;
    }
    *position += strspn(*position, SPACE);
    /* One token68, as "Negotiate" has it, is of no use here. */
    n = strspn(*position, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/");
    n += strspn(*position + n, "=");
    if (n > 0 && ((*position)[n] == '\0' || (*position)[n] == ',')) {
        *position += n;
    }
    r = take_parameters(position, &challenge);
    if (r < 0) {
        return r;
    }
    *ret = challenge;
    challenge = (Challenge){0};
    return 1;
}
