/* SPDX-License-Identifier: MIT */
/* Any bytes as `Release`: refused, or a table that, written and read again, is the same. */
#include "agent/package/repository/apt-release.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_apt_release_ AptRelease release = {0}, again = {0};
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};
    int r = apt_release_parse((const char *)data, size, &release, &err);

    if (r < 0) {
        require(r == -EBADMSG && err.text && release.count == 0);
        return 0;
    }
    require(apt_release_format(&release, &(AptReleaseFields){.suite = "s"}, &text) == 0);
    require(apt_release_parse(text.data, text.len, &again, NULL) == 0);
    require(again.count == release.count);
    for (size_t i = 0; i < release.count; i++) {
        const AptReleaseFile *file = apt_release_find(&again, release.files[i].name);

        require(file != NULL && file->size_bytes == release.files[i].size_bytes);
        require(strcmp(file->sha256, release.files[i].sha256) == 0);
        require(i == 0 || strcmp(release.files[i - 1].name, release.files[i].name) < 0);
    }
    return 0;
}
