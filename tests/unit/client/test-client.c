/* SPDX-License-Identifier: MIT */
#include "plugin/client/client.h"

#include "tests/unit/client/fake-agent.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

typedef struct Answer {
    unsigned n;
    int code;
    char text[256];
    int64_t number; /* member "n" of the result */
} Answer;

static void on_answer(SlipwayClient *client, const SlipwayJson *result, const SlipwayError *error,
                      void *userdata)
{
    Answer *answer = userdata;

    assert_true(!result || !error);
    answer->n++;
    answer->number = slipway_json_get_int(result, "/n", -1);
    answer->code = error ? error->code : 0;
    (void)snprintf(answer->text, sizeof(answer->text), "%s", error ? error->message : "");
}

static void ask(SlipwayClient *client, const char *method, Answer *answer)
{
    *answer = (Answer){0};
    assert_int_equal(slipway_client_request(client, method, NULL, on_answer, answer), 0);
}

static void expect_words(const char *text, const char *words)
{
    if (!strstr(text, words)) {
        fail_msg("'%s' is not in: %s", words, text);
    }
}

/* ---- one connection ----------------------------------------------------------------------------
 */

static void test_greeting(void **state)
{
    _cleanup_fake_agent_ FakeAgent agent = FAKE_AGENT_EMPTY;
    SlipwayClient *client = fake_agent_connect(&agent);
    _cleanup_json_ Json *request = NULL;

    assert_null(slipway_client_get_agent(client));
    assert_true(slipway_client_get_timeout_ms(client) > 0);
    request = fake_agent_expect(&agent, client, "initialize");
    assert_string_equal(json_as_string(json_pointer(request, "/params/client/name")), "test");
    assert_string_equal(json_as_string(json_pointer(request, "/params/client/version")), "1");
    fake_agent_answer(&agent, request, "{\"agent\":{\"name\":\"fake\"},\"limits\":{}}");
    assert_int_equal(fake_agent_settle(&agent, client), 0);
    assert_string_equal(
        slipway_json_get_string(slipway_client_get_agent(client), "/agent/name", ""), "fake");
    assert_int_equal(slipway_client_get_timeout_ms(client), -1);
    assert_string_equal(slipway_client_get_address(client), "the agent");
    assert_null(slipway_client_free(client));
    assert_null(slipway_client_free(NULL));
}

static void test_refused_greeting(void **state)
{
    _cleanup_fake_agent_ FakeAgent agent = FAKE_AGENT_EMPTY;
    SlipwayClient *client = fake_agent_connect(&agent);
    _cleanup_json_ Json *request = fake_agent_expect(&agent, client, "initialize");

    fake_agent_refuse(&agent, request, SLIPWAY_ERROR_SHUTTING_DOWN, "going");
    assert_int_equal(slipway_client_process(client), -ENOTCONN);
    expect_words(slipway_client_get_error(client), "the agent refused: going");
    (void)slipway_client_free(client);
}

static void test_not_connected(void **state)
{
    SlipwayClient *client = slipway_client_new(NULL, NULL);

    assert_int_equal(slipway_client_request(client, "ping", NULL, NULL, NULL), -ENOTCONN);
    assert_int_equal(slipway_client_process(client), -ENOTCONN);
    assert_int_equal(slipway_client_wait(client, 0), -ENOTCONN);
    assert_int_equal(slipway_client_get_fd(client), -1);
    assert_int_equal(slipway_client_connect(client, "http://x"), -EINVAL);
    expect_words(slipway_client_get_error(client), "'http://x' is no agent's address");
    assert_int_equal(slipway_client_connect_fd_take(client, -1), -EBADF);
    (void)slipway_client_free(client);
}

