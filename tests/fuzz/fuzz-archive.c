/* SPDX-License-Identifier: MIT */
/* Any bytes as an archive: either nothing is left of it, or a tree that holds only files,
 * directories and links; and the kernel, asked to stay below the tree (openat2, RESOLVE_BENEATH),
 * finds no link in it that leads out. Never is there anything beside it. */
#include "protocol/artifact/archive.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONTENT_MAX ((int64_t)1 << 20)
#define ENTRIES_MAX 200

/* -EXDEV: it leads out. A link to nothing, or to itself, is nobody's danger. */
static void require_inside(int root_fd, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));

    require(fd >= 0 || errno != EXDEV);
    (void)fd_close(fd);
}

static void check_tree(int root_fd, const char *path)
{
    DIR *dir = fdopendir(openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct dirent *entry;

    require(dir);
    while ((entry = readdir(dir))) {
        _cleanup_free_ char *below = NULL;
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        require(asprintf(&below, "%s/%s", path, entry->d_name) > 0);
        require(fstatat(root_fd, below, &st, AT_SYMLINK_NOFOLLOW) == 0);
        require(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
        require((st.st_mode & (S_ISUID | S_ISGID | S_ISVTX)) == 0 || !S_ISREG(st.st_mode));
        require_inside(root_fd, below);
        if (S_ISDIR(st.st_mode)) {
            check_tree(root_fd, below);
        }
    }
    (void)closedir(dir);
}

static void check_only(const char *path, const char *name)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    require(dir);
    while ((entry = readdir(dir))) {
        require(entry->d_name[0] == '.' || (name && strcmp(entry->d_name, name) == 0));
    }
    (void)closedir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const ArchiveLimits limits = {.max_bytes = CONTENT_MAX, .max_entries = ENTRIES_MAX};
    _cleanup_fd_ int in = memfd_create("archive", MFD_CLOEXEC), parent = -1, root = -1;
    char path[] = "/tmp/slipway-fuzz-XXXXXX";
    _cleanup_error_ Error err = {0};
    int r;

    require(in >= 0 && mkdtemp(path));
    parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    require(parent >= 0 && fd_write_all(in, data, size) == 0 && lseek(in, 0, SEEK_SET) == 0);
    r = archive_unpack(in, parent, "out", &limits, NULL, NULL, &err);
    require(r == 0 || (r == err.code && *error_text(&err)));
    check_only(path, r == 0 ? "out" : NULL);
    if (r == 0) {
        root = openat(parent, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        require(root >= 0);
        check_tree(root, ".");
        require(file_tree_size(parent, "out") <= CONTENT_MAX + ENTRIES_MAX * 140 * 4096);
    }
    require(file_remove_tree(AT_FDCWD, path, NULL) == 0);
    return 0;
}
