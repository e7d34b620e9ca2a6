/* SPDX-License-Identifier: MIT */
/* The package of a commit: an image made of its files, what it is, and how it is deployed
 * (agent/runners/README.md, "The package"). */
#pragma once

#include "agent/package/image.h"
#include "agent/package/release.h"
#include "protocol/json.h"

#include <stdbool.h>

/* What is remembered of the workspace's files from one package to the next. */
#define PACKAGE_DIGESTS_FILE "file-digests"

/* What the image is made on, when somebody had to get it first. */
typedef struct PackageBase {
    int fd;             /* where the layouts are */
    char **layouts;     /* their directories there: one for each of `platforms`, or one */
    const char *name;   /* "registry.example/base:1", "Dockerfile" */
    const char *digest; /* what the name stood for; NULL: the layout's own */
    bool is_whole;      /* nothing is added to it */
} PackageBase;

/* A package of another kind that is made of the same commit. */
typedef struct PackageFile {
    const char *name;   /* in `files_fd` */
    const char *sha256; /* hexadecimal */
} PackageFile;

typedef struct PackageRequest {
    int workspace_fd;
    const Json *recipe; /* slipway.json, checked; {} where there is none */
    const char *name;
    const char *version;
    const char *commit; /* NULL where there is none, as the next three */
    const char *repository;
    const char *ref;
    const char *subject;
    int64_t committed_at;        /* seconds */
    const char *registry;        /* that the image will be pushed to, as a prefix; NULL: none */
    const char *cache_directory; /* NULL: layers are not remembered */
    int digests_fd;              /* the directory of the file above; -1: the same */
    const PackageBase *base;     /* NULL: as the recipe says, which then names none elsewhere */
    int files_fd;                /* where these are; of the same file system as the package */
    const PackageFile *files;    /* they are the package where it has no image */
    size_t n_files;
} PackageRequest;

typedef struct Package {
    Release release;
    bool has_image;
    Image image; /* empty where there is none */
} Package;

void package_done(Package *package);
#define _cleanup_package_ _cleanup_(package_done)

/* Whether there is to be an image: not where slipway.json asks for a deb or an rpm, says nothing of
 * an image, and the workspace has nothing that it is made of by convention. */
bool package_has_image(int workspace_fd, const Json *recipe);

/* Writes release.json, oci/ and the template into the empty directory `package_fd`. Where there is
 * no image, `files` are in packages/ instead, and the release is the first of them. Of the request
 * only the workspace's files, recipe, name, commit and time are part of the image, so its digest
 * does not depend on where and under which branch or tag the commit was found. */
int package_build(const PackageRequest *request, int package_fd, Package *ret,
                  Error *err) _must_check_;
