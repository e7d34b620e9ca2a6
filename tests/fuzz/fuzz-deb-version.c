/* SPDX-License-Identifier: MIT */
/* Two lines: whatever they are, their order turns round when they do. What is made of a version of
 * git is one that dpkg takes, or refused. */
#include "agent/package/deb/deb-version.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static void check_map(const char *version)
{
    _cleanup_error_ Error err = {0};
    _cleanup_free_ char *mapped = NULL;
    int r = deb_version_map(
        &(DebVersionRequest){.version = version, .name = "x", .commit = "abcdef1"}, &mapped, &err);

    if (r < 0) {
        require(r == -EINVAL && err.text && !mapped);
        return;
    }
    require(deb_version_check(mapped, NULL) == 0);
    require(!strchr(mapped, '-') && !strchr(mapped, ':'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = memchr(data, '\n', size);
    size_t n = line ? (size_t)(line - data) : size;
    _cleanup_free_ char *a = strndup((const char *)data, n);
    _cleanup_free_ char *b = strndup(line ? (const char *)line + 1 : "", line ? size - n - 1 : 0);

    require(a && b);
    require(deb_version_compare(a, a) == 0 && deb_version_compare(b, b) == 0);
    require(sign(deb_version_compare(a, b)) == -sign(deb_version_compare(b, a)));
    require(deb_version_check(a, NULL) <= 0);
    check_map(a);
    return 0;
}
