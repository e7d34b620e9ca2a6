/* SPDX-License-Identifier: MIT */
/* The keys, hashes and fingerprints are what ssh-keygen made of them. */
#include "protocol/ssh/known-hosts.h"

#include "protocol/base/text.h"
#include "tests/unit/scratch.h"

#define ED "AAAAC3NzaC1lZDI1NTE5AAAAIGRSXXWdCvgybm8zTS0aNa6SOiulFvfIBet9Mwk0qvS6"
#define ED_OTHER "AAAAC3NzaC1lZDI1NTE5AAAAIP7xVTdDW69QxdBMU6oywxstESXktP1VjwIzQH625auR"
#define EC                                                                            \
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFvSUcszOpeH29Oha/Wbc+bJEJ/" \
    "WDwEaOe9szxUPaCNG3R0CbdKqNUksnJDsTNRUL00UHFuFG2gDAQjZfhRkYjs="
#define HASHED "|1|LSHgxIMAIC3mDH9TPyj7xK0nvOU=|7yx3v4wLd6X1DsWSD8EmWbf25nE=" /* host.example */
#define HASHED_PORT "|1|+Hao/MbmkYdHVihGSiowB3Q5DKM=|FznEga6YRRWjNgFum1Klcaidu8k=" /* … 2222 */

static KnownHostsAnswer check(const char *text, const char *host, uint16_t port, char *place)
{
    _cleanup_free_ char *name = known_hosts_format_host(host, port);
    _cleanup_buffer_ Buffer key = {0};
    KnownHostsCheck c = {.host = name, .key_type = "ssh-ed25519"};

    assert_int_equal(text_decode_base64(&key, ED, strlen(ED)), 0);
    c.key = key.data;
    c.key_len = key.len;
    assert_int_equal(known_hosts_check(&c, "file", text, strlen(text)), 0);
    if (place) {
        (void)strcpy(place, c.place);
    }
    return c.answer;
}

