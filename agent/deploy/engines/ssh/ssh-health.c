/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/ssh/ssh-health.h"

#include "agent/http/http.h"

#include <errno.h>

static int drop(void *userdata, const HttpResponse *response, const void *data, size_t n,
                Error *err)
{
    return 1; /* what it says beyond its status is of no interest */
}

/* A connection of its own for each: one that is kept could be with the process that was before. */
static int ask(const SshRemote *remote, const SshService *service, const char *url, Error *err)
{
    _cleanup_(http_closep) Http *http = NULL;
    _cleanup_http_response_ HttpResponse response = {0};
    HttpRequest request = {.url = url, .sink = drop, .timeout_ms = service->health_timeout_ms};
    int r = http_open(url, &http, err);

    r = r < 0 ? r : http_request(http, &request, &response, err);
    if (r == -ENOMEM) {
        return r;
    }
    if (r != 0) {
        (void)error_wrap(err, "%s: %s", remote->name, url);
        return SSH_REMOTE_NOT_YET;
    }
    if (!http_status_is_success(response.status)) {
        (void)error_set(err, -EAGAIN, "%s: %s answers with status %d", remote->name, url,
                        response.status);
        return SSH_REMOTE_NOT_YET;
    }
    return 0;
}

int ssh_health_check(SshRemote *remote, const char *base, const SshService *service,
                     bool is_deploying, Error *err)
{
    static const char *const deploying[] = {"deploying"};
    _cleanup_buffer_ Buffer url = BUFFER_INIT(0);
    SshRemoteVerb verb = {
        .name = "check",
        .base = base,
        .arguments = deploying,
        .n_arguments = is_deploying ? 1 : 0,
        .timeout_ms = SSH_REMOTE_SHORT_MS + 2 * service->health_timeout_ms,
    };
    int r = ssh_remote_do(remote, &verb, NULL, err);

    if (r != 0 || !service->health_url) {
        return r;
    }
    if (ssh_service_append_health_url(service, remote->host, &url) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return ask(remote, service, buffer_text(&url), err);
}
