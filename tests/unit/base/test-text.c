/* SPDX-License-Identifier: MIT */
#include "protocol/base/text.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

#define TEXT(literal) (literal), sizeof(literal) - 1

static const struct {
    const char *text;
    size_t len;
    size_t prefix; /* whole, valid UTF-8 */
    size_t tail;   /* the beginning of a character, at the end */
} utf8_rows[] = {
    {TEXT(""), 0, 0},
    {TEXT("abc"), 3, 0},
    {TEXT("nul\0in"), 6, 0},
    {TEXT("\x7f"), 1, 0},
    {TEXT("\xc2\x80"), 2, 0},         /* U+0080, the first of two bytes */
    {TEXT("\xdf\xbf"), 2, 0},         /* U+07FF */
    {TEXT("\xe0\xa0\x80"), 3, 0},     /* U+0800, the first of three */
    {TEXT("\xed\x9f\xbf"), 3, 0},     /* U+D7FF, before the surrogates */
    {TEXT("\xee\x80\x80"), 3, 0},     /* U+E000, after them */
    {TEXT("\xef\xbf\xbf"), 3, 0},     /* U+FFFF */
    {TEXT("\xf0\x90\x80\x80"), 4, 0}, /* U+10000, the first of four */
    {TEXT("\xf4\x8f\xbf\xbf"), 4, 0}, /* U+10FFFF, the last */
    /* wrong */
    {TEXT("\x80"), 0, 0}, /* a continuation alone */
    {TEXT("a\xbf"), 1, 0},
    {TEXT("\xc0\x80"), 0, 0},         /* overlong NUL */
    {TEXT("\xc1\xbf"), 0, 0},         /* overlong */
    {TEXT("\xe0\x9f\xbf"), 0, 0},     /* overlong */
    {TEXT("\xf0\x8f\xbf\xbf"), 0, 0}, /* overlong */
    {TEXT("\xed\xa0\x80"), 0, 0},     /* U+D800, a surrogate */
    {TEXT("\xed\xbf\xbf"), 0, 0},     /* U+DFFF */
    {TEXT("\xf4\x90\x80\x80"), 0, 0}, /* U+110000, beyond */
    {TEXT("\xf5\x80\x80\x80"), 0, 0},
    {TEXT("\xfe"), 0, 0},
    {TEXT("\xff"), 0, 0},
    {TEXT("\xc3("), 0, 0},
    {TEXT("\xe2\x82("), 0, 0},
    {TEXT("\xe2(\xa1"), 0, 0},
    /* cut */
    {TEXT("\xc3"), 0, 1},
    {TEXT("ab\xe2"), 2, 1},
    {TEXT("ab\xe2\x82"), 2, 2},
    {TEXT("\xf0"), 0, 1},
    {TEXT("\xf0\x9f"), 0, 2},
    {TEXT("\xf0\x9f\x98"), 0, 3},
    {TEXT("\xe0\x9f"), 0, 0}, /* can no longer become a character */
    {TEXT("\xed\xa0"), 0, 0},
    {TEXT("\xf4\x90"), 0, 0},
    {TEXT("\x80\x80\x80"), 0, 0},
    /* after eight bytes at once */
    {TEXT("12345678\xff"), 8, 0},
    {TEXT("1234567\xc3\xa9"), 9, 0},
    {TEXT("12345678abcdefg\xc3"), 15, 1},
    {TEXT("\xc3\xa9"
          "12345678\xe2\x82\xac"),
     13, 0},
};

static void utf8_is_as_rfc_3629_says(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(utf8_rows); i++) {
        const char *text = utf8_rows[i].text;
        size_t len = utf8_rows[i].len;

        assert_int_equal(text_utf8_prefix(text, len), utf8_rows[i].prefix);
        assert_int_equal(text_is_utf8(text, len), utf8_rows[i].prefix == len);
        assert_int_equal(text_utf8_incomplete_tail(text, len), utf8_rows[i].tail);
    }
}

