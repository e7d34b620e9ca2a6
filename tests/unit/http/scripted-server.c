/* SPDX-License-Identifier: MIT */
#include "tests/unit/http/scripted-server.h"

#include "protocol/base/macro.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST_MAX ((size_t)1 << 16)

static void must(bool is_right, const char *what)
{
    if (!is_right) {
        perror(what);
        abort();
    }
}

/* " VALUE" of the header, to free(); "" where none is asked for. */
static char *header_value(const char *text, const char *header)
{
    _cleanup_free_ char *name = NULL;
    char *value = NULL;
    const char *at;

    if (!header) {
        return strdup("");
    }
    must(asprintf(&name, "\r\n%s: ", header) > 0, "asprintf");
    at = strcasestr(text, name);
    at = at ? at + strlen(name) : "-\r";
    must(asprintf(&value, " %.*s", (int)strcspn(at, "\r"), at) > 0, "asprintf");
    return value;
}

/* Reads one request and tells its first words and its body. False when the peer hung up. */
static bool read_request(int fd, int requests_fd, const char *header)
{
    _cleanup_free_ char *value = NULL;
    static char text[REQUEST_MAX];
    size_t n = 0, want = 0;
    char *end = NULL, *space;

    memset(text, 0, sizeof(text));
    while (!end || n < want) {
        ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);

        if (got <= 0) {
            return false;
        }
        n += (size_t)got;
        end = strstr(text, "\r\n\r\n");
        if (end) {
            char *length = strcasestr(text, "\r\ncontent-length:");

            want = (size_t)(end - text) + 4;
            want += length && length < end ? strtoul(length + 17, NULL, 10) : 0;
        }
    }
    value = header_value(text, header);
    space = strchr(text, ' ');
    space = space ? strchr(space + 1, ' ') : NULL;
    must(space, "request line");
    *space = '\0';
    must(dprintf(requests_fd, "%s %s%s\n", text, end + 4, value) > 0, "requests pipe");
    return true;
}

static void serve(const ScriptedServer *server, int listener, int requests_fd,
                  const char *const *answers, size_t n_answers)
{
    int fd = -1;

    for (size_t i = 0; i < n_answers;) {
        char byte;

        if (fd < 0) {
            fd = accept(listener, NULL, NULL);
            must(fd >= 0, "accept");
        }
        if (!read_request(fd, requests_fd, server->header)) {
            (void)close(fd);
            fd = -1;
            continue;
        }
        if (strcmp(answers[i], SCRIPTED_SILENCE) == 0) {
            while (read(fd, &byte, 1) > 0) {
            }
        } else {
            (void)!write(fd, answers[i], strlen(answers[i]));
        }
        while (server->is_patient && read(fd, &byte, 1) > 0) {
        }
        if (!strstr(answers[i], "\r\nContent-Length:") || i + 1 == n_answers) {
            (void)close(fd);
            fd = -1;
        }
        i++;
    }
}

static int listen_unix(ScriptedServer *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", server->directory);
    must(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
    (void)snprintf(server->address, sizeof(server->address), "unix:%s/socket", server->directory);
    return fd;
}

static int listen_tcp(ScriptedServer *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0, "bind");
    must(getsockname(fd, (struct sockaddr *)&address, &size) == 0, "getsockname");
    (void)snprintf(server->address, sizeof(server->address), "http://127.0.0.1:%d",
                   ntohs(address.sin_port));
    return fd;
}

void scripted_server_start(ScriptedServer *server, bool is_tcp, const char *const *answers,
                           size_t n_answers)
{
    const char *base = getenv("TMPDIR");
    int pipe_fds[2], listener;

    (void)snprintf(server->directory, sizeof(server->directory), "%s/scripted.XXXXXX",
                   base ? base : "/tmp");
    must(mkdtemp(server->directory), "mkdtemp");
    must(pipe(pipe_fds) == 0, "pipe");
    listener = is_tcp ? listen_tcp(server) : listen_unix(server);
    must(listen(listener, 8) == 0, "listen");
    server->pid = fork();
    must(server->pid >= 0, "fork");
    if (server->pid == 0) {
        (void)signal(SIGPIPE, SIG_IGN);
        (void)close(pipe_fds[0]);
        serve(server, listener, pipe_fds[1], answers, n_answers);
        _exit(0);
    }
    (void)close(listener);
    (void)close(pipe_fds[1]);
    server->requests_fd = pipe_fds[0];
}

bool scripted_server_next_request(ScriptedServer *server, char *line, size_t size)
{
    size_t n = 0;

    while (n + 1 < size && read(server->requests_fd, line + n, 1) == 1) {
        if (line[n++] == '\n') {
            line[n - 1] = '\0';
            return true;
        }
    }
    line[n] = '\0';
    return n > 0;
}

void scripted_server_stop(ScriptedServer *server)
{
    char path[128];

    (void)kill(server->pid, SIGKILL);
    (void)waitpid(server->pid, NULL, 0);
    (void)close(server->requests_fd);
    (void)snprintf(path, sizeof(path), "%s/socket", server->directory);
    (void)unlink(path);
    (void)rmdir(server->directory);
}

char *scripted_answer(int status, const char *body)
{
    char *text = NULL;

    must(asprintf(&text,
                  "HTTP/1.1 %d Scripted\r\nContent-Type: application/json\r\n"
                  "Content-Length: %zu\r\n\r\n%s",
                  status, strlen(body), body) > 0,
         "asprintf");
    return text;
}
