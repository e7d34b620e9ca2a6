/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/dispatch.h"
#include "agent/endpoint/version.h"
#include "protocol/base/clock.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define HOST_KEY_SECONDS 30

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

/* It is made soon after the first start; where it is not, something is wrong. */
static int add_missing_key(Json *result, int64_t uptime_seconds)
{
    return uptime_seconds < HOST_KEY_SECONDS || json_has(result, "publicKey")
               ? 0
               : json_append_string(json_get(result, "problems"),
                                    "this host has no key, so what it does cannot be proved; the "
                                    "agent's log says why");
}

int dispatch_describe_health(const Endpoint *endpoint, Json **ret, Error *err)
{
    int64_t uptime_seconds = (clock_monotonic_ms() - endpoint->started_ms) / 1000;
    _cleanup_json_ Json *result = NULL;
    bool is_ok;
    int r = calls_health(endpoint->calls, &result, err);

    if (r < 0) {
        return r;
    }
    r = add_missing_key(result, uptime_seconds);
    is_ok = json_length(json_get(result, "problems")) == 0;
    r = r < 0 ? r : json_set_string(result, "status", is_ok ? "ok" : "degraded");
    r = r == 0 ? json_set_string(result, "name", endpoint->config->name) : r;
    r = r == 0 ? json_set_string(result, "version", AGENT_VERSION) : r;
    r = r == 0 ? json_set_int(result, "uptimeSeconds", uptime_seconds) : r;
    r = r == 0 ? describe_memory(result) : r;
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    *ret = TAKE_PTR(result);
    return 0;
}

int method_health(Request *request, Error *err)
{
    Json *result = NULL;
    int r = waiting_add_health(&request->session->waiting, request->id, err);

    if (r > 0) {
        return REQUEST_WAITS;
    }
    r = r < 0 ? r : dispatch_describe_health(request->session->endpoint, &result, err);
    return r < 0 ? r : request_answer_take(request, result, err);
}
