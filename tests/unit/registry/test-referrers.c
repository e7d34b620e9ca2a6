/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/referrers.h"

#include "tests/unit/registry/sample.h"

#include <errno.h>

static const RegistryArtifact artifact = {.artifact_type = REGISTRY_TYPE_BUNDLE,
                                          .title = "release.intoto.jsonl",
                                          .data = "{}\n",
                                          .size_bytes = 3};

static void make(const char *data, const Descriptor *subject, Manifest *ret)
{
    Descriptor blob = sample_descriptor(REGISTRY_TYPE_BUNDLE, data, strlen(data));
    _cleanup_error_ Error err = {0};

    expect_result(referrers_make_manifest(&artifact, subject, &blob, ret, &err), 0, &err);
}

static void the_manifest_says_what_it_is_of(void **state)
{
    Descriptor subject = sample_descriptor(OCI_TYPE_MANIFEST, "subject", 7), empty;
    _cleanup_manifest_ Manifest one = {0}, same = {0};

    referrers_empty_blob(&empty);
    assert_string_equal(empty.digest,
                        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    make("{}\n", &subject, &one);
    make("{}\n", &subject, &same);
    assert_string_equal(one.self.digest, same.self.digest);
    assert_string_equal(json_get_string(json_get(one.json, "subject"), "digest"), subject.digest);
    assert_string_equal(json_get_string(one.json, "artifactType"), REGISTRY_TYPE_BUNDLE);
    assert_string_equal(json_get_string(json_get(one.json, "config"), "digest"), empty.digest);
}

/* Two artifacts, the first twice, under one tag; and all of them come back. */
static void the_index_of_clients(void **state)
{
    Descriptor subject = sample_descriptor(OCI_TYPE_MANIFEST, "subject", 7);
    _cleanup_registry_referrers_ RegistryReferrers all = {0}, none = {0}, other = {0};
    _cleanup_manifest_ Manifest one = {0}, two = {0};
    _cleanup_sample_ SampleHost s = {0};

    make("one", &subject, &one);
    make("two", &subject, &two);
    (void)fake_registry_add_manifest(&s.fake, "a", NULL, OCI_TYPE_MANIFEST, buffer_text(&one.text));
    (void)fake_registry_add_manifest(&s.fake, "a", NULL, OCI_TYPE_MANIFEST, buffer_text(&two.text));
    sample_start(&s);
    expect_result(referrers_list(s.host, "a", subject.digest, NULL, &none, &s.err), 0, &s.err);
    assert_int_equal(none.count, 0);
    expect_result(referrers_add(s.host, "a", &subject, &one, &s.err), 0, &s.err);
    expect_result(referrers_add(s.host, "a", &subject, &two, &s.err), 0, &s.err);
    expect_result(referrers_add(s.host, "a", &subject, &one, &s.err), 0, &s.err);
    assert_int_equal(fake_registry_count(&s.fake, "PUT"), 2);
    expect_result(referrers_list(s.host, "a", subject.digest, REGISTRY_TYPE_BUNDLE, &all, &s.err),
                  0, &s.err);
    assert_int_equal(all.count, 2);
    assert_string_equal(all.items[0].digest, one.self.digest);
    assert_string_equal(all.items[1].title, "release.intoto.jsonl");
    expect_result(referrers_list(s.host, "a", subject.digest, "text/other", &other, &s.err), 0,
                  &s.err);
    assert_int_equal(other.count, 0);
}

/* The registry says that it took it, but another client's index is there after: it is put again. */
static void another_client_was_faster(void **state)
{
    Descriptor subject = sample_descriptor(OCI_TYPE_MANIFEST, "subject", 7);
    _cleanup_manifest_ Manifest one = {0};
    _cleanup_sample_ SampleHost s = {.fake.rules = {{FAULT_STATUS, "PUT", "/", .status = 201}}};

    make("one", &subject, &one);
    (void)fake_registry_add_manifest(&s.fake, "a", NULL, OCI_TYPE_MANIFEST, buffer_text(&one.text));
    sample_start(&s);
    expect_result(referrers_add(s.host, "a", &subject, &one, &s.err), 0, &s.err);
    assert_int_equal(fake_registry_count(&s.fake, "PUT"), 2);
}

static void the_list_of_the_registry(void **state)
{
    Descriptor subject = sample_descriptor(OCI_TYPE_MANIFEST, "subject", 7);
    _cleanup_registry_referrers_ RegistryReferrers all = {0};
    _cleanup_manifest_ Manifest one = {0}, two = {0};
    _cleanup_sample_ SampleHost s = {.fake.has_referrers = true};

    make("one", &subject, &one);
    make("two", &subject, &two);
    (void)fake_registry_add_manifest(&s.fake, "a", NULL, OCI_TYPE_MANIFEST, buffer_text(&one.text));
    (void)fake_registry_add_manifest(&s.fake, "a", NULL, OCI_TYPE_MANIFEST, buffer_text(&two.text));
    sample_start(&s);
    expect_result(referrers_list(s.host, "a", subject.digest, REGISTRY_TYPE_BUNDLE, &all, &s.err),
                  0, &s.err);
    assert_int_equal(all.count, 2);
    assert_int_equal(fake_registry_count(&s.fake, "GET /v2/a/referrers/"), 2); /* pages */
    assert_string_equal(all.items[1].digest, two.self.digest);
}

static void lists_that_are_none(void **state)
{
    static const struct {
        FakeRule rule;
        int result;
    } cases[] = {
        {{FAULT_STATUS, "GET", "referrers", .status = 200, .text = "<html>"}, -EBADMSG},
        {{FAULT_STATUS, "GET", "referrers", .status = 200, .text = "{\"manifests\":[{}]}"},
         -EBADMSG},
        {{FAULT_STATUS, "GET", "referrers", .times = 99, .status = 200, .text = "{}",
          .header = "Link: </v2/a/referrers/x>; rel=\"next\""},
         -EFBIG},
        {{FAULT_STATUS, "GET", "referrers", .times = 99, .status = 400}, -EIO},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Descriptor subject = sample_descriptor(OCI_TYPE_MANIFEST, "subject", 7);
        _cleanup_registry_referrers_ RegistryReferrers all = {0};
        _cleanup_sample_ SampleHost s = {.fake.rules = {cases[i].rule}};

        sample_start(&s);
        expect_result(referrers_list(s.host, "a", subject.digest, NULL, &all, &s.err),
                      cases[i].result, &s.err);
    }
}

static void next_pages(void **state)
{
    static const struct {
        const char *link, *next;
    } cases[] = {
        {NULL, NULL},
        {"", NULL},
        {"</p?2>; rel=\"next\"", "/p?2"},
        {"</p?2>;rel=next", "/p?2"},
        {"</p?1>; rel=\"prev\", </p?3>; rel=\"next\"", "/p?3"},
        {"</p>; rel=\"nextwards\"", NULL},
        {"</p", NULL},
        {"</p>", NULL},
        {"</p>; rel=", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *next = NULL;

        assert_int_equal(referrers_next_page(cases[i].link, &next), 0);
        if (cases[i].next) {
            assert_string_equal(next, cases[i].next);
        } else {
            assert_null(next);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_manifest_says_what_it_is_of),
        cmocka_unit_test(the_index_of_clients),
        cmocka_unit_test(another_client_was_faster),
        cmocka_unit_test(the_list_of_the_registry),
        cmocka_unit_test(lists_that_are_none),
        cmocka_unit_test(next_pages),
    };

    return cmocka_run_group_tests_name("referrers", tests, NULL, NULL);
}