/* Every code point there is, against an encoder that is written from the definition. */
static void every_code_point_is_utf8(void **state)
{
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        bool is_surrogate = c >= 0xd800 && c <= 0xdfff;
        char s[4];
        size_t n;

        if (c < 0x80) {
            s[0] = (char)c;
            n = 1;
        } else if (c < 0x800) {
            s[0] = (char)(0xc0 | c >> 6);
            s[1] = (char)(0x80 | (c & 63));
            n = 2;
        } else if (c < 0x10000) {
            s[0] = (char)(0xe0 | c >> 12);
            s[1] = (char)(0x80 | (c >> 6 & 63));
            s[2] = (char)(0x80 | (c & 63));
            n = 3;
        } else {
            s[0] = (char)(0xf0 | c >> 18);
            s[1] = (char)(0x80 | (c >> 12 & 63));
            s[2] = (char)(0x80 | (c >> 6 & 63));
            s[3] = (char)(0x80 | (c & 63));
            n = 4;
        }
        if (text_is_utf8(s, n) == is_surrogate) {
            fail_msg("U+%04X", c);
        }
        if (n > 1 && !is_surrogate && text_utf8_incomplete_tail(s, n - 1) != n - 1) {
            fail_msg("U+%04X, cut", c);
        }
    }
}

static const struct {
    const char *text;
    size_t len;
    const char *json;
} json_rows[] = {
    {TEXT(""), "\"\""},
    {TEXT("plain"), "\"plain\""},
    {TEXT("\"\\/"), "\"\\\"\\\\/\""},
    {TEXT("\n\r\t"), "\"\\n\\r\\t\""},
    {TEXT("\0\b\f\x1b\x1f"), "\"\xef\xbf\xbd\\u0008\\u000c\\u001b\\u001f\""},
    {TEXT(" \x7f"), "\" \x7f\""},
    {TEXT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {TEXT("a\xff\xfe"
          "b"),
     "\"a\xef\xbf\xbd\xef\xbf\xbd"
     "b\""},
    {TEXT("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {TEXT("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {TEXT("12345678\""), "\"12345678\\\"\""},
    {TEXT("1234567\"12345678\\1234567"), "\"1234567\\\"12345678\\\\1234567\""},
    {TEXT("12345678\xc3\xa9"
          "12345678\n"),
     "\"12345678\xc3\xa9"
     "12345678\\n\""},
};

static void json_strings_are_escaped(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(json_rows); i++) {
        _cleanup_buffer_ Buffer b = {0};

        assert_int_equal(text_append_json(&b, json_rows[i].text, json_rows[i].len), 0);
        assert_string_equal(buffer_text(&b), json_rows[i].json);
        assert_int_equal(b.len, strlen(json_rows[i].json));
    }
}

/* Every byte at every place of the eight that are looked at together. */
static void every_byte_is_seen_at_every_place(void **state)
{
    for (int c = 0; c < 256; c++) {
        for (size_t place = 0; place < 17; place++) {
            _cleanup_buffer_ Buffer b = {0};
            bool is_plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
            char text[17];

            memset(text, 'x', sizeof(text));
            text[place] = (char)c;
            assert_int_equal(text_append_json(&b, text, sizeof(text)), 0);
            if ((b.len == sizeof(text) + 2) != is_plain) {
                fail_msg("byte %d at %zu: %s", c, place, buffer_text(&b));
            }
        }
    }
}

static void bytes_become_utf8(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *utf8;
    } rows[] = {
        {TEXT(""), ""},
        {TEXT("plain \xc3\xa9"), "plain \xc3\xa9"},
        {TEXT("a\0b"), "a\xef\xbf\xbd"
                       "b"},
        {TEXT("\0\0"), "\xef\xbf\xbd\xef\xbf\xbd"},
        {TEXT("\xff\xc3\xa9\xc3"), "\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd"},
        {TEXT("\xe2\x82\0"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    _cleanup_buffer_ Buffer small = BUFFER_INIT(5);

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buffer_ Buffer b = {0};

        assert_int_equal(text_append_utf8(&b, rows[i].text, rows[i].len), 0);
        assert_string_equal(buffer_text(&b), rows[i].utf8);
        assert_int_equal(b.len, strlen(rows[i].utf8));
    }
    assert_int_equal(buffer_append_text(&small, "old"), 0);
    assert_int_equal(text_append_utf8(&small, "\xff", 1), -ENOBUFS);
    assert_string_equal(buffer_text(&small), "old");
}

static void a_full_buffer_keeps_what_it_had(void **state)
{
    for (size_t limit = 3; limit < 3 + 26; limit++) {
        _cleanup_buffer_ Buffer b = BUFFER_INIT(limit);

        assert_int_equal(buffer_append_text(&b, "old"), 0);
        /* "ab\n\u001b" + a euro + U+FFFD: 19 bytes with the quotes */
        assert_int_equal(text_append_json(&b, "ab\n\x1b\xe2\x82\xac\xff", 8),
                         limit < 3 + 18 ? -ENOBUFS : 0);
        if (limit < 3 + 18) {
            assert_string_equal(buffer_text(&b), "old");
            assert_int_equal(b.len, 3);
        }
    }
}

static const struct {
    const char *bytes;
    size_t len;
    const char *base64;
} base64_rows[] = {
    {TEXT(""), ""}, /* RFC 4648 section 10 */
    {TEXT("f"), "Zg=="},
    {TEXT("fo"), "Zm8="},
    {TEXT("foo"), "Zm9v"},
    {TEXT("foob"), "Zm9vYg=="},
    {TEXT("fooba"), "Zm9vYmE="},
    {TEXT("foobar"), "Zm9vYmFy"},
    {TEXT("\0"), "AA=="},
    {TEXT("\xfb\xff\xbf"), "+/+/"},
    {TEXT("\xff\xff\xff"), "////"},
    {TEXT("\x00\x10\x83\x10\x51\x87\x20\x92\x8b"), "ABCDEFGHIJKL"},
};

static void base64_there_and_back(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(base64_rows); i++) {
        _cleanup_buffer_ Buffer text = {0}, bytes = {0};

        assert_int_equal(text_append_base64(&text, base64_rows[i].bytes, base64_rows[i].len), 0);
        assert_string_equal(buffer_text(&text), base64_rows[i].base64);
        assert_int_equal(
            text_decode_base64(&bytes, base64_rows[i].base64, strlen(base64_rows[i].base64)), 0);
        assert_int_equal(bytes.len, base64_rows[i].len);
        assert_memory_equal(buffer_text(&bytes), base64_rows[i].bytes, bytes.len);
    }
}

static void base64_of_every_byte_and_length(void **state)
{
    unsigned char bytes[512];

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(i * 167 + (i >> 8));
    }
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        _cleanup_buffer_ Buffer text = {0}, back = {0};

        assert_int_equal(text_append_base64(&text, bytes, n), 0);
        assert_int_equal(text.len, (n + 2) / 3 * 4);
        assert_int_equal(text_decode_base64(&back, text.data, text.len), 0);
        assert_int_equal(back.len, n);
        assert_memory_equal(buffer_text(&back), bytes, n);
    }
}

