/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/app.h"

#include "protocol/base/clock.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/engine-local/place.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Scene {
    Place *place;
    App *app;
    uint16_t port;
    int save_result;
    unsigned saves;
    bool is_gone;
    const Deployment *watched;
    size_t wanted_instances;
} Scene;

static int on_app(App *app, void *userdata)
{
    Scene *scene = userdata;

    scene->saves++;
    scene->is_gone |= app->state == APP_GONE;
    return scene->save_result;
}

static bool is_gone(void *userdata)
{
    return ((Scene *)userdata)->is_gone;
}

static int set_up(void **state)
{
    Scene *scene = calloc(1, sizeof(*scene));
    int r = place_set_up(state);

    scene->place = *state;
    (void)close(place_listen(&scene->port));
    scene->app = app_new(&scene->place->host, "app", on_app, scene);
    *state = scene;
    return r || !scene->app;
}

/* Every case ends with all processes gone. */
static int tear_down(void **state)
{
    Scene *scene = *state;

    scene->save_result = 0;
    if (!scene->is_gone) {
        app_stop(scene->app);
        app_stop_at_once(scene->app);
        assert_true(place_wait(scene->place, is_gone, scene));
    }
    (void)app_free(scene->app);
    while (waitpid(-1, NULL, 0) > 0) {
        continue;
    }
    *state = scene->place;
    free(scene);
    return place_tear_down(state);
}

static Deployment *make(const Scene *scene, const char *id, const char *command, const char *more)
{
    _cleanup_buffer_ Buffer text = {0};
    Specification *s = NULL;
    Deployment *d;

    assert_int_equal(buffer_append_format(&text, "{\"id\":\"app\",\"port\":%u,\"command\":%s%s}",
                                          scene->port, command, more),
                     0);
    assert_int_equal(specification_parse(text.data, text.len, &s, NULL), 0);
    d = deployment_new_take(id, s);
    assert_non_null(d);
    return d;
}

static bool is_finished(void *userdata)
{
    return !deployment_is_running(((Scene *)userdata)->watched);
}

static const Deployment *deploy(Scene *scene, Deployment *d)
{
    assert_int_equal(app_deploy(scene->app, d, NULL), 0);
    assert_ptr_equal(scene->app->running, d);
    scene->watched = d;
    assert_true(place_wait(scene->place, is_finished, scene));
    return d;
}

static void serves_what_was_deployed(void **state)
{
    Scene *scene = *state;
    const Deployment *d;

    assert_false(app_is_there(scene->app));
    d = deploy(scene, make(scene, "d1", place_server(NULL), ""));
    assert_int_equal(d->state, DEPLOYMENT_SUCCEEDED);
    assert_int_equal(scene->app->state, APP_SERVING);
    assert_ptr_equal(scene->app->serving, d);
    assert_ptr_equal(app_find_deployment(scene->app, "d1"), d);
    assert_true(app_is_there(scene->app));
    assert_true(app_is_settled(scene->app));
    assert_int_equal(app_count(scene->app, d).healthy, 1);
    assert_int_equal(app_cancel(scene->app, scene->app->serving), 0); /* too late, and no matter */
    assert_int_equal(d->state, DEPLOYMENT_SUCCEEDED);
}

static void a_failed_one_leaves_what_served(void **state)
{
    Scene *scene = *state;
    const Deployment *good, *bad;

    good = deploy(scene, make(scene, "d1", place_server(NULL), ""));
    bad = deploy(scene, make(scene, "d2", "[\"sh\",\"-c\",\"echo broken; exit 1\"]", ""));
    assert_int_equal(bad->state, DEPLOYMENT_FAILED);
    assert_string_equal(bad->reason, "an instance exited with status 1 before it was healthy");
    assert_string_equal(bad->log_tail, "broken\n");
    assert_int_equal(bad->counts.old, 1);
    assert_ptr_equal(scene->app->serving, good);
    assert_true(app_is_settled(scene->app));
}

static void a_deadline_names_what_was_missing(void **state)
{
    Scene *scene = *state;
    const Deployment *d = deploy(
        scene, make(scene, "d1", "[\"sleep\",\"600\"]", ",\"health\":{\"deadlineSeconds\":0.1}"));

    assert_int_equal(d->state, DEPLOYMENT_FAILED);
    assert_string_equal(d->reason,
                        "0 of 1 instances were healthy within 0.1 s; GET /health: nothing "
                        "listens on its PORT");
    assert_false(app_is_there(scene->app));
    assert_int_equal(scene->app->state, APP_NEW);
}

