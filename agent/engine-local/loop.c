/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/loop.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <unistd.h>

/* Events taken from the kernel at once: a busy descriptor cannot keep the others waiting. */
#define LOOP_BATCH_MAX 64

struct Loop {
    int epoll_fd;
    LoopTimer *first; /* sorted by due_ms */
    struct epoll_event batch[LOOP_BATCH_MAX];
    int n_batch; /* of these, those from `at` on are still to be called back */
    int at;
    bool is_stopped;
};

int loop_new(Loop **ret)
{
    Loop *loop = calloc(1, sizeof(*loop));

    if (!loop) {
        return -ENOMEM;
    }
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        int r = -errno;

        free(loop);
        return r;
    }
    *ret = loop;
    return 0;
}

Loop *loop_free(Loop *loop)
{
    if (loop) {
        while (loop->first) {
            loop_timer_stop(loop->first);
        }
        (void)fd_close(loop->epoll_fd);
        free(loop);
    }
    return NULL;
}

int loop_add(Loop *loop, LoopSource *source, int fd, uint32_t events, LoopIoFunction callback,
             void *userdata)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    assert(!source->loop);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        return -errno;
    }
    *source = (LoopSource){
        .loop = loop, .fd = fd, .events = events, .callback = callback, .userdata = userdata};
    return 0;
}

int loop_modify(LoopSource *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    if (source->events == events) {
        return 0;
    }
    if (epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0) {
        return -errno;
    }
    source->events = events;
    return 0;
}

void loop_remove(LoopSource *source)
{
    Loop *loop = source->loop;

    if (!loop) {
        return;
    }
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    for (int i = loop->at; i < loop->n_batch; i++) {
        if (loop->batch[i].data.ptr == source) {
            loop->batch[i].data.ptr = NULL;
        }
    }
    source->loop = NULL;
}

void loop_timer_start(Loop *loop, LoopTimer *timer, int64_t delay_ms, LoopTimerFunction callback,
                      void *userdata)
{
    LoopTimer **at = &loop->first, *previous = NULL;

    loop_timer_stop(timer);
    *timer = (LoopTimer){.loop = loop,
                         .due_ms = clock_monotonic_ms() + delay_ms,
                         .callback = callback,
                         .userdata = userdata};
    while (*at && (*at)->due_ms <= timer->due_ms) {
        previous = *at;
        at = &(*at)->next;
    }
    timer->previous = previous;
    timer->next = *at;
    if (timer->next) {
        timer->next->previous = timer;
    }
    *at = timer;
}

void loop_timer_stop(LoopTimer *timer)
{
    if (!timer->loop) {
        return;
    }
    if (timer->next) {
        timer->next->previous = timer->previous;
    }
    if (timer->previous) {
        timer->previous->next = timer->next;
    } else {
        timer->loop->first = timer->next;
    }
    timer->loop = NULL;
}

static int wait_of(const Loop *loop, int64_t wait_ms)
{
    if (loop->first) {
        int64_t left = MAX(loop->first->due_ms - clock_monotonic_ms(), (int64_t)0);

        wait_ms = wait_ms < 0 ? left : MIN(left, wait_ms);
    }
    return (int)MIN(wait_ms, (int64_t)INT_MAX);
}

/* Those due now: a timer that starts itself again with no delay waits for the next step. */
static int call_timers(Loop *loop)
{
    int64_t now = clock_monotonic_ms();
    int n = 0;

    while (loop->first && loop->first->due_ms <= now && n < LOOP_BATCH_MAX) {
        LoopTimer *timer = loop->first;

        loop_timer_stop(timer);
        timer->callback(timer->userdata);
        n++;
    }
    return n;
}

int loop_step(Loop *loop, int64_t wait_ms)
{
    int n = 0;

    loop->n_batch = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH_MAX, wait_of(loop, wait_ms));
    if (loop->n_batch < 0) {
        loop->n_batch = 0;
        if (errno != EINTR) {
            return -errno;
        }
    }
    for (loop->at = 0; loop->at < loop->n_batch;) {
        const struct epoll_event *event = &loop->batch[loop->at++];
        const LoopSource *source = event->data.ptr;

        if (source) {
            source->callback(source->userdata, event->events);
            n++;
        }
    }
    loop->n_batch = 0;
    return n + call_timers(loop);
}

int loop_run(Loop *loop)
{
    int r = 0;

    loop->is_stopped = false;
    while (!loop->is_stopped && r >= 0) {
        r = loop_step(loop, -1);
    }
    return MIN(r, 0);
}

void loop_stop(Loop *loop)
{
    loop->is_stopped = true;
}
