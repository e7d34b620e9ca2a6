/* SPDX-License-Identifier: MIT */
#include "plugin/ssh/far-agent.h"

#include "protocol/ssh/ssh-exec.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>

#define PROGRAM "slipway-agent"
#define PLAIN_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%"
/* What a shell answers for what it cannot run, and for what it cannot find. */
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

/* Most shells understand single quotes, all understand none. */
static int append_word(Buffer *command, const char *word)
{
    return *word && !word[strspn(word, PLAIN_CHARACTERS)] ? buffer_append_text(command, word)
                                                          : ssh_quote(command, word);
}

static int append_option(Buffer *command, const char *option, const char *value)
{
    int r = buffer_append_format(command, " %s ", option);

    return r == 0 ? append_word(command, value) : r;
}

static const char *program_of(const SshAddress *address)
{
    const char *program = ssh_address_get(address, "agent");

    return program && *program ? program : PROGRAM;
}

int far_agent_command(const SshAddress *address, Buffer *ret, Error *err)
{
    const char *config = ssh_address_get(address, "config");
    int r;

    for (size_t i = 0; i < address->n_members; i++) {
        const char *name = address->members[i].name;

        if (strcmp(name, "agent") != 0 && strcmp(name, "config") != 0) {
            return error_set(err, -EINVAL,
                             "'%s=' means nothing in an address; there are agent=PROGRAM and "
                             "config=PATH",
                             name);
        }
    }
    if (*program_of(address) == '-') {
        return error_set(err, -EINVAL, "'%s' is no program", program_of(address));
    }
    r = append_word(ret, program_of(address));
    r = r == 0 ? buffer_append_text(ret, " --stdio") : r;
    r = r == 0 && config ? append_option(ret, "--config", config) : r;
    r = r == 0 && address->path ? append_option(ret, "--state", address->path) : r;
    return r == 0 ? 0 : error_set_errno(err, r, "the command line of the agent");
}

/* Its words without the line feeds at their end. */
static int tell(Error *err, int code, const char *head, const char *errors, const char *advice)
{
    size_t n = strlen(errors);

    while (n > 0 && strchr("\r\n", errors[n - 1])) {
        n--;
    }
    return error_set(err, code, "%s%s%.*s%s", head, n > 0 ? ": " : "", (int)n, errors, advice);
}

int far_agent_explain(const SshAddress *address, const char *name, const SshStatus *status,
                      const char *errors, bool has_spoken, Error *err)
{
    const char *program = program_of(address);
    _cleanup_buffer_ Buffer head = {0}, advice = {0};
    int code = SSH_BROKEN, r;

    if (status->is_signalled) {
        r = buffer_append_format(&head, "'%s' on '%s' was ended by SIG%s", program, name,
                                 status->signal);
    } else if (has_spoken) {
        r = buffer_append_format(&head, "'%s' on '%s' hung up (exit status %d)", program, name,
                                 status->exit_code);
    } else if (status->exit_code == EXIT_NOT_FOUND || status->exit_code == EXIT_NOT_EXECUTABLE) {
        code = -ENOENT;
        r = buffer_append_format(&head, "there is no '%s' to run on '%s'", program, name);
        r = r == 0 ? buffer_append_format(&advice,
                                          "\nInstall it there where PATH finds it, or say where it "
                                          "is: ssh://%s/?agent=/PATH/TO/" PROGRAM,
                                          name)
                   : r;
    } else {
        code = status->exit_code == EX_USAGE || status->exit_code == EX_CONFIG ? -EINVAL : code;
        r = buffer_append_format(&head, "'%s' on '%s' ended at once with exit status %d", program,
                                 name, status->exit_code);
    }
    return r < 0 ? error_set_errno(err, r, "the agent's end")
                 : tell(err, code, buffer_text(&head), errors, buffer_text(&advice));
}
