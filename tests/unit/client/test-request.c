/* SPDX-License-Identifier: MIT */
#include "plugin/client/client.h"

#include "tests/unit/client/fake-agent.h"
#include "tests/unit/scratch.h"

#include <errno.h>

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

/* ---- requests ----------------------------------------------------------------------------------
 */

/* Answers may come in any order. */
static void test_answers(void **state)
{
    FakePair *pair = *state;
    _cleanup_json_ Json *one = NULL, *two = NULL, *three = NULL;
    Answer answers[3];

    ask(pair->client, "ping", &answers[0]);
    ask(pair->client, "health", &answers[1]);
    ask(pair->client, "actions/list", &answers[2]);
    one = fake_agent_expect(&pair->agent, pair->client, "ping");
    two = fake_agent_expect(&pair->agent, pair->client, "health");
    three = fake_agent_expect(&pair->agent, pair->client, "actions/list");
    assert_false(json_has(one, "params"));
    fake_agent_answer(&pair->agent, three, "{\"n\":3}");
    fake_agent_refuse(&pair->agent, two, SLIPWAY_ERROR_NOT_ALLOWED, "no");
    fake_agent_answer(&pair->agent, one, "{\"n\":1}");
    assert_int_equal(fake_agent_settle(&pair->agent, pair->client), 0);
    assert_int_equal(answers[0].number, 1);
    assert_int_equal(answers[1].code, SLIPWAY_ERROR_NOT_ALLOWED);
    assert_string_equal(answers[1].text, "no");
    assert_int_equal(answers[2].number, 3);
    assert_int_equal(answers[0].n + answers[1].n + answers[2].n, 3);
}

static void test_params(void **state)
{
    FakePair *pair = *state;
    _cleanup_json_ Json *request = NULL;
    SlipwayJson *params = slipway_json_new_object();

    assert_int_equal(slipway_json_set_string(params, "/call", "c\n1"), 0);
    assert_int_equal(slipway_client_request(pair->client, "calls/result", params, NULL, NULL), 0);
    (void)slipway_json_unref(params);
    request = fake_agent_expect(&pair->agent, pair->client, "calls/result");
    assert_string_equal(json_as_string(json_pointer(request, "/params/call")), "c\n1");
    fake_agent_answer(&pair->agent, request, "{}"); /* nobody listens, nothing happens */
    assert_int_equal(fake_agent_settle(&pair->agent, pair->client), 0);
}

/* The limit is the agent's; an answer makes room. */
static void test_too_many(void **state)
{
    FakePair *pair = *state;
    Answer answer = {0};

    for (int i = 0; i < 64; i++) {
        assert_int_equal(slipway_client_request(pair->client, "ping", NULL, on_answer, &answer), 0);
    }
    assert_int_equal(slipway_client_request(pair->client, "ping", NULL, on_answer, &answer),
                     -EBUSY);
    expect_words(slipway_client_get_error(pair->client), "64 requests wait");
    for (int i = 0; i < 64; i++) {
        _cleanup_json_ Json *request = fake_agent_expect(&pair->agent, pair->client, "ping");

        fake_agent_answer(&pair->agent, request, "{}");
        assert_int_equal(fake_agent_settle(&pair->agent, pair->client), 0);
        assert_int_equal(answer.n, i + 1);
    }
    assert_int_equal(slipway_client_request(pair->client, "ping", NULL, NULL, NULL), 0);
}

/* One that the agent would drop without saying whose it was is not sent at all. */
static void test_too_long(void **state)
{
    FakePair *pair = *state;
    SlipwayJson *params = slipway_json_new_object();
    _cleanup_free_ char *text = malloc((1 << 20) + 1);

    memset(text, 'x', 1 << 20);
    text[1 << 20] = '\0';
    assert_int_equal(slipway_json_set_string(params, "/x", text), 0);
    assert_int_equal(slipway_client_request(pair->client, "ping", params, NULL, NULL), -EMSGSIZE);
    expect_words(slipway_client_get_error(pair->client), "the agent takes at most 1048576");
    fake_agent_expect_silence(&pair->agent, pair->client);
    (void)slipway_json_unref(params);
}

typedef struct Nested {
    Answer inner;
    int process, wait, request_wait;
} Nested;

