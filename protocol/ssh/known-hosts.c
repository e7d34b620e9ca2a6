/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/known-hosts.h"

#include "protocol/base/buffer.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"
#include "protocol/ssh/host-pattern.h"
#include "protocol/ssh/ssh-config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SPACE " \t\r"
#define HASH_MAGIC "|1|"
/* No line of ssh-keyscan's is longer than a few KiB (RSA 16384: 2.8 KiB). */
#define LINE_MAX_BYTES ((size_t)64 << 10)

typedef enum Marker {
    MARKER_NONE,
    MARKER_AUTHORITY,
    MARKER_REVOKED,
} Marker;

typedef struct Entry {
    Marker marker;
    char *names;
    char *type;
    char *key; /* base64 */
} Entry;

char *known_hosts_format_host(const char *host, uint16_t port)
{
    char *name = NULL;
    int r = port == SSH_PORT ? asprintf(&name, "%s", host) : asprintf(&name, "[%s]:%u", host, port);

    if (r < 0) {
        return NULL;
    }
    for (char *c = name; *c; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    return name;
}

char *known_hosts_fingerprint(const char *key, size_t len)
{
    _cleanup_buffer_ Buffer text = {0};
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (!EVP_Digest(key, len, hash, &n, EVP_sha256(), NULL) ||
        buffer_append_text(&text, "SHA256:") < 0 || text_append_base64(&text, hash, n) < 0) {
        return NULL;
    }
    while (text.data[text.len - 1] == '=') {
        buffer_truncate(&text, text.len - 1);
    }
    return buffer_take_text(&text);
}

/* ---- lines ------------------------------------------------------------------------------------
 */

static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, SPACE);
    size_t n = strcspn(word, SPACE);

    *rest = word + n + (word[n] != '\0');
    word[n] = '\0';
    return n > 0 ? word : NULL;
}

/* Writes NULs into the line. False: a comment, an empty line or none that is understood. */
static bool parse_line(char *line, Entry *entry)
{
    char *rest = line, *word = next_word(&rest);

    *entry = (Entry){0};
    if (!word || *word == '#') {
        return false;
    }
    if (*word == '@') {
        if (strcmp(word, "@revoked") == 0) {
            entry->marker = MARKER_REVOKED;
        } else if (strcmp(word, "@cert-authority") == 0) {
            entry->marker = MARKER_AUTHORITY;
        } else {
            return false;
        }
        word = next_word(&rest);
    }
    entry->names = word;
    entry->type = word ? next_word(&rest) : NULL;
    entry->key = entry->type ? next_word(&rest) : NULL;
    return entry->key != NULL;
}

/* |1|SALT|HASH, both base64: HMAC-SHA1 of the name with the salt as its key. */
static bool is_hash_of(const char *hashed, const char *host)
{
    _cleanup_buffer_ Buffer salt = {0}, wanted = {0};
    const char *text = hashed + strlen(HASH_MAGIC), *bar = strchr(text, '|');
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (!bar || text_decode_base64(&salt, text, (size_t)(bar - text)) < 0 ||
        text_decode_base64(&wanted, bar + 1, strlen(bar + 1)) < 0 || salt.len == 0) {
        return false;
    }
    return HMAC(EVP_sha1(), salt.data, (int)salt.len, (const unsigned char *)host, strlen(host),
                hash, &len) &&
           len == wanted.len && memcmp(hash, wanted.data, len) == 0;
}

static bool is_for(const Entry *entry, const char *host)
{
    return text_has_prefix(entry->names, HASH_MAGIC)
               ? is_hash_of(entry->names, host)
               : host_pattern_list_matches(entry->names, ",", host);
}

/* Calls `take` with every entry that is for the host. */
static int each_entry(const char *text, size_t n, const char *host,
                      int (*take)(const Entry *entry, size_t number, void *userdata),
                      void *userdata)
{
    size_t number = 1;
    int r = 0;

    for (const char *line = text, *end = text + n; r == 0 && line < end; number++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((stop ? stop : end) - line);
        _cleanup_free_ char *copy = len <= LINE_MAX_BYTES ? strndup(line, len) : strdup("");
        Entry entry;

        if (!copy) {
            return -ENOMEM;
        }
        if (parse_line(copy, &entry) && is_for(&entry, host)) {
            r = take(&entry, number, userdata);
        }
        line += len + 1;
    }
    return r;
}

/* ---- checking ---------------------------------------------------------------------------------
 */

static KnownHostsAnswer answer_of(const Entry *entry, const KnownHostsCheck *check)
{
    _cleanup_buffer_ Buffer key = {0};
    bool is_readable = text_decode_base64(&key, entry->key, strlen(entry->key)) == 0;
    bool is_equal = is_readable && key.len == check->key_len &&
                    memcmp(key.data, check->key, check->key_len) == 0;

    switch (entry->marker) {
    case MARKER_REVOKED:
        return is_equal ? KNOWN_HOSTS_REVOKED : KNOWN_HOSTS_UNKNOWN;
    case MARKER_AUTHORITY:
        return KNOWN_HOSTS_AUTHORITY;
    case MARKER_NONE:
        break;
    }
    if (!is_readable) {
        return KNOWN_HOSTS_UNKNOWN;
    }
    return is_equal                                    ? KNOWN_HOSTS_TRUSTED
           : strcmp(entry->type, check->key_type) == 0 ? KNOWN_HOSTS_CHANGED
                                                       : KNOWN_HOSTS_OTHER;
}

typedef struct Walk {
    KnownHostsCheck *check;
    const char *name;
} Walk;

static int take_for_check(const Entry *entry, size_t number, void *userdata)
{
    const Walk *walk = userdata;
    KnownHostsAnswer answer = answer_of(entry, walk->check);

    if (answer > walk->check->answer) {
        walk->check->answer = answer;
        (void)snprintf(walk->check->place, sizeof(walk->check->place), "%s:%zu", walk->name,
                       number);
    }
    return 0;
}

int known_hosts_check(KnownHostsCheck *check, const char *name, const char *text, size_t n)
{
    Walk walk = {.check = check, .name = name};

    return each_entry(text, n, check->host, take_for_check, &walk);
}

int known_hosts_check_file(KnownHostsCheck *check, const char *path, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(KNOWN_HOSTS_SIZE_MAX);
    struct stat st = {0};
    int r;

    if (stat(path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return 0;
    }
    if (S_ISCHR(st.st_mode)) { /* /dev/null: people say so that no file shall count */
        return 0;
    }
    r = file_read(AT_FDCWD, path, &text, err);
    if (r < 0) {
        return r;
    }
    r = known_hosts_check(check, path, buffer_text(&text), text.len);
    return r < 0 ? error_set_errno(err, r, "'%s'", path) : 0;
}

/* ---- types ------------------------------------------------------------------------------------
 */

typedef struct Types {
    const char *const *types;
    size_t n;
    unsigned found;
} Types;

static int take_for_types(const Entry *entry, size_t number, void *userdata)
{
    Types *types = userdata;

    for (size_t i = 0; entry->marker == MARKER_NONE && i < types->n; i++) {
        if (strcmp(entry->type, types->types[i]) == 0) {
            types->found |= 1u << i;
        }
    }
    return 0;
}

int known_hosts_find_types(const char *host, const char *text, size_t n, const char *const *types,
                           size_t n_types, unsigned *ret)
{
    Types found = {.types = types, .n = n_types};
    int r = each_entry(text, n, host, take_for_types, &found);

    if (r == 0) {
        *ret = found.found;
    }
    return r;
}
