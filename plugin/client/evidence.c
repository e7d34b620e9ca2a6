/* SPDX-License-Identifier: MIT */
/* Keys, approvals, bundles and audit logs of the evidence room, for programs that know only the
 * public header. */
#include "plugin/client/json-value.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"
#include "protocol/evidence/chain.h"
#include "protocol/evidence/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NONCE_BYTES 16

/* ---- keys -------------------------------------------------------------------------------------
 */

static int write_public(const Key *key, const char *path, Error *err)
{
    _cleanup_free_ char *public_path = NULL;
    _cleanup_buffer_ Buffer pem = {0};
    int r;

    if (asprintf(&public_path, "%s.pub", path) < 0) {
        public_path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = key_format_public(key, &pem, err);
    return r == 0 ? file_replace(AT_FDCWD, public_path, pem.data, pem.len, 0644, err) : r;
}

static int generate(const char *path, char **ret_id, Error *err)
{
    _cleanup_(key_freep) Key *key = NULL;
    char *id;
    int r = key_generate(&key, err);

    r = r == 0 ? key_write_private(key, AT_FDCWD, path, err) : r;
    if (r < 0) {
        return r;
    }
    r = write_public(key, path, err);
    id = r == 0 ? strdup(key_id(key)) : NULL;
    if (!id) {
        (void)unlink(path); /* half a pair would only be in the way of the next attempt */
        return r < 0 ? r : error_set(err, -ENOMEM, "out of memory");
    }
    if (ret_id) {
        *ret_id = id;
    } else {
        free(id);
    }
    return 0;
}

_public_ int slipway_key_generate(const char *path, char **ret_id, char **ret_error)
{
    _cleanup_error_ Error err = {0};

    return error_tell(&err, generate(path, ret_id, &err), ret_error);
}

static int find_id(const char *pem, char **ret_id, Error *err)
{
    _cleanup_(key_freep) Key *key = NULL;
    char *id;
    int r = key_parse_public(pem, strlen(pem), &key, err);

    if (r < 0) {
        return r;
    }
    id = strdup(key_id(key));
    if (!id) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret_id = id;
    return 0;
}

_public_ int slipway_key_id(const char *pem, char **ret_id, char **ret_error)
{
    _cleanup_error_ Error err = {0};

    return error_tell(&err, find_id(pem, ret_id, &err), ret_error);
}

static int check_private(const char *path, char **ret_id, Error *err)
{
    _cleanup_(key_freep) Key *key = NULL;
    char *id;
    int r = key_read_private(AT_FDCWD, path, &key, err);

    if (r < 0 || !ret_id) {
        return r;
    }
    id = strdup(key_id(key));
    if (!id) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret_id = id;
    return 0;
}

_public_ int slipway_key_check(const char *path, char **ret_id, char **ret_error)
{
    _cleanup_error_ Error err = {0};

    return error_tell(&err, check_private(path, ret_id, &err), ret_error);
}

/* ---- approvals --------------------------------------------------------------------------------
 */

static int set_nonce(Json *predicate, Error *err)
{
    unsigned char bytes[NONCE_BYTES];
    char text[2 * NONCE_BYTES + 1];
    int r = key_random(bytes, sizeof(bytes), err);

    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    return json_set_string(predicate, "nonce", text);
}

static int complete(const SlipwayJson *given, Json **ret, Error *err)
{
    _cleanup_json_ Json *predicate = NULL;
    char now[CLOCK_TEXT_SIZE];
    int r = json_copy(json_value_inner(given), &predicate);

    if (r == 0 && json_type_of(predicate) != JSON_OBJECT) {
        return error_set(err, -EINVAL, "an approval is an object");
    }
    if (r == 0 && !json_has(predicate, "issuedOn")) {
        r = json_set_string(predicate, "issuedOn", clock_format(clock_wall_us(), now));
    }
    if (r == 0 && !json_has(predicate, "nonce")) {
        r = set_nonce(predicate, err);
    }
    if (r < 0) {
        return err->code ? r : error_set_errno(err, r, "cannot sign");
    }
    *ret = TAKE_PTR(predicate);
    return 0;
}

static int sign(const char *key_path, const char *digest, const char *name,
                const SlipwayJson *given, char **ret_line, Error *err)
{
    static const char prefix[] = "sha256:";
    _cleanup_(key_freep) Key *key = NULL;
    _cleanup_buffer_ Buffer payload = {0}, line = {0};
    _cleanup_json_ Json *predicate = NULL;
    int r;

    if (!digest || !text_has_prefix(digest, prefix)) {
        return error_set(err, -EINVAL, "'%s' is no digest of a package; it begins with sha256:",
                         digest ? digest : "");
    }
    r = key_read_private(AT_FDCWD, key_path, &key, err);
    r = r == 0 ? complete(given, &predicate, err) : r;
    r = r == 0 ? statement_format(STATEMENT_APPROVAL,
                                  &(StatementSubject){name, "sha256", digest + strlen(prefix)}, 1,
                                  predicate, &payload, err)
               : r;
    r = r == 0 ? dsse_append_signed(&line, key, payload.data, payload.len, err) : r;
    if (r < 0) {
        return r;
    }
    buffer_truncate(&line, line.len - 1);
    *ret_line = buffer_take_text(&line);
    return 0;
}

_public_ int slipway_approval_sign(const char *key_path, const char *digest, const char *name,
                                   const SlipwayJson *predicate, char **ret_line, char **ret_error)
{
    _cleanup_error_ Error err = {0};

    return error_tell(&err, sign(key_path, digest, name, predicate, ret_line, &err), ret_error);
}

/* ---- bundles ----------------------------------------------------------------------------------
 */

static const char *line_at(const char *text, size_t len, unsigned number, size_t *ret_len)
{
    const char *end = text + len, *feed;

    while (--number > 0) {
        text = (const char *)memchr(text, '\n', (size_t)(end - text)) + 1;
    }
    feed = memchr(text, '\n', (size_t)(end - text));
    *ret_len = (size_t)((feed ? feed : end) - text);
    return text;
}

/* What an envelope that nobody known has signed claims to be, if it can be read at all. */
static int read_claim(const char *line, size_t n, Statement *ret)
{
    DsseEnvelope envelope;
    int r = dsse_parse(line, n, &envelope, NULL);

    r = r == 0 ? statement_parse(buffer_text(&envelope.payload), envelope.payload.len, ret, NULL)
               : r;
    dsse_envelope_done(&envelope);
    return r == -EINVAL ? 0 : r;
}

static int describe_entry(const BundleEntry *entry, const Statement *statement, Json **ret)
{
    static const char *const trust[] = {
        [BUNDLE_TRUSTED] = "trusted",
        [BUNDLE_UNTRUSTED] = "untrusted",
        [BUNDLE_ALTERED] = "altered",
        [BUNDLE_WRONG_ROLE] = "wrong_role",
    };
    _cleanup_json_ Json *object = json_new_object();
    int r = object ? 0 : -ENOMEM;

    r = r == 0 ? json_set_int(object, "line", entry->line) : r;
    r = r == 0 ? json_set_string(object, "sha256", entry->sha256) : r;
    r = r == 0 ? json_set_string(object, "trust", trust[entry->trust]) : r;
    r = r == 0 ? json_set_string(object, "signer", entry->signer ? entry->signer->name : NULL) : r;
    r = r == 0 ? json_set_string(object, "keyId",
                                 entry->signer ? key_id(entry->signer->key) : entry->claimed_key_id)
               : r;
    if (r == 0 && statement->root) {
        r = json_set_string(object, "kind", statement_kind_name(statement->kind));
        r = r == 0 ? json_set_take(object, "statement", json_ref(statement->root)) : r;
    }
    if (r == 0) {
        *ret = TAKE_PTR(object);
    }
    return r;
}

static int append_entry(Json *array, const BundleEntry *entry, const char *text, size_t len)
{
    _cleanup_statement_ Statement claim = {0};
    const Statement *statement = &entry->statement;
    Json *object = NULL;
    int r = 0;

    if (entry->trust == BUNDLE_UNTRUSTED || entry->trust == BUNDLE_ALTERED) {
        size_t n;
        const char *line = line_at(text, len, entry->line, &n);

        r = read_claim(line, n, &claim);
        statement = &claim;
    }
    r = r == 0 ? describe_entry(entry, statement, &object) : r;
    return r == 0 ? json_append_take(array, object) : r;
}

static int read_bundle(const char *text, size_t len, const SlipwayJson *keys, SlipwayJson **ret,
                       Error *err)
{
    _cleanup_trust_ Trust trust = {0};
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_json_ Json *array = json_new_array();
    int r = array ? trust_add(&trust, json_value_inner(keys), err)
                  : error_set(err, -ENOMEM, "out of memory");

    r = r == 0 ? bundle_add(&bundle, text, len, trust.keys, trust.count, err) : r;
    for (size_t i = 0; r == 0 && i < bundle.count; i++) {
        r = append_entry(array, &bundle.entries[i], text, len);
        r = r < 0 ? error_set_errno(err, r, "cannot describe the bundle") : 0;
    }
    if (r == 0) {
        *ret = json_value_expose(TAKE_PTR(array));
    }
    return r;
}

_public_ int slipway_bundle_read(const char *text, size_t len, const SlipwayJson *keys,
                                 SlipwayJson **ret, char **ret_error)
{
    _cleanup_error_ Error err = {0};

    return error_tell(&err, read_bundle(text, len, keys, ret, &err), ret_error);
}

/* ---- the audit log ----------------------------------------------------------------------------
 */

typedef struct AuditWalk {
    SlipwayAuditCallback callback;
    void *userdata;
} AuditWalk;

static int visit(const Json *record, const ChainHead *head, void *userdata)
{
    const AuditWalk *walk = userdata;

    return walk->callback(json_value_expose((Json *)record), walk->userdata);
}

static int read_heads(const Json *array, ChainHead **ret, size_t *ret_n, Error *err)
{
    size_t n = json_length(array);
    _cleanup_free_ ChainHead *heads = calloc(n + 1, sizeof(*heads));

    if (!heads) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        const char *sha256 = json_get_string(json_at(array, i), "sha256");
        int64_t seq = json_get_int(json_at(array, i), "seq", 0);

        if (seq < 1 || !sha256 || strlen(sha256) != DIGEST_HEX_SIZE - 1) {
            return error_set(err, -EINVAL, "a head of the log is a seq and a sha256");
        }
        heads[i].seq = (uint64_t)seq;
        memcpy(heads[i].sha256, sha256, DIGEST_HEX_SIZE);
    }
    *ret = TAKE_PTR(heads);
    *ret_n = n;
    return 0;
}

