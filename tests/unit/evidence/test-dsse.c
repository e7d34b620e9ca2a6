/* SPDX-License-Identifier: MIT */
#include "protocol/base/text.h"
#include "protocol/evidence/dsse.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static Key *key, *other;

static int set_up(void **state)
{
    return key_generate(&key, NULL) < 0 || key_generate(&other, NULL) < 0;
}

static int tear_down(void **state)
{
    key = key_free(key);
    other = key_free(other);
    return 0;
}

static void test_signed_parsed_and_found(void **state)
{
    _cleanup_buffer_ Buffer line = {0};
    Key *keys[] = {other, key};
    DsseEnvelope envelope;
    size_t index;

    assert_int_equal(dsse_append_signed(&line, key, "{\"a\":1}", 7, NULL), 0);
    assert_int_equal(line.data[line.len - 1], '\n');
    assert_int_equal(dsse_parse(line.data, line.len - 1, &envelope, NULL), 0);
    assert_int_equal(envelope.payload.len, 7);
    assert_memory_equal(envelope.payload.data, "{\"a\":1}", 7);
    assert_string_equal(envelope.signatures[0].key_id, key_id(key));
    assert_int_equal(dsse_find_signer(&envelope, keys, 2, &index), 0);
    assert_int_equal(index, 1);
    assert_int_equal(dsse_find_signer(&envelope, keys, 1, &index), -ENOKEY);
    dsse_envelope_done(&envelope);
}

/* No byte of an envelope may change: either it is no envelope any more, or nobody signed it. The
 * key's id is only a hint, so its digits are passed over. */
static void test_every_flipped_byte_is_found(void **state)
{
    _cleanup_buffer_ Buffer line = {0};
    const char *hint;
    unsigned flips = 0;

    assert_int_equal(dsse_append_signed(&line, key, "{\"subject\":\"bytes\"}", 19, NULL), 0);
    hint = strstr(line.data, "\"keyid\":\"") + strlen("\"keyid\":\"");
    for (size_t i = 0; i < line.len - 1; i++) {
        DsseEnvelope envelope;
        size_t index;
        bool is_hint = line.data + i >= hint && line.data + i < hint + 64;

        for (int bit = 0; bit < 8 && !is_hint; bit++) {
            line.data[i] ^= (char)(1 << bit);
            if (dsse_parse(line.data, line.len - 1, &envelope, NULL) == 0) {
                bool is_same = envelope.payload.len == 19 &&
                               memcmp(envelope.payload.data, "{\"subject\":\"bytes\"}", 19) == 0;
                int r = dsse_find_signer(&envelope, &key, 1, &index);

                assert_true(r == -ENOKEY || is_same); /* the last bits of base64 carry nothing */
            }
            dsse_envelope_done(&envelope);
            line.data[i] ^= (char)(1 << bit);
            flips++;
        }
    }
    assert_true(flips > 1000);
}

static void test_the_type_is_part_of_what_is_signed(void **state)
{
    _cleanup_buffer_ Buffer line = {0};
    DsseEnvelope envelope;
    size_t index;

    assert_int_equal(dsse_append_signed(&line, key, "x", 1, NULL), 0);
    assert_int_equal(dsse_parse(line.data, line.len - 1, &envelope, NULL), 0);
    envelope.payload_type[0] = 'A';
    assert_int_equal(dsse_find_signer(&envelope, &key, 1, &index), -ENOKEY);
    dsse_envelope_done(&envelope);
}

/* 64 bytes of nothing. */
#define SIG                                       \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
#define TYPE "\"payloadType\":\"application/vnd.in-toto+json\""

static void test_what_is_no_envelope_is_refused(void **state)
{
    static const struct {
        const char *line;
        const char *hint;
    } cases[] = {
        {"", "ends"},
        {"[]", "object"},
        {"{}", "type"},
        {"{\"payloadType\":\"text/plain\",\"payload\":\"\",\"signatures\":[{\"sig\":\"" SIG "\"}]}",
         "text/plain"},
        {"{" TYPE ",\"payload\":\"e30=\",\"signatures\":[]}", "1 to 16"},
        {"{" TYPE ",\"payload\":\"e30\",\"signatures\":[{\"sig\":\"" SIG "\"}]}", "base64"},
        {"{" TYPE ",\"payload\":\"e30=\",\"signatures\":[{\"sig\":\"AAAA\"}]}", "3 bytes"},
        {"{" TYPE ",\"payload\":\"e30=\",\"signatures\":[{\"sig\":\"" SIG "\",\"alg\":\"none\"}]}",
         "\"alg\""},
        {"{" TYPE ",\"payload\":\"e30=\",\"signatures\":[{\"sig\":\"" SIG "\"}],\"extra\":1}",
         "\"extra\""},
        {"{" TYPE ",\"payload\":\"e30=\",\"payload\":\"e30=\",\"signatures\":[{\"sig\":\"" SIG
         "\"}]}",
         "second member"},
        {"{" TYPE ",\"p\\u0061yload\":\"e30=\",\"signatures\":[{\"sig\":\"" SIG "\"}]}", "escapes"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_error_ Error err = {0};
        DsseEnvelope envelope;

        assert_int_equal(dsse_parse(cases[i].line, strlen(cases[i].line), &envelope, &err),
                         -EINVAL);
        if (!strstr(error_text(&err), cases[i].hint)) {
            fail_msg("case %zu: '%s' does not say '%s'", i, error_text(&err), cases[i].hint);
        }
        dsse_envelope_done(&envelope);
    }
}

static void test_a_statement_that_is_too_long_is_refused(void **state)
{
    _cleanup_buffer_ Buffer line = {0}, payload = {0};
    _cleanup_error_ Error err = {0};
    DsseEnvelope envelope;

    assert_int_equal(buffer_reserve(&payload, DSSE_ENVELOPE_MAX), 0);
    memset(payload.data, ' ', DSSE_ENVELOPE_MAX);
    payload.len = DSSE_ENVELOPE_MAX;
    assert_int_equal(dsse_append_signed(&line, key, payload.data, payload.len, &err), -EMSGSIZE);
    assert_int_equal(line.len, 0);
    assert_int_equal(buffer_append(&payload, " ", 1), 0);
    assert_int_equal(dsse_parse(payload.data, payload.len, &envelope, &err), -EINVAL);
    dsse_envelope_done(&envelope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signed_parsed_and_found),
        cmocka_unit_test(test_every_flipped_byte_is_found),
        cmocka_unit_test(test_the_type_is_part_of_what_is_signed),
        cmocka_unit_test(test_what_is_no_envelope_is_refused),
        cmocka_unit_test(test_a_statement_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
