/* SPDX-License-Identifier: MIT */
#include "agent/deploy/releases.h"

#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Place {
    char path[128];
    Releases releases;
} Place;

static int set_up(void **state)
{
    static Place place;
    const char *base = getenv("TMPDIR");

    (void)snprintf(place.path, sizeof(place.path), "%s/releases.XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(place.path));
    place.releases = RELEASES_INIT;
    assert_int_equal(releases_open(place.path, "prod", &place.releases, NULL), 0);
    *state = &place;
    return 0;
}

static int tear_down(void **state)
{
    Place *place = *state;

    releases_done(&place->releases);
    return file_remove_tree(AT_FDCWD, place->path, NULL);
}

/* What there was, in short: digest, outcome ('s', 'f', '-') and the number it went back to. */
typedef struct Row {
    const char *digest;
    char outcome;
    int of;
} Row;

static void add(Releases *releases, Row row)
{
    _cleanup_json_ Json *filled = json_new_object();
    Json *record = json_new_object();
    char deployment[32];
    unsigned number = 0;

    assert_int_equal(releases_make(releases, &number, NULL), 0);
    (void)snprintf(deployment, sizeof(deployment), "d%u", number);
    assert_int_equal(json_set_string(record, "digest", row.digest), 0);
    assert_int_equal(json_set_string(record, "version", row.digest), 0);
    assert_int_equal(json_set_string(record, "deployment", deployment), 0);
    if (row.outcome != '-') {
        assert_int_equal(
            json_set_string(record, "outcome", row.outcome == 's' ? "succeeded" : "failed"), 0);
    }
    if (row.of) {
        assert_int_equal(json_set_int(record, "of", row.of), 0);
    }
    assert_int_equal(releases_write_file(releases, number, RELEASES_FILLED, filled, NULL), 0);
    assert_int_equal(releases_add_take(releases, number, record, NULL, NULL), 0);
}

static void what_is_written_is_read(void **state)
{
    _cleanup_releases_ Releases again = RELEASES_INIT;
    Place *place = *state;
    KeptRelease *release;

    add(&place->releases, (Row){"A", 's', 0});
    add(&place->releases, (Row){"B", '-', 0});
    assert_int_equal(releases_open(place->path, "prod", &again, NULL), 0);
    assert_int_equal(releases_load(&again, NULL), 0);
    assert_int_equal(again.count, 2);
    assert_int_equal(again.items[0].number, 1);
    assert_string_equal(json_get_string(again.items[1].record, "digest"), "B");
    release = releases_find_unsettled(&again);
    assert_int_equal(release->number, 2);
    assert_int_equal(json_set_string(release->record, "outcome", "succeeded"), 0);
    assert_int_equal(releases_save(&again, release, NULL), 0);
    assert_null(releases_find_unsettled(&again));
}

static void what_has_no_record_is_no_release(void **state)
{
    Place *place = *state;
    struct stat st;
    unsigned number = 0;

    add(&place->releases, (Row){"A", 's', 0});
    assert_int_equal(releases_make(&place->releases, &number, NULL), 0);
    assert_int_equal(number, 2);
    assert_int_equal(mkdirat(place->releases.dir_fd, "notes", 0700), 0);
    assert_int_equal(mkdirat(place->releases.dir_fd, "7", 0700), 0);
    assert_int_equal(releases_clean(&place->releases, NULL), 0);
    assert_int_equal(fstatat(place->releases.dir_fd, "000001", &st, 0), 0);
    assert_int_equal(fstatat(place->releases.dir_fd, "000002", &st, 0), -1);
    /* What is not named as ours is not ours to remove. */
    assert_int_equal(fstatat(place->releases.dir_fd, "notes", &st, 0), 0);
    assert_int_equal(fstatat(place->releases.dir_fd, "7", &st, 0), 0);
}

static void a_record_that_cannot_be_read_is_said(void **state)
{
    _cleanup_releases_ Releases again = RELEASES_INIT;
    _cleanup_error_ Error err = {0};
    Place *place = *state;

    add(&place->releases, (Row){"A", 's', 0});
    assert_int_equal(
        file_replace(place->releases.dir_fd, "000001/record.json", "{\"a\":", 5, 0600, NULL), 0);
    assert_int_equal(releases_open(place->path, "prod", &again, NULL), 0);
    assert_int_equal(releases_load(&again, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "000001/record.json"));
}

/* ---- going back -------------------------------------------------------------------------------
 */

#define ROWS_MAX 8

static void where_a_rollback_goes(void **state)
{
    static const struct {
        const char *name;
        Row rows[ROWS_MAX];
        const char *running; /* a deployment */
        int wanted;          /* 0: nowhere */
    } cases[] = {
        {"to the one before", {{"A", 's', 0}, {"B", 's', 0}}, "d2", 1},
        {"over what failed", {{"A", 's', 0}, {"B", 'f', 0}, {"C", 's', 0}}, "d3", 1},
        {"over what nobody saw end", {{"A", 's', 0}, {"B", '-', 0}, {"C", 's', 0}}, "d3", 1},
        {"from what failed to come, by what serves",
         {{"A", 's', 0}, {"B", 's', 0}, {"C", 'f', 0}},
         "d2",
         1},
        {"over the same content", {{"A", 's', 0}, {"B", 's', 0}, {"B", 's', 0}}, "d3", 1},
        {"further back the second time",
         {{"A", 's', 0}, {"B", 's', 0}, {"C", 's', 0}, {"B", 's', 2}},
         "d4",
         1},
        {"not forward to what was left", {{"A", 's', 0}, {"B", 's', 0}, {"A", 's', 1}}, "d3", 0},
        {"to what ran before, also where that was a rollback",
         {{"A", 's', 0}, {"B", 's', 0}, {"A", 's', 1}, {"C", 's', 0}},
         "d4",
         3},
        {"nowhere from the first", {{"A", 's', 0}}, "d1", 0},
        {"nowhere where there is nothing", {{0}}, "d1", 0},
        {"to the newest from what is none of ours", {{"A", 's', 0}, {"B", 's', 0}}, "x", 2},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_error_ Error err = {0};
        KeptRelease *target = NULL;
        Place *place;
        EngineCurrent current = {.deployment = (char *)cases[i].running};
        int r;

        (void)set_up(state);
        place = *state;
        for (size_t j = 0; j < ROWS_MAX && cases[i].rows[j].digest; j++) {
            add(&place->releases, cases[i].rows[j]);
        }
        r = releases_find_target(&place->releases,
                                 releases_find_running(&place->releases, &current), NULL, &target,
                                 &err);
        if (r != (cases[i].wanted ? 0 : -ENOENT) ||
            (target && (int)target->number != cases[i].wanted)) {
            fail_msg("%s: %d, release %u", cases[i].name, r, target ? target->number : 0);
        }
        (void)tear_down(state);
    }
}

static void a_digest_says_where_to(void **state)
{
    _cleanup_error_ Error err = {0};
    KeptRelease *target = NULL;
    Place *place = *state;

    add(&place->releases, (Row){"A", 's', 0});
    add(&place->releases, (Row){"B", 'f', 0});
    add(&place->releases, (Row){"A", 's', 0});
    assert_int_equal(releases_find_target(&place->releases, NULL, "A", &target, &err), 0);
    assert_int_equal(target->number, 3);
    assert_int_equal(releases_find_target(&place->releases, NULL, "B", &target, &err), -ENOENT);
    assert_non_null(
        strstr(error_text(&err), "'B' is not among the kept releases of 'prod': A (A)"));
}

static void a_version_or_commit_says_where_to(void **state)
{
    static const char commit[] = "0123456789abcdef0123456789abcdef01234567";
    _cleanup_error_ Error err = {0};
    KeptRelease *target = NULL;
    Place *place = *state;

    add(&place->releases, (Row){"A", 's', 0});
    add(&place->releases, (Row){"B", 's', 0});
    add(&place->releases, (Row){"C", 's', 0});
    assert_int_equal(json_set_string(place->releases.items[0].record, "version", "1.0"), 0);
    assert_int_equal(json_set_string(place->releases.items[0].record, "commit", commit), 0);
    assert_int_equal(json_set_string(place->releases.items[1].record, "version", "1.1"), 0);
    assert_int_equal(json_set_string(place->releases.items[2].record, "version", "1.1"), 0);
    assert_int_equal(releases_find_target(&place->releases, NULL, "1.0", &target, &err), 0);
    assert_int_equal(target->number, 1);
    target = NULL;
    assert_int_equal(releases_find_target(&place->releases, NULL, "0123456", &target, &err), 0);
    assert_int_equal(target->number, 1);
    assert_int_equal(releases_find_target(&place->releases, NULL, "012345", &target, NULL),
                     -ENOENT);
    assert_int_equal(releases_find_target(&place->releases, NULL, "1.1", &target, &err), -ENOTUNIQ);
    assert_non_null(strstr(error_text(&err), "'1.1' may be C or B"));
}

static void what_there_is_to_go_back_to(void **state)
{
    _cleanup_json_ Json *list = NULL;
    Place *place = *state;

    add(&place->releases, (Row){"A", 's', 0});
    add(&place->releases, (Row){"B", 's', 0});
    add(&place->releases, (Row){"C", 'f', 0});
    add(&place->releases, (Row){"B", 's', 0});
    assert_int_equal(json_set_int(place->releases.items[0].record, "committedAt", 1700000000), 0);
    assert_int_equal(releases_describe(&place->releases, &place->releases.items[3], &list), 0);
    assert_int_equal(json_length(list), 2);
    assert_string_equal(json_get_string(json_at(list, 0), "digest"), "B");
    assert_int_equal(json_get_int(json_at(list, 0), "release", 0), 4);
    assert_true(json_get_bool(json_at(list, 0), "isRunning", false));
    assert_false(json_get_bool(json_at(list, 0), "isBefore", true));
    assert_string_equal(json_get_string(json_at(list, 1), "digest"), "A");
    assert_string_equal(json_get_string(json_at(list, 1), "committedAt"),
                        "2023-11-14T22:13:20.000000Z");
    assert_true(json_get_bool(json_at(list, 1), "isBefore", false));
}

static void what_was_put_back_is_what_runs(void **state)
{
    EngineCurrent by_back = {.deployment = (char *)"d2-back"};
    EngineCurrent by_digest = {.deployment = (char *)"x", .digest = (char *)"A"};
    EngineCurrent by_nothing = {.deployment = (char *)"x", .digest = (char *)"Z"};
    Json *before = json_new_object();
    Place *place = *state;

    add(&place->releases, (Row){"A", 's', 0});
    add(&place->releases, (Row){"B", 'f', 0});
    assert_int_equal(json_set_int(before, "number", 1), 0);
    assert_int_equal(json_set_take(place->releases.items[1].record, "before", before), 0);
    assert_int_equal(json_set_string(place->releases.items[1].record, "putBackAs", "d2-back"), 0);
    assert_int_equal(releases_find_running(&place->releases, &by_back)->number, 1);
    assert_int_equal(releases_find_running(&place->releases, &by_digest)->number, 1);
    assert_null(releases_find_running(&place->releases, &by_nothing));
}

/* ---- forgetting -------------------------------------------------------------------------------
 */

static void the_oldest_go(void **state)
{
    static const struct {
        const char *name;
        Row rows[ROWS_MAX];
        unsigned keep;
        const char *running;
        const char *left; /* numbers */
    } cases[] = {
        {"all fit", {{"A", 's', 0}, {"B", 's', 0}}, 5, "d2", "12"},
        {"the newest stay",
         {{"A", 's', 0}, {"B", 's', 0}, {"C", 's', 0}, {"D", 's', 0}},
         2,
         "d4",
         "34"},
        {"one is enough, and the way back",
         {{"A", 's', 0}, {"B", 's', 0}, {"C", 's', 0}},
         1,
         "d3",
         "23"},
        {"failures push no success out",
         {{"A", 's', 0}, {"B", 's', 0}, {"C", 'f', 0}, {"D", 'f', 0}, {"E", 'f', 0}},
         2,
         "d2",
         "1245"},
        {"what runs stays, however old",
         {{"A", 's', 0}, {"B", 's', 0}, {"C", 's', 0}, {"D", 's', 0}},
         1,
         "d2",
         "124"},
        {"what a rollback needs stays",
         {{"A", 's', 0}, {"B", 's', 0}, {"C", 's', 0}, {"A", 's', 1}, {"D", 's', 0}},
         1,
         "d5",
         "145"},
        {"what nobody saw end stays",
         {{"A", '-', 0}, {"B", 's', 0}, {"C", 's', 0}, {"D", 'f', 0}},
         1,
         "d3",
         "1234"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_releases_ Releases again = RELEASES_INIT;
        char left[ROWS_MAX + 1] = "", on_disk[ROWS_MAX + 1] = "";
        EngineCurrent current = {.deployment = (char *)cases[i].running};
        Place *place;

        (void)set_up(state);
        place = *state;
        for (size_t j = 0; j < ROWS_MAX && cases[i].rows[j].digest; j++) {
            add(&place->releases, cases[i].rows[j]);
        }
        assert_int_equal(releases_forget(&place->releases, cases[i].keep,
                                         releases_find_running(&place->releases, &current), NULL),
                         0);
        assert_int_equal(releases_open(place->path, "prod", &again, NULL), 0);
        assert_int_equal(releases_load(&again, NULL), 0);
        for (size_t j = 0; j < place->releases.count; j++) {
            left[j] = (char)('0' + place->releases.items[j].number);
        }
        for (size_t j = 0; j < again.count; j++) {
            on_disk[j] = (char)('0' + again.items[j].number);
        }
        if (strcmp(left, cases[i].left) != 0 || strcmp(on_disk, cases[i].left) != 0) {
            fail_msg("%s: %s and %s instead of %s", cases[i].name, left, on_disk, cases[i].left);
        }
        (void)tear_down(state);
    }
}

/* A number that was forgotten does not come again, or a record would speak of another. */
static void numbers_only_grow(void **state)
{
    EngineCurrent current = {.deployment = (char *)"d3"};
    unsigned number = 0;
    Place *place = *state;

    for (int i = 0; i < 3; i++) {
        add(&place->releases, (Row){i == 2 ? "B" : "A", 's', 0});
    }
    assert_int_equal(releases_forget(&place->releases, 1,
                                     releases_find_running(&place->releases, &current), NULL),
                     0);
    assert_int_equal(releases_make(&place->releases, &number, NULL), 0);
    assert_int_equal(number, 4);
}

#define with_place(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_place(what_is_written_is_read),
        with_place(what_has_no_record_is_no_release),
        with_place(a_record_that_cannot_be_read_is_said),
        cmocka_unit_test(where_a_rollback_goes),
        with_place(a_digest_says_where_to),
        with_place(a_version_or_commit_says_where_to),
        with_place(what_there_is_to_go_back_to),
        with_place(what_was_put_back_is_what_runs),
        cmocka_unit_test(the_oldest_go),
        with_place(numbers_only_grow),
    };

    return cmocka_run_group_tests_name("releases", tests, NULL, NULL);
}
