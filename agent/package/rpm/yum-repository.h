/* SPDX-License-Identifier: MIT */
/* A yum repository of one application, added to one package at a time by createrepo_c --update. The
 * packages that are there are not read again, nor fetched: their entries are taken over.
 *
 *     Packages/greeter-1.2.3-1.x86_64.rpm
 *     repodata/repomd.xml, repomd.xml.asc, SHA256-primary.xml.gz, SHA256-filelists.xml.gz, …
 *     RPM-GPG-KEY, .slipway-retired
 *
 * repomd.xml is the truth, of readers and of whoever adds: it is written last, and names all others
 * by their digest; so a publication that is killed anywhere leaves the repository as it was, and is
 * simply done again. Where a key signs, nothing is signed that this key has not signed before or
 * that was not packaged just now. */
#pragma once

#include "agent/package/repository/gpg.h"
#include "agent/package/repository/publish-target.h"
#include "agent/package/rpm/rpm-build.h"

typedef struct YumRepository {
    PublishTarget *target;      /* borrowed */
    const GpgKey *key;          /* NULL: nobody signs repomd.xml */
    const char *work_directory; /* for files of a moment; absolute */
    size_t keep;                /* newest versions of a package for an architecture; 0: all */
} YumRepository;

typedef enum YumOutcome {
    YUM_PUBLISHED,
    YUM_UNCHANGED, /* these very bytes are there already */
} YumOutcome;

/* Adds a package, which lies in the directory `directory`; `now_us` is the wall clock. The caller
 * holds the target's lock. -EEXIST: that version is there with other bytes, and a version is
 * published once. -EKEYREJECTED: what is there is not signed by our keyring. -EBADMSG: it is not
 * what its repomd.xml says. */
int yum_repository_add(const YumRepository *repository, const RpmBuilt *package,
                       const char *directory, int64_t now_us, YumOutcome *ret,
                       Error *err) _must_check_;
