/* SPDX-License-Identifier: MIT */
/* Any line: what the client's fast path takes, the full parser takes too, and as the same. */
#include "tests/fuzz/wire-property.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_log = wire_require_log((const char *)data, size);

    require(!wire_require_chunk((const char *)data, size) || !is_log);
    return 0;
}
