/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/marathon/marathon-compare.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

#define OWN_PREFIX "slipway."

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; name && i < n; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}
#define IS_ONE_OF(name, names) is_one_of(name, names, ARRAY_SIZE(names))

static const char *const maps[] = {"env", "labels"};
static const char *const sets[] = {"healthChecks", "constraints", "dependencies",
                                   "acceptedResourceRoles"};
/* Of older versions: Marathon takes them and shows other members instead. */
static const char *const converted[] = {"uris",    "ports",        "ipAddress", "residency",
                                        "network", "portMappings", "credential"};
/* 0 asks for one that is free. */
static const char *const assigned[] = {"port", "servicePort", "ports"};

static bool is_empty(const Json *value)
{
    JsonType type = json_type_of(value);

    return type == JSON_NULL || (type == JSON_ARRAY && json_length(value) == 0) ||
           (type == JSON_OBJECT && json_member_count(value) == 0);
}

static bool is_number(const Json *value)
{
    JsonType type = json_type_of(value);

    return type == JSON_INTEGER || type == JSON_NUMBER;
}

/* ---- covering ---------------------------------------------------------------------------------
 */

static bool covers(const char *name, const Json *sent, const Json *running);

static bool covers_member(const char *name, const Json *sent, const Json *running)
{
    if (!running && IS_ONE_OF(name, converted)) {
        return true;
    }
    return covers(name, sent, running);
}

/* In a map that people fill every member counts, but for labels of ours. */
static bool has_more(const Json *sent, const Json *running)
{
    for (JsonMember m = {0}; json_next_member(running, &m);) {
        if (m.value && !json_has(sent, m.name) && !text_has_prefix(m.name, OWN_PREFIX)) {
            return true;
        }
    }
    return false;
}

static bool covers_object(const char *name, const Json *sent, const Json *running)
{
    for (JsonMember m = {0}; json_next_member(sent, &m);) {
        bool is_id = !name && strcmp(m.name, "id") == 0; /* sent as the path */

        if (!is_id && !covers_member(m.name, m.value, json_get(running, m.name))) {
            return false;
        }
    }
    for (size_t i = 0; !name && i < ARRAY_SIZE(maps); i++) {
        if (has_more(json_get(sent, maps[i]), json_get(running, maps[i]))) {
            return false;
        }
    }
    return true;
}

static bool covers_array(const char *name, const Json *sent, const Json *running)
{
    size_t n = json_length(sent);

    if (json_length(running) != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        size_t first = IS_ONE_OF(name, sets) ? 0 : i, last = IS_ONE_OF(name, sets) ? n : i + 1;
        bool is_there = false;

        for (size_t at = first; !is_there && at < last; at++) {
            is_there = covers(name, json_at(sent, i), json_at(running, at));
        }
        if (!is_there) {
            return false;
        }
    }
    return true;
}

static bool covers(const char *name, const Json *sent, const Json *running)
{
    JsonType type = json_type_of(sent);

    if (is_empty(sent) && is_empty(running)) {
        return true;
    }
    if (is_number(sent) && is_number(running)) {
        return json_as_number(sent, 0) == json_as_number(running, 0) ||
               (IS_ONE_OF(name, assigned) && json_as_int(sent, -1) == 0);
    }
    if (type != json_type_of(running)) {
        return false;
    }
    if (type == JSON_OBJECT) {
        return covers_object(name, sent, running);
    }
    return type == JSON_ARRAY ? covers_array(name, sent, running) : json_equal(sent, running);
}

bool marathon_compare_covers(const Json *sent, const Json *running)
{
    return covers(NULL, sent, running);
}

/* ---- reducing ---------------------------------------------------------------------------------
 */

