/* SPDX-License-Identifier: MIT */
/* From what git describes to a version that rpm sorts as people mean it.
 *
 * rpm knows no pre-releases by their names: to it 1.2.3rc1 and 1.2.3-rc1 are newer than 1.2.3. What
 * comes before a release is written with a tilde, what comes after it and before the next one with
 * a caret:
 *
 *     v1.2.3                    1.2.3
 *     v1.2.3-rc.1               1.2.3~rc.1
 *     v1.2.3-4-gabcdef0         1.2.3^4.gabcdef0        4 commits after the tag
 *     v1.2.3-rc.1-4-gabcdef0    1.2.3~rc.1^4.gabcdef0
 *     v1.2.3-hotfix1            1.2.3.hotfix1           after, also after 1.2.3^4
 *     v1.2.3-dev, -SNAPSHOT     1.2.3~~dev              before every other pre-release
 *     abcdef0                   0^20260102030405.gabcdef0   no tag at all: by the commit's time
 *
 * Whatever else stands behind the numbers is refused, because nobody can tell on which side of the
 * release it belongs. */
#pragma once

#include "protocol/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define RPM_VERSION_LEN_MAX ((size_t)128)

/* A version or a release that rpm takes: letters, digits and . _ + ~ ^, at the start no sign. */
bool rpm_version_is_valid(const char *text);

/* `describe` is a tag, or what `git describe --tags --always` says; a tag may begin with "v" or
 * with the package's name ("greeter-1.2", "greeter/v1.2"). `commit` may be NULL. -EINVAL, saying
 * why. */
int rpm_version_from_describe(const char *describe, const char *name, const char *commit,
                              int64_t committed_at, char **ret, Error *err) _must_check_;

/* As rpm's own rpmvercmp: negative, 0 or positive. */
int rpm_version_compare(const char *a, const char *b);
