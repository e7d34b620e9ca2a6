/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/registry.h"

#include "tests/unit/registry/sample.h"

#include <errno.h>

/* A client, a registry, and the reference of its repository a/b. */
typedef struct Talk {
    FakeRegistry fake;
    RegistryOptions options;
    RegistryClient *client;
    char reference[128];
    Error err;
} Talk;

static void talk_start(Talk *t, const char *suffix)
{
    fake_registry_start(&t->fake);
    t->options = (RegistryOptions)SAMPLE_OPTIONS;
    (void)snprintf(t->reference, sizeof(t->reference), "%s/a/b%s", t->fake.host, suffix);
    assert_int_equal(registry_open(&t->options, &t->client, &t->err), 0);
}

static void talk_done(Talk *t)
{
    t->client = registry_close(t->client);
    fake_registry_stop(&t->fake);
    error_done(&t->err);
}
#define _cleanup_talk_ _cleanup_(talk_done)

static int push(Talk *t, int layout_fd, const char *digest, char ret[OCI_DIGEST_SIZE])
{
    error_done(&t->err);
    return registry_push_layout(
        t->client,
        &(RegistryPush){.layout_fd = layout_fd, .digest = digest, .reference = t->reference}, ret,
        &t->err);
}

static int make_directory(void **state, const char *name)
{
    int fd;

    assert_int_equal(mkdirat(SCRATCH_FD, name, 0755), 0);
    fd = openat(SCRATCH_FD, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void there_and_back(void **state)
{
    _cleanup_fd_ int from = make_directory(state, "from"), to = make_directory(state, "to");
    Descriptor image = sample_image(from, "{}", "layer"), found;
    char pushed[OCI_DIGEST_SIZE], pulled[OCI_DIGEST_SIZE], resolved[OCI_DIGEST_SIZE];
    _cleanup_talk_ Talk t = {0};

    talk_start(&t, ":1.0");
    expect_result(push(&t, from, NULL, pushed), 0, &t.err);
    assert_string_equal(pushed, image.digest);
    expect_result(registry_resolve(t.client, t.reference, resolved, &t.err), 0, &t.err);
    assert_string_equal(resolved, image.digest);
    expect_result(registry_pull_layout(t.client, t.reference, NULL, to, pulled, &t.err), 0, &t.err);
    assert_string_equal(pulled, image.digest);
    assert_int_equal(scratch_count(to, "blobs/sha256"), 3);
    expect_result(layout_find(to, NULL, &found, &t.err), 0, &t.err);
    assert_string_equal(found.digest, image.digest);
}

/* What is there already is one request by digest and one by tag. */
static void unchanged_is_two_requests(void **state)
{
    _cleanup_talk_ Talk t = {0};
    size_t before;

    (void)sample_image(SCRATCH_FD, "{}", "layer");
    talk_start(&t, ":1.0");
    expect_result(push(&t, SCRATCH_FD, NULL, NULL), 0, &t.err);
    before = strlen(fake_registry_log(&t.fake));
    expect_result(push(&t, SCRATCH_FD, NULL, NULL), 0, &t.err);
    assert_int_equal(fake_registry_count(&t.fake, "PUT"), 3);
    assert_non_null(strstr(fake_registry_log(&t.fake) + before, "HEAD /v2/a/b/manifests/1.0\n"));
    assert_null(strstr(fake_registry_log(&t.fake) + before, "blobs"));
}

/* Blobs, manifests, and the tag last. */
static void an_index_comes_last(void **state)
{
    Descriptor one = sample_image(SCRATCH_FD, "{}", "one");
    Descriptor two = sample_image(SCRATCH_FD, "{\"a\":1}", "two");
    Descriptor both = sample_index(SCRATCH_FD, &one, &two);
    _cleanup_fd_ int to = -1, all = -1;
    char digest[OCI_DIGEST_SIZE];
    const char *log, *last;
    _cleanup_talk_ Talk t = {0};

    talk_start(&t, ":both");
    expect_result(push(&t, SCRATCH_FD, both.digest, digest), 0, &t.err);
    log = fake_registry_log(&t.fake);
    last = strstr(log, "PUT /v2/a/b/manifests/both\n");
    assert_non_null(last);
    assert_null(strstr(last, "PUT /v2/a/b/manifests/sha256"));
    assert_int_equal(fake_registry_count(&t.fake, "PUT /v2/a/b/manifests/"), 3);

    to = make_directory(state, "to");
    expect_result(registry_pull_layout(t.client, t.reference, "linux/arm64", to, digest, &t.err), 0,
                  &t.err);
    assert_string_equal(digest, two.digest);
    assert_int_equal(scratch_count(to, "blobs/sha256"), 3);
    all = make_directory(state, "all");
    expect_result(registry_pull_layout(t.client, t.reference, NULL, all, digest, &t.err), 0,
                  &t.err);
    assert_string_equal(digest, both.digest);
    assert_int_equal(scratch_count(all, "blobs/sha256"), 7);
    expect_result(registry_pull_layout(t.client, t.reference, "plan9/mips", all, digest, &t.err),
                  -ENOENT, &t.err);
}

/* Wherever a push ends, nobody finds an image under the tag that is not whole; and the next push
 * brings it. */
static void half_a_push_is_no_image(void **state)
{
    static const FakeRule rules[] = {
        {FAULT_STATUS, "PUT", "uploads", .times = 9, .status = 500},
        {FAULT_STATUS, "PUT", "uploads", .skip = 1, .times = 9, .status = 403},
        {FAULT_STATUS, "PUT", "manifests", .times = 9, .status = 403},
        {FAULT_CUT_REQUEST, "PUT", "manifests", .times = 9},
    };

    (void)sample_image(SCRATCH_FD, "{}", "layer");
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        _cleanup_talk_ Talk t = {.fake.rules = {rules[i]}};
        char digest[OCI_DIGEST_SIZE];

        talk_start(&t, ":1.0");
        assert_true(push(&t, SCRATCH_FD, NULL, NULL) < 0);
        expect_says(&t.err, "cannot push");
        expect_result(registry_resolve(t.client, t.reference, digest, &t.err), -ENOENT, &t.err);
        while (push(&t, SCRATCH_FD, NULL, NULL) < 0) {
            assert_true(fake_registry_count(&t.fake, "PUT") < 40);
        }
        expect_result(registry_resolve(t.client, t.reference, digest, &t.err), 0, &t.err);
    }
}

static void layouts_that_are_damaged(void **state)
{
    Descriptor image = sample_image(SCRATCH_FD, "{}", "layer");
    Descriptor layer = sample_descriptor("t", "layer", 5);
    char path[128], other[OCI_DIGEST_SIZE];
    _cleanup_talk_ Talk t = {0};

    talk_start(&t, "");
    (void)snprintf(path, sizeof(path), "blobs/sha256/%s", layer.digest + 7);
    scratch_write_text(SCRATCH_FD, path, "loyer");
    expect_result(push(&t, SCRATCH_FD, NULL, NULL), -EBADMSG, &t.err);
    expect_says(&t.err, "was changed");
    assert_int_equal(unlinkat(SCRATCH_FD, path, 0), 0);
    expect_result(push(&t, SCRATCH_FD, NULL, NULL), -ENOENT, &t.err);
    expect_says(&t.err, layer.digest);
    (void)snprintf(other, sizeof(other), "%s", image.digest);
    other[10] = other[10] == '0' ? '1' : '0';
    expect_result(push(&t, SCRATCH_FD, other, NULL), -ENOENT, &t.err);
    (void)snprintf(t.reference, sizeof(t.reference), "%s/a/b@%s", t.fake.host, other);
    expect_result(push(&t, SCRATCH_FD, NULL, NULL), -EINVAL, &t.err);
}

/* A layer that only the registry has, in the repository of the base. */
static void a_base_is_not_sent(void **state)
{
    Descriptor layer = sample_descriptor("t", "layer", 5);
    _cleanup_talk_ Talk t = {.fake.may_mount = true};
    const char *from[] = {"base/image", NULL};
    char path[128];

    (void)sample_image(SCRATCH_FD, "{}", "layer");
    (void)snprintf(path, sizeof(path), "blobs/sha256/%s", layer.digest + 7);
    assert_int_equal(unlinkat(SCRATCH_FD, path, 0), 0);
    (void)fake_registry_add_blob(&t.fake, "base/image", "layer", 5);
    talk_start(&t, ":1.0");
    expect_result(
        registry_push_layout(
            t.client,
            &(RegistryPush){.layout_fd = SCRATCH_FD, .reference = t.reference, .mount_from = from},
            NULL, &t.err),
        0, &t.err);
}

static void tags(void **state)
{
    Descriptor image = sample_image(SCRATCH_FD, "{}", "layer");
    char digest[OCI_DIGEST_SIZE], stable[160];
    _cleanup_talk_ Talk t = {0};

    talk_start(&t, ":1.0");
    expect_result(push(&t, SCRATCH_FD, NULL, NULL), 0, &t.err);
    expect_result(registry_tag(t.client, t.reference, "stable", &t.err), 0, &t.err);
    (void)snprintf(stable, sizeof(stable), "%s/a/b:stable", t.fake.host);
    expect_result(registry_resolve(t.client, stable, digest, &t.err), 0, &t.err);
    assert_string_equal(digest, image.digest);
    expect_result(registry_tag(t.client, t.reference, "no tag", &t.err), -EINVAL, &t.err);
}

static void evidence_stands_beside_the_image(void **state)
{
    static const char bundle[] = "{\"payload\":1}\n{\"payload\":2}\n";
    const RegistryArtifact artifact = {.artifact_type = REGISTRY_TYPE_BUNDLE,
                                       .title = "release.intoto.jsonl",
                                       .data = bundle,
                                       .size_bytes = strlen(bundle)};

    (void)sample_image(SCRATCH_FD, "{}", "layer");
    for (int has_referrers = 0; has_referrers <= 1; has_referrers++) {
        _cleanup_registry_referrers_ RegistryReferrers all = {0};
        _cleanup_talk_ Talk t = {.fake.has_referrers = has_referrers};
        _cleanup_buffer_ Buffer back = BUFFER_INIT(0);
        char digest[OCI_DIGEST_SIZE];

        talk_start(&t, ":1.0");
        expect_result(push(&t, SCRATCH_FD, NULL, NULL), 0, &t.err);
        for (int twice = 0; twice < 2; twice++) {
            expect_result(registry_attach(t.client, t.reference, &artifact, digest, &t.err), 0,
                          &t.err);
        }
        expect_result(registry_referrers(t.client, t.reference, REGISTRY_TYPE_BUNDLE, &all, &t.err),
                      0, &t.err);
        assert_int_equal(all.count, 1);
        assert_string_equal(all.items[0].digest, digest);
        expect_result(registry_fetch_artifact(t.client, t.reference, digest, &back, &t.err), 0,
                      &t.err);
        assert_string_equal(buffer_text(&back), bundle);
    }
}

static void artifacts_that_are_none(void **state)
{
    Descriptor image = sample_image(SCRATCH_FD, "{}", "layer");
    const RegistryArtifact empty = {.artifact_type = REGISTRY_TYPE_BUNDLE, .data = ""};
    _cleanup_buffer_ Buffer back = BUFFER_INIT(0);
    _cleanup_talk_ Talk t = {0};

    talk_start(&t, ":1.0");
    expect_result(registry_attach(t.client, t.reference, &empty, NULL, &t.err), -EINVAL, &t.err);
    expect_result(registry_fetch_artifact(t.client, t.reference, "latest", &back, &t.err), -EINVAL,
                  &t.err);
    expect_result(registry_fetch_artifact(t.client, t.reference, image.digest, &back, &t.err),
                  -ENOENT, &t.err);
    expect_result(registry_resolve(t.client, "NOT A NAME", (char[OCI_DIGEST_SIZE]){0}, &t.err),
                  -EINVAL, &t.err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(there_and_back),
        scratch_test(unchanged_is_two_requests),
        scratch_test(an_index_comes_last),
        scratch_test(half_a_push_is_no_image),
        scratch_test(layouts_that_are_damaged),
        scratch_test(a_base_is_not_sent),
        scratch_test(tags),
        scratch_test(evidence_stands_beside_the_image),
        scratch_test(artifacts_that_are_none),
    };

    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
