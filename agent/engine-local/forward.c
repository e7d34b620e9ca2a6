/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/forward.h"

#include "protocol/base/buffer.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Read at once, and so the most that one direction of one connection holds. */
#define CHUNK_BYTES ((size_t)64 << 10)
#define BACKLOG 1024
/* Ports of instances: from here to where the kernel's own begin. */
#define PORTS_FIRST 20000
#define PORTS_RESERVED 32
#define PORTS_MIN 1000 /* fewer than this left, and the kernel's are used, too */
/* Connections accepted in one go, before others have their turn. */
#define ACCEPT_BATCH_MAX 32
/* Without descriptors or room, accepting is tried again after this. */
#define ACCEPT_RETRY_MS 50
/* Other instances are asked when one does not let us in. */
#define CONNECT_ATTEMPTS_MAX 4

typedef struct Connection Connection;

/* One of the two sockets of a connection. */
typedef struct Side {
    Connection *connection;
    struct Side *other;
    int fd;
    LoopSource source;
    Buffer held;     /* read from the other side, not written here yet */
    bool is_at_end;  /* it will send nothing more */
    bool is_shut;    /* it was told that nothing more comes */
    bool is_pending; /* connect() has not come back yet */
} Side;

struct Connection {
    Forward *forward;
    ForwardPort *port; /* NULL once connected: only needed to try another target */
    ForwardTarget *target;
    Side client, server;
    unsigned attempts;
    Connection *previous, *next;
};

struct ForwardPort {
    Forward *forward;
    struct sockaddr_storage address;
    socklen_t address_len;
    char *address_text;
    uint16_t number;
    int fd;
    bool is_listening;
    LoopSource source;
    ForwardPick pick;
    void *userdata;
    ForwardPort *previous, *next;
};

struct Forward {
    Loop *loop;
    Connection *connections;
    ForwardPort *ports;
    size_t n_connections, connections_max;
    uint16_t last_port;               /* that an instance was given */
    int reservations[PORTS_RESERVED]; /* of the last ones, the oldest at n_reserved modulo this */
    size_t n_reserved;
    LoopTimer retry; /* runs while accepting is paused for want of room */
    bool is_full;
    char chunk[CHUNK_BYTES];
};

static void resume_accepting(Forward *forward);

/* ---- connections ------------------------------------------------------------------------------
 */

static void side_done(Side *side)
{
    loop_remove(&side->source);
    side->fd = fd_close(side->fd);
    buffer_done(&side->held);
}

static void release_target(Connection *c)
{
    ForwardTarget *target = TAKE_PTR(c->target);

    if (target && --target->connections == 0 && target->on_idle) {
        target->on_idle(target->userdata);
    }
}

static void connection_close(Connection *c)
{
    Forward *forward = c->forward;

    side_done(&c->client);
    side_done(&c->server);
    if (c->next) {
        c->next->previous = c->previous;
    }
    if (c->previous) {
        c->previous->next = c->next;
    } else {
        forward->connections = c->next;
    }
    forward->n_connections--;
    release_target(c);
    free(c);
    resume_accepting(forward);
}

