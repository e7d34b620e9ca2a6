/* SPDX-License-Identifier: MIT */
#include "agent/calls/agent-config.h"

#include "agent/calls/actions.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"
#include "protocol/schema.h"
#include "protocol/validate.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PATH "/etc/slipway/agent.json"
#define SYSTEM_STATE "/var/lib/slipway"
#define CONFIG_SIZE_MAX ((size_t)4 << 20)

#define ZONES "/usr/share/zoneinfo/"
#define TIME_ZONE_MAX 64

#define DEFAULT_TIMEOUT_MS ((int64_t)3600 * 1000)
#define DEFAULT_SILENCE_TIMEOUT_MS ((int64_t)600 * 1000)
#define DEFAULT_GRACE_MS ((int64_t)10 * 1000)
#define DEFAULT_KEEP_DAYS 30
#define DEFAULT_KEEP_CALLS 1000
#define DEFAULT_DISK_FREE_PERCENT 5

/* ---- what the schema cannot say ---------------------------------------------------------------
 */

typedef struct Check {
    const Buffer *text;
    Buffer mistakes;
    int problem; /* -ENOMEM */
} Check;

static int append_pointer(Buffer *pointer, const char *const *tokens)
{
    int r = 0;

    for (; r == 0 && *tokens; tokens++) {
        r = json_pointer_append(pointer, *tokens);
    }
    return r;
}

/* `tokens` is the way to the value, NULL-terminated. */
static void mistake(Check *c, const char *const *tokens, const char *format, ...) _printf_(3, 4);
static void mistake(Check *c, const char *const *tokens, const char *format, ...)
{
    _cleanup_buffer_ Buffer pointer = {0};
    _cleanup_free_ char *text = NULL;
    unsigned line, column;
    va_list ap;
    int r;

    va_start(ap, format);
    r = vasprintf(&text, format, ap) < 0 ? -ENOMEM : 0;
    va_end(ap);
    if (r < 0) {
        text = NULL;
    }
    r = r == 0 ? append_pointer(&pointer, tokens) : r;
    if (r == 0) {
        json_locate(buffer_text(c->text), c->text->len, buffer_text(&pointer), &line, &column);
        r = buffer_append_format(&c->mistakes, "%sline %u: %s: %s", c->mistakes.len ? "\n" : "",
                                 line, buffer_text(&pointer), text);
    }
    c->problem = r < 0 ? r : c->problem;
}

#define WAY_MAX 4
#define WAY(...) ((const char *const[WAY_MAX + 1]){__VA_ARGS__, NULL})

/* The agent's own facts about a call cannot be overwritten. `way` leads to the variables. */
static void check_variable_names(Check *c, const Json *variables, const char *const *way)
{
    for (JsonMember m = {0}; json_next_member(variables, &m);) {
        const char *full[WAY_MAX + 2] = {0};
        size_t n = 0;

        if (!text_has_prefix(m.name, "SLIPWAY_")) {
            continue;
        }
        for (; way[n] && n < WAY_MAX; n++) {
            full[n] = way[n];
        }
        full[n] = m.name;
        mistake(c, full, "names that begin with SLIPWAY_ are the agent's own");
    }
}

/* A keyword that we do not check must not look as if it were. */
static void check_schema(Check *c, const Json *action, const char *name, const char *member)
{
    const Json *schema = json_get(action, member);
    _cleanup_error_ Error problem = {0};
    _cleanup_json_ Json *probe = json_new_object();

    if (schema && validate_value(schema, probe, NULL, 0, &problem) == -ENOTSUP) {
        mistake(c, WAY("actions", name, member),
                "uses a keyword of JSON Schema that Slipway does not check");
    }
}

static void check_action(Check *c, const Json *root, const char *name, const Json *action)
{
    const Json *environments = json_get(root, "environments");
    const char *program = json_as_string(json_at(json_get(action, "command"), 0));
    const char *environment = json_get_string(action, "environment");

    if (!json_has(action, "command") && !actions_is_built_in(name, environments)) {
        mistake(c, WAY("actions", name),
                "\"command\" is missing, and there is no built-in action of that name");
    }
    if (program && *program != '/') {
        mistake(c, WAY("actions", name, "command", "0"), "must be an absolute path");
    }
    if (environment && !json_has(environments, environment)) {
        mistake(c, WAY("actions", name, "environment"), "there is no environment '%s'",
                environment);
    }
    check_variable_names(c, json_get(action, "env"), WAY("actions", name, "env"));
    check_schema(c, action, name, "parameters");
    check_schema(c, action, name, "outputs");
}