static void test_connected_twice(void **state)
{
    FakePair *pair = *state;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(slipway_client_connect_fd_take(pair->client, fds[0]), -EISCONN);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1); /* taken all the same */
    assert_int_equal(slipway_client_connect(pair->client, "unix:/nowhere"), -EISCONN);
    (void)close(fds[1]);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void test_wait(void **state)
{
    FakePair *pair = *state;

    assert_int_equal(slipway_client_wait(pair->client, 0), 0);
    assert_int_equal(slipway_client_get_events(pair->client), POLLIN);
    fake_agent_say(&pair->agent, "{\"jsonrpc\":\"2.0\",\"method\":\"call/new\",\"params\":{}}");
    assert_int_equal(slipway_client_wait(pair->client, -1), 1);
    fake_agent_hang_up(&pair->agent);
    assert_int_equal(slipway_client_wait(pair->client, -1), -ENOTCONN);
}

/* An agent that does not read blocks nobody: what cannot be sent waits. */
static void test_full_socket(void **state)
{
    FakePair *pair = *state;
    SlipwayJson *params = slipway_json_new_object();
    _cleanup_free_ char *text = calloc(1, 500001);

    memset(text, 'x', 500000);
    assert_int_equal(slipway_json_set_string(params, "/x", text), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(slipway_client_request(pair->client, "ping", params, NULL, NULL), 0);
    }
    assert_int_equal(slipway_client_process(pair->client), 0);
    assert_int_equal(slipway_client_get_events(pair->client), POLLIN | POLLOUT);
    for (int i = 0; i < 20; i++) {
        _cleanup_json_ Json *request = fake_agent_expect(&pair->agent, pair->client, "ping");

        assert_int_equal(json_as_string_len(json_pointer(request, "/params/x")), 500000);
    }
    assert_int_equal(slipway_client_get_events(pair->client), POLLIN);
    (void)slipway_json_unref(params);
}

/* ---- an agent that breaks the rules ------------------------------------------------------------
 */

static void expect_broken(const char *line, const char *words)
{
    _cleanup_fake_agent_ FakeAgent agent = FAKE_AGENT_EMPTY;
    SlipwayClient *client = fake_agent_connect(&agent);
    Answer answer;

    fake_agent_greet(&agent, client);
    ask(client, "health", &answer);
    fake_agent_say(&agent, "%s", line);
    assert_int_equal(slipway_client_process(client), -ENOTCONN);
    expect_words(slipway_client_get_error(client), words);
    assert_int_equal(answer.n, 1);
    assert_int_equal(answer.code, SLIPWAY_ERROR_DISCONNECTED);
    expect_words(answer.text, words);
    assert_int_equal(slipway_client_request(client, "ping", NULL, NULL, NULL), -ENOTCONN);
    (void)slipway_client_free(client);
}

static void test_nonsense(void **state)
{
    expect_broken("hello", "no message");
    expect_broken("[]", "no message");
    expect_broken("{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}", "was not made");
    expect_broken("{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"result\":{}}", "was not made");
    expect_broken("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", "sent a request");
    expect_broken("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32003,\"message\":\"too "
                  "long\"}}",
                  "the agent says: too long");
    expect_broken("{\"jsonrpc\":\"2.0\",\"method\":\"call/started\",\"params\":{}}",
                  "without a call or a seq");
}

