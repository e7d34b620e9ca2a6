/* SPDX-License-Identifier: MIT */
/* Clients and targets are blocking sockets of the test, the forwarder between them is in its loop.
 */
#include "agent/engine-local/forward.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/engine-local/place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LARGE ((size_t)1 << 20)

typedef struct Ends {
    int client, server;
} Ends;

typedef struct Scene {
    Place *place;
    Forward *forward;
    ForwardPort *port;
    uint16_t number;
    ForwardTarget targets[2];
    int listeners[2];
    size_t n_picks;
    const ForwardTarget *avoided;
    unsigned idle;
} Scene;

static ForwardTarget *pick(void *userdata, const ForwardTarget *avoid)
{
    Scene *scene = userdata;

    scene->n_picks++;
    scene->avoided = avoid;
    for (size_t i = 0; i < 2; i++) {
        if (scene->targets[i].may_take && &scene->targets[i] != avoid) {
            return &scene->targets[i];
        }
    }
    return NULL;
}

static void on_idle(void *userdata)
{
    ((Scene *)userdata)->idle++;
}

static int set_up(void **state)
{
    Scene *scene = calloc(1, sizeof(*scene));
    int r = place_set_up(state), fd;

    scene->place = *state;
    scene->forward = scene->place->host.forward;
    fd = place_listen(&scene->number);
    (void)close(fd);
    for (size_t i = 0; i < 2; i++) {
        scene->targets[i] =
            (ForwardTarget){.may_take = i == 0, .on_idle = on_idle, .userdata = scene};
        scene->listeners[i] = place_listen(&scene->targets[i].port);
    }
    r = r || forward_port_open(scene->forward, "127.0.0.1", scene->number, pick, scene,
                               &scene->port, NULL) < 0;
    *state = scene;
    return r;
}

static int tear_down(void **state)
{
    Scene *scene = *state;

    (void)forward_port_close(scene->port);
    for (size_t i = 0; i < 2; i++) {
        forward_forget(scene->forward, &scene->targets[i]);
        (void)fd_close(scene->listeners[i]);
    }
    *state = scene->place;
    free(scene);
    return place_tear_down(state);
}

/* -errno where it is refused. */
static int connect_client(const Scene *scene)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(scene->number),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        int r = -errno;

        (void)close(fd);
        return r;
    }
    return fd;
}

#define PATIENCE_STEPS 10000 /* of 3 ms */

static void run(Scene *scene)
{
    while (loop_step(scene->place->loop, 3) > 0) {
        continue;
    }
}

/* As recv, but for the loop in which the other side is: steps it until there is an answer. */
static ssize_t receive(Scene *scene, int fd, void *data, size_t n)
{
    ssize_t got = recv(fd, data, n, MSG_DONTWAIT);

    for (int i = 0; got < 0 && errno == EAGAIN && i < PATIENCE_STEPS; i++) {
        assert_true(loop_step(scene->place->loop, 3) >= 0);
        got = recv(fd, data, n, MSG_DONTWAIT);
    }
    return got;
}

static void wait_connections(Scene *scene, size_t wanted)
{
    for (int i = 0; forward_connections(scene->forward) != wanted && i < PATIENCE_STEPS; i++) {
        assert_true(loop_step(scene->place->loop, 3) >= 0);
    }
    assert_int_equal(forward_connections(scene->forward), wanted);
}

static Ends connect_both(Scene *scene, size_t target)
{
    Ends ends = {.client = connect_client(scene), .server = -1};

    assert_true(ends.client >= 0);
    assert_int_equal(fd_set_nonblock(scene->listeners[target], true), 0);
    for (int i = 0; ends.server < 0 && i < PATIENCE_STEPS; i++) {
        assert_true(loop_step(scene->place->loop, 3) >= 0);
        ends.server = accept(scene->listeners[target], NULL, NULL);
    }
    assert_true(ends.server >= 0);
    run(scene);
    return ends;
}

static void assert_passes(Scene *scene, int from, int to, const char *text)
{
    char got[64];
    ssize_t n;

    assert_int_equal(send(from, text, strlen(text), 0), strlen(text));
    n = receive(scene, to, got, sizeof(got) - 1);
    assert_int_equal(n, strlen(text));
    got[n] = '\0';
    assert_string_equal(got, text);
}

static void assert_at_end(Scene *scene, int fd)
{
    char byte;

    assert_int_equal(receive(scene, fd, &byte, 1), 0);
}

