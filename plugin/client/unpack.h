/* SPDX-License-Identifier: MIT */
/* Unpacks and digests an archive while its file still grows, in a thread of its own: a download of
 * which the last piece came is nearly unpacked. What was unpacked is put in place only when size
 * and digest are those that were announced. */
#pragma once

#include "protocol/artifact/digest.h"
#include "protocol/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Unpack Unpack;

/* How it ended. */
typedef struct UnpackResult {
    char sha256[DIGEST_HEX_SIZE]; /* of the file's bytes */
    bool is_right;                /* they are what was announced */
    int code; /* 0: it is in place; else why not, with the sentence in `error` */
    Error error;
} UnpackResult;

void unpack_result_done(UnpackResult *result);

/* Starts to unpack `file_fd` (borrowed for this call) into the fresh directory `directory`.
 * -EEXIST: that is there already. */
int unpack_start(int file_fd, int64_t size, const char *sha256, const char *directory, Unpack **ret,
                 Error *err) _must_check_;

/* The file has its first `n_bytes` by now. */
void unpack_tell(Unpack *u, int64_t n_bytes);

/* Waits for its end, after all bytes were told. Frees it. */
void unpack_finish(Unpack *u, UnpackResult *ret);

/* Stops it, if it goes on still, and removes what it made. NULL is nothing. */
Unpack *unpack_free(Unpack *u);
DEFINE_CLEANUP(Unpack, unpack_free)
