/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/swarm/swarm-registry.h"

#include "protocol/base/text.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define PREFIX "X-Registry-Auth: "

static void write_config(void **state, char path[128])
{
    /* ann:p~~? */
    const char *config = "{\"auths\":{\"r.example:5000\":{\"auth\":\"YW5uOnB+fj8=\"},"
                         "\"https://index.docker.io/v1/\":{\"auth\":\"YW5uOnB+fj8=\"},"
                         "\"t.example\":{\"identitytoken\":\"tok\"}}}";

    (void)snprintf(path, 128, "%s/config.json", SCRATCH_PATH);
    scratch_write_text(SCRATCH_FD, "config.json", config);
}

/* Go's base64.URLEncoding, which docker decodes it with. */
static char *decoded(const char *header)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_free_ char *base64 = strdup(header + strlen(PREFIX));

    assert_int_equal(strncmp(header, PREFIX, strlen(PREFIX)), 0);
    assert_null(strpbrk(base64, "+/\r\n"));
    for (char *c = base64; *c; c++) {
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    }
    assert_int_equal(text_decode_base64(&text, base64, strlen(base64)), 0);
    return buffer_take_text(&text);
}

static void each_registry_gets_its_own(void **state)
{
    static const struct {
        const char *image;
        const char *json; /* NULL: no header */
    } cases[] = {
        {"r.example:5000/a/b:1",
         "{\"username\":\"ann\",\"password\":\"p~~?\",\"serveraddress\":\"r.example:5000\"}"},
        {"debian", "{\"username\":\"ann\",\"password\":\"p~~?\",\"serveraddress\":"
                   "\"https://index.docker.io/v1/\"}"},
        {"t.example/x", "{\"identitytoken\":\"tok\",\"serveraddress\":\"t.example\"}"},
        {"other.example/a", NULL},
        {"No Image", NULL},
        {NULL, NULL},
    };
    char path[128];

    write_config(state, path);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_swarm_secret_ Buffer header = BUFFER_INIT(0);
        _cleanup_error_ Error err = {0};
        _cleanup_free_ char *json = NULL;

        assert_int_equal(swarm_registry_append_header(path, cases[i].image, &header, &err), 0);
        assert_null(err.text);
        if (cases[i].json) {
            json = decoded(buffer_text(&header));
            assert_string_equal(json, cases[i].json);
        } else {
            assert_int_equal(header.len, 0);
        }
    }
}

static void a_file_that_is_named_has_to_be_there(void **state)
{
    _cleanup_swarm_secret_ Buffer header = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/none", SCRATCH_PATH);
    assert_true(swarm_registry_append_header(path, "a", &header, &err) < 0);
    assert_non_null(strstr(error_text(&err), "registryCredentialsFile"));
    assert_non_null(strstr(error_text(&err), path));

    scratch_write_text(SCRATCH_FD, "none", "password");
    assert_true(swarm_registry_append_header(path, "a", &header, &err) < 0);
    assert_non_null(strstr(error_text(&err), "registryCredentialsFile"));
    assert_int_equal(header.len, 0);
}

static void dockers_own_need_not_be(void **state)
{
    _cleanup_swarm_secret_ Buffer header = BUFFER_INIT(0);
    char path[128];

    assert_int_equal(setenv("DOCKER_CONFIG", "/nonexistent", 1), 0);
    assert_int_equal(swarm_registry_append_header(NULL, "debian", &header, NULL), 0);
    assert_int_equal(header.len, 0);
    write_config(state, path);
    assert_int_equal(setenv("DOCKER_CONFIG", SCRATCH_PATH, 1), 0);
    assert_int_equal(swarm_registry_append_header(NULL, "debian", &header, NULL), 0);
    assert_true(header.len > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_registry_gets_its_own, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_named_has_to_be_there, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(dockers_own_need_not_be, scratch_setup, scratch_teardown),
    };

    return cmocka_run_group_tests_name("swarm-registry", tests, NULL, NULL);
}
