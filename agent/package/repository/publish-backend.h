/* SPDX-License-Identifier: MIT */
/* What a kind of target has to do for publish-target.h. Internal to this room: one file for each
 * kind, and one line in publish-target.c's table. */
#pragma once

#include "agent/package/repository/publish-target.h"

/* For take_lock: somebody else has it, and `err` says who. */
#define PUBLISH_LOCK_HELD 1

typedef struct PublishBackend {
    int (*read)(PublishTarget *target, const char *name, Buffer *ret, Error *err);
    int (*put)(PublishTarget *target, const char *name, const void *data, size_t n, Error *err);
    int (*put_file)(PublishTarget *target, const char *name, int fd, int64_t size_bytes,
                    Error *err);
    int (*remove)(PublishTarget *target, const char *name, Error *err);
    int (*take_lock)(PublishTarget *target, const char *holder, Error *err);
    int (*keep_lock)(PublishTarget *target, Error *err); /* NULL: it does not run out */
    void (*close)(PublishTarget *target);
} PublishBackend;

/* The first member of each kind's own type. */
struct PublishTarget {
    const PublishBackend *backend;
    char *address;
};

/* Each takes an address that is its kind's. `address` of the target is not set before it returns.
 */
int publish_directory_open(const char *address, const PublishAccess *access, PublishTarget **ret,
                           Error *err) _must_check_;
int publish_http_open(const char *address, const PublishAccess *access, PublishTarget **ret,
                      Error *err) _must_check_;
int publish_ssh_open(const char *address, const PublishAccess *access, PublishTarget **ret,
                     Error *err) _must_check_;

/* Before another attempt. */
void publish_wait(int64_t ms);

/* What a lock's file says: the holder on the first line, the time on the second. */
int publish_lock_format(const char *holder, int64_t now_us, Buffer *ret) _must_check_;

/* -EBUSY in `err` with who that is, as far as the text tells; returns PUBLISH_LOCK_HELD. */
int publish_lock_tell(const char *text, const char *address, Error *err);
