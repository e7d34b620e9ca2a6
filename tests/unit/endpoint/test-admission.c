/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/admission.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STRANGER 54321

static bool allows(char *const *users, char *const *groups, uid_t uid, gid_t *own, size_t n)
{
    PeerIdentity peer = {.uid = uid, .groups = own, .n_groups = n};
    Admission a;
    bool is_allowed;

    assert_int_equal(admission_init(&a, users, groups, NULL), 0);
    is_allowed = admission_allows(&a, &peer);
    assert_int_equal(admission_has_others(&a), (users && *users) || (groups && *groups));
    admission_done(&a);
    return is_allowed;
}

static void root_and_the_own_user_always_may(void **state)
{
    assert_true(allows(NULL, NULL, 0, NULL, 0));
    assert_true(allows(NULL, NULL, geteuid(), NULL, 0));
}

static void a_stranger_may_not(void **state)
{
    gid_t own[] = {STRANGER};

    assert_false(allows(NULL, NULL, STRANGER, own, 1));
    assert_false(allows((char *[]){(char *)"54322", NULL}, (char *[]){(char *)"54322", NULL},
                        STRANGER, own, 1));
}

static void a_named_user_may(void **state)
{
    assert_true(allows((char *[]){(char *)"1", (char *)"54321", NULL}, NULL, STRANGER, NULL, 0));
    /* "daemon" is user 1 on every Debian, but what counts is that names are looked up. */
    assert_true(allows((char *[]){(char *)"root", NULL}, NULL, 0, NULL, 0));
}

static void a_member_of_a_group_may_also_by_a_later_one(void **state)
{
    gid_t own[] = {1, 2, 54321};

    assert_true(allows(NULL, (char *[]){(char *)"54321", NULL}, STRANGER, own, 3));
    assert_true(allows(NULL, (char *[]){(char *)"54321", (char *)"1", NULL}, STRANGER, own, 2));
    assert_false(allows(NULL, (char *[]){(char *)"54321", NULL}, STRANGER, own, 2));
}

static void an_unknown_name_is_an_error_that_names_it(void **state)
{
    _cleanup_error_ Error err = {0};
    Admission a;

    assert_int_equal(admission_init(&a, (char *[]){(char *)"no-such-user-here", NULL}, NULL, &err),
                     -ENOENT);
    assert_non_null(strstr(err.text, "no user 'no-such-user-here'"));
    assert_int_equal(admission_init(&a, NULL, (char *[]){(char *)"no-such-group-here", NULL}, &err),
                     -ENOENT);
    assert_non_null(strstr(err.text, "no group 'no-such-group-here'"));
}

static void the_kernel_says_who_is_there(void **state)
{
    PeerIdentity peer;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(peer_identity_read(pair[0], &peer), 0);
    assert_int_equal(peer.uid, geteuid());
    assert_true(peer.n_groups >= 1);
    assert_int_equal(peer.groups[0], getegid());
    peer_identity_done(&peer);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void what_is_no_socket_has_no_peer(void **state)
{
    PeerIdentity peer;
    int pipe_fds[2];

    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(peer_identity_read(pipe_fds[0], &peer), -ENOTSOCK);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_and_the_own_user_always_may),
        cmocka_unit_test(a_stranger_may_not),
        cmocka_unit_test(a_named_user_may),
        cmocka_unit_test(a_member_of_a_group_may_also_by_a_later_one),
        cmocka_unit_test(an_unknown_name_is_an_error_that_names_it),
        cmocka_unit_test(the_kernel_says_who_is_there),
        cmocka_unit_test(what_is_no_socket_has_no_peer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
