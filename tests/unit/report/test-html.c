/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/html.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>
#include <string.h>

static void expect(const char *text, const char *expected)
{
    char *got = NULL;
    size_t n;
    FILE *out = open_memstream(&got, &n);

    assert_non_null(out);
    html_text(out, text);
    html_format(out, "|%s|%d", text, 7);
    assert_int_equal(fclose(out), 0);
    assert_true(strlen(got) == n && strlen(expected) * 2 + 3 == n);
    assert_memory_equal(got, expected, strlen(expected));
    assert_memory_equal(got + strlen(expected) + 1, expected, strlen(expected));
    assert_string_equal(got + n - 2, "|7");
    free(got);
}

static void text_stays_text(void **state)
{
    expect("", "");
    expect("plain · text ✓", "plain · text ✓");
    expect("<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;");
    expect("\" onload=\"x", "&quot; onload=&quot;x");
    expect("&amp; &lt;", "&amp;amp; &amp;lt;");
    expect("a\nb\tc\033[31m\x7f", "abc[31m");
    expect("]]><!--", "]]&gt;&lt;!--");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(text_stays_text)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
