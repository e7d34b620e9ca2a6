/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"
#include "agent/endpoint/version.h"
#include "protocol/base/clock.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* proc(5): size and resident, in pages. */
static int64_t resident_bytes(void)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(256);
    long long size, resident;

    if (file_read(AT_FDCWD, "/proc/self/statm", &text, NULL) < 0 ||
        sscanf(buffer_text(&text), "%lld %lld", &size, &resident) != 2) {
        return 0;
    }
    return resident * sysconf(_SC_PAGESIZE);
}

static int describe_memory(Json *result)
{
    Json *memory = json_new_object();
    int r = json_set_take(result, "memory", memory);

    return r == 0 ? json_set_int(memory, "rssBytes", resident_bytes()) : r;
}

int method_health(Request *request, Error *err)
{
    const Endpoint *endpoint = request->session->endpoint;
    _cleanup_json_ Json *result = NULL;
    bool is_ok;
    int r = calls_health(endpoint->calls, &result, err);

    if (r < 0) {
        return r;
    }
    is_ok = json_length(json_get(result, "problems")) == 0;
    r = json_set_string(result, "status", is_ok ? "ok" : "degraded");
    r = r == 0 ? json_set_string(result, "name", endpoint->config->name) : r;
    r = r == 0 ? json_set_string(result, "version", AGENT_VERSION) : r;
    r = r == 0 ? json_set_int(result, "uptimeSeconds",
                              (clock_monotonic_ms() - endpoint->started_ms) / 1000)
               : r;
    r = r == 0 ? describe_memory(result) : r;
    return r == 0 ? request_answer_take(request, TAKE_PTR(result), err)
                  : error_set(err, r, "out of memory");
}
