/* SPDX-License-Identifier: MIT */
/* How something comes in pieces, for those who say what is done with it: download.c has artifacts,
 * download-log.c has the audit log. */
#pragma once

#include "plugin/client/client.h"
#include "plugin/client/unpack.h"
#include "protocol/evidence/chain.h"

#define DOWNLOAD_WINDOW 8
#define DOWNLOAD_SIZE_MAX ((int64_t)1 << 50)

typedef struct Download Download;

/* One piece that was asked for. Slots are used in turn, so slot order is file order. */
typedef struct DownloadSlot {
    Download *download;
    int64_t offset;
    int64_t length;
    Buffer early; /* came before the one in front of it */
    bool is_asked;
    bool is_early;
} DownloadSlot;

/* What is fetched, and when it is right. */
typedef struct DownloadKind {
    const char *method;
    bool may_grow; /* meanwhile: what `isLast` says is of another moment */
    int (*conclude)(Download *d,
                    Error *err); /* 1: it is in its place. 0: once more from the start */
} DownloadKind;

struct Download {
    const DownloadKind *kind;
    SlipwayClient *client;
    char *artifact; /* NULL: the audit log */
    char *path;
    char *part;
    char *directory; /* where it is unpacked; NULL: it is not */
    char sha256[DIGEST_HEX_SIZE];
    int64_t size;
    int64_t piece;
    int64_t asked;   /* up to here pieces were asked for */
    int64_t written; /* up to here they are in the file */
    int fd;
    Digest *digest; /* NULL: it is made elsewhere */
    Unpack *unpack; /* which makes the digest; of the file, or without one if that is -1 */
    Error problem;  /* why it cannot be unpacked, although it is right */
    int64_t started_ms;
    bool is_undecided; /* whether it is unpacked without a file; until then its bytes are held */
    Buffer held;
    DownloadSlot slots[DOWNLOAD_WINDOW];
    unsigned first; /* slot of the piece at `written` */
    unsigned n_asked;
    bool is_resumed;
    int copy_fd;       /* log: an earlier copy, or -1 */
    int64_t copy_size; /* log: of its whole lines */
    int64_t overlap;   /* log: from here on its bytes are fetched again */
    ChainHead head;    /* log: what the host says of its end */
    bool is_evidence;  /* log: the part file is to be looked at */
    bool is_over;      /* the outcome was told; kept until the last answer came */
    SlipwayProgressCallback progress;
    SlipwayDoneCallback done;
    void *userdata;
};

/* `path` is copied. -ENOMEM. */
int download_new(SlipwayClient *client, const DownloadKind *kind, const char *path,
                 Download **ret) _must_check_;
Download *download_free(Download *d);
DEFINE_CLEANUP(Download, download_free)

/* Asks for what is missing, concludes when all is there, and frees it when all is over. */
void download_go_on(Download *d);

/* Tells the failure, saying what was fetched; `err` is emptied. */
void download_fail(Download *d, int code, Error *err);

/* The part file becomes the file. 1 */
int download_put_in_place(Download *d, Error *err) _must_check_;
