/* SPDX-License-Identifier: MIT */
#include "agent/calls/confinement.h"

#include "protocol/base/buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Since Linux 5.19, things can be moved to another directory in there. */
#define LANDLOCK_VERSION_MIN 2

/* Where programs make files of their own accord. */
typedef struct Place {
    const char *name; /* for people */
    const char *variable;
    const char *path; /* where there is no variable */
} Place;

static const Place places[] = {
    {"$HOME", "HOME", NULL},        {"$TMPDIR", "TMPDIR", NULL},    {"/tmp", NULL, "/tmp"},
    {"/var/tmp", NULL, "/var/tmp"}, {"/dev/shm", NULL, "/dev/shm"},
};

/* `below` is `path` or in it; both without links and without a slash at the end, but for "/". */
static bool is_within(const char *below, const char *path)
{
    size_t n = strcmp(path, "/") == 0 ? 0 : strlen(path);

    return strncmp(below, path, n) == 0 && (below[n] == '/' || below[n] == '\0');
}

/* Fills `why` where steps could not do in this place what they are used to. */
static int look_at_place(const Place *place, const char *state, Buffer *why)
{
    const char *path = place->variable ? getenv(place->variable) : place->path;
    _cleanup_free_ char *real = path && *path == '/' ? realpath(path, NULL) : NULL;

    if (!real) {
        return 0;
    }
    if (is_within(real, state)) {
        return buffer_append_format(why, "%s is in the state directory", place->name);
    }
    if (is_within(state, real) && access(real, W_OK) == 0) {
        return buffer_append_format(why, "the state directory is in %s, where steps make files",
                                    place->name);
    }
    return 0;
}

/* A directory on the way: what is beside the way has to be found, and made by nobody. */
static int look_at_way(const char *directory, Buffer *why)
{
    struct stat st;

    if (access(directory, R_OK | X_OK) < 0) {
        return buffer_append_format(why, "'%s' cannot be listed: %s", directory, strerror(errno));
    }
    if (stat(directory, &st) == 0 && (st.st_mode & S_ISVTX) && (st.st_mode & S_IWOTH)) {
        return buffer_append_format(
            why, "the state directory is in '%s', where anybody makes files", directory);
    }
    return 0;
}

/* `state` is cut and mended meanwhile. */
static int look_at_ways(char *state, Buffer *why)
{
    int r = look_at_way("/", why);

    for (char *slash = strchr(state + 1, '/'); slash && r == 0 && why->len == 0;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        r = look_at_way(state, why);
        *slash = '/';
    }
    return r;
}

static int look_at_kernel(Buffer *why)
{
    long version =
        syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);

    if (version < 0) {
        return buffer_append_format(why, "this kernel has no Landlock: %s", strerror(errno));
    }
    return version < LANDLOCK_VERSION_MIN
               ? buffer_append_text(why, "this kernel is older than 5.19, and its Landlock lets "
                                         "nobody move a file to another directory")
               : 0;
}

static int find_obstacle(const AgentConfig *config, Buffer *why)
{
    _cleanup_free_ char *state = realpath(config->state_directory, NULL);
    int r = look_at_kernel(why);

    if (r == 0 && why->len == 0 && !state) {
        r = buffer_append_format(why, "'%s': %s", config->state_directory, strerror(errno));
    }
    for (size_t i = 0; r == 0 && why->len == 0 && i < ARRAY_SIZE(places); i++) {
        r = look_at_place(&places[i], state, why);
    }
    r = r == 0 && why->len == 0 ? look_at_ways(state, why) : r;
    return r;
}

int confinement_init(Confinement *confinement, const AgentConfig *config)
{
    _cleanup_buffer_ Buffer why = BUFFER_INIT(0), note = BUFFER_INIT(0);
    int r = config->confine == CONFINE_NEVER ? buffer_append_text(&why, "agent.json says so")
                                             : find_obstacle(config, &why);

    if (r == 0) {
        r = why.len > 0 ? buffer_append_format(&note, "none: %s", buffer_text(&why))
                        : buffer_append_text(&note, "landlock");
    }
    *confinement = (Confinement){.is_on = why.len == 0};
    confinement->note = r == 0 ? buffer_take_text(&note) : NULL;
    return confinement->note ? 0 : -ENOMEM;
}

void confinement_done(Confinement *confinement)
{
    free(confinement->note);
    *confinement = (Confinement){0};
}