static void test_line_without_end(void **state)
{
    FakePair *pair = *state;
    static char piece[1 << 16];
    int r = 0;

    memset(piece, 'x', sizeof(piece));
    assert_int_equal(fd_set_nonblock(pair->agent.fd, true), 0);
    for (size_t sent = 0; r == 0 && sent < 2 * CLIENT_LINE_MAX;) {
        ssize_t n = send(pair->agent.fd, piece, sizeof(piece), MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        r = slipway_client_process(pair->client);
    }
    assert_int_equal(r, -ENOTCONN);
    expect_words(slipway_client_get_error(pair->client), "a line of more than");
}

/* Whatever it was that went wrong before, a hang-up is told as a hang-up. */
static void test_reason(void **state)
{
    FakePair *pair = *state;
    Answer answer;

    for (int i = 0; i < 64; i++) {
        ask(pair->client, "ping", &answer);
    }
    assert_int_equal(slipway_client_request(pair->client, "ping", NULL, NULL, NULL), -EBUSY);
    assert_int_equal(slipway_client_process(pair->client), 0);
    expect_words(slipway_client_get_error(pair->client), "64 requests wait");
    fake_agent_hang_up(&pair->agent);
    assert_int_equal(slipway_client_process(pair->client), -ENOTCONN);
    assert_null(strstr(slipway_client_get_error(pair->client), "64 requests"));
}

/* ---- connecting again --------------------------------------------------------------------------
 */

typedef struct Outage {
    FakeAgent agent;
    SlipwayClient *client;
    char path[128];
    unsigned n_lost, n_back;
} Outage;

static void on_connection(SlipwayClient *client, bool is_connected, const char *text,
                          void *userdata)
{
    Outage *outage = userdata;

    assert_true(*text);
    outage->n_lost += !is_connected;
    outage->n_back += is_connected;
}

static void outage_begin(Outage *outage, void **state, int64_t duration_ms)
{
    char address[160];

    *outage = (Outage){.client = slipway_client_new(NULL, NULL)};
    (void)snprintf(outage->path, sizeof(outage->path), "%s/agent.sock", SCRATCH_PATH);
    (void)snprintf(address, sizeof(address), "unix:%s", outage->path);
    fake_agent_listen(&outage->agent, outage->path);
    slipway_client_set_reconnect(outage->client, duration_ms);
    slipway_client_set_connection_callback(outage->client, on_connection, outage);
    assert_int_equal(slipway_client_connect(outage->client, address), 0);
    assert_string_equal(slipway_client_get_address(outage->client), address);
    fake_agent_accept(&outage->agent, outage->client);
    fake_agent_greet(&outage->agent, outage->client);
}

static void outage_end(Outage *outage)
{
    (void)slipway_client_free(outage->client);
    fake_agent_done(&outage->agent);
}

/* What was not answered is asked again, with its old id; what was answered is not. */
static void test_again(void **state)
{
    Outage outage;
    Answer first, second, third;
    _cleanup_json_ Json *before = NULL, *again = NULL, *later = NULL;
    int64_t id;

    outage_begin(&outage, state, 10000);
    ask(outage.client, "ping", &first);
    before = fake_agent_expect(&outage.agent, outage.client, "ping");
    fake_agent_answer(&outage.agent, before, "{\"n\":1}");
    ask(outage.client, "health", &second);
    before = json_unref(before);
    before = fake_agent_expect(&outage.agent, outage.client, "health");
    id = json_get_int(before, "id", -1);
    fake_agent_hang_up(&outage.agent);
    assert_int_equal(slipway_client_process(outage.client), 0);
    assert_int_equal(outage.n_lost, 1);
    assert_int_equal(slipway_client_get_fd(outage.client), -1);
    assert_true(slipway_client_get_timeout_ms(outage.client) >= 0);
    ask(outage.client, "actions/list", &third); /* in the outage: waits for its end */

    fake_agent_accept(&outage.agent, outage.client);
    fake_agent_greet(&outage.agent, outage.client);
    assert_int_equal(outage.n_back, 1);
    again = fake_agent_expect(&outage.agent, outage.client, "health");
    assert_int_equal(json_get_int(again, "id", -1), id);
    later = fake_agent_expect(&outage.agent, outage.client, "actions/list");
    fake_agent_answer(&outage.agent, again, "{\"n\":2}");
    fake_agent_answer(&outage.agent, later, "{\"n\":3}");
    assert_int_equal(fake_agent_settle(&outage.agent, outage.client), 0);
    assert_int_equal(first.number, 1);
    assert_int_equal(second.number, 2);
    assert_int_equal(third.number, 3);
    assert_int_equal(first.n + second.n + third.n, 3);
    outage_end(&outage);
}

/* Also when the connection breaks before the greeting, and more than once. */
static void test_again_and_again(void **state)
{
    Outage outage;
    Answer answer;
    _cleanup_json_ Json *request = NULL;

    outage_begin(&outage, state, 10000);
    ask(outage.client, "ping", &answer);
    for (int i = 0; i < 3; i++) {
        fake_agent_hang_up(&outage.agent);
        fake_agent_accept(&outage.agent, outage.client);
    }
    fake_agent_greet(&outage.agent, outage.client);
    request = fake_agent_expect(&outage.agent, outage.client, "ping");
    fake_agent_answer(&outage.agent, request, "{\"n\":1}");
    assert_int_equal(fake_agent_settle(&outage.agent, outage.client), 0);
    assert_int_equal(answer.number, 1);
    assert_int_equal(answer.n, 1);
    assert_int_equal(outage.n_lost, 1); /* one outage, told once */
    assert_int_equal(outage.n_back, 1);
    outage_end(&outage);
}

static void test_gives_up(void **state)
{
    Outage outage;
    Answer answer;
    int r = 0;

    outage_begin(&outage, state, 120);
    ask(outage.client, "ping", &answer);
    outage.agent.listener = fd_close(outage.agent.listener);
    fake_agent_hang_up(&outage.agent);
    while (r >= 0) {
        r = slipway_client_wait(outage.client, -1);
    }
    assert_int_equal(r, -ENOTCONN);
    assert_int_equal(answer.n, 1);
    assert_int_equal(answer.code, SLIPWAY_ERROR_DISCONNECTED);
    expect_words(slipway_client_get_error(outage.client), outage.path);
    assert_int_equal(outage.n_lost, 1);
    assert_int_equal(outage.n_back, 0);
    outage_end(&outage);
}

/* One that breaks the protocol is not asked again for ever. */
static void test_no_second_chance(void **state)
{
    Outage outage;

    outage_begin(&outage, state, 10000);
    fake_agent_say(&outage.agent, "nonsense");
    assert_int_equal(slipway_client_process(outage.client), -ENOTCONN);
    assert_int_equal(outage.n_lost, 0);
    outage_end(&outage);
}

/* "Too many connections" is no such break: there may be room later. */
static void test_busy_agent(void **state)
{
    Outage outage;

    outage_begin(&outage, state, 10000);
    fake_agent_say(&outage.agent, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32002,"
                                  "\"message\":\"too many connections\"}}");
    assert_int_equal(slipway_client_process(outage.client), 0);
    assert_int_equal(outage.n_lost, 1);
    fake_agent_accept(&outage.agent, outage.client);
    fake_agent_greet(&outage.agent, outage.client);
    assert_int_equal(outage.n_back, 1);
    outage_end(&outage);
}

/* A socket that was handed over has no address to go back to. */
static void test_handed_over(void **state)
{
    FakePair *pair = *state;

    slipway_client_set_reconnect(pair->client, 10000);
    fake_agent_hang_up(&pair->agent);
    assert_int_equal(slipway_client_process(pair->client), -ENOTCONN);
    assert_int_equal(slipway_client_process(pair->client), -ENOTCONN);
}

static void test_version(void **state)
{
    unsigned major, minor, patch;

    assert_int_equal(sscanf(slipway_version(), "%u.%u.%u", &major, &minor, &patch), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greeting),
        cmocka_unit_test(test_refused_greeting),
        cmocka_unit_test(test_not_connected),
        fake_pair_test(test_connected_twice),
        fake_pair_test(test_wait),
        fake_pair_test(test_full_socket),
        cmocka_unit_test(test_nonsense),
        fake_pair_test(test_line_without_end),
        fake_pair_test(test_reason),
        scratch_test(test_again),
        scratch_test(test_again_and_again),
        scratch_test(test_gives_up),
        scratch_test(test_no_second_chance),
        scratch_test(test_busy_agent),
        fake_pair_test(test_handed_over),
        cmocka_unit_test(test_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
