/* SPDX-License-Identifier: MIT */
/* Any bytes as the body of PUT /v1/apps/APP: a service in which everything has a sane value, or a
 * sentence. What was taken is taken again from what is kept of it. */
#include "agent/engine-local/specification.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check(const Specification *s)
{
    _cleanup_(specification_freep) Specification *again = NULL;
    _cleanup_buffer_ Buffer environment = {0};
    _cleanup_free_ char *url = specification_url(s);

    require(s->id[0] && s->port > 0 && s->instances >= 1 && s->instances <= 16);
    require(s->working_directory[0] == '/' && s->health_path[0] == '/');
    require(s->health_interval_ms > 0 && s->health_timeout_ms > 0 && s->health_deadline_ms > 0);
    require(s->stop_grace_ms >= 0);
    require(url && strncmp(url, "http://", 7) == 0);
    require(specification_from_json(s->json, &again, NULL) == 0);
    require(specification_equal(s, again));
    require(specification_environment(s, "d", "i", 1, &environment) == 0);
    require(environment.len > 0 && environment.data[environment.len - 1] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(specification_freep) Specification *s = NULL;
    _cleanup_error_ Error err = {0};

    if (specification_parse((const char *)data, size, &s, &err) == 0) {
        check(s);
    } else {
        require(!s && strlen(error_text(&err)) > 0);
    }
    return 0;
}
