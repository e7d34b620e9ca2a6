/* SPDX-License-Identifier: MIT */
#include "agent/calls/store/inputs.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART ".part"
#define DIGEST ".sha256"
#define DIGEST_LEN 64

typedef struct InputNames {
    char part[NAME_MAX + 1];
    char digest[NAME_MAX + 1];
} InputNames;

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);

    return n >= m && strcmp(name + n - m, suffix) == 0;
}

static bool is_digest(const char *text)
{
    return strlen(text) == DIGEST_LEN && strspn(text, "0123456789abcdef") == DIGEST_LEN;
}

static int check_request(const char *name, int64_t offset, size_t n, bool is_last,
                         const char *sha256, Error *err)
{
    if (!text_is_identifier(name) || has_suffix(name, PART) || has_suffix(name, DIGEST)) {
        return error_set(err, -EINVAL,
                         "'%s' is no name for an input: 1 to 128 of A-Z a-z 0-9 . _ -, beginning "
                         "with neither . nor -, ending with neither " PART " nor " DIGEST,
                         name);
    }
    if (is_last && (!sha256 || !is_digest(sha256))) {
        return error_set(
            err, -EINVAL,
            "the last piece of input '%s' needs the sha256 of the whole: 64 lower-case "
            "hexadecimal digits",
            name);
    }
    if (offset < 0) {
        return error_set(err, -EILSEQ, "input '%s': an offset below 0", name);
    }
    if (offset > INPUTS_SIZE_MAX || (int64_t)n > INPUTS_SIZE_MAX - offset) {
        return error_set(err, -EFBIG, "input '%s' would be larger than %lld bytes", name,
                         (long long)INPUTS_SIZE_MAX);
    }
    return 0;
}

/* The whole input is there: a repetition fits into it and, at its end, states its digest. */
static int repeat(int inputs_fd, const char *name, const InputNames *names, int64_t end,
                  bool is_last, const char *sha256, int64_t *ret_size, Error *err)
{
    char digest[DIGEST_LEN + 1] = "";
    _cleanup_fd_ int fd = openat(inputs_fd, names->digest, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;

    if (fstatat(inputs_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return error_set_errno(err, -errno, "input '%s'", name);
    }
    if (end > st.st_size || (is_last && end != st.st_size)) {
        return error_set(err, -EILSEQ, "input '%s' is complete with %lld bytes", name,
                         (long long)st.st_size);
    }
    if (is_last && (fd < 0 || fd_read_full(fd, digest, DIGEST_LEN) < DIGEST_LEN ||
                    strcmp(digest, sha256) != 0)) {
        return error_set(err, -EILSEQ, "input '%s' is complete with another sha256", name);
    }
    *ret_size = st.st_size;
    return 0;
}

/* Digest before name: an input that has its name is complete. Nothing is synced: gigabytes would
 * hold up the loop, and what a power cut takes is found by whoever checks the digest. */
static int complete(int inputs_fd, const char *name, const InputNames *names, const char *sha256,
                    Error *err)
{
    _cleanup_fd_ int fd = openat(inputs_fd, names->digest,
                                 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 ? -errno : fd_write_all(fd, sha256, DIGEST_LEN);

    if (r == 0 && renameat(inputs_fd, names->part, inputs_fd, name) < 0) {
        r = -errno;
    }
    return r < 0 ? error_set_errno(err, r, "writing input '%s'", name) : 0;
}

static int append(int fd, const char *name, int64_t size, int64_t offset, const void *data,
                  size_t n, Error *err)
{
    size_t known = (size_t)(size - offset); /* of a repetition */
    int r;

    if (known >= n) {
        return 0;
    }
    if (lseek(fd, size, SEEK_SET) < 0) {
        return error_set_errno(err, -errno, "writing input '%s'", name);
    }
    r = fd_write_all(fd, (const char *)data + known, n - known);
    if (r < 0) {
        (void)!ftruncate(fd, size); /* what was taken before still counts */
        return error_set_errno(err, r, "writing input '%s'", name);
    }
    return 0;
}

int inputs_write(int inputs_fd, const char *name, int64_t offset, const void *data, size_t n,
                 bool is_last, const char *sha256, int64_t *ret_size, Error *err)
{
    _cleanup_fd_ int fd = -1;
    InputNames names;
    struct stat st;
    int64_t end;
    int r = check_request(name, offset, n, is_last, sha256, err);

    if (r < 0) {
        return r;
    }
    (void)snprintf(names.part, sizeof(names.part), "%s" PART, name);
    (void)snprintf(names.digest, sizeof(names.digest), "%s" DIGEST, name);
    end = offset + (int64_t)n;
    if (file_exists(inputs_fd, name)) {
        return repeat(inputs_fd, name, &names, end, is_last, sha256, ret_size, err);
    }
    fd = openat(inputs_fd, names.part,
                O_WRONLY | O_CLOEXEC | O_NOFOLLOW | (offset == 0 ? O_CREAT : 0), 0600);
    if (fd < 0 && errno == ENOENT) {
        return error_set(err, -EILSEQ, "input '%s' has 0 bytes so far, not %lld", name,
                         (long long)offset);
    }
    if (fd < 0 || fstat(fd, &st) < 0) {
        return error_set_errno(err, -errno, "writing input '%s'", name);
    }
    if (offset > st.st_size || (is_last && end < st.st_size)) {
        return error_set(err, -EILSEQ, "input '%s' has %lld bytes so far; a piece %lld to %lld %s",
                         name, (long long)st.st_size, (long long)offset, (long long)end,
                         is_last ? "cannot end it" : "would leave a gap");
    }
    r = append(fd, name, st.st_size, offset, data, n, err);
    r = r == 0 && is_last ? complete(inputs_fd, name, &names, sha256, err) : r;
    if (r < 0) {
        return r;
    }
    *ret_size = MAX(end, (int64_t)st.st_size);
    return 0;
}

int inputs_remove_old(int inputs_fd, int64_t before_us,
                      bool (*is_used)(const char *name, void *userdata), void *userdata)
{
    int fd = openat(inputs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        (void)fd_close(fd);
        return 0;
    }
    while ((entry = readdir(dir))) {
        char name[NAME_MAX + 1];
        struct stat st;

        if (entry->d_name[0] == '.' || has_suffix(entry->d_name, DIGEST) ||
            fstatat(inputs_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            st.st_mtim.tv_sec >= before_us / 1000000) {
            continue;
        }
        (void)snprintf(name, sizeof(name), "%s", entry->d_name);
        if (has_suffix(name, PART)) {
            name[strlen(name) - strlen(PART)] = '\0';
        }
        if (!is_used(name, userdata) && unlinkat(inputs_fd, entry->d_name, 0) == 0) {
            n++;
            (void)snprintf(name, sizeof(name), "%.*s" DIGEST, TEXT_IDENTIFIER_MAX, entry->d_name);
            (void)unlinkat(inputs_fd, name, 0);
        }
    }
    (void)closedir(dir);
    return n;
}
