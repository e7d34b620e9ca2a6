/* SPDX-License-Identifier: MIT */
#include "agent/shim/mask.h"

#include "protocol/base/buffer.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The stream that the masked chunks make. `chunk` bytes at a time; 0: all at once. */
static char *mask_chunks(const Mask *mask, const char *data, size_t n, size_t (*next_chunk)(void),
                         size_t *ret_len)
{
    MaskState state = {0};
    char *held = malloc(n + 1), *space = malloc(n + 1), *out = malloc(n + 1);
    size_t n_held = 0, len = 0;

    for (size_t at = 0; at < n || at == 0;) {
        size_t chunk = MIN(next_chunk ? next_chunk() : n, n - at);
        bool is_final = at + chunk == n;
        MaskResult result;

        memcpy(held + n_held, data + at, chunk);
        n_held += chunk;
        at += chunk;
        result = mask_apply(mask, &state, held, n_held, is_final, space);
        assert_true(len + result.len <= n);
        memcpy(out + len, result.text, result.len);
        len += result.len;
        assert_true(result.held <= n_held);
        assert_true(mask->longest == 0 || result.held < mask->longest);
        memmove(held, held + n_held - result.held, result.held);
        n_held = result.held;
        if (n == 0) {
            break;
        }
    }
    assert_int_equal(n_held, 0);
    free(held);
    free(space);
    out[len] = '\0';
    *ret_len = len;
    return out;
}

static size_t one(void)
{
    return 1;
}

static void assert_masked(const Mask *mask, const char *text, const char *wanted)
{
    size_t len;
    char *all = mask_chunks(mask, text, strlen(text), NULL, &len);
    char *single = mask_chunks(mask, text, strlen(text), one, &len);

    assert_string_equal(all, wanted);
    assert_string_equal(single, wanted);
    free(all);
    free(single);
}

static void add(Mask *mask, const char *secret)
{
    assert_int_equal(mask_add(mask, secret, strlen(secret)), 0);
}

static void test_without_a_secret_all_passes(void **state)
{
    _cleanup_(mask_done) Mask mask = {0};

    add(&mask, "");
    assert_masked(&mask, "anything", "anything");
    assert_masked(&mask, "", "");
}

static void test_wherever_it_stands(void **state)
{
    _cleanup_(mask_done) Mask mask = {0};

    add(&mask, "hunter2");
    assert_masked(&mask, "hunter2", "****");
    assert_masked(&mask, "<hunter2>", "<****>");
    assert_masked(&mask, "hunter2hunter2", "********");
    assert_masked(&mask, "hunterhunter2", "hunter****");
    assert_masked(&mask, "hunter", "hunter");
    assert_masked(&mask, "Hunter2 unter2 hunter3", "Hunter2 unter2 hunter3");
}

static void test_the_longest_counts(void **state)
{
    _cleanup_(mask_done) Mask mask = {0};

    add(&mask, "pass");
    add(&mask, "password");
    add(&mask, "sword-fish");
    assert_masked(&mask, "pass|passwor|password!", "****|****wor|****!");
    /* What two secrets share belongs to both. */
    assert_masked(&mask, "password-fish.", "****.");
    assert_masked(&mask, "password-fis", "****-fis");
}

static void test_one_that_overlaps_itself(void **state)
{
    _cleanup_(mask_done) Mask mask = {0};

    add(&mask, "abab");
    assert_masked(&mask, "xababab", "x****");
    assert_masked(&mask, "ababababa.", "****a.");
}

static void test_lines_of_a_secret(void **state)
{
    _cleanup_(mask_done) Mask mask = {0};

    add(&mask, "{\n  \"private\": \"abc\"\r\n}\nshort\nlong enough");
    assert_masked(&mask, "{ \"private\": \"abc\" } short long enough", "{ **** } short ****");
    assert_masked(&mask, "<{\n  \"private\": \"abc\"\r\n}\nshort\nlong enough>", "<****>");
}

static void test_inside_json(void **state)
{
    _cleanup_(mask_done) Mask mask = {0};

    add(&mask, "a\"b\\c\nd");
    assert_masked(&mask, "{\"v\":\"a\\\"b\\\\c\\nd\"} a\"b\\c\nd", "{\"v\":\"****\"} ****");
}

