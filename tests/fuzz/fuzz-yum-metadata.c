/* SPDX-License-Identifier: MIT */
/* Any bytes as repomd.xml and as primary.xml: they are read or refused with a sentence; what was
 * read names only what is below the repository, and digests are digests. */
#include "agent/package/rpm/yum-metadata.h"
#include "protocol/base/text.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

static void check_location(const char *location)
{
    require(*location && *location != '/' && !strchr(location, '\n'));
    require(!strstr(location, "//") && !text_has_prefix(location, "../") &&
            !strstr(location, "/../"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_yum_index_ YumIndex index = {0};
    _cleanup_yum_packages_ YumPackages packages = {0};
    _cleanup_error_ Error of_index = {0}, of_packages = {0};
    int r = yum_index_parse((const char *)data, size, &index, &of_index);

    require(r == 0 || ((r == -EBADMSG || r == -E2BIG) && of_index.text));
    for (size_t i = 0; i < index.count; i++) {
        check_location(index.list[i].location);
        require(strlen(index.list[i].sha256) == DIGEST_HEX_SIZE - 1);
    }
    r = yum_packages_parse((const char *)data, size, &packages, &of_packages);
    require(r == 0 || ((r == -EBADMSG || r == -E2BIG) && of_packages.text));
    for (size_t i = 0; i < packages.count; i++) {
        const YumPackage *package = &packages.list[i];

        check_location(package->location);
        require(strlen(package->name) <= YUM_TEXT_MAX);
        require(yum_package_compare(package, package) == 0);
    }
    return 0;
}