static void assert_reset(Scene *scene, int fd)
{
    char byte;

    assert_int_equal(receive(scene, fd, &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
}

static void nobody_is_let_in_before_it_listens(void **state)
{
    Scene *scene = *state;

    assert_int_equal(connect_client(scene), -ECONNREFUSED);
    assert_true(forward_port_is_at(scene->port, "127.0.0.1", scene->number));
    assert_false(forward_port_is_at(scene->port, "127.0.0.2", scene->number));
}

static void bytes_go_both_ways_and_each_half_closes_alone(void **state)
{
    Scene *scene = *state;
    Ends ends;

    assert_int_equal(forward_port_listen(scene->port, NULL), 0);
    assert_int_equal(forward_port_listen(scene->port, NULL), 0);
    ends = connect_both(scene, 0);
    assert_int_equal(forward_connections(scene->forward), 1);
    assert_int_equal(scene->targets[0].connections, 1);
    assert_passes(scene, ends.client, ends.server, "question");
    assert_passes(scene, ends.server, ends.client, "answer");
    (void)shutdown(ends.client, SHUT_WR);
    assert_at_end(scene, ends.server);
    assert_passes(scene, ends.server, ends.client, "and more");
    assert_int_equal(scene->idle, 0);
    (void)close(ends.server);
    assert_at_end(scene, ends.client);
    wait_connections(scene, 0);
    assert_int_equal(scene->idle, 1);
    (void)close(ends.client);
}

static void a_reset_is_passed_on_as_a_reset(void **state)
{
    const struct linger now = {.l_onoff = 1};
    Scene *scene = *state;
    Ends ends;

    assert_int_equal(forward_port_listen(scene->port, NULL), 0);
    ends = connect_both(scene, 0);
    assert_int_equal(setsockopt(ends.server, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    (void)close(ends.server);
    assert_reset(scene, ends.client);
    (void)close(ends.client);
    wait_connections(scene, 0);
}

/* More than all buffers hold: the sender waits, nothing is lost, nothing spins. */
static void one_who_does_not_read_makes_the_other_wait(void **state)
{
    static char sent[32 * LARGE], got[32 * LARGE];
    Scene *scene = *state;
    size_t n_sent = 0, n_got = 0;
    Ends ends;

    for (size_t i = 0; i < sizeof(sent); i++) {
        sent[i] = (char)(i * 31 >> 4);
    }
    assert_int_equal(forward_port_listen(scene->port, NULL), 0);
    ends = connect_both(scene, 0);
    while (n_sent < sizeof(sent)) {
        ssize_t n = send(ends.server, sent + n_sent, sizeof(sent) - n_sent, MSG_DONTWAIT);

        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            if (loop_step(scene->place->loop, 3) == 0) {
                break; /* all is full */
            }
        } else {
            n_sent += (size_t)n;
        }
    }
    assert_true(n_sent < sizeof(sent));
    assert_int_equal(loop_step(scene->place->loop, 3), 0);
    (void)shutdown(ends.server, SHUT_WR);
    assert_int_equal(loop_step(scene->place->loop, 3), 0); /* its end waits behind what it said */
    while (n_got < n_sent) {
        ssize_t n = receive(scene, ends.client, got + n_got, sizeof(got) - n_got);

        assert_true(n > 0);
        n_got += (size_t)n;
    }
    assert_memory_equal(got, sent, n_sent);
    assert_at_end(scene, ends.client);
    (void)close(ends.client);
    (void)close(ends.server);
}

static void another_target_is_asked_where_one_refuses(void **state)
{
    Scene *scene = *state;
    Ends ends;

    scene->listeners[0] = fd_close(scene->listeners[0]);
    scene->targets[1].may_take = true;
    assert_int_equal(forward_port_listen(scene->port, NULL), 0);
    ends = connect_both(scene, 1);
    assert_ptr_equal(scene->avoided, &scene->targets[0]);
    assert_int_equal(scene->targets[0].connections, 0);
    assert_passes(scene, ends.client, ends.server, "hello");
    (void)close(ends.client);
    (void)close(ends.server);
    run(scene);
}

static void without_a_target_the_client_is_let_go(void **state)
{
    Scene *scene = *state;
    int fd;

    scene->targets[0].may_take = false;
    assert_int_equal(forward_port_listen(scene->port, NULL), 0);
    fd = connect_client(scene);
    assert_reset(scene, fd);
    (void)close(fd);
    wait_connections(scene, 0);
}

static void paused_it_refuses_and_keeps_the_port(void **state)
{
    Scene *scene = *state;
    Ends before, after;
    ForwardPort *other = NULL;
    _cleanup_error_ Error err = {0};

    assert_int_equal(forward_port_listen(scene->port, NULL), 0);
    before = connect_both(scene, 0);
    forward_port_pause(scene->port);
    assert_int_equal(connect_client(scene), -ECONNREFUSED);
    assert_passes(scene, before.client, before.server, "goes on");
    assert_int_equal(
        forward_port_open(scene->forward, "127.0.0.1", scene->number, pick, scene, &other, &err),
        -EADDRINUSE);
    assert_non_null(strstr(error_text(&err), "another app of this engine has it"));
    assert_int_equal(forward_port_listen(scene->port, NULL), 0);
    after = connect_both(scene, 0);
    assert_passes(scene, after.server, after.client, "again");
    scene->port = forward_port_close(scene->port);
    assert_passes(scene, after.server, after.client, "and after the port is closed");
    (void)close(before.client);
    (void)close(before.server);
    (void)close(after.client);
    (void)close(after.server);
    wait_connections(scene, 0);
}

static void a_port_that_somebody_listens_on_is_an_error(void **state)
{
    Scene *scene = *state;
    _cleanup_error_ Error err = {0};
    ForwardPort *port = NULL;

    assert_int_equal(forward_port_open(scene->forward, "127.0.0.1", scene->targets[0].port, pick,
                                       scene, &port, &err),
                     -EADDRINUSE);
    assert_non_null(strstr(error_text(&err), "cannot listen on 127.0.0.1 port"));
    assert_null(port);
    assert_int_equal(forward_port_open(scene->forward, "nowhere", 1, pick, scene, &port, NULL),
                     -EINVAL);
}

static void beyond_the_limit_connections_wait(void **state)
{
    enum { MAX_CONNECTIONS = 16, MORE = 4 };
    Scene *scene = *state;
    int clients[MAX_CONNECTIONS + MORE], n_accepted = 0;

    assert_int_equal(forward_port_listen(scene->port, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        clients[i] = connect_client(scene);
        assert_true(clients[i] >= 0);
    }
    wait_connections(scene, MAX_CONNECTIONS);
    run(scene);
    assert_int_equal(forward_connections(scene->forward), MAX_CONNECTIONS);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        int server = accept(scene->listeners[0], NULL, NULL); /* waits for none: all are there */

        n_accepted += server >= 0;
        (void)close(server);
        (void)close(clients[i]);
        wait_connections(scene, MIN((size_t)MAX_CONNECTIONS, ARRAY_SIZE(clients) - i - 1));
    }
    assert_int_equal(n_accepted, ARRAY_SIZE(clients)); /* those that waited had their turn */
}

static void a_forgotten_target_is_not_touched_again(void **state)
{
    Scene *scene = *state;
    Ends ends;

    assert_int_equal(forward_port_listen(scene->port, NULL), 0);
    ends = connect_both(scene, 0);
    forward_forget(scene->forward, &scene->targets[0]);
    assert_passes(scene, ends.client, ends.server, "hello");
    (void)close(ends.client);
    (void)close(ends.server);
    run(scene);
    assert_int_equal(scene->idle, 0);
}

/* From where on the kernel takes ports for itself; above all ports where that is too near. */
static unsigned kernel_first(void)
{
    _cleanup_buffer_ Buffer text = {0};
    unsigned first = 0;

    assert_int_equal(file_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", &text, NULL), 0);
    assert_int_equal(sscanf(text.data, "%u", &first), 1);
    return first >= 21000 ? first : UINT16_MAX + 1;
}

static void ports_of_instances_are_free_and_not_given_twice(void **state)
{
    Scene *scene = *state;
    uint16_t a, b;

    assert_int_equal(forward_choose_port(scene->forward, &a), 0);
    assert_int_equal(forward_choose_port(scene->forward, &b), 0);
    assert_true(a != b && a >= 20000 && b >= 20000);
    assert_true(a < kernel_first() && b < kernel_first());
}

static void another_engine_is_not_given_the_same_port(void **state)
{
    Scene *scene = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0), n;
    uint16_t a, b;

    assert_int_equal(forward_choose_port(scene->forward, &a), 0);
    n = sprintf(address.sun_path + 1, "slipway-port-%u", a + 1u); /* as another engine does */
    (void)bind(fd, (const struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n));
    assert_int_equal(forward_choose_port(scene->forward, &b), 0);
    assert_int_not_equal(b, a + 1);
    (void)close(fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nobody_is_let_in_before_it_listens),
        TEST(bytes_go_both_ways_and_each_half_closes_alone),
        TEST(a_reset_is_passed_on_as_a_reset),
        TEST(one_who_does_not_read_makes_the_other_wait),
        TEST(another_target_is_asked_where_one_refuses),
        TEST(without_a_target_the_client_is_let_go),
        TEST(paused_it_refuses_and_keeps_the_port),
        TEST(a_port_that_somebody_listens_on_is_an_error),
        TEST(beyond_the_limit_connections_wait),
        TEST(a_forgotten_target_is_not_touched_again),
        TEST(ports_of_instances_are_free_and_not_given_twice),
        TEST(another_engine_is_not_given_the_same_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
