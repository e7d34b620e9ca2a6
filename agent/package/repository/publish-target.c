/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/publish-backend.h"

#include "protocol/base/clock.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* How soon a lock that another has is asked for again. The wait doubles: some targets make a
 * connection for each question. */
#define LOCK_RETRY_FIRST_MS ((int64_t)50)
#define LOCK_RETRY_MAX_MS ((int64_t)1000)

static const struct {
    const char *prefix;
    int (*open)(const char *address, const PublishAccess *access, PublishTarget **ret, Error *err);
} kinds[] = {
    {"/", publish_directory_open},
    {"http://", publish_http_open},
    {"https://", publish_http_open},
    {"ssh://", publish_ssh_open},
};

int publish_target_open(const char *address, const PublishAccess *access, PublishTarget **ret,
                        Error *err)
{
    static const PublishAccess none = {0};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        PublishTarget *target = NULL;
        int r;

        if (!text_has_prefix(address, kinds[i].prefix)) {
            continue;
        }
        r = kinds[i].open(address, access ? access : &none, &target, err);
        if (r < 0) {
            return r;
        }
        target->address = strdup(address);
        if (!target->address) {
            (void)publish_target_close(target);
            return error_set(err, -ENOMEM, "out of memory");
        }
        *ret = target;
        return 0;
    }
    return error_set(err, -EINVAL,
                     "'%s' is no place to publish to: it takes an absolute path, http://, "
                     "https:// or ssh://",
                     address);
}

PublishTarget *publish_target_close(PublishTarget *target)
{
    if (target) {
        free(target->address);
        target->backend->close(target);
    }
    return NULL;
}

const char *publish_target_address(const PublishTarget *target)
{
    return target->address;
}

void publish_wait(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

/* ---- verbs ------------------------------------------------------------------------------------
 */

/* Names are made by our own code, but of texts from indexes that others may have touched. */
static int check_name(const char *name, Error *err)
{
    for (const char *part = name;; part++) {
        size_t n = strcspn(part, "/");

        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.')) {
            return error_set(err, -EINVAL, "'%s' is no name in a repository", name);
        }
        part += n;
        if (!*part) {
            return 0;
        }
    }
}

static int tell(const PublishTarget *target, const char *verb, const char *name, int r, Error *err)
{
    return r < 0 ? error_wrap(err, "%s '%s' of '%s'", verb, name, target->address) : r;
}

int publish_target_read(PublishTarget *target, const char *name, Buffer *ret, Error *err)
{
    size_t before = ret->len;
    int r = check_name(name, err);

    ret->limit = ret->limit ? ret->limit : PUBLISH_READ_MAX;
    r = r == 0 ? target->backend->read(target, name, ret, err) : r;
    if (r < 0) {
        buffer_truncate(ret, before);
    }
    return tell(target, "reading", name, r, err);
}

int publish_target_put(PublishTarget *target, const char *name, const void *data, size_t n,
                       Error *err)
{
    int r = check_name(name, err);

    r = r == 0 ? target->backend->put(target, name, data, n, err) : r;
    return tell(target, "writing", name, r, err);
}

int publish_target_put_file(PublishTarget *target, const char *name, int fd, int64_t size_bytes,
                            Error *err)
{
    int r = check_name(name, err);

    r = r == 0 ? target->backend->put_file(target, name, fd, size_bytes, err) : r;
    return tell(target, "writing", name, r, err);
}

int publish_target_remove(PublishTarget *target, const char *name, Error *err)
{
    int r = check_name(name, err);

    r = r == 0 ? target->backend->remove(target, name, err) : r;
    return tell(target, "removing", name, r, err);
}

/* ---- the lock ---------------------------------------------------------------------------------
 */

int publish_lock_format(const char *holder, int64_t now_us, Buffer *ret)
{
    char since[CLOCK_TEXT_SIZE];

    return buffer_append_format(ret, "%.*s\n%s\n", (int)MIN(strcspn(holder, "\n"), (size_t)512),
                                holder, clock_format(now_us, since));
}

int publish_lock_tell(const char *text, const char *address, Error *err)
{
    size_t holder = strcspn(text, "\n");
    const char *since = text + holder + (text[holder] == '\n');

    if (holder == 0) { /* it may be about to write who it is */
        (void)error_set(err, -EBUSY, "somebody else is publishing to '%s'", address);
    } else {
        (void)error_set(err, -EBUSY, "%.*s has been publishing to '%s' since %.*s", (int)holder,
                        text, address, (int)strcspn(since, "\n"), since);
    }
    return PUBLISH_LOCK_HELD;
}

int publish_target_lock(PublishTarget *target, const char *holder, int64_t timeout_ms, Error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms, pause_ms = LOCK_RETRY_FIRST_MS;

    for (;;) {
        _cleanup_error_ Error problem = {0};
        int r = target->backend->take_lock(target, holder, &problem);
        int64_t left_ms = deadline_ms - clock_monotonic_ms();

        if (r == 0) {
            return 0;
        }
        if (r < 0) {
            return error_set(err, r, "cannot lock '%s': %s", target->address, error_text(&problem));
        }
        if (left_ms <= 0) {
            return error_set(err, -EBUSY, "%s", error_text(&problem));
        }
        if (pause_ms == LOCK_RETRY_FIRST_MS) {
            log_debug("%s: waiting", error_text(&problem));
        }
        publish_wait(MIN(pause_ms, left_ms));
        pause_ms = MIN(2 * pause_ms, LOCK_RETRY_MAX_MS);
    }
}

int publish_target_keep_lock(PublishTarget *target, Error *err)
{
    return target->backend->keep_lock ? target->backend->keep_lock(target, err) : 0;
}
