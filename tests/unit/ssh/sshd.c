/* SPDX-License-Identifier: MIT */
#include "tests/unit/ssh/sshd.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 16
#define ATTEMPTS_MAX 10

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    _cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

static void run_sshd(Sshd *s, const char *const *lines)
{
    char port[8], *argv[ARGUMENTS_MAX] = {(char *)SSHD_SCRIPT, s->directory, port};
    int log[2], n = 3;

    (void)snprintf(port, sizeof(port), "%u", s->port);
    while (lines && lines[n - 3] && n < ARGUMENTS_MAX - 1) {
        argv[n] = (char *)lines[n - 3];
        n++;
    }
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        (void)dup2(log[1], STDERR_FILENO);
        (void)dup2(log[1], STDOUT_FILENO);
        (void)execv(argv[0], argv);
        _exit(127);
    }
    (void)fd_close(log[1]);
    s->log_fd = log[0];
}

/* False: it ended; another process may have taken the port. */
static bool is_listening(Sshd *s, char *text, size_t size)
{
    size_t len = 0;

    for (;;) {
        ssize_t n = len + 1 < size ? read(s->log_fd, text + len, size - 1 - len) : 0;

        if (n <= 0) {
            s->log_fd = fd_close(s->log_fd);
            (void)waitpid(s->pid, NULL, 0);
            s->pid = 0;
            return false;
        }
        len += (size_t)n;
        text[len] = '\0';
        if (strstr(text, "Server listening")) {
            return true;
        }
    }
}

void sshd_start(Sshd *s, const char *const *lines)
{
    char problem[4096] = "", text[128];

    if (!s->directory[0]) {
        (void)strcpy(s->directory, "/tmp/slipway-test-XXXXXX");
        assert_non_null(mkdtemp(s->directory));
        (void)snprintf(s->config, sizeof(s->config), "%s/ssh_config", s->directory);
    }
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        if (s->port == 0) {
            s->port = free_port();
        }
        run_sshd(s, lines);
        if (is_listening(s, problem, sizeof(problem))) {
            return;
        }
        s->port = 0;
        (void)snprintf(text, sizeof(text), "%s/known_hosts", s->directory);
        (void)unlink(text); /* it names the port */
    }
    fail_msg("sshd does not start: %s", problem);
}

void sshd_stop(Sshd *s)
{
    if (s->pid > 0) {
        (void)kill(s->pid, SIGTERM);
        (void)waitpid(s->pid, NULL, 0);
        s->pid = 0;
        s->log_fd = fd_close(s->log_fd);
    }
}

void sshd_done(Sshd *s)
{
    sshd_stop(s);
    assert_int_equal(file_remove_tree(AT_FDCWD, s->directory, NULL), 0);
}

int sshd_setup(void **state)
{
    Sshd *s = calloc(1, sizeof(*s));

    (void)signal(SIGPIPE, SIG_IGN);
    (void)unsetenv("SSH_AUTH_SOCK");
    assert_non_null(s);
    sshd_start(s, NULL);
    *state = s;
    return 0;
}

int sshd_teardown(void **state)
{
    Sshd *s = *state;

    sshd_done(s);
    free(s);
    return 0;
}

void sshd_write(const Sshd *s, const char *name, const char *text)
{
    char path[160];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", s->directory, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

char *sshd_read(const Sshd *s, const char *name)
{
    _cleanup_buffer_ Buffer text = {0};
    char path[160];

    (void)snprintf(path, sizeof(path), "%s/%s", s->directory, name);
    assert_int_equal(file_read(AT_FDCWD, path, &text, NULL), 0);
    return buffer_take_text(&text);
}

void sshd_configure(const Sshd *s, const char *lines)
{
    _cleanup_buffer_ Buffer text = {0};

    for (; *lines; lines++) {
        assert_int_equal(*lines == '@' ? buffer_append_text(&text, s->directory)
                                       : buffer_append(&text, lines, 1),
                         0);
    }
    assert_int_equal(buffer_append_format(&text,
                                          "\nIdentityAgent none\n"
                                          "UserKnownHostsFile %s/known_hosts\n"
                                          "GlobalKnownHostsFile /dev/null\n",
                                          s->directory),
                     0);
    sshd_write(s, "ssh_config", buffer_text(&text));
}

int sshd_open(const Sshd *s, const char *user, int way, SshSession **ret, Error *err)
{
    SshAddress address = {.host = (char *)"127.0.0.1", .port = s->port, .user = (char *)user};
    SshOptions options = {.config_path = s->config, .way = way};

    return ssh_session_open(&address, &options, ret, err);
}

SshSession *sshd_connect(const Sshd *s, int way)
{
    _cleanup_error_ Error err = {0};
    SshSession *session = NULL;

    if (sshd_open(s, NULL, way, &session, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    return session;
}

void expect_words(const char *text, const char *words)
{
    if (!strstr(text, words)) {
        fail_msg("'%s' is not in: %s", words, text);
    }
}

void sshd_expect(const Sshd *s, const char *user, int way, int code, ...)
{
    _cleanup_error_ Error err = {0};
    SshSession *session = NULL;
    const char *words;
    va_list list;
    int r = sshd_open(s, user, way, &session, &err);

    if (r != code) {
        fail_msg("%d, not %d: %s", r, code, error_text(&err));
    }
    va_start(list, code);
    while ((words = va_arg(list, const char *))) {
        expect_words(error_text(&err), words);
    }
    va_end(list);
}
