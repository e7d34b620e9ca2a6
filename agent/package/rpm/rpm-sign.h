/* SPDX-License-Identifier: MIT */
/* The signature over a package's header, which holds the digests of everything else: what
 * `rpm -K` and gpgcheck=1 look for. gpg makes it, so the key stays with it and its agent. */
#pragma once

#include "agent/package/repository/gpg.h"
#include "agent/package/rpm/rpm-header.h"

/* Signs `header` (its bytes in the file) and sets the signature in `signature`. */
int rpm_sign(const GpgKey *key, const Buffer *header, RpmHeader *signature,
             Error *err) _must_check_;

/* Where rpm looks for that OpenPGP signature packet: RPM_SIGNATURE_RSA, or RPM_SIGNATURE_DSA for
 * all other algorithms. -EBADMSG: it is no signature packet of version 4. */
int rpm_sign_find_tag(const void *packet, size_t n, RpmTag *ret, Error *err) _must_check_;

/* Appends what is inside an OpenPGP armor (RFC 9580 section 6.2). -EBADMSG. */
int rpm_sign_open_armor(const char *text, Buffer *out, Error *err) _must_check_;
