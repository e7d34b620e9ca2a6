/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/manifest.h"

#include "tests/unit/registry/sample.h"

#include <errno.h>

#define DOCKER_TYPE "application/vnd.docker.distribution.manifest.v2+json"

static int parse(const char *text, const char *media_type, Manifest *ret, Error *err)
{
    Buffer copy = BUFFER_INIT(MANIFEST_MAX);

    assert_int_equal(buffer_append_text(&copy, text), 0);
    return manifest_parse_take(&copy, media_type, ret, err);
}

static void types(void **state)
{
    static const struct {
        const char *text, *told, *type;
    } cases[] = {
        {"{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\"}", OCI_TYPE_MANIFEST,
         OCI_TYPE_MANIFEST},
        {"{\"schemaVersion\":2,\"mediaType\":\"" DOCKER_TYPE "\"}", DOCKER_TYPE "; charset=utf-8",
         DOCKER_TYPE},
        {"{\"schemaVersion\":2}", OCI_TYPE_INDEX, OCI_TYPE_INDEX},
        {"{\"schemaVersion\":2}", "application/json", OCI_TYPE_MANIFEST},
        {"{\"schemaVersion\":2,\"manifests\":[]}", NULL, OCI_TYPE_INDEX},
        {"{\"schemaVersion\":2,\"mediaType\":\"" OCI_TYPE_MANIFEST "\"}", OCI_TYPE_INDEX, NULL},
        {"{\"schemaVersion\":2,\"mediaType\":\"text/plain\"}", NULL, NULL},
        {"{\"schemaVersion\":1}", NULL, NULL},
        {"[]", NULL, NULL},
        {"<html>", NULL, NULL},
        {"", NULL, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_manifest_ Manifest manifest = {0};
        _cleanup_error_ Error err = {0};

        expect_result(parse(cases[i].text, cases[i].told, &manifest, &err),
                      cases[i].type ? 0 : -EBADMSG, &err);
        if (cases[i].type) {
            assert_string_equal(manifest.self.media_type, cases[i].type);
            assert_int_equal(manifest.kind, manifest_kind_of(cases[i].type));
        }
    }
    assert_int_equal(manifest_kind_of(OCI_TYPE_CONFIG), _MANIFEST_KIND_INVALID);
    assert_int_equal(manifest_kind_of(NULL), _MANIFEST_KIND_INVALID);
}

static int count(void *userdata, const Descriptor *child, Error *err)
{
    return ++*(int *)userdata > 1000;
}

static void children(void **state)
{
    _cleanup_free_ char *text = sample_manifest_text("{}", "layer");
    _cleanup_buffer_ Buffer many = BUFFER_INIT(MANIFEST_MAX);
    static const char *const bad[] = {
        "{\"schemaVersion\":2,\"config\":{},\"layers\":[]}",
        "{\"schemaVersion\":2,\"layers\":[]}",
        "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"sha256:../../etc/passwd\"}]}",
        "{\"schemaVersion\":2,\"manifests\":[5]}",
    };
    _cleanup_manifest_ Manifest manifest = {0}, full = {0};
    _cleanup_error_ Error err = {0};
    int n = 0;

    sample_parse(text, &manifest);
    assert_int_equal(manifest_for_each(&manifest, count, &n, &err), 0);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_manifest_ Manifest wrong = {0};

        sample_parse(bad[i], &wrong);
        assert_int_equal(manifest_for_each(&wrong, count, &n, &err), -EBADMSG);
    }
    assert_int_equal(buffer_append_text(&many, "{\"schemaVersion\":2,\"manifests\":[0"), 0);
    for (int i = 0; i < MANIFEST_CHILDREN_MAX; i++) {
        assert_int_equal(buffer_append_text(&many, ",0"), 0);
    }
    assert_int_equal(buffer_append_text(&many, "]}"), 0);
    sample_parse(buffer_text(&many), &full);
    assert_int_equal(manifest_for_each(&full, count, &n, &err), -EBADMSG);
    expect_says(&err, "more than 256");
}

