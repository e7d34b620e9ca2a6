/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/systemd.h"

#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool is_for_us(const char *pid_text)
{
    int64_t pid;

    return pid_text && text_parse_int(pid_text, 1, INT_MAX, &pid) == 0 && pid == getpid();
}

int systemd_take_listen_fds(Error *err)
{
    const char *count = getenv("LISTEN_FDS");
    int64_t n = 0;
    int r = 0;

    if (count && is_for_us(getenv("LISTEN_PID"))) {
        r = text_parse_int(count, 0, SYSTEMD_FDS_MAX, &n);
        if (r < 0) {
            r = error_set(err, -EINVAL, "LISTEN_FDS is '%s', not a number up to %d", count,
                          SYSTEMD_FDS_MAX);
        }
    }
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDNAMES");
    return r < 0 ? r : (int)n;
}

void systemd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_fd_ int fd = -1;
    socklen_t size;

    if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof(address.sun_path)) {
        return;
    }
    memcpy(address.sun_path, path, strlen(path));
    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (*path == '@') { /* abstract: the length says where the name ends */
        address.sun_path[0] = '\0';
    } else {
        size++;
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
                         (const struct sockaddr *)&address, size) < 0) {
        log_debug("telling systemd '%s': %s", state, strerror(errno));
    }
}

int64_t systemd_watchdog_ms(void)
{
    const char *text = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    int64_t us;

    if (!text || (pid && !is_for_us(pid)) || text_parse_int(text, 1, INT64_MAX, &us) < 0) {
        return 0;
    }
    /* Twice in the time, as sd_watchdog_enabled(3) advises. */
    return MAX(us / 2000, 1);
}
