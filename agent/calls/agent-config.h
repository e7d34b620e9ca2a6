/* SPDX-License-Identifier: MIT */
/* agent.json: what the operator of this host decided. Checked whole against
 * protocol/schema/agent.schema.json, with every mistake told at once by pointer and line. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

/* One action: built in for each environment, or the operator's own. */
typedef struct ActionConfig {
    char *name; /* "build", "deploy-prod", "migrate-db" */
    char *title;
    char *description;
    char **command;             /* NULL-terminated; the first is absolute */
    const char *schema;         /* of a built-in one: its name in protocol/schema */
    const Json *parameters;     /* the operator's own schemas, or NULL; borrowed from root */
    const Json *outputs;        /* the same */
    const Json *environment;    /* with its `name`, or NULL; borrowed from root */
    const Json *publish;        /* where it publishes, or NULL; borrowed from root */
    const Json *env;            /* variables for it, or NULL; borrowed from root */
    int64_t timeout_ms;         /* 0: none */
    int64_t silence_timeout_ms; /* 0: none */
    bool is_idempotent;
    bool needs_approval;
} ActionConfig;

typedef struct SecretConfig {
    char *name;
    char *file;
    char **actions; /* NULL-terminated; empty: none */
} SecretConfig;

/* Whether steps are kept out of the state directory. */
typedef enum ConfineWish {
    CONFINE_WHERE_POSSIBLE,
    CONFINE_ALWAYS, /* where that is not possible the agent is not well */
    CONFINE_NEVER,
} ConfineWish;

typedef struct AgentConfig {
    Json *root; /* the whole file, {} where there is none */
    char *name; /* of this agent: the host's unless configured */
    char *state_directory;
    char *libexec_directory; /* where shim and runners are */
    ConfineWish confine;
    unsigned slots;
    int64_t timeout_ms; /* upper limits and defaults of every call; 0: none */
    int64_t silence_timeout_ms;
    int64_t grace_ms;
    unsigned keep_days;
    unsigned keep_calls;
    unsigned disk_free_percent; /* below this the oldest calls go early */
    ActionConfig *actions;
    size_t n_actions;
    SecretConfig *secrets;
    size_t n_secrets;
    const Json *forward;  /* audit.forward; NULL: none; borrowed from root */
    char **allowed_users; /* names or numbers, NULL-terminated */
    char **allowed_groups;
} AgentConfig;

/* Reads `path`; NULL means the default place, which may be absent. `state_directory` (may be NULL)
 * overrides what the file says. */
int agent_config_load(const char *path, const char *state_directory, AgentConfig **ret,
                      Error *err) _must_check_;
AgentConfig *agent_config_free(AgentConfig *config);
DEFINE_CLEANUP(AgentConfig, agent_config_free)

/* NULL if there is none. */
const ActionConfig *agent_config_find_action(const AgentConfig *config, const char *name);

/* An environment that requires an approval which no key of `keys` may sign; NULL: there is none. */
const char *agent_config_find_unreleasable(const AgentConfig *config);

/* The JSON Schemas of its parameters and its outputs (each `ret` may be NULL). Parsed when they are
 * asked for, because most agents idle most of the time; what is returned is the caller's. */
int action_config_load_schemas(const ActionConfig *action, Json **ret_parameters,
                               Json **ret_outputs, Error *err) _must_check_;