static void platforms(void **state)
{
    static const struct {
        const char *platform;
        int which;
    } cases[] = {
        {"linux/amd64", 0},  {"linux/arm64", 1},    {"linux/arm64/v8", 1},
        {"linux/s390x", -1}, {"windows/amd64", -1}, {"linux/amd64/v3", -1},
    };
    Descriptor both[2] = {sample_image(SCRATCH_FD, "{}", "1"), sample_image(SCRATCH_FD, "{}", "2")};
    Descriptor self = sample_index(SCRATCH_FD, &both[0], &both[1]);
    _cleanup_manifest_ Manifest index = {0};
    _cleanup_error_ Error err = {0};

    expect_result(layout_read_manifest(SCRATCH_FD, &self, &index, &err), 0, &err);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Descriptor found = {0};

        expect_result(manifest_find_platform(&index, cases[i].platform, &found, &err),
                      cases[i].which < 0 ? -ENOENT : 0, &err);
        if (cases[i].which >= 0) {
            assert_string_equal(found.digest, both[cases[i].which].digest);
        } else {
            expect_says(&err, "linux/amd64, linux/arm64/v8");
        }
    }
}

static void to_and_from_a_registry(void **state)
{
    _cleanup_sample_ SampleHost s = {0};
    _cleanup_free_ char *text = sample_manifest_text("{}", "layer");
    _cleanup_manifest_ Manifest manifest = {0}, back = {0}, none = {0};
    char digest[OCI_DIGEST_SIZE];

    (void)fake_registry_add_blob(&s.fake, "a", "{}", 2);
    (void)fake_registry_add_blob(&s.fake, "a", "layer", 5);
    sample_start(&s);
    sample_parse(text, &manifest);
    expect_result(manifest_head(s.host, "a", "t", digest, &s.err), 0, &s.err);
    expect_result(manifest_get(s.host, "a", "t", &none, &s.err), -ENOENT, &s.err);
    error_done(&s.err);
    expect_result(manifest_put(s.host, "a", "t", &manifest, NULL, &s.err), 0, &s.err);
    expect_result(manifest_head(s.host, "a", "t", digest, &s.err), 1, &s.err);
    assert_string_equal(digest, manifest.self.digest);
    expect_result(manifest_get(s.host, "a", manifest.self.digest, &back, &s.err), 0, &s.err);
    assert_string_equal(buffer_text(&back.text), text);
    expect_result(manifest_put(s.host, "empty", "t", &manifest, NULL, &s.err), -EIO, &s.err);
    expect_says(&s.err, "MANIFEST_BLOB_UNKNOWN");
}

static void lies_are_found_out(void **state)
{
    static const struct {
        FakeRule rule;
        bool hides_digests;
        int head, get_tag, get_digest, put;
    } cases[] = {
        {{FAULT_LIE, "HEAD", "/", .times = 1}, false, -EBADMSG, 0, 0, 0},
        {{FAULT_LIE, "GET", "/", .times = 2}, false, 1, -EBADMSG, -EBADMSG, 0},
        {{FAULT_WRONG_BYTES, "GET", "/", .times = 2}, false, 1, -EBADMSG, -EBADMSG, 0},
        {{FAULT_MORE_BYTES, "GET", "/", .skip = 1}, true, 1, 0, -EBADMSG, 0},
        {{FAULT_LIE, "PUT", "/", .times = 1}, false, 1, 0, 0, -EBADMSG},
        {{FAULT_STATUS, "GET", "/", .times = 2, .status = 200, .text = "<html>"},
         false,
         1,
         -EBADMSG,
         -EBADMSG,
         0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_sample_ SampleHost s = {
            .fake = {.rules = {cases[i].rule}, .hides_digests = cases[i].hides_digests}};
        _cleanup_free_ char *text = sample_manifest_text("{}", "layer");
        _cleanup_manifest_ Manifest manifest = {0}, tag = {0}, by_digest = {0};
        char digest[OCI_DIGEST_SIZE];

        (void)fake_registry_add_blob(&s.fake, "a", "{}", 2);
        (void)fake_registry_add_blob(&s.fake, "a", "layer", 5);
        (void)fake_registry_add_manifest(&s.fake, "a", "t", OCI_TYPE_MANIFEST, text);
        sample_start(&s);
        sample_parse(text, &manifest);
        expect_result(manifest_head(s.host, "a", manifest.self.digest, digest, &s.err),
                      cases[i].head, &s.err);
        expect_result(manifest_get(s.host, "a", "t", &tag, &s.err), cases[i].get_tag, &s.err);
        expect_result(manifest_get(s.host, "a", manifest.self.digest, &by_digest, &s.err),
                      cases[i].get_digest, &s.err);
        expect_result(manifest_put(s.host, "a", "t", &manifest, NULL, &s.err), cases[i].put,
                      &s.err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types),
        cmocka_unit_test(children),
        scratch_test(platforms),
        cmocka_unit_test(to_and_from_a_registry),
        cmocka_unit_test(lies_are_found_out),
    };

    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
