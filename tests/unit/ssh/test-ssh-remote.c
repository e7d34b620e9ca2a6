/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/ssh/ssh-remote.h"

#include "agent/deploy/engine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static void a_status_is_read(void **state)
{
    _cleanup_ssh_remote_status_ SshRemoteStatus status = {0};

    assert_int_equal(ssh_remote_status_parse("now 1700000000\n"
                                             "lock d-2:1700000060:agent1\n"
                                             "current d-1\n"
                                             "currentSpecification {\"id\":\"a\"}\n"
                                             "state failed 1699999990 0 it is ill\n"
                                             "accepted yes\n"
                                             "before d-1\n"
                                             "verdict failed web1: it is ill\n"
                                             "tail yes\n"
                                             "specification {\"id\":\"b\"}\n",
                                             &status, NULL),
                     0);
    assert_int_equal(status.now, 1700000000);
    assert_string_equal(status.lock_owner, "d-2");
    assert_true(ssh_remote_is_locked(&status));
    assert_string_equal(status.current, "d-1");
    assert_string_equal(json_get_string(status.current_specification, "id"), "a");
    assert_int_equal(status.state, SSH_STATE_FAILED);
    assert_int_equal(status.since, 1699999990);
    assert_string_equal(status.text, "it is ill");
    assert_true(status.is_accepted && status.has_before && status.has_tail);
    assert_string_equal(status.before, "d-1");
    assert_string_equal(status.verdict, "failed");
    assert_string_equal(status.verdict_text, "web1: it is ill");
    assert_string_equal(json_get_string(status.specification, "id"), "b");
}

static void little_is_enough(void **state)
{
    _cleanup_ssh_remote_status_ SshRemoteStatus status = {0};

    assert_int_equal(ssh_remote_status_parse("now 5\nlock \nbefore \nspecification \n"
                                             "state switching-dead 3 77",
                                             &status, NULL),
                     0);
    assert_null(status.lock_owner);
    assert_false(ssh_remote_is_locked(&status));
    assert_null(status.current);
    assert_true(status.has_before);
    assert_null(status.before);
    assert_null(status.specification);
    assert_int_equal(status.state, SSH_STATE_SWITCHING_DEAD);
    assert_string_equal(status.text, "");
}

static void a_lock_ends(void **state)
{
    _cleanup_ssh_remote_status_ SshRemoteStatus status = {0};

    assert_int_equal(ssh_remote_status_parse("now 60\nlock d:60:a\n", &status, NULL), 0);
    assert_string_equal(status.lock_owner, "d");
    assert_false(ssh_remote_is_locked(&status));
}

static void what_is_not_understood_is_told(void **state)
{
    static const char *const texts[] = {
        "",
        "lock d:9:a\n",
        "now soon\n",
        "now -1\n",
        "now 5\nwelcome to web1\n",
        "now 5\nlock d\n",
        "now 5\nlock d:x:a\n",
        "now 5\nlock ../d:9:a\n",
        "now 5\ncurrent ../../etc\n",
        "now 5\nbefore -x\n",
        "now 5\nstate asleep 1 2\n",
        "now 5\nspecification {\n",
        "now 5\nspecification []\n",
        "now 5\ncurrent a\xff\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_error_ Error err = {0};
        SshRemoteStatus status = {0};

        assert_int_equal(ssh_remote_status_parse(texts[i], &status, &err), -EBADMSG);
        assert_non_null(strstr(error_text(&err), "is not understood"));
        assert_null(status.current);
    }
}

/* An ssh_config that says nothing; the user's own is none of a test's business. */
static const char *no_config(void)
{
    static char path[64];

    if (!*path) {
        int fd = memfd_create("ssh_config", MFD_CLOEXEC);

        assert_true(fd >= 0);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    return path;
}

static void a_host_has_one_name(void **state)
{
    static const char *const wrong[] = {"", "-oProxyCommand=x", "http://web1", "ssh://web1/path",
                                        "web1?a=b"};
    SshRemote remote = {0};

    assert_int_equal(ssh_remote_init("deploy@web1:2222", no_config(), &remote, NULL), 0);
    assert_string_equal(remote.name, "deploy@web1:2222");
    assert_string_equal(remote.host, "web1");
    assert_string_equal(remote.address.user, "deploy");
    assert_int_equal(remote.address.port, 2222);
    ssh_remote_done(&remote);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        _cleanup_error_ Error err = {0};

        assert_int_equal(ssh_remote_init(wrong[i], no_config(), &remote, &err), -EINVAL);
        assert_non_null(strstr(error_text(&err), "the host '"));
    }
}

static Json *parsed(const char *text)
{
    Json *j = NULL;

    assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
    return j;
}

static void an_environment_needs_hosts(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } rows[] = {
        {"{}", "has no `hosts`"},
        {"{\"hosts\":[]}", "has no `hosts`"},
        {"{\"hosts\":[1]}", "has what is no text"},
        {"{\"hosts\":[\"a\",\"ssh://a\"]}", "has 'a' twice"},
        {"{\"sshConfig\":\"/nonexistent\",\"hosts\":[\"a\"]}", "/nonexistent"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_json_ Json *environment = parsed(rows[i].text);
        _cleanup_error_ Error err = {0};
        EngineSession *session = NULL;

        if (!json_has(environment, "sshConfig")) {
            assert_int_equal(json_set_string(environment, "sshConfig", no_config()), 0);
        }
        assert_true(engine_ssh.open(environment, &session, &err) < 0);
        assert_null(session);
        if (!strstr(error_text(&err), rows[i].words)) {
            fail_msg("'%s' is not in: %s", rows[i].words, error_text(&err));
        }
    }
    assert_null(engine_ssh.close(NULL));
}

/* The whole of it is an argument of a command, which has to fit into a packet. */
static void the_driver_is_small(void **state)
{
    assert_true(strlen(ssh_driver) > 1000 && strlen(ssh_driver) < 24000);
    assert_null(strstr(ssh_driver, "SPDX"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_is_read),    cmocka_unit_test(little_is_enough),
        cmocka_unit_test(a_lock_ends),         cmocka_unit_test(what_is_not_understood_is_told),
        cmocka_unit_test(a_host_has_one_name), cmocka_unit_test(an_environment_needs_hosts),
        cmocka_unit_test(the_driver_is_small),
    };

    return cmocka_run_group_tests_name("ssh-remote", tests, NULL, NULL);
}