static void base64_is_strict(void **state)
{
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {
        {TEXT("Z")},        {TEXT("Zg")},           {TEXT("Zg=")},      {TEXT("Zm9vY")},
        {TEXT("====")},     {TEXT("Z===")},         {TEXT("=Zg=")},     {TEXT("Z=g=")},
        {TEXT("Zg==Zg==")}, {TEXT("Zm8=Zm9v")},     {TEXT("Zm9v====")}, {TEXT("Zm9\n")},
        {TEXT("Zm 9")},     {TEXT("Zm9v\n\n\n\n")}, {TEXT("Zm9-")},     {TEXT("Zm9_")},
        {TEXT("Zm9\0")},    {TEXT("Zm9\xff")},      {TEXT("Zh==")}, /* bits left over */
        {TEXT("Zm9=")},     {TEXT("Z/==")},         {TEXT("Zg=v")},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buffer_ Buffer b = {0};

        assert_int_equal(buffer_append_text(&b, "old"), 0);
        if (text_decode_base64(&b, rows[i].text, rows[i].len) != -EINVAL) {
            fail_msg("'%s' was taken", rows[i].text);
        }
        assert_string_equal(buffer_text(&b), "old");
        assert_int_equal(b.len, 3);
    }
}

/* Nothing but the 64 digits, at whatever place of however long a text. */
static void base64_refuses_every_other_byte_anywhere(void **state)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[64];

    for (size_t place = 0; place < sizeof(text) - 4; place++) {
        for (int c = 0; c < 256; c++) {
            bool is_digit = memchr(digits, c, sizeof(digits) - 1);
            _cleanup_buffer_ Buffer b = {0};

            memset(text, 'A', sizeof(text));
            text[place] = (char)c;
            assert_int_equal(text_decode_base64(&b, text, sizeof(text)), is_digit ? 0 : -EINVAL);
            assert_int_equal(b.len, is_digit ? sizeof(text) / 4 * 3 : 0);
        }
    }
}

