/* SPDX-License-Identifier: MIT */
/* What kind of private key is in a file, without opening it: its public part and whether a
 * passphrase is before it stand in the clear. So no key is offered that cannot be used. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>

#define KEY_FILE_SIZE_MAX ((size_t)64 << 10)

typedef struct KeyFile {
    char type[64];     /* "ssh-ed25519", "ssh-rsa", …; "" where only the inside says it */
    bool is_encrypted; /* needs a passphrase */
    bool is_public;    /* a public key: it chooses one of the agent's */
    Buffer blob; /* the public key as it is on the wire; empty where only the inside says it */
} KeyFile;

/* OpenSSH's own format, PEM, or a public key's line. -EINVAL: it is none of them. */
int key_file_parse(const char *text, size_t n, KeyFile *ret, Error *err) _must_check_;

/* Reads a file; `PATH.pub` beside it says the public key where the file itself does not. */
int key_file_read(const char *path, KeyFile *ret, Error *err) _must_check_;

void key_file_done(KeyFile *key);
#define _cleanup_key_file_ _cleanup_(key_file_done)

/* The type that a public key on the wire begins with; false where there is none. */
bool key_file_blob_type(const char *blob, size_t n, char type[static 64]);
