/* SPDX-License-Identifier: MIT */
#include "agent/calls/actions.h"

#include "protocol/schema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* agent/runners/README.md has the same table, with parameters and outputs. */
typedef struct BuiltIn {
    const char *verb; /* the name; with an environment "VERB-E" */
    const char *runner;
    const char *schema;
    const char *title; /* with an environment "TITLE E" */
    const char *description;
    bool has_environment;
    bool is_publisher; /* it is told of `publish` */
    bool is_idempotent;
    bool is_approved; /* the environment may ask for an approval */
} BuiltIn;

static const BuiltIn built_in[] = {
    {"build", "slipway-run-steps", "action-build", "Build",
     "Brings the source into the workspace and runs its build command.", .is_idempotent = true},
    {"test", "slipway-run-steps", "action-test", "Test",
     "Runs the test command in the workspace and counts its tests.", .is_idempotent = true},
    {"package", "slipway-run-package", "action-package", "Package",
     "Makes the package of what was built: the bytes that every deploy uses.", .is_publisher = true,
     .is_idempotent = true},
    {"deploy", "slipway-run-deploy", "action-deploy", "Deploy to",
     "Deploys a package and waits until the new version is healthy at full count; puts the old one "
     "back where that fails.",
     .has_environment = true, .is_idempotent = true, .is_approved = true},
    {"verify", "slipway-run-verify", "action-verify", "Verify",
     "Runs the verify command against what is deployed.", .has_environment = true,
     .is_idempotent = true},
    {"rollback", "slipway-run-deploy", "action-rollback", "Roll back",
     "Deploys the release before the one that runs, from what this host kept.",
     .has_environment = true},
    {"releases", "slipway-run-deploy", "action-releases", "List releases of",
     "Lists what a rollback can go back to, from what this host kept.", .has_environment = true,
     .is_idempotent = true},
    {"changes", "slipway-run-deploy", "action-changes", "Show changes for",
     "Tells what a deploy would change, compared with what runs now.", .has_environment = true,
     .is_idempotent = true},
};

void action_config_done(ActionConfig *action)
{
    free(action->name);
    free(action->title);
    free(action->description);
    for (char **argument = action->command; argument && *argument; argument++) {
        free(*argument);
    }
    free(action->command);
    *action = (ActionConfig){0};
}

static int set_text(char **text, const char *value)
{
    char *copy;

    if (!value) {
        return 0;
    }
    copy = strdup(value);
    if (!copy) {
        return -ENOMEM;
    }
    free(*text);
    *text = copy;
    return 0;
}

static int set_command(ActionConfig *action, const Json *words)
{
    size_t n = json_length(words);
    char **command = calloc(n + 1, sizeof(*command));

    for (size_t i = 0; command && i < n; i++) {
        command[i] = strdup(json_as_string(json_at(words, i)));
        if (!command[i]) {
            ActionConfig failed = {.command = command};

            action_config_done(&failed);
            return -ENOMEM;
        }
    }
    if (!command) {
        return -ENOMEM;
    }
    for (char **old = action->command; old && *old; old++) {
        free(*old);
    }
    free(action->command);
    action->command = command;
    return 0;
}

static ActionConfig *add_action(AgentConfig *config)
{
    ActionConfig *actions =
        realloc(config->actions, (config->n_actions + 1) * sizeof(*config->actions));

    if (!actions) {
        return NULL;
    }
    config->actions = actions;
    actions += config->n_actions++;
    *actions = (ActionConfig){
        .timeout_ms = config->timeout_ms,
        .silence_timeout_ms = config->silence_timeout_ms,
    };
    return actions;
}

static int add_built_in(AgentConfig *config, const BuiltIn *b, const char *name,
                        const Json *environment)
{
    ActionConfig *action = add_action(config);

    if (!action) {
        return -ENOMEM;
    }
    action->schema = b->schema;
    action->environment = environment;
    action->publish = b->is_publisher ? json_get(config->root, "publish") : NULL;
    action->is_idempotent = b->is_idempotent;
    action->needs_approval =
        b->is_approved && json_get_bool(json_get(environment, "requires"), "approval", false);
    action->description = strdup(b->description);
    action->command = calloc(2, sizeof(*action->command));
    if (!action->description || !action->command ||
        asprintf(&action->command[0], "%s/%s", config->libexec_directory, b->runner) < 0 ||
        asprintf(&action->name, "%s%s%s", b->verb, name ? "-" : "", name ? name : "") < 0 ||
        asprintf(&action->title, "%s%s%s", b->title, name ? " " : "", name ? name : "") < 0) {
        return -ENOMEM;
    }
    return 0;
}

