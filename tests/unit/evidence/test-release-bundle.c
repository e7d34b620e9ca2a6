/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/release-bundle.h"

#include "plugin/cli/evidence/text-file.h"
#include "tests/unit/evidence/entries.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/slipway-test-bundle-XXXXXX";
static char key_path[64], bundle_path[64];
static char *lines[3]; /* three approvals: envelopes that differ */

static int set_up(void **state)
{
    char path[sizeof(key_path) + 8];

    if (!mkdtemp(directory)) {
        return -1;
    }
    (void)snprintf(key_path, sizeof(key_path), "%s/key", directory);
    (void)snprintf(bundle_path, sizeof(bundle_path), "%s/" RELEASE_BUNDLE_FILE, directory);
    if (slipway_key_generate(key_path, NULL, NULL) < 0) {
        return -1;
    }
    for (size_t i = 0; i < 3; i++) {
        SlipwayJson *predicate = parse_text(
            "{\"approver\":{\"name\":\"Ann\"},\"environment\":\"prod\",\"commit\":\"" COMMIT
            "\",\"expiresOn\":\"2036-11-25T14:03:00Z\"}");

        if (slipway_approval_sign(key_path, "sha256:" HEX, NULL, predicate, &lines[i], NULL) < 0) {
            return -1;
        }
        (void)slipway_json_unref(predicate);
    }
    (void)snprintf(path, sizeof(path), "%s.pub", key_path);
    return unlink(path);
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < 3; i++) {
        free(lines[i]);
    }
    (void)unlink(key_path);
    (void)unlink(bundle_path);
    return rmdir(directory); /* nothing is left aside */
}

/* "LINE\nLINE\n…" of the lines with these numbers. To free(). */
static char *join(const char *numbers, const char *between)
{
    char *text = calloc(1, 65536);

    assert_non_null(text);
    for (; *numbers; numbers++) {
        (void)strcat(strcat(text, lines[*numbers - '0']), between);
    }
    return text;
}

static void add(ReleaseBundle *bundle, const char *numbers, const char *between, size_t expected)
{
    char *text = join(numbers, between), *problem = NULL;
    size_t added = 99;

    if (release_bundle_add(bundle, text, strlen(text), &added, &problem) < 0) {
        fail_msg("%s", problem);
    }
    assert_int_equal(added, expected);
    free(text);
}

static void expect(const ReleaseBundle *bundle, const char *numbers)
{
    char *text = join(numbers, "\n");

    assert_int_equal(bundle->len, strlen(text));
    assert_string_equal(bundle->text ? bundle->text : "", text);
    assert_int_equal(slipway_json_get_count(bundle->entries, ""), strlen(numbers));
    free(text);
}

static void each_line_is_there_once(void **state)
{
    ReleaseBundle bundle = {0};

    add(&bundle, "0", "\n", 1);
    expect(&bundle, "0");
    add(&bundle, "0", "\n", 0);
    expect(&bundle, "0");
    add(&bundle, "1010", "\n", 1);
    expect(&bundle, "01");
    add(&bundle, "2", "", 1); /* whose last line feed is missing */
    expect(&bundle, "012");
    add(&bundle, "", "", 0);
    expect(&bundle, "012");
    release_bundle_done(&bundle);
    expect(&bundle, "");
}

static void what_is_no_envelope_changes_nothing(void **state)
{
    static const char *const wrong[] = {"x", "{}", "{\"payloadType\":\"x\"}\n", "[]"};
    ReleaseBundle bundle = {0};

    add(&bundle, "01", "\n", 2);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char *problem = NULL, *text = NULL;

        assert_true(asprintf(&text, "%s\n%s", lines[2], wrong[i]) > 0);
        assert_int_equal(release_bundle_add(&bundle, text, strlen(text), NULL, &problem), -EINVAL);
        assert_non_null(strstr(problem, "line 2")); /* of what came, not of the whole */
        expect(&bundle, "01");
        free(problem);
        free(text);
    }
    release_bundle_done(&bundle);
}

static void it_is_written_and_read_again(void **state)
{
    ReleaseBundle bundle = {0}, again = {0};
    struct stat st;
    mode_t mask = umask(027);

    add(&bundle, "01", "\n", 2);
    assert_int_equal(release_bundle_save(&bundle, bundle_path, NULL), 0);
    assert_int_equal(stat(bundle_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    (void)umask(mask);
    assert_int_equal(release_bundle_load(&again, bundle_path, NULL), 0);
    expect(&again, "01");
    add(&again, "2", "\n", 1);
    assert_int_equal(release_bundle_save(&again, bundle_path, NULL), 0);
    assert_int_equal(release_bundle_load(&bundle, bundle_path, NULL), 0);
    expect(&bundle, "012");
    release_bundle_done(&again);
    release_bundle_done(&bundle);
}

static void what_cannot_be_done_is_said(void **state)
{
    ReleaseBundle bundle = {0};
    char *problem = NULL;

    assert_int_equal(release_bundle_load(&bundle, "/nowhere/b", &problem), -ENOENT);
    assert_non_null(strstr(problem, "'/nowhere/b'"));
    free(problem);
    assert_int_equal(release_bundle_load(&bundle, key_path, &problem), -EINVAL);
    assert_non_null(strstr(problem, "is no bundle: "));
    free(problem);
    assert_int_equal(release_bundle_save(&bundle, "/nowhere/b", &problem), -ENOENT);
    assert_non_null(strstr(problem, "'/nowhere/b' cannot be written"));
    free(problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_is_there_once),
        cmocka_unit_test(what_is_no_envelope_changes_nothing),
        cmocka_unit_test(it_is_written_and_read_again),
        cmocka_unit_test(what_cannot_be_done_is_said),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
