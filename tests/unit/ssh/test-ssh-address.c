/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/ssh-address.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void test_parts(void **state)
{
    static const struct {
        const char *text;
        const char *user, *host;
        uint16_t port;
        const char *path;
    } rows[] = {
        {"ssh://host", NULL, "host", 0, NULL},
        {"ssh://host/", NULL, "host", 0, NULL},
        {"ssh://me@host", "me", "host", 0, NULL},
        {"ssh://me@host:2222", "me", "host", 2222, NULL},
        {"ssh://a%40b@host", "a@b", "host", 0, NULL},
        {"ssh://a@b@host", "a@b", "host", 0, NULL},
        {"ssh://host:65535/var/lib/slipway", NULL, "host", 65535, "/var/lib/slipway"},
        {"ssh://host/with%20space", NULL, "host", 0, "/with space"},
        {"ssh://host/a@b:c", NULL, "host", 0, "/a@b:c"},
        {"ssh://[::1]", NULL, "::1", 0, NULL},
        {"ssh://me@[fe80::1%eth0]:22/x", "me", "fe80::1%eth0", 22, "/x"},
        {"ssh://web_1.example", NULL, "web_1.example", 0, NULL},
        {"ssh://host?agent=/a", NULL, "host", 0, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_ssh_address_ SshAddress a = {0};
        _cleanup_error_ Error err = {0};

        if (ssh_address_parse(rows[i].text, &a, &err) < 0) {
            fail_msg("%s", error_text(&err));
        }
        if (!is_same(a.user, rows[i].user) || !is_same(a.host, rows[i].host) ||
            a.port != rows[i].port || !is_same(a.path, rows[i].path)) {
            fail_msg("%s", rows[i].text);
        }
    }
}

static void test_members(void **state)
{
    _cleanup_ssh_address_ SshAddress a = {0};

    assert_int_equal(ssh_address_parse("ssh://h/s?agent=/opt/a%20b&config=&x=1=2&", &a, NULL), 0);
    assert_string_equal(ssh_address_get(&a, "agent"), "/opt/a b");
    assert_string_equal(ssh_address_get(&a, "config"), "");
    assert_string_equal(ssh_address_get(&a, "x"), "1=2");
    assert_null(ssh_address_get(&a, "y"));
}

static void test_what_is_refused(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } rows[] = {
        {"host", "ssh://[USER@]HOST"},
        {"ssh:host", "ssh://[USER@]HOST"},
        {"ssh://", "no host's name"},
        {"ssh://me@", "no host's name"},
        {"ssh://@host", "no user's name"},
        {"ssh://-oProxyCommand=x@host", "no user's name"},
        {"ssh://-oProxyCommand", "no host's name"},
        {"ssh://a b", "no host's name"},
        {"ssh://host:", "no port"},
        {"ssh://host:0", "no port"},
        {"ssh://host:65536", "no port"},
        {"ssh://host:22x", "no port"},
        {"ssh://host:123456789", "a port is a number"},
        {"ssh://::1", "no port"},
        {"ssh://[::1", "a '[' without its ']'"},
        {"ssh://[::1]22", "after ']'"},
        {"ssh://host/%zz", "two hexadecimal digits"},
        {"ssh://host/%4", "two hexadecimal digits"},
        {"ssh://host/%", "two hexadecimal digits"},
        {"ssh://host/%0a", "control character"},
        {"ssh://host/a\nb", "control character"},
        {"ssh://host/#x", "'#'"},
        {"ssh://host?agent", "name=value"},
        {"ssh://host?=x", "name=value"},
        {"ssh://host?a=1&a=2", "twice"},
        {"ssh://host?a=&b=&c=&d=&e=&f=&g=&h=&i=", "more than 8"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        SshAddress a = {.port = 7};
        _cleanup_error_ Error err = {0};

        assert_int_equal(ssh_address_parse(rows[i].text, &a, &err), -EINVAL);
        if (!strstr(error_text(&err), rows[i].words) || a.port != 7) {
            fail_msg("%s: %s", rows[i].text, error_text(&err));
        }
    }
}

static void test_a_password_is_not_repeated(void **state)
{
    _cleanup_error_ Error err = {0};
    SshAddress a = {0};

    assert_int_equal(ssh_address_parse("ssh://me:hunter2@host", &a, &err), -EINVAL);
    assert_null(strstr(error_text(&err), "hunter2"));
    assert_non_null(strstr(error_text(&err), "password"));
}

static void test_limit(void **state)
{
    _cleanup_ssh_address_ SshAddress a = {0};
    char text[SSH_ADDRESS_MAX + 2];

    memset(text, 'x', sizeof(text));
    memcpy(text, "ssh://h/", 8);
    text[SSH_ADDRESS_MAX] = '\0';
    assert_int_equal(ssh_address_parse(text, &a, NULL), 0);
    text[SSH_ADDRESS_MAX] = 'x';
    text[SSH_ADDRESS_MAX + 1] = '\0';
    assert_int_equal(ssh_address_parse(text, &(SshAddress){0}, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),           cmocka_unit_test(test_members),
        cmocka_unit_test(test_what_is_refused), cmocka_unit_test(test_a_password_is_not_repeated),
        cmocka_unit_test(test_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