/* The peer sees a reset, not an end that looks orderly. */
static void connection_reset(Connection *c)
{
    const struct linger now = {.l_onoff = 1};

    if (c->client.fd >= 0) {
        (void)setsockopt(c->client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    if (c->server.fd >= 0) {
        (void)setsockopt(c->server.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    connection_close(c);
}

static void on_side(void *userdata, uint32_t events);

/* What is to be watched follows from the state alone. A side that nothing is wanted of is taken out
 * of the loop: the kernel would tell its hang-up for ever. */
static int side_watch(Side *side)
{
    uint32_t events = 0;

    if (!side->is_at_end && !side->is_pending && side->other->held.len == 0 &&
        !side->other->is_pending) {
        events |= EPOLLIN;
    }
    if (side->is_pending || side->held.len > 0) {
        events |= EPOLLOUT;
    }
    if (events == 0) {
        loop_remove(&side->source);
        return 0;
    }
    if (side->source.loop) {
        return loop_modify(&side->source, events);
    }
    return loop_add(side->connection->forward->loop, &side->source, side->fd, events, on_side,
                    side);
}

/* Writes what it can at once and holds the rest. */
static int side_write(Side *side, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t written = send(side->fd, data, n, MSG_NOSIGNAL);

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0 && errno == EAGAIN) {
            return buffer_append(&side->held, data, n);
        }
        if (written < 0) {
            return -errno;
        }
        data += written;
        n -= (size_t)written;
    }
    return 0;
}

static int side_flush(Side *side)
{
    while (side->held.len > 0) {
        ssize_t written = send(side->fd, side->held.data, side->held.len, MSG_NOSIGNAL);

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return errno == EAGAIN ? 0 : -errno;
        }
        buffer_consume(&side->held, (size_t)written);
    }
    buffer_done(&side->held); /* an idle connection holds no memory */
    return 0;
}

/* One chunk: level triggered, so the rest comes round again after the others had their turn. */
static int side_read(Side *side)
{
    Forward *forward = side->connection->forward;
    ssize_t n = recv(side->fd, forward->chunk, sizeof(forward->chunk), 0);

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    if (n == 0) {
        side->is_at_end = true;
        return 0;
    }
    return side_write(side->other, forward->chunk, (size_t)n);
}

static int side_pass_end_on(Side *side)
{
    Side *from = side->other;

    if (from->is_at_end && side->held.len == 0 && !side->is_shut && !side->is_pending) {
        side->is_shut = true;
        if (shutdown(side->fd, SHUT_WR) < 0) {
            return -errno;
        }
    }
    return 0;
}

/* After anything happened: pass ends on, watch what is left, close when all is said. */
static void connection_settle(Connection *c)
{
    int r = side_pass_end_on(&c->client);

    if (r == 0) {
        r = side_pass_end_on(&c->server);
    }
    if (r == 0 && c->client.is_at_end && c->client.is_shut && c->server.is_at_end &&
        c->server.is_shut) {
        connection_close(c);
        return;
    }
    if (r == 0) {
        r = side_watch(&c->client);
    }
    if (r == 0) {
        r = side_watch(&c->server);
    }
    if (r < 0) {
        connection_reset(c);
    }
}

static int connect_server(Connection *c);

static void on_connected(Connection *c)
{
    socklen_t len = sizeof(int);
    int code = 0;

    if (getsockopt(c->server.fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0 || code != 0) {
        side_done(&c->server);
        if (connect_server(c) < 0) {
            connection_reset(c);
        }
        return;
    }
    c->server.is_pending = false;
    c->port = NULL;
    connection_settle(c);
}

static void on_side(void *userdata, uint32_t events)
{
    Side *side = userdata;
    Connection *c = side->connection;
    int r = 0;

    if (side->is_pending) {
        on_connected(c);
        return;
    }
    if (events & EPOLLOUT) {
        r = side_flush(side);
    }
    if (r == 0 && (side->source.events & EPOLLIN) && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        r = side_read(side);
    } else if (r == 0 && (events & EPOLLERR)) {
        r = -ECONNRESET;
    }
    if (r < 0) {
        connection_reset(c);
        return;
    }
    connection_settle(c);
}

static void side_take_fd(Side *side, int fd)
{
    const int on = 1;

    side->fd = fd;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)); /* a peer that vanished */
}

static int try_target(Connection *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(c->target->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return -errno;
    }
    side_take_fd(&c->server, fd);
    c->server.is_pending = true;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 &&
        errno != EINPROGRESS) {
        int r = -errno;

        side_done(&c->server);
        return r;
    }
    return side_watch(&c->server);
}

/* Begins to connect to the next target; -errno when none is left to try. */
static int connect_server(Connection *c)
{
    const ForwardTarget *refused = NULL;
    int r = -ECONNREFUSED;

    while (r < 0 && c->port && c->attempts++ < CONNECT_ATTEMPTS_MAX) {
        refused = c->target;
        release_target(c);
        if (!c->port) { /* its owner closed it when it heard that a target is idle */
            break;
        }
        c->target = c->port->pick(c->port->userdata, refused);
        if (!c->target) {
            return -ECONNREFUSED;
        }
        c->target->connections++;
        r = try_target(c);
    }
    return r;
}

