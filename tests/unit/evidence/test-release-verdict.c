/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/release-verdict.h"

#include "plugin/cli/report/moment.h"
#include "tests/unit/evidence/entries.h"

#include <stdlib.h>

#define NOW "2026-11-25T12:00:00Z"
#define WHOLE                                                                \
    PROVENANCE("trusted")                                                    \
    "," TEST_RESULT("trusted", "PASSED") "," STAGED("trusted") "," VERIFIED( \
        "trusted") "," APPROVAL("trusted")

typedef struct Asked {
    SlipwayJson *entries;
    SlipwayJson *requires;
    ReleaseSubject subject;
    ReleaseVerdict verdict;
} Asked;

static void ask_at(Asked *asked, const char *text, const char *requires, bool has_keys,
                   const char *now)
{
    ReleaseQuestion question;

    *asked =
        (Asked){.entries = parse_text(text), .requires = requires ? parse_text(requires) : NULL};
    asked->subject = (ReleaseSubject){
        .digest = "sha256:" HEX,
        .commit = COMMIT,
        .run = "r7",
    };
    question = (ReleaseQuestion){
        .entries = asked->entries,
        .subject = &asked->subject,
        .environment = "prod",
        .requires = asked->requires,
        .has_keys = has_keys,
    };
    assert_int_equal(moment_parse(now, &question.now_us), 0);
    assert_int_equal(release_verdict_make(&question, &asked->verdict), 0);
}

static void asked_done(Asked *asked)
{
    release_verdict_done(&asked->verdict);
    (void)slipway_json_unref(asked->entries);
    (void)slipway_json_unref(asked->requires);
}

static void ask(Asked *asked, const char *text)
{
    ask_at(asked, text, NULL, true, NOW);
}

/* That one piece is in this state, for a reason and with a remedy that have these words, and all
 * others are good. */
static void expect_piece_at(const char *text, PieceIndex index, PieceState state,
                            const char *reason, const char *mend, const char *now)
{
    Asked asked;

    ask_at(&asked, text, NULL, true, now);
    assert_false(asked.verdict.is_ready);
    for (size_t i = 0; i < RELEASE_PIECES; i++) {
        const ReleasePiece *piece = &asked.verdict.pieces[i];

        assert_true(piece->is_demanded);
        if (i != index) {
            assert_int_equal(piece->state, PIECE_GOOD);
            assert_null(piece->reason);
            assert_null(piece->mend);
            continue;
        }
        assert_int_equal(piece->state, state);
        if (!strstr(piece->reason, reason) || !strstr(piece->mend, mend)) {
            fail_msg("'%s' and '%s' are not in: %s; %s", reason, mend, piece->reason, piece->mend);
        }
    }
    asked_done(&asked);
}

static void expect_piece(const char *text, PieceIndex index, PieceState state, const char *reason,
                         const char *mend)
{
    expect_piece_at(text, index, state, reason, mend, NOW);
}

static void the_whole_is_ready(void **state)
{
    static const char *const names[] = {"provenance", "tests", "staging", "verification",
                                        "approval"};
    Asked asked;

    ask(&asked, "[" WHOLE "]");
    assert_true(asked.verdict.is_ready);
    for (size_t i = 0; i < RELEASE_PIECES; i++) {
        assert_string_equal(asked.verdict.pieces[i].name, names[i]);
        assert_non_null(asked.verdict.pieces[i].entry);
    }
    asked_done(&asked);
}

static void what_is_missing_is_named_with_the_command(void **state)
{
#define P PROVENANCE("trusted")
#define T TEST_RESULT("trusted", "PASSED")
#define S STAGED("trusted")
#define V VERIFIED("trusted")
#define A APPROVAL("trusted")
    expect_piece("[" T "," S "," V "," A "]", PIECE_PROVENANCE, PIECE_MISSING, "there is none",
                 "slipway call package --run r7, then slipway release collect --run r7");
    expect_piece("[" P "," S "," V "," A "]", PIECE_TESTS, PIECE_MISSING, "there is none",
                 "slipway call test --run r7");
    expect_piece("[" P "," T "," V "," A "]", PIECE_STAGING, PIECE_MISSING, "there is none",
                 "slipway call deploy-staging --run r7");
    expect_piece("[" P "," T "," S "," A "]", PIECE_VERIFICATION, PIECE_MISSING, "there is none",
                 "slipway call verify-staging --run r7");
    expect_piece("[" P "," T "," S "," V "]", PIECE_APPROVAL, PIECE_MISSING, "there is none",
                 "slipway approve --env prod");
}

static void what_is_about_something_else_does_not_count(void **state)
{
    expect_piece("[" PROVENANCE_OF("trusted", OF_OTHER, COMMIT) "," T "," S "," V "," A "]",
                 PIECE_PROVENANCE, PIECE_MISSING, "something else", "package");
    expect_piece("[" P "," T "," DEPLOYMENT("trusted", "prod") "," V "," A "]", PIECE_STAGING,
                 PIECE_MISSING, "something else", "deploy-staging");
    expect_piece("[" P "," T "," S "," VERIFICATION("trusted", "staging2", "PASSED", "x") "," A "]",
                 PIECE_VERIFICATION, PIECE_MISSING, "something else", "verify-staging");
    expect_piece("[" P "," T "," S "," V "," APPROVAL_OF("trusted", "staging", COMMIT, CHANGE) "]",
                 PIECE_APPROVAL, PIECE_MISSING, "something else", "slipway approve");
}

