/* SPDX-License-Identifier: MIT */
/* Logging in by a key: those that ssh-agent holds and a configured file names, then the agent's
 * others, then the files. What libssh2 could not use is not offered, since a host hangs up after
 * some wrong keys (MaxAuthTries), but remembered: another way may be able to. */
#include "protocol/base/log.h"
#include "protocol/ssh/key-file.h"
#include "protocol/ssh/known-hosts.h"
#include "protocol/ssh/ssh-library.h"

#include <errno.h>
#include <libssh2.h>
#include <stdio.h>
#include <string.h>

/* Since then it signs with SHA-2 for RSA, which servers of today insist on. */
#define RSA_VERSION 0x010b00
#define OFFERS_MAX 20

typedef struct Candidate {
    const char *path; /* borrowed from the configuration */
    KeyFile key;
    bool is_read;
    bool is_offered;
} Candidate;

typedef struct Auth {
    SshLibrary *library;
    const SshConfig *config;
    Candidate candidates[SSH_CONFIG_VALUES_MAX];
    size_t n_candidates;
    unsigned n_offered;
    LIBSSH2_AGENT *agent;
    Buffer story;     /* one line for each key: what became of it */
    Buffer obstacles; /* those of it that another way might pass */
    char *methods;    /* "publickey,password": what the host takes */
    bool is_agent_connected;
} Auth;

/* ---- what is told ------------------------------------------------------------------------------
 */

static void tell(Auth *a, const char *key, const char *fingerprint, const char *what)
{
    (void)!buffer_append_format(&a->story, "\n  %s%s%s: %s", key, fingerprint ? " " : "",
                                fingerprint ? fingerprint : "", what);
    log_debug("%s: %s: %s", a->library->base.name, key, what);
}

static void tell_obstacle(Auth *a, const char *key, const char *what)
{
    tell(a, key, NULL, what);
    (void)!buffer_append_format(&a->obstacles, "%s%s: %s", a->obstacles.len > 0 ? "; " : "", key,
                                what);
}

/* NULL, or why libssh2 cannot use a key of this type. */
static const char *type_problem(const char *type)
{
    static const char *const good[] = {"", "ssh-ed25519", "ecdsa-sha2-nistp256",
                                       "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        if (strcmp(type, good[i]) == 0) {
            return NULL;
        }
    }
    if (strcmp(type, "ssh-rsa") == 0) {
        return libssh2_version(RSA_VERSION)
                   ? NULL
                   : "this libssh2 (" LIBSSH2_VERSION ") signs with RSA and SHA-1 only, which "
                     "servers of today refuse; use an ed25519 key (ssh-keygen -t ed25519), or "
                     "libssh2 1.11";
    }
    return "libssh2 cannot use keys of this type";
}

/* ---- offering ---------------------------------------------------------------------------------
 */

/* What libssh2 said of an offer: 1 accepted, 0 refused, < 0 the connection is of no use. */
static int judge(Auth *a, int rc, const char *name, const char *blob, size_t n, Error *err)
{
    _cleanup_free_ char *fingerprint = n > 0 ? known_hosts_fingerprint(blob, n) : NULL;
    char *text = NULL;

    if (rc != 0 && a->library->broken) { /* libssh2 calls that a refusal, too */
        return ssh_library_fail(a->library, rc, "logging in", err);
    }
    switch (rc) {
    case 0:
        log_debug("%s: logged in with %s", a->library->base.name, name);
        return 1;
    case LIBSSH2_ERROR_AUTHENTICATION_FAILED:
    case LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED:
        tell(a, name, fingerprint, "the host does not accept it");
        return 0;
    case LIBSSH2_ERROR_SOCKET_SEND:
    case LIBSSH2_ERROR_SOCKET_RECV:
    case LIBSSH2_ERROR_SOCKET_DISCONNECT:
    case LIBSSH2_ERROR_ALLOC:
        return ssh_library_fail(a->library, rc, "logging in", err);
    default:
        (void)libssh2_session_last_error(a->library->raw, &text, NULL, 0);
        tell(a, name, fingerprint, text && *text ? text : "libssh2 cannot use it");
        return 0;
    }
}