static void connection_open(ForwardPort *port, int client_fd)
{
    Forward *forward = port->forward;
    Connection *c = calloc(1, sizeof(*c));

    if (!c) {
        (void)fd_close(client_fd);
        return;
    }
    *c = (Connection){.forward = forward, .port = port, .next = forward->connections};
    c->client = (Side){.connection = c, .other = &c->server, .fd = -1};
    c->server = (Side){.connection = c, .other = &c->client, .fd = -1};
    c->client.held.limit = c->server.held.limit = CHUNK_BYTES;
    if (c->next) {
        c->next->previous = c;
    }
    forward->connections = c;
    forward->n_connections++;
    side_take_fd(&c->client, client_fd);
    if (connect_server(c) < 0) {
        connection_reset(c);
    }
}

/* ---- ports ------------------------------------------------------------------------------------
 */

static void port_watch(ForwardPort *port)
{
    if (port->source.loop) {
        (void)!loop_modify(&port->source,
                           port->is_listening && !port->forward->is_full ? EPOLLIN : 0);
    }
}

static void resume_accepting(Forward *forward)
{
    if (forward->is_full && forward->n_connections < forward->connections_max) {
        forward->is_full = false;
        loop_timer_stop(&forward->retry);
        for (ForwardPort *port = forward->ports; port; port = port->next) {
            port_watch(port);
        }
    }
}

static void on_retry(void *userdata)
{
    resume_accepting(userdata);
}

static void pause_accepting(Forward *forward, bool is_to_retry)
{
    forward->is_full = true;
    for (ForwardPort *port = forward->ports; port; port = port->next) {
        port_watch(port);
    }
    if (is_to_retry) {
        loop_timer_start(forward->loop, &forward->retry, ACCEPT_RETRY_MS, on_retry, forward);
    }
}

static void on_port(void *userdata, uint32_t events)
{
    ForwardPort *port = userdata;

    for (int i = 0; i < ACCEPT_BATCH_MAX && port->is_listening; i++) {
        int fd;

        if (port->forward->n_connections >= port->forward->connections_max) {
            pause_accepting(port->forward, false);
            return;
        }
        fd = accept4(port->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                pause_accepting(port->forward, true);
            }
            return; /* none left, or it went away before it was accepted */
        }
        connection_open(port, fd);
    }
}

static int parse_address(ForwardPort *port, const char *text)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&port->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&port->address;

    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port->number);
        port->address_len = sizeof(*v4);
        return 0;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port->number);
        port->address_len = sizeof(*v6);
        return 0;
    }
    return -EINVAL;
}

static int bind_port(ForwardPort *port)
{
    const int on = 1;

    port->fd = socket(port->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (port->fd < 0 || setsockopt(port->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(port->fd, (const struct sockaddr *)&port->address, port->address_len) < 0) {
        return -errno;
    }
    return 0;
}

int forward_port_open(Forward *forward, const char *address, uint16_t number, ForwardPick pick,
                      void *userdata, ForwardPort **ret, Error *err)
{
    _cleanup_(forward_port_closep) ForwardPort *port = calloc(1, sizeof(*port));
    int r;

    if (!port) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *port = (ForwardPort){
        .forward = forward, .number = number, .fd = -1, .pick = pick, .userdata = userdata};
    port->next = forward->ports;
    if (port->next) {
        port->next->previous = port;
    }
    forward->ports = port;
    port->address_text = strdup(address);
    r = port->address_text ? parse_address(port, address) : -ENOMEM;
    for (const ForwardPort *other = port->next; r == 0 && other; other = other->next) {
        if (forward_port_is_at(other, address, number)) {
            return error_set(err, -EADDRINUSE,
                             "cannot listen on %s port %u: another app of this engine has it",
                             address, number);
        }
    }
    if (r == 0) {
        r = bind_port(port);
    }
    if (r < 0) {
        return error_set_errno(err, r, "cannot listen on %s port %u", address, number);
    }
    *ret = TAKE_PTR(port);
    return 0;
}

ForwardPort *forward_port_close(ForwardPort *port)
{
    if (!port) {
        return NULL;
    }
    for (Connection *c = port->forward->connections, *next; c; c = next) {
        next = c->next;
        if (c->port == port) { /* still connecting; it keeps the target that it has */
            c->port = NULL;
        }
    }
    if (port->next) {
        port->next->previous = port->previous;
    }
    if (port->previous) {
        port->previous->next = port->next;
    } else {
        port->forward->ports = port->next;
    }
    loop_remove(&port->source);
    (void)fd_close(port->fd);
    free(port->address_text);
    free(port);
    return NULL;
}

int forward_port_listen(ForwardPort *port, Error *err)
{
    int r = 0;

    if (port->is_listening) {
        return 0;
    }
    if (listen(port->fd, BACKLOG) < 0) {
        r = -errno;
    } else if (!port->source.loop) {
        r = loop_add(port->forward->loop, &port->source, port->fd, EPOLLIN, on_port, port);
    }
    if (r < 0) {
        return error_set_errno(err, r, "cannot listen on %s port %u", port->address_text,
                               port->number);
    }
    port->is_listening = true;
    port_watch(port);
    return 0;
}

/* On Linux this ends listening and keeps the address: listen() works again later, and nobody else
 * can take the port meanwhile. It is out of the loop until then: its hang-up would be told for
 * ever. */
void forward_port_pause(ForwardPort *port)
{
    if (port->is_listening) {
        port->is_listening = false;
        loop_remove(&port->source);
        (void)shutdown(port->fd, SHUT_RD);
    }
}

bool forward_port_is_at(const ForwardPort *port, const char *address, uint16_t number)
{
    return port->number == number && strcmp(port->address_text, address) == 0;
}

/* ---- ports of instances ------------------------------------------------------------------------
 */

static uint16_t kernel_ports_first(void)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(4096);
    long first = 0;

    if (file_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", &text, NULL) == 0) {
        first = strtol(text.data, NULL, 10);
    }
    return first >= PORTS_FIRST + PORTS_MIN && first <= UINT16_MAX ? (uint16_t)first : UINT16_MAX;
}

static bool is_free_port(uint16_t number)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(number),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    _cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* From choosing a port to the service that binds it there is a moment, in which another engine may
 * choose the same. So the last ones given are reserved among engines, by an abstract socket named
 * after the port: both belong to the network namespace. -EADDRINUSE: another has it. */
static int reserve_port(uint16_t number)
{
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "slipway-port-%u", number);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, size) < 0) {
        return -errno;
    }
    return TAKE_FD(fd);
}

