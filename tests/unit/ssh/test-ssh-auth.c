/* SPDX-License-Identifier: MIT */
/* Against a real sshd, by libssh2 only. */
#include "protocol/ssh/ssh-exec.h"

#include "tests/unit/cmocka.h"
#include "tests/unit/ssh/sshd.h"

#include <errno.h>
#include <libssh2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* libssh2 1.10 forgets two numbers of each ECDSA key that it reads. To know them, LeakSanitizer has
 * to look further up than one frame. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "fast_unwind_on_malloc=0";
}

const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libssh2.so\n";
}

static void expect_login(const Sshd *s, const char *lines)
{
    SshSession *session;

    sshd_configure(s, lines);
    session = sshd_connect(s, SSH_WAY_LIBRARY);
    session = ssh_session_free(session);
}

static void run(const Sshd *s, const char *script)
{
    char command[512];

    (void)snprintf(command, sizeof(command), "cd %s && %s", s->directory, script);
    assert_int_equal(system(command), 0);
}

static void test_files(void **state)
{
    const Sshd *s = *state;

    expect_login(s, "IdentityFile @/id_ed25519");
    expect_login(s, "IdentityFile @/id_ecdsa");
    expect_login(s, "IdentityFile /nowhere\nIdentityFile @/id_stranger\nIdentityFile @/id_ed25519");
}

static void test_a_pem_file(void **state)
{
    const Sshd *s = *state;

    run(s, "cp id_ecdsa id_pem && ssh-keygen -q -p -m PEM -N '' -f id_pem >/dev/null");
    expect_login(s, "IdentityFile @/id_pem");
}

static void test_strangers_are_told_what_was_tried(void **state)
{
    const Sshd *s = *state;

    sshd_configure(s, "IdentityFile @/id_stranger\nIdentityFile /nowhere");
    sshd_expect(s, NULL, SSH_WAY_LIBRARY, SSH_NO_KEY_ACCEPTED, "accepts no key of ours",
                "it takes: publickey", "id_stranger SHA256:", "the host does not accept it",
                "/nowhere", "ssh-copy-id -p", NULL);
    sshd_configure(s, "IdentityFile none");
    sshd_expect(s, NULL, SSH_WAY_LIBRARY, SSH_NO_KEY_ACCEPTED, "make one with ssh-keygen", NULL);
}

static void test_an_unknown_user(void **state)
{
    const Sshd *s = *state;

    sshd_configure(s, "IdentityFile @/id_ed25519");
    sshd_expect(s, "nobody-of-this-name", SSH_WAY_LIBRARY, SSH_NO_KEY_ACCEPTED,
                "nobody-of-this-name@127.0.0.1", NULL);
}

/* Which of the two it is depends on the libssh2 that is installed. */
static void test_rsa(void **state)
{
    const Sshd *s = *state;

    run(s, "ssh-keygen -q -t rsa -b 2048 -N '' -f id_rsa && cat id_rsa.pub >> "
           "authorized_keys");
    if (libssh2_version(0x010b00)) {
        expect_login(s, "IdentityFile @/id_rsa");
        return;
    }
    sshd_configure(s, "IdentityFile @/id_rsa");
    sshd_expect(s, NULL, SSH_WAY_LIBRARY, SSH_NO_KEY_ACCEPTED, "id_rsa: this libssh2",
                "RSA and SHA-1 only", "ssh-keygen -t ed25519", NULL);
}

static void test_a_passphrase(void **state)
{
    const Sshd *s = *state;

    sshd_configure(s, "IdentityFile @/id_secret");
    sshd_expect(s, NULL, SSH_WAY_LIBRARY, SSH_NO_KEY_ACCEPTED,
                "id_secret: it has a passphrase; give it to ssh-agent with ssh-add", NULL);
}

static pid_t start_agent(const Sshd *s)
{
    char line[256], path[128];
    int out[2];
    pid_t pid;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "%s/agent", s->directory);
    assert_int_equal(pipe(out), 0);
    pid = fork();
    if (pid == 0) {
        (void)dup2(out[1], STDOUT_FILENO);
        (void)close(out[0]);
        (void)close(out[1]);
        (void)execlp("ssh-agent", "ssh-agent", "-D", "-a", path, (char *)NULL);
        _exit(127);
    }
    (void)close(out[1]);
    n = read(out[0], line, sizeof(line)); /* it listens before it says where */
    (void)close(out[0]);
    assert_true(n > 0);
    return pid;
}

static void test_agent(void **state)
{
    const Sshd *s = *state;
    pid_t agent = start_agent(s);
    char path[128];

    run(s, "cp id_secret id_in_agent && cp id_secret.pub id_in_agent.pub && ssh-keygen -q "
           "-p -P secret -N '' -f id_in_agent >/dev/null && SSH_AUTH_SOCK=$PWD/agent ssh-add -q "
           "id_stranger id_in_agent && rm id_in_agent");
    /* Whatever it holds; what a passphrase keeps, by the file; what a public key chooses. */
    expect_login(s, "IdentityAgent @/agent\nIdentityFile none");
    expect_login(s, "IdentityAgent @/agent\nIdentityFile @/id_secret\nIdentitiesOnly yes");
    expect_login(s, "IdentityAgent @/agent\nIdentityFile @/id_secret.pub\nIdentitiesOnly yes");
    sshd_configure(s, "IdentityAgent @/agent\nIdentityFile @/id_stranger.pub\nIdentitiesOnly yes");
    sshd_expect(s, NULL, SSH_WAY_LIBRARY, SSH_NO_KEY_ACCEPTED, "id_stranger.pub of ssh-agent",
                NULL);
    /* The one of the environment. */
    (void)snprintf(path, sizeof(path), "%s/agent", s->directory);
    (void)setenv("SSH_AUTH_SOCK", path, 1);
    expect_login(s, "IdentityAgent SSH_AUTH_SOCK\nIdentityFile none");
    (void)unsetenv("SSH_AUTH_SOCK");
    (void)kill(agent, SIGTERM);
    assert_int_equal(waitpid(agent, NULL, 0), agent);
    sshd_configure(s, "IdentityAgent @/agent\nIdentityFile @/id_stranger");
    sshd_expect(s, NULL, SSH_WAY_LIBRARY, SSH_NO_KEY_ACCEPTED, "no ssh-agent answers there", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_a_pem_file),
        cmocka_unit_test(test_strangers_are_told_what_was_tried),
        cmocka_unit_test(test_an_unknown_user),
        cmocka_unit_test(test_rsa),
        cmocka_unit_test(test_a_passphrase),
        cmocka_unit_test(test_agent),
    };

    return cmocka_run_group_tests(tests, sshd_setup, sshd_teardown);
}
