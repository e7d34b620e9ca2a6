/* SPDX-License-Identifier: MIT */
/* Names of the OCI image format that writer and reader share.
 * https://github.com/opencontainers/image-spec */
#pragma once

#define OCI_LAYOUT_FILE "oci-layout"
#define OCI_LAYOUT_VERSION "1.0.0"
#define OCI_INDEX_FILE "index.json"
#define OCI_BLOBS "blobs/sha256"
#define OCI_DIGEST_PREFIX "sha256:"

#define OCI_TYPE_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_TYPE_CONFIG "application/vnd.oci.image.config.v1+json"
#define OCI_TYPE_LAYER_TAR "application/vnd.oci.image.layer.v1.tar"
#define OCI_TYPE_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define OCI_TYPE_LAYER_ZSTD "application/vnd.oci.image.layer.v1.tar+zstd"

/* Docker's names for the same things, in what registries and other tools give us. */
#define DOCKER_TYPE_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define DOCKER_TYPE_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_TYPE_LAYER_TAR "application/vnd.docker.image.rootfs.diff.tar"
#define DOCKER_TYPE_LAYER_GZIP "application/vnd.docker.image.rootfs.diff.tar.gzip"

/* What an image is for, as Go and therefore OCI name it: "linux", "arm", "v7". */
typedef struct OciPlatform {
    const char *os, *architecture;
    const char *variant; /* NULL: any */
} OciPlatform;

/* "sha256:" and 64 hexadecimal digits, with the NUL. */
#define OCI_DIGEST_SIZE 72
