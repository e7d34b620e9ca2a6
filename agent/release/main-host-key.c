/* SPDX-License-Identifier: MIT */
/* slipway-host-key DIRECTORY: makes the host's key where there is none. A program of its own, so
 * that the agent, which parses what comes from outside, links no libcrypto. */
#include "agent/release/host-key.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sysexits.h>

int main(int argc, char **argv)
{
    _cleanup_(key_freep) Key *key = NULL;
    _cleanup_error_ Error err = {0};

    log_open("slipway-host-key");
    if (argc != 2 || argv[1][0] != '/') {
        log_error("usage: slipway-host-key DIRECTORY, an absolute path");
        return EX_USAGE;
    }
    if (prctl(PR_SET_DUMPABLE, 0) < 0) {
        log_error_errno(-errno, "keeping the key out of core files");
        return EXIT_FAILURE;
    }
    if (host_key_open(argv[1], &key, &err) < 0) {
        log_error("%s", error_text(&err));
        return EXIT_FAILURE;
    }
    log_debug("the key of this host is %s", key_id(key));
    return EXIT_SUCCESS;
}
