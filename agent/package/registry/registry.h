/* SPDX-License-Identifier: MIT */
/* Images to and from registries, by the OCI distribution specification
 * (https://github.com/opencontainers/distribution-spec), and what belongs to them.
 *
 * References are docker's: "[HOST[:PORT]/]PATH[:TAG][@DIGEST]" (reference.h). Images are read from
 * and written to OCI image layouts. Every byte is checked against its digest in both directions. A
 * push sends blobs, then manifests, then what the tag names: a push that broke leaves no image that
 * is taken for whole, and the next one goes on where it ended. What is there already is not sent.
 *
 * Passwords come from docker's configuration, its credential helpers included; they go to the
 * registry's own host, and to a token server elsewhere only if that is allowed. Plain HTTP is for
 * loopback, unless a host is named. */
#pragma once

#include "agent/package/layer/oci.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct RegistryClient RegistryClient;

typedef enum RegistryStage {
    REGISTRY_KNOWN,     /* the registry or the layout has this blob: nothing is moved */
    REGISTRY_MOUNTED,   /* the registry took it from another repository of its own */
    REGISTRY_MOVING,    /* `done` of `total` bytes */
    REGISTRY_MOVED,     /* all of it, checked */
    REGISTRY_PUBLISHED, /* a manifest, under its digest or its tag */
    REGISTRY_WAITING,   /* something failed; tried again in `done` ms, for the reason `text` */
} RegistryStage;

typedef struct RegistryProgress {
    RegistryStage stage;
    const char *digest; /* of the blob or manifest; NULL where none is meant */
    int64_t done, total;
    const char *text; /* NULL but for REGISTRY_WAITING */
} RegistryProgress;

typedef void (*RegistryOnProgress)(void *userdata, const RegistryProgress *progress);

/* All of it is borrowed until the client is closed; zero is a sensible value for everything. */
typedef struct RegistryOptions {
    const char *docker_config;    /* directory of config.json; NULL: $DOCKER_CONFIG, ~/.docker */
    const char *credentials_file; /* of the same form, asked first; NULL: none */
    const char *ca_file;          /* PEM, trusted besides the system's */
    const char *certificate_file; /* PEM, the client's own */
    const char *key_file;
    const char *const *plain_hosts; /* "host[:port]" that speak plain HTTP; up to a NULL */
    const char *const
        *token_hosts;           /* hosts whose token servers may be told passwords; up to a NULL */
    bool has_environment_proxy; /* http_proxy and so on are obeyed */
    int64_t chunk_bytes;        /* blobs are sent in pieces of this size; 0: whole */
    unsigned attempts;          /* of everything that may be repeated; 0: REGISTRY_ATTEMPTS */
    int64_t pause_ms;           /* before the first repetition; 0: REGISTRY_PAUSE_MS */
    int64_t stall_timeout_ms;   /* 0: HTTP_STALL_TIMEOUT_MS */
    int64_t reply_timeout_ms;   /* of all but uploads; 0: REGISTRY_REPLY_TIMEOUT_MS */
    RegistryOnProgress on_progress; /* NULL: nobody asks */
    void *userdata;
} RegistryOptions;

#define REGISTRY_ATTEMPTS 5u
#define REGISTRY_PAUSE_MS ((int64_t)250)
#define REGISTRY_REPLY_TIMEOUT_MS ((int64_t)15000)

/* One client serves any number of registries and keeps its connections and tokens. */
int registry_open(const RegistryOptions *options, RegistryClient **ret, Error *err) _must_check_;
RegistryClient *registry_close(RegistryClient *client);
DEFINE_CLEANUP(RegistryClient, registry_close)

/* ---- images -----------------------------------------------------------------------------------
 */

typedef struct RegistryPush {
    int layout_fd;         /* the layout's directory */
    const char *digest;    /* image or index of the layout; NULL: the only one in its index.json */
    const char *reference; /* where to; with a digest it has to be this one */
    /* Repositories of the same registry from which blobs are taken over, up to a NULL; NULL: none.
     * The one that annotation "org.opencontainers.image.base.name" names is asked anyway. */
    const char *const *mount_from;
} RegistryPush;

/* A layer that the layout does not have is fine as long as the registry does. `ret_digest` (may be
 * NULL) is what the reference names now: "sha256:…". -EACCES: refused by the registry. -EBADMSG: it
 * gave an answer that cannot be right. -EIO: it could not be reached, or failed, every time. */
int registry_push_layout(RegistryClient *client, const RegistryPush *push,
                         char ret_digest[OCI_DIGEST_SIZE], Error *err) _must_check_;

/* Adds the image to the layout (an empty directory will do): all of it, or of an index the one
 * image for `platform`, "os/architecture[/variant]"; NULL: an index whole. Manifests are stored as
 * they are, those of docker's own types too. `ret_digest` is that of what was added. -ENOENT: there
 * is no such image, or none for the platform. What was brought before a failure is not brought
 * again. */
int registry_pull_layout(RegistryClient *client, const char *reference, const char *platform,
                         int layout_fd, char ret_digest[static OCI_DIGEST_SIZE],
                         Error *err) _must_check_;

/* What the reference names now. -ENOENT: nothing. */
int registry_resolve(RegistryClient *client, const char *reference,
                     char ret_digest[static OCI_DIGEST_SIZE], Error *err) _must_check_;

/* Names what `reference` names by `tag` of the same repository, too. */
int registry_tag(RegistryClient *client, const char *reference, const char *tag,
                 Error *err) _must_check_;

/* ---- what belongs to an image -----------------------------------------------------------------
 */

/* Evidence: envelopes, one a line.
 * https://github.com/in-toto/attestation/blob/main/spec/v1/bundle.md */
#define REGISTRY_TYPE_BUNDLE "application/vnd.in-toto.bundle"

typedef struct RegistryArtifact {
    const char *artifact_type; /* REGISTRY_TYPE_BUNDLE for evidence */
    const char *media_type;    /* of the data; NULL: the artifact's */
    const char *title;         /* a file name, "release.intoto.jsonl" */
    const void *data;
    size_t size_bytes;
} RegistryArtifact;

/* What an attached file may have. */
#define REGISTRY_ARTIFACT_MAX ((size_t)16 << 20)

/* Stores the artifact beside the image, as its referrer (by the tag `sha256-HEX`, where the
 * registry has no referrers). The same artifact again changes nothing. `ret_digest` (may be NULL)
 * is that of the artifact's manifest. */
int registry_attach(RegistryClient *client, const char *reference, const RegistryArtifact *artifact,
                    char ret_digest[OCI_DIGEST_SIZE], Error *err) _must_check_;

typedef struct RegistryReferrer {
    char digest[OCI_DIGEST_SIZE];
    char *artifact_type;
    char *title; /* NULL: none */
} RegistryReferrer;

typedef struct RegistryReferrers {
    RegistryReferrer *items;
    size_t count;
} RegistryReferrers;

void registry_referrers_done(RegistryReferrers *referrers);
#define _cleanup_registry_referrers_ _cleanup_(registry_referrers_done)

/* All that refers to the image; with `artifact_type` (may be NULL) only those. None is success. */
int registry_referrers(RegistryClient *client, const char *reference, const char *artifact_type,
                       RegistryReferrers *ret, Error *err) _must_check_;

/* The data of an artifact with this digest, from the repository of `reference`, appended. */
int registry_fetch_artifact(RegistryClient *client, const char *reference, const char *digest,
                            Buffer *ret, Error *err) _must_check_;
