/* SPDX-License-Identifier: MIT */
#include "agent/source/confine.h"

#include "protocol/base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Headers may be older than the kernel. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

/* All that the first version knows; EXECUTE is bit 0 and MAKE_SYM the last. */
#define RIGHTS_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

#define RIGHTS_READ \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE)

/* What can be granted on something that is no directory. */
#define RIGHTS_FILE                                                                              \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | \
     LANDLOCK_ACCESS_FS_TRUNCATE)

typedef struct Ruleset {
    int fd;
    uint64_t rights; /* that this kernel controls */
} Ruleset;

/* ---- the system calls, which glibc has no functions for ---------------------------------------
 */

static int get_version(void)
{
    long version =
        syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);

    return version < 0 ? -errno : (int)version;
}

static int create(Ruleset *ret)
{
    struct landlock_ruleset_attr attributes = {.handled_access_fs = RIGHTS_1};
    int version = get_version();

    if (version < 0) {
        return version;
    }
    /* Before the second version nothing can be moved to another directory. */
    if (version < 2) {
        return -EOPNOTSUPP;
    }
    attributes.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3) {
        attributes.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
    }
    ret->rights = attributes.handled_access_fs;
    ret->fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0U);
    return ret->fd < 0 ? -errno : 0;
}

static int allow(const Ruleset *rules, int fd, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {.parent_fd = fd,
                                              .allowed_access = rights & rules->rights};

    return syscall(SYS_landlock_add_rule, rules->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0U) < 0
               ? -errno
               : 0;
}

/* ---- the way ----------------------------------------------------------------------------------
 */

static bool is_other(const char *name, const char *next, size_t next_len)
{
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           (strncmp(name, next, next_len) != 0 || name[next_len]);
}

/* A symbolic link is nothing by itself: where it leads counts. What is gone meanwhile, or is none
 * of the user's, is left out. */
static int allow_entry(const Ruleset *rules, int dir_fd, const char *name)
{
    _cleanup_fd_ int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
    }
    if (S_ISLNK(st.st_mode)) {
        return 0;
    }
    return allow(rules, fd, S_ISDIR(st.st_mode) ? rules->rights : RIGHTS_FILE);
}

/* Everything in the directory but the next one on the way. */
static int allow_others(const Ruleset *rules, int dir_fd, const char *next, size_t next_len)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        r = -errno;
        (void)fd_close(fd);
        return r;
    }
    for (struct dirent *entry; r == 0 && (errno = 0, entry = readdir(dir));) {
        if (is_other(entry->d_name, next, next_len)) {
            r = allow_entry(rules, dir_fd, entry->d_name);
        }
    }
    r = r == 0 ? -errno : r;
    (void)closedir(dir);
    return r;
}

/* `way` is the absolute path of the state directory, without links in it; it is cut at its slashes
 * meanwhile. */
static int allow_beside(const Ruleset *rules, char *way, Error *err)
{
    _cleanup_fd_ int dir_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = dir_fd < 0 ? -errno : allow(rules, dir_fd, LANDLOCK_ACCESS_FS_READ_DIR);

    for (char *name = way + 1; r == 0 && *name;) {
        size_t n = strcspn(name, "/");
        bool is_last = !name[n];
        int next_fd;

        name[n] = '\0';
        r = allow_others(rules, dir_fd, name, n);
        next_fd = r == 0 ? openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        r = r == 0 && next_fd < 0 ? -errno : r;
        (void)fd_close(dir_fd);
        dir_fd = next_fd;
        if (!is_last) {
            name[n] = '/';
        }
        name += n + !is_last;
    }
    return r < 0 ? error_set_errno(err, r, "the way to '%s'", way) : 0;
}

static int allow_named(const Ruleset *rules, const char *const *paths, uint64_t rights, Error *err)
{
    for (; paths && *paths; paths++) {
        _cleanup_fd_ int fd = open(*paths, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r = fd < 0 ? -errno : allow(rules, fd, rights);

        if (r < 0 && r != -ENOENT) {
            return error_set_errno(err, r, "'%s'", *paths);
        }
    }
    return 0;
}

/* ---- all of it --------------------------------------------------------------------------------
 */

void confine_done(Confine *confine)
{
    confine->fd = fd_close(confine->fd);
}

int confine_open(const ConfineRequest *request, Confine *ret, Error *err)
{
    _cleanup_free_ char *way = realpath(request->state, NULL);
    _cleanup_confine_ Confine confine = CONFINE_INIT;
    Ruleset rules;
    int r;

    if (!way) {
        return error_set_errno(err, -errno, "the state directory '%s'", request->state);
    }
    r = create(&rules);
    if (r < 0) {
        return error_set_errno(err, r, "Landlock");
    }
    confine.fd = rules.fd;
    r = allow_beside(&rules, way, err);
    r = r == 0 ? allow_named(&rules, request->writable, rules.rights, err) : r;
    r = r == 0 ? allow_named(&rules, request->readable, RIGHTS_READ, err) : r;
    if (r < 0) {
        return r;
    }
    *ret = confine;
    confine = CONFINE_INIT;
    return 0;
}

static int restrict_self(const Confine *confine)
{
    return syscall(SYS_landlock_restrict_self, confine->fd, 0U) < 0 ? -errno : 0;
}

int confine_enter(const Confine *confine)
{
    int r = restrict_self(confine);

    if (r == -EPERM) {
        r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : restrict_self(confine);
    }
    return r;
}
