/* SPDX-License-Identifier: MIT */
#include "agent/calls/actions.h"

#include "protocol/validate.h"
#include "tests/unit/scratch.h"

#include <errno.h>

static AgentConfig *load(void **state, const char *members)
{
    _cleanup_free_ char *path = NULL, *text = NULL;
    _cleanup_error_ Error err = {0};
    AgentConfig *config;

    assert_true(asprintf(&text,
                         "{\"state\":\"/s\",\"libexec\":\"/l\",\"environments\":{"
                         "\"staging\":{\"engine\":\"local\"},"
                         "\"prod\":{\"engine\":\"local\"}}%s%s}",
                         *members ? "," : "", members) > 0);
    scratch_write_text(SCRATCH_FD, "agent.json", text);
    assert_true(asprintf(&path, "%s/agent.json", SCRATCH_PATH) > 0);
    if (agent_config_load(path, NULL, &config, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    return config;
}

/* agent/runners/README.md, "The actions". */
static void offers_the_built_in_ones(void **state)
{
    static const struct {
        const char *name, *command, *environment;
    } rows[] = {
        {"build", "/l/slipway-run-steps", NULL},
        {"test", "/l/slipway-run-steps", NULL},
        {"package", "/l/slipway-run-package", NULL},
        {"deploy-staging", "/l/slipway-run-deploy", "staging"},
        {"verify-staging", "/l/slipway-run-verify", "staging"},
        {"rollback-staging", "/l/slipway-run-deploy", "staging"},
        {"releases-staging", "/l/slipway-run-deploy", "staging"},
        {"changes-staging", "/l/slipway-run-deploy", "staging"},
        {"deploy-prod", "/l/slipway-run-deploy", "prod"},
        {"verify-prod", "/l/slipway-run-verify", "prod"},
        {"rollback-prod", "/l/slipway-run-deploy", "prod"},
        {"releases-prod", "/l/slipway-run-deploy", "prod"},
        {"changes-prod", "/l/slipway-run-deploy", "prod"},
    };
    _cleanup_(agent_config_freep) AgentConfig *config = load(state, "");

    assert_int_equal(config->n_actions, ARRAY_SIZE(rows));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const ActionConfig *action = agent_config_find_action(config, rows[i].name);

        assert_non_null(action);
        assert_string_equal(action->command[0], rows[i].command);
        assert_null(action->command[1]);
        assert_true(strlen(action->title) > 0 && strlen(action->description) > 0);
        assert_int_equal(action->timeout_ms, config->timeout_ms);
        if (rows[i].environment) {
            assert_string_equal(json_get_string(action->environment, "name"), rows[i].environment);
        } else {
            assert_null(action->environment);
        }
    }
    assert_null(agent_config_find_action(config, "deploy-"));
    assert_null(agent_config_find_action(config, "deploy"));
    assert_true(agent_config_find_action(config, "deploy-prod")->needs_approval);
    assert_false(agent_config_find_action(config, "deploy-staging")->needs_approval);
    assert_false(agent_config_find_action(config, "rollback-prod")->needs_approval);
}

/* As agent/release/decision.c decides. */
static void hints_at_approvals(void **state)
{
    static const struct {
        const char *name, *members;
        bool is_needed;
    } rows[] = {
        {"staging", "", false},
        {"prod", "", true},
        {"production", "", true},
        {"staging", ",\"requires\":{\"approval\":true}", true},
        {"prod", ",\"requires\":{\"approval\":false}", false},
        {"prod", ",\"requires\":{\"tests\":true}", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(agent_config_freep) AgentConfig *config = NULL;
        _cleanup_free_ char *path = NULL, *text = NULL, *action = NULL;

        assert_true(
            asprintf(&text, "{\"state\":\"/s\",\"environments\":{\"%s\":{\"engine\":\"local\"%s}}}",
                     rows[i].name, rows[i].members) > 0);
        scratch_write_text(SCRATCH_FD, "agent.json", text);
        assert_true(asprintf(&path, "%s/agent.json", SCRATCH_PATH) > 0);
        assert_int_equal(agent_config_load(path, NULL, &config, NULL), 0);
        assert_true(asprintf(&action, "deploy-%s", rows[i].name) > 0);
        assert_int_equal(agent_config_find_action(config, action)->needs_approval,
                         rows[i].is_needed);
    }
}

static void adds_the_operators_own(void **state)
{
    _cleanup_(agent_config_freep) AgentConfig *config =
        load(state, "\"actions\":{\"migrate-db\":{\"title\":\"Migrate\",\"command\":"
                    "[\"/bin/migrate\",\"--all\"],\"environment\":\"prod\",\"env\":{\"A\":\"b\"},"
                    "\"timeoutSeconds\":3,\"silenceTimeoutSeconds\":0,\"needsApproval\":true,"
                    "\"idempotent\":true,\"parameters\":{\"type\":\"object\"}}}");
    const ActionConfig *action = agent_config_find_action(config, "migrate-db");
    _cleanup_json_ Json *parameters = NULL, *outputs = NULL;

    assert_non_null(action);
    assert_string_equal(action->title, "Migrate");
    assert_string_equal(action->description, "");
    assert_string_equal(action->command[0], "/bin/migrate");
    assert_string_equal(action->command[1], "--all");
    assert_null(action->command[2]);
    assert_string_equal(json_get_string(action->environment, "name"), "prod");
    assert_string_equal(json_get_string(action->env, "A"), "b");
    assert_int_equal(action->timeout_ms, 3000);
    assert_int_equal(action->silence_timeout_ms, 0);
    assert_true(action->needs_approval && action->is_idempotent);
    assert_int_equal(action_config_load_schemas(action, &parameters, &outputs, NULL), 0);
    assert_string_equal(json_get_string(parameters, "type"), "object");
    assert_int_equal(json_member_count(outputs), 0);
}

static void changes_a_built_in_one(void **state)
{
    _cleanup_(agent_config_freep) AgentConfig *config =
        load(state, "\"actions\":{\"build\":{\"env\":{\"A\":\"b\"},\"timeoutSeconds\":5},"
                    "\"test\":{\"command\":[\"/my/test\"]}}");
    const ActionConfig *build = agent_config_find_action(config, "build");
    const ActionConfig *test = agent_config_find_action(config, "test");

    assert_int_equal(config->n_actions, 13);
    assert_string_equal(build->command[0], "/l/slipway-run-steps");
    assert_string_equal(build->title, "Build");
    assert_int_equal(build->timeout_ms, 5000);
    assert_string_equal(json_get_string(build->env, "A"), "b");
    assert_string_equal(test->command[0], "/my/test");
}

#define HEX "0123456789012345678901234567890123456789"

/* Each schema can be used alone, takes what the table says and nothing else. */
static void checks_parameters(void **state)
{
    static const struct {
        const char *action, *parameters;
        bool is_right;
    } rows[] = {
        {"build", "{}", true},
        {"build", "{\"source\":{\"git\":\"/r\",\"commit\":\"" HEX "\",\"ref\":\"main\"}}", true},
        {"build", "{\"source\":{\"git\":\"/r\"}}", false},
        {"build", "{\"source\":{\"git\":\"/r\",\"commit\":\"HEAD\"}}", false},
        {"build", "{\"source\":{\"input\":\"a\",\"commit\":\"" HEX "\"},\"clean\":true}", true},
        {"build", "{\"source\":{\"input\":\"a\",\"git\":\"/r\"}}", false},
        {"build", "{\"sourc\":{}}", false},
        {"test", "{\"ref\":\"main\"}", true},
        {"test", "{\"clean\":1}", false},
        {"package", "{\"source\":{\"input\":\"../a\"}}", false},
        {"deploy-prod", "{}", true},
        {"deploy-prod", "{\"package\":{\"call\":\"c1\"},\"variables\":{\"port\":\"1\"}}", true},
        {"deploy-prod", "{\"package\":{\"input\":\"p\"}}", true},
        {"deploy-prod", "{\"package\":{\"call\":\"c1\",\"input\":\"p\"}}", false},
        {"deploy-prod", "{\"package\":{\"call\":\"c1\"},\"variables\":{\"port\":1}}", false},
        {"deploy-prod", "{\"evidence\":{\"input\":\"release.intoto.jsonl\"}}", true},
        {"deploy-prod", "{\"evidence\":{\"input\":\"../x\"}}", false},
        {"deploy-prod", "{\"evidence\":{}}", false},
        {"deploy-prod", "{\"evidence\":\"release.intoto.jsonl\"}", false},
        {"verify-prod", "{\"source\":{\"input\":\"a\"}}", true},
        {"rollback-prod", "{}", true},
        {"rollback-prod", "{\"to\":\"v1.2\"}", true},
        {"rollback-prod", "{\"to\":\"\"}", false},
        {"releases-prod", "{}", true},
        {"releases-prod", "{\"to\":\"v1.2\"}", false},
        {"changes-prod", "{\"commit\":\"" HEX "\"}", true},
    };
    _cleanup_(agent_config_freep) AgentConfig *config = load(state, "");

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const ActionConfig *action = agent_config_find_action(config, rows[i].action);
        _cleanup_json_ Json *schema = NULL, *outputs = NULL, *value = NULL;
        _cleanup_error_ Error err = {0};
        int r;

        assert_int_equal(action_config_load_schemas(action, &schema, &outputs, NULL), 0);
        assert_int_equal(json_parse(rows[i].parameters, strlen(rows[i].parameters), &value, NULL),
                         0);
        r = validate_value(schema, value, NULL, 0, &err);
        if (r != (rows[i].is_right ? 0 : -EINVAL)) {
            fail_msg("%s %s: %s", rows[i].action, rows[i].parameters, error_text(&err));
        }
        assert_true(json_member_count(json_get(outputs, "properties")) > 0);
    }
}

static void knows_its_own_names(void **state)
{
    _cleanup_json_ Json *environments = NULL;

    assert_int_equal(json_parse("{\"a-b\":{}}", 10, &environments, NULL), 0);
    assert_true(actions_is_built_in("build", NULL));
    assert_true(actions_is_built_in("deploy-a-b", environments));
    assert_false(actions_is_built_in("deploy-a", environments));
    assert_false(actions_is_built_in("deploy-a-b", NULL));
    assert_false(actions_is_built_in("build-a-b", environments));
    assert_false(actions_is_built_in("builder", environments));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(offers_the_built_in_ones), scratch_test(hints_at_approvals),
        scratch_test(adds_the_operators_own),   scratch_test(changes_a_built_in_one),
        scratch_test(checks_parameters),        cmocka_unit_test(knows_its_own_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
