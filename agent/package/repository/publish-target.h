/* SPDX-License-Identifier: MIT */
/* Where a repository is published: a few verbs over a tree of files, whatever carries them. Names
 * are relative to the repository's top, with slashes, without `.` and `..`.
 *
 * What makes a repository whole for its readers is the order of writing, which is the caller's:
 * first what nothing points to yet, last the one file that points to everything. A target gives for
 * each file that readers see the old one or the new one, never a mixture, and that a put which has
 * returned is there after a power cut as far as the other side can promise it. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* What may be read back: indexes, not packages. */
#define PUBLISH_READ_MAX ((size_t)256 << 20)

typedef struct PublishTarget PublishTarget;

/* What the operator says besides the address; each may be NULL. Borrowed while the target is open.
 */
typedef struct PublishAccess {
    const char *authorization_file; /* for http(s): its line is the header Authorization's value */
    const char *ca_file;            /* for https: PEM, trusted besides the system's */
    const char *ssh_config_file;    /* for ssh: read instead of the user's and the system's */
} PublishAccess;

/* `address` is an absolute path (the directory is made where it is missing), or
 * "http://HOST[:PORT]/PATH" or "https://…" of a server that takes PUT and DELETE, or
 * "ssh://[USER@]HOST[:PORT]/PATH" of a host with a POSIX shell, which is connected to when it is
 * needed (SIGPIPE has to be ignored). -EINVAL: it is none of these, or plain http to another host
 * with an authorization. */
int publish_target_open(const char *address, const PublishAccess *access, PublishTarget **ret,
                        Error *err) _must_check_;
PublishTarget *publish_target_close(PublishTarget *target); /* lets go of the lock */
DEFINE_CLEANUP(PublishTarget, publish_target_close)

/* As it was given; borrowed. */
const char *publish_target_address(const PublishTarget *target);

/* Appends the file: 1. 0: there is none of that name. -ENOBUFS: it is larger than `ret` may grow,
 * PUBLISH_READ_MAX unless it says otherwise. */
int publish_target_read(PublishTarget *target, const char *name, Buffer *ret,
                        Error *err) _must_check_;

/* Writes the file whole, with the directories that lead to it. */
int publish_target_put(PublishTarget *target, const char *name, const void *data, size_t n,
                       Error *err) _must_check_;

/* The same from the beginning of a file, whose size is known. */
int publish_target_put_file(PublishTarget *target, const char *name, int fd, int64_t size_bytes,
                            Error *err) _must_check_;

/* Missing is success. */
int publish_target_remove(PublishTarget *target, const char *name, Error *err) _must_check_;

/* Who publishes, for whoever waits: "call c1 (process 12 on build-1)". */
#define PUBLISH_HOLDER_MAX ((size_t)1024)

/* Takes the repository's lock for whoever `holder` says, waiting for another holder up to
 * `timeout_ms`. -EBUSY: it has it still, and `err` says who. A lock whose holder is gone is not in
 * the way: the kernel lets go of it, or a shell over there, or, where there is neither, the time
 * that it was taken for runs out. */
int publish_target_lock(PublishTarget *target, const char *holder, int64_t timeout_ms,
                        Error *err) _must_check_;

/* Between steps that take long: keeps the lock, where it would run out. -ESTALE: somebody else has
 * it by now. */
int publish_target_keep_lock(PublishTarget *target, Error *err) _must_check_;
