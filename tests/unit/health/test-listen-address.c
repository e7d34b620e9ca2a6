/* SPDX-License-Identifier: MIT */
#include "plugin/health/listen-address.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void expect_address(const char *text, const char *shown)
{
    char told[LISTEN_TEXT_SIZE], *colon;
    ListenAddress address;
    int fd;

    assert_int_equal(listen_address_parse(text, &address), 0);
    fd = listen_address_open(&address);
    if (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT) {
        return; /* a host without IPv6 */
    }
    assert_true(fd >= 0);
    (void)listen_address_tell(fd, told);
    colon = strrchr(told, ':');
    assert_non_null(colon);
    assert_true(strtol(colon + 1, NULL, 10) > 0);
    *colon = '\0';
    assert_string_equal(told, shown);
    (void)close(fd);
}

static void listens(void **state)
{
    expect_address("0", "127.0.0.1");
    expect_address("127.0.0.1:0", "127.0.0.1");
    expect_address("0.0.0.0:0", "0.0.0.0");
    expect_address("[::1]:0", "[::1]");
}

static void refuses_what_is_no_address(void **state)
{
    static const char *const texts[] = {"",           ":",      ":80",         "localhost:80",
                                        "127.0.0.1:", "::1:80", "[::1]",       "[127.0.0.1]:80",
                                        "1.2.3:80",   "65536",  "-1",          "+80",
                                        "80x",        "[]:80",  "1.2.3.4.5:80"};
    ListenAddress address;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (listen_address_parse(texts[i], &address) != -EINVAL) {
            fail_msg("'%s' was taken", texts[i]);
        }
    }
    assert_int_equal(listen_address_parse("65535", &address), 0);
}

static void says_when_it_is_taken(void **state)
{
    ListenAddress address;
    socklen_t n = sizeof(address);
    int fd;

    assert_int_equal(listen_address_parse("0", &address), 0);
    fd = listen_address_open(&address);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, &address.any, &n), 0);
    assert_int_equal(listen_address_open(&address), -EADDRINUSE);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listens),
        cmocka_unit_test(refuses_what_is_no_address),
        cmocka_unit_test(says_when_it_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
