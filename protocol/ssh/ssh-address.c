/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/ssh-address.h"

#include "protocol/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define SCHEME "ssh://"
#define HOST_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%"

static int digit_of(char c)
{
    return isdigit((unsigned char)c)    ? c - '0'
           : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
                                        : -1;
}

/* `n` bytes with %XX decoded. What would be a control character is refused: none of it is ever
 * meant, and a line feed is a second line wherever the text is shown or quoted. */
static int decode(const char *text, size_t n, const char *what, char **ret, Error *err)
{
    _cleanup_free_ char *decoded = malloc(n + 1);
    size_t len = 0;

    if (!decoded) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '%') {
            int high = i + 2 < n ? digit_of(text[i + 1]) : -1;
            int low = i + 2 < n ? digit_of(text[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return error_set(err, -EINVAL, "the %s has a '%%' without two hexadecimal digits",
                                 what);
            }
            c = (unsigned char)(high << 4 | low);
            i += 2;
        }
        if (c < ' ' || c == 0x7f) {
            return error_set(err, -EINVAL, "the %s holds a control character", what);
        }
        decoded[len++] = (char)c;
    }
    decoded[len] = '\0';
    *ret = TAKE_PTR(decoded);
    return 0;
}

static int parse_user(const char *text, size_t n, SshAddress *address, Error *err)
{
    int r = decode(text, n, "user", &address->user, err);

    if (r < 0) {
        return r;
    }
    if (!*address->user || *address->user == '-') {
        return error_set(err, -EINVAL, "'%s' is no user's name", address->user);
    }
    return 0;
}

static int parse_port(const char *text, size_t n, SshAddress *address, Error *err)
{
    char digits[8];
    int64_t port;

    if (n >= sizeof(digits)) {
        return error_set(err, -EINVAL, "a port is a number from 1 to 65535");
    }
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (text_parse_int(digits, 1, UINT16_MAX, &port) < 0) {
        return error_set(err, -EINVAL, "'%s' is no port: it is a number from 1 to 65535", digits);
    }
    address->port = (uint16_t)port;
    return 0;
}

/* host, host:port, [address], [address]:port */
static int parse_host(const char *text, size_t n, SshAddress *address, Error *err)
{
    const char *end = text + n, *host = text, *colon;
    size_t host_len;

    if (n > 0 && *text == '[') {
        const char *bracket = memchr(text, ']', n);

        if (!bracket) {
            return error_set(err, -EINVAL, "a '[' without its ']'");
        }
        host = text + 1;
        host_len = (size_t)(bracket - host);
        colon = bracket + 1 < end ? bracket + 1 : NULL;
        if (colon && *colon != ':') {
            return error_set(err, -EINVAL, "after ']' comes only :PORT");
        }
    } else {
        colon = memchr(text, ':', n);
        host_len = colon ? (size_t)(colon - text) : n;
    }
    if (colon) {
        int r = parse_port(colon + 1, (size_t)(end - colon - 1), address, err);

        if (r < 0) {
            return r;
        }
    }
    address->host = strndup(host, host_len);
    if (!address->host) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!*address->host || *address->host == '-' ||
        address->host[strspn(address->host, HOST_CHARACTERS)]) {
        return error_set(err, -EINVAL, "'%s' is no host's name", address->host);
    }
    return 0;
}

static int parse_member(const char *text, size_t n, SshAddress *address, Error *err)
{
    SshAddressMember *member = &address->members[address->n_members];
    const char *equals = memchr(text, '=', n);
    int r;

    if (!equals || equals == text) {
        return error_set(err, -EINVAL, "what follows '?' is name=value");
    }
    if (address->n_members == SSH_ADDRESS_MEMBERS_MAX) {
        return error_set(err, -EINVAL, "more than %d name=value", SSH_ADDRESS_MEMBERS_MAX);
    }
    address->n_members++; /* also a half one is freed */
    r = decode(text, (size_t)(equals - text), "query", &member->name, err);
    r = r == 0 ? decode(equals + 1, n - (size_t)(equals + 1 - text), "query", &member->value, err)
               : r;
    if (r == 0) {
        for (const SshAddressMember *m = address->members; m < member; m++) {
            if (strcmp(m->name, member->name) == 0) {
                return error_set(err, -EINVAL, "'%s' stands there twice", m->name);
            }
        }
    }
    return r;
}

static int parse_query(const char *text, SshAddress *address, Error *err)
{
    int r = 0;

    while (r == 0 && *text) {
        size_t n = strcspn(text, "&");

        r = parse_member(text, n, address, err);
        text += n + (text[n] == '&');
    }
    return r;
}

static int parse(const char *text, SshAddress *address, Error *err)
{
    const char *rest = text + strlen(SCHEME), *at = NULL, *query;
    size_t n = strcspn(rest, "/?#");
    int r = 0;

    if (strchr(rest, '#')) {
        return error_set(err, -EINVAL, "a '#' has no meaning in it; write %%23");
    }
    for (size_t i = 0; i < n; i++) {
        at = rest[i] == '@' ? rest + i : at; /* the last one: names may hold others */
    }
    if (at) {
        r = parse_user(rest, (size_t)(at - rest), address, err);
        n -= (size_t)(at + 1 - rest);
        rest = at + 1;
    }
    r = r == 0 ? parse_host(rest, n, address, err) : r;
    rest += n;
    query = strchrnul(rest, '?');
    if (r == 0 && query - rest > 1) { /* "/" alone says nothing */
        r = decode(rest, (size_t)(query - rest), "path", &address->path, err);
    }
    return r == 0 && *query ? parse_query(query + 1, address, err) : r;
}

/* Said without the address: it would be in a log. */
static bool has_password(const char *text)
{
    const char *user = text + strlen(SCHEME), *at = memchr(user, '@', strcspn(user, "/?#"));

    return at && memchr(user, ':', (size_t)(at - user));
}

int ssh_address_parse(const char *text, SshAddress *ret, Error *err)
{
    SshAddress address = {0};
    int r;

    if (!text_has_prefix(text, SCHEME) || strlen(text) > SSH_ADDRESS_MAX) {
        return error_set(err, -EINVAL,
                         "an address is ssh://[USER@]HOST[:PORT][/PATH], of at most "
                         "%zu bytes",
                         SSH_ADDRESS_MAX);
    }
    if (has_password(text)) {
        return error_set(err, -EINVAL,
                         "a password has no place in an address: use a key "
                         "(ssh-keygen -t ed25519, ssh-copy-id)");
    }
    r = parse(text, &address, err);
    if (r < 0) {
        ssh_address_done(&address);
        return error_wrap(err, "'%s'", text);
    }
    *ret = address;
    return 0;
}

void ssh_address_done(SshAddress *address)
{
    free(address->user);
    free(address->host);
    free(address->path);
    for (size_t i = 0; i < address->n_members; i++) {
        free(address->members[i].name);
        free(address->members[i].value);
    }
    *address = (SshAddress){0};
}

const char *ssh_address_get(const SshAddress *address, const char *name)
{
    for (size_t i = 0; i < address->n_members; i++) {
        if (strcmp(address->members[i].name, name) == 0) {
            return address->members[i].value;
        }
    }
    return NULL;
}
