/* SPDX-License-Identifier: MIT */
/* A session with a host, and commands that run on it, each in a channel of its own.
 *
 * Opening blocks, within the timeout of ssh_config. After that nothing does: read and write answer
 * -EAGAIN, ssh_channel_watch() says what to poll(2) for, ssh_session_get_timeout_ms() for how long
 * at most, and ssh_session_process() then keeps the session alive. Who wants to block takes
 * ssh-exec.h. SIGPIPE has to be ignored.
 *
 * Two things are behind it: libssh2, and, where that cannot (README.md), the program ssh. The
 * choice is made in ssh_session_open() and nowhere else; nothing above needs to know.
 *
 * What can be wrong with the way to a host has a code each: */
#pragma once

#include "protocol/base/error.h"
#include "protocol/ssh/ssh-address.h"

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#define SSH_NAME_NOT_FOUND (-ENXIO)
#define SSH_REFUSED (-ECONNREFUSED)
#define SSH_TIMED_OUT (-ETIMEDOUT)
#define SSH_BROKEN (-ECONNRESET)         /* it stood, and broke; or the peer is no SSH server */
#define SSH_HOST_UNKNOWN (-ENOKEY)       /* its key is in no known_hosts */
#define SSH_HOST_CHANGED (-EKEYREJECTED) /* another key is, or its key was revoked */
#define SSH_NO_KEY_ACCEPTED (-EACCES)    /* the host knows us by none of our keys */

typedef struct SshSession SshSession;
typedef struct SshChannel SshChannel;

typedef struct SshOptions {
    const char *config_path; /* read instead of ~/.ssh/config and the system's; NULL */
    bool may_prompt;         /* where the program ssh connects, it may ask at the terminal */
    enum {
        SSH_WAY_ANY,
        SSH_WAY_LIBRARY,
        SSH_WAY_PROGRAM,
    } way; /* for tests: this one or none */
} SshOptions;

/* How a command ended. */
typedef struct SshStatus {
    int exit_code;     /* where it ended by itself */
    bool is_signalled; /* libssh2 calls its exit status 0 then */
    char signal[16];   /* "KILL", without SIG */
} SshStatus;

/* Connects, checks the host's key and logs in. -EINVAL: ssh_config is wrong. With the program ssh
 * it connects only when a command is run, and what is wrong is told then. */
int ssh_session_open(const SshAddress *address, const SshOptions *options, SshSession **ret,
                     Error *err) _must_check_;

/* Hangs up. All channels must be freed before. Returns NULL; takes NULL. */
SshSession *ssh_session_free(SshSession *session);
DEFINE_CLEANUP(SshSession, ssh_session_free)

/* "user@host", or "user@host:port"; borrowed. */
const char *ssh_session_get_name(const SshSession *session);

/* Is it the program ssh that connects? For messages. */
bool ssh_session_is_program(const SshSession *session);

/* Another attempt would end the same way: one of the codes above that a person has to mend. */
bool ssh_code_is_final(int code);

/* When to process at the latest; -1: no limit. */
int ssh_session_get_timeout_ms(const SshSession *session);

/* Asks a peer that is silent whether it is there (ServerAliveInterval, ServerAliveCountMax).
 * SSH_TIMED_OUT: it is not. */
int ssh_session_process(SshSession *session, Error *err) _must_check_;

/* Runs a command, given to the shell of the user there. Quote with ssh_quote(). Blocks for one
 * round trip. */
int ssh_channel_open(SshSession *session, const char *command, SshChannel **ret,
                     Error *err) _must_check_;

/* Hangs up on the command, if it has not ended: its input ends, and what it says goes nowhere. One
 * that neither reads nor writes does not notice, and goes on there. Returns NULL; takes NULL. */
SshChannel *ssh_channel_free(SshChannel *channel);
DEFINE_CLEANUP(SshChannel, ssh_channel_free)

typedef enum SshStream {
    SSH_STDOUT,
    SSH_STDERR,
} SshStream;

/* What the command said: > 0 bytes, 0 the end, -EAGAIN. Both streams must be read: they share one
 * window. Read until -EAGAIN before the next poll(2): what has arrived is not announced twice. */
ssize_t ssh_channel_read(SshChannel *channel, SshStream stream, void *data, size_t n,
                         Error *err) _must_check_;

/* For the command's stdin: > 0 bytes were taken, -EAGAIN. -EPIPE: it reads no more. */
ssize_t ssh_channel_write(SshChannel *channel, const void *data, size_t n, Error *err) _must_check_;

/* The end of its stdin, once: after what was written. */
int ssh_channel_end_input(SshChannel *channel, Error *err) _must_check_;

/* How it ended: 1 and *ret, once both streams have ended; 0: not yet. */
int ssh_channel_get_status(SshChannel *channel, SshStatus *ret, Error *err) _must_check_;

/* What to poll(2) for. Returns how many of `fds` were filled in. */
#define SSH_CHANNEL_WATCH_MAX 4
size_t ssh_channel_watch(const SshChannel *channel, bool wants_write,
                         struct pollfd fds[static SSH_CHANNEL_WATCH_MAX]);

/* Sends what waits to be sent, without waiting; to be called after poll(2), where nothing is
 * written. */
int ssh_channel_flush(SshChannel *channel, Error *err) _must_check_;
