/* SPDX-License-Identifier: MIT */
/* The engine's one loop: descriptors (epoll, level triggered) and timers. Sources and timers are
 * embedded in what they belong to; the loop never allocates for them and never frees them. A
 * callback may remove any source, its own and those whose event is still waiting included. */
#pragma once

#include "protocol/base/macro.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

typedef struct Loop Loop;

typedef void (*LoopIoFunction)(void *userdata, uint32_t events);
typedef void (*LoopTimerFunction)(void *userdata);

/* All zero is "not in a loop". */
typedef struct LoopSource {
    Loop *loop;
    int fd; /* borrowed: remove the source before closing it */
    uint32_t events;
    LoopIoFunction callback;
    void *userdata;
} LoopSource;

typedef struct LoopTimer {
    Loop *loop;
    int64_t due_ms; /* clock_monotonic_ms */
    LoopTimerFunction callback;
    void *userdata;
    struct LoopTimer *previous, *next;
} LoopTimer;

/* -ENOMEM, or what epoll_create1 says. */
int loop_new(Loop **ret) _must_check_;
Loop *loop_free(Loop *loop);
DEFINE_CLEANUP(Loop, loop_free)

/* `events` is what epoll takes: EPOLLIN, EPOLLOUT; 0 still tells EPOLLERR and EPOLLHUP. */
int loop_add(Loop *loop, LoopSource *source, int fd, uint32_t events, LoopIoFunction callback,
             void *userdata) _must_check_;
int loop_modify(LoopSource *source, uint32_t events) _must_check_;
void loop_remove(LoopSource *source); /* nothing happens if it is not in a loop */

/* Calls back once, `delay_ms` from now. Starting a timer that runs moves it. */
void loop_timer_start(Loop *loop, LoopTimer *timer, int64_t delay_ms, LoopTimerFunction callback,
                      void *userdata);
void loop_timer_stop(LoopTimer *timer);

/* Waits for at most `wait_ms` (-1: as long as it takes) and calls back for what happened. Returns
 * how many callbacks ran, or -errno. */
int loop_step(Loop *loop, int64_t wait_ms) _must_check_;

/* Steps until loop_stop. */
int loop_run(Loop *loop) _must_check_;
void loop_stop(Loop *loop);
