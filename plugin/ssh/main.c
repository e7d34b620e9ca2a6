/* SPDX-License-Identifier: MIT */
/* slipway-ssh ADDRESS: an agent behind `ssh://`, on stdin and stdout. libslipway starts it for that
 * kind of address, so that neither its host program nor the CLI links and loads an SSH library, and
 * no SSH server's bytes are parsed in their memory.
 *
 * Why it ended goes to descriptor 3 as one text, `again` or `final` before it: whether another
 * attempt may end otherwise. */
#include "plugin/ssh/carry.h"
#include "plugin/ssh/far-agent.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/ssh/ssh-session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define STATUS_FD 3
/* An agent that starts or bridges answers in milliseconds; a bridge waits five seconds for a
 * socket. Whoever is asked for a password has longer. */
#define FIRST_BYTE_MS 30000
#define PROMPT_MS 120000

/* Returns the exit status. */
static int report(int code, const char *text)
{
    bool is_final = ssh_code_is_final(code);
    _cleanup_buffer_ Buffer line = {0};

    if (fcntl(STATUS_FD, F_GETFD) < 0) { /* started by hand */
        log_error("%s", text);
    } else if (buffer_append_format(&line, "%s %s", is_final ? "final" : "again", text) < 0 ||
               fd_write_all(STATUS_FD, line.data, line.len) < 0) {
        log_debug("nobody takes the reason: %s", text);
    }
    return code == -EINVAL ? EX_USAGE : is_final ? EX_NOPERM : EX_UNAVAILABLE;
}

static int talk(const SshAddress *address, SshSession *session, const char *command,
                bool may_prompt, Error *err)
{
    _cleanup_(ssh_channel_freep) SshChannel *channel = NULL;
    bool is_prompting = may_prompt && ssh_session_is_program(session);
    Carry carry = {
        .session = session,
        .in_fd = STDIN_FILENO,
        .out_fd = STDOUT_FILENO,
        .err_fd = STDERR_FILENO,
        .first_byte_by_ms = clock_monotonic_ms() + (is_prompting ? PROMPT_MS : FIRST_BYTE_MS),
    };
    SshStatus status;
    int r = ssh_channel_open(session, command, &channel, err);

    if (r < 0) {
        return r;
    }
    carry.channel = channel;
    r = carry_run(&carry, &status, err);
    if (r > 0) {
        r = far_agent_explain(address, ssh_session_get_name(session), &status,
                              buffer_text(&carry.early_errors), carry.has_spoken, err);
    }
    carry_done(&carry);
    return r;
}

static int run(const char *text, Error *err)
{
    _cleanup_ssh_address_ SshAddress address = {0};
    _cleanup_(ssh_session_freep) SshSession *session = NULL;
    _cleanup_buffer_ Buffer command = {0};
    SshOptions options = {
        .config_path = getenv("SLIPWAY_SSH_CONFIG"),
        .may_prompt = isatty(STDERR_FILENO),
    };
    int r = ssh_address_parse(text, &address, err);

    r = r == 0 ? far_agent_command(&address, &command, err) : r;
    r = r == 0 ? ssh_session_open(&address, &options, &session, err) : r;
    if (r < 0) {
        return r;
    }
    log_debug("%s: %s", ssh_session_get_name(session), buffer_text(&command));
    return talk(&address, session, buffer_text(&command), options.may_prompt, err);
}

int main(int argc, char **argv)
{
    _cleanup_error_ Error problem = {0};
    int r;

    log_open("slipway-ssh");
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc != 2) {
        (void)fprintf(stderr, "usage: slipway-ssh ssh://[USER@]HOST[:PORT][/STATE][?agent=PROGRAM]"
                              "[&config=PATH]\n"
                              "An agent on another host, on stdin and stdout.\n");
        return EX_USAGE;
    }
    r = run(argv[1], &problem);
    return r < 0 ? report(r, error_text(&problem)) : EX_OK;
}
