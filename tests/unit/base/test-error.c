/* SPDX-License-Identifier: MIT */
#include "protocol/base/error.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void set_returns_the_code_and_keeps_the_sentence(void **state)
{
    _cleanup_error_ Error err = {0};

    assert_int_equal(error_set(&err, -EINVAL, "port %d is taken by '%s'", 80, "x"), -EINVAL);
    assert_int_equal(err.code, -EINVAL);
    assert_string_equal(error_text(&err), "port 80 is taken by 'x'");
}

static void set_replaces_what_was_there(void **state)
{
    _cleanup_error_ Error err = {0};

    (void)error_set(&err, -EINVAL, "first");
    assert_int_equal(error_set(&err, -EIO, "second, after %s", error_text(&err)), -EIO);
    assert_string_equal(error_text(&err), "second, after first");
    assert_int_equal(err.code, -EIO);
}

static void set_errno_names_the_errno(void **state)
{
    _cleanup_error_ Error err = {0};
    char expected[200];

    assert_int_equal(error_set_errno(&err, -ENOENT, "cannot read '%s'", "f"), -ENOENT);
    (void)snprintf(expected, sizeof(expected), "cannot read 'f': %s", strerror(ENOENT));
    assert_string_equal(error_text(&err), expected);
}

static void wrap_puts_context_before(void **state)
{
    _cleanup_error_ Error err = {0};

    (void)error_set(&err, -EPERM, "no");
    assert_int_equal(error_wrap(&err, "step %d", 2), -EPERM);
    assert_int_equal(error_wrap(&err, "deploying '%s'", "app"), -EPERM);
    assert_string_equal(error_text(&err), "deploying 'app': step 2: no");
}

static void wrap_of_a_bare_code_names_the_errno(void **state)
{
    _cleanup_error_ Error err = {.code = -EPIPE};
    char expected[200];

    assert_string_equal(error_text(&err), strerror(EPIPE));
    assert_int_equal(error_wrap(&err, "sending"), -EPIPE);
    (void)snprintf(expected, sizeof(expected), "sending: %s", strerror(EPIPE));
    assert_string_equal(error_text(&err), expected);
}

static void nobody_has_to_listen(void **state)
{
    assert_int_equal(error_set(NULL, -EBUSY, "unheard %s", "word"), -EBUSY);
    assert_int_equal(error_set_errno(NULL, -EBUSY, "unheard"), -EBUSY);
    assert_int_equal(error_wrap(NULL, "unheard"), -EIO);
}

static void done_makes_it_empty_again(void **state)
{
    Error err = {0};

    (void)error_set(&err, -EINVAL, "text");
    error_done(&err);
    assert_int_equal(err.code, 0);
    assert_null(err.text);
    error_done(&err);
}

static void a_failure_is_told_to_who_has_no_error(void **state)
{
    _cleanup_error_ Error err = {0};
    char *text = NULL;

    assert_int_equal(error_tell(&err, 3, &text), 3);
    assert_null(text);
    (void)error_set(&err, -EINVAL, "why");
    assert_int_equal(error_tell(&err, -EINVAL, NULL), -EINVAL);
    assert_int_equal(error_tell(&err, -EINVAL, &text), -EINVAL);
    assert_string_equal(text, "why");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_told_to_who_has_no_error),
        cmocka_unit_test(set_returns_the_code_and_keeps_the_sentence),
        cmocka_unit_test(set_replaces_what_was_there),
        cmocka_unit_test(set_errno_names_the_errno),
        cmocka_unit_test(wrap_puts_context_before),
        cmocka_unit_test(wrap_of_a_bare_code_names_the_errno),
        cmocka_unit_test(nobody_has_to_listen),
        cmocka_unit_test(done_makes_it_empty_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
