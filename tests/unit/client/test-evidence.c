/* SPDX-License-Identifier: MIT */
#include "plugin/include/slipway.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define COMMIT "d20ace7968ba43c0219f62d71334c1095bab1602"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static char directory[] = "/tmp/slipway-test-evidence-XXXXXX";
static char path[sizeof(directory) + 32];

static const char *in(const char *name)
{
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static int set_up(void **state)
{
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"key", "key.pub", "log"};

    for (size_t i = 0; i < 3; i++) {
        (void)unlink(in(names[i]));
    }
    return rmdir(directory);
}

static char *read_text(const char *name)
{
    FILE *file = fopen(in(name), "re");
    char *text = calloc(1, 4096);

    assert_non_null(file);
    assert_true(fread(text, 1, 4095, file) > 0);
    (void)fclose(file);
    return text;
}

static void a_key_is_made_and_never_written_over(void **state)
{
    char *id = NULL, *error = NULL;
    struct stat st;

    assert_int_equal(slipway_key_generate(in("key"), &id, &error), 0);
    assert_int_equal(strlen(id), 64);
    assert_int_equal(stat(in("key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(slipway_key_generate(in("key"), NULL, &error), -EEXIST);
    assert_non_null(strstr(error, "key"));
    free(error);
    free(id);
}

/* The key of RFC 8410 section 10.1, and what `openssl pkey -pubin -outform DER | sha256sum` says of
 * it. */
static void a_key_has_an_id(void **state)
{
    static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
                              "-----END PUBLIC KEY-----\n";
    static const char *const wrong[] = {"", "x", "-----BEGIN PUBLIC KEY-----\n",
                                        "-----BEGIN PUBLIC KEY-----\nMCow\n"
                                        "-----END PUBLIC KEY-----\n"};
    char *id = NULL, *text, *public_id = NULL, *made_id = NULL;

    assert_int_equal(slipway_key_id(pem, &id, NULL), 0);
    assert_string_equal(id, "a1e9156054e04fac899ae9f275132cdc07a5dbc4ea2c2ad3a1ffc6e0d253681f");
    free(id);
    id = NULL;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char *error = NULL;

        assert_int_equal(slipway_key_id(wrong[i], &id, &error), -EINVAL);
        assert_null(id);
        assert_true(error && *error);
        free(error);
    }
    (void)unlink(in("key"));
    assert_int_equal(slipway_key_generate(in("key"), &made_id, NULL), 0);
    text = read_text("key.pub");
    assert_int_equal(slipway_key_id(text, &public_id, NULL), 0);
    assert_string_equal(public_id, made_id);
    free(text);
    free(public_id);
    free(made_id);
}

static void a_private_key_is_checked_before_it_is_used(void **state)
{
    char *id = NULL, *public_id = NULL, *text = read_text("key.pub"), *error = NULL;

    assert_int_equal(slipway_key_id(text, &public_id, NULL), 0);
    assert_int_equal(slipway_key_check(in("key"), &id, &error), 0);
    assert_string_equal(id, public_id);
    assert_int_equal(slipway_key_check(in("key"), NULL, NULL), 0);
    assert_int_equal(slipway_key_check(in("key.pub"), NULL, &error), -EPERM); /* others read it */
    free(error);
    assert_int_equal(chmod(in("key.pub"), 0600), 0);
    assert_int_equal(slipway_key_check(in("key.pub"), NULL, &error), -EINVAL);
    assert_non_null(strstr(error, "key.pub"));
    free(error);
    assert_int_equal(chmod(in("key"), 0604), 0);
    assert_int_equal(slipway_key_check(in("key"), NULL, &error), -EPERM);
    assert_non_null(strstr(error, "0604"));
    free(error);
    assert_int_equal(chmod(in("key"), 0600), 0);
    assert_int_equal(slipway_key_check(in("none"), NULL, &error), -ENOENT);
    free(error);
    free(text);
    free(public_id);
    free(id);
}

static SlipwayJson *approval(void)
{
    SlipwayJson *predicate = slipway_json_new_object();

    assert_int_equal(slipway_json_set_string(predicate, "/approver/name", "Ada"), 0);
    assert_int_equal(slipway_json_set_string(predicate, "/environment", "prod"), 0);
    assert_int_equal(slipway_json_set_string(predicate, "/commit", COMMIT), 0);
    assert_int_equal(slipway_json_set_string(predicate, "/expiresOn", "2099-01-01T00:00:00Z"), 0);
    return predicate;
}

static SlipwayJson *believed(const char *role)
{
    SlipwayJson *keys = slipway_json_new_object(), *roles = slipway_json_new_array();
    char *pem = read_text("key.pub");

    assert_int_equal(slipway_json_set_string(roles, "/-", role), 0);
    assert_int_equal(slipway_json_set_string(keys, "/ci/publicKey", pem), 0);
    assert_int_equal(slipway_json_set(keys, "/ci/roles", roles), 0);
    (void)slipway_json_unref(roles);
    free(pem);
    return keys;
}

/* Reads the bundle `line` with keys that have `role` (NULL: none); returns its `trust`. */
static void check_trust(const char *line, const char *role, const char *wanted)
{
    SlipwayJson *keys = role ? believed(role) : NULL, *entries = NULL;
    char *error = NULL;

    assert_int_equal(slipway_bundle_read(line, strlen(line), keys, &entries, &error), 0);
    assert_int_equal(slipway_json_get_count(entries, ""), 1);
    assert_string_equal(slipway_json_get_string(entries, "/0/trust", ""), wanted);
    assert_string_equal(slipway_json_get_string(entries, "/0/kind", ""), "approval");
    assert_string_equal(
        slipway_json_get_string(entries, "/0/statement/predicate/approver/name", ""), "Ada");
    (void)slipway_json_unref(entries);
    (void)slipway_json_unref(keys);
}

static void an_approval_is_signed_and_believed_by_its_role(void **state)
{
    SlipwayJson *predicate = approval();
    char *line = NULL, *second = NULL, *error = NULL;

    assert_int_equal(
        slipway_approval_sign(in("key"), "sha256:" HEX, "greeter", predicate, &line, &error), 0);
    assert_null(strchr(line, '\n'));
    check_trust(line, "approver", "trusted");
    check_trust(line, "tester", "wrong_role");
    check_trust(line, NULL, "untrusted");
    /* Each has a nonce of its own. */
    assert_int_equal(
        slipway_approval_sign(in("key"), "sha256:" HEX, "greeter", predicate, &second, &error), 0);
    assert_string_not_equal(line, second);
    free(line);
    free(second);
    (void)slipway_json_unref(predicate);
}

static void what_cannot_be_signed_is_named(void **state)
{
    SlipwayJson *predicate = approval(), *empty = slipway_json_new_object();
    char *line = NULL, *error = NULL;

    assert_int_equal(slipway_approval_sign(in("key"), HEX, NULL, predicate, &line, &error),
                     -EINVAL);
    assert_non_null(strstr(error, "sha256:"));
    free(error);
    assert_int_equal(slipway_approval_sign(in("key"), "sha256:" HEX, NULL, empty, &line, &error),
                     -EINVAL);
    assert_non_null(strstr(error, "\"approver\" is missing"));
    free(error);
    assert_true(slipway_approval_sign(in("none"), "sha256:" HEX, NULL, predicate, &line, &error) <
                0);
    assert_non_null(strstr(error, "none"));
    free(error);
    assert_null(line);
    (void)slipway_json_unref(predicate);
    (void)slipway_json_unref(empty);
}

static void a_broken_bundle_is_told_by_line(void **state)
{
    SlipwayJson *entries = NULL;
    char *error = NULL;

    assert_int_equal(slipway_bundle_read("{}\n", 3, NULL, &entries, &error), -EINVAL);
    assert_non_null(strstr(error, "line 1"));
    assert_null(entries);
    free(error);
}

static void write_log(const char *text)
{
    FILE *file = fopen(in("log"), "we");

    assert_true(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static int count(const SlipwayJson *record, void *userdata)
{
    return ++*(int *)userdata == 7 ? 5 : 0;
}

static void an_audit_log_is_checked(void **state)
{
    static const char first[] = "{\"seq\":1,\"time\":\"2026-11-25T10:00:00Z\",\"previous\":\"" ZEROS
                                "\",\"event\":\"requested\"}";
    SlipwayJson *head = NULL, *heads = slipway_json_new_array();
    char *error = NULL, *sha256 = slipway_sha256(first, strlen(first)), *text = NULL;
    int seen = 0;

    assert_true(asprintf(&text,
                         "%s\n{\"seq\":2,\"time\":\"2026-11-25T10:00:01Z\",\"previous\":\"%s\","
                         "\"event\":\"decided\"}\n{\"se",
                         first, sha256) > 0);
    write_log(text);
    assert_int_equal(slipway_audit_check(in("log"), NULL, count, &seen, &head, &error), 0);
    assert_int_equal(seen, 2);
    assert_int_equal(slipway_json_get_int(head, "/seq", 0), 2);
    assert_true(slipway_json_get_bool(head, "/isTorn", false));
    (void)slipway_json_unref(head);

    seen = 6; /* the callback's answer ends the walk */
    assert_int_equal(slipway_audit_check(in("log"), NULL, count, &seen, NULL, &error), 5);

    assert_int_equal(slipway_json_set_int(heads, "/-", 0), 0);
    assert_int_equal(slipway_audit_check(in("log"), heads, NULL, NULL, NULL, &error), -EINVAL);
    free(error);
    (void)slipway_json_unref(heads);

    strstr(text, "requested")[0] = 'R';
    write_log(text);
    assert_int_equal(slipway_audit_check(in("log"), NULL, NULL, NULL, NULL, &error), -EBADMSG);
    assert_non_null(strstr(error, "record 1 was changed"));
    free(error);
    free(sha256);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_made_and_never_written_over),
        cmocka_unit_test(a_key_has_an_id),
        cmocka_unit_test(a_private_key_is_checked_before_it_is_used),
        cmocka_unit_test(an_approval_is_signed_and_believed_by_its_role),
        cmocka_unit_test(what_cannot_be_signed_is_named),
        cmocka_unit_test(a_broken_bundle_is_told_by_line),
        cmocka_unit_test(an_audit_log_is_checked),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
