/* SPDX-License-Identifier: MIT */
/* An image layout as one file that everybody takes: an OCI archive (skopeo oci-archive:, podman
 * load) that is docker's own format (docker load of every version, skopeo docker-archive:) as well,
 * because docker's manifest.json in it names the same blobs. */
#pragma once

#include "protocol/artifact/archive.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdint.h>

/* Writes the tar of the layout to `out_fd`; its times are `time`, in seconds. `reference` is the
 * name that docker gives the image, as from oci_archive_reference. Of several platforms' images
 * docker's part has this host's, or none where there is none. */
int oci_archive_write(int layout_fd, const char *reference, int64_t time, int out_fd,
                      ArchiveSummary *ret, Error *err) _must_check_;

/* Appends "NAME:TAG". A tag takes letters, digits, "_", "." and "-": whatever else a version has
 * becomes
 * "_" ("1.0+3" is 1.0_3, as Helm has it). -EINVAL for a name that no registry takes, saying why. */
int oci_archive_reference(const char *name, const char *version, Buffer *ret,
                          Error *err) _must_check_;
