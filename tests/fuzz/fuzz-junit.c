/* SPDX-License-Identifier: MIT */
/* Any bytes as a JUnit file: they are read or refused with a sentence; the sums agree with each
 * other and fit into a report, and every text that is kept is UTF-8 within its limit. Reading the
 * same bytes from a file and from memory, in other pieces, comes to the same. */
#include "agent/junit/junit.h"

#include "agent/runners/report.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void check_text(const char *text, size_t max)
{
    size_t n = strlen(text);

    require(n <= max);
    require(text_is_utf8(text, n));
}

static void check_sums(const TestSums *sums)
{
    _cleanup_buffer_ Buffer line = BUFFER_INIT(REPORT_LINE_MAX);
    _cleanup_json_ Json *json = NULL;

    require(sums->total >= sums->failed + sums->skipped);
    require(sums->seconds >= 0);
    require(sums->n_failures <= JUNIT_FAILURES_MAX);
    require((int64_t)sums->n_failures <= sums->failed);
    for (size_t i = 0; i < sums->n_failures; i++) {
        check_text(sums->failures[i].suite, JUNIT_NAME_MAX);
        check_text(sums->failures[i].name, JUNIT_NAME_MAX);
        check_text(sums->failures[i].message, JUNIT_MESSAGE_MAX);
    }
    require(test_sums_to_json(sums, &json) == 0);
    require(json_format(json, &line) == 0);
}

static int read_file(const uint8_t *data, size_t size, TestSums *sums)
{
    _cleanup_error_ Error err = {0};
    _cleanup_fd_ int fd = memfd_create("junit", MFD_CLOEXEC);

    require(fd >= 0 && fd_write_all(fd, data, size) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    return junit_read(fd, "junit.xml", sums, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_test_sums_ TestSums sums = {0}, again = {0};
    _cleanup_error_ Error err = {0};
    int r = junit_parse((const char *)data, size, &sums, &err);

    require(r == 0 || (r == -EINVAL && err.text));
    check_sums(&sums);
    require(read_file(data, size, &again) == r);
    require(again.total == sums.total && again.failed == sums.failed &&
            again.skipped == sums.skipped && again.n_failures == sums.n_failures);
    return 0;
}
