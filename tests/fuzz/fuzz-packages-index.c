/* SPDX-License-Identifier: MIT */
/* Any bytes as `Packages`: refused, or cut into stanzas that follow on each other and are all of
 * it; what is kept of them is a `Packages` again, and so is what is added. */
#include "agent/package/repository/packages-index.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    _cleanup_packages_index_ PackagesIndex index = {0}, again = {0};
    _cleanup_buffer_ Buffer kept = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};
    _cleanup_free_ bool *is_dropped = NULL;
    size_t at = 0, n_kept = 0;
    int r = packages_index_parse(text, size, &index, &err);

    if (r < 0) {
        require(r == -EBADMSG && err.text && index.count == 0);
        return 0;
    }
    is_dropped = calloc(index.count + 1, sizeof(*is_dropped));
    require(is_dropped != NULL);
    if (index.count > 0) {
        packages_index_choose(&index, index.stanzas[0].package, 1, is_dropped);
    }
    for (size_t i = 0; i < index.count; i++) {
        const PackagesStanza *s = &index.stanzas[i];

        require(s->start == at && s->package && s->version && s->filename && s->sha256);
        require(packages_index_find(&index, s->package, s->version, s->architecture) != NULL);
        at += s->len;
        if (!is_dropped[i]) {
            require(buffer_append(&kept, text + s->start, s->len) == 0);
            n_kept++;
        }
    }
    require(at == size);
    require(index.count == 0 || n_kept > 0);
    if (kept.len > 0 && (kept.len < 2 || memcmp(kept.data + kept.len - 2, "\n\n", 2) != 0)) {
        require(buffer_append(&kept, "\n", 1) == 0); /* the last stanza had no empty line */
    }
    require(packages_index_append(&kept, "Package: x\nVersion: 1\nArchitecture: all\n", "pool/x", 1,
                                  "abc") == 0);
    if (n_kept == index.count) {
        require(packages_index_parse(kept.data, kept.len, &again, NULL) == 0);
        require(again.count == n_kept + 1);
    }
    return 0;
}
