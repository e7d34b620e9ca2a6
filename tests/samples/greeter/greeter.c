/* SPDX-License-Identifier: MIT */
/* A small HTTP service to try a pipeline on: GET / greets and says its version, GET /health answers
 * 200 while it serves. PORT (0 for any free one) and HOST come from the environment, as a platform
 * gives them. SIGTERM lets the requests in flight finish, then ends with status 0.
 *
 * A handful of threads, each of which answers one connection at a time: enough for a sample, and a
 * slow client cannot keep the health check from being answered. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION "development"
#endif

#define THREADS 16
#define REQUEST_BYTES_MAX 8192
#define CLIENT_TIMEOUT_SECONDS 5

static const char greeting[] = "Hello from greeter " VERSION "\n";

static void answer(int fd, const char *status, const char *body)
{
    char text[512];
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                     "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                     status, strlen(body), body);

    (void)send(fd, text, (size_t)n, MSG_NOSIGNAL);
}

/* The head of the request as text: 0, or -1 if it did not come whole. */
static int read_head(int fd, char *head, size_t size)
{
    size_t n = 0;

    while (n + 1 < size) {
        ssize_t got = recv(fd, head + n, size - 1 - n, 0);

        if (got <= 0) {
            return -1;
        }
        n += (size_t)got;
        head[n] = '\0';
        if (strstr(head, "\r\n\r\n")) {
            return 0;
        }
    }
    return -1;
}

static void serve(int fd)
{
    char head[REQUEST_BYTES_MAX], method[16], path[256];

    if (read_head(fd, head, sizeof(head)) < 0 ||
        sscanf(head, "%15s %255s HTTP/1.", method, path) != 2) {
        answer(fd, "400 Bad Request", "That is no HTTP request.\n");
    } else if (strcmp(method, "GET") != 0) {
        answer(fd, "405 Method Not Allowed", "Only GET is served here.\n");
    } else if (strcmp(path, "/") == 0) {
        answer(fd, "200 OK", greeting);
    } else if (strcmp(path, "/health") == 0) {
        answer(fd, "200 OK", "ok\n");
    } else {
        answer(fd, "404 Not Found", "There is nothing here.\n");
    }
    (void)shutdown(fd, SHUT_WR);
}

static void *serve_connections(void *listener)
{
    const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_SECONDS};

    for (;;) {
        int fd = accept(*(int *)listener, NULL, NULL);

        if (fd < 0 && errno == EINVAL) { /* main() shut the listener down */
            return NULL;
        }
        if (fd < 0) {
            continue;
        }
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
        serve(fd);
        (void)close(fd);
    }
}

/* The listening socket, or -1 after saying why there is none. */
static int listen_on(const char *host, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    char *end;
    long number = strtol(port, &end, 10);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (end == port || *end || number < 0 || number > 65535 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        (void)fprintf(stderr,
                      "greeter: HOST is an IPv4 address and PORT 0 to 65535, not '%s' and '%s'\n",
                      host, port);
        return -1;
    }
    address.sin_port = htons((unsigned short)number);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, SOMAXCONN) < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        (void)fprintf(stderr, "greeter: cannot listen on %s:%s: %s\n", host, port, strerror(errno));
        return -1;
    }
    (void)printf("greeter " VERSION ": listening on http://%s:%u\n", host, ntohs(address.sin_port));
    (void)fflush(stdout);
    return fd;
}

int main(void)
{
    const char *host = getenv("HOST"), *port = getenv("PORT");
    pthread_t threads[THREADS];
    sigset_t signals;
    int listener, which;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &signals,
                      NULL); /* the threads inherit this: only sigwait takes them */
    listener = listen_on(host ? host : "127.0.0.1", port ? port : "8080");
    if (listener < 0) {
        return 1;
    }
    for (size_t i = 0; i < THREADS; i++) {
        int r = pthread_create(&threads[i], NULL, serve_connections, &listener);

        if (r != 0) {
            (void)fprintf(stderr, "greeter: cannot start a thread: %s\n", strerror(r));
            return 1;
        }
    }
    (void)sigwait(&signals, &which);
    (void)shutdown(listener, SHUT_RDWR);
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    return 0;
}
