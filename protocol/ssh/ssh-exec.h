/* SPDX-License-Identifier: MIT */
/* Commands on a host for who may block: run one and take what it says, send a file, fetch one.
 * Files go through `cat` on the other side: every host has it, also one with only busybox or
 * without an SFTP server, and it works by either way to the host. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/ssh/ssh-session.h"

#include <stdint.h>

/* Takes what the command said on one of its streams; a negative answer ends it. */
typedef int (*SshOutputCallback)(SshStream stream, const char *data, size_t n, void *userdata);

/* Gives what it reads: > 0 bytes, 0 the end, negative ends it. */
typedef ssize_t (*SshInputCallback)(char *data, size_t n, void *userdata);

typedef struct SshExec {
    const char *command;
    SshInputCallback input;   /* NULL: its stdin is empty */
    SshOutputCallback output; /* NULL: what it says is dropped */
    void *userdata;
    int64_t timeout_ms; /* 0: none */
} SshExec;

/* Runs it and waits for its end. 0 and *ret: it ran, however it ended. SSH_TIMED_OUT: `timeout_ms`
 * passed (the command was hung up on), or the host is gone; other codes of ssh-session.h; what a
 * callback answered. */
int ssh_exec(SshSession *session, const SshExec *exec, SshStatus *ret, Error *err) _must_check_;

/* The same with all that it says kept: `out` and `errors` (may be NULL) are appended to, up to
 * their limits (-ENOBUFS). Text for its stdin is `input` (may be NULL). */
int ssh_exec_capture(SshSession *session, const char *command, const char *input,
                     int64_t timeout_ms, Buffer *out, Buffer *errors, SshStatus *ret,
                     Error *err) _must_check_;

/* As ssh_exec_capture for what must succeed: any other end than exit status 0 is -EREMOTEIO, with
 * the status and the last of its stderr in the sentence. `out` may be NULL. */
int ssh_exec_check(SshSession *session, const char *command, const char *input, int64_t timeout_ms,
                   Buffer *out, Error *err) _must_check_;

/* Sends the file `fd`, from its beginning, to be `path` there: written as `path.part`, made `mode`,
 * and renamed. Whether it is what was sent is the caller's to check, by its digest. */
int ssh_exec_upload(SshSession *session, int fd, const char *path, mode_t mode, int64_t timeout_ms,
                    Error *err) _must_check_;

/* Fetches the file `path` into `fd`. */
int ssh_exec_download(SshSession *session, const char *path, int fd, int64_t timeout_ms,
                      Error *err) _must_check_;

/* Appends a word for a POSIX shell, whatever is in it. */
int ssh_quote(Buffer *command, const char *word) _must_check_;
