/* SPDX-License-Identifier: MIT */
/* Bringing a release to a host: its files as one compressed stream, whose digest the host checks
 * before anything of it is unpacked; or from an earlier release there that has the same bytes. */
#pragma once

#include "agent/deploy/engines/ssh/ssh-remote.h"
#include "agent/deploy/engines/ssh/ssh-service.h"
#include "protocol/artifact/digest.h"

/* The stream, made once for all hosts. */
typedef struct SshUpload {
    int fd; /* a file without a name; -1: not made yet */
    char *root;
    char sha256[DIGEST_HEX_SIZE];
} SshUpload;

#define SSH_UPLOAD_INIT ((SshUpload){.fd = -1})

void ssh_upload_done(SshUpload *upload);

/* Makes `deployment` ready on a host that was asked about it, so that it can be switched to:
 * nothing that runs is touched. Without effect where it is ready. 0, or an answer of ssh-remote.h.
 */
int ssh_upload_stage(SshUpload *upload, SshRemote *remote, const SshService *service,
                     const char *deployment, Error *err) _must_check_;
