/* SPDX-License-Identifier: MIT */
/* What refers to a manifest: by the registry's own list, or, where it has none, by an index under
 * the tag `sha256-HEX`, which clients keep.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers */
#pragma once

#include "agent/package/registry/manifest.h"

/* Answers are read page by page, and no more than so many. */
#define REFERRERS_PAGES_MAX 32
#define REFERRERS_MAX 4096

/* The manifest of an artifact with `subject`. The same of all gives the same bytes. */
int referrers_make_manifest(const RegistryArtifact *artifact, const Descriptor *subject,
                            const Descriptor *data, Manifest *ret, Error *err) _must_check_;

/* The blob that such a manifest has for a configuration. */
#define REFERRERS_EMPTY_JSON "{}"
void referrers_empty_blob(Descriptor *ret);

/* Adds the artifact to the index under the tag of the subject, unless it is there. Another client
 * may do the same at the same time: it is looked whether ours is still there after. */
int referrers_add(RegistryHost *host, const char *repository, const Descriptor *subject,
                  const Manifest *artifact, Error *err) _must_check_;

/* All that refers to the digest and is of the type (NULL: any). */
int referrers_list(RegistryHost *host, const char *repository, const char *digest,
                   const char *artifact_type, RegistryReferrers *ret, Error *err) _must_check_;

/* The address of "rel=next" in a Link header (RFC 8288), to free(); NULL in *ret: none. */
int referrers_next_page(const char *link, char **ret) _must_check_;
