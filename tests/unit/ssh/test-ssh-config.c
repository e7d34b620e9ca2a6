/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/ssh-config.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/socket.h>

static int load(void **state, const char *text, const char *host, SshConfig *ret, Error *err)
{
    SshAddress address = {.host = (char *)host};
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/config", SCRATCH_PATH);
    scratch_write_text(SCRATCH_FD, "config", text);
    return ssh_config_load(&address, path, ret, err);
}

static void expect_load(void **state, const char *text, const char *host, SshConfig *ret)
{
    _cleanup_error_ Error err = {0};

    if (load(state, text, host, ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void test_defaults(void **state)
{
    _cleanup_ssh_config_ SshConfig c = {0};

    expect_load(state, "# nothing\n\n", "web", &c);
    assert_string_equal(c.host_name, "web");
    assert_int_equal(c.port, 22);
    assert_non_null(c.user);
    assert_int_equal(c.connect_timeout_ms, SSH_CONNECT_TIMEOUT_MS);
    assert_int_equal(c.alive_interval_ms, SSH_ALIVE_INTERVAL_MS);
    assert_int_equal(c.alive_count, SSH_ALIVE_COUNT);
    assert_int_equal(c.is_identities_only, 0);
    assert_int_equal(c.address_family, AF_UNSPEC);
    assert_null(c.needs_program);
    assert_int_equal(c.known_hosts.n, 2);
    assert_string_equal(c.system_known_hosts.items[0], "/etc/ssh/ssh_known_hosts");
}

static void test_all_keywords(void **state)
{
    _cleanup_ssh_config_ SshConfig c = {0};

    expect_load(state,
                "Host web\n"
                "  HostName = %h.example.com\n"
                "\tUSER=deploy\n"
                "  port 2222\n"
                "  IdentityFile \"/keys/a key\"\n"
                "  IdentityFile /keys/%r-%n\n"
                "  IdentitiesOnly yes\n"
                "  IdentityAgent /run/agent\n"
                "  UserKnownHostsFile /a /b\n"
                "  GlobalKnownHostsFile none\n"
                "  HostKeyAlias the-web\n"
                "  ConnectTimeout 1m\n"
                "  ServerAliveInterval 1m30\r\n"
                "  ServerAliveCountMax 5\n"
                "  AddressFamily inet6\n"
                "  SomethingNew whatever it is\n",
                "web", &c);
    assert_string_equal(c.host_name, "web.example.com");
    assert_string_equal(c.user, "deploy");
    assert_int_equal(c.port, 2222);
    assert_int_equal(c.identity_files.n, 2);
    assert_string_equal(c.identity_files.items[0], "/keys/a key");
    assert_string_equal(c.identity_files.items[1], "/keys/deploy-web");
    assert_int_equal(c.is_identities_only, 1);
    assert_string_equal(c.identity_agent, "/run/agent");
    assert_int_equal(c.known_hosts.n, 2);
    assert_string_equal(c.known_hosts.items[1], "/b");
    assert_int_equal(c.system_known_hosts.n, 0);
    assert_string_equal(c.host_key_alias, "the-web");
    assert_int_equal(c.connect_timeout_ms, 60000);
    assert_int_equal(c.alive_interval_ms, 90000);
    assert_int_equal(c.alive_count, 5);
    assert_int_equal(c.address_family, AF_INET6);
}

static void test_the_first_value_counts(void **state)
{
    _cleanup_ssh_config_ SshConfig c = {0};

    expect_load(state,
                "Port 1\n"
                "Host *.example !bad.example\nUser one\nIdentityFile /1\nPort 2\n"
                "Host other\nUser two\nIdentityFile /2\n"
                "Host *\nUser three\nIdentityFile /3\nUserKnownHostsFile /x\n"
                "Host *\nUserKnownHostsFile /y /z\n",
                "good.example", &c);
    assert_int_equal(c.port, 1);
    assert_string_equal(c.user, "one");
    assert_int_equal(c.identity_files.n, 2);
    assert_string_equal(c.identity_files.items[1], "/3");
    assert_int_equal(c.known_hosts.n, 1);
    ssh_config_done(&c);
    expect_load(state, "Host *.example !bad.example\nUser one\nHost *\nUser two\n", "bad.example",
                &c);
    assert_string_equal(c.user, "two");
}

static void test_the_address_comes_before_the_file(void **state)
{
    SshAddress address = {.host = (char *)"h", .user = (char *)"me", .port = 7};
    _cleanup_ssh_config_ SshConfig c = {0};
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/config", SCRATCH_PATH);
    scratch_write_text(SCRATCH_FD, "config", "User you\nPort 8\nHostName there\n");
    assert_int_equal(ssh_config_load(&address, path, &c, NULL), 0);
    assert_string_equal(c.user, "me");
    assert_int_equal(c.port, 7);
    assert_string_equal(c.host_name, "there");
    assert_string_equal(c.alias, "h");
}

static void test_match_is_passed_over(void **state)
{
    _cleanup_ssh_config_ SshConfig c = {0};

    expect_load(state, "Match exec \"touch /tmp/never\"\nPort 1\nHost *\nPort 2\n", "h", &c);
    assert_int_equal(c.port, 2);
}

static void test_proxies_need_the_program(void **state)
{
    _cleanup_ssh_config_ SshConfig c = {0};

    expect_load(state, "ProxyJump gate\n", "h", &c);
    assert_string_equal(c.needs_program, "ProxyJump");
    ssh_config_done(&c);
    expect_load(state, "ProxyCommand nc %h %p\n", "h", &c);
    assert_string_equal(c.needs_program, "ProxyCommand");
    ssh_config_done(&c);
    expect_load(state, "Host h\nProxyJump none\nHost *\nProxyJump gate\n", "h", &c);
    assert_null(c.needs_program);
}

static void test_identity_agent(void **state)
{
    _cleanup_ssh_config_ SshConfig c = {0};

    expect_load(state, "IdentityAgent SSH_AUTH_SOCK\n", "h", &c);
    assert_null(c.identity_agent);
    ssh_config_done(&c);
    (void)setenv("SLIPWAY_TEST_AGENT", "/some/agent", 1);
    expect_load(state, "IdentityAgent $SLIPWAY_TEST_AGENT\n", "h", &c);
    assert_string_equal(c.identity_agent, "/some/agent");
}

static void test_includes(void **state)
{
    _cleanup_ssh_config_ SshConfig c = {0};
    char text[512];

    scratch_write_text(SCRATCH_FD, "conf.d/1", "Host other\nPort 1\n");
    scratch_write_text(SCRATCH_FD, "conf.d/2", "Host h\nPort 2\nHost nobody\n");
    scratch_write_text(SCRATCH_FD, "not-for-us", "Port 3\n");
    (void)snprintf(text, sizeof(text),
                   "Host nobody\nInclude %s/not-for-us\nHost *\nInclude %s/conf.d/* /nowhere/*\n"
                   "User after\n",
                   SCRATCH_PATH, SCRATCH_PATH);
    expect_load(state, text, "h", &c);
    assert_int_equal(c.port, 2);
    assert_string_equal(c.user, "after"); /* the block goes on after the Include */
}

static void test_includes_end(void **state)
{
    _cleanup_error_ Error err = {0};
    SshConfig c = {0};
    char text[128];

    (void)snprintf(text, sizeof(text), "Include %s/config\n", SCRATCH_PATH);
    assert_int_equal(load(state, text, "h", &c, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "too many files"));
}

static void test_mistakes_name_their_line(void **state)
{
    static const struct {
        const char *line;
        const char *words;
    } rows[] = {
        {"Port x", "Port needs a number"},
        {"Port 0", "Port is a number"},
        {"Port 65536", "Port is a number"},
        {"User", "User needs a value"},
        {"HostName \"a", "a quote is not closed"},
        {"UserKnownHostsFile \"a", "a quote is not closed"},
        {"IdentitiesOnly maybe", "yes or no"},
        {"AddressFamily ipx", "any, inet or inet6"},
        {"ConnectTimeout soon", "needs a time"},
        {"ConnectTimeout 1y", "needs a time"},
        {"IdentityFile", "needs a file"},
        {"ProxyJump", "needs a value"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        SshConfig c = {0};
        char text[128];

        (void)snprintf(text, sizeof(text), "\n# two lines before\n%s\n", rows[i].line);
        assert_int_equal(load(state, text, "h", &c, &err), -EINVAL);
        if (!strstr(error_text(&err), rows[i].words) || !strstr(error_text(&err), "line 3") ||
            !strstr(error_text(&err), "/config'")) {
            fail_msg("%s: %s", rows[i].line, error_text(&err));
        }
    }
}

static void test_unknown_tokens(void **state)
{
    _cleanup_error_ Error err = {0};
    SshConfig c = {0};

    assert_int_equal(load(state, "IdentityFile /%q\n", "h", &c, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "'%q'"));
}

static void test_limits(void **state)
{
    _cleanup_ssh_config_ SshConfig c = {0};
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_error_ Error err = {0};

    for (int i = 0; i < SSH_CONFIG_VALUES_MAX; i++) {
        assert_int_equal(buffer_append_text(&text, "IdentityFile /x\n"), 0);
    }
    expect_load(state, buffer_text(&text), "h", &c);
    assert_int_equal(buffer_append_text(&text, "IdentityFile /x\n"), 0);
    assert_int_equal(load(state, buffer_text(&text), "h", &(SshConfig){0}, &err), -EINVAL);
    buffer_clear(&text);
    while (text.len <= SSH_CONFIG_SIZE_MAX) {
        assert_int_equal(buffer_append_text(&text, "# a comment that makes it long enough\n"), 0);
    }
    assert_int_equal(load(state, buffer_text(&text), "h", &(SshConfig){0}, &err), -ENOBUFS);
    assert_int_equal(
        ssh_config_load(&(SshAddress){.host = (char *)"h"}, "/nowhere/x", &(SshConfig){0}, &err),
        -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_defaults),
        scratch_test(test_all_keywords),
        scratch_test(test_the_first_value_counts),
        scratch_test(test_the_address_comes_before_the_file),
        scratch_test(test_match_is_passed_over),
        scratch_test(test_proxies_need_the_program),
        scratch_test(test_identity_agent),
        scratch_test(test_includes),
        scratch_test(test_includes_end),
        scratch_test(test_mistakes_name_their_line),
        scratch_test(test_unknown_tokens),
        scratch_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
