/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/docker-config.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define A_B "\"auth\":\"YTpi\"" /* a:b */

static int find(const char *text, const char *host, const char *repository, Credential *ret,
                Error *err)
{
    _cleanup_(docker_config_freep) DockerConfig *config = NULL;
    int r = docker_config_parse("config.json", text, strlen(text), &config, err);

    return r < 0 ? r : docker_config_find(config, host, repository, ret, err);
}

static void hosts_are_found(void **state)
{
    static const struct {
        const char *key, *host, *repository;
        int result;
    } cases[] = {
        {"r.io", "r.io", "a", 1},
        {"r.io:5000", "r.io:5000", "a", 1},
        {"r.io", "r.io:5000", "a", 0},
        {"r.io:5000", "r.io", "a", 0},
        {"https://r.io", "r.io", "a", 1},
        {"https://r.io/v1/", "r.io", "a", 1},
        {"http://r.io/v2/", "r.io", "a", 1},
        {"r.io/", "r.io", "a", 1},
        {"https://r.io.evil/", "r.io", "a", 0},
        {"r.io.evil", "r.io", "a", 0},
        {"https://index.docker.io/v1/", "docker.io", "library/a", 1},
        {"docker.io", "docker.io", "library/a", 1},
        {"r.io/team", "r.io", "team/app", 1},
        {"r.io/team", "r.io", "team", 1},
        {"r.io/team", "r.io", "teammates/app", 0},
        {"r.io/team/app", "r.io", "team", 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_credential_ Credential credential = {0};
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ Error err = {0};

        assert_true(asprintf(&text, "{\"auths\":{\"%s\":{" A_B "}}}", cases[i].key) > 0);
        assert_int_equal(find(text, cases[i].host, cases[i].repository, &credential, &err),
                         cases[i].result);
        assert_true(!cases[i].result || strcmp(credential.user, "a") == 0);
    }
}

static void the_longest_key_wins(void **state)
{
    _cleanup_credential_ Credential credential = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(find("{\"auths\":{\"r.io/team\":{\"username\":\"u\",\"password\":\"p\"},"
                          "\"r.io\":{" A_B "}}}",
                          "r.io", "team/app", &credential, &err),
                     1);
    assert_string_equal(credential.user, "u");
}

static void tokens_are_read(void **state)
{
    _cleanup_credential_ Credential credential = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(
        find("{\"auths\":{\"r.io\":{\"identitytoken\":\"i\",\"registrytoken\":\"t\"}}}", "r.io",
             "a", &credential, &err),
        1);
    assert_string_equal(credential.identity_token, "i");
    assert_string_equal(credential.registry_token, "t");
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *text, *said;
        int result;
    } cases[] = {
        {"{}", NULL, 0},
        {"{\"auths\":{\"r.io\":{}}}", NULL, 0},
        {"{\"auths\":[1,2]}", NULL, 0},
        {"{\"auths\":{\"r.io\":{\"auth\":\"c2VjcmV0\"}}}", "docker login r.io", -EBADMSG},
        {"{\"auths\":{\"r.io\":{\"auth\":\"!\"}}}", "base64", -EBADMSG},
        {"{", "config.json", -EBADMSG},
        {"[]", "no JSON object", -EBADMSG},
        {"{\"credsStore\":\"../x\"}", "credsStore", -EINVAL},
        {"{\"credHelpers\":{\"r.io\":\"a/b\"}}", "credHelpers", -EINVAL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_credential_ Credential credential = {0};
        _cleanup_error_ Error err = {0};

        assert_int_equal(find(cases[i].text, "r.io", "a", &credential, &err), cases[i].result);
        assert_true(!cases[i].said || strstr(error_text(&err), cases[i].said));
    }
}

/* credHelpers before auths before credsStore. */
static void helpers_come_in_order(void **state)
{
    static const struct {
        const char *text, *user;
    } cases[] = {
        {"{\"auths\":{\"r.io\":{" A_B "}},\"credHelpers\":{\"r.io\":\"mine\"}}", "helped"},
        {"{\"auths\":{\"r.io\":{" A_B "}},\"credsStore\":\"mine\"}", "a"},
        {"{\"auths\":{\"r.io\":{}},\"credsStore\":\"mine\"}", "helped"},
    };
    static const char script[] = "#!/bin/sh\necho '{\"Username\":\"helped\",\"Secret\":\"x\"}'\n";
    _cleanup_free_ char *path = NULL;

    assert_true(asprintf(&path, "%s:/usr/bin:/bin", SCRATCH_PATH) > 0);
    scratch_write(SCRATCH_FD, "docker-credential-mine", script, strlen(script), 0755);
    assert_int_equal(setenv("PATH", path, 1), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_credential_ Credential credential = {0};
        _cleanup_error_ Error err = {0};

        assert_int_equal(find(cases[i].text, "r.io", "a", &credential, &err), 1);
        assert_string_equal(credential.user, cases[i].user);
    }
}

static void files(void **state)
{
    _cleanup_(docker_config_freep) DockerConfig *config = NULL, *none = NULL;
    _cleanup_free_ char *path = NULL, *big = calloc(1, DOCKER_CONFIG_MAX + 1);
    _cleanup_credential_ Credential credential = {0};
    _cleanup_error_ Error err = {0};

    scratch_write_text(SCRATCH_FD, "config.json", "{\"auths\":{\"r.io\":{" A_B "}}}");
    assert_int_equal(setenv("DOCKER_CONFIG", SCRATCH_PATH, 1), 0);
    assert_int_equal(docker_config_path(NULL, &path), 0);
    assert_int_equal(docker_config_load(path, &config, &err), 0);
    assert_int_equal(docker_config_find(config, "r.io", "a", &credential, &err), 1);
    assert_int_equal(docker_config_load("/nonexistent/config.json", &none, &err), 0);
    assert_null(err.text);
    assert_int_equal(docker_config_find(none, "r.io", "a", &credential, &err), 0);
    scratch_write(SCRATCH_FD, "config.json", big, DOCKER_CONFIG_MAX + 1, 0600);
    config = docker_config_free(config);
    assert_true(docker_config_load(path, &config, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_are_found),   cmocka_unit_test(the_longest_key_wins),
        cmocka_unit_test(tokens_are_read),   cmocka_unit_test(what_is_wrong_is_said),
        scratch_test(helpers_come_in_order), scratch_test(files),
    };

    return cmocka_run_group_tests_name("docker-config", tests, NULL, NULL);
}
