/* SPDX-License-Identifier: MIT */
#include "agent/release/host-key.h"

#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/slipway-test-host-key-XXXXXX";
static char keys[sizeof(directory) + 8];

static int set_up(void **state)
{
    if (!mkdtemp(directory)) {
        return -1;
    }
    (void)snprintf(keys, sizeof(keys), "%s/keys", directory);
    return 0;
}

static int tear_down(void **state)
{
    return file_remove_tree(AT_FDCWD, directory, NULL);
}

static int forget(void **state)
{
    return file_remove_tree(AT_FDCWD, keys, NULL);
}

static void test_it_is_made_once_and_for_its_owner_alone(void **state)
{
    _cleanup_(key_freep) Key *first = NULL, *second = NULL, *third = NULL, *public = NULL;
    char path[sizeof(keys) + 16];
    struct stat st;

    assert_int_equal(host_key_open(keys, &first, NULL), 0);
    assert_int_equal(host_key_open(keys, &second, NULL), 0);
    assert_string_equal(key_id(first), key_id(second));
    assert_int_equal(stat(keys, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    (void)snprintf(path, sizeof(path), "%s/" HOST_KEY_FILE, keys);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    (void)snprintf(path, sizeof(path), "%s/" HOST_KEY_PUBLIC_FILE, keys);
    assert_int_equal(unlink(path), 0); /* comes back */
    assert_int_equal(host_key_open(keys, &third, NULL), 0);
    assert_int_equal(key_read_public(AT_FDCWD, path, &public, NULL), 0);
    assert_string_equal(key_id(public), key_id(first));
}

static void test_all_that_come_at_once_get_the_same(void **state)
{
    _cleanup_(key_freep) Key *key = NULL;
    char ids[4][KEY_ID_SIZE] = {{0}};
    int pipes[4][2];

    for (int i = 0; i < 4; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        if (fork() == 0) {
            Key *found = NULL;
            bool is_good = host_key_open(keys, &found, NULL) == 0 &&
                           write(pipes[i][1], key_id(found), KEY_ID_SIZE) == KEY_ID_SIZE;

            _exit(!is_good);
        }
        (void)close(pipes[i][1]);
    }
    for (int i = 0; i < 4; i++) {
        int status;

        assert_int_equal(read(pipes[i][0], ids[i], KEY_ID_SIZE), KEY_ID_SIZE);
        (void)close(pipes[i][0]);
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(host_key_open(keys, &key, NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(ids[i], key_id(key));
    }
}

static void test_an_interrupted_beginning_is_begun_anew(void **state)
{
    _cleanup_(key_freep) Key *key = NULL;
    char path[sizeof(keys) + 32];

    assert_int_equal(mkdir(keys, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/agent.key.new", keys);
    assert_int_equal(file_replace(AT_FDCWD, path, "half", 4, 0600, NULL), 0);
    assert_int_equal(host_key_open(keys, &key, NULL), 0);
}

static void test_a_key_that_others_may_read_is_not_used(void **state)
{
    _cleanup_(key_freep) Key *key = NULL, *again = NULL;
    _cleanup_error_ Error err = {0};
    char path[sizeof(keys) + 16];

    assert_int_equal(host_key_open(keys, &key, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/" HOST_KEY_FILE, keys);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(host_key_open(keys, &again, &err), -EPERM);
    assert_non_null(strstr(error_text(&err), "the key of this host"));
}

static void test_a_host_believes_itself_and_whom_it_was_told(void **state)
{
    _cleanup_(key_freep) Key *other = NULL;
    _cleanup_json_ Json *told = json_new_object();
    _cleanup_buffer_ Buffer pem = {0};
    _cleanup_trust_ Trust trust = {0};
    Json *entry = json_new_object(), *roles = json_new_array();

    assert_int_equal(key_generate(&other, NULL), 0);
    assert_int_equal(key_format_public(other, &pem, NULL), 0);
    assert_int_equal(json_set_string(entry, "publicKey", pem.data), 0);
    assert_int_equal(json_append_string(roles, "approver"), 0);
    assert_int_equal(json_set_take(entry, "roles", roles), 0);
    assert_int_equal(json_set_take(told, "controller", entry), 0);
    assert_int_equal(host_key_trust(keys, "one", told, &trust, NULL), 0);
    assert_int_equal(trust.count, 2);
    assert_string_equal(trust.keys[0].name, "controller");
    assert_int_equal(trust.keys[0].roles, KEY_ROLE_APPROVER);
    assert_string_equal(trust.keys[1].name, "one");
    assert_int_equal(trust.keys[1].roles, HOST_KEY_ROLES);
    assert_false(trust.keys[1].roles & KEY_ROLE_APPROVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_it_is_made_once_and_for_its_owner_alone, forget),
        cmocka_unit_test_setup(test_all_that_come_at_once_get_the_same, forget),
        cmocka_unit_test_setup(test_an_interrupted_beginning_is_begun_anew, forget),
        cmocka_unit_test_setup(test_a_key_that_others_may_read_is_not_used, forget),
        cmocka_unit_test_setup(test_a_host_believes_itself_and_whom_it_was_told, forget),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
