/* SPDX-License-Identifier: MIT */
/* For the files of this folder: what is behind a session. Each verb is the function of
 * ssh-session.h by that name. */
#pragma once

#include "protocol/ssh/ssh-config.h"
#include "protocol/ssh/ssh-session.h"

typedef struct SshBackend {
    bool is_program;
    SshSession *(*free)(SshSession *session);
    int (*get_timeout_ms)(const SshSession *session);
    int (*process)(SshSession *session, Error *err);
    int (*open_channel)(SshSession *session, const char *command, SshChannel **ret, Error *err);
    SshChannel *(*free_channel)(SshChannel *channel);
    ssize_t (*read)(SshChannel *channel, SshStream stream, void *data, size_t n, Error *err);
    ssize_t (*write)(SshChannel *channel, const void *data, size_t n, Error *err);
    int (*end_input)(SshChannel *channel, Error *err);
    int (*get_status)(SshChannel *channel, SshStatus *ret, Error *err);
    size_t (*watch)(const SshChannel *channel, bool wants_write,
                    struct pollfd fds[static SSH_CHANNEL_WATCH_MAX]);
    int (*flush)(SshChannel *channel, Error *err);
} SshBackend;

/* First member of what a backend allocates. */
struct SshSession {
    const SshBackend *backend;
    char *name;
    char *obstacle; /* why it is not libssh2; NULL where it is */
};

struct SshChannel {
    const SshBackend *backend;
    SshSession *session;
};

/* By libssh2. 1: it cannot, and *ret_obstacle (the caller's) says why; the program may. */
int ssh_library_open(const SshConfig *config, SshSession **ret, char **ret_obstacle,
                     Error *err) _must_check_;

/* By the program ssh; nothing is connected yet. `port` and `user` are those that the address named
 * (0, NULL: none): the rest the program reads itself. */
int ssh_program_open(const SshAddress *address, const SshConfig *config, bool may_prompt,
                     SshSession **ret, Error *err) _must_check_;
