/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/ssh-host-key.h"

#include "protocol/base/file.h"
#include "protocol/base/text.h"
#include "protocol/ssh/key-file.h"
#include "protocol/ssh/known-hosts.h"
#include "protocol/ssh/ssh-session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* ---- what to ask for --------------------------------------------------------------------------
 */

/* As it is in known_hosts: all signatures of RSA are by one type of key. */
static const char *type_of_algorithm(const char *algorithm)
{
    return text_has_prefix(algorithm, "rsa-sha2-") ? "ssh-rsa" : algorithm;
}

static char *name_in_known_hosts(const SshConfig *c)
{
    return c->host_key_alias ? strdup(c->host_key_alias)
                             : known_hosts_format_host(c->host_name, c->port);
}

#define TYPES_MAX 16

typedef struct Known {
    const char *types[TYPES_MAX + 1];
    size_t n;
    unsigned found;
} Known;

static int look_into(const SshConfigList *files, const char *host, Known *known, Error *err)
{
    for (size_t i = 0; i < files->n; i++) {
        _cleanup_buffer_ Buffer text = BUFFER_INIT(KNOWN_HOSTS_SIZE_MAX);
        unsigned found;

        if (file_read(AT_FDCWD, files->items[i], &text, NULL) < 0) {
            continue; /* the check tells what is wrong with it */
        }
        if (known_hosts_find_types(host, buffer_text(&text), text.len, known->types, known->n,
                                   &found) < 0) {
            return error_set(err, -ENOMEM, "out of memory");
        }
        known->found |= found;
    }
    return 0;
}

static int append_algorithms(Buffer *list, const char *const *algorithms, const Known *known,
                             bool is_known)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < known->n; i++) {
        if (is_known == (known->found >> i & 1)) {
            r = list->len > 0 ? buffer_append_text(list, ",") : 0;
            r = r == 0 ? buffer_append_text(list, algorithms[i]) : r;
        }
    }
    return r;
}

int ssh_host_key_prefer(const SshConfig *config, const char *const *algorithms, size_t n,
                        SshHostKeyPreference *ret, Error *err)
{
    _cleanup_free_ char *host = name_in_known_hosts(config);
    _cleanup_buffer_ Buffer list = {0};
    Known known = {.n = MIN(n, (size_t)TYPES_MAX)};
    bool has_rsa = false;
    unsigned usable;
    int r;

    if (!host) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < known.n; i++) {
        known.types[i] = type_of_algorithm(algorithms[i]);
        has_rsa |= text_has_prefix(algorithms[i], "rsa-sha2-");
    }
    known.types[known.n++] = "ssh-rsa"; /* the type of most old entries, whatever we can do */
    r = look_into(&config->known_hosts, host, &known, err);
    r = r == 0 ? look_into(&config->system_known_hosts, host, &known, err) : r;
    if (r < 0) {
        return r;
    }
    known.n--;
    usable = known.found & ((1u << known.n) - 1);
    for (size_t i = 0; !has_rsa && i < known.n; i++) {
        /* Signed with SHA-1, which no server of today does. */
        usable &= strcmp(algorithms[i], "ssh-rsa") == 0 ? ~(1u << i) : ~0u;
    }
    r = append_algorithms(&list, algorithms, &known, true);
    r = r == 0 ? append_algorithms(&list, algorithms, &known, false) : r;
    ret->algorithms = r == 0 ? buffer_take_text(&list) : NULL;
    if (!ret->algorithms) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    ret->is_known = usable != 0;
    ret->is_out_of_reach = known.found != 0 && usable == 0;
    return 0;
}

/* ---- checking ---------------------------------------------------------------------------------
 */

/* "ed25519" of "ssh-ed25519", "ecdsa" of "ecdsa-sha2-nistp256": how the files are called. */
static const char *short_type(const char *type)
{
    return strcmp(type, "ssh-ed25519") == 0       ? "ed25519"
           : text_has_prefix(type, "ecdsa-sha2-") ? "ecdsa"
           : text_has_prefix(type, "ssh-rsa")     ? "rsa"
                                                  : type;
}

static int say_unknown(const SshConfig *c, const KnownHostsCheck *check, const char *fingerprint,
                       Error *err)
{
    const char *file = c->known_hosts.n > 0 ? c->known_hosts.items[0] : "~/.ssh/known_hosts";
    const char *type = short_type(check->key_type);

    return error_set(
        err, SSH_HOST_UNKNOWN,
        "the host key of '%s' is unknown: it is in no known_hosts. It says that its "
        "key is %s %s.\n"
        "On the host, `ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub` prints that too if "
        "it is true; then take it over:\n"
        "  ssh-keyscan -t %s -p %u %s >> %s",
        check->host, check->key_type, fingerprint, type, type, c->port, c->host_name, file);
}

static int say_changed(const KnownHostsCheck *check, const char *fingerprint, Error *err)
{
    size_t file_len = strlen(check->place);
    const char *colon = strrchr(check->place, ':');

    file_len = colon ? (size_t)(colon - check->place) : file_len;
    return error_set(err, SSH_HOST_CHANGED,
                     "the host key of '%s' has changed: it is now %s %s, and %s has another.\n"
                     "Either the host was set up anew, or somebody else answers in its name. Go on "
                     "only if who runs the host confirms the new key; then forget the old one:\n"
                     "  ssh-keygen -f %.*s -R '%s'",
                     check->host, check->key_type, fingerprint, check->place, (int)file_len,
                     check->place, check->host);
}

static int check_files(const SshConfigList *files, KnownHostsCheck *check, Error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < files->n; i++) {
        r = known_hosts_check_file(check, files->items[i], err);
    }
    return r;
}

int ssh_host_key_check(const SshConfig *config, const char *key, size_t len, Error *err)
{
    _cleanup_free_ char *host = name_in_known_hosts(config);
    _cleanup_free_ char *fingerprint = known_hosts_fingerprint(key, len);
    KnownHostsCheck check = {.host = host, .key = key, .key_len = len};
    char type[64];
    int r;

    if (!host || !fingerprint) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!key_file_blob_type(key, len, type)) {
        return error_set(err, -EPROTO, "the host '%s' has a key without a type", host);
    }
    check.key_type = type;
    r = check_files(&config->known_hosts, &check, err);
    r = r == 0 ? check_files(&config->system_known_hosts, &check, err) : r;
    if (r < 0) {
        return r;
    }
    switch (check.answer) {
    case KNOWN_HOSTS_TRUSTED:
        return 0;
    case KNOWN_HOSTS_AUTHORITY:
    case KNOWN_HOSTS_OTHER:
        return 1;
    case KNOWN_HOSTS_CHANGED:
        return say_changed(&check, fingerprint, err);
    case KNOWN_HOSTS_REVOKED:
        return error_set(err, SSH_HOST_CHANGED,
                         "the host key of '%s', %s %s, was revoked by %s: it is never to be "
                         "believed. The host needs a new key (ssh-keygen -A after removing it).",
                         host, type, fingerprint, check.place);
    case KNOWN_HOSTS_UNKNOWN:
        break;
    }
    return say_unknown(config, &check, fingerprint, err);
}