static void on_nested(SlipwayClient *client, const SlipwayJson *result, const SlipwayError *error,
                      void *userdata)
{
    Nested *nested = userdata;

    nested->process = slipway_client_process(client);
    nested->wait = slipway_client_wait(client, 0);
    nested->request_wait = slipway_client_request_wait(client, "ping", NULL, 0, NULL, NULL);
    ask(client, "health", &nested->inner);
}

static void test_from_a_callback(void **state)
{
    FakePair *pair = *state;
    _cleanup_json_ Json *request = NULL, *second = NULL;
    Nested nested = {0};

    assert_int_equal(slipway_client_request(pair->client, "ping", NULL, on_nested, &nested), 0);
    request = fake_agent_expect(&pair->agent, pair->client, "ping");
    fake_agent_answer(&pair->agent, request, "{}");
    second = fake_agent_expect(&pair->agent, pair->client, "health");
    assert_int_equal(nested.process, -EDEADLK);
    assert_int_equal(nested.wait, -EDEADLK);
    assert_int_equal(nested.request_wait, -EDEADLK);
    fake_agent_answer(&pair->agent, second, "{\"n\":7}");
    assert_int_equal(fake_agent_settle(&pair->agent, pair->client), 0);
    assert_int_equal(nested.inner.number, 7);
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

/* Answers that stand in the socket before the question is asked: ids count from 1. */
static void test_request_wait(void **state)
{
    FakePair *pair = *state;
    SlipwayJson *result = NULL;
    int code = 0;

    fake_agent_say(&pair->agent, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"n\":5}}");
    assert_int_equal(slipway_client_request_wait(pair->client, "ping", NULL, 5000, &result, &code),
                     0);
    assert_int_equal(slipway_json_get_int(result, "/n", 0), 5);
    (void)slipway_json_unref(result);
    fake_agent_say(&pair->agent, "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32004,"
                                 "\"message\":\"no such call\"}}");
    assert_int_equal(slipway_client_request_wait(pair->client, "ping", NULL, -1, NULL, &code),
                     -EREMOTEIO);
    assert_int_equal(code, SLIPWAY_ERROR_NOT_FOUND);
    assert_string_equal(slipway_client_get_error(pair->client), "no such call");
    fake_agent_say(&pair->agent, "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{}}");
    assert_int_equal(slipway_client_request_wait(pair->client, "ping", NULL, -1, NULL, NULL), 0);
}

static void test_request_wait_too_long(void **state)
{
    FakePair *pair = *state;

    assert_int_equal(slipway_client_request_wait(pair->client, "ping", NULL, 1, NULL, NULL),
                     -ETIMEDOUT);
    expect_words(slipway_client_get_error(pair->client), "no answer to ping within 1 ms");
    /* The answer that comes after all is nobody's. */
    fake_agent_say(&pair->agent, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
    assert_int_equal(fake_agent_settle(&pair->agent, pair->client), 0);
}

static void test_request_wait_hung_up(void **state)
{
    FakePair *pair = *state;
    int code = 77;

    fake_agent_hang_up(&pair->agent);
    assert_int_equal(slipway_client_request_wait(pair->client, "ping", NULL, -1, NULL, &code),
                     -ENOTCONN);
    assert_int_equal(code, 77);
    expect_words(slipway_client_get_error(pair->client), "the agent");
}

static void test_free_with_questions_open(void **state)
{
    _cleanup_fake_agent_ FakeAgent agent = FAKE_AGENT_EMPTY;
    SlipwayClient *client = fake_agent_connect(&agent);
    Answer answers[2];

    ask(client, "ping", &answers[0]);
    ask(client, "health", &answers[1]);
    (void)slipway_client_free(client);
    assert_int_equal(answers[0].code, SLIPWAY_ERROR_DISCONNECTED);
    assert_int_equal(answers[1].code, SLIPWAY_ERROR_DISCONNECTED);
    assert_int_equal(answers[0].n + answers[1].n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fake_pair_test(test_answers),
        fake_pair_test(test_params),
        fake_pair_test(test_too_many),
        fake_pair_test(test_too_long),
        fake_pair_test(test_from_a_callback),
        fake_pair_test(test_request_wait),
        fake_pair_test(test_request_wait_too_long),
        fake_pair_test(test_request_wait_hung_up),
        cmocka_unit_test(test_free_with_questions_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
