/* SPDX-License-Identifier: MIT */
/* slipway-reach TIMEOUT-MS [NAME=ADDRESS]...: tells on stdout who answers (reach.h). A program of
 * its own, because the agent's one loop must wait neither for a name nor for a network. */
#include "agent/reach/reach.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define OUTPUT_MAX ((size_t)2 << 20)

static int fail_usage(void)
{
    log_error("usage: slipway-reach TIMEOUT-MS [NAME=ADDRESS]...");
    return EX_USAGE;
}

int main(int argc, char **argv)
{
    _cleanup_buffer_ Buffer out = BUFFER_INIT(OUTPUT_MAX);
    ReachTarget targets[REACH_TARGETS_MAX];
    int64_t timeout_ms;
    size_t n = 0;
    int r;

    log_open("slipway-reach");
    if (argc < 2 || argc - 2 > REACH_TARGETS_MAX ||
        text_parse_int(argv[1], 1, INT_MAX, &timeout_ms) < 0) {
        return fail_usage();
    }
    for (char **word = argv + 2; *word; word++) {
        char *equals = strchr(*word, '=');

        if (!equals || equals == *word) {
            return fail_usage();
        }
        *equals = '\0';
        targets[n++] = (ReachTarget){.name = *word, .address = equals + 1};
    }
    r = reach_all(targets, n, (int)timeout_ms, &out);
    r = r < 0 ? r : fd_write_all(STDOUT_FILENO, out.data, out.len);
    if (r < 0) {
        log_error_errno(r, "telling who answers");
        return EX_IOERR;
    }
    return EX_OK;
}
