/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/engine.h"

#include "protocol/base/file.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/engine-local/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define _cleanup_engine_ _cleanup_(engine_closep)

static Engine *open_engine(Place *place)
{
    Engine *engine = NULL;

    assert_int_equal(
        engine_open(place->loop, place->path, place->host.keeper_path, 0, &engine, NULL), 0);
    return engine;
}

static void write_app(const Place *place, const char *name, const char *text)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/apps", place->path);
    assert_int_equal(file_make_dirs(path, 0700, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/apps/%s", place->path, name);
    assert_int_equal(file_replace(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
}

static void one_engine_has_the_directory(void **state)
{
    Place *place = *state;
    Engine *first = open_engine(place), *second = NULL;
    _cleanup_error_ Error err = {0};

    assert_int_equal(
        engine_open(place->loop, place->path, place->host.keeper_path, 0, &second, &err), -EBUSY);
    assert_non_null(strstr(error_text(&err), "another engine has the state directory"));
    (void)engine_close(first);
    second = open_engine(place);
    (void)engine_close(second);
}

static void a_directory_that_cannot_be_is_an_error(void **state)
{
    Place *place = *state;
    Engine *engine = NULL;

    assert_true(engine_open(place->loop, "/dev/null/x", "keeper", 0, &engine, NULL) < 0);
    assert_null(engine);
}

static void apps_are_made_and_found_up_to_a_limit(void **state)
{
    _cleanup_engine_ Engine *engine = open_engine(*state);
    _cleanup_error_ Error err = {0};
    const Deployment *found;
    App *app, *again;
    char id[16];

    assert_null(engine_find_app(engine, "a0"));
    for (size_t i = 0; i < ENGINE_APPS_MAX; i++) {
        (void)snprintf(id, sizeof(id), "a%zu", i);
        assert_int_equal(engine_get_app(engine, id, &app, NULL), 0);
        app->serving = app->deployments =
            deployment_new_take(id, place_specification("[\"x\"]", NULL));
        app->running = app->serving; /* so that it is nothing to be forgotten */
    }
    assert_int_equal(engine_get_app(engine, "a0", &again, NULL), 0);
    assert_ptr_equal(engine_find_app(engine, "a0"), again);
    found = engine_find_deployment(engine, "a7", &app);
    assert_non_null(found);
    assert_ptr_equal(app->serving, found);
    assert_string_equal(app->id, "a7");
    assert_null(engine_find_deployment(engine, "b", &app));
    assert_int_equal(engine_get_app(engine, "one-more", &app, &err), -EBUSY);
    assert_non_null(strstr(error_text(&err), "64 apps"));
    again->serving = again->running = NULL; /* only a memory now: it makes room */
    assert_int_equal(engine_get_app(engine, "one-more", &app, NULL), 0);
    assert_null(engine_find_app(engine, "a0"));
}

static void state_that_cannot_be_read_is_not_ignored(void **state)
{
    static const char *const texts[] = {"", "{", "{}", "{\"app\":\"../x\"}",
                                        "{\"app\":\"x\",\"serving\":\"d\"}"};
    Place *place = *state;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_error_ Error err = {0};
        Engine *engine = NULL;

        write_app(place, "x.json", texts[i]);
        assert_true(
            engine_open(place->loop, place->path, place->host.keeper_path, 0, &engine, &err) < 0);
        assert_non_null(strstr(error_text(&err), "x"));
    }
}

static void what_a_torn_write_left_is_no_app(void **state)
{
    _cleanup_engine_ Engine *engine = NULL;

    write_app(*state, "x.json.tmp", "{");
    engine = open_engine(*state);
    assert_null(engine_first_app(engine));
}

static void what_no_app_wants_is_ended(void **state)
{
    _cleanup_(specification_freep) Specification *s =
        place_specification("[\"sleep\",\"600\"]", NULL);
    _cleanup_engine_ Engine *engine = NULL;
    Place *place = *state;
    Instance *instance;
    char id[INSTANCE_ID_SIZE];

    assert_int_equal(instance_start(&place->host, s, "d1", 20000, NULL, NULL, &instance, NULL), 0);
    (void)strcpy(id, instance->id);
    (void)instance_free(instance);
    engine = open_engine(place);
    assert_true(waitpid(-1, NULL, 0) > 0); /* its keeper has ended */
    assert_false(file_exists(place->host.instances_fd, id));
}

static void stops_the_loop_when_nothing_is_left(void **state)
{
    _cleanup_engine_ Engine *engine = open_engine(*state);
    Place *place = *state;
    App *app;

    assert_int_equal(engine_get_app(engine, "a", &app, NULL), 0);
    assert_false(engine_is_stopping(engine));
    engine_stop(engine);
    assert_true(engine_is_stopping(engine));
    assert_int_equal(loop_run(place->loop), 0);
    assert_null(engine_first_app(engine));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_set_up, place_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_engine_has_the_directory),          TEST(a_directory_that_cannot_be_is_an_error),
        TEST(apps_are_made_and_found_up_to_a_limit), TEST(state_that_cannot_be_read_is_not_ignored),
        TEST(what_a_torn_write_left_is_no_app),      TEST(what_no_app_wants_is_ended),
        TEST(stops_the_loop_when_nothing_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