static void check_secret(Check *c, const Json *root, const char *name, const Json *secret)
{
    const Json *actions = json_get(secret, "actions");

    for (size_t i = 0; i < json_length(actions); i++) {
        const char *action = json_as_string(json_at(actions, i));
        char index[24];

        (void)snprintf(index, sizeof(index), "%zu", i);
        if (action && !json_has(json_get(root, "actions"), action) &&
            !actions_is_built_in(action, json_get(root, "environments"))) {
            mistake(c, WAY("secrets", name, "actions", index), "there is no action '%s'", action);
        }
    }
}

/* As agent/release/freeze.c reads it; said here, so that nobody learns of it on the day it matters.
 */
static const char *find_window_mistake(const Json *window)
{
    const char *from = json_get_string(window, "from"), *to = json_get_string(window, "to");
    const char *zone = json_get_string(window, "timeZone");
    char path[sizeof(ZONES) + TIME_ZONE_MAX];

    if (!from || !to || !*from || !*to) {
        return NULL; /* the schema says it */
    }
    if (!isdigit((unsigned char)*from) != !isdigit((unsigned char)*to)) {
        return "\"from\" and \"to\" must be of one form: both every week, or both once";
    }
    if (strcmp(from, to) == 0 || (isdigit((unsigned char)*from) && strcmp(from, to) > 0)) {
        return "\"to\" must be after \"from\"";
    }
    if (!zone || strcmp(zone, "UTC") == 0) {
        return NULL;
    }
    (void)snprintf(path, sizeof(path), ZONES "%s", zone);
    return file_exists(AT_FDCWD, path) ? NULL
                                       : "this host does not know the \"timeZone\"; it needs an "
                                         "IANA name such as Europe/Berlin, and the package tzdata";
}

/* How the engine is reached; a file that is not there is told now, and not by the first deploy. */
static void check_access(Check *c, const char *name, const Json *environment)
{
    static const char *const files[] = {"credentialsFile", "registryCredentialsFile",
                                        "caFile",          "certificateFile",
                                        "keyFile",         "sshConfig"};

    if (json_has(environment, "address") && json_has(environment, "addresses")) {
        mistake(c, WAY("environments", name, "addresses"),
                "takes the place of \"address\"; only one of the two can be given");
    }
    if (json_has(environment, "keyFile") && !json_has(environment, "certificateFile")) {
        mistake(c, WAY("environments", name, "keyFile"), "needs \"certificateFile\"");
    }
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        const char *file = json_get_string(environment, files[i]);
        _cleanup_fd_ int fd = -1;

        if (file && *file == '/') {
            fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
            if (fd < 0) {
                mistake(c, WAY("environments", name, files[i]), "'%s' cannot be read: %s", file,
                        strerror(errno));
            }
        }
    }
}

/* Hosts are of the ssh engine, and of no other. */
static void check_hosts(Check *c, const char *name, const Json *environment)
{
    static const char *const members[] = {"hosts", "sshConfig"};
    static const char *const others[] = {"address", "addresses", "credentialsFile"};
    const char *engine = json_get_string(environment, "engine");
    bool is_ssh = engine && strcmp(engine, "ssh") == 0;

    if (is_ssh && !json_has(environment, "hosts")) {
        mistake(c, WAY("environments", name), "needs \"hosts\" for the engine 'ssh'");
    }
    for (size_t i = 0; !is_ssh && i < ARRAY_SIZE(members); i++) {
        if (json_has(environment, members[i])) {
            mistake(c, WAY("environments", name, members[i]), "is for the engine 'ssh' alone");
        }
    }
    for (size_t i = 0; is_ssh && i < ARRAY_SIZE(others); i++) {
        if (json_has(environment, others[i])) {
            mistake(c, WAY("environments", name, others[i]),
                    "has no meaning for the engine 'ssh', which takes \"hosts\", and keys as "
                    "ssh_config says");
        }
    }
}

static void check_environment(Check *c, const char *name, const Json *environment)
{
    const Json *requires = json_get(environment, "requires");
    const Json *windows = json_get(environment, "freeze");
    const char *staging = json_get_string(requires, "staging");

    check_access(c, name, environment);
    check_hosts(c, name, environment);
    if (staging && strcmp(staging, name) == 0) {
        mistake(c, WAY("environments", name, "requires", "staging"),
                "must be another environment than this one");
    }
    if (json_get_bool(requires, "change", false) && !json_get_bool(requires, "approval", false)) {
        mistake(c, WAY("environments", name, "requires", "change"),
                "needs \"approval\", which is what names the change");
    }
    for (size_t i = 0; i < json_length(windows); i++) {
        const char *problem = find_window_mistake(json_at(windows, i));
        char index[24];

        (void)snprintf(index, sizeof(index), "%zu", i);
        if (problem) {
            mistake(c, WAY("environments", name, "freeze", index), "%s", problem);
        }
    }
}

