/* SPDX-License-Identifier: MIT */
/* Keeps the contract of agent/calls/README.md without running anything: the last part of PROGRAM
 * says how the call goes.
 *
 *     succeed, fail    at once
 *     report           with every kind of record
 *     wait             until a line comes on the control socket: "cancel" ends it as cancelled
 *     die              after the first record, as if it were killed
 *     die-early        before it */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CALL_FD = 3, CONTROL_FD = 4 };

static long long now_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

static void write_line(const char *name, const char *format, va_list ap)
{
    int fd = openat(CALL_FD, name, O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (fd < 0 || vdprintf(fd, format, ap) < 0 || close(fd) < 0) {
        perror(name);
        exit(1);
    }
}

static void put(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(const char *name, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    write_line(name, format, ap);
    va_end(ap);
}

#define RECORD "{\"seq\":%d,\"time\":%lld,\"type\":"

static void finish(int seq, const char *status, int exit_code, const char *reason)
{
    const char *const names[] = {"journal.ndjson", "status.json.tmp"};

    for (int i = 0; i < 2; i++) {
        put(names[i],
            RECORD "\"finished\",\"status\":\"%s\",\"exitCode\":%d,\"signal\":0,\"reason\":\"%s\","
                   "\"survivors\":0,\"leftovers\":0,\"userUs\":1500000,\"systemUs\":0,"
                   "\"maxRssBytes\":4096,\"logBytes\":0}\n",
            seq, now_us(), status, exit_code, reason);
    }
    if (renameat(CALL_FD, "status.json.tmp", CALL_FD, "status.json") < 0) {
        perror("status.json");
    }
}

static void report(void)
{
    put("output.log", "hello\nworld\n");
    put("journal.ndjson", RECORD "\"log\",\"stream\":\"stdout\",\"offset\":0,\"length\":6}\n", 2,
        now_us());
    put("journal.ndjson", RECORD "\"log\",\"stream\":\"stderr\",\"offset\":6,\"length\":6}\n", 3,
        now_us());
    put("journal.ndjson",
        RECORD "\"report\",\"line\":\"{\\\"type\\\":\\\"output\\\",\\\"name\\\":\\\"answer\\\","
               "\\\"value\\\":42}\"}\n",
        4, now_us());
    finish(5, "succeeded", 0, "");
}

/* Says that there is a record, then waits for what it is told, by one agent after the other. */
static void wait_for_cancel(void)
{
    char line[64];
    ssize_t n = 0;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)fcntl(CONTROL_FD, F_SETFL, 0); /* comes non-blocking */
    while (n <= 0) {
        int connection = accept(CONTROL_FD, NULL, NULL);

        if (connection < 0) {
            exit(1);
        }
        n = send(connection, "seq 1\n", 6, 0) == 6 ? read(connection, line, sizeof(line)) : 0;
        if (n <= 0) {
            (void)close(connection);
        }
    }
    finish(2, strncmp(line, "cancel\n", 7) == 0 ? "cancelled" : "failed", -1, "as asked");
}

int main(int argc, char **argv)
{
    const char *how = strrchr(argv[argc - 1], '/') + 1;

    (void)alarm(60); /* whatever goes wrong, it does not stay */
    if (strcmp(how, "die-early") == 0) {
        return 1;
    }
    put("journal.ndjson", RECORD "\"started\",\"pid\":%d}\n", 1, now_us(), (int)getpid());
    if (strcmp(how, "wait") == 0) {
        wait_for_cancel();
    } else if (strcmp(how, "report") == 0) {
        report();
    } else if (strcmp(how, "succeed") == 0) {
        finish(2, "succeeded", 0, "");
    } else if (strcmp(how, "fail") == 0) {
        finish(2, "failed", 3, "exited with status 3");
    }
    return 0;
}
