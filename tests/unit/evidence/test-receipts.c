/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/receipts.h"

#include "protocol/base/error.h"
#include "protocol/base/text.h"
#include "protocol/evidence/dsse.h"
#include "protocol/evidence/statement.h"
#include "tests/unit/cmocka.h"

#include <string.h>

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define RECEIPT(call, audit)                                                                    \
    "{\"environment\":\"prod\",\"engine\":\"local\",\"deployment\":\"d\",\"commit\":"           \
    "\"0123456789abcdef0123456789abcdef01234567\",\"agent\":\"slipway:agent/prod-1\",\"call\":" \
    "\"" call "\",\"startedOn\":\"2026-01-01T00:00:00Z\",\"finishedOn\":"                       \
    "\"2026-01-01T00:00:01Z\"" audit "}"
#define AUDIT ",\"audit\":{\"seq\":7,\"sha256\":\"" DIGEST "\"}"

static void append_receipt(Buffer *bundle, const Key *key, const char *predicate)
{
    _cleanup_buffer_ Buffer payload = {0};
    _cleanup_json_ Json *json = NULL;

    assert_int_equal(json_parse(predicate, strlen(predicate), &json, NULL), 0);
    assert_int_equal(statement_format(STATEMENT_DEPLOYMENT,
                                      &(StatementSubject){"app", "sha256", DIGEST}, 1, json,
                                      &payload, NULL),
                     0);
    assert_int_equal(dsse_append_signed(bundle, key, payload.data, payload.len, NULL), 0);
}

/* The entries of a bundle, read by whoever believes `key` in these roles. */
static SlipwayJson *read_bundle(const Buffer *bundle, const Key *key, const char *roles)
{
    _cleanup_buffer_ Buffer pem = {0}, text = {0};
    SlipwayJson *keys = NULL, *entries = NULL;

    assert_int_equal(key_format_public(key, &pem, NULL), 0);
    assert_int_equal(buffer_append_text(&text, "{\"host\":{\"publicKey\":"), 0);
    assert_int_equal(text_append_json(&text, pem.data, pem.len), 0);
    assert_int_equal(buffer_append_format(&text, ",\"roles\":[%s]}}", roles), 0);
    assert_int_equal(slipway_json_parse(text.data, text.len, &keys), 0);
    assert_int_equal(slipway_bundle_read(bundle->data, bundle->len, keys, &entries, NULL), 0);
    (void)slipway_json_unref(keys);
    return entries;
}

/* Those that say where the log ended; whose they are is for the caller. */
static void test_receipts_of_a_bundle(void **state)
{
    _cleanup_(key_freep) Key *key = NULL, *other = NULL;
    _cleanup_(receipts_done) Receipts receipts = {0};
    _cleanup_buffer_ Buffer bundle = {0};
    SlipwayJson *entries;

    assert_int_equal(key_generate(&key, NULL) | key_generate(&other, NULL), 0);
    append_receipt(&bundle, key, RECEIPT("c1", AUDIT));
    append_receipt(&bundle, key, RECEIPT("c2", ""));
    append_receipt(&bundle, other, RECEIPT("c3", AUDIT));
    entries = read_bundle(&bundle, key, "\"stager\"");
    assert_int_equal(receipts_add(&receipts, "a file", false, entries), 0);
    assert_int_equal(receipts.n, 2);
    assert_string_equal(receipt_text(&receipts.items[0], "/call"), "c1");
    assert_string_equal(receipt_text(&receipts.items[0], "/url"), "");
    assert_string_equal(receipts.items[0].source, "a file");
    assert_int_equal(receipt_seq(&receipts.items[0]), 7);
    assert_string_equal(slipway_json_get_string(receipt_anchor(&receipts.items[0]), "/sha256", ""),
                        DIGEST);
    assert_null(receipt_doubt(&receipts.items[0]));
    assert_string_equal(receipt_doubt(&receipts.items[1]), "no key that you believe has signed it");
    (void)slipway_json_unref(entries);
}

static void test_a_key_in_the_wrong_role(void **state)
{
    _cleanup_(key_freep) Key *key = NULL;
    _cleanup_(receipts_done) Receipts receipts = {0};
    _cleanup_buffer_ Buffer bundle = {0};
    SlipwayJson *entries;

    assert_int_equal(key_generate(&key, NULL), 0);
    append_receipt(&bundle, key, RECEIPT("c1", AUDIT));
    entries = read_bundle(&bundle, key, "\"builder\"");
    assert_int_equal(receipts_add(&receipts, "c1", true, entries), 0);
    assert_true(receipts.items[0].is_kept);
    assert_string_equal(receipt_doubt(&receipts.items[0]),
                        "it is signed by a key that may not say so");
    (void)slipway_json_unref(entries);
}

/* Its line says that `key` signed it, but other words. */
static void test_an_altered_receipt(void **state)
{
    _cleanup_(key_freep) Key *key = NULL;
    _cleanup_(receipts_done) Receipts receipts = {0};
    _cleanup_buffer_ Buffer bundle = {0}, other = {0};
    SlipwayJson *entries;
    char *signatures, *theirs;

    assert_int_equal(key_generate(&key, NULL), 0);
    append_receipt(&bundle, key, RECEIPT("c1", AUDIT));
    append_receipt(&other, key, RECEIPT("c2", AUDIT));
    signatures = strstr(buffer_text(&bundle), "\"signatures\"");
    theirs = strstr(buffer_text(&other), "\"signatures\"");
    assert_int_equal(strlen(signatures), strlen(theirs));
    memcpy(signatures, theirs, strlen(theirs));
    entries = read_bundle(&bundle, key, "\"stager\"");
    assert_int_equal(receipts_add(&receipts, "a file", false, entries), 0);
    assert_string_equal(receipt_doubt(&receipts.items[0]), "it was altered after it was signed");
    (void)slipway_json_unref(entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receipts_of_a_bundle),
        cmocka_unit_test(test_a_key_in_the_wrong_role),
        cmocka_unit_test(test_an_altered_receipt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
