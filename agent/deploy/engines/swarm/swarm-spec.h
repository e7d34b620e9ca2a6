/* SPDX-License-Identifier: MIT */
/* A service's specification (docker's ServiceSpec): what may be in one, our labels on it, and
 * whether two are the same although docker has added to one of them. Asks nobody. */
#pragma once

#include "agent/deploy/engine.h"

/* On the service alone, so that no instance is started anew for them: what this deployment took the
 * place of ("" for a service that was not ours; absent where there was none), and the deployment
 * that was given up in favour of this one. */
#define SWARM_LABEL_REPLACES "slipway.replaces"
#define SWARM_LABEL_CANCELLED "slipway.cancelled"

/* How long docker looks at a task that came up, where UpdateConfig has no Monitor. */
#define SWARM_MONITOR_MS_DEFAULT ((int64_t)5000)

/* Every mistake, each with its pointer. -EINVAL. */
int swarm_spec_check(const Json *spec, Error *err) _must_check_;

/* The labels of the release on the service and on its containers. -ENOMEM. */
int swarm_spec_add_labels(Json *spec, const EngineLabels *labels) _must_check_;

/* Makes it a specification of this deployment: every task that is made of it says so. `replaces`
 * may be NULL: there was no service. -ENOMEM. */
int swarm_spec_set_deployment(Json *spec, const char *deployment,
                              const char *replaces) _must_check_;

/* Borrowed; NULL: there is no such label. */
const char *swarm_spec_label(const Json *spec, const char *name);
const char *swarm_spec_deployment(const Json *spec);

int64_t swarm_spec_monitor_ms(const Json *spec);

/* Does somebody ask the instances whether they are well, as far as the specification says? */
bool swarm_spec_has_health_check(const Json *spec);

/* What runs, `stored` as docker has it, in the terms of `wanted`: a copy without the labels that
 * make a deployment and without what docker adds by itself. The caller's. -ENOMEM. */
int swarm_spec_in_terms_of(const Json *stored, const Json *wanted, Json **ret) _must_check_;

/* Would `wanted` change a service that `stored` is the specification of? */
int swarm_spec_is_same(const Json *stored, const Json *wanted, bool *ret) _must_check_;