/* Whether a text is a key is found by who uses it: there is no libcrypto in here. */
static void check_key(Check *c, const char *name, const Json *key)
{
    const char *file = json_get_string(key, "file");
    _cleanup_fd_ int fd = -1;

    if (!json_has(key, "publicKey") == !json_has(key, "file")) {
        mistake(c, WAY("keys", name), "needs either \"publicKey\", a PEM text, or \"file\"");
    } else if (file && *file == '/') {
        fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0) {
            mistake(c, WAY("keys", name, "file"), "'%s' cannot be read: %s", file, strerror(errno));
        }
    }
}

/* ${name} is all that can stand in an address: one repository for each application. */
static void check_publish(Check *c, const char *kind, const Json *publish)
{
    const char *target = json_get_string(publish, "target");

    for (const char *mark = target ? strstr(target, "${") : NULL; mark;
         mark = strstr(mark + 1, "${")) {
        if (!text_has_prefix(mark, "${name}")) {
            mistake(c, WAY("publish", kind, "target"),
                    "'%.*s' is unknown: only ${name} has a meaning here",
                    (int)(strcspn(mark, "}") + 1), mark);
        }
    }
}

/* Near enough to say it early; agent/http/http-url.c has the last word. */
static bool is_own_machine(const char *host)
{
    size_t n = strcspn(host, "/?#");

    return text_has_prefix(host, "127.") || text_has_prefix(host, "[::1]") ||
           (text_has_prefix(host, "localhost") && (n == 9 || host[9] == ':'));
}

/* Files that cannot be read are for the program that needs them: no agent should stay away for
 * that.
 */
static void check_forward(Check *c, const Json *forward)
{
    const char *url = json_get_string(forward, "url");

    if (url && text_has_prefix(url, "http://") && !is_own_machine(url + strlen("http://"))) {
        mistake(c, WAY("audit", "forward", "url"),
                "must be https; plain http is for this machine itself");
    }
    if (json_has(forward, "key") && !json_has(forward, "certificate")) {
        mistake(c, WAY("audit", "forward", "key"), "needs \"certificate\", whose key it is");
    }
}

static void check_references(Check *c, const Json *root)
{
    check_forward(c, json_pointer(root, "/audit/forward"));
    for (JsonMember m = {0}; json_next_member(json_get(root, "environments"), &m);) {
        check_environment(c, m.name, m.value);
    }
    for (JsonMember m = {0}; json_next_member(json_get(root, "keys"), &m);) {
        check_key(c, m.name, m.value);
    }
    for (JsonMember m = {0}; json_next_member(json_get(root, "actions"), &m);) {
        check_action(c, root, m.name, m.value);
    }
    for (JsonMember m = {0}; json_next_member(json_get(root, "secrets"), &m);) {
        check_secret(c, root, m.name, m.value);
    }
    for (JsonMember m = {0}; json_next_member(json_get(root, "publish"), &m);) {
        check_publish(c, m.name, m.value);
    }
    check_variable_names(c, json_get(root, "secrets"), WAY("secrets"));
}

/* Schema and references, so that one reading tells all that is wrong. */
static int check_root(const Json *root, const Buffer *text, Error *err)
{
    _cleanup_json_ Json *schema = NULL;
    _cleanup_error_ Error problem = {0};
    Check c = {.text = text};
    int r = schema_load("agent", &schema, err);

    if (r < 0) {
        return r;
    }
    r = validate_value(schema, root, buffer_text(text), text->len, &problem);
    if (r < 0 && r != -EINVAL) {
        return error_set(err, r, "%s", error_text(&problem));
    }
    check_references(&c, root);
    if (c.problem) {
        r = error_set(err, c.problem, "out of memory");
    } else if (r < 0 || c.mistakes.len > 0) {
        r = error_set(err, -EINVAL, "%s%s%s", r < 0 ? error_text(&problem) : "",
                      r < 0 && c.mistakes.len > 0 ? "\n" : "", buffer_text(&c.mistakes));
    }
    buffer_done(&c.mistakes);
    return r;
}

