/* SPDX-License-Identifier: MIT */
/* What docker answers. JSON {"spec", "tasks", "deployment"}: whatever it holds, what is counted
 * stays within the list, what is said stays short and on its line, and a specification is the same
 * as itself. Anything else is a log: taken apart, it stays within its limit and is text. */
#include "agent/deploy/engines/swarm/swarm-spec.h"
#include "agent/deploy/engines/swarm/swarm-tasks.h"
#include "protocol/base/text.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define LOG_MAX ((size_t)64)
#define SAID_MAX ((size_t)4096)

static void check_said(const Buffer *text)
{
    require(text->len < SAID_MAX);
    for (size_t i = 0; i < text->len; i++) {
        require((unsigned char)text->data[i] >= ' ' && text->data[i] != 0x7f);
    }
}

static void check_task(const Json *task)
{
    _cleanup_buffer_ Buffer trouble = BUFFER_INIT(0), health = BUFFER_INIT(0);

    require(swarm_task_append_trouble(task, &trouble) == 0);
    check_said(&trouble);
    require(swarm_health_append(task, &health) == 0);
    check_said(&health);
}

static void check_tasks(const Json *tasks, const Json *spec, const char *deployment)
{
    int64_t n = (int64_t)json_length(tasks);
    SwarmTasks read;

    require(swarm_tasks_read(tasks, spec, deployment, spec, &read) == 0);
    require(read.counts.healthy <= read.counts.updated);
    require(read.counts.updated + read.counts.old <= n);
    require((read.failed_slots > 0) == (read.failed != NULL));
    require((read.held != NULL) == (read.counts.updated > read.counts.healthy));
    (void)swarm_tasks_are_failing(&read, spec);
    for (size_t i = 0; i < json_length(tasks); i++) {
        check_task(json_at(tasks, i));
    }
}

static void check_spec(const Json *spec)
{
    _cleanup_json_ Json *once = NULL, *twice = NULL;
    bool is_same = false;

    require(swarm_spec_is_same(spec, spec, &is_same) == 0 && is_same);
    require(swarm_spec_in_terms_of(spec, NULL, &once) == 0);
    require(swarm_spec_in_terms_of(once, NULL, &twice) == 0);
    require(json_equal(once, twice));
    require(swarm_spec_monitor_ms(spec) >= 0);
    (void)swarm_spec_has_health_check(spec);
    require(swarm_spec_check(spec, NULL) <= 0);
}

static void check_log(const char *data, size_t n, bool is_multiplexed)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

    require(swarm_log_append(data, n, is_multiplexed, LOG_MAX, &text) == 0);
    require(text.len <= 3 * LOG_MAX + 1); /* a byte that is no text becomes three */
    require(text_is_utf8(text.data, text.len));
    require(text.len == 0 || text.data[text.len - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_json_ Json *whole = NULL;

    if (json_parse((const char *)data, size, &whole, NULL) == 0 &&
        json_type_of(whole) == JSON_OBJECT) {
        const Json *spec = json_get(whole, "spec");

        check_tasks(json_get(whole, "tasks"), spec, json_get_string(whole, "deployment"));
        if (json_type_of(spec) == JSON_OBJECT) {
            check_spec(spec);
        }
    } else {
        check_log((const char *)data, size, true);
        check_log((const char *)data, size, false);
    }
    return 0;
}
