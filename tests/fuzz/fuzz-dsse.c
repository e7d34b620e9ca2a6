/* SPDX-License-Identifier: MIT */
/* Any line as a signed envelope, any text as a bundle of them: it is refused with a reason, or its
 * payload can be signed and read again, and nobody has signed it who has not. */
#include "protocol/evidence/bundle.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

static void check_again(const DsseEnvelope *envelope, Key *key)
{
    _cleanup_buffer_ Buffer line = {0};
    DsseEnvelope again;
    size_t signer = 7;

    require(dsse_append_signed(&line, key, buffer_text(&envelope->payload), envelope->payload.len,
                               NULL) == 0);
    require(memchr(line.data, '\n', line.len) == line.data + line.len - 1);
    if (line.len <= DSSE_ENVELOPE_MAX) {
        require(dsse_parse(line.data, line.len - 1, &again, NULL) == 0);
        require(again.payload.len == envelope->payload.len);
        require(memcmp(buffer_text(&again.payload), buffer_text(&envelope->payload),
                       again.payload.len) == 0);
        require(again.n_signatures == 1 && strcmp(again.signatures[0].key_id, key_id(key)) == 0);
        require(dsse_find_signer(&again, &key, 1, &signer) == 0 && signer == 0);
        dsse_envelope_done(&again);
    }
}

static void check_envelope(const char *line, size_t n, Key *key)
{
    _cleanup_error_ Error err = {0};
    DsseEnvelope envelope;
    size_t signer = 7;
    int r = dsse_parse(line, n, &envelope, &err);

    if (r < 0) {
        require(r == -EINVAL && err.text);
    } else {
        require(strcmp(envelope.payload_type, DSSE_PAYLOAD_TYPE) == 0);
        require(envelope.n_signatures > 0 && envelope.n_signatures <= DSSE_SIGNATURES_MAX);
        require(dsse_find_signer(&envelope, &key, 1, &signer) == -ENOKEY && signer == 7);
        check_again(&envelope, key);
    }
    dsse_envelope_done(&envelope);
}

static void check_bundle(const char *text, size_t n, Key *key)
{
    TrustedKey trusted = {.name = "k", .key = key, .roles = KEY_ROLE_BUILDER | KEY_ROLE_APPROVER};
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_error_ Error err = {0};
    size_t count;

    if (bundle_add(&bundle, text, n, &trusted, 1, &err) < 0) {
        require(err.code == -EINVAL && err.text);
        return;
    }
    require(bundle.count <= BUNDLE_ENTRIES_MAX);
    for (size_t i = 0; i < bundle.count; i++) {
        require(bundle.entries[i].trust ==
                (bundle.entries[i].signer ? BUNDLE_ALTERED : BUNDLE_UNTRUSTED));
        require(!bundle.entries[i].statement.root && bundle.entries[i].line > 0);
    }
    count = bundle.count;
    require(bundle_add(&bundle, text, n, &trusted, 1, NULL) == 0); /* each line counts once */
    require(bundle.count == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(key_freep) Key *key = NULL;
    const char *text = (const char *)data;
    const char *feed = size > 0 ? memchr(text, '\n', size) : NULL;

    require(key_generate(&key, NULL) == 0);
    check_envelope(text, feed ? (size_t)(feed - text) : size, key);
    check_bundle(text, size, key);
    return 0;
}
