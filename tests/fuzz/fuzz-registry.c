/* SPDX-License-Identifier: MIT */
/* What a registry, a user or a login wrote, the first byte says which: a reference that is taken is
 * written and read again as the same; challenges, pages and ranges end; a login file gives whole
 * credentials or a sentence; a manifest has the digest of its bytes, and children with theirs. */
#include "agent/package/registry/blob-push.h"
#include "agent/package/registry/challenge.h"
#include "agent/package/registry/docker-config.h"
#include "agent/package/registry/manifest.h"
#include "agent/package/registry/reference.h"
#include "agent/package/registry/referrers.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void fuzz_reference(const char *text)
{
    _cleanup_reference_ Reference one = {0}, same = {0};
    _cleanup_buffer_ Buffer whole = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};

    if (reference_parse(text, &one, &err) < 0) {
        require(strlen(error_text(&err)) > 0 && !one.host);
        return;
    }
    require(reference_is_repository(one.repository) && reference_target(&one));
    require(!one.tag || reference_is_tag(one.tag));
    require(!one.digest || reference_is_digest(one.digest));
    require(reference_append(&one, &whole) == 0);
    require(reference_parse(buffer_text(&whole), &same, NULL) == 0);
    require(strcmp(one.host, same.host) == 0 && strcmp(one.repository, same.repository) == 0);
    require(strcmp(reference_target(&one), reference_target(&same)) == 0);
}

static void fuzz_challenge(const char *text)
{
    const char *position = text;

    for (;;) {
        _cleanup_challenge_ Challenge challenge = {0};
        const char *before = position;
        int r = challenge_next(&position, &challenge);

        require(position >= before && position <= text + strlen(text));
        require((r > 0) == (challenge.scheme != NULL));
        if (r <= 0) {
            return;
        }
        require(position > before);
    }
}

static void fuzz_config(const char *text)
{
    _cleanup_(docker_config_freep) DockerConfig *config = NULL;
    _cleanup_credential_ Credential credential = {0};
    _cleanup_error_ Error err = {0};
    int r;

    /* A helper would be started. */
    if (strstr(text, "credHelpers") || strstr(text, "credsStore") || strchr(text, '\\')) {
        return;
    }
    r = docker_config_parse("config.json", text, strlen(text), &config, &err);
    r = r < 0 ? r : docker_config_find(config, "r.io", "team/app", &credential, &err);
    require(r >= 0 || strlen(error_text(&err)) > 0);
    require(r != 1 || credential.registry_token || credential.identity_token ||
            (credential.user && credential.password));
}

static int check_child(void *userdata, const Descriptor *child, Error *err)
{
    require(reference_is_digest(child->digest) && child->size_bytes >= 0);
    return 0;
}

static void fuzz_manifest(const char *text)
{
    _cleanup_manifest_ Manifest manifest = {0};
    _cleanup_error_ Error err = {0};
    Buffer copy = BUFFER_INIT(MANIFEST_MAX);
    Descriptor found;

    if (buffer_append_text(&copy, text) < 0) {
        return;
    }
    if (manifest_parse_take(&copy, NULL, &manifest, &err) < 0) {
        require(strlen(error_text(&err)) > 0);
        return;
    }
    require(reference_is_digest(manifest.self.digest));
    require(manifest_kind_of(manifest.self.media_type) == manifest.kind);
    (void)!manifest_for_each(&manifest, check_child, NULL, &err);
    if (manifest.kind == MANIFEST_INDEX &&
        manifest_find_platform(&manifest, "linux/amd64", &found, &err) == 0) {
        require(reference_is_digest(found.digest));
    }
}

static void fuzz_headers(const char *text)
{
    _cleanup_free_ char *next = NULL;
    int64_t received = -1;

    require(referrers_next_page(text, &next) == 0);
    require(!next || strlen(next) < strlen(text));
    require(blob_push_parse_range(text, &received) < 0 || received >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        char kind;
        void (*fuzz)(const char *text);
    } kinds[] = {
        {'r', fuzz_reference}, {'c', fuzz_challenge}, {'d', fuzz_config},
        {'m', fuzz_manifest},  {'h', fuzz_headers},
    };
    _cleanup_free_ char *text = size > 0 ? strndup((const char *)data + 1, size - 1) : NULL;

    for (size_t i = 0; text && i < ARRAY_SIZE(kinds); i++) {
        if (kinds[i].kind == (char)data[0]) {
            kinds[i].fuzz(text);
        }
    }
    return 0;
}
