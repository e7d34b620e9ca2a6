/* SPDX-License-Identifier: MIT */
/* Images to send, and registries to send them to, for the tests of this folder. */
#pragma once

#include "agent/package/registry/host.h"
#include "agent/package/registry/layout.h"
#include "protocol/artifact/digest.h"
#include "tests/unit/registry/fake-registry.h"
#include "tests/unit/scratch.h"

/* Of a client that does not make a test wait. */
#define SAMPLE_OPTIONS                                                \
    {                                                                 \
        .docker_config = "/nonexistent", .attempts = 3, .pause_ms = 1 \
    }

_unused_ static Descriptor sample_descriptor(const char *media_type, const void *data, size_t n)
{
    Descriptor descriptor = {.size_bytes = (int64_t)n};
    char hex[DIGEST_HEX_SIZE];

    assert_int_equal(digest_bytes(data, n, hex), 0);
    (void)snprintf(descriptor.digest, sizeof(descriptor.digest), "sha256:%s", hex);
    (void)snprintf(descriptor.media_type, sizeof(descriptor.media_type), "%s", media_type);
    return descriptor;
}

/* The blob is in the layout. */
_unused_ static Descriptor sample_blob(int layout_fd, const char *media_type, const char *data)
{
    Descriptor descriptor = sample_descriptor(media_type, data, strlen(data));
    char path[128];

    (void)snprintf(path, sizeof(path), "blobs/sha256/%s", descriptor.digest + 7);
    scratch_write_text(layout_fd, path, data);
    return descriptor;
}

/* The text of a manifest of a configuration and a layer with these contents; to free(). */
_unused_ static char *sample_manifest_text(const char *config, const char *layer)
{
    Descriptor c = sample_descriptor(OCI_TYPE_CONFIG, config, strlen(config));
    Descriptor l = sample_descriptor(OCI_TYPE_LAYER_TAR, layer, strlen(layer));
    char *text = NULL;

    assert_true(asprintf(&text,
                         "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\","
                         "\"config\":{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%lld},"
                         "\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%lld}]}",
                         c.media_type, c.digest, (long long)c.size_bytes, l.media_type, l.digest,
                         (long long)l.size_bytes) > 0);
    return text;
}

_unused_ static void sample_parse(const char *text, Manifest *ret)
{
    Buffer copy = BUFFER_INIT(MANIFEST_MAX);
    _cleanup_error_ Error err = {0};

    assert_int_equal(buffer_append_text(&copy, text), 0);
    if (manifest_parse_take(&copy, NULL, ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

/* A layout with one image, named in index.json; its descriptor. */
_unused_ static Descriptor sample_image(int layout_fd, const char *config, const char *layer)
{
    _cleanup_free_ char *text = sample_manifest_text(config, layer);
    _cleanup_manifest_ Manifest manifest = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(layout_init(layout_fd, &err), 0);
    (void)sample_blob(layout_fd, OCI_TYPE_CONFIG, config);
    (void)sample_blob(layout_fd, OCI_TYPE_LAYER_TAR, layer);
    sample_parse(text, &manifest);
    assert_int_equal(layout_write_manifest(layout_fd, &manifest, &err), 0);
    assert_int_equal(layout_name(layout_fd, &manifest, NULL, &err), 0);
    return manifest.self;
}

/* An index of both images, beside them in the layout. */
_unused_ static Descriptor sample_index(int layout_fd, const Descriptor *amd64,
                                        const Descriptor *arm64)
{
    _cleanup_manifest_ Manifest index = {0};
    _cleanup_free_ char *text = NULL;
    _cleanup_error_ Error err = {0};

    assert_true(asprintf(&text,
                         "{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_INDEX "\",\"manifests\":["
                         "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%lld,"
                         "\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}},"
                         "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%lld,\"platform\":{"
                         "\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}}]}",
                         amd64->media_type, amd64->digest, (long long)amd64->size_bytes,
                         arm64->media_type, arm64->digest, (long long)arm64->size_bytes) > 0);
    sample_parse(text, &index);
    assert_int_equal(layout_write_manifest(layout_fd, &index, &err), 0);
    assert_int_equal(layout_name(layout_fd, &index, "both", &err), 0);
    return index.self;
}

/* What a test has of one registry. */
typedef struct SampleHost {
    FakeRegistry fake;
    RegistryOptions options;
    RegistryHost *host;
    Error err;
} SampleHost;

_unused_ static void sample_start(SampleHost *s)
{
    fake_registry_start(&s->fake);
    if (!s->options.attempts) {
        s->options = (RegistryOptions)SAMPLE_OPTIONS;
    }
    assert_int_equal(registry_host_new(&s->options, s->fake.host, &s->host, &s->err), 0);
}

_unused_ static void sample_done(SampleHost *s)
{
    s->host = registry_host_free(s->host);
    fake_registry_stop(&s->fake);
    error_done(&s->err);
}
#define _cleanup_sample_ _cleanup_(sample_done)

/* `r` is what was wanted, else the test says why. */
#define expect_result(r, wanted, err)                                             \
    do {                                                                          \
        int _r = (r);                                                             \
                                                                                  \
        if (_r != (wanted)) {                                                     \
            fail_msg("%s:%d: %d: %s", __FILE__, __LINE__, _r, error_text((err))); \
        }                                                                         \
    } while (0)

#define expect_says(err, text)                                                                   \
    do {                                                                                         \
        if (!strstr(error_text((err)), (text))) {                                                \
            fail_msg("%s:%d: '%s' is not in '%s'", __FILE__, __LINE__, text, error_text((err))); \
        }                                                                                        \
    } while (0)
