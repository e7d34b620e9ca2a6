/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/instance.h"

#include "agent/engine-local/keeper/keeper-link.h"
#include "protocol/base/file.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/engine-local/place.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define _cleanup_specification_ _cleanup_(specification_freep)

typedef struct Watch {
    Instance *instance;
    InstanceState wanted;
    unsigned changes;
} Watch;

static void on_change(Instance *instance, void *userdata)
{
    ((Watch *)userdata)->changes++;
}

static bool is_there(void *userdata)
{
    const Watch *watch = userdata;

    return watch->instance->state == watch->wanted && watch->instance->pid > 0;
}

static bool is_gone(void *userdata)
{
    return ((Watch *)userdata)->instance->state == INSTANCE_GONE;
}

static void start(Place *place, const Specification *s, Watch *watch)
{
    uint16_t port;

    *watch = (Watch){0};
    assert_int_equal(forward_choose_port(place->host.forward, &port), 0);
    assert_int_equal(
        instance_start(&place->host, s, "d1", port, on_change, watch, &watch->instance, NULL), 0);
    assert_int_equal(watch->instance->state, INSTANCE_STARTING);
}

static void wait_state(Place *place, Watch *watch, InstanceState wanted)
{
    watch->wanted = wanted;
    assert_true(place_wait(place, is_there, watch));
}

static void wait_gone(Place *place, Watch *watch)
{
    assert_true(place_wait(place, is_gone, watch));
    assert_true(waitpid(-1, NULL, 0) > 0); /* its keeper, which is a child of this process */
    assert_false(file_exists(place->host.instances_fd, watch->instance->id));
}

static void becomes_healthy_and_stops(void **state)
{
    _cleanup_specification_ Specification *s = place_specification(place_server(NULL), NULL);
    Place *place = *state;
    Watch watch;

    start(place, s, &watch);
    assert_true(instance_is_wanted(watch.instance));
    wait_state(place, &watch, INSTANCE_HEALTHY);
    assert_null(watch.instance->problem);
    assert_int_equal(kill(watch.instance->pid, 0), 0);
    instance_stop(watch.instance, 5000);
    assert_false(instance_is_wanted(watch.instance));
    assert_string_equal(instance_state_name(watch.instance->state), "stopping");
    wait_gone(place, &watch);
    assert_false(watch.instance->has_died);
    (void)instance_free(watch.instance);
}

static void says_how_it_died_and_what_it_wrote(void **state)
{
    _cleanup_specification_ Specification *s =
        place_specification("[\"sh\",\"-c\",\"echo one; echo two; exit 3\"]", NULL);
    _cleanup_buffer_ Buffer tail = {0};
    Place *place = *state;
    Watch watch;

    start(place, s, &watch);
    wait_gone(place, &watch);
    assert_true(watch.instance->has_died);
    assert_int_equal(watch.instance->end, KEEPER_EXITED);
    assert_string_equal(watch.instance->problem, "exited with status 3");
    assert_int_equal(instance_log_tail(watch.instance, 1, &tail), 0);
    assert_string_equal(buffer_text(&tail), "two\n");
    (void)instance_free(watch.instance);
}

static void one_that_cannot_start_says_so(void **state)
{
    _cleanup_specification_ Specification *s = place_specification("[\"/no/such\"]", NULL);
    Place *place = *state;
    Watch watch;

    start(place, s, &watch);
    wait_gone(place, &watch);
    assert_int_equal(watch.instance->end, KEEPER_FAILED);
    assert_string_equal(watch.instance->problem,
                        "did not start: cannot start '/no/such': No such file or directory");
    (void)instance_free(watch.instance);
}

static void without_a_keeper_there_is_no_instance(void **state)
{
    _cleanup_specification_ Specification *s = place_specification(place_server(NULL), NULL);
    _cleanup_error_ Error err = {0};
    Place *place = *state;
    Instance *instance = NULL;
    struct stat st;

    place->host.keeper_path = "/no/such/keeper";
    assert_int_equal(instance_start(&place->host, s, "d1", 20000, on_change, NULL, &instance, &err),
                     -ENOENT);
    assert_string_equal(error_text(&err),
                        "cannot start '/no/such/keeper': No such file or directory");
    assert_int_equal(fstat(place->host.instances_fd, &st), 0);
    assert_int_equal(st.st_nlink, 2); /* no directory is left */
}

static void drains_until_its_last_connection_ends(void **state)
{
    _cleanup_specification_ Specification *s =
        place_specification(place_server(NULL), ",\"stopGraceSeconds\":600");
    Place *place = *state;
    Watch watch;

    start(place, s, &watch);
    wait_state(place, &watch, INSTANCE_HEALTHY);
    watch.instance->target.may_take = true;
    watch.instance->target.connections = 1;
    instance_drain(watch.instance);
    assert_int_equal(watch.instance->state, INSTANCE_DRAINING);
    assert_false(watch.instance->target.may_take);
    assert_string_equal(instance_state_name(watch.instance->state), "stopping");
    watch.instance->target.connections = 0;
    watch.instance->target.on_idle(watch.instance->target.userdata);
    assert_int_equal(watch.instance->state, INSTANCE_STOPPING);
    wait_gone(place, &watch);
    (void)instance_free(watch.instance);
}

