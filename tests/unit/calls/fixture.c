/* SPDX-License-Identifier: MIT */
#include "tests/unit/calls/fixture.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* No event that a test waits for takes longer, on whatever machine. */
#define PATIENCE_MS 60000

static const char actions[] =
    "\"actions\":{"
    "\"succeed\":{\"command\":[\"/fake/succeed\"]},"
    "\"fail\":{\"command\":[\"/fake/fail\"]},"
    "\"report\":{\"command\":[\"/fake/report\"]},"
    "\"wait\":{\"command\":[\"/fake/wait\"]},"
    "\"die\":{\"command\":[\"/fake/die\"]},"
    "\"die-early\":{\"command\":[\"/fake/die-early\"]},"
    "\"strict\":{\"command\":[\"/fake/succeed\"],\"timeoutSeconds\":5,\"parameters\":{"
    "\"type\":\"object\",\"required\":[\"a\"],\"additionalProperties\":false,"
    "\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}}}}}";

void fixture_init(Fixture *f, const char *settings)
{
    _cleanup_error_ Error err = {0};
    _cleanup_free_ char *text = NULL, *path = NULL, *link = NULL;

    *f = (Fixture){.fd = -1};
    (void)snprintf(f->directory, sizeof(f->directory), "/tmp/slipway-calls-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->fd >= 0);
    assert_int_equal(mkdirat(f->fd, "libexec", 0700), 0);
    assert_int_equal(symlinkat(FAKE_SHIM, f->fd, "libexec/slipway-shim"), 0);
    assert_true(
        asprintf(&text,
                 "{\"name\":\"tester\",\"state\":\"%s/state\",\"libexec\":\"%s/libexec\",%s%s%s}",
                 f->directory, f->directory, settings, *settings ? "," : "", actions) > 0);
    fixture_write(f, "agent.json", text);
    assert_true(asprintf(&path, "%s/agent.json", f->directory) > 0);
    if (agent_config_load(path, NULL, &f->config, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_int_equal(uv_loop_init(&f->loop), 0);
}

void fixture_open(Fixture *f)
{
    _cleanup_error_ Error err = {0};

    if (calls_open(&f->loop, f->config, &f->calls, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void on_closed(void *userdata)
{
    bool *is_closed = userdata;

    *is_closed = true;
}

void fixture_close(Fixture *f)
{
    bool is_closed = false;

    calls_close(TAKE_PTR(f->calls), on_closed, &is_closed);
    assert_false(is_closed);
    while (!is_closed) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
}

void fixture_done(Fixture *f)
{
    _cleanup_error_ Error err = {0};

    if (f->calls) {
        fixture_close(f);
    }
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    (void)agent_config_free(f->config);
    assert_int_equal(file_remove_tree(AT_FDCWD, f->directory, &err), 0);
    (void)fd_close(f->fd);
}

static void on_impatient(uv_timer_t *timer)
{
    bool *is_late = timer->data;

    *is_late = true;
}

static void ignore_closed(uv_handle_t *handle)
{
    bool *is_closed = handle->data;

    *is_closed = true;
}

void fixture_wait(Fixture *f, bool (*condition)(Fixture *f, void *userdata), void *userdata)
{
    bool is_late = false, is_closed = false;
    uv_timer_t timer;

    assert_int_equal(uv_timer_init(&f->loop, &timer), 0);
    timer.data = &is_late;
    assert_int_equal(uv_timer_start(&timer, on_impatient, PATIENCE_MS, 0), 0);
    while (!condition(f, userdata) && !is_late) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    timer.data = &is_closed;
    uv_close((uv_handle_t *)&timer, ignore_closed);
    while (!is_closed) {
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    assert_false(is_late);
}

typedef struct Wanted {
    Call *call;
    CallState state;
} Wanted;

static bool has_state(Fixture *f, void *userdata)
{
    const Wanted *wanted = userdata;

    return call_state(wanted->call) == wanted->state;
}

void fixture_wait_state(Fixture *f, Call *call, CallState state)
{
    Wanted wanted = {call, state};

    fixture_wait(f, has_state, &wanted);
}

Call *fixture_start(Fixture *f, const char *action, const char *key, const char *run)
{
    CallRequest request = {.action = action, .idempotency_key = key, .run = run};
    _cleanup_error_ Error err = {0};
    bool is_existing;
    Call *call = NULL;

    if (calls_start(f->calls, &request, &call, &is_existing, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_false(is_existing);
    return call;
}

char *fixture_result(Call *call, const char *pointer)
{
    _cleanup_error_ Error err = {0};
    _cleanup_json_ Json *result = NULL;
    Buffer text = {0};

    if (call_read_result(call, &result, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_int_equal(json_format(json_pointer(result, pointer), &text), 0);
    return buffer_take_text(&text);
}

void fixture_write(Fixture *f, const char *path, const char *text)
{
    _cleanup_free_ char *copy = strdup(path);
    _cleanup_fd_ int fd = -1;

    for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdirat(f->fd, copy, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    fd = openat(f->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

char *fixture_read(Fixture *f, const char *path)
{
    _cleanup_error_ Error err = {0};
    Buffer text = {0};

    if (file_read(f->fd, path, &text, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    return buffer_take_text(&text);
}

bool fixture_exists(Fixture *f, const char *path)
{
    return file_exists(f->fd, path);
}

void fixture_write_call(Fixture *f, const char *id, const char *action, const char *key,
                        const char *run)
{
    _cleanup_free_ char *path = NULL, *text = NULL;

    assert_true(asprintf(&path, "state/calls/%s/spec.json", id) > 0);
    assert_true(asprintf(&text,
                         "{\"call\":\"%s\",\"action\":\"%s\",%s%s%s\"idempotencyKey\":\"%s\","
                         "\"createdAt\":\"2026-01-01T00:00:00.000000Z\",\"parameters\":{},"
                         "\"timeoutSeconds\":0,\"silenceTimeoutSeconds\":0,\"graceSeconds\":0,"
                         "\"terminal\":false,\"directories\":{\"workspace\":"
                         "\"%s/state/runs/%s/workspace\"}}\n",
                         id, action, run ? "\"run\":\"" : "", run ? run : "", run ? "\"," : "", key,
                         f->directory, run ? run : id) > 0);
    fixture_write(f, path, text);
}
