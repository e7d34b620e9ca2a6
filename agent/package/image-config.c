/* SPDX-License-Identifier: MIT */
#include "agent/package/image-config.h"

#include "protocol/base/clock.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int copy_member(const Json *from, const char *name, Json *to, const char *to_name)
{
    _cleanup_json_ Json *copy = NULL;
    int r;

    if (!json_get(from, name)) {
        return 0;
    }
    r = json_copy(json_get(from, name), &copy);
    return r == 0 ? json_set_take(to, to_name, TAKE_PTR(copy)) : r;
}

/* The member as it is in the base, to be added to; an empty one where it has none. */
static int copy_of_base(const Json *config, const char *name, bool is_array, Json **ret)
{
    const Json *base = json_get(config, name);

    if (base && json_type_of(base) == (is_array ? JSON_ARRAY : JSON_OBJECT)) {
        return json_copy(base, ret);
    }
    *ret = is_array ? json_new_array() : json_new_object();
    return *ret ? 0 : -ENOMEM;
}

/* ---- the program ------------------------------------------------------------------------------
 */

static int set_entrypoint_take(Json *config, Json *entrypoint)
{
    json_remove(config, "Cmd"); /* the base's, meant for its own */
    return json_set_take(config, "Entrypoint", entrypoint);
}

/* The program that the image is for: the one of the service's name, unless another is named. */
static int add_entrypoint(const ImageConfigRequest *request, Json *config)
{
    _cleanup_json_ Json *entrypoint = NULL;
    _cleanup_free_ char *path = NULL;
    int r;

    if (json_get(request->package, "entrypoint")) {
        r = json_copy(json_get(request->package, "entrypoint"), &entrypoint);
        return r == 0 ? set_entrypoint_take(config, TAKE_PTR(entrypoint)) : r;
    }
    if (!request->files) {
        return 0;
    }
    if (asprintf(&path, IMAGE_CONVENTION_TO "/%s", request->name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (!image_files_has_executable(request->files, path)) {
        if (!json_has(config, "Entrypoint") && !json_has(config, "Cmd")) {
            log_info("the image has no entrypoint: none is named, and there is no executable %s",
                     path);
        }
        return 0;
    }
    entrypoint = json_new_array();
    r = entrypoint ? json_append_string(entrypoint, path) : -ENOMEM;
    return r == 0 ? set_entrypoint_take(config, TAKE_PTR(entrypoint)) : r;
}

static int set_nanoseconds(Json *object, const char *name, const Json *seconds)
{
    return seconds ? json_set_int(object, name, (int64_t)(json_as_number(seconds, 0) * 1e9)) : 0;
}

/* Docker's own member, which is in no specification, but in every engine. */
static int add_health_check(const Json *check, Json *config)
{
    _cleanup_json_ Json *health = json_new_object(), *test = json_new_array();
    const Json *command = json_get(check, "command");
    int r = health && test ? 0 : -ENOMEM;

    if (!check) {
        return 0;
    }
    if (json_as_string(command)) {
        r = r == 0 ? json_append_string(test, "CMD-SHELL") : r;
        r = r == 0 ? json_append_string(test, json_as_string(command)) : r;
    } else {
        r = r == 0 ? json_append_string(test, "CMD") : r;
        for (size_t i = 0; r == 0 && i < json_length(command); i++) {
            r = json_append_string(test, json_as_string(json_at(command, i)));
        }
    }
    r = r == 0 ? json_set_take(health, "Test", TAKE_PTR(test)) : r;
    r = r == 0 ? set_nanoseconds(health, "Interval", json_get(check, "intervalSeconds")) : r;
    r = r == 0 ? set_nanoseconds(health, "Timeout", json_get(check, "timeoutSeconds")) : r;
    r = r == 0 ? set_nanoseconds(health, "StartPeriod", json_get(check, "startPeriodSeconds")) : r;
    r = r == 0 && json_has(check, "retries")
            ? json_set_int(health, "Retries", json_get_int(check, "retries", 0))
            : r;
    return r == 0 ? json_set_take(config, "Healthcheck", TAKE_PTR(health)) : r;
}

/* ---- what comes together ----------------------------------------------------------------------
 */

/* Whether an entry "NAME=value" is of a name that is set anew. */
static bool is_replaced(const char *entry, const Json *env)
{
    for (JsonMember m = {0}; json_next_member(env, &m);) {
        size_t n = strlen(m.name);

        if (entry && strncmp(entry, m.name, n) == 0 && entry[n] == '=') {
            return true;
        }
    }
    return false;
}

/* {"NAME": "value"} → ["NAME=value"], after those of the base. */
static int add_env(const Json *env, Json *config)
{
    const Json *base = json_get(config, "Env");
    _cleanup_json_ Json *list = json_new_array();
    int r = list ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < json_length(base); i++) {
        const char *entry = json_as_string(json_at(base, i));

        r = is_replaced(entry, env) ? 0 : json_append_string(list, entry);
    }
    for (JsonMember m = {0}; r == 0 && json_next_member(env, &m);) {
        _cleanup_free_ char *entry = NULL;

        if (asprintf(&entry, "%s=%s", m.name, json_as_string(m.value)) < 0) {
            entry = NULL;
            return -ENOMEM;
        }
        r = json_append_string(list, entry);
    }
    if (r < 0 || json_length(list) == 0) {
        return r;
    }
    return json_set_take(config, "Env", TAKE_PTR(list));
}

/* [8080] → {"8080/tcp": {}} */
static int add_ports(const Json *ports, Json *config)
{
    _cleanup_json_ Json *exposed = NULL;
    int r = copy_of_base(config, "ExposedPorts", false, &exposed);

    for (size_t i = 0; r == 0 && i < json_length(ports); i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "%lld/tcp",
                       (long long)json_as_int(json_at(ports, i), 0));
        r = json_set_take(exposed, name, json_new_object());
    }
    if (r < 0 || json_member_count(exposed) == 0) {
        return r;
    }
    return json_set_take(config, "ExposedPorts", TAKE_PTR(exposed));
}

