/* SPDX-License-Identifier: MIT */
/* A header of an rpm: numbered values of a few types, in one region that says where it ends, so
 * that it can be digested and signed. Both headers of a package have this form. */
#pragma once

#include "agent/package/rpm/rpm-tags.h"
#include "protocol/base/buffer.h"

#include <stdint.h>

typedef struct RpmHeaderEntry RpmHeaderEntry;

typedef struct RpmHeader {
    RpmHeaderEntry *entries;
    size_t count;
    size_t allocated;
} RpmHeader;

/* As rpm's HEADER_DATA_MAX: more is refused by every reader. */
#define RPM_HEADER_BYTES_MAX ((size_t)0x0fffffff)

void rpm_header_done(RpmHeader *header);
#define _cleanup_rpm_header_ _cleanup_(rpm_header_done)

/* One value. A tag is set once. -ENOMEM; NULL text leaves it out. */
int rpm_header_set_text(RpmHeader *header, RpmTag tag, const char *text) _must_check_;
int rpm_header_set_translated(RpmHeader *header, RpmTag tag, const char *text) _must_check_;
int rpm_header_set_binary(RpmHeader *header, RpmTag tag, const void *data, size_t n) _must_check_;

/* One more value of an array. -ENOMEM, -ENOBUFS at RPM_HEADER_BYTES_MAX. */
int rpm_header_append_text(RpmHeader *header, RpmTag tag, const char *text) _must_check_;
int rpm_header_append_int16(RpmHeader *header, RpmTag tag, uint16_t value) _must_check_;
int rpm_header_append_int32(RpmHeader *header, RpmTag tag, uint32_t value) _must_check_;

/* Appends the header as it stands in the file; `region` is RPM_REGION or RPM_SIGNATURE_REGION. */
int rpm_header_format(RpmHeader *header, RpmTag region, Buffer *out) _must_check_;
