/* SPDX-License-Identifier: MIT */
/* Unpacks and digests an archive while it comes, in a thread of its own: a download of which the
 * last piece came is nearly unpacked. The bytes come from a file that grows, or are given. What was
 * unpacked is put in place only when size and digest are those that were announced. */
#pragma once

#include "protocol/artifact/digest.h"
#include "protocol/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Unpack Unpack;

/* How it ended. */
typedef struct UnpackResult {
    char sha256[DIGEST_HEX_SIZE]; /* of the bytes; "" if they could not be read */
    bool is_right;                /* they are what was announced */
    int code; /* 0: it is in place; else why not, with the sentence in `error` */
    Error error;
} UnpackResult;

void unpack_result_done(UnpackResult *result);

/* Starts to unpack into the fresh directory `directory` what comes to be in the file `file_fd`
 * (borrowed for this call), or where that is -1 what is given. -EEXIST: `directory` is there
 * already. */
int unpack_start(int file_fd, int64_t size, const char *sha256, const char *directory, Unpack **ret,
                 Error *err) _must_check_;

/* The file has its first `n_bytes` by now. */
void unpack_tell(Unpack *u, int64_t n_bytes);

/* The next bytes where there is no file. Waits for the thread where that is behind. */
void unpack_give(Unpack *u, const char *data, size_t n);

/* Waits for its end, after all bytes were told or given. Frees it. */
void unpack_finish(Unpack *u, UnpackResult *ret);

/* Stops it, if it goes on still, and removes what it made. NULL is nothing. */
Unpack *unpack_free(Unpack *u);
DEFINE_CLEANUP(Unpack, unpack_free)
