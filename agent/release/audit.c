/* SPDX-License-Identifier: MIT */
#include "agent/release/audit.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int with_event(const char *event, const Json *members, Json **ret)
{
    _cleanup_json_ Json *record = json_new_object();
    int r = record ? json_set_string(record, "event", event) : -ENOMEM;

    for (JsonMember m = {0}; r == 0 && json_next_member(members, &m);) {
        r = m.value ? json_set_take(record, m.name, json_ref(m.value))
                    : json_set_null(record, m.name);
    }
    if (r == 0) {
        *ret = TAKE_PTR(record);
    }
    return r;
}

int audit_append(const char *directory, const char *event, const Json *members, ChainHead *ret_head,
                 Error *err)
{
    _cleanup_(chain_freep) Chain *chain = NULL;
    _cleanup_json_ Json *record = NULL;
    _cleanup_fd_ int dir_fd = -1;
    int r = file_make_dirs(directory, 0700, err);

    if (r < 0) {
        return r;
    }
    dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        return error_set_errno(err, -errno, "cannot open '%s'", directory);
    }
    if (with_event(event, members, &record) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = chain_open(dir_fd, AUDIT_FILE, &chain, err);
    r = r < 0 ? r : chain_append(chain, record, err);
    if (r < 0) {
        return error_wrap(err, "the audit log in '%s'", directory);
    }
    if (ret_head) {
        *ret_head = *chain_head(chain);
    }
    return 0;
}
