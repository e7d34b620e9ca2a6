/* SPDX-License-Identifier: MIT */
#include "agent/endpoint/open-artifact.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/endpoint/fake-calls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

typedef struct Fixture {
    Calls *calls;
    Call *call;
    OpenArtifact artifact;
    Buffer out;
    Error err;
} Fixture;

static int set_up(void **state)
{
    static Fixture f;

    f = (Fixture){.calls = fake_calls_new(), .artifact = OPEN_ARTIFACT_EMPTY};
    f.call = fake_calls_add(f.calls, "c1");
    fake_call_set_artifact(f.call, "bin", "0123456789", 10);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    open_artifact_done(&f->artifact);
    buffer_done(&f->out);
    error_done(&f->err);
    f->calls = fake_calls_free(f->calls);
    return 0;
}

static void expect_piece(Fixture *f, int64_t offset, size_t length, const char *base64,
                         bool is_last)
{
    bool says_last = !is_last;

    buffer_clear(&f->out);
    assert_int_equal(open_artifact_append(&f->artifact, offset, length, &f->out, &says_last, NULL),
                     0);
    assert_string_equal(buffer_text(&f->out), base64);
    assert_int_equal(says_last, is_last);
}

static void pieces_come_from_anywhere(void **state)
{
    Fixture *f = *state;

    assert_int_equal(open_artifact_switch(&f->artifact, f->calls, "c1/bin", NULL), 0);
    expect_piece(f, 0, 3, "MDEy", false);
    expect_piece(f, 7, 3, "Nzg5", true);
    expect_piece(f, 9, 1000, "OQ==", true);
    expect_piece(f, 10, 1, "", true);
}

static void an_offset_beyond_the_end_is_an_error(void **state)
{
    Fixture *f = *state;
    bool is_last = false;

    assert_int_equal(open_artifact_switch(&f->artifact, f->calls, "c1/bin", NULL), 0);
    assert_int_equal(open_artifact_append(&f->artifact, 11, 1, &f->out, &is_last, &f->err),
                     -EILSEQ);
    assert_non_null(strstr(f->err.text, "has 10 bytes"));
}

static void the_file_stays_open_between_pieces(void **state)
{
    Fixture *f = *state;
    int fd;

    assert_int_equal(open_artifact_switch(&f->artifact, f->calls, "c1/bin", NULL), 0);
    fd = f->artifact.fd;
    fake_calls_fail_next(f->calls, -EIO); /* would be felt if it asked again */
    assert_int_equal(open_artifact_switch(&f->artifact, f->calls, "c1/bin", NULL), 0);
    assert_int_equal(f->artifact.fd, fd);
}

static void another_takes_its_place_and_a_failure_does_not(void **state)
{
    Fixture *f = *state;
    Call *other = fake_calls_add(f->calls, "c2");
    int fd;

    fake_call_set_artifact(other, "bin", "x", 1);
    assert_int_equal(open_artifact_switch(&f->artifact, f->calls, "c1/bin", NULL), 0);
    assert_int_equal(open_artifact_switch(&f->artifact, f->calls, "c2/bin", NULL), 0);
    assert_int_equal(f->artifact.size, 1);
    fd = f->artifact.fd;
    assert_int_equal(open_artifact_switch(&f->artifact, f->calls, "c2/none", &f->err), -ENOENT);
    assert_int_equal(open_artifact_switch(&f->artifact, f->calls, "c9/bin", &f->err), -ENOENT);
    assert_int_equal(open_artifact_switch(&f->artifact, f->calls, "no-slash", &f->err), -ENOENT);
    assert_int_equal(f->artifact.fd, fd);
    open_artifact_done(&f->artifact);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void a_file_that_became_shorter_is_storage_trouble(void **state)
{
    Fixture *f = *state;
    bool is_last = false;

    assert_int_equal(open_artifact_switch(&f->artifact, f->calls, "c1/bin", NULL), 0);
    assert_int_equal(ftruncate(f->artifact.fd, 5), 0);
    assert_int_equal(open_artifact_append(&f->artifact, 0, 10, &f->out, &is_last, &f->err), -EIO);
    assert_non_null(strstr(f->err.text, "ends after 5 of 10"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pieces_come_from_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_offset_beyond_the_end_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_file_stays_open_between_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_takes_its_place_and_a_failure_does_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_became_shorter_is_storage_trouble, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
