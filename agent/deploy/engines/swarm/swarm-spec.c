/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/swarm/swarm-spec.h"

#include "protocol/schema.h"
#include "protocol/validate.h"

#include <errno.h>
#include <string.h>

#define SCHEMA_NAME "swarm-service"

#define NANOSECONDS_PER_MS 1000000

/* ---- what may be in one -----------------------------------------------------------------------
 */

int swarm_spec_check(const Json *spec, Error *err)
{
    _cleanup_json_ Json *schema = NULL;
    int r = schema_load(SCHEMA_NAME, &schema, err);

    return r < 0 ? r : validate_value(schema, spec, NULL, 0, err);
}

int64_t swarm_spec_monitor_ms(const Json *spec)
{
    int64_t monitor = json_get_int(json_get(spec, "UpdateConfig"), "Monitor", 0);

    return monitor > 0 ? monitor / NANOSECONDS_PER_MS : SWARM_MONITOR_MS_DEFAULT;
}

bool swarm_spec_has_health_check(const Json *spec)
{
    const Json *test = json_pointer(spec, "/TaskTemplate/ContainerSpec/Healthcheck/Test");
    const char *kind = json_as_string(json_at(test, 0));

    return kind && strcmp(kind, "NONE") != 0;
}

/* ---- labels -----------------------------------------------------------------------------------
 */

/* The object, made where it is absent. NULL: out of memory. */
static Json *object_in(Json *parent, const char *name)
{
    if (json_type_of(json_get(parent, name)) != JSON_OBJECT &&
        json_set_take(parent, name, json_new_object()) < 0) {
        return NULL;
    }
    return json_get(parent, name);
}

static Json *container_labels(Json *spec)
{
    return object_in(object_in(object_in(spec, "TaskTemplate"), "ContainerSpec"), "Labels");
}

int swarm_spec_add_labels(Json *spec, const EngineLabels *wanted)
{
    Json *const places[] = {object_in(spec, "Labels"), container_labels(spec)};
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(places); i++) {
        r = places[i] ? 0 : -ENOMEM;
        r = r < 0 ? r : json_set_string(places[i], ENGINE_LABEL_DIGEST, wanted->digest);
        r = r < 0 ? r : json_set_string(places[i], ENGINE_LABEL_COMMIT, wanted->commit);
        r = r < 0 ? r : json_set_string(places[i], ENGINE_LABEL_VERSION, wanted->version);
    }
    return r;
}

int swarm_spec_set_deployment(Json *spec, const char *deployment, const char *replaces)
{
    Json *labels = object_in(spec, "Labels"), *of_containers = container_labels(spec);
    int r;

    if (!labels || !of_containers) {
        return -ENOMEM;
    }
    json_remove(labels, SWARM_LABEL_CANCELLED);
    json_remove(labels, SWARM_LABEL_REPLACES);
    r = json_set_string(labels, ENGINE_LABEL_DEPLOYMENT, deployment);
    r = r < 0 ? r : json_set_string(labels, SWARM_LABEL_REPLACES, replaces);
    return r < 0 ? r : json_set_string(of_containers, ENGINE_LABEL_DEPLOYMENT, deployment);
}

const char *swarm_spec_label(const Json *spec, const char *name)
{
    return json_get_string(json_get(spec, "Labels"), name);
}

const char *swarm_spec_deployment(const Json *spec)
{
    return swarm_spec_label(spec, ENGINE_LABEL_DEPLOYMENT);
}

/* ---- comparing --------------------------------------------------------------------------------
 */

/* What docker fills in where nothing was said. Nothing and an empty list or object are the same to
 * it, as are nothing and most zeros. */
static const struct {
    const char *name;
    const char *value;
} text_defaults[] = {
    {"Isolation", "default"},   {"Runtime", "container"}, {"Mode", "vip"},
    {"FailureAction", "pause"}, {"Order", "stop-first"},  {"PublishMode", "ingress"},
    {"Protocol", "tcp"},        {"Condition", "any"},
};

/* Zero and false say something else than nothing here. */
static const char *const meaningful_zeros[] = {"Replicas", "Init", "Delay", "StopGracePeriod"};

static bool is_default_text(const char *name, const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(text_defaults); i++) {
        if (strcmp(text_defaults[i].name, name) == 0) {
            return strcmp(text_defaults[i].value, text) == 0;
        }
    }
    return *text == '\0';
}

