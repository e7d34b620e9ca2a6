/* SPDX-License-Identifier: MIT */
/* What this engine asks of a swarm manager, by the Docker Engine API (1.40 and newer, which is
 * docker 19.03; https://docs.docker.com/reference/api/engine/). Each function is one request.
 *
 * Besides 0: ENGINE_AWAY, ENGINE_ABSENT where it says so, or a negative errno with docker's own
 * sentence. Docker says 500 both for what another try may mend and for what it never will; the
 * difference is in its words. */
#pragma once

#include "agent/deploy/engine.h"

typedef struct SwarmApi SwarmApi;

/* Nobody is asked. -EINVAL: the environment is wrong. */
int swarm_api_open(const Json *environment, SwarmApi **ret, Error *err) _must_check_;
SwarmApi *swarm_api_close(SwarmApi *api);
DEFINE_CLEANUP(SwarmApi, swarm_api_close)

/* The service of exactly this name, the caller's; or ENGINE_ABSENT. */
int swarm_api_get_service(SwarmApi *api, const char *name, Json **ret, Error *err) _must_check_;

/* All tasks of a service, also those that are over. */
int swarm_api_get_tasks(SwarmApi *api, const char *service_id, Json **ret, Error *err) _must_check_;

/* IDs of the nodes that do not answer the manager, as members of an object. */
int swarm_api_get_down_nodes(SwarmApi *api, Json **ret, Error *err) _must_check_;

/* ID of the swarm's network of that name; NULL in *ret: there is none. */
int swarm_api_find_network(SwarmApi *api, const char *name, char **ret, Error *err) _must_check_;

/* ID of the secret or config (`kind` "secrets", "configs") of that name, or ENGINE_ABSENT. */
int swarm_api_find_file(SwarmApi *api, const char *kind, const char *name, char **ret,
                        Error *err) _must_check_;

int swarm_api_create(SwarmApi *api, const Json *spec, Error *err) _must_check_;

/* `service` as it was read: if it has changed since, ENGINE_AWAY, for the next look will differ. */
int swarm_api_update(SwarmApi *api, const Json *service, const Json *spec, Error *err) _must_check_;

/* 0 also when it is gone already. */
int swarm_api_remove(SwarmApi *api, const char *service_id, Error *err) _must_check_;

/* What may be known or not: *ret stays as it is where it is not. -ENOMEM is the only failure. */
int swarm_api_get_log(SwarmApi *api, const char *task_id, char **ret) _must_check_;
int swarm_api_get_health(SwarmApi *api, const char *container_id, Json **ret) _must_check_;