static void what_cannot_be_kept_is_not_begun(void **state)
{
    Scene *scene = *state;
    Deployment *d = make(scene, "d1", place_server(NULL), "");
    _cleanup_error_ Error err = {0};

    scene->save_result = -ENOSPC;
    assert_int_equal(app_deploy(scene->app, d, &err), -ENOSPC);
    assert_string_equal(error_text(&err),
                        "cannot keep the deployment on disk: No space left on device");
    assert_null(scene->app->running);
    assert_null(scene->app->deployments);
    (void)deployment_free(d); /* it is still the caller's */
}

static void a_cancelled_one_ends_its_instances(void **state)
{
    Scene *scene = *state;
    Deployment *d = make(scene, "d1", "[\"sleep\",\"600\"]", "");

    assert_int_equal(app_deploy(scene->app, d, NULL), 0);
    while (!scene->app->instances) {
        assert_true(loop_step(scene->place->loop, 1000) >= 0);
    }
    assert_int_equal(app_cancel(scene->app, d), 0);
    assert_int_equal(d->state, DEPLOYMENT_CANCELLED);
    while (scene->app->instances) {
        assert_true(loop_step(scene->place->loop, 1000) >= 0);
    }
    assert_int_equal(app_cancel(scene->app, d), 0);
}

static bool has_another(void *userdata)
{
    const Scene *scene = userdata;
    const Instance *i = scene->app->instances;

    return i && !i->next && i->state == INSTANCE_HEALTHY && scene->app->crashes == 1;
}

static void one_that_dies_is_started_again(void **state)
{
    Scene *scene = *state;
    int64_t before = clock_monotonic_ms();

    (void)deploy(scene, make(scene, "d1", place_server(NULL), ""));
    assert_int_equal(kill(scene->app->instances->pid, SIGKILL), 0);
    assert_true(place_wait(scene->place, has_another, scene));
    assert_true(clock_monotonic_ms() - before >= 100); /* not at once */
    assert_int_equal(scene->app->state, APP_SERVING);
}

static void removed_it_forgets_and_goes(void **state)
{
    Scene *scene = *state;

    (void)deploy(scene, make(scene, "d1", place_server(NULL), ""));
    app_remove(scene->app);
    assert_false(app_is_there(scene->app));
    assert_null(app_find_deployment(scene->app, "d1"));
    assert_true(place_wait(scene->place, is_gone, scene));
    assert_null(scene->app->instances);
    assert_null(scene->app->serving);
}

static void removed_it_can_be_deployed_again(void **state)
{
    Scene *scene = *state;

    (void)deploy(scene, make(scene, "d1", place_server(NULL), ""));
    app_remove(scene->app);
    assert_int_equal(deploy(scene, make(scene, "d1", place_server(NULL), ""))->state,
                     DEPLOYMENT_SUCCEEDED);
    assert_false(scene->is_gone);
}

static void stopped_it_keeps_what_it_served(void **state)
{
    Scene *scene = *state;
    Deployment *d;

    (void)deploy(scene, make(scene, "d1", place_server(NULL), ""));
    d = make(scene, "d2", "[\"sleep\",\"600\"]", "");
    assert_int_equal(app_deploy(scene->app, d, NULL), 0);
    app_stop(scene->app);
    assert_int_equal(d->state, DEPLOYMENT_FAILED);
    assert_string_equal(d->reason, "the engine was stopped");
    assert_true(place_wait(scene->place, is_gone, scene));
    assert_string_equal(scene->app->serving->id, "d1");
}

static void it_remembers_so_many_deployments(void **state)
{
    Scene *scene = *state;
    size_t n = 0;

    (void)deploy(scene, make(scene, "serving", place_server(NULL), ""));
    for (size_t i = 0; i < APP_DEPLOYMENTS_MAX + 3; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "d%zu", i);
        assert_int_equal(app_deploy(scene->app, make(scene, id, "[\"true\"]", ""), NULL), 0);
        assert_int_equal(app_cancel(scene->app, scene->app->running), 0);
    }
    for (const Deployment *d = scene->app->deployments; d; d = d->next) {
        n++;
    }
    assert_int_equal(n, APP_DEPLOYMENTS_MAX + 1); /* the one that serves is kept in any case */
    assert_non_null(app_find_deployment(scene->app, "serving"));
    assert_null(app_find_deployment(scene->app, "d0"));
    assert_non_null(app_find_deployment(scene->app, "d22"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(serves_what_was_deployed),           TEST(a_failed_one_leaves_what_served),
        TEST(a_deadline_names_what_was_missing),  TEST(what_cannot_be_kept_is_not_begun),
        TEST(a_cancelled_one_ends_its_instances), TEST(one_that_dies_is_started_again),
        TEST(removed_it_forgets_and_goes),        TEST(removed_it_can_be_deployed_again),
        TEST(stopped_it_keeps_what_it_served),    TEST(it_remembers_so_many_deployments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
