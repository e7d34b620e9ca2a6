/* SPDX-License-Identifier: MIT */
#include "agent/release/nonces.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* A nonce a line for every production deploy there ever was: thirty a day for sixty years. */
#define NONCES_FILE_MAX ((size_t)32 << 20)

/* A torn last line is a nonce that was not taken: what it would have allowed was not begun. */
static bool has_nonce(const Buffer *text, const char *nonce)
{
    size_t n = strlen(nonce);
    const char *line = buffer_text(text), *feed;

    while ((feed = strchr(line, '\n'))) {
        if ((size_t)(feed - line) == n && memcmp(line, nonce, n) == 0) {
            return true;
        }
        line = feed + 1;
    }
    return false;
}

static int append(int fd, const Buffer *text, const char *nonce)
{
    _cleanup_buffer_ Buffer line = {0};
    bool is_torn = text->len > 0 && text->data[text->len - 1] != '\n';
    int r = buffer_append_format(&line, "%s%s\n", is_torn ? "\n" : "", nonce);

    r = r == 0 ? fd_write_all(fd, line.data, line.len) : r;
    return r == 0 && fsync(fd) < 0 ? -errno : r;
}

int nonces_take(int dir_fd, const char *nonce, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(NONCES_FILE_MAX);
    _cleanup_fd_ int fd = -1;
    int r;

    fd = openat(dir_fd, NONCES_FILE, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0) {
        return error_set_errno(err, -errno, "cannot open the nonces that were taken");
    }
    r = file_read(dir_fd, NONCES_FILE, &text, err);
    if (r < 0) {
        return r;
    }
    if (has_nonce(&text, nonce)) {
        return NONCES_SEEN;
    }
    r = append(fd, &text, nonce);
    r = r == 0 ? file_sync_dir(dir_fd) : r;
    return r < 0 ? error_set_errno(err, r, "cannot write down that a nonce was taken") : 0;
}
