/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engine-server.h"

#include "tests/unit/http/scripted-server.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SERVERS_MAX 3
#define WELL "{\"a\":1}"

static const EngineServerTraits traits = {
    .title = "Ship",
    .example = "https://ship.example",
    .token_prefix = "token=",
};

/* A cluster of scripted servers, and what is asked of it. */
typedef struct Cluster {
    ScriptedServer servers[SERVERS_MAX];
    char *answers[SERVERS_MAX];
    size_t n;
    bool is_reversed; /* the last one that was added is asked first */
    Json *environment;
    EngineServer *server;
    EngineReply reply;
    Error err;
} Cluster;

/* An answer of NULL hangs up. */
static void cluster_add(Cluster *c, char *answer_taken)
{
    ScriptedServer *server = &c->servers[c->n];

    c->answers[c->n] = answer_taken ? answer_taken : strdup("");
    server->header = "Authorization";
    scripted_server_start(server, true, (const char *const[]){c->answers[c->n]}, 1);
    c->n++;
}

static void cluster_open(Cluster *c, const char *credentials_file)
{
    Json *addresses = json_new_array();

    c->environment = json_new_object();
    for (size_t i = 0; i < c->n; i++) {
        size_t at = c->is_reversed ? c->n - 1 - i : i;

        assert_int_equal(json_append_string(addresses, c->servers[at].address), 0);
    }
    assert_int_equal(json_set_take(c->environment, "addresses", addresses), 0);
    assert_int_equal(json_set_string(c->environment, "credentialsFile", credentials_file), 0);
    assert_int_equal(engine_server_open(c->environment, &traits, &c->server, &c->err), 0);
}

static void cluster_close(Cluster *c)
{
    engine_reply_done(&c->reply);
    c->server = engine_server_close(c->server);
    for (size_t i = 0; i < c->n; i++) {
        scripted_server_stop(&c->servers[i]);
        free(c->answers[i]);
    }
    c->environment = json_unref(c->environment);
    error_done(&c->err);
}

static int ask(Cluster *c, const char *method)
{
    return engine_server_ask(c->server, method, "/v2/x", NULL, &c->reply, &c->err);
}

static void assert_asked(Cluster *c, size_t i, const char *wanted)
{
    char line[512];

    assert_true(scripted_server_next_request(&c->servers[i], line, sizeof(line)));
    assert_string_equal(line, wanted);
}

