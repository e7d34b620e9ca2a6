/* SPDX-License-Identifier: MIT */
/* The table and its answers, without HTTP around them; tests/integration has both together. */
#include "agent/engine-local/api.h"

#include "tests/unit/cmocka.h"
#include "tests/unit/engine-local/place.h"

#include <stdio.h>
#include <string.h>

#define SPECIFICATION "{\"id\":\"app\",\"port\":1,\"command\":[\"x\"]}"

typedef struct Scene {
    Place *place;
    Engine *engine;
    Json *answer; /* of the last request */
} Scene;

static int set_up(void **state)
{
    Scene *scene = calloc(1, sizeof(*scene));
    int r = place_set_up(state);

    scene->place = *state;
    r = r || engine_open(scene->place->loop, scene->place->path, scene->place->host.keeper_path, 0,
                         &scene->engine, NULL) < 0;
    *state = scene;
    return r;
}

static int tear_down(void **state)
{
    Scene *scene = *state;

    (void)json_unref(scene->answer);
    (void)engine_close(scene->engine);
    *state = scene->place;
    free(scene);
    return place_tear_down(state);
}

static unsigned ask(Scene *scene, const char *method, const char *path, const char *text)
{
    const HttpRequest request = {
        .method = method, .path = path, .body = text, .body_len = strlen(text)};
    _cleanup_buffer_ Buffer body = {0};
    unsigned status = api_handle(scene->engine, &request, &body);

    scene->answer = json_unref(scene->answer);
    assert_int_equal(json_parse(body.data, body.len, &scene->answer, NULL), 0);
    return status;
}

static const char *answered(const Scene *scene, const char *name)
{
    const char *text = json_get_string(scene->answer, name);

    return text ? text : "";
}

static void says_how_it_is(void **state)
{
    Scene *scene = *state;

    assert_int_equal(ask(scene, "GET", "/v1/health", ""), 200);
    assert_string_equal(answered(scene, "status"), "ok");
    assert_int_equal(json_get_int(scene->answer, "apps", -1), 0);
    assert_int_equal(ask(scene, "GET", "/v1/apps", ""), 200);
    assert_int_equal(json_length(json_get(scene->answer, "apps")), 0);
    engine_stop(scene->engine);
    assert_int_equal(ask(scene, "GET", "/v1/health", ""), 200);
    assert_string_equal(answered(scene, "status"), "stopping");
}

static void what_is_not_there_is_404_and_a_wrong_method_405(void **state)
{
    static const struct {
        const char *method;
        const char *path;
        unsigned status;
    } cases[] = {
        {"GET", "/", 404},
        {"GET", "/v1", 404},
        {"GET", "/v1/apps/", 404},
        {"GET", "/v1/apps/.hidden", 404},
        {"GET", "/v1/apps/a/b", 404},
        {"GET", "/v1/health/x", 404},
        {"GET", "/v1/apps/nobody", 404},
        {"DELETE", "/v1/apps/nobody", 404},
        {"GET", "/v1/deployments/none", 404},
        {"DELETE", "/v1/deployments/none", 404},
        {"POST", "/v1/apps/app", 405},
        {"PUT", "/v1/apps", 405},
        {"PUT", "/v1/deployments/d", 405},
        {"DELETE", "/v1/health", 405},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(ask(*state, cases[i].method, cases[i].path, ""), cases[i].status);
        assert_true(*answered(*state, "error"));
    }
}

static void wrong_specifications_are_400(void **state)
{
    Scene *scene = *state;

    assert_int_equal(ask(scene, "PUT", "/v1/apps/app", ""), 400);
    assert_int_equal(ask(scene, "PUT", "/v1/apps/app", "{}"), 400);
    assert_non_null(strstr(answered(scene, "error"), "\"port\" is missing"));
    assert_int_equal(ask(scene, "PUT", "/v1/apps/other", SPECIFICATION), 400);
    assert_string_equal(answered(scene, "error"), "/id: is 'app', but the app is 'other'");
    assert_null(engine_first_app(scene->engine));
}

static void a_deployment_is_begun_seen_cancelled_and_removed(void **state)
{
    Scene *scene = *state;
    char path[64];

    assert_int_equal(ask(scene, "PUT", "/v1/apps/app", SPECIFICATION), 202);
    (void)snprintf(path, sizeof(path), "/v1/deployments/%s", answered(scene, "deployment"));
    assert_int_equal(ask(scene, "GET", path, ""), 200);
    assert_string_equal(answered(scene, "state"), "running");
    assert_int_equal(ask(scene, "GET", "/v1/apps/app", ""), 200);
    assert_string_equal(answered(scene, "next"), strrchr(path, '/') + 1);
    assert_int_equal(ask(scene, "GET", "/v1/health", ""), 200);
    assert_int_equal(json_get_int(scene->answer, "apps", -1), 1);
    assert_int_equal(ask(scene, "PUT", "/v1/apps/app", SPECIFICATION), 409);
    assert_int_equal(ask(scene, "DELETE", path, ""), 200);
    assert_string_equal(answered(scene, "state"), "cancelled");
    assert_int_equal(ask(scene, "GET", "/v1/apps/app", ""), 404);
    assert_int_equal(ask(scene, "PUT", "/v1/apps/app", SPECIFICATION), 202);
    assert_int_equal(ask(scene, "DELETE", "/v1/apps/app", ""), 200);
    assert_int_equal(ask(scene, "DELETE", "/v1/apps/app", ""), 404);
}

static void after_the_switch_it_is_not_cancelled(void **state)
{
    Scene *scene = *state;
    App *app;

    assert_int_equal(ask(scene, "PUT", "/v1/apps/app", SPECIFICATION), 202);
    app = engine_find_app(scene->engine, "app");
    assert_true(deployment_set_state(app->running, DEPLOYMENT_FINISHING, NULL, NULL));
    char path[64];
    (void)snprintf(path, sizeof(path), "/v1/deployments/%s", app->running->id);
    assert_int_equal(ask(scene, "DELETE", path, ""), 409);
    assert_non_null(strstr(answered(scene, "error"), "serves already"));
}

static void stopping_it_takes_no_more(void **state)
{
    Scene *scene = *state;

    engine_stop(scene->engine);
    assert_int_equal(ask(scene, "PUT", "/v1/apps/app", SPECIFICATION), 503);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(says_how_it_is),
        TEST(what_is_not_there_is_404_and_a_wrong_method_405),
        TEST(wrong_specifications_are_400),
        TEST(a_deployment_is_begun_seen_cancelled_and_removed),
        TEST(after_the_switch_it_is_not_cancelled),
        TEST(stopping_it_takes_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
