/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/app-record.h"

#include "tests/unit/cmocka.h"
#include "tests/unit/engine-local/place.h"

#include <errno.h>
#include <string.h>

static int on_app(App *app, void *userdata)
{
    return 0;
}

static App *make(Place *place)
{
    App *app = app_new(&place->host, "app", on_app, NULL);

    assert_non_null(app);
    return app;
}

static Deployment *add(App *app, const char *id, DeploymentState state)
{
    Deployment *d = deployment_new_take(id, place_specification("[\"x\"]", NULL));

    assert_non_null(d);
    d->state = state;
    d->next = app->deployments;
    app->deployments = d;
    return d;
}

static void describes_one_that_serves(void **state)
{
    _cleanup_(app_freep) App *app = make(*state);
    _cleanup_json_ Json *json = NULL;

    app->serving = add(app, "d1", DEPLOYMENT_SUCCEEDED);
    assert_int_equal(app_record_describe(app, &json), 0);
    assert_string_equal(json_get_string(json, "app"), "app");
    assert_string_equal(json_get_string(json, "deployment"), "d1");
    assert_string_equal(json_get_string(json, "url"), "http://127.0.0.1:1");
    assert_string_equal(json_as_string(json_pointer(json, "/specification/command/0")), "x");
    assert_false(json_has(json, "next"));
    assert_false(json_has(json, "reason"));
    assert_int_equal(json_length(json_get(json, "instances")), 0);
}

static void describes_one_that_is_begun(void **state)
{
    _cleanup_(app_freep) App *app = make(*state);
    _cleanup_json_ Json *json = NULL;

    app->running = add(app, "d1", DEPLOYMENT_STARTING);
    assert_int_equal(app_record_describe(app, &json), 0);
    assert_string_equal(json_get_string(json, "next"), "d1");
    assert_false(json_has(json, "deployment"));
    assert_false(json_has(json, "specification"));
    assert_false(json_has(json, "url"));
}

static void comes_back_with_what_serves_and_what_runs(void **state)
{
    _cleanup_(app_freep) App *app = make(*state), *again = make(*state);
    _cleanup_json_ Json *json = NULL, *json_again = NULL;

    (void)add(app, "d1", DEPLOYMENT_FAILED);
    app->serving = add(app, "d2", DEPLOYMENT_SUCCEEDED);
    app->running = add(app, "d3", DEPLOYMENT_STARTING);
    assert_int_equal(app_record_to_json(app, &json), 0);
    assert_int_equal(app_record_from_json(json, again, NULL), 0);
    assert_int_equal(again->state, APP_SERVING);
    assert_string_equal(again->serving->id, "d2");
    assert_string_equal(again->running->id, "d3");
    assert_int_equal(app_record_to_json(again, &json_again), 0);
    assert_true(json_equal(json, json_again));
}

static void the_switch_comes_back_too(void **state)
{
    _cleanup_(app_freep) App *app = make(*state), *again = make(*state);
    _cleanup_json_ Json *json = NULL;

    app->serving = app->running = add(app, "d1", DEPLOYMENT_FINISHING);
    assert_int_equal(app_record_to_json(app, &json), 0);
    assert_int_equal(app_record_from_json(json, again, NULL), 0);
    assert_ptr_equal(again->serving, again->running);
}

static void without_deployments_it_is_to_be_removed(void **state)
{
    _cleanup_(app_freep) App *app = make(*state), *again = make(*state), *failed = make(*state);
    _cleanup_json_ Json *json = NULL, *json_failed = NULL;

    assert_int_equal(app_record_to_json(app, &json), 0);
    assert_int_equal(app_record_from_json(json, again, NULL), 0);
    assert_int_equal(again->state, APP_REMOVING);
    (void)add(app, "d1", DEPLOYMENT_FAILED);
    assert_int_equal(app_record_to_json(app, &json_failed), 0);
    assert_int_equal(app_record_from_json(json_failed, failed, NULL), 0);
    assert_int_equal(failed->state, APP_NEW);
}

static void what_contradicts_itself_is_an_error(void **state)
{
    static const char *const texts[] = {
        "{\"app\":\"app\",\"serving\":\"d1\",\"deployments\":[]}",
        "{\"app\":\"app\",\"deployments\":[{}]}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_(app_freep) App *app = make(*state);
        _cleanup_json_ Json *json = NULL;

        assert_int_equal(json_parse(texts[i], strlen(texts[i]), &json, NULL), 0);
        assert_int_equal(app_record_from_json(json, app, NULL), -EBADMSG);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_set_up, place_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(describes_one_that_serves),
        TEST(describes_one_that_is_begun),
        TEST(comes_back_with_what_serves_and_what_runs),
        TEST(the_switch_comes_back_too),
        TEST(without_deployments_it_is_to_be_removed),
        TEST(what_contradicts_itself_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