static void what_is_said_has_to_be_the_right_thing(void **state)
{
    expect_piece("[" P "," TEST_RESULT("trusted", "FAILED") "," S "," V "," A "]", PIECE_TESTS,
                 PIECE_BAD, "did not pass", "slipway call test");
    expect_piece("[" P "," T "," S "," VERIFICATION("trusted", "staging", "FAILED", "x") "," A "]",
                 PIECE_VERIFICATION, PIECE_BAD, "did not pass its verification", "verify-staging");
    expect_piece("[" P "," T "," S "," V
                 "," APPROVAL_OF("trusted", "prod", OTHER_COMMIT, CHANGE) "]",
                 PIECE_APPROVAL, PIECE_BAD, "another commit", "slipway approve");
    expect_piece("[" P "," T "," S "," V "," APPROVAL_OF("trusted", "prod", COMMIT, "") "]",
                 PIECE_APPROVAL, PIECE_BAD, "which change", "slipway approve");
    expect_piece_at("[" WHOLE "]", PIECE_APPROVAL, PIECE_BAD, "expired at 2026-11-25T14:03:00Z",
                    "slipway approve", "2026-11-25T14:04:01Z");
    expect_piece_at("[" WHOLE "]", PIECE_APPROVAL, PIECE_BAD, "from the future", "slipway approve",
                    "2026-11-25T10:01:59Z");
}

/* A minute of two clocks is nobody's fault. */
static void clocks_may_differ_a_little(void **state)
{
    static const char *const moments[] = {"2026-11-25T14:04:00Z", "2026-11-25T10:02:00Z"};

    for (size_t i = 0; i < 2; i++) {
        Asked asked;

        ask_at(&asked, "[" WHOLE "]", NULL, true, moments[i]);
        assert_true(asked.verdict.is_ready);
        asked_done(&asked);
    }
}

static void who_signed_it_has_to_be_believed(void **state)
{
    Asked asked;

    expect_piece("[" PROVENANCE("untrusted") "," T "," S "," V "," A "]", PIECE_PROVENANCE,
                 PIECE_UNKNOWN, "it names 0123456789abcdef)", "with the role builder");
    expect_piece("[" P "," T "," S "," V "," APPROVAL("wrong_role") "]", PIECE_APPROVAL,
                 PIECE_WRONG_ROLE, "signed by 'somebody', which has not the role approver",
                 "with the role approver");
    ask_at(&asked, "[" PROVENANCE("untrusted") "]", NULL, false, NOW);
    assert_int_equal(asked.verdict.pieces[PIECE_PROVENANCE].state, PIECE_UNKNOWN);
    assert_non_null(strstr(asked.verdict.pieces[PIECE_PROVENANCE].reason, "no keys"));
    assert_non_null(strstr(asked.verdict.pieces[PIECE_PROVENANCE].mend, "--keys"));
    asked_done(&asked);
}

/* Any good one will do, wherever it stands; of verifications the newest that is believed counts. */
static void of_several_the_one_that_counts(void **state)
{
    Asked asked;

    ask(&asked, "[" TEST_RESULT("trusted", "FAILED") "," TEST_RESULT(
                    "untrusted", "FAILED") "," WHOLE "," TEST_RESULT("trusted", "FAILED") "]");
    assert_true(asked.verdict.is_ready);
    asked_done(&asked);
    expect_piece("[" WHOLE
                 "," VERIFICATION("trusted", "staging", "FAILED", "2026-11-25T10:05:00Z") "]",
                 PIECE_VERIFICATION, PIECE_BAD, "did not pass", "verify-staging");
    ask(&asked,
        "[" VERIFICATION("trusted", "staging", "FAILED",
                         "2026-11-25T10:01:59Z") "," WHOLE
                                                 "," VERIFICATION("untrusted", "staging", "FAILED",
                                                                  "2026-11-25T11:00:00Z") "]");
    assert_true(asked.verdict.is_ready);
    asked_done(&asked);
}

static void what_an_environment_does_not_demand_may_be_missing(void **state)
{
    Asked asked;

    ask_at(&asked, "[" T "]", "{}", true, NOW);
    assert_true(asked.verdict.is_ready);
    assert_false(asked.verdict.pieces[PIECE_APPROVAL].is_demanded);
    asked_done(&asked);

    ask_at(&asked, "[" P "," T "]", "{\"provenance\":true,\"tests\":true,\"approval\":false}", true,
           NOW);
    assert_true(asked.verdict.is_ready);
    asked_done(&asked);

    ask_at(&asked, "[" DEPLOYMENT("trusted", "try") "," S "]", "{\"staging\":\"try\"}", true, NOW);
    assert_false(asked.verdict.is_ready);
    assert_int_equal(asked.verdict.pieces[PIECE_STAGING].state, PIECE_GOOD);
    assert_non_null(strstr(asked.verdict.pieces[PIECE_VERIFICATION].mend, "verify-try"));
    asked_done(&asked);

    ask_at(&asked, "[" APPROVAL_OF("trusted", "prod", COMMIT, "") "]", "{\"approval\":true}", true,
           NOW);
    assert_true(asked.verdict.is_ready); /* nor the change, which goes with it */
    asked_done(&asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_is_ready),
        cmocka_unit_test(what_is_missing_is_named_with_the_command),
        cmocka_unit_test(what_is_about_something_else_does_not_count),
        cmocka_unit_test(what_is_said_has_to_be_the_right_thing),
        cmocka_unit_test(clocks_may_differ_a_little),
        cmocka_unit_test(who_signed_it_has_to_be_believed),
        cmocka_unit_test(of_several_the_one_that_counts),
        cmocka_unit_test(what_an_environment_does_not_demand_may_be_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