static void test_limits(void **state)
{
    _cleanup_(mask_done) Mask mask = {0};
    char *longest = malloc(MASK_SECRET_MAX + 1);
    size_t len;
    char *out;

    memset(longest, 'k', MASK_SECRET_MAX + 1);
    assert_int_equal(mask_add(&mask, "abc", 3), -EINVAL);
    assert_int_equal(mask_add(&mask, longest, MASK_SECRET_MAX + 1), -EFBIG);
    assert_int_equal(mask_add(&mask, longest, MASK_SECRET_MAX), 0);
    out = mask_chunks(&mask, longest, MASK_SECRET_MAX, NULL, &len);
    assert_string_equal(out, "****");
    free(out);
    /* A secret of more lines than there may be patterns. */
    for (size_t k = 0; k < MASK_SECRET_MAX / 9; k++) {
        (void)snprintf(longest + k * 9, 10, "%08zx\n", k);
    }
    assert_int_equal(mask_add(&mask, longest, MASK_SECRET_MAX / 9 * 9), -EFBIG);
    free(longest);
}

/* ---- against what it is meant to do, written down in the plainest way --------------------------
 */

static uint64_t random_state;

static size_t random_below(size_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(random_state >> 33) % n;
}

static size_t random_chunk(void)
{
    return 1 + random_below(random_below(8) == 0 ? 40 : 4);
}

/* Every byte of every occurrence is marked. Occurrences that share bytes become one ****; two that
 * only touch become two. */
static char *mask_plainly(const Mask *mask, const char *data, size_t n, size_t *ret_len)
{
    char *out = malloc(n + 1);
    size_t len = 0, covered = 0;

    for (size_t i = 0; i < n; i++) {
        size_t longest = 0;

        for (size_t k = 0; k < mask->n_patterns; k++) {
            const MaskPattern *p = &mask->patterns[k];

            if (p->len <= n - i && memcmp(data + i, p->data, p->len) == 0) {
                longest = MAX(longest, p->len);
            }
        }
        if (longest > 0 && i >= covered) {
            memcpy(out + len, "****", 4);
            len += 4;
        }
        covered = MAX(covered, i + longest);
        if (i >= covered) {
            out[len++] = data[i];
        }
    }
    *ret_len = len;
    return out;
}

static void fill(char *data, size_t n, size_t letters)
{
    for (size_t i = 0; i < n; i++) {
        data[i] = (char)('a' + random_below(letters));
    }
}

static void test_random_secrets_in_random_chunks(void **state)
{
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        _cleanup_(mask_done) Mask mask = {0};
        /* Few letters and short secrets: many occurrences, overlaps and beginnings of one. */
        char data[600], secret[80];
        size_t letters, wanted_len, len;
        char *wanted, *out;

        random_state = seed;
        letters = 1 + random_below(3);
        fill(data, sizeof(data), letters);
        for (size_t k = 1 + random_below(5); k > 0; k--) {
            size_t n = 4 + random_below(random_below(4) == 0 ? sizeof(secret) - 4 : 6);

            fill(secret, n, letters);
            assert_int_equal(mask_add(&mask, secret, n), 0);
            memcpy(data + random_below(sizeof(data) - n), secret, n);
        }
        wanted = mask_plainly(&mask, data, sizeof(data), &wanted_len);
        out = mask_chunks(&mask, data, sizeof(data), random_chunk, &len);
        if (len != wanted_len || memcmp(out, wanted, len) != 0) {
            fail_msg("seed %llu", (unsigned long long)seed);
        }
        free(wanted);
        free(out);
    }
}

static void test_what_was_shown_is_still_known(void **state)
{
    _cleanup_(mask_done) Mask mask = {0};
    MaskState stream = {0};
    char space[16];
    MaskResult result;

    add(&mask, "hunter2");
    result = mask_apply(&mask, &stream, "x hu", 4, false, space);
    assert_int_equal(result.len, 2);
    assert_int_equal(result.held, 2);
    stream = (MaskState){.done = 2}; /* its owner shows "hu" */
    result = mask_apply(&mask, &stream, "hunter2!", 8, false, space);
    assert_int_equal(result.len, 5);
    assert_memory_equal(result.text, "****!", 5);
    stream = (MaskState){.done = 2};
    result = mask_apply(&mask, &stream, "hut", 3, false, space);
    assert_int_equal(result.len, 1);
    assert_memory_equal(result.text, "t", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_secret_all_passes),
        cmocka_unit_test(test_wherever_it_stands),
        cmocka_unit_test(test_the_longest_counts),
        cmocka_unit_test(test_one_that_overlaps_itself),
        cmocka_unit_test(test_lines_of_a_secret),
        cmocka_unit_test(test_inside_json),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_random_secrets_in_random_chunks),
        cmocka_unit_test(test_what_was_shown_is_still_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
