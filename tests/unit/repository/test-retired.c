/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/retired.h"

#include "tests/unit/scratch.h"

#define DAY_US ((int64_t)24 * 3600 * 1000000)
#define LIST ".retired"

static PublishTarget *open_target(void **state)
{
    PublishTarget *target = NULL;

    assert_int_equal(publish_target_open(SCRATCH_PATH, NULL, &target, NULL), 0);
    return target;
}

static void sweep(PublishTarget *target, const char *const *added, size_t n_added, const char *kept,
                  int64_t now_us)
{
    _cleanup_retired_ Retired retired = {0};

    assert_int_equal(retired_read(target, LIST, &retired, NULL), 0);
    if (kept) {
        assert_int_equal(retired_keep(&retired, kept), 0);
    }
    for (size_t i = 0; i < n_added; i++) {
        assert_int_equal(retired_add(&retired, added[i], now_us), 0);
    }
    assert_int_equal(retired_sweep(target, &retired, now_us, NULL), 0);
}

static void expect_empty_list(void **state)
{
    _cleanup_free_ char *text = scratch_read(SCRATCH_FD, LIST, NULL);
    _cleanup_json_ Json *list = NULL;

    assert_int_equal(json_parse(text, strlen(text), &list, NULL), 0);
    assert_int_equal(json_type_of(list), JSON_ARRAY);
    assert_int_equal(json_length(list), 0);
}

static void test_stay(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(state);

    scratch_write_text(SCRATCH_FD, "a", "");
    scratch_write_text(SCRATCH_FD, "b", "");
    sweep(target, (const char *const[]){"a", "b", "a"}, 3, NULL, DAY_US);
    sweep(target, NULL, 0, NULL, 2 * DAY_US);
    assert_true(file_exists(SCRATCH_FD, "a"));
    sweep(target, NULL, 0, "b", 2 * DAY_US + 1); /* b is named again */
    assert_false(file_exists(SCRATCH_FD, "a"));
    assert_true(file_exists(SCRATCH_FD, "b"));
    expect_empty_list(state);
}

/* However many go at once, they stay until the next time: the index may name them still. */
static void test_too_many(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(state);
    char names[RETIRED_MAX + 2][16];
    const char *list[RETIRED_MAX + 2];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void)snprintf(names[i], sizeof(names[i]), "f%zu", i);
        list[i] = names[i];
        scratch_write_text(SCRATCH_FD, names[i], "");
    }
    sweep(target, list, ARRAY_SIZE(list), NULL, DAY_US);
    assert_true(file_exists(SCRATCH_FD, "f0"));
    sweep(target, NULL, 0, NULL, DAY_US);
    assert_false(file_exists(SCRATCH_FD, "f0"));
    assert_false(file_exists(SCRATCH_FD, "f1"));
    assert_true(file_exists(SCRATCH_FD, "f2"));
}

static void test_list_that_cannot_be_understood(void **state)
{
    static const char *const rows[] = {"", "{", "{}", "[1]", "[{\"name\":1}]"};
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(state);

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        scratch_write_text(SCRATCH_FD, LIST, rows[i]);
        sweep(target, NULL, 0, NULL, DAY_US);
        expect_empty_list(state);
    }
}

/* The list is in a place where others may write: it names nothing outside. */
static void test_outside(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(state);
    char list[128];

    scratch_write_text(SCRATCH_FD, "a", "");
    (void)snprintf(list, sizeof(list), "[{\"name\":\"../%s/a\",\"since\":\"\"}]",
                   strrchr(SCRATCH_PATH, '/') + 1);
    scratch_write_text(SCRATCH_FD, LIST, list);
    sweep(target, NULL, 0, NULL, 2 * DAY_US);
    assert_true(file_exists(SCRATCH_FD, "a"));
    expect_empty_list(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_stay),
        scratch_test(test_too_many),
        scratch_test(test_list_that_cannot_be_understood),
        scratch_test(test_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