/* What a base says of itself would be said of this image: its version, its title, its source. What
 * a Dockerfile says is meant of it. */
static int copy_base_labels(const ImageConfigRequest *request, const Json *config, Json *labels)
{
    int r = 0;

    for (JsonMember m = {0}; r == 0 && json_next_member(json_get(config, "Labels"), &m);) {
        if (!request->files || !text_has_prefix(m.name, IMAGE_LABEL)) {
            r = json_set_string(labels, m.name, json_as_string(m.value));
        }
    }
    return r;
}

static int add_labels(const ImageConfigRequest *request, Json *config)
{
    _cleanup_json_ Json *labels = json_new_object();
    char created[CLOCK_TEXT_SIZE];
    int r = labels ? copy_base_labels(request, config, labels) : -ENOMEM;

    r = r == 0 ? json_set_string(labels, IMAGE_LABEL "title", request->name) : r;
    r = r == 0 ? json_set_string(labels, IMAGE_LABEL "revision", request->commit) : r;
    r = r == 0 ? json_set_string(labels, IMAGE_LABEL "created",
                                 clock_format(request->committed_at * 1000000, created))
               : r;
    for (JsonMember m = {0};
         r == 0 && json_next_member(json_get(request->package, "labels"), &m);) {
        r = json_set_string(labels, m.name, json_as_string(m.value));
    }
    return r == 0 ? json_set_take(config, "Labels", TAKE_PTR(labels)) : r;
}

/* ---- all of it --------------------------------------------------------------------------------
 */

int image_config_new(const ImageConfigRequest *request, Json **ret)
{
    const Json *package = request->package;
    const Json *base = request->base ? request->base->config_json : NULL;
    _cleanup_json_ Json *config = NULL;
    int r = copy_of_base(base, "config", false, &config);

    r = r == 0 ? add_entrypoint(request, config) : r;
    r = r == 0 ? copy_member(package, "arguments", config, "Cmd") : r;
    r = r == 0 ? add_env(json_get(package, "env"), config) : r;
    r = r == 0 ? copy_member(package, "user", config, "User") : r;
    r = r == 0 ? add_ports(json_get(package, "ports"), config) : r;
    if (r == 0 && request->files && !json_get(package, "files")) {
        r = json_set_string(config, "WorkingDir", IMAGE_CONVENTION_TO);
    }
    r = r == 0 ? copy_member(package, "workingDirectory", config, "WorkingDir") : r;
    r = r == 0 ? add_health_check(json_get(package, "healthCheck"), config) : r;
    r = r == 0 ? copy_member(package, "stopSignal", config, "StopSignal") : r;
    r = r == 0 ? add_labels(request, config) : r;
    if (r == 0) {
        *ret = TAKE_PTR(config);
    }
    return r;
}
