/* SPDX-License-Identifier: MIT */
/* Any bytes, as what a client sends to a session: every line of the agent is a message of the
 * protocol, no request is answered twice, and at the end of the input the session ends and has let
 * go of everything.
 *
 * Input and output are files in memory. Two calls are there: `c0` runs and `c1` is finished, with a
 * log and an artifact `bin`. */
#include "agent/endpoint/dispatch.h"
#include "agent/endpoint/session.h"
#include "protocol/base/fd.h"
#include "tests/unit/endpoint/fake-calls.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void on_ended(Session *session, void *userdata)
{
    *(bool *)userdata = true;
}

static Calls *make_calls(void)
{
    Calls *calls = fake_calls_new();
    Call *call = fake_calls_add(calls, "c0");

    fake_call_log(call, "stdout", "hello\n", 6);
    call = fake_calls_add(calls, "c1");
    fake_call_log(call, "stderr", "\xff\0", 2);
    fake_call_set_artifact(call, "bin", "0123456789", 10);
    fake_call_finish(call);
    return calls;
}

static void check_line(const char *line, size_t n, size_t *n_answers)
{
    Message m = {0};
    MessageErrorCode code;

    require(message_parse(line, n, &m, &code, NULL) == 0);
    require(m.type != MESSAGE_REQUEST);
    *n_answers += m.type != MESSAGE_NOTIFICATION;
    message_done(&m);
}

/* Answers are at most as many as lines; only a too long line without an end has one of its own. */
static void check_output(int fd, const uint8_t *data, size_t size)
{
    size_t n_lines = 1, n_answers = 0, length = (size_t)lseek(fd, 0, SEEK_END);
    char *text = malloc(length + 1), *at = text;

    require(text && fd_pread_full(fd, text, length, 0) == (ssize_t)length);
    text[length] = '\0';
    while (at < text + length) {
        char *end = memchr(at, '\n', (size_t)(text + length - at));

        require(end);
        check_line(at, (size_t)(end - at), &n_answers);
        at = end + 1;
    }
    for (size_t i = 0; i < size; i++) {
        n_lines += data[i] == '\n';
    }
    require(n_answers <= n_lines);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ActionConfig action = {.name = (char *)"greet"};
    AgentConfig config = {.name = (char *)"fuzz", .slots = 1, .actions = &action, .n_actions = 1};
    int input = memfd_create("input", MFD_CLOEXEC), output = memfd_create("output", MFD_CLOEXEC);
    int copy = dup(output);
    uv_loop_t loop;
    Endpoint endpoint = {
        .loop = &loop,
        .config = &config,
        .calls = make_calls(),
        .schemas = method_schemas_new(),
        .read_buffer = malloc(SESSION_READ_SIZE),
    };
    Session *session = NULL;
    bool has_ended = false;

    require(input >= 0 && output >= 0 && copy >= 0 && uv_loop_init(&loop) == 0);
    require(endpoint.schemas && endpoint.read_buffer);
    require(fd_write_all(input, data, size) == 0 && lseek(input, 0, SEEK_SET) == 0);
    require(session_open_take(&endpoint, input, output, on_ended, &has_ended, &session, NULL) == 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    require(has_ended);
    require(uv_loop_close(&loop) == 0);
    check_output(copy, data, size);
    (void)close(copy);
    (void)method_schemas_free(endpoint.schemas);
    (void)fake_calls_free(endpoint.calls); /* which checks that nobody follows any more */
    free(endpoint.read_buffer);
    return 0;
}
