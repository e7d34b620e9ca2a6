/* SPDX-License-Identifier: MIT */
#include "agent/forward/forward.h"

#include "protocol/evidence/chain.h"
#include "tests/unit/http/scripted-server.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/file.h>

#define TAKEN "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
#define FULL "HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 8\r\n\r\nno\nroom\n"

static void append(void **state, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        _cleanup_(chain_freep) Chain *chain = NULL;
        _cleanup_json_ Json *members = json_new_object();

        assert_int_equal(json_set_string(members, "event", "x"), 0);
        assert_int_equal(chain_open(SCRATCH_FD, "log", &chain, NULL), 0);
        assert_int_equal(chain_append(chain, members, NULL), 0);
    }
}

/* A run against a collector that gives these answers. *ret_error is to free(). */
static int run(void **state, ScriptedServer *server, const char *const *answers, size_t n,
               char **ret_error)
{
    _cleanup_error_ Error err = {0};
    char url[160];
    int r;

    scripted_server_start(server, true, answers, n);
    (void)snprintf(url, sizeof(url), "%s/in?q=1", server->address);
    r = forward_run(SCRATCH_PATH, &(ForwardTarget){.url = url, .agent = "prod-1"}, &err);
    if (ret_error) {
        *ret_error = strdup(error_text(&err));
    }
    return r;
}

static Json *read_state(void **state)
{
    _cleanup_free_ char *text = scratch_read(SCRATCH_FD, FORWARD_STATE, NULL);
    Json *json = NULL;

    assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
    return json;
}

/* The next remembers under another address (a free port), so each test has one collector. */
static void point_state_at(void **state, const ScriptedServer *server)
{
    _cleanup_json_ Json *noted = read_state(state);
    _cleanup_buffer_ Buffer text = {0};
    char url[160];

    (void)snprintf(url, sizeof(url), "%s/in?q=1", server->address);
    assert_int_equal(json_set_string(noted, "url", url), 0);
    assert_int_equal(json_format(noted, &text), 0);
    scratch_write_text(SCRATCH_FD, FORWARD_STATE, buffer_text(&text));
}

static void sends_what_is_there_as_it_is(void **state)
{
    _cleanup_free_ char *log = NULL;
    _cleanup_json_ Json *noted = NULL;
    ScriptedServer server = {.header = "Slipway-Agent"};
    char line[4096], expected[4096];

    append(state, 3);
    assert_int_equal(run(state, &server, (const char *const[]){TAKEN}, 1, NULL), 0);
    assert_true(scripted_server_next_request(&server, line, sizeof(line)));
    log = scratch_read(SCRATCH_FD, "log", NULL);
    (void)snprintf(expected, sizeof(expected), "POST /in?q=1 %.40s", log);
    assert_int_equal(strncmp(line, expected, strlen(expected)), 0);
    noted = read_state(state);
    assert_int_equal(json_get_int(noted, "seq", 0), 3);
    assert_int_equal(json_get_int(noted, "end", 0), strlen(log));
    assert_non_null(json_get_string(noted, "sentAt"));
    assert_null(json_get_string(noted, "problem"));
    scripted_server_stop(&server);
}

static void nothing_is_sent_where_nothing_is_new(void **state)
{
    ScriptedServer server = {0};

    assert_int_equal(run(state, &server, (const char *const[]){TAKEN}, 1, NULL), 0);
    assert_false(file_exists(SCRATCH_FD, FORWARD_STATE));
    scripted_server_stop(&server);
}

static void a_refusal_is_said_and_remembered(void **state)
{
    _cleanup_free_ char *error = NULL;
    _cleanup_json_ Json *noted = NULL;
    ScriptedServer server = {0};

    append(state, 2);
    assert_int_equal(run(state, &server, (const char *const[]){FULL}, 1, &error), -EREMOTEIO);
    assert_non_null(strstr(error, "/in answered 507: no room"));
    assert_null(strstr(error, "q=1"));
    noted = read_state(state);
    assert_int_equal(json_get_int(noted, "seq", 0), 0);
    assert_string_equal(json_get_string(noted, "problem"), error);
    assert_non_null(json_get_string(noted, "waitingSince"));
    scripted_server_stop(&server);
}

static void a_record_that_is_not_on_disk_for_certain_waits(void **state)
{
    _cleanup_free_ char *head = NULL;
    _cleanup_json_ Json *noted = NULL;
    ScriptedServer server = {0};

    append(state, 1);
    head = scratch_read(SCRATCH_FD, "log.head", NULL);
    append(state, 1);
    scratch_write_text(SCRATCH_FD, "log.head", head);
    assert_int_equal(run(state, &server, (const char *const[]){TAKEN}, 1, NULL), 0);
    noted = read_state(state);
    assert_int_equal(json_get_int(noted, "seq", 0), 1);
    scripted_server_stop(&server);
}

static void a_log_that_has_changed_goes_nowhere(void **state)
{
    _cleanup_free_ char *log = NULL, *error = NULL;
    _cleanup_error_ Error err = {0};
    ScriptedServer server = {0};
    char url[160];

    append(state, 1);
    assert_int_equal(run(state, &server, (const char *const[]){TAKEN}, 1, NULL), 0);
    point_state_at(state, &server);
    append(state, 1);
    log = scratch_read(SCRATCH_FD, "log", NULL);
    log[strlen("{\"seq\":1,\"time\":\"2")] = '1';
    scratch_write_text(SCRATCH_FD, "log", log);
    (void)snprintf(url, sizeof(url), "%s/in?q=1", server.address);
    assert_int_equal(forward_run(SCRATCH_PATH, &(ForwardTarget){.url = url}, &err), -EBADMSG);
    assert_non_null(
        strstr(error_text(&err), "record 1, which was sent, is not in the log any more"));
    scripted_server_stop(&server);
}

static void targets_that_cannot_do(void **state)
{
    static const struct {
        ForwardTarget target;
        const char *said;
    } cases[] = {
        {{.url = "http://collector.example/x"}, "by https alone"},
        {{.url = "ftp://collector.example/x"}, ""},
        {{.url = "http://127.0.0.1:1/x", .token_file = "/no/such"}, "the token in '/no/such'"},
        {{.url = "http://127.0.0.1:1/x", .token_file = "/etc/passwd"}, "holds no token"},
        {{.url = "https://127.0.0.1:1/x", .ca_file = "/no/such"}, ""},
    };

    append(state, 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_error_ Error err = {0};

        assert_true(forward_run(SCRATCH_PATH, &cases[i].target, &err) < 0);
        if (!strstr(error_text(&err), cases[i].said)) {
            fail_msg("'%s' does not say '%s'", error_text(&err), cases[i].said);
        }
    }
}

static void one_at_a_time(void **state)
{
    _cleanup_fd_ int fd = openat(SCRATCH_FD, "forward.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    append(state, 1);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(
        forward_run(SCRATCH_PATH, &(ForwardTarget){.url = "http://127.0.0.1:1/x"}, NULL), 0);
    assert_false(file_exists(SCRATCH_FD, FORWARD_STATE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(sends_what_is_there_as_it_is),
        scratch_test(nothing_is_sent_where_nothing_is_new),
        scratch_test(a_refusal_is_said_and_remembered),
        scratch_test(a_record_that_is_not_on_disk_for_certain_waits),
        scratch_test(a_log_that_has_changed_goes_nowhere),
        scratch_test(targets_that_cannot_do),
        scratch_test(one_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
