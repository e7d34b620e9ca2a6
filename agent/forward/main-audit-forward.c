/* SPDX-License-Identifier: MIT */
/* slipway-audit-forward DIRECTORY TARGET: sends what a collector does not have of the audit log in
 * DIRECTORY. TARGET is `audit.forward` of agent.json, with the agent's name. A program of its own,
 * so that the agent, which parses what comes from outside, links no HTTP. */
#include "agent/forward/forward.h"
#include "protocol/base/log.h"
#include "protocol/json.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

/* It has the collector's token, and whoever started it may be gone before it could say so. */
static int protect(void)
{
    pid_t parent = getppid();

    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0) {
        return log_error_errno(-errno, "protecting the token");
    }
    if (getppid() != parent) {
        return -ESRCH;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return 0;
}

int main(int argc, char **argv)
{
    _cleanup_json_ Json *target = NULL;
    _cleanup_error_ Error err = {0};
    int r;

    log_open("slipway-audit-forward");
    if (argc != 3 || argv[1][0] != '/' || json_parse(argv[2], strlen(argv[2]), &target, NULL) < 0 ||
        !json_get_string(target, "url")) {
        log_error("usage: slipway-audit-forward DIRECTORY '{\"url\": …}', the directory's path "
                  "absolute");
        return EX_USAGE;
    }
    if (protect() < 0) {
        return EXIT_FAILURE;
    }
    r = forward_run(argv[1],
                    &(ForwardTarget){
                        .url = json_get_string(target, "url"),
                        .agent = json_get_string(target, "agent"),
                        .token_file = json_get_string(target, "tokenFile"),
                        .ca_file = json_get_string(target, "ca"),
                        .certificate_file = json_get_string(target, "certificate"),
                        .key_file = json_get_string(target, "key"),
                    },
                    &err);
    if (r < 0) {
        log_error("the audit log is not forwarded: %s", error_text(&err));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