static void becomes_unhealthy_after_three_failures(void **state)
{
    _cleanup_specification_ Specification *s =
        place_specification(place_server("once"), ",\"health\":{\"intervalSeconds\":0.01}");
    Place *place = *state;
    Watch watch;

    start(place, s, &watch);
    wait_state(place, &watch, INSTANCE_HEALTHY);
    wait_state(place, &watch, INSTANCE_UNHEALTHY);
    assert_int_equal(watch.instance->failures, 3);
    assert_string_equal(watch.instance->problem, "GET /health: nothing listens on its PORT");
    assert_true(watch.instance->unhealthy_since_ms > 0);
    instance_stop(watch.instance, 0);
    wait_gone(place, &watch);
    (void)instance_free(watch.instance);
}

static void another_engine_takes_it_over(void **state)
{
    _cleanup_specification_ Specification *s = place_specification(place_server(NULL), NULL);
    _cleanup_(instance_record_done) InstanceRecord record = {0};
    Place *place = *state;
    char id[INSTANCE_ID_SIZE];
    Watch watch;
    pid_t pid;

    start(place, s, &watch);
    wait_state(place, &watch, INSTANCE_HEALTHY);
    pid = watch.instance->pid;
    (void)strcpy(id, watch.instance->id);
    watch.instance = instance_free(watch.instance); /* as if the process had gone */

    assert_int_equal(instance_record_read(&place->host, id, &record, NULL), 0);
    assert_string_equal(record.app, "app");
    assert_string_equal(record.deployment, "d1");
    assert_int_equal(
        instance_adopt(&place->host, id, &record, s, on_change, &watch, &watch.instance, NULL), 0);
    wait_state(place, &watch, INSTANCE_HEALTHY);
    assert_int_equal(watch.instance->pid, pid);
    assert_int_equal(watch.instance->target.port, record.port);
    assert_int_equal(watch.instance->started_us, record.started_us);
    instance_stop(watch.instance, 0);
    wait_gone(place, &watch);
    (void)instance_free(watch.instance);
}

static void one_that_is_gone_is_cleared_away(void **state)
{
    _cleanup_specification_ Specification *s = place_specification("[\"sleep\",\"600\"]", NULL);
    _cleanup_(instance_record_done) InstanceRecord record = {0};
    Place *place = *state;
    char id[INSTANCE_ID_SIZE];
    Watch watch;
    int dir_fd;

    start(place, s, &watch);
    (void)strcpy(id, watch.instance->id);
    (void)instance_free(watch.instance);
    watch.instance = NULL;
    assert_int_equal(instance_record_read(&place->host, id, &record, NULL), 0);
    dir_fd = openat(place->host.instances_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    keeper_link_end(dir_fd, 0);
    (void)close(dir_fd);
    assert_true(waitpid(-1, NULL, 0) > 0);
    assert_int_equal(
        instance_adopt(&place->host, id, &record, s, on_change, &watch, &watch.instance, NULL),
        -ENOENT);
    assert_null(watch.instance);
    assert_false(file_exists(place->host.instances_fd, id));
}

static void what_nobody_knows_is_ended(void **state)
{
    _cleanup_specification_ Specification *s = place_specification("[\"sleep\",\"600\"]", NULL);
    Place *place = *state;
    char id[INSTANCE_ID_SIZE];
    Watch watch;
    pid_t pid;

    start(place, s, &watch);
    wait_state(place, &watch, INSTANCE_STARTING);
    pid = watch.instance->pid;
    (void)strcpy(id, watch.instance->id);
    (void)instance_free(watch.instance);
    instance_end_unknown(&place->host, id);
    assert_int_equal(kill(pid, 0), -1);
    assert_false(file_exists(place->host.instances_fd, id));
    instance_end_unknown(&place->host, "was-never-there");
    assert_true(waitpid(-1, NULL, 0) > 0);
}

static void a_torn_record_is_no_record(void **state)
{
    static const char *const texts[] = {"", "{", "{}", "{\"app\":\"a\",\"deployment\":\"d\"}"};
    Place *place = *state;

    assert_int_equal(mkdirat(place->host.instances_fd, "x", 0700), 0);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        InstanceRecord record = {0};

        assert_int_equal(file_replace(place->host.instances_fd, "x/record.json", texts[i],
                                      strlen(texts[i]), 0600, NULL),
                         0);
        assert_true(instance_record_read(&place->host, "x", &record, NULL) < 0);
        assert_null(record.json);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_set_up, place_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(becomes_healthy_and_stops),
        TEST(says_how_it_died_and_what_it_wrote),
        TEST(one_that_cannot_start_says_so),
        TEST(without_a_keeper_there_is_no_instance),
        TEST(drains_until_its_last_connection_ends),
        TEST(becomes_unhealthy_after_three_failures),
        TEST(another_engine_takes_it_over),
        TEST(one_that_is_gone_is_cleared_away),
        TEST(what_nobody_knows_is_ended),
        TEST(a_torn_record_is_no_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