/* The host may have had enough of wrong keys. */
static bool has_offers_left(Auth *a)
{
    return a->n_offered < OFFERS_MAX && !a->library->broken;
}

static int offer_from_agent(Auth *a, struct libssh2_agent_publickey *identity, const char *name,
                            Error *err)
{
    int rc, r;

    a->n_offered++;
    while ((rc = libssh2_agent_userauth(a->agent, a->config->user, identity)) ==
           LIBSSH2_ERROR_EAGAIN) {
        r = ssh_library_await(a->library, err);
        if (r < 0) {
            return r;
        }
    }
    return judge(a, rc, name, (const char *)identity->blob, identity->blob_len, err);
}

static int offer_file(Auth *a, const Candidate *c, Error *err)
{
    const char *user = a->config->user;
    int rc, r;

    a->n_offered++;
    while ((rc = libssh2_userauth_publickey_fromfile_ex(a->library->raw, user,
                                                        (unsigned)strlen(user), NULL, c->path,
                                                        NULL)) == LIBSSH2_ERROR_EAGAIN) {
        r = ssh_library_await(a->library, err);
        if (r < 0) {
            return r;
        }
    }
    return judge(a, rc, c->path, c->key.blob.data, c->key.blob.len, err);
}

/* ---- the agent --------------------------------------------------------------------------------
 */

static void connect_agent(Auth *a)
{
    const char *path = a->config->identity_agent, *usual = getenv("SSH_AUTH_SOCK");

    if (path ? strcmp(path, "none") == 0 : !usual || !*usual) {
        return;
    }
    a->agent = libssh2_agent_init(a->library->raw);
    if (!a->agent) {
        return;
    }
    if (path) {
        libssh2_agent_set_identity_path(a->agent, path);
    }
    if (libssh2_agent_connect(a->agent) != 0) {
        tell(a, path ? path : usual, NULL, "no ssh-agent answers there");
        return;
    }
    a->is_agent_connected = true;
    if (libssh2_agent_list_identities(a->agent) != 0) {
        tell(a, "ssh-agent", NULL, "it does not list its keys");
        libssh2_agent_disconnect(a->agent);
        a->is_agent_connected = false;
    }
}

static Candidate *find_candidate(Auth *a, const struct libssh2_agent_publickey *identity)
{
    for (size_t i = 0; i < a->n_candidates; i++) {
        const Buffer *blob = &a->candidates[i].key.blob;

        if (blob->len > 0 && blob->len == identity->blob_len &&
            memcmp(blob->data, identity->blob, blob->len) == 0) {
            return &a->candidates[i];
        }
    }
    return NULL;
}

static int try_identity(Auth *a, struct libssh2_agent_publickey *identity, Candidate *candidate,
                        Error *err)
{
    _cleanup_free_ char *name = NULL;
    const char *problem;
    char type[64];

    if (asprintf(&name, "%s of ssh-agent",
                 candidate           ? candidate->path
                 : identity->comment ? identity->comment
                                     : "a key") < 0) {
        name = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (candidate) {
        candidate->is_offered = true;
    }
    problem = key_file_blob_type((const char *)identity->blob, identity->blob_len, type)
                  ? type_problem(type)
                  : "it has no type";
    if (problem) {
        tell_obstacle(a, name, problem);
        return 0;
    }
    return offer_from_agent(a, identity, name, err);
}

/* Those that a file of the configuration names, or the others. */
static int try_agent(Auth *a, bool is_configured, Error *err)
{
    struct libssh2_agent_publickey *identity = NULL, *previous = NULL;
    int r = 0;

    while (r == 0 && a->is_agent_connected && has_offers_left(a) &&
           libssh2_agent_get_identity(a->agent, &identity, previous) == 0) {
        Candidate *candidate = find_candidate(a, identity);

        previous = identity;
        if ((candidate != NULL) == is_configured) {
            r = try_identity(a, identity, candidate, err);
        }
    }
    return r;
}

/* ---- files ------------------------------------------------------------------------------------
 */

static void read_files(Auth *a)
{
    for (size_t i = 0; i < a->config->identity_files.n; i++) {
        Candidate *c = &a->candidates[a->n_candidates++];
        _cleanup_error_ Error problem = {0};

        c->path = a->config->identity_files.items[i];
        c->is_read = key_file_read(c->path, &c->key, &problem) == 0;
        if (!c->is_read) {
            tell(a, c->path, NULL, error_text(&problem));
        }
    }
}

static int try_files(Auth *a, Error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < a->n_candidates && has_offers_left(a); i++) {
        Candidate *c = &a->candidates[i];
        const char *problem = type_problem(c->key.type);

        if (!c->is_read || c->is_offered) {
            continue;
        }
        if (problem) {
            tell_obstacle(a, c->path, problem);
        } else if (c->key.is_public) {
            tell(a, c->path, NULL, "a public key, and no ssh-agent here has the private one");
        } else if (c->key.is_encrypted) {
            tell_obstacle(a, c->path, "it has a passphrase; give it to ssh-agent with ssh-add");
        } else {
            r = offer_file(a, c, err);
        }
    }
    return r;
}

