/* SPDX-License-Identifier: MIT */
/* An HTTP server that says exactly what a test wrote, in that order: a child process on a unix
 * socket (or a free port of 127.0.0.1) in a directory of its own. What it was asked comes back over
 * a pipe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct ScriptedServer {
    pid_t pid;
    char directory[64];
    char address[128]; /* as http_open takes it */
    int requests_fd;
    bool is_patient;    /* set before the start: it hangs up only when the asker has */
    const char *header; /* set before the start: a request's line ends with its value, or "-" */
} ScriptedServer;

/* Each answer is sent for one request, as it stands: use ANSWER for whole ones. "" hangs up without
 * a word, SCRIPTED_SILENCE waits until the asker has gone. After the last one nobody listens. */
#define SCRIPTED_SILENCE "(silence)"

void scripted_server_start(ScriptedServer *server, bool is_tcp, const char *const *answers,
                           size_t n_answers);

/* The next request: "METHOD PATH BODY\n" ("METHOD PATH BODY VALUE\n" with a header), at most `size`
 * bytes with its NUL. False: there was none.
 */
bool scripted_server_next_request(ScriptedServer *server, char *line, size_t size);

/* Stops it if it still runs and removes its directory. */
void scripted_server_stop(ScriptedServer *server);

/* A whole answer with a JSON body; the caller frees it. */
char *scripted_answer(int status, const char *body);