static bool is_default_zero(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(meaningful_zeros); i++) {
        if (strcmp(meaningful_zeros[i], name) == 0) {
            return false;
        }
    }
    return true;
}

static bool is_all_default(const Json *object);

static bool is_default(const char *name, const Json *value)
{
    switch (json_type_of(value)) {
    case JSON_NULL:
        return true;
    case JSON_STRING:
        return is_default_text(name, json_as_string(value));
    case JSON_ARRAY:
        return json_length(value) == 0;
    case JSON_OBJECT:
        return is_all_default(value);
    default:
        return json_as_number(value, json_as_bool(value, false) ? 1 : 0) == 0 &&
               is_default_zero(name);
    }
}

static bool is_all_default(const Json *object)
{
    JsonMember m = {0};

    while (json_next_member(object, &m)) {
        if (!is_default(m.name, m.value)) {
            return false;
        }
    }
    return true;
}

static int prune(const Json *of, const Json *against, Json **ret);

static int prune_object(const Json *of, const Json *against, Json **ret)
{
    _cleanup_json_ Json *copy = json_new_object();
    JsonMember m = {0};

    if (!copy) {
        return -ENOMEM;
    }
    while (json_next_member(of, &m)) {
        Json *value = NULL;
        int r;

        if (!json_has(against, m.name) && is_default(m.name, m.value)) {
            continue;
        }
        r = prune(m.value, json_get(against, m.name), &value);
        r = r < 0 ? r : value ? json_set_take(copy, m.name, value) : json_set_null(copy, m.name);
        if (r < 0) {
            return r;
        }
    }
    *ret = TAKE_PTR(copy);
    return 0;
}

static int prune_array(const Json *of, const Json *against, Json **ret)
{
    _cleanup_json_ Json *copy = json_new_array();

    if (!copy) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < json_length(of); i++) {
        Json *value = NULL;
        int r = prune(json_at(of, i), json_at(against, i), &value);

        r = r < 0 ? r : value ? json_append_take(copy, value) : json_append_null(copy);
        if (r < 0) {
            return r;
        }
    }
    *ret = TAKE_PTR(copy);
    return 0;
}

/* 1.0 comes back as 1. */
static int copy_number(double value, Json **ret)
{
    bool is_whole = value >= -INT32_MAX && value <= INT32_MAX && (double)(int64_t)value == value;

    *ret = is_whole ? json_new_int((int64_t)value) : json_new_number(value);
    return *ret ? 0 : -ENOMEM;
}

/* A copy of `of` without members that are docker's defaults and that `against` has not. */
static int prune(const Json *of, const Json *against, Json **ret)
{
    switch (json_type_of(of)) {
    case JSON_NUMBER:
        return copy_number(json_as_number(of, 0), ret);
    case JSON_OBJECT:
        return prune_object(of, against, ret);
    case JSON_ARRAY:
        return prune_array(of, against, ret);
    default:
        return json_copy(of, ret);
    }
}

static void remove_deployment(Json *spec)
{
    static const char *const names[] = {
        ENGINE_LABEL_DEPLOYMENT,
        SWARM_LABEL_REPLACES,
        SWARM_LABEL_CANCELLED,
    };
    Json *const places[] = {
        json_get(spec, "Labels"),
        json_pointer(spec, "/TaskTemplate/ContainerSpec/Labels"),
    };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        for (size_t n = 0; json_type_of(places[i]) == JSON_OBJECT && n < ARRAY_SIZE(names); n++) {
            json_remove(places[i], names[n]);
        }
    }
}

int swarm_spec_in_terms_of(const Json *stored, const Json *wanted, Json **ret)
{
    _cleanup_json_ Json *copy = NULL;
    int r = json_copy(stored, &copy);

    if (r < 0) {
        return r;
    }
    remove_deployment(copy);
    return prune(copy, wanted, ret);
}

int swarm_spec_is_same(const Json *stored, const Json *wanted, bool *ret)
{
    _cleanup_json_ Json *a = NULL, *b = NULL;
    int r = swarm_spec_in_terms_of(stored, wanted, &a);

    r = r < 0 ? r : swarm_spec_in_terms_of(wanted, stored, &b);
    if (r == 0) {
        *ret = json_equal(a, b);
    }
    return r;
}