/* Reserved and free: true, and it is kept. */
static bool take_port(Forward *forward, uint16_t number)
{
    int *oldest = &forward->reservations[forward->n_reserved % PORTS_RESERVED];
    _cleanup_fd_ int fd = reserve_port(number);

    if (fd < 0 || !is_free_port(number)) {
        return false;
    }
    (void)fd_close(*oldest);
    *oldest = TAKE_FD(fd);
    forward->n_reserved++;
    return true;
}

int forward_choose_port(Forward *forward, uint16_t *ret)
{
    uint16_t end = kernel_ports_first(), n = (uint16_t)(end - PORTS_FIRST);

    if (forward->last_port == 0) {
        uint16_t random = 0;

        (void)!getrandom(&random, sizeof(random), 0);
        forward->last_port = (uint16_t)(PORTS_FIRST + random % n);
    }
    for (uint16_t i = 0; i < n; i++) {
        uint16_t number = (uint16_t)(forward->last_port + 1);

        forward->last_port = number >= end || number < PORTS_FIRST ? PORTS_FIRST : number;
        if (take_port(forward, forward->last_port)) {
            *ret = forward->last_port;
            return 0;
        }
    }
    return -EADDRNOTAVAIL;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

int forward_new(Loop *loop, size_t connections_max, Forward **ret)
{
    Forward *forward = calloc(1, sizeof(*forward));

    if (!forward) {
        return -ENOMEM;
    }
    forward->loop = loop;
    forward->connections_max = connections_max;
    for (size_t i = 0; i < PORTS_RESERVED; i++) {
        forward->reservations[i] = -1;
    }
    *ret = forward;
    return 0;
}

Forward *forward_free(Forward *forward)
{
    if (forward) {
        while (forward->connections) {
            connection_reset(forward->connections);
        }
        loop_timer_stop(&forward->retry);
        for (size_t i = 0; i < PORTS_RESERVED; i++) {
            (void)fd_close(forward->reservations[i]);
        }
        free(forward);
    }
    return NULL;
}

size_t forward_connections(const Forward *forward)
{
    return forward->n_connections;
}

void forward_forget(Forward *forward, const ForwardTarget *target)
{
    for (Connection *c = forward->connections; c; c = c->next) {
        if (c->target == target) {
            c->target = NULL;
        }
    }
}
