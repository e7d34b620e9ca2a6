/* SPDX-License-Identifier: MIT */
#include "tests/unit/engine-local/place.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 30000

const char *place_server(const char *argument)
{
    static char command[256];
    const char *program = getenv("SLIPWAY_TEST_SERVICE");

    (void)snprintf(command, sizeof(command), "[\"%s\"%s%s%s]",
                   program ? program : "SLIPWAY_TEST_SERVICE-is-not-set", argument ? ",\"" : "",
                   argument ? argument : "", argument ? "\"" : "");
    return command;
}

static int open_directory(const char *top, const char *name)
{
    char path[80];

    (void)snprintf(path, sizeof(path), "%s/%s", top, name);
    return file_make_dirs(path, 0700, NULL) < 0 ? -1
                                                : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int place_set_up(void **state)
{
    Place *place = calloc(1, sizeof(*place));
    const char *keeper = getenv("SLIPWAY_KEEPER");

    (void)snprintf(place->path, sizeof(place->path), "/tmp/engine-local-XXXXXX");
    if (!mkdtemp(place->path) || loop_new(&place->loop) < 0 ||
        health_new(place->loop, (Health **)&place->host.health) < 0 ||
        forward_new(place->loop, 16, (Forward **)&place->host.forward) < 0) {
        return 1;
    }
    place->host.loop = place->loop;
    place->host.instances_fd = open_directory(place->path, "instances");
    place->host.logs_fd = open_directory(place->path, "logs");
    place->host.keeper_path = keeper ? keeper : "SLIPWAY_KEEPER-is-not-set";
    *state = place;
    return place->host.instances_fd < 0 || place->host.logs_fd < 0;
}

int place_tear_down(void **state)
{
    Place *place = *state;

    (void)forward_free(place->host.forward);
    (void)health_free(place->host.health);
    (void)fd_close(place->host.instances_fd);
    (void)fd_close(place->host.logs_fd);
    (void)loop_free(place->loop);
    (void)!file_remove_tree(AT_FDCWD, place->path, NULL);
    free(place);
    return 0;
}

bool place_wait(Place *place, bool (*condition)(void *userdata), void *userdata)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (!condition(userdata)) {
        if (clock_monotonic_ms() > until || loop_step(place->loop, 1000) < 0) {
            return false;
        }
    }
    return true;
}

Specification *place_specification(const char *command, const char *more)
{
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_error_ Error err = {0};
    Specification *s = NULL;

    if (buffer_append_format(&text, "{\"id\":\"app\",\"port\":1,\"command\":%s%s}", command,
                             more ? more : "") < 0 ||
        specification_parse(text.data, text.len, &s, &err) < 0) {
        (void)fprintf(stderr, "%s: %s\n", buffer_text(&text), error_text(&err));
    }
    assert(s);
    return s;
}

int place_listen(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t n = sizeof(address);
    int r;

    r = bind(fd, (const struct sockaddr *)&address, n) < 0 || listen(fd, 16) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) < 0;
    assert(!r);
    *ret_port = ntohs(address.sin_port);
    return fd;
}
