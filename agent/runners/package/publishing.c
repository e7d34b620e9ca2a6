/* SPDX-License-Identifier: MIT */
#include "agent/runners/package/publishing.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_MARK "${name}"
#define DEFAULT_WAIT_SECONDS 60

void publishing_done(Publishing *publishing)
{
    (void)publish_target_close(publishing->target);
    free(publishing->address);
    *publishing = (Publishing){0};
}

GpgKey publishing_key(const Action *action, const Json *publish)
{
    return (GpgKey){.key = json_get_string(publish, "signKey"),
                    .home = json_get_string(publish, "gnupgHome"),
                    .passphrase_file = json_get_string(publish, "passphraseFile"),
                    .work_directory = action->spec.call_directory};
}

/* The caller's text. A service's name is one part of a path, and nothing else. */
static int fill_target(const char *target, const char *name, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = 0;

    if (strstr(target, NAME_MARK) && !text_is_identifier(name)) {
        return error_set(err, -EINVAL, "the service's name '%s' cannot be a part of '%s'", name,
                         target);
    }
    for (const char *mark; r == 0 && (mark = strstr(target, NAME_MARK));
         target = mark + strlen(NAME_MARK)) {
        r = buffer_append(&text, target, (size_t)(mark - target));
        r = r == 0 ? buffer_append_text(&text, name) : r;
    }
    r = r == 0 ? buffer_append_text(&text, target) : r;
    *ret = r == 0 ? buffer_take_text(&text) : NULL;
    return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int lock(const Action *action, const Json *publish, PublishTarget *target, Error *err)
{
    double seconds = json_as_number(json_get(publish, "waitSeconds"), DEFAULT_WAIT_SECONDS);
    char holder[PUBLISH_HOLDER_MAX], host[256] = "localhost";

    (void)gethostname(host, sizeof(host) - 1);
    host[sizeof(host) - 1] = '\0';
    (void)snprintf(holder, sizeof(holder), "call %s (process %ld on %s)", action->spec.call,
                   (long)getpid(), host);
    return publish_target_lock(target, holder, (int64_t)(seconds * 1000), err);
}

int publishing_open(Action *action, const Json *publish, Publishing *ret, Error *err)
{
    _cleanup_publishing_ Publishing publishing = {.key = publishing_key(action, publish)};
    const PublishAccess access = {.authorization_file =
                                      json_get_string(publish, "authorizationFile"),
                                  .ca_file = json_get_string(publish, "caFile"),
                                  .ssh_config_file = json_get_string(publish, "sshConfigFile")};
    int r = fill_target(json_get_string(publish, "target"), action->name, &publishing.address, err);

    r = r == 0 ? publish_target_open(publishing.address, &access, &publishing.target, err) : r;
    r = r == 0 ? lock(action, publish, publishing.target, err) : r;
    if (r < 0) {
        return r;
    }
    *ret = publishing;
    publishing = (Publishing){0};
    return 0;
}
