/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/loop.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Record {
    Loop *loop;
    char order[16];
    size_t n;
    LoopSource sources[2];
    LoopTimer timers[3];
} Record;

static int set_up(void **state)
{
    Record *record = calloc(1, sizeof(*record));

    *state = record;
    return loop_new(&record->loop) < 0;
}

static int tear_down(void **state)
{
    Record *record = *state;

    (void)loop_free(record->loop);
    free(record);
    return 0;
}

static void step_until(Record *record, size_t n)
{
    while (record->n < n) {
        assert_true(loop_step(record->loop, 30000) > 0);
    }
}

#define TIMER(name, letter)          \
    static void name(void *userdata) \
    {                                \
        Record *r = userdata;        \
        r->order[r->n++] = letter;   \
    }
TIMER(on_a, 'a')
TIMER(on_b, 'b')
TIMER(on_c, 'c')

static void timers_run_in_the_order_of_their_time(void **state)
{
    Record *r = *state;

    loop_timer_start(r->loop, &r->timers[0], 20, on_c, r);
    loop_timer_start(r->loop, &r->timers[1], 1, on_a, r);
    loop_timer_start(r->loop, &r->timers[2], 10, on_b, r);
    step_until(r, 3);
    assert_string_equal(r->order, "abc");
    assert_int_equal(loop_step(r->loop, 0), 0);
}

static void a_timer_is_moved_and_stopped(void **state)
{
    Record *r = *state;

    loop_timer_start(r->loop, &r->timers[0], 1, on_a, r);
    loop_timer_start(r->loop, &r->timers[1], 2, on_b, r);
    loop_timer_start(r->loop, &r->timers[2], 3, on_c, r);
    loop_timer_start(r->loop, &r->timers[0], 10, on_a, r);
    loop_timer_stop(&r->timers[1]);
    loop_timer_stop(&r->timers[1]);
    step_until(r, 2);
    assert_string_equal(r->order, "ca");
}

static void on_again(void *userdata)
{
    Record *r = userdata;

    r->order[r->n++] = '.';
    if (r->n < 3) {
        loop_timer_start(r->loop, &r->timers[0], 0, on_again, r);
    }
}

static void a_timer_starts_itself_again(void **state)
{
    Record *r = *state;

    loop_timer_start(r->loop, &r->timers[0], 0, on_again, r);
    step_until(r, 3);
}

/* Whichever comes first removes the other, whose event is waiting in the same batch. */
static void on_first(void *userdata, uint32_t events)
{
    Record *r = userdata;

    r->order[r->n++] = 'x';
    loop_remove(&r->sources[0]);
    loop_remove(&r->sources[1]);
}

static void a_removed_source_is_not_called_back(void **state)
{
    Record *r = *state;
    int a[2], b[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    assert_int_equal(loop_add(r->loop, &r->sources[0], a[0], EPOLLIN, on_first, r), 0);
    assert_int_equal(loop_add(r->loop, &r->sources[1], b[0], EPOLLIN, on_first, r), 0);
    assert_int_equal(loop_step(r->loop, 30000), 1);
    assert_int_equal(loop_step(r->loop, 0), 0);
    assert_string_equal(r->order, "x");
    for (size_t i = 0; i < 2; i++) {
        (void)close(a[i]);
        (void)close(b[i]);
    }
}

static void on_event(void *userdata, uint32_t events)
{
    Record *r = userdata;

    r->order[r->n++] = events & EPOLLOUT ? 'o' : events & EPOLLIN ? 'i' : 'h';
}

static void what_is_watched_can_change(void **state)
{
    Record *r = *state;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(loop_add(r->loop, &r->sources[0], ends[0], 0, on_event, r), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(loop_step(r->loop, 0), 0);
    assert_int_equal(loop_modify(&r->sources[0], EPOLLIN), 0);
    assert_int_equal(loop_step(r->loop, 0), 1);
    assert_int_equal(loop_modify(&r->sources[0], EPOLLOUT), 0);
    assert_int_equal(loop_step(r->loop, 0), 1);
    assert_int_equal(loop_modify(&r->sources[0], 0), 0);
    (void)close(ends[1]);
    assert_int_equal(loop_step(r->loop, 0), 1); /* a hang-up is told in any case */
    assert_string_equal(r->order, "ioh");
    loop_remove(&r->sources[0]);
    (void)close(ends[0]);
}

static void a_descriptor_that_is_none_is_an_error(void **state)
{
    Record *r = *state;

    assert_int_equal(loop_add(r->loop, &r->sources[0], -1, EPOLLIN, on_event, r), -EBADF);
    loop_remove(&r->sources[0]); /* it is not in the loop: nothing happens */
}

static void on_stop(void *userdata)
{
    loop_stop(((Record *)userdata)->loop);
}

static void runs_until_it_is_stopped(void **state)
{
    Record *r = *state;

    loop_timer_start(r->loop, &r->timers[0], 1, on_a, r);
    loop_timer_start(r->loop, &r->timers[1], 2, on_stop, r);
    assert_int_equal(loop_run(r->loop), 0);
    assert_string_equal(r->order, "a");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(timers_run_in_the_order_of_their_time),
        TEST(a_timer_is_moved_and_stopped),
        TEST(a_timer_starts_itself_again),
        TEST(a_removed_source_is_not_called_back),
        TEST(what_is_watched_can_change),
        TEST(a_descriptor_that_is_none_is_an_error),
        TEST(runs_until_it_is_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
