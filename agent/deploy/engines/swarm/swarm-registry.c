/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/swarm/swarm-registry.h"

#include "agent/package/registry/docker-config.h"
#include "agent/package/registry/reference.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Docker's own registry is known by its first address. */
#define DOCKER_HUB_ADDRESS "https://index.docker.io/v1/"

void swarm_secret_done(Buffer *secret)
{
    if (secret->data) {
        explicit_bzero(secret->data, secret->allocated);
    }
    buffer_done(secret);
}

static int append_member(Buffer *json, const char *name, const char *value)
{
    int r;

    if (!value) {
        return 0;
    }
    r = buffer_append_format(json, "%s\"%s\":", json->len > 1 ? "," : "", name);
    return r < 0 ? r : text_append_json(json, value, strlen(value));
}

/* https://docs.docker.com/reference/api/engine/ (Authentication). The text never becomes a Json,
 * whose memory nobody wipes. */
static int append_credential(const Credential *credential, const char *host, Buffer *json)
{
    const char *address = strcmp(host, REFERENCE_DOCKER_HOST) == 0 ? DOCKER_HUB_ADDRESS : host;
    bool is_token = credential->identity_token || credential->registry_token;
    int r = buffer_append_text(json, "{");

    r = r < 0 ? r : append_member(json, "identitytoken", credential->identity_token);
    r = r < 0 ? r : append_member(json, "registrytoken", credential->registry_token);
    r = r < 0 || is_token ? r : append_member(json, "username", credential->user);
    r = r < 0 || is_token ? r : append_member(json, "password", credential->password);
    r = r < 0 ? r : append_member(json, "serveraddress", address);
    return r < 0 ? r : buffer_append_text(json, "}");
}

static int append_header(const Credential *credential, const char *host, Buffer *header)
{
    _cleanup_swarm_secret_ Buffer json = BUFFER_INIT(0);
    size_t start;
    int r = append_credential(credential, host, &json);

    r = r < 0 ? r : buffer_append_text(header, "X-Registry-Auth: ");
    start = header->len;
    r = r < 0 ? r : text_append_base64(header, json.data, json.len);
    for (size_t i = start; r == 0 && i < header->len; i++) { /* RFC 4648 section 5 */
        header->data[i] = header->data[i] == '+'   ? '-'
                          : header->data[i] == '/' ? '_'
                                                   : header->data[i];
    }
    return r;
}

static int load(const char *file, DockerConfig **ret, Error *err)
{
    _cleanup_free_ char *own = NULL;
    int r = file ? 0 : docker_config_path(NULL, &own);

    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    if (file && access(file, R_OK) < 0) {
        return error_set_errno(err, -errno, "registryCredentialsFile '%s'", file);
    }
    if (!file && !own) {
        return 0;
    }
    r = docker_config_load(file ? file : own, ret, err);
    return r < 0 && file ? error_wrap(err, "registryCredentialsFile") : r;
}

int swarm_registry_append_header(const char *file, const char *image, Buffer *header, Error *err)
{
    _cleanup_(docker_config_freep) DockerConfig *config = NULL;
    _cleanup_credential_ Credential credential = {0};
    _cleanup_reference_ Reference reference = {0};
    int r = load(file, &config, err);

    if (r < 0 || !config || !image || reference_parse(image, &reference, NULL) < 0) {
        return r; /* what is no reference docker will say itself */
    }
    r = docker_config_find(config, reference.host, reference.repository, &credential, err);
    if (r <= 0) {
        return r;
    }
    r = append_header(&credential, reference.host, header);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}
