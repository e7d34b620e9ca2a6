/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/docker-config.h"

#include "agent/package/registry/reference.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"
#include "protocol/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Under this name docker keeps the login of docker.io. */
#define DOCKER_SERVER "https://index.docker.io/v1/"

struct DockerConfig {
    char *path;
    Json *json;
};

int docker_config_path(const char *directory, char **ret_path)
{
    const char *home = getenv("HOME");
    char *path = NULL;
    int n = 0;

    directory = directory ? directory : getenv("DOCKER_CONFIG");
    if (directory && *directory) {
        n = asprintf(&path, "%s/config.json", directory);
    } else if (home && *home) {
        n = asprintf(&path, "%s/.docker/config.json", home);
    }
    if (n < 0) {
        return -ENOMEM;
    }
    *ret_path = path;
    return 0;
}

DockerConfig *docker_config_free(DockerConfig *config)
{
    if (config) {
        (void)json_unref(config->json);
        free(config->path);
        free(config);
    }
    return NULL;
}

int docker_config_parse(const char *path, const char *text, size_t n, DockerConfig **ret,
                        Error *err)
{
    _cleanup_(docker_config_freep) DockerConfig *config = calloc(1, sizeof(*config));
    _cleanup_error_ Error problem = {0};

    if (!config || !(config->path = strdup(path))) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (json_parse(text, n, &config->json, &problem) < 0) {
        return error_set(err, -EBADMSG, "'%s': %s", path, error_text(&problem));
    }
    if (json_type_of(config->json) != JSON_OBJECT) {
        return error_set(err, -EBADMSG, "'%s': this is no JSON object", path);
    }
    *ret = TAKE_PTR(config);
    return 0;
}

int docker_config_load(const char *path, DockerConfig **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(DOCKER_CONFIG_MAX);
    int r = file_read(AT_FDCWD, path, &text, err);

    if (r == -ENOENT || r == -ENOTDIR) {
        if (err) {
            error_done(err);
        }
        return docker_config_parse(path, "{}", 2, ret, err);
    }
    r = r < 0 ? r : docker_config_parse(path, buffer_text(&text), text.len, ret, err);
    if (text.data) {
        explicit_bzero(text.data, text.allocated);
    }
    return r;
}

/* ---- entries ----------------------------------------------------------------------------------
 */

/* How much of "HOST/REPOSITORY" a key covers: 0 nothing, more for a longer key. Docker's keys are
 * hosts or addresses, "https://HOST/v1/"; podman's may go on with the beginning of a repository. */
static size_t match(const char *key, const char *host, const char *repository)
{
    size_t n_host = strlen(host), n;

    if (strcmp(host, REFERENCE_DOCKER_HOST) == 0 &&
        (strcmp(key, DOCKER_SERVER) == 0 || strcmp(key, "index.docker.io") == 0 ||
         strcmp(key, "registry-1.docker.io") == 0)) {
        return n_host;
    }
    if (text_has_prefix(key, "https://") || text_has_prefix(key, "http://")) {
        key = strstr(key, "://") + 3;
        n = strcspn(key, "/");
        return n == n_host && strncmp(key, host, n) == 0 ? n_host : 0;
    }
    if (!text_has_prefix(key, host)) {
        return 0;
    }
    key += n_host;
    if (!key[0] || strcmp(key, "/") == 0) {
        return n_host;
    }
    n = strlen(key + 1);
    return key[0] == '/' && strncmp(key + 1, repository, n) == 0 &&
                   (!repository[n] || repository[n] == '/')
               ? n_host + n
               : 0;
}

static const Json *find_entry(const Json *entries, const char *host, const char *repository)
{
    const Json *found = NULL;
    size_t best = 0;

    for (JsonMember m = {0}; json_next_member(entries, &m);) {
        size_t length = match(m.name, host, repository);

        if (length > best) {
            best = length;
            found = m.value;
        }
    }
    return found;
}

static int copy_member(const Json *entry, const char *name, char **ret)
{
    const char *text = json_get_string(entry, name);

    if (!text || !*text) {
        return 0;
    }
    free(*ret);
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

/* An entry that a credential store stands behind is there, and empty. */
static int read_entry(const DockerConfig *config, const Json *entry, const char *host,
                      Credential *ret, Error *err)
{
    _cleanup_credential_ Credential credential = {0};
    const char *auth = json_get_string(entry, "auth");
    int r = auth && *auth ? credential_from_base64(auth, &credential) : 0;

    if (r == -EINVAL) {
        return error_set(err, -EBADMSG,
                         "'%s': auths: 'auth' of '%s' is not \"user:password\" in base64; docker "
                         "login %s writes it anew",
                         config->path, host, host);
    }
    r = r < 0 ? r : copy_member(entry, "username", &credential.user);
    r = r < 0 ? r : copy_member(entry, "password", &credential.password);
    r = r < 0 ? r : copy_member(entry, "identitytoken", &credential.identity_token);
    r = r < 0 ? r : copy_member(entry, "registrytoken", &credential.registry_token);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    if (!credential.registry_token && !credential.identity_token &&
        !(credential.user && credential.password)) {
        return 0;
    }
    *ret = credential;
    credential = (Credential){0};
    return 1;
}

static int ask_helper(const DockerConfig *config, const char *member, const char *name,
                      const char *host, Credential *ret, Error *err)
{
    bool is_docker = strcmp(host, REFERENCE_DOCKER_HOST) == 0;
    int r = credential_from_helper(name, is_docker ? DOCKER_SERVER : host, ret, err);

    return r < 0 ? error_wrap(err, "'%s': %s", config->path, member) : r;
}

int docker_config_find(const DockerConfig *config, const char *host, const char *repository,
                       Credential *ret, Error *err)
{
    const char *helper =
        json_as_string(find_entry(json_get(config->json, "credHelpers"), host, repository));
    const char *store = json_get_string(config->json, "credsStore");
    const Json *entry = find_entry(json_get(config->json, "auths"), host, repository);
    int r;

    if (helper && *helper) {
        return ask_helper(config, "credHelpers", helper, host, ret, err);
    }
    r = entry ? read_entry(config, entry, host, ret, err) : 0;
    if (r != 0 || !store || !*store) {
        return r;
    }
    return ask_helper(config, "credsStore", store, host, ret, err);
}
