/* SPDX-License-Identifier: MIT */
#include "agent/calls/vitals/engine-check.h"

#include "protocol/base/fd.h"
#include "tests/unit/cmocka.h"

#include <string.h>

static const char settings[] = "{\"staging\":{\"engine\":\"local\",\"address\":\"unix:/e\"},"
                               "\"bare\":{\"engine\":\"local\"},"
                               "\"prod\":{\"engine\":\"local\",\"addresses\":"
                               "[\"http://p\",\"http://q\"]}}";

typedef struct Fixture {
    Json *environments;
    EngineCheck check;
    unsigned n_told;
} Fixture;

static int set_up(void **state)
{
    static Fixture f;

    f = (Fixture){0};
    assert_int_equal(json_parse(settings, strlen(settings), &f.environments, NULL), 0);
    engine_check_init(&f.check, f.environments);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    engine_check_done(&f->check);
    f->environments = json_unref(f->environments);
    return 0;
}

static void on_done(EngineWaiter *waiter, void *userdata)
{
    ((Fixture *)userdata)->n_told++;
}

/* One check, as if the program had said this. */
static void run_check(Fixture *f, const char *said, int64_t now_ms)
{
    _cleanup_free_ char **arguments = NULL;
    int fd;

    assert_int_equal(engine_check_begin(&f->check, &arguments, &fd, NULL), 0);
    assert_int_equal(fd_write_all(fd, said, strlen(said)), 0);
    engine_check_end(&f->check, now_ms, NULL);
}

static Json *describe(Fixture *f, int64_t now_ms, size_t n_problems, Json **ret_problems)
{
    Json *health = json_new_object();

    *ret_problems = json_new_array();
    assert_int_equal(engine_check_describe(&f->check, now_ms, health, *ret_problems), 0);
    assert_int_equal(json_length(*ret_problems), n_problems);
    return health;
}

static void asks_for_each_that_has_an_address(void **state)
{
    Fixture *f = *state;
    _cleanup_free_ char **arguments = NULL;
    int fd;

    assert_true(engine_check_is_due(&f->check, 0));
    assert_false(engine_check_is_running(&f->check));
    assert_int_equal(engine_check_begin(&f->check, &arguments, &fd, NULL), 0);
    assert_true(engine_check_is_running(&f->check));
    assert_string_equal(arguments[0], "1000");
    assert_string_equal(arguments[1], "staging/0=unix:/e");
    assert_string_equal(arguments[2], "prod/0=http://p");
    assert_string_equal(arguments[3], "prod/1=http://q");
    assert_null(arguments[4]);
}

static void tells_what_was_found(void **state)
{
    Fixture *f = *state;
    _cleanup_json_ Json *problems = NULL, *health = NULL;
    const Json *list;

    run_check(f,
              "{\"staging/0\":{\"isReachable\":true,\"seconds\":0.25},"
              "\"prod/0\":{\"isReachable\":false,\"reason\":\"refused\"},"
              "\"prod/1\":{\"isReachable\":false,\"reason\":\"no such host\"}}\n",
              1000);
    health = describe(f, 3000, 1, &problems);
    list = json_get(health, "environments");
    assert_int_equal(json_length(list), 3);
    assert_string_equal(json_get_string(json_at(list, 0), "name"), "staging");
    assert_string_equal(json_get_string(json_at(list, 0), "engine"), "local");
    assert_true(json_get_bool(json_at(list, 0), "isReachable", false));
    assert_true(json_as_number(json_get(json_at(list, 0), "seconds"), 0) == 0.25);
    assert_true(json_as_number(json_get(json_at(list, 0), "ageSeconds"), 0) == 2);
    assert_false(json_has(json_at(list, 1), "isReachable"));
    assert_false(json_has(json_at(list, 1), "reason"));
    assert_false(json_get_bool(json_at(list, 2), "isReachable", true));
    assert_string_equal(json_as_string(json_at(problems, 0)),
                        "the engine of 'prod' does not answer: refused");
}

/* Whoever answers will do: the engine asks them in turn as well. */
static void one_of_several_addresses_is_enough(void **state)
{
    Fixture *f = *state;
    _cleanup_json_ Json *problems = NULL, *health = NULL;
    const Json *prod;

    run_check(f,
              "{\"prod/0\":{\"isReachable\":false,\"reason\":\"refused\"},"
              "\"prod/1\":{\"isReachable\":true,\"seconds\":0.5}}\n",
              1000);
    health = describe(f, 1000, 0, &problems);
    prod = json_at(json_get(health, "environments"), 2);
    assert_true(json_get_bool(prod, "isReachable", false));
    assert_false(json_has(prod, "reason"));
}

static void is_fresh_for_a_while(void **state)
{
    Fixture *f = *state;

    run_check(f, "{}\n", 1000);
    assert_false(engine_check_is_due(&f->check, 1000 + ENGINE_CHECK_FRESH_MS - 1));
    assert_true(engine_check_is_due(&f->check, 1000 + ENGINE_CHECK_FRESH_MS));
}

static void a_check_that_fails_is_no_problem_of_the_engines(void **state)
{
    Fixture *f = *state;
    _cleanup_json_ Json *problems = NULL, *health = NULL, *no_problems = NULL, *silent = NULL;

    run_check(f, "", 1000);
    silent = describe(f, 1000, 0, &no_problems);
    assert_non_null(strstr(json_get_string(json_at(json_get(silent, "environments"), 0), "reason"),
                           "said nothing"));
    engine_check_end(&f->check, 2000, "starting it: no such file");
    health = describe(f, 2000, 0, &problems);
    assert_string_equal(json_get_string(json_at(json_get(health, "environments"), 2), "reason"),
                        "starting it: no such file");
    assert_false(engine_check_is_due(&f->check, 2000));
}

static void tells_those_who_still_wait(void **state)
{
    Fixture *f = *state;
    EngineWaiter a = {.done = on_done, .userdata = f}, b = a;

    engine_check_wait(&f->check, &a);
    engine_check_wait(&f->check, &b);
    engine_waiter_cancel(&a);
    engine_waiter_cancel(&a);
    run_check(f, "{}\n", 1);
    assert_int_equal(f->n_told, 1);
    assert_false(b.is_waiting);
}

static void without_engines_there_is_nothing_to_do(void **state)
{
    _cleanup_json_ Json *health = json_new_object(), *problems = json_new_array();
    EngineCheck check;

    engine_check_init(&check, NULL);
    assert_false(engine_check_is_due(&check, 0));
    assert_int_equal(engine_check_describe(&check, 0, health, problems), 0);
    assert_int_equal(json_length(json_get(health, "environments")), 0);
    engine_check_done(&check);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(asks_for_each_that_has_an_address),
        TEST(tells_what_was_found),
        TEST(one_of_several_addresses_is_enough),
        TEST(is_fresh_for_a_while),
        TEST(a_check_that_fails_is_no_problem_of_the_engines),
        TEST(tells_those_who_still_wait),
        TEST(without_engines_there_is_nothing_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
