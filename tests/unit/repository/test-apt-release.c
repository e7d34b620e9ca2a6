/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/apt-release.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define SHA256_OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void test_both_ways(void **state)
{
    _cleanup_apt_release_ AptRelease release = {0}, again = {0};
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    const AptReleaseFile *file;

    assert_int_equal(apt_release_set(&release, "main/binary-amd64/Packages", "old", 3, NULL), 0);
    assert_int_equal(apt_release_set(&release, "contrib/binary-arm64/Packages", "", 0, NULL), 0);
    assert_int_equal(apt_release_set(&release, "main/binary-amd64/Packages", "", 0, NULL), 0);
    assert_int_equal(apt_release_set(&release, "main/binary-amd64/Packages.gz", "", 0, NULL), 0);
    assert_int_equal(apt_release_format(
                         &release,
                         &(AptReleaseFields){
                             .origin = "O", .suite = "stable", .now = 1700000000, .valid_days = 1},
                         &text),
                     0);
    assert_string_equal(
        buffer_text(&text),
        "Origin: O\nSuite: stable\nCodename: stable\n"
        "Date: Tue, 14 Nov 2023 22:13:20 UTC\nValid-Until: Wed, 15 Nov 2023 22:13:20 UTC\n"
        "Acquire-By-Hash: yes\nArchitectures: arm64 amd64\nComponents: contrib main\n"
        "SHA256: \n " SHA256_OF_NOTHING " 0 contrib/binary-arm64/Packages\n"
        " " SHA256_OF_NOTHING " 0 main/binary-amd64/Packages\n"
        " " SHA256_OF_NOTHING " 0 main/binary-amd64/Packages.gz\n");
    assert_int_equal(apt_release_parse(text.data, text.len, &again, NULL), 0);
    assert_int_equal(again.count, 3);
    assert_int_equal(again.valid_until, 1700000000 + 24 * 3600);
    file = apt_release_find(&again, "main/binary-amd64/Packages");
    assert_non_null(file);
    assert_string_equal(file->sha256, SHA256_OF_NOTHING);
    assert_int_equal(file->size_bytes, 0);
    assert_null(apt_release_find(&again, "main"));
}

static void test_other_tables_are_left_alone(void **state)
{
    static const char text[] =
        "MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 x\nSHA256:\n " SHA256_OF_NOTHING
        "  12   y\nDescription: z\n more\n";
    _cleanup_apt_release_ AptRelease release = {0};

    assert_int_equal(apt_release_parse(text, strlen(text), &release, NULL), 0);
    assert_int_equal(release.count, 1);
    assert_string_equal(release.files[0].name, "y");
    assert_int_equal(release.files[0].size_bytes, 12);
    assert_int_equal(release.valid_until, 0);
}

static void test_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "Suite: x\n",
        "SHA256:\n abc 0 x\n",
        "SHA256:\n " SHA256_OF_NOTHING " 0\n",
        "SHA256:\n " SHA256_OF_NOTHING " -1 x\n",
        "SHA256:\n " SHA256_OF_NOTHING " 0 x y\n",
        "SHA256:\n E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855 0 x\n",
        "Valid-Until: tomorrow\nSHA256:\n"};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_apt_release_ AptRelease release = {0};

        assert_int_equal(apt_release_parse(rows[i], strlen(rows[i]), &release, NULL), -EBADMSG);
        assert_int_equal(release.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_other_tables_are_left_alone),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
