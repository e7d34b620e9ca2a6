/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/specification.h"

#include "protocol/schema.h"
#include "protocol/validate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEMA_NAME "local-service"

/* What the engine itself says to a service; an image's own PORT is of no use here. */
static const char *const own_names[] = {
    "PORT",
    "SLIPWAY_APP",
    "SLIPWAY_DEPLOYMENT",
    "SLIPWAY_INSTANCE",
};

/* The schema's defaults, which editors show; the two are held together by a unit test. */
#define ADDRESS_DEFAULT "127.0.0.1"
#define HEALTH_PATH_DEFAULT "/health"
#define INSTANCES_DEFAULT 1
#define INTERVAL_SECONDS_DEFAULT 1
#define TIMEOUT_SECONDS_DEFAULT 1
#define DEADLINE_SECONDS_DEFAULT 30
#define STOP_GRACE_SECONDS_DEFAULT 5

/* Of this process's environment, what a service gets as it is. */
static const char *const inherited_names[] = {
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR",
};

static int64_t milliseconds(const Json *object, const char *name, double fallback_seconds)
{
    return (int64_t)(json_as_number(json_get(object, name), fallback_seconds) * 1000 + 0.5);
}

static const char *text_or(const Json *object, const char *name, const char *fallback)
{
    const char *text = json_get_string(object, name);

    return text ? text : fallback;
}

static bool is_address(const char *text)
{
    unsigned char address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

/* What a schema cannot say. */
static int check_meaning(const Specification *s, Error *err)
{
    const Json *command = json_get(s->json, "command");

    if (!*json_as_string(json_at(command, 0))) {
        return error_set(err, -EINVAL, "/command/0: names no program");
    }
    if (!is_address(s->address)) {
        return error_set(err, -EINVAL, "/address: '%s' is no IPv4 or IPv6 address", s->address);
    }
    return 0;
}

static int check(Json *json, const char *text, size_t n, Error *err)
{
    _cleanup_json_ Json *schema = NULL;
    int r = schema_load(SCHEMA_NAME, &schema, err);

    return r < 0 ? r : validate_value(schema, json, text, n, err);
}

static int from_json(Json *json, const char *text, size_t n, Specification **ret, Error *err)
{
    _cleanup_(specification_freep) Specification *s = NULL;
    const Json *health = json_get(json, "health");
    int r = check(json, text, n, err);

    if (r < 0) {
        return r;
    }
    s = calloc(1, sizeof(*s));
    if (!s) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *s = (Specification){
        .json = json_ref(json),
        .id = json_get_string(json, "id"),
        .root = json_get_string(json, "root"),
        .working_directory = text_or(json, "workingDirectory", text_or(json, "root", "/")),
        .address = text_or(json, "address", ADDRESS_DEFAULT),
        .port = (uint16_t)json_get_int(json, "port", 0),
        .instances = (size_t)json_get_int(json, "instances", INSTANCES_DEFAULT),
        .health_path = text_or(health, "path", HEALTH_PATH_DEFAULT),
        .health_interval_ms = milliseconds(health, "intervalSeconds", INTERVAL_SECONDS_DEFAULT),
        .health_timeout_ms = milliseconds(health, "timeoutSeconds", TIMEOUT_SECONDS_DEFAULT),
        .health_deadline_ms = milliseconds(health, "deadlineSeconds", DEADLINE_SECONDS_DEFAULT),
        .stop_grace_ms = milliseconds(json, "stopGraceSeconds", STOP_GRACE_SECONDS_DEFAULT),
    };
    r = check_meaning(s, err);
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(s);
    return 0;
}

int specification_parse(const char *text, size_t n, Specification **ret, Error *err)
{
    _cleanup_json_ Json *json = NULL;
    int r = json_parse(text, n, &json, err);

    return r < 0 ? r : from_json(json, text, n, ret, err);
}

int specification_from_json(Json *json, Specification **ret, Error *err)
{
    return from_json(json, NULL, 0, ret, err);
}

Specification *specification_free(Specification *s)
{
    if (s) {
        (void)json_unref(s->json);
        free(s);
    }
    return NULL;
}

bool specification_equal(const Specification *a, const Specification *b)
{
    return json_equal(a->json, b->json);
}

/* ---- as it is on this host --------------------------------------------------------------------
 */

/* A copy of `path`, below root when it is absolute and exists there. NULL: out of memory. */
static char *resolve(const Specification *s, const char *path)
{
    char *below = NULL;

    if (!s->root || path[0] != '/') {
        return strdup(path);
    }
    if (asprintf(&below, "%s%s", s->root, path) < 0) {
        return NULL;
    }
    if (faccessat(AT_FDCWD, below, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        return below;
    }
    free(below);
    return strdup(path);
}

char **specification_command_free(char **command)
{
    for (size_t i = 0; command && command[i]; i++) {
        free(command[i]);
    }
    free(command);
    return NULL;
}

int specification_command(const Specification *s, char ***ret_command, char **ret_directory,
                          Error *err)
{
    const Json *words = json_get(s->json, "command");
    _cleanup_(specification_command_freep) char **command = NULL;
    _cleanup_free_ char *directory = NULL;
    struct stat st;

    /* Without this, "/app/x" of a root that is gone would be somebody else's /app/x. */
    if (s->root && (stat(s->root, &st) < 0 || !S_ISDIR(st.st_mode))) {
        return error_set(err, -ENOENT, "the root '%s' is no directory", s->root);
    }
    command = calloc(json_length(words) + 1, sizeof(*command));
    for (size_t i = 0; command && i < json_length(words); i++) {
        command[i] = resolve(s, json_as_string(json_at(words, i)));
        if (!command[i]) {
            return error_set(err, -ENOMEM, "out of memory");
        }
    }
    /* The root itself is where it is, not below itself. */
    directory = s->root && strcmp(s->working_directory, s->root) == 0
                    ? strdup(s->root)
                    : resolve(s, s->working_directory);
    if (!command || !directory) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret_command = TAKE_PTR(command);
    *ret_directory = TAKE_PTR(directory);
    return 0;
}

static bool is_own_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(own_names); i++) {
        if (strcmp(own_names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static int append_entry(Buffer *out, const char *name, const char *value)
{
    int r = buffer_append_format(out, "%s=%s", name, value);

    return r < 0 ? r : buffer_append(out, "", 1);
}

int specification_environment(const Specification *s, const char *deployment, const char *instance,
                              uint16_t port, Buffer *out)
{
    const Json *env = json_get(s->json, "env");
    char number[8];
    int r = 0;

    (void)snprintf(number, sizeof(number), "%u", port);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(inherited_names); i++) {
        const char *value = getenv(inherited_names[i]);

        if (value && !json_has(env, inherited_names[i])) {
            r = append_entry(out, inherited_names[i], value);
        }
    }
    for (JsonMember m = {0}; r == 0 && json_next_member(env, &m);) {
        if (!is_own_name(m.name)) {
            r = append_entry(out, m.name, json_as_string(m.value));
        }
    }
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(own_names); i++) {
        const char *const values[ARRAY_SIZE(own_names)] = {number, s->id, deployment, instance};

        r = append_entry(out, own_names[i], values[i]);
    }
    return r;
}

char *specification_url(const Specification *s)
{
    bool is_v6 = strchr(s->address, ':') != NULL;
    char *url = NULL;

    return asprintf(&url, "http://%s%s%s:%u", is_v6 ? "[" : "", s->address, is_v6 ? "]" : "",
                    s->port) < 0
               ? NULL
               : url;
}
