/* SPDX-License-Identifier: MIT */
#include "agent/release/audit.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/slipway-test-audit-XXXXXX";
static char audit[sizeof(directory) + 8];

static int set_up(void **state)
{
    if (!mkdtemp(directory)) {
        return -1;
    }
    (void)snprintf(audit, sizeof(audit), "%s/audit", directory);
    return 0;
}

static int tear_down(void **state)
{
    return file_remove_tree(AT_FDCWD, directory, NULL);
}

static int look(const Json *record, const ChainHead *head, void *userdata)
{
    if (head->seq == 2) {
        assert_string_equal(json_get_string(record, "event"), "decided");
        assert_true(json_get_bool(record, "isAllowed", false));
        assert_string_equal(json_get_string(record, "approver"), "Ada");
        ++*(int *)userdata;
    }
    return 0;
}

static void test_records_follow_each_other(void **state)
{
    _cleanup_json_ Json *members = json_new_object();
    char path[sizeof(audit) + 8];
    ChainHead head, checked;
    int seen = 0, fd;

    assert_int_equal(json_set_bool(members, "isAllowed", true), 0);
    assert_int_equal(json_set_string(members, "approver", "Ada"), 0);
    assert_int_equal(audit_append(audit, "requested", NULL, NULL, NULL), 0);
    assert_int_equal(audit_append(audit, "decided", members, &head, NULL), 0);
    assert_int_equal(head.seq, 2);
    (void)snprintf(path, sizeof(path), "%s/" AUDIT_FILE, audit);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(chain_check(fd, &head, 1, look, &seen, &checked, NULL, NULL), 0);
    assert_int_equal(seen, 1);
    (void)fd_close(fd);
}

static void test_where_nothing_can_be_written_it_says_so(void **state)
{
    _cleanup_error_ Error err = {0};

    assert_true(audit_append("/proc/no/such/place", "requested", NULL, NULL, &err) < 0);
    assert_non_null(err.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_follow_each_other),
        cmocka_unit_test(test_where_nothing_can_be_written_it_says_so),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
