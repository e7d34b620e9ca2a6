/* SPDX-License-Identifier: MIT */
/* A hash-chained log: one JSON object on a line, each with the SHA-256 of the line before it.
 *
 *     {"seq":2,"time":"2026-11-25T10:00:00.000000Z","previous":"<64 hexadecimal digits>", …}\n
 *
 * `previous` is over the bytes of the line before, without its line feed; the first record has 64
 * zeros. So a record that is edited, taken out, put in or moved breaks the chain where it stood.
 * What a chain alone cannot show is a missing end: for that its head (seq and hash of the last
 * record) is kept beside it in NAME.head, and said in every receipt, which is signed and kept
 * elsewhere.
 *
 * A record is one write and one fsync. After a crash the last line may be torn: it is cut off by
 * the next who opens the log, unless all of it but its line feed is there. */
#pragma once

#include "protocol/artifact/digest.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#define CHAIN_RECORD_MAX ((size_t)64 << 10)

typedef struct ChainHead {
    uint64_t seq; /* 0: there is no record */
    char sha256[DIGEST_HEX_SIZE];
} ChainHead;

typedef struct Chain Chain;

/* Opens (or makes) the log for appending, alone: waits for whoever else has it open. Mends a torn
 * end. -EBADMSG: its end is no record, or it does not reach what NAME.head says; the log is to be
 * looked at by a person before anything is added. */
int chain_open(int dir_fd, const char *name, Chain **ret, Error *err) _must_check_;
Chain *chain_free(Chain *chain);
DEFINE_CLEANUP(Chain, chain_free)

/* Appends a record of these members (borrowed) and returns when it is on disk. On failure nothing
 * was added. -EINVAL: one is named seq, time or previous, which are the chain's own. */
int chain_append(Chain *chain, const Json *members, Error *err) _must_check_;

const ChainHead *chain_head(const Chain *chain);

/* Called for each record that is right. Not 0 ends the walk with that answer. */
typedef int (*ChainVisit)(const Json *record, const ChainHead *head, void *userdata);

/* Checks a whole log from its beginning. -EBADMSG names the record that is wrong and how.
 * `expected` (may be NULL) are heads that were said of it elsewhere, in any order: each has to be
 * in it. `visit` may be NULL. *ret_torn (may be NULL) says that the last line is torn. */
int chain_check(int fd, const ChainHead *expected, size_t n_expected, ChainVisit visit,
                void *userdata, ChainHead *ret, bool *ret_torn, Error *err) _must_check_;

/* Reads NAME.head. *ret has seq 0 where there is none. */
int chain_read_head(int dir_fd, const char *name, ChainHead *ret, Error *err) _must_check_;
