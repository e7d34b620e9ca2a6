/* SPDX-License-Identifier: MIT */
/* OpenPGP signatures of repositories, by GnuPG's own program: the key stays with it and its agent,
 * a smart card included. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

/* By reference, as agent.json has it. Borrowed. */
typedef struct GpgKey {
    const char *key;             /* a fingerprint, key id or address; what gpg takes as a user */
    const char *home;            /* GNUPGHOME; NULL: gpg's own */
    const char *passphrase_file; /* NULL: none, or the agent knows */
    const char *work_directory;  /* for files that live as long as a call of gpg */
} GpgKey;

/* Appends the text with its signature around it (RFC 9580, section 7). */
int gpg_clearsign(const GpgKey *key, const void *text, size_t n, Buffer *ret,
                  Error *err) _must_check_;

/* Appends a signature of the data alone, in armor. */
int gpg_detach_sign(const GpgKey *key, const void *data, size_t n, Buffer *ret,
                    Error *err) _must_check_;

/* Appends the text that was signed. -EKEYREJECTED: no key of the keyring at `home` has signed it as
 * it stands. */
int gpg_open_clearsigned(const GpgKey *key, const void *text, size_t n, Buffer *ret,
                         Error *err) _must_check_;

/* Whether the signature, armored or not, is over that data. -EKEYREJECTED as above. */
int gpg_verify_detached(const GpgKey *key, const void *data, size_t n, const void *signature,
                        size_t n_signature, Error *err) _must_check_;

/* Appends the public key, in armor. */
int gpg_export(const GpgKey *key, Buffer *ret, Error *err) _must_check_;