/* ---- all of it --------------------------------------------------------------------------------
 */

/* 1: the host lets everybody in. 0: `methods` is set. */
static int ask_methods(Auth *a, Error *err)
{
    const char *user = a->config->user;

    for (;;) {
        int rc, r;

        a->methods = libssh2_userauth_list(a->library->raw, user, (unsigned)strlen(user));
        if (a->methods) {
            return 0;
        }
        if (libssh2_userauth_authenticated(a->library->raw)) {
            return 1;
        }
        rc = libssh2_session_last_errno(a->library->raw);
        r = rc == LIBSSH2_ERROR_EAGAIN ? ssh_library_await(a->library, err)
                                       : ssh_library_fail(a->library, rc, "logging in", err);
        if (r < 0) {
            return r;
        }
    }
}

static int give_up(Auth *a, char **ret_obstacle, Error *err)
{
    if (a->obstacles.len > 0) {
        *ret_obstacle = buffer_take_text(&a->obstacles);
        return *ret_obstacle ? 1 : error_set(err, -ENOMEM, "out of memory");
    }
    return error_set(
        err, SSH_NO_KEY_ACCEPTED,
        "'%s' accepts no key of ours (it takes: %s).%s\n"
        "Put a public key into ~%s/.ssh/authorized_keys there: ssh-copy-id -p %u %s@%s",
        a->library->base.name, a->methods,
        a->story.len > 0 ? buffer_text(&a->story)
                         : " There is none: make one with ssh-keygen -t ed25519.",
        a->config->user, a->config->port, a->config->user, a->config->host_name);
}

static int log_in(Auth *a, char **ret_obstacle, Error *err)
{
    int r = ask_methods(a, err);

    if (r != 0) {
        return MIN(r, 0);
    }
    if (!strstr(a->methods, "publickey")) {
        (void)!buffer_append_format(&a->obstacles, "the host takes no keys, but %s", a->methods);
        return give_up(a, ret_obstacle, err);
    }
    read_files(a);
    connect_agent(a);
    r = try_agent(a, true, err);
    r = r == 0 && !a->config->is_identities_only ? try_agent(a, false, err) : r;
    r = r == 0 ? try_files(a, err) : r;
    if (r < 0 && a->n_offered > 1 && r == SSH_BROKEN) {
        return error_set(err, SSH_NO_KEY_ACCEPTED,
                         "'%s' hung up after %u keys that it does not accept.%s\n"
                         "Name the right one: IdentityFile and IdentitiesOnly in ~/.ssh/config.",
                         a->library->base.name, a->n_offered, buffer_text(&a->story));
    }
    return r == 0 ? give_up(a, ret_obstacle, err) : MIN(r, 0);
}

int ssh_auth(SshLibrary *library, const SshConfig *config, char **ret_obstacle, Error *err)
{
    Auth a = {.library = library, .config = config};
    int r = log_in(&a, ret_obstacle, err);

    if (a.agent) {
        if (a.is_agent_connected) {
            (void)libssh2_agent_disconnect(a.agent);
        }
        libssh2_agent_free(a.agent);
    }
    for (size_t i = 0; i < a.n_candidates; i++) {
        key_file_done(&a.candidates[i].key);
    }
    buffer_done(&a.story);
    buffer_done(&a.obstacles);
    return r;
}
