/* SPDX-License-Identifier: MIT */
#include "protocol/evidence/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

void trust_done(Trust *trust)
{
    for (size_t i = 0; i < trust->count; i++) {
        free((char *)trust->keys[i].name);
        (void)key_free(trust->keys[i].key);
    }
    free(trust->keys);
    *trust = (Trust){0};
}

int trust_add_key_take(Trust *trust, const char *name, Key *key, unsigned roles, Error *err)
{
    _cleanup_(key_freep) Key *owned = key;
    char *copy;
    TrustedKey *grown;

    if (trust->count == TRUST_KEYS_MAX) {
        return error_set(err, -EINVAL, "more than %d keys", TRUST_KEYS_MAX);
    }
    grown = realloc(trust->keys, (trust->count + 1) * sizeof(*grown));
    if (!grown) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    trust->keys = grown;
    copy = strdup(name);
    if (!copy) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    trust->keys[trust->count++] =
        (TrustedKey){.name = copy, .key = TAKE_PTR(owned), .roles = roles};
    return 0;
}

static int read_roles(const Json *roles, unsigned *ret, Error *err)
{
    *ret = 0;
    for (size_t i = 0; i < json_length(roles); i++) {
        const char *name = json_as_string(json_at(roles, i));
        KeyRole role;

        if (!name || bundle_role_from_name(name, &role) < 0) {
            return error_set(err, -EINVAL,
                             "'%s' is no role; there are builder, tester, stager and approver",
                             name ? name : "?");
        }
        *ret |= role;
    }
    return *ret ? 0 : error_set(err, -EINVAL, "it has no roles, so it could sign nothing");
}

static int read_key(const Json *object, Key **ret, Error *err)
{
    const char *pem = json_get_string(object, "publicKey"), *file = json_get_string(object, "file");

    if (!pem == !file) {
        return error_set(err, -EINVAL, "it needs either `publicKey`, a PEM text, or `file`");
    }
    return pem ? key_parse_public(pem, strlen(pem), ret, err)
               : key_read_public(AT_FDCWD, file, ret, err);
}

int trust_add(Trust *trust, const Json *keys, Error *err)
{
    for (JsonMember m = {0}; json_next_member(keys, &m);) {
        Key *key = NULL;
        unsigned roles;
        int r = read_roles(json_get(m.value, "roles"), &roles, err);

        r = r == 0 ? read_key(m.value, &key, err) : r;
        r = r == 0 ? trust_add_key_take(trust, m.name, key, roles, err) : r;
        if (r < 0) {
            return error_wrap(err, "the key '%s'", m.name);
        }
    }
    return 0;
}