/* From the API's own types (RAML); a name means one thing wherever it stands. */
static const struct {
    const char *name;
    const char *value; /* NULL: whatever it is, Marathon chose it */
} defaults[] = {
    {"acceptedResourceRoles", "[\"*\"]"},
    {"backoffFactor", "1.15"},
    {"backoffSeconds", "1"},
    {"cache", "false"},
    {"cpus", "1"},
    {"delaySeconds", "15"},
    {"disk", "0"},
    {"executable", "false"},
    {"executor", "\"\""},
    {"extract", "true"},
    {"forcePullImage", "false"},
    {"gpus", "0"},
    {"gracePeriodSeconds", "300"},
    {"hostPort", "0"},
    {"id", NULL},
    {"ignoreHttp1xx", "false"},
    {"instances", "1"},
    {"intervalSeconds", "60"},
    {"ipProtocol", "\"IPv4\""},
    {"killSelection", "\"YOUNGEST_FIRST\""},
    {"maxConsecutiveFailures", "3"},
    {"maxLaunchDelaySeconds", "300"},
    {"mem", "128"},
    {"networks", "[{\"mode\":\"host\"}]"},
    {"portDefinitions", NULL},
    {"ports", NULL},
    {"privileged", "false"},
    {"requirePorts", "false"},
    {"role", NULL},
    {"servicePort", NULL},
    {"timeoutSeconds", "20"},
    {"tty", "false"},
    {"unreachableStrategy", "{\"inactiveAfterSeconds\":0,\"expungeAfterSeconds\":0}"},
    {"upgradeStrategy", "{\"minimumHealthCapacity\":1,\"maximumOverCapacity\":1}"},
};

static int is_default(const char *name, const Json *value, bool *ret)
{
    _cleanup_json_ Json *known = NULL;
    int r = 0;

    *ret = is_empty(value) || text_has_prefix(name, OWN_PREFIX);
    for (size_t i = 0; r == 0 && !*ret && i < ARRAY_SIZE(defaults); i++) {
        if (strcmp(defaults[i].name, name) != 0) {
            continue;
        }
        if (defaults[i].value) {
            r = json_parse(defaults[i].value, strlen(defaults[i].value), &known, NULL);
        }
        *ret = !defaults[i].value || (r == 0 && covers(NULL, known, value));
    }
    return r;
}

static int reduce(const char *name, const Json *running, const Json *sent, Json **ret);

static int reduce_object(const Json *running, const Json *sent, Json **ret)
{
    _cleanup_json_ Json *object = json_new_object();
    int r = object ? 0 : -ENOMEM;

    for (JsonMember m = {0}; r == 0 && json_next_member(running, &m);) {
        const Json *wanted = json_get(sent, m.name);
        bool is_left_out = false;
        Json *value = NULL;

        r = json_has(sent, m.name) ? 0 : is_default(m.name, m.value, &is_left_out);
        if (r < 0 || is_left_out || !m.value) {
            continue;
        }
        r = reduce(m.name, m.value, wanted, &value);
        r = r < 0 ? r : json_set_take(object, m.name, value);
    }
    if (r == 0) {
        *ret = TAKE_PTR(object);
    }
    return r;
}

static int reduce_array(const char *name, const Json *running, const Json *sent, Json **ret)
{
    bool is_paired = json_length(running) == json_length(sent);
    _cleanup_json_ Json *array = json_new_array();
    int r = array ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < json_length(running); i++) {
        Json *value = NULL;

        r = reduce(name, json_at(running, i), is_paired ? json_at(sent, i) : NULL, &value);
        r = r < 0 ? r : value ? json_append_take(array, value) : json_append_null(array);
    }
    if (r == 0) {
        *ret = TAKE_PTR(array);
    }
    return r;
}

/* What covers it is written as it was sent, so that 1.0 is no change of 1. */
static int reduce(const char *name, const Json *running, const Json *sent, Json **ret)
{
    JsonType type = json_type_of(running);

    if (sent && type != JSON_OBJECT && covers(name, sent, running)) {
        return json_copy(sent, ret);
    }
    if (type == JSON_OBJECT) {
        return reduce_object(running, sent, ret);
    }
    return type == JSON_ARRAY ? reduce_array(name, running, sent, ret) : json_copy(running, ret);
}

int marathon_compare_reduce(const Json *running, const Json *sent, Json **ret)
{
    return reduce_object(running, sent, ret);
}