static int describe_head(const ChainHead *head, bool is_torn, SlipwayJson **ret)
{
    _cleanup_json_ Json *object = json_new_object();
    int r = object ? json_set_int(object, "seq", (int64_t)head->seq) : -ENOMEM;

    r = r == 0 ? json_set_string(object, "sha256", head->sha256) : r;
    r = r == 0 && is_torn ? json_set_bool(object, "isTorn", true) : r;
    if (r == 0) {
        *ret = json_value_expose(TAKE_PTR(object));
    }
    return r;
}

static int check_audit(const char *path, const SlipwayJson *heads, const AuditWalk *walk,
                       SlipwayJson **ret_head, Error *err)
{
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_free_ ChainHead *expected = NULL;
    size_t n_expected = 0;
    ChainHead head;
    bool is_torn;
    int r;

    if (fd < 0) {
        return error_set_errno(err, -errno, "'%s'", path);
    }
    r = read_heads(json_value_inner(heads), &expected, &n_expected, err);
    r = r == 0 ? chain_check(fd, expected, n_expected, walk->callback ? visit : NULL, (void *)walk,
                             &head, &is_torn, err)
               : r;
    if (r == 0 && ret_head && describe_head(&head, is_torn, ret_head) < 0) {
        r = error_set(err, -ENOMEM, "out of memory");
    }
    return r;
}

_public_ int slipway_audit_check(const char *path, const SlipwayJson *heads,
                                 SlipwayAuditCallback callback, void *userdata,
                                 SlipwayJson **ret_head, char **ret_error)
{
    AuditWalk walk = {.callback = callback, .userdata = userdata};
    _cleanup_error_ Error err = {0};
    int r = check_audit(path, heads, &walk, ret_head, &err);

    return err.code ? error_tell(&err, r, ret_error)
                    : r; /* not 0 may also be the callback's answer */
}

_public_ char *slipway_sha256(const void *data, size_t len)
{
    char text[DIGEST_HEX_SIZE];

    return digest_bytes(data, len, text) == 0 ? strdup(text) : NULL;
}
