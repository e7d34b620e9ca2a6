/* SPDX-License-Identifier: MIT */
#include "agent/junit/junit-text.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define BAD "\xef\xbf\xbd"

/* Fed in pieces of every size: where it is cut makes no difference. */
static void expect_n(const char *text, size_t n, const char *wanted)
{
    for (size_t piece = 1; piece <= n; piece++) {
        _cleanup_(junit_text_done) JunitText filter = {0};
        _cleanup_buffer_ Buffer out = BUFFER_INIT(0);

        for (size_t at = 0; at < n; at += piece) {
            assert_int_equal(junit_text_feed(&filter, text + at, MIN(piece, n - at), false, &out),
                             0);
        }
        assert_int_equal(junit_text_feed(&filter, "", 0, true, &out), 0);
        assert_string_equal(buffer_text(&out), wanted);
        assert_true(text_is_utf8(buffer_text(&out), out.len));
    }
}

static void expect(const char *text, const char *wanted)
{
    expect_n(text, strlen(text), wanted);
}

static void test_good_text_is_left_alone(void **state)
{
    expect("", "");
    expect("<a b=\"c\">&lt;&#10;&#x20AC;&amp;</a>\r\n\t",
           "<a b=\"c\">&lt;&#10;&#x20AC;&amp;</a>\r\n\t");
    expect("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
           "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    expect("\xef\xbb\xbf<a/>", "<a/>");
}

static void test_bytes(void **state)
{
    expect("a\x1b[1mb", "a" BAD "[1mb");
    expect("a\xff\xc3z\x80", "a" BAD BAD "z" BAD);
    expect("\xed\xa0\x80", BAD BAD BAD); /* a surrogate */
    expect("\xef\xbf\xbf", BAD);         /* U+FFFF: no character of XML */
    expect("cut \xe2\x82", "cut " BAD BAD);
    expect_n("ab\0c", 4, "ab" BAD "c");
}

static void test_references(void **state)
{
    expect("&#27;&#x1b;&#0;&#xFFFF;&#xd800;&#99999999999999999999;", BAD BAD BAD BAD BAD BAD);
    expect("a & b && &nbsp; &; &#; &#x; &#12",
           "a &amp; b &amp;&amp; &amp;nbsp; &amp;; &amp;#; &amp;#x; &amp;#12");
    expect("&#x2g;&#1a;", "&amp;#x2g;&amp;#1a;");
    expect("&", "&amp;");
}

static void test_cdata(void **state)
{
    expect("<![CDATA[a && b \x01 ]] ]]>&<![CDATA[&]]>",
           "<![CDATA[a && b " BAD " ]] ]]>&amp;<![CDATA[&]]>");
    expect("<![CDAT[&]]>&", "<![CDAT[&amp;]]>&amp;");
}

static void test_latin1(void **state)
{
    expect("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xfc\xff</a>",
           "<?xml version='1.0' encoding='ISO-8859-1'?><a>\xc3\xbc\xc3\xbf</a>");
    expect("<?xml version=\"1.0\" encoding = \"Windows-1252\" ?>\xe9",
           "<?xml version=\"1.0\" encoding = \"Windows-1252\" ?>\xc3\xa9");
    expect("<?xml version='1.0' encoding='UTF-8'?>\xfc",
           "<?xml version='1.0' encoding='UTF-8'?>" BAD);
    expect("<?xml encoding=latin1?>\xfc", "<?xml encoding=latin1?>" BAD);
    expect("<!-- encoding='latin1'?> -->\xfc", "<!-- encoding='latin1'?> -->" BAD);
}

static void test_other_encodings(void **state)
{
    static const char *const texts[] = {"\xff\xfe<\0", "\xfe\xff\0<", "<\0a\0"};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_(junit_text_done) JunitText filter = {0};
        _cleanup_buffer_ Buffer out = BUFFER_INIT(0);

        assert_int_equal(junit_text_feed(&filter, texts[i], 4, true, &out), -EINVAL);
    }
}

/* However much goes through, little is held. */
static void test_memory(void **state)
{
    static const char line[] = "0123456789 & 0123456789 <![CDATA[ x ]]>\n";
    _cleanup_(junit_text_done) JunitText filter = {0};
    _cleanup_buffer_ Buffer out = BUFFER_INIT(0);

    for (int i = 0; i < 10000; i++) {
        buffer_clear(&out);
        assert_int_equal(junit_text_feed(&filter, line, sizeof(line) - 1, false, &out), 0);
    }
    assert_true(filter.pending.allocated < 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_text_is_left_alone),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_cdata),
        cmocka_unit_test(test_latin1),
        cmocka_unit_test(test_other_encodings),
        cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
