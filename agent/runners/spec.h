/* SPDX-License-Identifier: MIT */
/* spec.json, the call that this runner is for (agent/calls/README.md, "spec.json"). */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>

/* All strings are borrowed from `root`; what the spec may lack is NULL. */
typedef struct Spec {
    Json *root;
    const char *call;
    const char *agent; /* NULL: it has no name */
    const char *action;
    char *verb; /* "deploy" of "deploy-staging"; the action itself where there is no environment */
    const char *run;
    const char *created_at;
    const char *traceparent;
    const Json *parameters; /* never NULL */
    const Json *origin;
    const Json *approval;
    const Json *keys;        /* as in agent.json; only where there is an environment */
    const Json *environment; /* as in agent.json, with its `name` */
    const char *environment_name;
    const Json *publish; /* of package: as in agent.json */
    int64_t grace_ms;
    bool is_confined; /* steps are kept out of the state directory */

    const char *call_directory;
    const char *workspace;
    const char *cache_directory;
    const char *calls_directory;    /* NULL: no artifacts of other calls */
    const char *inputs_directory;   /* NULL: no inputs */
    const char *releases_directory; /* NULL: no kept releases */
    const char *state_directory;    /* NULL: none of it is an agent's */
    const char *keys_directory;     /* NULL: this host signs nothing */
    const char *audit_directory;    /* NULL: no audit log */
} Spec;

/* Reads it whole from `fd` (borrowed). -EINVAL with every mistake, one on a line. */
int spec_read(int fd, Spec *ret, Error *err) _must_check_;
void spec_done(Spec *spec);
#define _cleanup_spec_ _cleanup_(spec_done)
