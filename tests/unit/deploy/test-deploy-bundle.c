/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/deploy-bundle.h"

#include "protocol/artifact/digest.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define COMMIT "0123456789012345678901234567890123456789"
#define EVIDENCE(call) "calls/" call "/artifacts/" BUNDLE_FILE

/* The host of a run r, and of a call p of another run, q, that made the package. */
typedef struct Place {
    Spec spec;
    Json *parameters;
    Trust trust;
    Bundle bundle;
    char calls[96];
    char inputs[96];
    char workspace[96];
} Place;

static void open_place(void **state, Place *place, const char *parameters)
{
    Key *key = NULL;

    (void)snprintf(place->calls, sizeof(place->calls), "%s/calls", SCRATCH_PATH);
    (void)snprintf(place->inputs, sizeof(place->inputs), "%s/inputs", SCRATCH_PATH);
    (void)snprintf(place->workspace, sizeof(place->workspace), "%s/runs/r/workspace", SCRATCH_PATH);
    assert_int_equal(json_parse(parameters, strlen(parameters), &place->parameters, NULL), 0);
    place->spec = (Spec){
        .run = "r",
        .parameters = place->parameters,
        .calls_directory = place->calls,
        .inputs_directory = place->inputs,
        .workspace = place->workspace,
    };
    scratch_write_text(SCRATCH_FD, "runs/r/workspace/x", "");
    assert_int_equal(key_generate(&key, NULL), 0);
    assert_int_equal(trust_add_key_take(&place->trust, "builder-1", key, KEY_ROLE_TESTER, NULL), 0);
}

static void close_place(Place *place)
{
    (void)json_unref(place->parameters);
    bundle_done(&place->bundle);
    trust_done(&place->trust);
}

/* A line that is like no other. */
static void append(const Place *place, Buffer *text, const char *result)
{
    static const char format[] =
        "{\"_type\":\"https://in-toto.io/Statement/"
        "v1\",\"subject\":[{\"digest\":{\"gitCommit\":\"" COMMIT
        "\"}}],\"predicateType\":\"https://in-toto.io/attestation/test-result/v0.1\",\"predicate\":"
        "{\"result\":\"%s\",\"configuration\":[]}}";
    char payload[512];
    int n = snprintf(payload, sizeof(payload), format, result);

    assert_int_equal(dsse_append_signed(text, place->trust.keys[0].key, payload, (size_t)n, NULL),
                     0);
}

static void write_evidence(void **state, const Place *place, const char *file, const char *result)
{
    _cleanup_buffer_ Buffer text = {0};

    append(place, &text, result);
    scratch_write(SCRATCH_FD, file, text.data, text.len, 0644);
}

static void write_input(void **state, const char *name, const char *text, size_t n)
{
    char path[128], sha256[DIGEST_HEX_SIZE];

    (void)snprintf(path, sizeof(path), "inputs/%s", name);
    scratch_write(SCRATCH_FD, path, text, n, 0644);
    assert_int_equal(digest_bytes(text, n, sha256), 0);
    (void)snprintf(path, sizeof(path), "inputs/%s.sha256", name);
    scratch_write_text(SCRATCH_FD, path, sha256);
}

static void brings_what_the_run_and_the_packages_run_stated(void **state)
{
    _cleanup_(close_place) Place place = {0};

    open_place(state, &place, "{\"package\":{\"call\":\"p\"}}");
    scratch_write_text(SCRATCH_FD, "runs/r/calls/t", "");
    scratch_write_text(SCRATCH_FD, "runs/r/calls/silent", "");
    scratch_write_text(SCRATCH_FD, "runs/q/calls/p", "");
    scratch_write_text(SCRATCH_FD, "runs/q/calls/u", "");
    scratch_write_text(SCRATCH_FD, "calls/p/spec.json", "{\"run\":\"q\"}");
    write_evidence(state, &place, EVIDENCE("t"), "PASSED");
    write_evidence(state, &place, EVIDENCE("p"), "WARNED");
    write_evidence(state, &place, EVIDENCE("u"), "FAILED");
    write_evidence(state, &place, EVIDENCE("strange"),
                   "PASSED"); /* of a run that is not concerned */
    assert_int_equal(deploy_bundle_read(&place.spec, &place.trust, &place.bundle, NULL), 0);
    assert_int_equal(place.bundle.count, 3);
}

static void brings_what_was_sent(void **state)
{
    _cleanup_(close_place) Place place = {0};
    _cleanup_buffer_ Buffer text = {0};

    open_place(state, &place, "{\"evidence\":{\"input\":\"e\"}}");
    append(&place, &text, "PASSED");
    append(&place, &text, "FAILED");
    write_input(state, "e", buffer_text(&text), text.len);
    assert_int_equal(deploy_bundle_read(&place.spec, &place.trust, &place.bundle, NULL), 0);
    assert_int_equal(place.bundle.count, 2);
    assert_int_equal(place.bundle.entries[1].trust, BUNDLE_TRUSTED);
}

static void says_what_is_no_evidence(void **state)
{
    static const struct {
        const char *text; /* NULL: nothing was sent */
        const char *expected;
    } rows[] = {
        {NULL, "no complete input 'e'"},
        {"{\"payload\":1}\n", "the input 'e' is no evidence: line 1 of the bundle"},
        {"\n\nhello\n", "line 3 of the bundle"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(close_place) Place place = {0};
        _cleanup_error_ Error err = {0};

        open_place(state, &place, "{\"evidence\":{\"input\":\"e\"}}");
        if (rows[i].text) {
            write_input(state, "e", rows[i].text, strlen(rows[i].text));
        }
        assert_int_equal(deploy_bundle_read(&place.spec, &place.trust, &place.bundle, &err),
                         DEPLOY_BUNDLE_BAD);
        if (!strstr(error_text(&err), rows[i].expected)) {
            fail_msg("%s", error_text(&err));
        }
    }
}

static void nothing_is_nothing(void **state)
{
    _cleanup_(close_place) Place place = {0};

    open_place(state, &place, "{\"package\":{\"call\":\"..\"}}");
    place.spec.run = NULL;
    assert_int_equal(deploy_bundle_read(&place.spec, &place.trust, &place.bundle, NULL), 0);
    place.spec.calls_directory = NULL;
    assert_int_equal(deploy_bundle_read(&place.spec, &place.trust, &place.bundle, NULL), 0);
    assert_int_equal(place.bundle.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(brings_what_the_run_and_the_packages_run_stated),
        scratch_test(brings_what_was_sent),
        scratch_test(says_what_is_no_evidence),
        scratch_test(nothing_is_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