static void base64_stops_exactly_at_the_limit(void **state)
{
    _cleanup_buffer_ Buffer bytes = BUFFER_INIT(4), text = BUFFER_INIT(8);

    assert_int_equal(text_decode_base64(&bytes, "Zm9vYg==", 8), 0);
    assert_string_equal(buffer_text(&bytes), "foob");
    assert_int_equal(text_decode_base64(&bytes, "Zg==", 4), -ENOBUFS);
    assert_string_equal(buffer_text(&bytes), "foob");
    assert_int_equal(text_append_base64(&text, "foobar", 6), 0);
    assert_int_equal(text_append_base64(&text, "f", 1), -ENOBUFS);
    assert_string_equal(buffer_text(&text), "Zm9vYmFy");
}

static void numbers_are_whole_and_within_bounds(void **state)
{
    static const struct {
        const char *text;
        int64_t min, max;
        int r;
        int64_t value;
    } rows[] = {
        {"0", 0, 9, 0, 0},
        {"-5", -9, 9, 0, -5},
        {"007", 0, 9, 0, 7},
        {"9223372036854775807", 0, INT64_MAX, 0, INT64_MAX},
        {"-9223372036854775808", INT64_MIN, 0, 0, INT64_MIN},
        {"9223372036854775808", INT64_MIN, INT64_MAX, -ERANGE, 0},
        {"-9223372036854775809", INT64_MIN, INT64_MAX, -ERANGE, 0},
        {"99999999999999999999999", INT64_MIN, INT64_MAX, -ERANGE, 0},
        {"10", 0, 9, -ERANGE, 0},
        {"-1", 0, 9, -ERANGE, 0},
        {NULL, 0, 9, -EINVAL, 0},
        {"", 0, 9, -EINVAL, 0},
        {"-", -9, 9, -EINVAL, 0},
        {"+1", 0, 9, -EINVAL, 0},
        {" 1", 0, 9, -EINVAL, 0},
        {"1 ", 0, 9, -EINVAL, 0},
        {"- 1", -9, 9, -EINVAL, 0},
        {"--1", -9, 9, -EINVAL, 0},
        {"1x", 0, 9, -EINVAL, 0},
        {"0x1", 0, 9, -EINVAL, 0},
        {"1.0", 0, 9, -EINVAL, 0},
        {"1e3", 0, 9999, -EINVAL, 0},
        {"99999999999999999999999x", 0, 9, -EINVAL, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t value = 42;

        assert_int_equal(text_parse_int(rows[i].text, rows[i].min, rows[i].max, &value), rows[i].r);
        assert_true(value == (rows[i].r == 0 ? rows[i].value : 42));
    }
}

static void identifiers_are_safe_file_names(void **state)
{
    char longest[TEXT_IDENTIFIER_MAX + 2];
    static const char *const good[] = {"a", "0", "_", "A.b-c_9", "a..b", "a-"};
    static const char *const bad[] = {"",    ".",   "..",   ".a",  "-",        "-a",  "a/b", "/",
                                      "a b", "a\n", "a\\b", "a:b", "\xc3\xa9", "a%b", "a\"", "*"};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(text_is_identifier(good[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_false(text_is_identifier(bad[i]));
    }
    memset(longest, 'x', sizeof(longest));
    longest[TEXT_IDENTIFIER_MAX] = '\0';
    assert_true(text_is_identifier(longest));
    longest[TEXT_IDENTIFIER_MAX] = 'x';
    longest[TEXT_IDENTIFIER_MAX + 1] = '\0';
    assert_false(text_is_identifier(longest));
}

static void prefixes(void **state)
{
    assert_true(text_has_prefix("unix:/x", "unix:"));
    assert_true(text_has_prefix("unix", ""));
    assert_true(text_has_prefix("unix", "unix"));
    assert_false(text_has_prefix("unix", "unix:"));
    assert_false(text_has_prefix("", "u"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_as_rfc_3629_says),
        cmocka_unit_test(every_code_point_is_utf8),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(every_byte_is_seen_at_every_place),
        cmocka_unit_test(bytes_become_utf8),
        cmocka_unit_test(a_full_buffer_keeps_what_it_had),
        cmocka_unit_test(base64_there_and_back),
        cmocka_unit_test(base64_of_every_byte_and_length),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(base64_refuses_every_other_byte_anywhere),
        cmocka_unit_test(base64_stops_exactly_at_the_limit),
        cmocka_unit_test(numbers_are_whole_and_within_bounds),
        cmocka_unit_test(identifiers_are_safe_file_names),
        cmocka_unit_test(prefixes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
