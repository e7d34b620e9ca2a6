/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/publish-lease.h"

#include "agent/package/repository/publish-backend.h"
#include "protocol/base/clock.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* This very process, so that another on this host can see whether it still lives: the kernel's
 * boot, the namespace that our number is of, the number. */
static int append_process(Buffer *text)
{
    _cleanup_buffer_ Buffer boot = BUFFER_INIT(128);
    char space[64] = "";
    ssize_t n = readlink("/proc/self/ns/pid", space, sizeof(space) - 1);

    if (n < 0 || file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &boot, NULL) < 0) {
        return 0;
    }
    space[n] = '\0';
    return buffer_append_format(text, "%.*s %s %ld\n", (int)strcspn(boot.data, "\n"), boot.data,
                                space, (long)getpid());
}

static const char *line_of(const char *text, unsigned line)
{
    while (line-- > 0) {
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return text;
}

/* Its process was of this boot and of our namespace, and is not there. */
static bool is_holder_gone(const char *text)
{
    _cleanup_buffer_ Buffer own = BUFFER_INIT(512);
    const char *theirs = line_of(text, 2);
    size_t same;
    int64_t pid;
    _cleanup_free_ char *number = NULL;

    if (append_process(&own) < 0 || own.len == 0) {
        return false;
    }
    same = (size_t)(strrchr(own.data, ' ') + 1 - own.data);
    if (strncmp(own.data, theirs, same) != 0) {
        return false;
    }
    number = strndup(theirs + same, strcspn(theirs + same, "\n"));
    return number && text_parse_int(number, 1, INT32_MAX, &pid) == 0 && kill((pid_t)pid, 0) < 0 &&
           errno == ESRCH;
}

static bool has_run_out(const char *text)
{
    const char *line = line_of(text, 1);
    _cleanup_free_ char *since = strndup(line, strcspn(line, "\n"));
    int64_t since_us;

    return since && clock_parse(since, &since_us) == 0 &&
           clock_wall_us() - since_us > PUBLISH_LEASE_US;
}

int publish_lease_format(const char *holder, Buffer *ret)
{
    int r = publish_lock_format(holder, clock_wall_us(), ret);

    return r == 0 ? append_process(ret) : r;
}

bool publish_lease_is_over(const char *text)
{
    return is_holder_gone(text) || has_run_out(text);
}
