/* SPDX-License-Identifier: MIT */
#include "protocol/evidence/bundle.h"

#include "protocol/artifact/digest.h"

#include <errno.h>
#include <string.h>

static const struct {
    KeyRole role;
    const char *name;
} roles[] = {
    {KEY_ROLE_BUILDER, "builder"},
    {KEY_ROLE_TESTER, "tester"},
    {KEY_ROLE_STAGER, "stager"},
    {KEY_ROLE_APPROVER, "approver"},
};

KeyRole bundle_role_for(StatementKind kind)
{
    static const KeyRole needed[_STATEMENT_KIND_MAX] = {
        [STATEMENT_PROVENANCE] = KEY_ROLE_BUILDER, [STATEMENT_TEST_RESULT] = KEY_ROLE_TESTER,
        [STATEMENT_DEPLOYMENT] = KEY_ROLE_STAGER,  [STATEMENT_VERIFICATION] = KEY_ROLE_STAGER,
        [STATEMENT_APPROVAL] = KEY_ROLE_APPROVER,
    };

    return needed[kind];
}

const char *bundle_role_name(KeyRole role)
{
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        if (roles[i].role == role) {
            return roles[i].name;
        }
    }
    return "unknown role";
}

int bundle_role_from_name(const char *name, KeyRole *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        if (strcmp(roles[i].name, name) == 0) {
            *ret = roles[i].role;
            return 0;
        }
    }
    return -EINVAL;
}

static void entry_done(BundleEntry *entry)
{
    statement_done(&entry->statement);
    free(entry->claimed_key_id);
    free(entry->sha256);
}

void bundle_done(Bundle *bundle)
{
    for (size_t i = 0; i < bundle->count; i++) {
        entry_done(&bundle->entries[i]);
    }
    free(bundle->entries);
    *bundle = (Bundle){0};
}

/* The first of the keys with a role of the mask (0: any key) that has signed; NULL: none has. */
static int find_signer(const DsseEnvelope *envelope, const TrustedKey *keys, size_t n_keys,
                       unsigned mask, const TrustedKey **ret)
{
    _cleanup_free_ Key **chosen = calloc(n_keys + 1, sizeof(*chosen));
    _cleanup_free_ const TrustedKey **owners = calloc(n_keys + 1, sizeof(*owners));
    size_t n = 0, index;
    int r;

    if (!chosen || !owners) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n_keys; i++) {
        if (!mask || keys[i].roles & mask) {
            chosen[n] = keys[i].key;
            owners[n++] = &keys[i];
        }
    }
    r = dsse_find_signer(envelope, chosen, n, &index);
    *ret = r == 0 ? owners[index] : NULL;
    return r == -ENOKEY ? 0 : r;
}

/* One key may stand twice in the list, with different roles: whichever has the needed one counts.
 */
static int find_role(const DsseEnvelope *envelope, const TrustedKey *keys, size_t n_keys,
                     BundleEntry *entry)
{
    KeyRole needed = bundle_role_for(entry->statement.kind);
    const TrustedKey *signer = entry->signer;
    int r = signer->roles & needed ? 0 : find_signer(envelope, keys, n_keys, needed, &signer);

    if (r < 0) {
        return r;
    }
    entry->signer = signer ? signer : entry->signer;
    entry->trust = entry->signer->roles & needed ? BUNDLE_TRUSTED : BUNDLE_WRONG_ROLE;
    return 0;
}

/* A key's id in an envelope is a hint, and proves nothing; but who names a key and has not its
 * signature was changed since, or lies. */
static void find_claimed(const DsseEnvelope *envelope, const TrustedKey *keys, size_t n_keys,
                         BundleEntry *entry)
{
    entry->trust = BUNDLE_UNTRUSTED;
    for (size_t i = 0; i < envelope->n_signatures * n_keys; i++) {
        const TrustedKey *key = &keys[i % n_keys];
        const char *claimed = envelope->signatures[i / n_keys].key_id;

        if (claimed && strcmp(claimed, key_id(key->key)) == 0) {
            entry->trust = BUNDLE_ALTERED;
            entry->signer = key;
            return;
        }
    }
}

static int read_signed(const DsseEnvelope *envelope, const TrustedKey *keys, size_t n_keys,
                       BundleEntry *entry, Error *err)
{
    int r = find_signer(envelope, keys, n_keys, 0, &entry->signer);

    if (r == 0 && !entry->signer) {
        find_claimed(envelope, keys, n_keys, entry);
        return 0;
    }
    if (r == 0) {
        r = statement_parse(buffer_text(&envelope->payload), envelope->payload.len,
                            &entry->statement, err);
        if (r < 0) {
            return r;
        }
        r = find_role(envelope, keys, n_keys, entry);
    }
    return r < 0 ? error_set_errno(err, r, "cannot check the signature") : 0;
}

static int read_entry(const char *line, size_t n, const TrustedKey *keys, size_t n_keys,
                      BundleEntry *entry, Error *err)
{
    DsseEnvelope envelope;
    int r = dsse_parse(line, n, &envelope, err);

    if (r == 0 && envelope.signatures[0].key_id) {
        entry->claimed_key_id = strdup(envelope.signatures[0].key_id);
        r = entry->claimed_key_id ? 0 : error_set(err, -ENOMEM, "out of memory");
    }
    r = r == 0 ? read_signed(&envelope, keys, n_keys, entry, err) : r;
    dsse_envelope_done(&envelope);
    return r;
}

static bool has_line(const Bundle *bundle, const char *sha256)
{
    for (size_t i = 0; i < bundle->count; i++) {
        if (strcmp(bundle->entries[i].sha256, sha256) == 0) {
            return true;
        }
    }
    return false;
}

static int add_line(Bundle *bundle, const char *line, size_t n, unsigned number,
                    const TrustedKey *keys, size_t n_keys, Error *err)
{
    char sha256[DIGEST_HEX_SIZE];
    BundleEntry entry = {.line = number}, *grown;
    int r = digest_bytes(line, n, sha256);

    if (r < 0 || has_line(bundle, sha256)) {
        return r < 0 ? error_set_errno(err, r, "cannot digest") : 0;
    }
    if (bundle->count == BUNDLE_ENTRIES_MAX) {
        return error_set(err, -EINVAL, "more than %d statements", BUNDLE_ENTRIES_MAX);
    }
    grown = realloc(bundle->entries, (bundle->count + 1) * sizeof(*grown));
    if (!grown) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    bundle->entries = grown;
    entry.sha256 = strdup(sha256);
    r = entry.sha256 ? read_entry(line, n, keys, n_keys, &entry, err)
                     : error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        entry_done(&entry);
        return r;
    }
    bundle->entries[bundle->count++] = entry;
    return 0;
}

int bundle_add(Bundle *bundle, const char *text, size_t n, const TrustedKey *keys, size_t n_keys,
               Error *err)
{
    const char *end = text + n;
    unsigned number = 0;

    if (n > BUNDLE_MAX) {
        return error_set(err, -EINVAL, "a bundle of %zu bytes; at most %zu are taken", n,
                         BUNDLE_MAX);
    }
    while (text < end) {
        const char *feed = memchr(text, '\n', (size_t)(end - text));
        size_t len = (size_t)((feed ? feed : end) - text);
        int r;

        number++;
        r = len > 0 ? add_line(bundle, text, len, number, keys, n_keys, err) : 0;
        if (r < 0) {
            return error_wrap(err, "line %u of the bundle", number);
        }
        text += len + 1;
    }
    return 0;
}
