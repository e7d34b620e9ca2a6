/* SPDX-License-Identifier: MIT */
#include "agent/package/release.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static char name[] = "greeter", version[] = "v1.2-3-gabc", digest[] = DIGEST, commit[] = COMMIT,
            repository[] = "https://git.example/greeter.git", ref[] = "refs/heads/main",
            subject[] = "Greet in the morning", template[] = "deploy/service.json",
            reference[] = "registry.example:5000/greeter@" DIGEST;

static void test_round_trip(void **state)
{
    const Release release = {.name = name,
                             .version = version,
                             .digest = digest,
                             .commit = commit,
                             .repository = repository,
                             .ref = ref,
                             .subject = subject,
                             .reference = reference,
                             .template = template,
                             .committed_at = 1700000000};
    _cleanup_release_ Release back = {0};
    _cleanup_free_ char *text = NULL;

    assert_int_equal(release_write(SCRATCH_FD, &release, NULL), 0);
    assert_int_equal(release_read(SCRATCH_FD, &back, NULL), 0);
    assert_string_equal(back.name, name);
    assert_string_equal(back.version, version);
    assert_string_equal(back.digest, digest);
    assert_string_equal(back.commit, commit);
    assert_string_equal(back.repository, repository);
    assert_string_equal(back.ref, ref);
    assert_string_equal(back.subject, subject);
    assert_string_equal(back.reference, reference);
    assert_string_equal(back.template, template);
    assert_int_equal(back.committed_at, 1700000000);
    text = scratch_read(SCRATCH_FD, RELEASE_FILE, NULL);
    assert_non_null(strstr(text, "2023-11-14T22:13:20.000000Z"));
}

static void test_least(void **state)
{
    const Release release = {.name = name, .version = version, .digest = digest};
    _cleanup_release_ Release back = {0};

    assert_int_equal(release_write(SCRATCH_FD, &release, NULL), 0);
    assert_int_equal(release_read(SCRATCH_FD, &back, NULL), 0);
    assert_null(back.commit);
    assert_null(back.template);
    assert_int_equal(back.committed_at, 0);
}

static void expect_mistake(void **state, const char *text, const char *mistake)
{
    _cleanup_error_ Error err = {0};
    Release back = {0};

    scratch_write_text(SCRATCH_FD, RELEASE_FILE, text);
    assert_int_equal(release_read(SCRATCH_FD, &back, &err), -EINVAL);
    assert_null(back.name);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
}

#define LEAST "\"name\": \"a\", \"version\": \"1\", \"digest\": \"" DIGEST "\""

static void test_mistakes(void **state)
{
    expect_mistake(state, "{", "line 1");
    expect_mistake(state, "{\"name\": \"../a\",\n\"version\": \"1\"}", "line 1: /name: ");
    expect_mistake(state, "{" LEAST ",\n\"digest\": \"sha256:0\", \"committedAt\": \"Z\"}",
                   "/digest: ");
    expect_mistake(state, "{" LEAST ", \"committedAt\": \"todayZ\"}", "/committedAt: ");
    expect_mistake(state,
                   "{" LEAST ", \"committedAt\": \"2023-11-14T22:13:20Z\", \"template\": \"/a\"}",
                   "/template: ");
    expect_mistake(state,
                   "{" LEAST
                   ", \"committedAt\": \"2023-11-14T22:13:20Z\", \"template\": \"a/../../b\"}",
                   "/template: ");
}

static void test_missing(void **state)
{
    _cleanup_error_ Error err = {0};
    Release back = {0};

    assert_int_equal(release_read(SCRATCH_FD, &back, &err), -ENOENT);
    assert_non_null(strstr(error_text(&err), RELEASE_FILE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_round_trip),
        scratch_test(test_least),
        scratch_test(test_mistakes),
        scratch_test(test_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
