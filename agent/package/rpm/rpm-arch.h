/* SPDX-License-Identifier: MIT */
/* For which machines a package is: what the programs in it say of themselves, so that the host that
 * packs makes no difference. */
#pragma once

#include "agent/package/rpm/rpm-files.h"

/* `declared` is slipway.json's, or NULL. Borrowed. "noarch" where no file is an ELF program or
 * library. -EINVAL: programs for two machines, for one that is not known, or in a noarch package.
 */
int rpm_arch_find(int workspace_fd, const RpmFiles *files, const char *declared, const char **ret,
                  Error *err) _must_check_;
