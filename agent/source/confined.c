/* SPDX-License-Identifier: MIT */
#include "agent/source/confined.h"

#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define MIRRORS "git"

int confined_open(const ConfinedPlaces *places, ConfinedKind kind, Confine *ret, Error *err)
{
    _cleanup_free_ char *mirrors = NULL;
    const char *writable[] = {places->workspace, NULL, NULL}, *readable[] = {NULL, NULL};
    int r;

    if (!places->state) {
        log_debug("nothing is confined");
        return 0;
    }
    if (asprintf(&mirrors, "%s/" MIRRORS, places->cache) < 0) {
        mirrors = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (kind == CONFINED_GIT) {
        r = file_make_dirs(mirrors, 0700, err); /* a rule is about something that is there */
        writable[1] = mirrors;
    } else {
        r = 0;
        readable[0] = mirrors;
    }
    r = r == 0 ? confine_open(&(ConfineRequest){.state = places->state,
                                                .writable = writable,
                                                .readable = readable},
                              ret, err)
               : r;
    if (r < 0) {
        return error_wrap(err, "the repository's commands cannot be kept out of the agent's state "
                               "directory (\"confine\": false in agent.json lets them in)");
    }
    log_debug("%s is confined by Landlock", kind == CONFINED_GIT ? "git" : "the step");
    return 1;
}
