/* SPDX-License-Identifier: MIT */
#include "agent/reach/reach.h"

#include "protocol/json.h"
#include "tests/unit/scratch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static void expect_place(const char *address, const char *path, const char *host, const char *port)
{
    _cleanup_(reach_place_done) ReachPlace place = {0};
    _cleanup_error_ Error err = {0};

    if (reach_parse(address, &place, &err) < 0) {
        fail_msg("%s: %s", address, error_text(&err));
    }
    if (path) {
        assert_string_equal(place.path, path);
    } else {
        assert_string_equal(place.host, host);
        assert_string_equal(place.port, port);
    }
}

static void reads_addresses(void **state)
{
    expect_place("unix:/run/engine.sock", "/run/engine.sock", NULL, NULL);
    expect_place("unix:///run/engine.sock", "/run/engine.sock", NULL, NULL);
    expect_place("http://marathon", NULL, "marathon", "80");
    expect_place("https://k8s.example:6443/api?x=y:z", NULL, "k8s.example", "6443");
    expect_place("https://[::1]/", NULL, "::1", "443");
    expect_place("http://[fe80::1]:4646", NULL, "fe80::1", "4646");
    expect_place("ssh://deploy@web-1", NULL, "web-1", "22");
    expect_place("ssh://a@b@web-1:2222/srv", NULL, "web-1", "2222");
    expect_place("tcp://10.0.0.1:2375", NULL, "10.0.0.1", "2375");
}

static void refuses_what_it_cannot_connect_to(void **state)
{
    static const char *const addresses[] = {
        "",        "unix:",       "unix:relative", "http://",     "http:///x", "http://:80",
        "tcp://h", "http://[::1", "http://[::1]x", "ftp://host/", "web-1:80",  "ssh://user@",
    };
    char *path = malloc(300);

    assert_non_null(path);
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        _cleanup_(reach_place_done) ReachPlace place = {0};
        _cleanup_error_ Error err = {0};

        if (reach_parse(addresses[i], &place, &err) != -EINVAL) {
            fail_msg("'%s' was taken", addresses[i]);
        }
        assert_null(place.host);
    }
    memset(path, 'x', 299);
    memcpy(path, "unix:/", 6);
    path[299] = '\0';
    assert_int_equal(reach_parse(path, &(ReachPlace){0}, NULL), -EINVAL);
    free(path);
}

static int listen_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static int listen_tcp(unsigned *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (const struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static Json *look(const ReachTarget *targets, size_t n, int timeout_ms)
{
    _cleanup_buffer_ Buffer out = BUFFER_INIT(0);
    Json *found = NULL;

    assert_int_equal(reach_all(targets, n, timeout_ms, &out), 0);
    assert_int_equal(out.data[out.len - 1], '\n');
    assert_int_equal(json_parse(out.data, out.len - 1, &found, NULL), 0);
    return found;
}

static void tells_who_answers(void **state)
{
    char path[128], unix_address[160], nobody[160], tcp_address[64], closed_address[64];
    _cleanup_json_ Json *found = NULL;
    unsigned port, closed_port;
    _cleanup_fd_ int unix_fd = -1;
    _cleanup_fd_ _unused_ int tcp_fd = listen_tcp(&port);
    int closed_fd = listen_tcp(&closed_port);
    const ReachTarget targets[] = {
        {"a", unix_address},      {"b", tcp_address},          {"no \"one\"", nobody},
        {"shut", closed_address}, {"odd", "carrier-pigeon:7"},
    };

    (void)snprintf(path, sizeof(path), "%s/e.sock", SCRATCH_PATH);
    (void)snprintf(unix_address, sizeof(unix_address), "unix:%s", path);
    (void)snprintf(nobody, sizeof(nobody), "unix:%s/nobody", SCRATCH_PATH);
    (void)snprintf(tcp_address, sizeof(tcp_address), "http://127.0.0.1:%u/x", port);
    (void)snprintf(closed_address, sizeof(closed_address), "tcp://127.0.0.1:%u", closed_port);
    unix_fd = listen_unix(path);
    (void)fd_close(closed_fd);

    found = look(targets, ARRAY_SIZE(targets), 30000);
    assert_true(json_get_bool(json_get(found, "a"), "isReachable", false));
    assert_true(json_as_number(json_get(json_get(found, "a"), "seconds"), -1) >= 0);
    assert_true(json_get_bool(json_get(found, "b"), "isReachable", false));
    assert_false(json_get_bool(json_get(found, "no \"one\""), "isReachable", true));
    assert_non_null(
        strstr(json_get_string(json_get(found, "no \"one\""), "reason"), "No such file"));
    assert_false(json_get_bool(json_get(found, "shut"), "isReachable", true));
    assert_non_null(strstr(json_get_string(json_get(found, "shut"), "reason"), "refused"));
    assert_false(json_has(json_get(found, "odd"), "isReachable"));
    assert_non_null(strstr(json_get_string(json_get(found, "odd"), "reason"), "no way"));
}

/* A full backlog is what a hung engine looks like: connect() waits. */
static void does_not_wait_for_one_that_hangs(void **state)
{
    char path[128], address[160];
    const ReachTarget targets[] = {{"hung", address}};
    _cleanup_json_ Json *found = NULL;
    int fds[8];

    (void)snprintf(path, sizeof(path), "%s/h.sock", SCRATCH_PATH);
    (void)snprintf(address, sizeof(address), "unix:%s", path);
    fds[0] = listen_unix(path);
    for (size_t i = 1; i < ARRAY_SIZE(fds); i++) {
        struct sockaddr_un to = {.sun_family = AF_UNIX};

        (void)strcpy(to.sun_path, path);
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fds[i], (const struct sockaddr *)&to, sizeof(to));
    }
    found = look(targets, 1, 50);
    assert_false(json_get_bool(json_get(found, "hung"), "isReachable", true));
    assert_string_equal(json_get_string(json_get(found, "hung"), "reason"),
                        "no answer within 50 ms");
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        (void)fd_close(fds[i]);
    }
}

static void takes_none_and_not_too_many(void **state)
{
    _cleanup_buffer_ Buffer out = BUFFER_INIT(0);
    _cleanup_json_ Json *found = look(NULL, 0, 10);

    assert_int_equal(json_member_count(found), 0);
    assert_int_equal(reach_all(NULL, REACH_TARGETS_MAX + 1, 10, &out), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_addresses),
        cmocka_unit_test(refuses_what_it_cannot_connect_to),
        scratch_test(tells_who_answers),
        scratch_test(does_not_wait_for_one_that_hangs),
        cmocka_unit_test(takes_none_and_not_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
