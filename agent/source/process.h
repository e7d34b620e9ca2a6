/* SPDX-License-Identifier: MIT */
/* Starts a program and waits for it: the only place of the runners that does.
 *
 * The program gets /dev/null (or what it is to read) as stdin, the log as stdout and stderr, no
 * other descriptor, default signals, and a process group of its own. What it leaves running is the
 * shim's to find. */
#pragma once

#include "agent/source/confine.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct ProcessOptions {
    const char *const
        *argv;              /* NULL-terminated; a name without a slash is looked up in env's PATH */
    char *const *env;       /* NULL: our own */
    const char *directory;  /* NULL: our own */
    int input_fd;           /* read as its stdin; 0: /dev/null */
    int64_t timeout_ms;     /* 0: none */
    int64_t grace_ms;       /* after the timeout, from SIGTERM to SIGKILL */
    Buffer *output;         /* takes stdout up to its limit; NULL: stdout is the log */
    Buffer *complaints;     /* keeps the end of stderr, which goes to the log all the same */
    const Confine *confine; /* NULL: it may do all that we may */
    bool is_detached;       /* a session of its own: no terminal that it could ask on */
} ProcessOptions;

/* How much of stderr `complaints` keeps. */
#define PROCESS_COMPLAINTS_MAX ((size_t)4 << 10)

typedef struct ProcessExit {
    int exit_code; /* -1 where a signal ended it */
    int signal;    /* 0 where it ended by itself */
    bool is_timed_out;
} ProcessExit;

/* 0 when the program was started and has ended, however it did. -ENOENT, -EACCES, -ENOEXEC, …: it
 * could not be started, with a sentence that names it. -ENOBUFS: it wrote more than `output` takes.
 */
int process_run(const ProcessOptions *options, ProcessExit *ret, Error *err) _must_check_;

/* It ended by itself with 0. */
bool process_exit_is_success(const ProcessExit *how);

/* Appends "exited with status 3", "was ended by signal 9 (Killed)", "ran longer than 2 seconds". */
int process_exit_describe(const ProcessExit *how, int64_t timeout_ms, Buffer *text) _must_check_;