static int load_root(const char *path, Json **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(CONFIG_SIZE_MAX);
    _cleanup_json_ Json *root = NULL;
    int r;

    if (!path && !file_exists(AT_FDCWD, DEFAULT_PATH)) {
        *ret = json_new_object();
        return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
    }
    path = path ? path : DEFAULT_PATH;
    r = file_read(AT_FDCWD, path, &text, err);
    if (r < 0) {
        return r;
    }
    r = json_parse(buffer_text(&text), text.len, &root, err);
    r = r == 0 ? check_root(root, &text, err) : r;
    if (r < 0) {
        return error_set(err, r, "'%s' is not right:\n%s", path,
                         err ? error_text(err) : "see its mistakes");
    }
    *ret = TAKE_PTR(root);
    return 0;
}

/* ---- values and their defaults ----------------------------------------------------------------
 */

static bool is_production(const char *environment)
{
    return strcmp(environment, "prod") == 0 || strcmp(environment, "production") == 0;
}

/* Production that says nothing about it requires all there is: who forgets a line is stopped, not
 * surprised. `"requires": {}` is a word, too. */
static int set_requirements(Json *environments)
{
    static const char all[] = "{\"provenance\":true,\"tests\":true,\"staging\":\"staging\","
                              "\"approval\":true,\"change\":true}";

    for (JsonMember m = {0}; json_next_member(environments, &m);) {
        Json *requires = NULL;
        int r = 0;

        if (is_production(m.name) && !json_has(m.value, "requires")) {
            r = json_parse(all, sizeof(all) - 1, &requires, NULL);
            r = r < 0 ? r : json_set_take(m.value, "requires", requires);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int copy_text(const char *text, char **ret)
{
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? -ENOMEM : 0;
}

static int copy_list(const Json *list, char ***ret)
{
    size_t n = json_length(list);

    *ret = calloc(n + 1, sizeof(**ret));
    for (size_t i = 0; *ret && i < n; i++) {
        (*ret)[i] = strdup(json_as_string(json_at(list, i)));
        if (!(*ret)[i]) {
            return -ENOMEM;
        }
    }
    return *ret ? 0 : -ENOMEM;
}

static int64_t get_ms(const Json *object, const char *name, int64_t fallback)
{
    const Json *seconds = json_get(object, name);

    return seconds ? (int64_t)(json_as_number(seconds, 0) * 1000) : fallback;
}

static int set_name(AgentConfig *config)
{
    char host[256] = "localhost";
    const char *name = json_get_string(config->root, "name");

    if (!name && gethostname(host, sizeof(host) - 1) == 0) {
        host[sizeof(host) - 1] = '\0';
    }
    return copy_text(name ? name : host, &config->name);
}

/* As plugin/include/slipway.h tells the other side. */
static int set_state_directory(AgentConfig *config, const char *given, Error *err)
{
    const char *state = getenv("SLIPWAY_STATE"), *home = getenv("HOME");
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *configured = json_get_string(config->root, "state");
    int r = 0;

    if (given || configured) {
        r = copy_text(given ? given : configured, &config->state_directory);
    } else if (state && *state) {
        r = copy_text(state, &config->state_directory);
    } else if (geteuid() == 0) {
        r = copy_text(SYSTEM_STATE, &config->state_directory);
    } else if (xdg && *xdg == '/') {
        r = asprintf(&config->state_directory, "%s/slipway", xdg);
    } else if (home && *home == '/') {
        r = asprintf(&config->state_directory, "%s/.local/state/slipway", home);
    } else {
        return error_set(err, -EINVAL,
                         "there is no place for the state: set \"state\" in "
                         "agent.json, $SLIPWAY_STATE or $HOME");
    }
    if (r < 0) {
        config->state_directory = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (config->state_directory[0] != '/') {
        return error_set(err, -EINVAL, "the state directory '%s' is not an absolute path",
                         config->state_directory);
    }
    return 0;
}

static unsigned count_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static void set_numbers(AgentConfig *config)
{
    const Json *limits = json_get(config->root, "limits"), *keep = json_get(config->root, "keep");

    config->slots = (unsigned)json_get_int(config->root, "slots", count_processors());
    config->timeout_ms = get_ms(limits, "timeoutSeconds", DEFAULT_TIMEOUT_MS);
    config->silence_timeout_ms =
        get_ms(limits, "silenceTimeoutSeconds", DEFAULT_SILENCE_TIMEOUT_MS);
    config->grace_ms = get_ms(limits, "graceSeconds", DEFAULT_GRACE_MS);
    config->keep_days = (unsigned)json_get_int(keep, "days", DEFAULT_KEEP_DAYS);
    config->keep_calls = (unsigned)json_get_int(keep, "calls", DEFAULT_KEEP_CALLS);
    config->disk_free_percent =
        (unsigned)json_get_int(keep, "diskFreePercent", DEFAULT_DISK_FREE_PERCENT);
}

static int set_secrets(AgentConfig *config)
{
    const Json *secrets = json_get(config->root, "secrets");
    int r = 0;

    config->secrets = calloc(json_member_count(secrets) + 1, sizeof(*config->secrets));
    if (!config->secrets) {
        return -ENOMEM;
    }
    for (JsonMember m = {0}; r == 0 && json_next_member(secrets, &m);) {
        SecretConfig *secret = &config->secrets[config->n_secrets++];

        r = copy_text(m.name, &secret->name);
        r = r == 0 ? copy_text(json_get_string(m.value, "file"), &secret->file) : r;
        r = r == 0 ? copy_list(json_get(m.value, "actions"), &secret->actions) : r;
    }
    return r;
}

static int fill(AgentConfig *config)
{
    const char *libexec = json_get_string(config->root, "libexec");
    const Json *allow = json_get(config->root, "allow");
    int r = set_name(config);

    set_numbers(config);
    if (json_has(config->root, "confine")) {
        config->confine =
            json_get_bool(config->root, "confine", true) ? CONFINE_ALWAYS : CONFINE_NEVER;
    }
    r = r == 0 ? copy_text(libexec ? libexec : SLIPWAY_LIBEXEC, &config->libexec_directory) : r;
    config->forward = json_pointer(config->root, "/audit/forward");
    r = r == 0 ? copy_list(json_get(allow, "users"), &config->allowed_users) : r;
    r = r == 0 ? copy_list(json_get(allow, "groups"), &config->allowed_groups) : r;
    r = r == 0 ? set_secrets(config) : r;
    r = r == 0 ? set_requirements(json_get(config->root, "environments")) : r;
    return r == 0 ? actions_build(config) : r;
}

int agent_config_load(const char *path, const char *state_directory, AgentConfig **ret, Error *err)
{
    _cleanup_(agent_config_freep) AgentConfig *config = calloc(1, sizeof(*config));
    int r;

    if (!config) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = load_root(path, &config->root, err);
    r = r == 0 ? set_state_directory(config, state_directory, err) : r;
    if (r < 0) {
        return r;
    }
    r = fill(config);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    *ret = TAKE_PTR(config);
    return 0;
}

static bool has_role(const Json *keys, const char *role)
{
    for (JsonMember m = {0}; json_next_member(keys, &m);) {
        const Json *roles = json_get(m.value, "roles");

        for (size_t i = 0; i < json_length(roles); i++) {
            const char *name = json_as_string(json_at(roles, i));

            if (name && strcmp(name, role) == 0) {
                return true;
            }
        }
    }
    return false;
}

const char *agent_config_find_unreleasable(const AgentConfig *config)
{
    if (has_role(json_get(config->root, "keys"), "approver")) {
        return NULL;
    }
    for (JsonMember m = {0}; json_next_member(json_get(config->root, "environments"), &m);) {
        if (json_get_bool(json_get(m.value, "requires"), "approval", false)) {
            return m.name;
        }
    }
    return NULL;
}

static void free_list(char **list)
{
    for (char **item = list; item && *item; item++) {
        free(*item);
    }
    free(list);
}

AgentConfig *agent_config_free(AgentConfig *config)
{
    if (!config) {
        return NULL;
    }
    for (size_t i = 0; i < config->n_actions; i++) {
        action_config_done(&config->actions[i]);
    }
    for (size_t i = 0; i < config->n_secrets; i++) {
        free(config->secrets[i].name);
        free(config->secrets[i].file);
        free_list(config->secrets[i].actions);
    }
    free(config->actions);
    free(config->secrets);
    free_list(config->allowed_users);
    free_list(config->allowed_groups);
    free(config->name);
    free(config->state_directory);
    free(config->libexec_directory);
    (void)json_unref(config->root);
    free(config);
    return NULL;
}

const ActionConfig *agent_config_find_action(const AgentConfig *config, const char *name)
{
    for (size_t i = 0; i < config->n_actions; i++) {
        if (strcmp(config->actions[i].name, name) == 0) {
            return &config->actions[i];
        }
    }
    return NULL;
}
