/* SPDX-License-Identifier: MIT */
#include "agent/calls/agent-config.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static int load(int fd, const char *directory, const char *text, AgentConfig **config, Error *err)
{
    _cleanup_free_ char *path = NULL;

    scratch_write_text(fd, "agent.json", text);
    assert_true(asprintf(&path, "%s/agent.json", directory) > 0);
    return agent_config_load(path, NULL, config, err);
}

static AgentConfig *load_right(void **state, const char *text)
{
    _cleanup_error_ Error err = {0};
    AgentConfig *config;

    if (load(SCRATCH_FD, SCRATCH_PATH, text, &config, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    return config;
}

static void has_defaults(void **state)
{
    _cleanup_(agent_config_freep) AgentConfig *config = load_right(state, "{\"state\":\"/s\"}");

    assert_string_equal(config->state_directory, "/s");
    assert_non_null(strstr(config->libexec_directory, "/slipway"));
    assert_true(strlen(config->name) > 0);
    assert_true(config->slots >= 1);
    assert_int_equal(config->timeout_ms, 3600000);
    assert_int_equal(config->silence_timeout_ms, 600000);
    assert_int_equal(config->grace_ms, 10000);
    assert_int_equal(config->keep_days, 30);
    assert_int_equal(config->keep_calls, 1000);
    assert_int_equal(config->disk_free_percent, 5);
    assert_int_equal(config->confine, CONFINE_WHERE_POSSIBLE);
    assert_int_equal(config->n_actions, 3);
    assert_int_equal(config->n_secrets, 0);
    assert_null(config->allowed_users[0]);
}

static void takes_what_is_set(void **state)
{
    _cleanup_(agent_config_freep) AgentConfig *config = load_right(
        state, "{\"name\":\"n\",\"state\":\"/s\",\"libexec\":\"/l\",\"slots\":7,\"confine\":false,"
               "\"limits\":{\"timeoutSeconds\":1.5,\"silenceTimeoutSeconds\":0,\"graceSeconds\":2},"
               "\"keep\":{\"days\":1,\"calls\":2,\"diskFreePercent\":3},"
               "\"allow\":{\"users\":[\"jenkins\",\"1000\"],\"groups\":[\"ci\"]},"
               "\"secrets\":{\"TOKEN\":{\"file\":\"/t\",\"actions\":[\"build\",\"test\"]}}}");

    assert_string_equal(config->name, "n");
    assert_string_equal(config->libexec_directory, "/l");
    assert_int_equal(config->slots, 7);
    assert_int_equal(config->confine, CONFINE_NEVER);
    assert_int_equal(config->timeout_ms, 1500);
    assert_int_equal(config->silence_timeout_ms, 0);
    assert_int_equal(config->grace_ms, 2000);
    assert_int_equal(config->keep_days, 1);
    assert_int_equal(config->keep_calls, 2);
    assert_int_equal(config->disk_free_percent, 3);
    assert_string_equal(config->allowed_users[1], "1000");
    assert_null(config->allowed_users[2]);
    assert_string_equal(config->allowed_groups[0], "ci");
    assert_int_equal(config->n_secrets, 1);
    assert_string_equal(config->secrets[0].name, "TOKEN");
    assert_string_equal(config->secrets[0].file, "/t");
    assert_string_equal(config->secrets[0].actions[1], "test");
    assert_null(config->secrets[0].actions[2]);
}

typedef struct Mistake {
    const char *text;
    const char *expected; /* part of what is said */
} Mistake;

#define PEM "-----BEGIN PUBLIC KEY-----\\nMCow\\n-----END PUBLIC KEY-----\\n"
#define PROD "{\"environments\":{\"prod\":{\"engine\":\"local\","

static const Mistake mistakes[] = {
    {"{", "line 1, column 2: "},
    {"[]", "line 1: (top): must be object, not array"},
    {"null", "(top): must be object, not null"},
    {"{\n\"slots\": 0}", "line 2: /slots: must be at least 1"},
    {"{\"slots\": \"4\"}", "/slots: must be integer, not string"},
    {"{\"state\": \"relative\"}", "/state: does not match ^/: an absolute path"},
    {"{\"confine\": \"yes\"}", "/confine: must be boolean, not string"},
    {"{\"stat\": \"/s\"}", "/stat: unknown member; did you mean \"state\"?"},
    {"{\"environments\":{\"p\":{}}}", "/environments/p: \"engine\" is missing"},
    {"{\"environments\":{\"p\":{\"engine\":\"mesos\"}}}", "/environments/p/engine: must be one of"},
    {"{\"environments\":{\"p\":{\"engine\":\"local\",\n\"variables\":{\"port\":8081}}}}",
     "line 2: /environments/p/variables/port: must be string, not integer"},
    {"{\"environments\":{\"../p\":{\"engine\":\"local\"}}}", "/environments/..~1p: does not match"},
    {"{\"actions\":{\n\"mine\":{}}}",
     "line 2: /actions/mine: \"command\" is missing, and there is no built-in action"},
    {"{\"actions\":{\"deploy-prod\":{}}}", "/actions/deploy-prod: \"command\" is missing"},
    {"{\"actions\":{\"mine\":{\"command\":[\"bin/x\"]}}}",
     "/actions/mine/command/0: must be an absolute path"},
    {"{\"actions\":{\"mine\":{\"command\":[]}}}", "/actions/mine/command: must have at least 1"},
    {"{\"actions\":{\"mine\":{\"command\":[\"/x\"],\"environment\":\"prod\"}}}",
     "/actions/mine/environment: there is no environment 'prod'"},
    {"{\"actions\":{\"build\":{\"env\":{\"SLIPWAY_CALL\":\"x\"}}}}",
     "/actions/build/env/SLIPWAY_CALL: names that begin with SLIPWAY_ are the agent's own"},
    {"{\"actions\":{\"build\":{\"env\":{\"A=B\":\"x\"}}}}",
     "/actions/build/env/A=B: does not match"},
    {"{\"actions\":{\"mine\":{\"command\":[\"/x\"],\"parameters\":{\"if\":{}}}}}",
     "/actions/mine/parameters: "},
    {"{\"secrets\":{\"T\":{\"file\":\"/t\",\"actions\":[\n\"none\"]}}}",
     "line 2: /secrets/T/actions/0: there is no action 'none'"},
    {"{\"secrets\":{\"SLIPWAY_T\":{\"file\":\"/t\",\"actions\":[]}}}",
     "/secrets/SLIPWAY_T: names that begin with SLIPWAY_"},
    {"{\"secrets\":{\"T\":{\"file\":\"t\",\"actions\":[]}}}", "/secrets/T/file: does not match"},
    {"{\"keys\":{\"k\":{\"publicKey\":\"" PEM "\"}}}", "/keys/k: \"roles\" is missing"},
    {"{\"keys\":{\"k\":{\"publicKey\":\"" PEM "\",\"roles\":[]}}}", "/keys/k/roles: must have"},
    {"{\"keys\":{\"k\":{\"publicKey\":\"" PEM "\",\"roles\":[\"boss\"]}}}",
     "/keys/k/roles/0: must be one of"},
    {"{\"keys\":{\"k\":{\"publicKey\":\"MCow\",\"roles\":[\"tester\"]}}}",
     "/keys/k/publicKey: does not match"},
    {"{\"keys\":{\"k\":{\"roles\":[\"tester\"]}}}", "/keys/k: needs either \"publicKey\""},
    {"{\"keys\":{\"k\":{\"publicKey\":\"" PEM "\",\"file\":\"/etc/passwd\","
     "\"roles\":[\"tester\"]}}}",
     "/keys/k: needs either \"publicKey\""},
    {"{\"keys\":{\"k\":{\"file\":\"k.pub\",\"roles\":[\"tester\"]}}}",
     "/keys/k/file: does not match"},
    {"{\"keys\":{\"k\":{\n\"file\":\"/nonexistent/k.pub\",\"roles\":[\"tester\"]}}}",
     "line 2: /keys/k/file: '/nonexistent/k.pub' cannot be read: No such file"},
    {"{\"keys\":{\"\":{\"publicKey\":\"" PEM "\",\"roles\":[\"tester\"]}}}", "/keys/: "},
    {"{\"publish\":{\"rpm\":{}}}", "/publish/rpm: must have at least 1"},
    {"{\"publish\":{\"rpm\":{\"target\":\"srv\"}}}", "/publish/rpm/target: does not match"},
    {"{\"publish\":{\"rpm\":{\n\"target\":\"/srv/${user}\"}}}",
     "line 2: /publish/rpm/target: '${user}' is unknown"},
    {"{\"publish\":{\"deb\":{\"target\":\"/srv\"}}}", "/publish/deb: \"signKey\" is missing"},
    {"{\"publish\":{\"image\":{}}}", "/publish/image: \"registry\" is missing"},
    {"{\"publish\":{\"image\":{\"registry\":\"https://registry.example\"}}}",
     "/publish/image/registry: does not match"},
    {"{\"publish\":{\"image\":{\"registry\":\"r.example/Team\"}}}",
     "/publish/image/registry: does not match"},
    {"{\"publish\":{\"image\":{\"registry\":\"r.example\",\"password\":\"x\"}}}",
     "/publish/image/password: unknown member"},
    {PROD "\"address\":\"unix:/s\",\n\"addresses\":[\"unix:/s\"]}}}",
     "line 2: /environments/prod/addresses: takes the place of \"address\""},
    {PROD "\"addresses\":[]}}}", "/environments/prod/addresses: must have at least 1"},
    {PROD "\"keyFile\":\"/etc/passwd\"}}}",
     "/environments/prod/keyFile: needs \"certificateFile\""},
    {PROD "\"credentialsFile\":\"c.json\"}}}",
     "/environments/prod/credentialsFile: does not match"},
    {PROD "\"registryCredentialsFile\":\"/nonexistent/r.json\"}}}",
     "/environments/prod/registryCredentialsFile: '/nonexistent/r.json' cannot be read"},
    {PROD "\n\"credentialsFile\":\"/nonexistent/c.json\"}}}",
     "line 2: /environments/prod/credentialsFile: '/nonexistent/c.json' cannot be read"},
    {"{\"environments\":{\"prod\":{\"engine\":\"ssh\"}}}",
     "/environments/prod: needs \"hosts\" for the engine 'ssh'"},
    {"{\"environments\":{\"prod\":{\"engine\":\"ssh\",\"hosts\":[]}}}",
     "/environments/prod/hosts: must have at least 1"},
    {"{\"environments\":{\"prod\":{\"engine\":\"ssh\",\"hosts\":[\"a\"],\n\"address\":\"a\"}}}",
     "line 2: /environments/prod/address: has no meaning for the engine 'ssh'"},
    {PROD "\"hosts\":[\"web1\"]}}}", "/environments/prod/hosts: is for the engine 'ssh' alone"},
    {PROD "\"needsApproval\":true}}}", "/environments/prod/needsApproval: unknown member"},
    {PROD "\"requires\":{\"approvals\":true}}}}", "did you mean \"approval\"?"},
    {PROD "\"requires\":{\"staging\":true}}}}",
     "/environments/prod/requires/staging: must be string"},
    {PROD "\"requires\":{\"staging\":\"prod\"}}}}",
     "/environments/prod/requires/staging: must be another environment"},
    {PROD "\"requires\":{\"change\":true}}}}",
     "/environments/prod/requires/change: needs \"approval\""},
    {PROD "\"freeze\":[{\"from\":\"Fri 16:00\"}]}}}",
     "/environments/prod/freeze/0: \"to\" is missing"},
    {PROD "\"freeze\":[{\"from\":\"Friday 16:00\",\"to\":\"Mon 8:00\"}]}}}",
     "/environments/prod/freeze/0/from: does not match"},
    {PROD "\"freeze\":[{\"from\":\"Fri 16:00\",\"to\":\"Mon 24:01\"}]}}}",
     "/environments/prod/freeze/0/to: does not match"},
    {PROD "\"freeze\":[{\"from\":\"2026-12-23 18:00\",\"to\":\"2027-01-02T08:00\"}]}}}",
     "/environments/prod/freeze/0/from: does not match"},
    {PROD "\"freeze\":[{\"from\":\"Fri 16:00\",\"to\":\"2027-01-02T08:00\"}]}}}",
     "/environments/prod/freeze/0: \"from\" and \"to\" must be of one form"},
    {PROD "\"freeze\":[{\"from\":\"2027-01-02T08:00\",\"to\":\"2026-12-23T18:00\"}]}}}",
     "/environments/prod/freeze/0: \"to\" must be after \"from\""},
    {PROD "\"freeze\":[\n{\"from\":\"Fri 16:00\",\"to\":\"Mon 08:00\",\"timeZone\":\"Europe/"
          "Nowhere\"}]}}}",
     "line 2: /environments/prod/freeze/0: this host does not know the \"timeZone\""},
    {PROD "\"freeze\":[{\"from\":\"Fri 16:00\",\"to\":\"Mon 08:00\",\"timeZone\":\"../x\"}]}}}",
     "/environments/prod/freeze/0/timeZone: does not match"},
};

static void assert_text(const char *text, const char *expected)
{
    assert_string_equal(text ? text : "none", expected ? expected : "none");
}

static void tells_each_mistake(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
        _cleanup_error_ Error err = {0};
        AgentConfig *config = NULL;

        assert_int_equal(load(SCRATCH_FD, SCRATCH_PATH, mistakes[i].text, &config, &err), -EINVAL);
        assert_null(config);
        if (!strstr(error_text(&err), mistakes[i].expected) ||
            !strstr(error_text(&err), "agent.json' is not right:\n")) {
            fail_msg("%s: %s", mistakes[i].text, error_text(&err));
        }
    }
}

static void takes_keys_and_requirements(void **state)
{
    _cleanup_(agent_config_freep) AgentConfig *config = load_right(
        state,
        "{\"state\":\"/s\",\"keys\":{"
        "\"builder-1\":{\"publicKey\":\"" PEM "\",\"roles\":[\"builder\",\"tester\"]},"
        "\"controller\":{\"file\":\"/proc/self/status\",\"roles\":[\"approver\"]}},"
        "\"environments\":{\"prod\":{\"engine\":\"local\",\"requires\":{\"provenance\":true,"
        "\"tests\":true,\"staging\":\"staging\",\"approval\":true,\"change\":true},"
        "\"freeze\":[{\"from\":\"Fri 16:00\",\"to\":\"Mon 8:00\",\"timeZone\":\"Europe/Berlin\","
        "\"reason\":\"weekend\"},{\"from\":\"Sun 0:00\",\"to\":\"Sun 24:00\",\"timeZone\":\"UTC\"},"
        "{\"from\":\"2026-12-23T18:00\",\"to\":\"2027-01-02T08:00\"}]}}}");

    assert_int_equal(json_member_count(json_get(config->root, "keys")), 2);
}

static void takes_where_the_audit_log_goes(void **state)
{
    static const struct {
        const char *forward, *said; /* NULL: it is right */
    } rows[] = {
        {"{\"url\":\"https://c.example/x?a=b\",\"tokenFile\":\"/no/such\",\"ca\":\"/ca\","
         "\"certificate\":\"/c\",\"key\":\"/k\"}",
         NULL},
        {"{\"url\":\"http://127.0.0.1:80/x\"}", NULL},
        {"{\"url\":\"http://localhost:8080\"}", NULL},
        {"{\"url\":\"http://[::1]:80/\"}", NULL},
        {"{\"url\":\"http://c.example/x\"}", "/audit/forward/url: must be https"},
        {"{\"url\":\"http://localhost.example/x\"}", "/audit/forward/url: must be https"},
        {"{\"url\":\"https://u:p@c.example/x\"}", "/audit/forward/url: "},
        {"{\"url\":\"c.example\"}", "/audit/forward/url: "},
        {"{}", "/audit/forward"},
        {"{\"url\":\"https://c.example\",\"key\":\"/k\"}",
         "/audit/forward/key: needs \"certificate\""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(agent_config_freep) AgentConfig *config = NULL;
        _cleanup_error_ Error err = {0};
        char text[512];
        int r;

        (void)snprintf(text, sizeof(text), "{\"state\":\"/s\",\"audit\":{\"forward\":%s}}",
                       rows[i].forward);
        r = load(SCRATCH_FD, SCRATCH_PATH, text, &config, &err);
        if (r != (rows[i].said ? -EINVAL : 0) ||
            (rows[i].said && !strstr(error_text(&err), rows[i].said))) {
            fail_msg("%s: %d, %s", rows[i].forward, r, error_text(&err));
        }
        assert_true(r < 0 || json_get_string(config->forward, "url"));
    }
}

/* Production that says nothing requires everything, and then somebody has to be able to release. */
static void fills_in_what_production_requires(void **state)
{
    static const struct {
        const char *environments;
        const char *staging; /* of prod's requirements */
        const char *unreleasable;
    } rows[] = {
        {"\"staging\":{\"engine\":\"local\"},\"prod\":{\"engine\":\"local\"}", "staging", "prod"},
        {"\"prod\":{\"engine\":\"local\",\"requires\":{\"staging\":\"qa\"}}", "qa", NULL},
        {"\"prod\":{\"engine\":\"local\",\"requires\":{}}", NULL, NULL},
        {"\"production\":{\"engine\":\"local\"}", NULL, "production"},
        {"\"qa\":{\"engine\":\"local\"}", NULL, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(agent_config_freep) AgentConfig *config = NULL, *believing = NULL;
        _cleanup_free_ char *text = NULL, *with_key = NULL;
        const Json *prod;

        assert_true(
            asprintf(&text, "{\"state\":\"/s\",\"environments\":{%s}}", rows[i].environments) > 0);
        config = load_right(state, text);
        prod = json_get(json_get(config->root, "environments"), "prod");
        assert_text(json_get_string(json_get(prod, "requires"), "staging"), rows[i].staging);
        assert_text(agent_config_find_unreleasable(config), rows[i].unreleasable);
        assert_true(asprintf(&with_key,
                             "{\"state\":\"/s\",\"keys\":{\"c\":{\"file\":\"/proc/self/status\","
                             "\"roles\":[\"tester\",\"approver\"]}},\"environments\":{%s}}",
                             rows[i].environments) > 0);
        believing = load_right(state, with_key);
        assert_null(agent_config_find_unreleasable(believing));
    }
}

static void tells_all_mistakes_at_once(void **state)
{
    _cleanup_error_ Error err = {0};
    AgentConfig *config;

    assert_int_equal(load(SCRATCH_FD, SCRATCH_PATH,
                          "{\n"
                          "  \"slots\": 0,\n"
                          "  \"environments\": {\"prod\": {\"engine\": \"mesos\"}},\n"
                          "  \"actions\": {\"mine\": {}},\n"
                          "  \"secrets\": {\"T\": {\"file\": \"/t\", \"actions\": [\"yours\"]}}\n"
                          "}\n",
                          &config, &err),
                     -EINVAL);
    for (unsigned line = 2; line <= 5; line++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "\nline %u: ", line);
        assert_non_null(strstr(error_text(&err), text));
    }
}

static void needs_the_file_that_is_named(void **state)
{
    _cleanup_error_ Error err = {0};
    AgentConfig *config;

    assert_int_equal(agent_config_load("/nonexistent/agent.json", NULL, &config, &err), -ENOENT);
}

static void finds_the_state_directory(void **state)
{
    static const struct {
        const char *state, *xdg, *home;
        const char *given, *expected;
        bool is_for_root;
    } rows[] = {
        {"/env", "/xdg", "/home", NULL, "/env", true},
        {"/env", "/xdg", "/home", "/given", "/given", true},
        {NULL, "/xdg", "/home", NULL, "/xdg/slipway", false},
        {NULL, NULL, "/home", NULL, "/home/.local/state/slipway", false},
        {NULL, "relative", "/home", NULL, "/home/.local/state/slipway", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(agent_config_freep) AgentConfig *config = NULL;
        _cleanup_free_ char *path = NULL;

        scratch_write_text(SCRATCH_FD, "agent.json", "{}");
        assert_true(asprintf(&path, "%s/agent.json", SCRATCH_PATH) > 0);
        (void)(rows[i].state ? setenv("SLIPWAY_STATE", rows[i].state, 1)
                             : unsetenv("SLIPWAY_STATE"));
        (void)(rows[i].xdg ? setenv("XDG_STATE_HOME", rows[i].xdg, 1) : unsetenv("XDG_STATE_HOME"));
        (void)setenv("HOME", rows[i].home, 1);
        assert_int_equal(agent_config_load(path, rows[i].given, &config, NULL), 0);
        assert_string_equal(config->state_directory, rows[i].is_for_root || geteuid() != 0
                                                         ? rows[i].expected
                                                         : "/var/lib/slipway");
    }
    (void)setenv("SLIPWAY_STATE", "relative", 1);
    {
        _cleanup_error_ Error err = {0};
        AgentConfig *config;

        assert_int_equal(load(SCRATCH_FD, SCRATCH_PATH, "{}", &config, &err), -EINVAL);
        assert_non_null(strstr(error_text(&err), "not an absolute path"));
    }
    (void)unsetenv("SLIPWAY_STATE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(has_defaults),
        scratch_test(takes_what_is_set),
        scratch_test(tells_each_mistake),
        scratch_test(takes_keys_and_requirements),
        scratch_test(takes_where_the_audit_log_goes),
        scratch_test(fills_in_what_production_requires),
        scratch_test(tells_all_mistakes_at_once),
        scratch_test(needs_the_file_that_is_named),
        scratch_test(finds_the_state_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