static int64_t get_ms(const Json *object, const char *name, int64_t fallback)
{
    const Json *seconds = json_get(object, name);

    return seconds ? (int64_t)(json_as_number(seconds, 0) * 1000) : fallback;
}

static ActionConfig *find_action(AgentConfig *config, const char *name)
{
    for (size_t i = 0; i < config->n_actions; i++) {
        if (strcmp(config->actions[i].name, name) == 0) {
            return &config->actions[i];
        }
    }
    return NULL;
}

/* A member of `actions`: settings of a built-in one, or an action of the operator's own. */
static int add_configured(AgentConfig *config, const char *name, const Json *member)
{
    const Json *environments = json_get(config->root, "environments");
    const char *environment = json_get_string(member, "environment");
    ActionConfig *action = find_action(config, name);
    int r = 0;

    if (!action) {
        action = add_action(config);
        r = action ? set_text(&action->name, name) : -ENOMEM;
        r = r == 0 ? set_text(&action->title, name) : r;
        r = r == 0 ? set_text(&action->description, "") : r;
    }
    r = r == 0 ? set_text(&action->title, json_get_string(member, "title")) : r;
    r = r == 0 ? set_text(&action->description, json_get_string(member, "description")) : r;
    if (r == 0 && json_has(member, "command")) {
        r = set_command(action, json_get(member, "command"));
    }
    if (r < 0) {
        return r;
    }
    action->env = json_get(member, "env");
    action->parameters = json_get(member, "parameters");
    action->outputs = json_get(member, "outputs");
    action->environment = environment ? json_get(environments, environment) : action->environment;
    action->timeout_ms = get_ms(member, "timeoutSeconds", action->timeout_ms);
    action->silence_timeout_ms =
        get_ms(member, "silenceTimeoutSeconds", action->silence_timeout_ms);
    action->is_idempotent = json_get_bool(member, "idempotent", action->is_idempotent);
    action->needs_approval = json_get_bool(member, "needsApproval", action->needs_approval);
    return 0;
}

int actions_build(AgentConfig *config)
{
    const Json *environments = json_get(config->root, "environments");
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(built_in); i++) {
        if (!built_in[i].has_environment) {
            r = add_built_in(config, &built_in[i], NULL, NULL);
        }
    }
    for (JsonMember m = {0}; r == 0 && json_next_member(environments, &m);) {
        r = json_set_string(m.value, "name", m.name);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(built_in); i++) {
            if (built_in[i].has_environment) {
                r = add_built_in(config, &built_in[i], m.name, m.value);
            }
        }
    }
    for (JsonMember m = {0}; r == 0 && json_next_member(json_get(config->root, "actions"), &m);) {
        r = add_configured(config, m.name, m.value);
    }
    return r;
}

bool actions_is_built_in(const char *name, const Json *environments)
{
    for (size_t i = 0; i < ARRAY_SIZE(built_in); i++) {
        size_t n = strlen(built_in[i].verb);

        if (strncmp(name, built_in[i].verb, n) != 0) {
            continue;
        }
        if (built_in[i].has_environment ? name[n] == '-' && json_has(environments, name + n + 1)
                                        : name[n] == '\0') {
            return true;
        }
    }
    return false;
}

static int take_schema(const Json *own, const Json *built_in_schema, const char *part, Json **ret,
                       Error *err)
{
    Json *schema;

    if (!ret) {
        return 0;
    }
    schema =
        own ? json_ref((Json *)own) : json_ref(json_get(json_get(built_in_schema, "$defs"), part));
    schema = schema ? schema : json_new_object(); /* none: everything is right */
    if (!schema) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret = schema;
    return 0;
}

int action_config_load_schemas(const ActionConfig *action, Json **ret_parameters,
                               Json **ret_outputs, Error *err)
{
    _cleanup_json_ Json *schema = NULL, *parameters = NULL;
    int r;

    if (action->schema) {
        r = schema_load(action->schema, &schema, err);
        if (r < 0) {
            return r;
        }
    }
    r = take_schema(action->parameters, schema, "params", ret_parameters ? &parameters : NULL, err);
    r = r == 0 ? take_schema(action->outputs, schema, "result", ret_outputs, err) : r;
    if (r == 0 && ret_parameters) {
        *ret_parameters = TAKE_PTR(parameters);
    }
    return r;
}
