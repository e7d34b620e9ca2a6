/* SPDX-License-Identifier: MIT */
#include "agent/runners/package/registry-access.h"

#include "protocol/base/clock.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <string.h>

/* More often than this nobody wants to read. */
#define PROGRESS_MS 250

const char **registry_access_texts(const Json *array)
{
    const char **texts = calloc(json_length(array) + 1, sizeof(*texts));

    for (size_t i = 0; texts && i < json_length(array); i++) {
        texts[i] = json_as_string(json_at(array, i));
    }
    return texts;
}

static void on_progress(void *userdata, const RegistryProgress *progress)
{
    RegistryAccess *access = userdata;
    int64_t now_ms = clock_monotonic_ms();

    if (progress->stage == REGISTRY_WAITING) {
        log_warning("%s; trying again in %.1f s", progress->text, (double)progress->done / 1000);
    }
    if (progress->stage == REGISTRY_MOVING && now_ms - access->told_ms >= PROGRESS_MS) {
        access->told_ms = now_ms;
        /* Progress that is lost is no reason to fail. */
        (void)!report_progress(access->report, &(ReportProgress){.phase = "publish",
                                                                 .message = progress->digest,
                                                                 .done = progress->done,
                                                                 .total = progress->total,
                                                                 .unit = "bytes"});
    }
}

int registry_access_init(RegistryAccess *access, Action *action, Error *err)
{
    const Json *image = json_get(action->spec.publish, "image");
    const char *registry = json_get_string(image, "registry");

    *access = (RegistryAccess){.report = &action->report, .told_ms = clock_monotonic_ms()};
    access->token_hosts = registry_access_texts(json_get(image, "tokenHosts"));
    access->host = strndup(registry ? registry : "", strcspn(registry ? registry : "", "/"));
    if (!access->token_hosts || !access->host) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (json_get_bool(image, "allowHttp", false)) {
        access->plain_hosts[0] = access->host;
    }
    access->options =
        (RegistryOptions){.credentials_file = json_get_string(image, "credentialsFile"),
                          .ca_file = json_get_string(image, "caFile"),
                          .plain_hosts = access->plain_hosts,
                          .token_hosts = access->token_hosts,
                          .has_environment_proxy = true,
                          .on_progress = on_progress,
                          .userdata = access};
    return registry_open(&access->options, &access->client, err);
}

void registry_access_done(RegistryAccess *access)
{
    access->client = registry_close(access->client);
    free(access->token_hosts);
    free(access->host);
    *access = (RegistryAccess){0};
}
