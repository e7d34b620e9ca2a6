/* SPDX-License-Identifier: MIT */
/* What a host that is deployed to says of itself: it may say anything. */
#include "agent/deploy/engines/ssh/ssh-remote.h"
#include "protocol/base/text.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_ssh_remote_status_ SshRemoteStatus status = {0};
    _cleanup_free_ char *text = strndup((const char *)data, size);

    require(text);
    if (ssh_remote_status_parse(text, &status, NULL) == 0) {
        require(status.state < _SSH_STATE_MAX);
        require(!status.current || text_is_identifier(status.current));
        require(!status.before || text_is_identifier(status.before));
        require(!status.lock_owner || text_is_identifier(status.lock_owner));
    }
    return 0;
}
