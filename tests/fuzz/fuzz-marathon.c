/* SPDX-License-Identifier: MIT */
/* Any JSON as Marathon's answer: whatever it holds, what is counted stays within it, what is said
 * stays short, an app covers what it is itself, and what is reduced to itself is covered. */
#include "agent/deploy/engines/marathon/marathon-app.h"
#include "agent/deploy/engines/marathon/marathon-compare.h"
#include "agent/deploy/engines/marathon/marathon-reason.h"
#include "tests/fuzz/fuzz.h"

#define SAID_MAX ((size_t)64 << 10)

static void check_counts(const Json *app)
{
    const char *version = marathon_app_config_version(app);
    int64_t n = (int64_t)json_length(json_get(app, "tasks"));
    EngineCounts counts;

    marathon_app_count(app, version, &counts);
    require(counts.healthy <= counts.updated && counts.updated >= 0 && counts.old >= 0);
    require(counts.updated + counts.old <= n);
    require(!marathon_app_is_locked(app) || json_length(json_get(app, "deployments")) > 0);
    (void)marathon_app_old_version(app);
    (void)marathon_app_deployment(app);
}

static void check_specification(const Json *app)
{
    _cleanup_json_ Json *specification = NULL, *again = NULL, *reduced = NULL;

    require(marathon_app_specification(app, &specification) == 0);
    require(marathon_app_specification(specification, &again) == 0);
    require(json_equal(specification, again));
    require(marathon_compare_covers(specification, specification));
    require(marathon_compare_reduce(specification, specification, &reduced) == 0);
    require(marathon_compare_covers(reduced, specification));
}

static void check_reasons(const Json *app, const Json *whole)
{
    const char *version = marathon_app_config_version(app);
    const Json *failure = marathon_reason_failure(app, version);
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

    if (failure) {
        require(marathon_reason_judge(failure) <= MARATHON_HOPELESS);
        require(marathon_reason_append_failure(app, failure, &text) == 0);
    }
    require(marathon_reason_append_check(app, version, &text) == 0);
    require(text.len < SAID_MAX);
    require(marathon_reason_append_queue(whole, "/x", &text) == 0);
    require(marathon_reason_append_error(whole, &text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_json_ Json *whole = NULL;
    const Json *app;

    if (json_parse((const char *)data, size, &whole, NULL) < 0) {
        return 0;
    }
    app = json_has(whole, "app") ? json_get(whole, "app") : whole;
    if (json_type_of(app) == JSON_OBJECT) {
        check_counts(app);
        check_specification(app);
        check_reasons(app, whole);
    }
    return 0;
}
