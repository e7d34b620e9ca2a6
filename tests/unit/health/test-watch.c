/* SPDX-License-Identifier: MIT */
#include "plugin/health/watch.h"

#include "tests/unit/health/some-facts.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 20000

/* An agent on a socket, in this thread: it answers each line as it comes, or not. */
typedef struct Fixture {
    char directory[32], path[64], address[80];
    int listen_fd, fd;
    char input[65536];
    size_t n;
    bool is_deaf;
    unsigned n_asked; /* for health */
    const char *health;
    Watch *watch;
    unsigned n_told;
} Fixture;

static void on_told(void *userdata)
{
    ((Fixture *)userdata)->n_told++;
}

static int set_up(void **state)
{
    static Fixture f;
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    f = (Fixture){.directory = "/tmp/slipway-test-XXXXXX", .fd = -1, .health = SOME_HEALTH};
    assert_non_null(mkdtemp(f.directory));
    (void)snprintf(f.path, sizeof(f.path), "%s/a.sock", f.directory);
    (void)snprintf(f.address, sizeof(f.address), "unix:%s", f.path);
    (void)strcpy(address.sun_path, f.path);
    f.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f.listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(f.listen_fd, 8), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    f->watch = watch_free(f->watch);
    (void)close(f->fd);
    (void)close(f->listen_fd);
    (void)unlink(f->path);
    return rmdir(f->directory);
}

static void start(Fixture *f, int timeout_ms)
{
    f->watch = watch_new(f->address, timeout_ms, on_told, f);
    assert_non_null(f->watch);
}

static void answer_line(Fixture *f, const char *line)
{
    SlipwayJson *request = some_json(line);
    const char *method = slipway_json_get_string(request, "/method", "");
    const char *result = "{}";
    char *text = NULL;
    int n;

    if (strcmp(method, "initialize") == 0) {
        result = "{\"agent\":{\"name\":\"a\",\"version\":\"1\"},\"protocol\":1,\"methods\":[],"
                 "\"events\":[],\"limits\":{},\"slots\":1}";
    } else if (strcmp(method, "health") == 0) {
        result = f->health;
        f->n_asked++;
    } else if (strcmp(method, "calls/list") == 0) {
        result =
            strstr(line, "finished") ? "{\"calls\":" SOME_ENDED "}" : "{\"calls\":" SOME_LIVE "}";
    }
    n = asprintf(&text, "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":%s}\n",
                 (long long)slipway_json_get_int(request, "/id", 0), result);
    assert_true(n > 0);
    assert_int_equal(write(f->fd, text, (size_t)n), n);
    free(text);
    (void)slipway_json_unref(request);
}

static void play_agent(Fixture *f)
{
    ssize_t n;
    char *feed;

    if (f->fd < 0) {
        f->fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        f->n = 0;
    }
    n = f->fd >= 0 && !f->is_deaf ? read(f->fd, f->input + f->n, sizeof(f->input) - 1 - f->n) : 0;
    f->n += n > 0 ? (size_t)n : 0;
    f->input[f->n] = '\0';
    while ((feed = memchr(f->input, '\n', f->n))) {
        *feed = '\0';
        answer_line(f, f->input);
        f->n -= (size_t)(feed + 1 - f->input);
        memmove(f->input, feed + 1, f->n + 1);
    }
}

static void turn(Fixture *f)
{
    struct pollfd polls[] = {{.fd = watch_get_fd(f->watch), .events = watch_get_events(f->watch)},
                             {.fd = f->fd < 0 ? f->listen_fd : f->fd, .events = POLLIN}};
    int timeout_ms = watch_get_timeout_ms(f->watch);

    assert_true(poll(polls, f->is_deaf ? 1 : 2, timeout_ms < 0 ? PATIENCE_MS : timeout_ms) >= 0);
    play_agent(f);
    watch_process(f->watch);
}

static const Facts *refresh(Fixture *f)
{
    unsigned n_told = f->n_told;

    if (!watch_refresh(f->watch)) {
        while (f->n_told == n_told) {
            turn(f);
        }
        assert_true(watch_refresh(f->watch)); /* what came is fresh */
    }
    return watch_facts(f->watch);
}

static void asks_once_for_all(void **state)
{
    Fixture *f = *state;
    const Facts *facts;

    start(f, PATIENCE_MS);
    assert_int_equal(watch_get_fd(f->watch), -1); /* nothing happens before */
    facts = refresh(f);
    assert_true(facts->is_up);
    assert_string_equal(slipway_json_get_string(facts->health, "/name", ""), "a<1>");
    assert_int_equal(slipway_json_get_count(facts->live, ""), 2);
    assert_int_equal(slipway_json_get_count(facts->ended, ""), 1);
    assert_int_equal(facts->readiness->state, READINESS_READY);
    assert_true(isnan(facts->clock_offset)); /* it said no time */
    (void)refresh(f);
    assert_int_equal(f->n_asked, 1);
}

static void says_that_nobody_is_there(void **state)
{
    Fixture *f = *state;
    const Facts *facts;

    (void)unlink(f->path);
    start(f, PATIENCE_MS);
    assert_true(watch_refresh(f->watch));
    facts = watch_facts(f->watch);
    assert_false(facts->is_up);
    expect_in("No such file", facts->why);
    assert_null(facts->health);
}

static void gives_up_on_one_that_does_not_answer(void **state)
{
    Fixture *f = *state;
    const Facts *facts;

    f->is_deaf = true;
    start(f, 30);
    facts = refresh(f);
    assert_false(facts->is_up);
    assert_string_equal(facts->why, "it does not answer");
}

static void hears_that_it_hung_up(void **state)
{
    Fixture *f = *state;
    const Facts *facts;

    start(f, PATIENCE_MS);
    (void)watch_refresh(f->watch);
    while (f->fd < 0) {
        play_agent(f);
        f->is_deaf = true;
    }
    (void)close(f->fd);
    f->fd = -1;
    while (f->n_told == 0) {
        watch_process(f->watch);
    }
    facts = watch_facts(f->watch);
    assert_false(facts->is_up);
    expect_in("hung up", facts->why);
}

static void tells_the_clocks_apart(void **state)
{
    Fixture *f = *state;
    const Facts *facts;

    f->health = "{\"problems\":[],\"clock\":{\"time\":\"2001-01-01T00:00:00.000000Z\"}}";
    start(f, PATIENCE_MS);
    facts = refresh(f);
    assert_true(facts->clock_offset < -1e8);
    assert_int_equal(facts->readiness->state, READINESS_UNREADY);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(asks_once_for_all),
        TEST(says_that_nobody_is_there),
        TEST(gives_up_on_one_that_does_not_answer),
        TEST(hears_that_it_hung_up),
        TEST(tells_the_clocks_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
