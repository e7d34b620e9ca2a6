/* SPDX-License-Identifier: MIT */
#include "protocol/ssh/ssh-session.h"

#include "protocol/base/log.h"
#include "protocol/ssh/ssh-backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The one place that chooses. */
static int open_way(const SshAddress *address, const SshConfig *config, const SshOptions *options,
                    SshSession **ret, Error *err)
{
    _cleanup_free_ char *obstacle = NULL;
    int r = 1;

    if (options->way == SSH_WAY_PROGRAM) {
        obstacle = strdup("asked for");
    } else if (config->needs_program) {
        if (asprintf(&obstacle, "ssh_config has %s for it", config->needs_program) < 0) {
            obstacle = NULL;
        }
    } else {
        r = ssh_library_open(config, ret, &obstacle, err);
    }
    if (r <= 0) {
        return r;
    }
    if (options->way == SSH_WAY_LIBRARY) {
        return error_set(err, SSH_NO_KEY_ACCEPTED, "'%s': not by libssh2: %s", config->alias,
                         obstacle ? obstacle : "out of memory");
    }
    log_debug("'%s': by the program ssh, since libssh2 cannot: %s", config->alias,
              obstacle ? obstacle : "out of memory");
    r = ssh_program_open(address, config, options->may_prompt, ret, err);
    if (r == 0) {
        (*ret)->obstacle = TAKE_PTR(obstacle);
    }
    return r;
}

int ssh_session_open(const SshAddress *address, const SshOptions *options, SshSession **ret,
                     Error *err)
{
    _cleanup_ssh_config_ SshConfig config = {0};
    int r = ssh_config_load(address, options->config_path, &config, err);

    return r < 0 ? r : open_way(address, &config, options, ret, err);
}

SshSession *ssh_session_free(SshSession *session)
{
    if (session) {
        free(session->obstacle);
        return session->backend->free(session);
    }
    return NULL;
}

const char *ssh_session_get_name(const SshSession *session)
{
    return session->name;
}

bool ssh_session_is_program(const SshSession *session)
{
    return session->backend->is_program;
}

bool ssh_code_is_final(int code)
{
    switch (code) {
    case SSH_HOST_UNKNOWN:
    case SSH_HOST_CHANGED:
    case SSH_NO_KEY_ACCEPTED:
    case -EINVAL:
    case -ENOENT:
        return true;
    default:
        return false;
    }
}

int ssh_session_get_timeout_ms(const SshSession *session)
{
    return session->backend->get_timeout_ms(session);
}

int ssh_session_process(SshSession *session, Error *err)
{
    return session->backend->process(session, err);
}

int ssh_channel_open(SshSession *session, const char *command, SshChannel **ret, Error *err)
{
    return session->backend->open_channel(session, command, ret, err);
}

SshChannel *ssh_channel_free(SshChannel *channel)
{
    return channel ? channel->backend->free_channel(channel) : NULL;
}

ssize_t ssh_channel_read(SshChannel *channel, SshStream stream, void *data, size_t n, Error *err)
{
    return channel->backend->read(channel, stream, data, n, err);
}

ssize_t ssh_channel_write(SshChannel *channel, const void *data, size_t n, Error *err)
{
    return channel->backend->write(channel, data, n, err);
}

int ssh_channel_end_input(SshChannel *channel, Error *err)
{
    return channel->backend->end_input(channel, err);
}

int ssh_channel_get_status(SshChannel *channel, SshStatus *ret, Error *err)
{
    int r = channel->backend->get_status(channel, ret, err);

    /* Why it was not libssh2 is half of the reason. */
    if (r < 0 && err && channel->session->obstacle) {
        _cleanup_free_ char *text = strdup(error_text(err));

        return error_set(err, r, "%s\n(libssh2 cannot: %s)", text ? text : "out of memory",
                         channel->session->obstacle);
    }
    return r;
}

size_t ssh_channel_watch(const SshChannel *channel, bool wants_write,
                         struct pollfd fds[static SSH_CHANNEL_WATCH_MAX])
{
    return channel->backend->watch(channel, wants_write, fds);
}

int ssh_channel_flush(SshChannel *channel, Error *err)
{
    return channel->backend->flush(channel, err);
}
