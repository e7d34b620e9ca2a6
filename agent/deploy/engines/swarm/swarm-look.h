/* SPDX-License-Identifier: MIT */
/* A service and its tasks as they are at one moment, and what that means for a deployment. */
#pragma once

#include "agent/deploy/engines/swarm/swarm-api.h"
#include "agent/deploy/engines/swarm/swarm-tasks.h"

typedef struct SwarmLook {
    Json *service;
    Json *tasks;
    const Json *spec;         /* the service's, in `service` */
    const Json *previous;     /* the one before as docker remembers it, in `service`; NULL */
    const char *deployment;   /* that `spec` is of; NULL: it is none of ours */
    const char *update_state; /* docker's word for its last update; "" */
    SwarmTasks own;           /* of `deployment` */
} SwarmLook;

void swarm_look_done(SwarmLook *look);
#define _cleanup_swarm_look_ _cleanup_(swarm_look_done)

/* 0, ENGINE_ABSENT, ENGINE_AWAY, or a negative errno. */
int swarm_look(SwarmApi *api, const char *app, SwarmLook *ret, Error *err) _must_check_;

/* The tasks once more, for another deployment that `spec` is the specification of. */
int swarm_look_read(SwarmApi *api, const SwarmLook *look, const Json *spec, const char *deployment,
                    SwarmTasks *ret, Error *err) _must_check_;

/* Has this deployment been given up at this service, by us? */
bool swarm_look_is_given_up(const SwarmLook *look, const char *deployment);

/* Docker is still making the service what its specification says, and nothing has failed yet. */
bool swarm_look_is_under_way(const SwarmLook *look);

/* What has become of `deployment`. `settled_for_ms`: how long all its instances have been running,
 * as far as the caller knows. Asks for logs and answers of health checks where they explain what is
 * wrong. */
int swarm_look_judge(SwarmApi *api, const SwarmLook *look, const char *deployment,
                     int64_t settled_for_ms, EngineStatus *ret, Error *err) _must_check_;