static void test_answers(void **state)
{
    static const struct {
        const char *text;
        const char *host;
        uint16_t port;
        KnownHostsAnswer answer;
        const char *place;
    } rows[] = {
        {"", "host", 22, KNOWN_HOSTS_UNKNOWN, ""},
        {"# host ssh-ed25519 " ED "\n", "host", 22, KNOWN_HOSTS_UNKNOWN, ""},
        {"host ssh-ed25519 " ED, "host", 22, KNOWN_HOSTS_TRUSTED, "file:1"},
        {"\n\nhost\tssh-ed25519   " ED " a comment\r\n", "HOST", 22, KNOWN_HOSTS_TRUSTED, "file:3"},
        {"a,host,b ssh-ed25519 " ED "\n", "host", 22, KNOWN_HOSTS_TRUSTED, "file:1"},
        {"*.example,!bad.example ssh-ed25519 " ED "\n", "bad.example", 22, KNOWN_HOSTS_UNKNOWN, ""},
        {"*.example,!bad.example ssh-ed25519 " ED "\n", "ok.example", 22, KNOWN_HOSTS_TRUSTED,
         "file:1"},
        {"host ssh-ed25519 " ED "\n", "host", 2222, KNOWN_HOSTS_UNKNOWN, ""},
        {"[host]:2222 ssh-ed25519 " ED "\n", "host", 2222, KNOWN_HOSTS_TRUSTED, "file:1"},
        {"[host]:2222 ssh-ed25519 " ED "\n", "host", 22, KNOWN_HOSTS_UNKNOWN, ""},
        {"[::1]:2222 ssh-ed25519 " ED "\n", "::1", 2222, KNOWN_HOSTS_TRUSTED, "file:1"},
        {HASHED " ssh-ed25519 " ED "\n", "host.example", 22, KNOWN_HOSTS_TRUSTED, "file:1"},
        {HASHED " ssh-ed25519 " ED "\n", "host.exampl", 22, KNOWN_HOSTS_UNKNOWN, ""},
        {HASHED_PORT " ecdsa-sha2-nistp256 " EC "\n", "host.example", 2222, KNOWN_HOSTS_OTHER,
         "file:1"},
        {"|1|x|y ssh-ed25519 " ED "\n", "host", 22, KNOWN_HOSTS_UNKNOWN, ""},
        {"|1|| ssh-ed25519 " ED "\n", "host", 22, KNOWN_HOSTS_UNKNOWN, ""},
        {"host ssh-ed25519 " ED_OTHER "\n", "host", 22, KNOWN_HOSTS_CHANGED, "file:1"},
        {"host ssh-ed25519 " ED_OTHER "\nhost ssh-ed25519 " ED "\n", "host", 22,
         KNOWN_HOSTS_TRUSTED, "file:2"},
        {"host ecdsa-sha2-nistp256 " EC "\n", "host", 22, KNOWN_HOSTS_OTHER, "file:1"},
        {"host ecdsa-sha2-nistp256 " EC "\nhost ssh-ed25519 " ED "\n", "host", 22,
         KNOWN_HOSTS_TRUSTED, "file:2"},
        {"host ssh-ed25519 " ED "\n@revoked * ssh-ed25519 " ED "\n", "host", 22,
         KNOWN_HOSTS_REVOKED, "file:2"},
        {"host ssh-ed25519 " ED "\n@revoked * ssh-ed25519 " ED_OTHER "\n", "host", 22,
         KNOWN_HOSTS_TRUSTED, "file:1"},
        {"@cert-authority * ssh-ed25519 " ED "\n", "host", 22, KNOWN_HOSTS_AUTHORITY, "file:1"},
        {"@something host ssh-ed25519 " ED "\n", "host", 22, KNOWN_HOSTS_UNKNOWN, ""},
        {"host ssh-ed25519 not-base64\n", "host", 22, KNOWN_HOSTS_UNKNOWN, ""},
        {"host ssh-ed25519\nhost\n", "host", 22, KNOWN_HOSTS_UNKNOWN, ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char place[512];
        KnownHostsAnswer answer = check(rows[i].text, rows[i].host, rows[i].port, place);

        if (answer != rows[i].answer || strcmp(place, rows[i].place) != 0) {
            fail_msg("row %zu: %d at '%s'", i, answer, place);
        }
    }
}

static void test_a_line_without_end_is_passed_over(void **state)
{
    _cleanup_buffer_ Buffer text = {0};

    assert_int_equal(buffer_append_text(&text, "host"), 0);
    for (int i = 0; i < 70000; i++) {
        assert_int_equal(buffer_append_text(&text, ","), 0);
    }
    assert_int_equal(buffer_append_text(&text, " ssh-ed25519 " ED "\n"), 0);
    assert_int_equal(check(buffer_text(&text), "host", 22, NULL), KNOWN_HOSTS_UNKNOWN);
    assert_int_equal(buffer_append_text(&text, "host ssh-ed25519 " ED "\n"), 0);
    assert_int_equal(check(buffer_text(&text), "host", 22, NULL), KNOWN_HOSTS_TRUSTED);
}

static void test_types(void **state)
{
    static const char *const types[] = {"ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"};
    static const char text[] = "host ssh-ed25519 " ED "\nother ssh-rsa AAAA\n"
                               "h*,!host ecdsa-sha2-nistp256 " EC "\n"
                               "@cert-authority host ssh-rsa AAAA\n";
    unsigned found;

    assert_int_equal(known_hosts_find_types("host", text, strlen(text), types, 3, &found), 0);
    assert_int_equal(found, 1);
    assert_int_equal(known_hosts_find_types("hut", text, strlen(text), types, 3, &found), 0);
    assert_int_equal(found, 2);
}

static void test_files(void **state)
{
    KnownHostsCheck c = {.host = "host", .key_type = "ssh-ed25519", .key = "x", .key_len = 1};
    _cleanup_error_ Error err = {0};
    char path[128];

    assert_int_equal(known_hosts_check_file(&c, "/nowhere/known_hosts", &err), 0);
    assert_int_equal(known_hosts_check_file(&c, "/dev/null", &err), 0);
    /* A directory is no file that is not there. */
    assert_true(known_hosts_check_file(&c, SCRATCH_PATH, &err) < 0);
    (void)snprintf(path, sizeof(path), "%s/kh", SCRATCH_PATH);
    scratch_write_text(SCRATCH_FD, "kh", "host ssh-ed25519 " ED "\n");
    assert_int_equal(known_hosts_check_file(&c, path, NULL), 0);
    assert_int_equal(c.answer, KNOWN_HOSTS_CHANGED);
    assert_true(text_has_prefix(c.place, path));
}

static void test_fingerprint(void **state)
{
    _cleanup_buffer_ Buffer key = {0};
    _cleanup_free_ char *text = NULL;

    assert_int_equal(text_decode_base64(&key, ED, strlen(ED)), 0);
    text = known_hosts_fingerprint(key.data, key.len);
    assert_string_equal(text, "SHA256:g910c7D2h6gVGS8Gqv6oV8McIaEYb5bO+PfCqd1oEgI");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_a_line_without_end_is_passed_over),
        cmocka_unit_test(test_types),
        scratch_test(test_files),
        cmocka_unit_test(test_fingerprint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
