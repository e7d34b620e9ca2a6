/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/challenge.h"

#include "protocol/base/buffer.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

/* "scheme realm|service|scope|error" of each, and what came at the end. */
static int read_all(const char *header, Buffer *text)
{
    for (;;) {
        _cleanup_challenge_ Challenge c = {0};
        int r = challenge_next(&header, &c);

        if (r <= 0) {
            return r;
        }
        assert_int_equal(buffer_append_format(text, "%s %s|%s|%s|%s;", c.scheme,
                                              c.realm ? c.realm : "", c.service ? c.service : "",
                                              c.scope ? c.scope : "", c.error ? c.error : ""),
                         0);
    }
}

static void headers(void **state)
{
    static const struct {
        const char *header, *read;
        int end;
    } cases[] = {
        {"", "", 0},
        {" , ,", "", 0},
        {"Basic", "Basic |||;", 0},
        {"Basic realm=\"r\"", "Basic r|||;", 0},
        {"Basic realm = token", "Basic token|||;", 0},
        {"Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull,push\"",
         "Bearer https://a/t|s|repository:a/b:pull,push|;", 0},
        {"Bearer realm=\"r\", SCOPE=\"a b\" , error=\"insufficient_scope\", new=\"x\"",
         "Bearer r||a b|insufficient_scope;", 0},
        {"Negotiate, Basic realm=\"a, b\", Bearer realm=\"q\\\"uo\\\\te\"",
         "Negotiate |||;Basic a, b|||;Bearer q\"uo\\te|||;", 0},
        {"NTLM TlRMTVNTUAAB==, Basic realm=\"r\"", "NTLM |||;Basic r|||;", 0},
        {"Bearer realm=\"first\",realm=\"second\"", "Bearer second|||;", 0},
        {"Bearer realm=\"open", "", -EINVAL},
        {"Bearer realm=\"a\\", "", -EINVAL},
        {"Bearer realm=", "Bearer |||;", 0},
        {"Bearer realm=\"a\"junk", "", -EINVAL},
        {"Basic realm=\"a\", \"stray\"", "Basic a|||;", -EINVAL},
        {"=odd", "", -EINVAL},
        {"Bear\"er", "", -EINVAL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
        int r = read_all(cases[i].header, &text);

        if (r != cases[i].end || strcmp(buffer_text(&text), cases[i].read) != 0) {
            fail_msg("'%s': %d '%s'", cases[i].header, r, buffer_text(&text));
        }
    }
}

static void a_value_has_a_limit(void **state)
{
    for (size_t n = 8 << 10; n <= (8 << 10) + 1; n++) {
        _cleanup_free_ char *header = malloc(n + 16);
        _cleanup_challenge_ Challenge challenge = {0};
        const char *position = header;

        (void)strcpy(header, "Bearer realm=\"");
        memset(header + 14, 'r', n);
        (void)strcpy(header + 14 + n, "\"");
        assert_int_equal(challenge_next(&position, &challenge), n == 8 << 10 ? 1 : -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),
        cmocka_unit_test(a_value_has_a_limit),
    };

    return cmocka_run_group_tests_name("challenge", tests, NULL, NULL);
}
