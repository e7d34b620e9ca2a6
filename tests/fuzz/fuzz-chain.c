/* SPDX-License-Identifier: MIT */
/* Any bytes as an audit log: it is one chain of records that are visited in order and whose end is
 * known, or the record that is wrong is named. What is one chain is no chain any more with a byte
 * of a record changed that another record was written after. */
#include "protocol/base/fd.h"
#include "protocol/evidence/chain.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Walk {
    uint64_t n;
    ChainHead last;
} Walk;

static int visit(const Json *record, const ChainHead *head, void *userdata)
{
    Walk *walk = userdata;

    walk->n++;
    require(head->seq == walk->n && strlen(head->sha256) == DIGEST_HEX_SIZE - 1);
    require(json_get_int(record, "seq", -1) == (int64_t)walk->n);
    require(json_get_string(record, "time") && json_get_string(record, "previous"));
    require(walk->n == 1 || strcmp(json_get_string(record, "previous"), walk->last.sha256) == 0);
    walk->last = *head;
    return 0;
}

static int check(int fd, const ChainHead *expected, ChainHead *head, bool *is_torn, Error *err)
{
    require(lseek(fd, 0, SEEK_SET) == 0);
    return chain_check(fd, expected, expected != NULL, NULL, NULL, head, is_torn, err);
}

/* Each head on the way is one that may be said of the log; what comes after its end is not. */
static void check_heads(int fd, const ChainHead *head)
{
    ChainHead other = *head, found;
    bool is_torn;

    require(check(fd, head, &found, &is_torn, NULL) == 0);
    other.sha256[0] = other.sha256[0] == '0' ? '1' : '0';
    require(check(fd, &other, &found, &is_torn, NULL) == -EBADMSG);
    other.seq++;
    require(check(fd, &other, &found, &is_torn, NULL) == -EBADMSG);
}

static void check_change(int fd, const uint8_t *data, size_t size)
{
    const uint8_t *feed = memchr(data, '\n', size);
    size_t at = (size_t)(feed - data) / 2;
    uint8_t changed = data[at] ^ 1;
    ChainHead head;
    bool is_torn;

    require(pwrite(fd, &changed, 1, (off_t)at) == 1);
    require(check(fd, NULL, &head, &is_torn, NULL) == -EBADMSG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_fd_ int fd = memfd_create("log", MFD_CLOEXEC);
    _cleanup_error_ Error err = {0};
    bool is_torn = false;
    ChainHead head;
    Walk walk = {0};
    int r;

    require(fd >= 0 && fd_write_all(fd, data, size) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    r = chain_check(fd, NULL, 0, visit, &walk, &head, &is_torn, &err);
    if (r < 0) {
        require(r == -EBADMSG && strstr(error_text(&err), "record "));
        return 0;
    }
    require(head.seq == walk.n && !err.text);
    require(is_torn == (size > 0 && data[size - 1] != '\n'));
    if (walk.n > 0) {
        require(strcmp(head.sha256, walk.last.sha256) == 0);
        check_heads(fd, &head);
    }
    if (walk.n > 1) {
        check_change(fd, data, size);
    }
    return 0;
}