static void an_address_is_wanted(void **state)
{
    static const struct {
        const char *environment;
        const char *said;
    } cases[] = {
        {"{}", "neither `address` nor `addresses`: where Ship is asked, such as https://ship"},
        {"{\"address\":\"pigeon:1\"}", "pigeon:1"},
        {"{\"addresses\":[7]}", "addresses"},
        {"{\"addresses\":[\"http://user:secret@h\"]}", "'@'"},
        {"{\"address\":\"http://h\",\"credentialsFile\":\"/nonexistent/c\"}", "/nonexistent/c"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *environment = NULL;
        _cleanup_error_ Error err = {0};
        EngineServer *server = NULL;
        const char *text = cases[i].environment;

        assert_int_equal(json_parse(text, strlen(text), &environment, NULL), 0);
        assert_true(engine_server_open(environment, &traits, &server, &err) < 0);
        assert_null(server);
        assert_non_null(strstr(error_text(&err), cases[i].said));
        assert_null(strstr(error_text(&err), "secret"));
    }
    assert_null(engine_server_close(NULL));
}

static void reading_goes_on_to_the_next(void **state)
{
    Cluster c = {0};

    cluster_add(&c, NULL);
    cluster_add(&c, scripted_answer(503, "{\"message\":\"Leadership transfer in progress\"}"));
    cluster_add(&c, scripted_answer(200, WELL));
    cluster_open(&c, NULL);
    assert_int_equal(ask(&c, "GET"), 0);
    assert_int_equal(c.reply.response.status, 200);
    assert_int_equal(json_get_int(c.reply.json, "a", 0), 1);
    assert_string_equal(c.reply.address, c.servers[2].address);
    for (size_t i = 0; i < 3; i++) {
        assert_asked(&c, i, "GET /v2/x  -");
    }
    cluster_close(&c);
}

/* Whoever lost the answer to a change does not know whether it was made. */
static void a_change_is_sent_once(void **state)
{
    Cluster c = {0};

    cluster_add(&c, NULL);
    cluster_add(&c, scripted_answer(200, WELL));
    cluster_open(&c, NULL);
    assert_int_equal(ask(&c, "PUT"), ENGINE_AWAY);
    assert_non_null(strstr(error_text(&c.err), "Ship does not answer"));
    error_done(&c.err);
    assert_int_equal(ask(&c, "PUT"), 0); /* of the next address */
    cluster_close(&c);
}

static void nobody_answers(void **state)
{
    Cluster c = {0};

    cluster_add(&c, scripted_answer(502, "{\"message\":\"no leader\"}"));
    cluster_add(&c, scripted_answer(504, "<html>"));
    cluster_open(&c, NULL);
    assert_int_equal(ask(&c, "GET"), ENGINE_AWAY);
    assert_non_null(strstr(error_text(&c.err), "504"));
    assert_non_null(strstr(error_text(&c.err), c.servers[1].address));
    assert_null(strstr(error_text(&c.err), "<html>"));
    cluster_close(&c);
}

static char *redirect_to(const char *location)
{
    char *text = NULL;

    assert_true(asprintf(&text,
                         "HTTP/1.1 307 X\r\nLocation: %s/v2/x\r\nContent-Length: 0\r\n"
                         "Connection: close\r\n\r\n",
                         location) > 0);
    return text;
}

static void write_credentials(void **state, const char *text, mode_t mode, char path[256])
{
    scratch_write(SCRATCH_FD, "credentials", text, strlen(text), mode);
    (void)snprintf(path, 256, "%s/credentials", SCRATCH_PATH);
}

static void a_redirect_stays_in_the_cluster(void **state)
{
    char path[256];
    Cluster c = {0};

    write_credentials(state, "{\"token\":\"t\"}", 0600, path);
    cluster_add(&c, scripted_answer(200, WELL));
    cluster_add(&c, redirect_to(c.servers[0].address));
    c.is_reversed = true;
    cluster_open(&c, path);
    assert_int_equal(ask(&c, "PUT"), 0);
    assert_string_equal(c.reply.address, c.servers[0].address);
    assert_asked(&c, 1, "PUT /v2/x  token=t");
    assert_asked(&c, 0, "PUT /v2/x  token=t");
    cluster_close(&c);
}

static void a_redirect_out_of_it_is_refused(void **state)
{
    char path[256];
    ScriptedServer stranger = {.header = "Authorization"};
    struct pollfd asked = {.events = POLLIN};
    char *answer = scripted_answer(200, WELL);
    Cluster c = {0};

    write_credentials(state, "{\"token\":\"t\"}", 0600, path);
    scripted_server_start(&stranger, true, (const char *const[]){answer}, 1);
    cluster_add(&c, redirect_to(stranger.address));
    cluster_open(&c, path);
    assert_int_equal(ask(&c, "GET"), -EPROTO);
    assert_non_null(strstr(error_text(&c.err), stranger.address));
    assert_non_null(strstr(error_text(&c.err), "none of this environment's addresses"));
    asked.fd = stranger.requests_fd;
    assert_int_equal(poll(&asked, 1, 0), 0);
    scripted_server_stop(&stranger);
    free(answer);
    cluster_close(&c);
}

static void credentials_of_every_kind(void **state)
{
    static const struct {
        const char *text;
        const char *asked;
    } cases[] = {
        {"{\"username\":\"ann\",\"password\":\"s:cret\"}", "GET /v2/x  Basic YW5uOnM6Y3JldA=="},
        {"{\"token\":\"t\"}", "GET /v2/x  token=t"},
        {"{\"authorization\":\"Bearer t\"}", "GET /v2/x  Bearer t"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char path[256];
        Cluster c = {0};

        write_credentials(state, cases[i].text, 0640, path);
        cluster_add(&c, scripted_answer(200, WELL));
        cluster_open(&c, path);
        assert_string_equal(engine_server_credentials_file(c.server), path);
        assert_int_equal(ask(&c, "GET"), 0);
        assert_asked(&c, 0, cases[i].asked);
        cluster_close(&c);
    }
}

static void credentials_that_are_none(void **state)
{
    static const struct {
        const char *text;
        mode_t mode;
        const char *said;
    } cases[] = {
        {"{\"token\":\"s3cret\"}", 0644, "open to everybody"},
        {"s3cret", 0600, "is to hold"},
        {"{}", 0600, "is to hold"},
        {"{\"token\":7}", 0600, "is to hold"},
        {"{\"token\":\"s3cret\",\"username\":\"ann\"}", 0600, "is to hold"},
        {"{\"username\":\"a:n\",\"password\":\"s3cret\"}", 0600, "is to hold"},
        {"{\"token\":\"s3cret\\r\\nX: y\"}", 0600, "is to hold"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *environment = json_new_object();
        _cleanup_error_ Error err = {0};
        EngineServer *server = NULL;
        char path[256];

        write_credentials(state, cases[i].text, cases[i].mode, path);
        assert_int_equal(json_set_string(environment, "address", "http://127.0.0.1:1"), 0);
        assert_int_equal(json_set_string(environment, "credentialsFile", path), 0);
        assert_true(engine_server_open(environment, &traits, &server, &err) < 0);
        assert_non_null(strstr(error_text(&err), cases[i].said));
        assert_non_null(strstr(error_text(&err), path));
        assert_null(strstr(error_text(&err), "s3cret"));
    }
}

/* Tokens are renewed in place: what is refused is looked up again, once. */
static void a_renewed_token_is_taken(void **state)
{
    char path[256];
    Cluster c = {0};
    char *answers[] = {scripted_answer(401, "{}"), scripted_answer(200, WELL)};

    write_credentials(state, "{\"token\":\"old\"}", 0600, path);
    c.servers[0].header = "Authorization";
    scripted_server_start(&c.servers[0], true, (const char *const *)answers, 2);
    c.n = 1;
    cluster_open(&c, path);
    write_credentials(state, "{\"token\":\"new\"}", 0600, path);
    assert_int_equal(ask(&c, "GET"), 0);
    assert_int_equal(c.reply.response.status, 200);
    assert_asked(&c, 0, "GET /v2/x  token=old");
    assert_asked(&c, 0, "GET /v2/x  token=new");
    cluster_close(&c);
    free(answers[0]);
    free(answers[1]);
}

/* A login page, a proxy's apology, half an answer: never taken for the engine's word. */
static void answers_that_are_none(void **state)
{
    static const struct {
        int status;
        const char *body;
        int wanted;
        const char *said; /* of the error, or of the reply */
    } cases[] = {
        {200, "<html>Log in</html>", -EBADMSG, "begins with '<html>Log in</html>'. Is that Ship?"},
        {200, "{\"a\":", -EBADMSG, "is not JSON"},
        {200, "\x1b[2Jhi", -EBADMSG, "begins with ''"},
        {404, "<html>Not here</html>", 0, "status 404"},
        {404, "nothing here\r\nreally", 0, "nothing here"},
        {409, "{\"message\":\"locked\"}", 0, "locked"},
        {500, "{\"error\":\"disk full\"}", 0, "disk full"},
        {202, "", 0, "status 202"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buffer_ Buffer said = BUFFER_INIT(0);
        Cluster c = {0};

        cluster_add(&c, scripted_answer(cases[i].status, cases[i].body));
        cluster_open(&c, NULL);
        assert_int_equal(ask(&c, "GET"), cases[i].wanted);
        if (cases[i].wanted == 0) {
            assert_int_equal(engine_reply_append_said(&c.reply, &said), 0);
            assert_string_equal(buffer_text(&said), cases[i].said);
        } else {
            assert_non_null(strstr(error_text(&c.err), cases[i].said));
        }
        cluster_close(&c);
    }
}

/* A log is no JSON, and some questions take a header along. */
static void more_may_be_asked_for(void **state)
{
    Cluster c = {0};
    EngineQuestion question = {
        .method = "GET", .path = "/log", .header = "X-More: 1", .is_raw = true};

    c.answers[0] = scripted_answer(200, "<plain>");
    c.servers[0].header = "X-More";
    scripted_server_start(&c.servers[0], true, (const char *const[]){c.answers[0]}, 1);
    c.n = 1;
    cluster_open(&c, NULL);
    assert_int_equal(engine_server_ask_for(c.server, &question, &c.reply, &c.err), 0);
    assert_null(c.reply.json);
    assert_string_equal(buffer_text(&c.reply.response.body), "<plain>");
    assert_asked(&c, 0, "GET /log  1");
    cluster_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_may_be_asked_for),
        cmocka_unit_test(an_address_is_wanted),
        cmocka_unit_test(reading_goes_on_to_the_next),
        cmocka_unit_test(a_change_is_sent_once),
        cmocka_unit_test(nobody_answers),
        scratch_test(a_redirect_stays_in_the_cluster),
        scratch_test(a_redirect_out_of_it_is_refused),
        scratch_test(credentials_of_every_kind),
        scratch_test(credentials_that_are_none),
        scratch_test(a_renewed_token_is_taken),
        cmocka_unit_test(answers_that_are_none),
    };

    return cmocka_run_group_tests_name("engine-server", tests, NULL, NULL);
}
