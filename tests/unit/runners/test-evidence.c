/* SPDX-License-Identifier: MIT */
#include "agent/runners/evidence.h"

#include "agent/release/host-key.h"
#include "protocol/evidence/bundle.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define COMMIT "0123456789012345678901234567890123456789"

typedef struct Place {
    Spec spec;
    Report report;
    char call[96];
    char keys[96];
    char audit[96];
} Place;

static void open_place(void **state, Place *place)
{
    (void)snprintf(place->call, sizeof(place->call), "%s/call", SCRATCH_PATH);
    (void)snprintf(place->keys, sizeof(place->keys), "%s/keys", SCRATCH_PATH);
    (void)snprintf(place->audit, sizeof(place->audit), "%s/audit", SCRATCH_PATH);
    place->spec = (Spec){
        .call = "c1",
        .agent = "builder-1",
        .action = "test",
        .run = "r1",
        .call_directory = place->call,
        .keys_directory = place->keys,
        .audit_directory = place->audit,
    };
    assert_int_equal(mkdirat(SCRATCH_FD, "call", 0755), 0);
    assert_int_equal(mkdirat(SCRATCH_FD, "call/artifacts", 0755), 0);
    place->report.fd = openat(SCRATCH_FD, "reports", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void close_place(Place *place)
{
    (void)fd_close(place->report.fd);
}

static Json *passed(void)
{
    Json *predicate = NULL;

    assert_int_equal(
        json_parse("{\"result\":\"PASSED\",\"configuration\":[]}", 38, &predicate, NULL), 0);
    return predicate;
}

static int state_it(Place *place, const Json *predicate, Error *err)
{
    return evidence_state(&place->spec, &place->report, STATEMENT_TEST_RESULT,
                          &(StatementSubject){"greeter", "gitCommit", COMMIT}, 1, predicate, err);
}

static void states_what_the_hosts_key_proves(void **state)
{
    _cleanup_(close_place) Place place = {0};
    _cleanup_json_ Json *predicate = passed();
    _cleanup_trust_ Trust trust = {0};
    _cleanup_bundle_ Bundle bundle = {0};
    _cleanup_free_ char *line = NULL, *reports = NULL;
    size_t n;

    open_place(state, &place);
    assert_int_equal(state_it(&place, predicate, NULL), 0);
    line = scratch_read(SCRATCH_FD, "call/artifacts/" BUNDLE_FILE, &n);
    assert_int_equal(host_key_trust(place.keys, "builder-1", NULL, &trust, NULL), 0);
    assert_int_equal(bundle_add(&bundle, line, n, trust.keys, trust.count, NULL), 0);
    assert_int_equal(bundle.count, 1);
    assert_int_equal(bundle.entries[0].trust, BUNDLE_TRUSTED);
    assert_string_equal(statement_commit(&bundle.entries[0].statement), COMMIT);
    reports = scratch_read(SCRATCH_FD, "reports", NULL);
    assert_non_null(strstr(reports, "\"type\":\"artifact\",\"name\":\"" BUNDLE_FILE "\""));
}

static void states_nothing_without_a_key_or_sense(void **state)
{
    _cleanup_(close_place) Place place = {0};
    _cleanup_json_ Json *predicate = passed();
    _cleanup_error_ Error err = {0};

    open_place(state, &place);
    assert_int_equal(state_it(&place, NULL, NULL), -ENOMEM);
    assert_int_equal(json_set_string(predicate, "result", "PERHAPS"), 0);
    assert_int_equal(state_it(&place, predicate, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "stating the test-result"));
    place.spec.keys_directory = NULL;
    assert_int_equal(state_it(&place, predicate, NULL), 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "call/artifacts"), 0);
}

static void says_what_cannot_be_written(void **state)
{
    _cleanup_(close_place) Place place = {0};
    _cleanup_json_ Json *predicate = passed();
    _cleanup_error_ Error err = {0};

    open_place(state, &place);
    assert_int_equal(unlinkat(SCRATCH_FD, "call/artifacts", AT_REMOVEDIR), 0);
    assert_true(state_it(&place, predicate, &err) < 0);
    assert_non_null(strstr(error_text(&err), "stating the test-result"));
}

/* What every record has comes first, and no member of the call's can pose as it. */
static void records_for_whom_it_is(void **state)
{
    _cleanup_(close_place) Place place = {0};
    _cleanup_free_ char *log = NULL;
    Json *members = json_new_object();
    ChainHead head = {0};

    open_place(state, &place);
    place.spec.environment_name = "prod";
    assert_int_equal(json_set_string(members, "digest", "sha256:1"), 0);
    assert_int_equal(evidence_record_take(&place.spec, "requested", members, &head, NULL), 0);
    assert_int_equal(head.seq, 1);
    log = scratch_read(SCRATCH_FD, "audit/log", NULL);
    assert_non_null(strstr(log,
                           "\"event\":\"requested\",\"call\":\"c1\",\"action\":\"test\",\"run\":"
                           "\"r1\",\"environment\":\"prod\",\"digest\":\"sha256:1\"}\n"));
}

static void records_nothing_where_there_is_no_log(void **state)
{
    _cleanup_(close_place) Place place = {0};

    open_place(state, &place);
    place.spec.audit_directory = NULL;
    assert_int_equal(evidence_record_take(&place.spec, "requested", json_new_object(), NULL, NULL),
                     0);
    evidence_record_end_take(&place.spec, 1.5, "failed", "why", json_new_object());
    assert_int_equal(faccessat(SCRATCH_FD, "audit", F_OK, 0), -1);
}

static void records_how_it_ended(void **state)
{
    _cleanup_(close_place) Place place = {0};
    _cleanup_free_ char *log = NULL;
    Json *members = json_new_object();

    open_place(state, &place);
    assert_int_equal(evidence_set_time(members, "committedAt", 1700000000000000), 0);
    evidence_record_end_take(&place.spec, 1.5, "failed", "it would not", members);
    evidence_record_end_take(&place.spec, 0, "succeeded", NULL,
                             NULL); /* out of memory: no record */
    log = scratch_read(SCRATCH_FD, "audit/log", NULL);
    assert_non_null(strstr(log, "\"event\":\"finished\""));
    assert_non_null(strstr(log, "\"outcome\":\"failed\""));
    assert_non_null(strstr(log, "\"reason\":\"it would not\""));
    assert_non_null(strstr(log, "\"seconds\":1.5"));
    assert_non_null(strstr(log, "\"committedAt\":\"2023-11-14T22:13:20.000000Z\""));
    assert_null(strstr(log, "\"outcome\":\"succeeded\""));
}

static void names_the_agent(void **state)
{
    _cleanup_free_ char *named = evidence_agent_uri(&(Spec){.agent = "builder-1"});
    _cleanup_free_ char *unnamed = evidence_agent_uri(&(Spec){0});

    assert_string_equal(named, "slipway:agent/builder-1");
    assert_string_equal(unnamed, "slipway:agent/unnamed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(states_what_the_hosts_key_proves),
        scratch_test(states_nothing_without_a_key_or_sense),
        scratch_test(says_what_cannot_be_written),
        scratch_test(records_for_whom_it_is),
        scratch_test(records_nothing_where_there_is_no_log),
        scratch_test(records_how_it_ended),
        cmocka_unit_test(names_the_agent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
