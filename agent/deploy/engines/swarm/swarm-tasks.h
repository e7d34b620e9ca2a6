/* SPDX-License-Identifier: MIT */
/* What docker's list of a service's tasks says about one deployment. Asks nobody.
 *
 * A task is an instance, also one that is over: docker keeps some of those for each slot. The label
 * `slipway.deployment` of its container says whose it is. Docker calls a task with a health check
 * running only when the check has passed. */
#pragma once

#include "agent/deploy/engine.h"

typedef struct SwarmTasks {
    EngineCounts counts;
    bool has_own;         /* the deployment has tasks, be they over */
    bool has_own_alive;   /* a container of it may run */
    int64_t failed_slots; /* that had a task which failed */
    const Json *failed;   /* the newest that failed, docker refused, or ended by itself; NULL */
    const Json *held;     /* the oldest that should run and does not yet; NULL */
    bool has_lingering;   /* among `old` are some that docker has told to end */
} SwarmTasks;

/* `tasks` as /tasks lists them; `deployment` NULL: those without a label. `down` (NULL: none) has
 * the IDs of nodes that are known to be down as members: nothing serves there, whatever their tasks
 * were last seen doing. What `ret` points to is borrowed from `tasks`. -ENOMEM. */
int swarm_tasks_read(const Json *tasks, const Json *spec, const char *deployment, const Json *down,
                     SwarmTasks *ret) _must_check_;

/* More tasks have failed than the specification lets pass? */
bool swarm_tasks_are_failing(const SwarmTasks *tasks, const Json *spec);

/* Borrowed, "" where there is none. */
const char *swarm_task_id(const Json *task);
const char *swarm_task_state(const Json *task);
const char *swarm_task_container(const Json *task);

/* Appends what is wrong with a task, for people: "instance 2 was rejected: No such image: …". */
int swarm_task_append_trouble(const Json *task, Buffer *text) _must_check_;

/* Appends the text of a log stream as docker multiplexes it (`is_multiplexed`), or as it is: whole
 * lines from its end, at most `max_bytes`. What is cut off or is no such stream ends it. */
int swarm_log_append(const char *data, size_t n, bool is_multiplexed, size_t max_bytes,
                     Buffer *text) _must_check_;

/* Appends the last answer of a container's health check (its State.Health), on one line; nothing
 * where there is none. */
int swarm_health_append(const Json *health, Buffer *text) _must_check_;
