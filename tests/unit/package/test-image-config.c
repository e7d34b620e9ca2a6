/* SPDX-License-Identifier: MIT */
#include "agent/package/image-config.h"

#include "tests/unit/scratch.h"

/* What comes of a `package` on top of a base configuration (or none); `files` are /app/greeter. */
static Json *make(const char *package_text, const char *base_text, bool has_files)
{
    static char to[] = "app/greeter", from[] = "greeter";
    LayerEntry entry = {.from = from, .to = to, .mode = 0755};
    const ImageFiles files = {.entries = &entry, .count = 1};
    OciImage base = OCI_IMAGE_INIT;
    _cleanup_json_ Json *package = NULL;
    Json *config = NULL;

    assert_int_equal(json_parse(package_text, strlen(package_text), &package, NULL), 0);
    if (base_text) {
        assert_int_equal(json_parse(base_text, strlen(base_text), &base.config_json, NULL), 0);
    }
    assert_int_equal(image_config_new(&(ImageConfigRequest){.package = package,
                                                            .name = "greeter",
                                                            .commit = "0123",
                                                            .committed_at = 1700000000,
                                                            .files = has_files ? &files : NULL,
                                                            .base = base_text ? &base : NULL},
                                      &config),
                     0);
    (void)json_unref(base.config_json);
    return config;
}

/* `wanted` is all of it but the labels that every image has. */
static void expect(const char *package, const char *base, bool has_files, const char *wanted_text)
{
    _cleanup_json_ Json *config = make(package, base, has_files), *wanted = NULL;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    Json *labels = json_get(config, "Labels");

    assert_string_equal(json_get_string(labels, IMAGE_LABEL "title"), "greeter");
    assert_string_equal(json_get_string(labels, IMAGE_LABEL "revision"), "0123");
    json_remove(labels, IMAGE_LABEL "title");
    json_remove(labels, IMAGE_LABEL "revision");
    json_remove(labels, IMAGE_LABEL "created");
    assert_int_equal(json_parse(wanted_text, strlen(wanted_text), &wanted, NULL), 0);
    if (!json_equal(config, wanted)) {
        assert_int_equal(json_format(config, &text), 0);
        fail_msg("it is %s", buffer_text(&text));
    }
}

static void test_conventions(void **state)
{
    expect("{}", NULL, true,
           "{\"Entrypoint\":[\"/app/greeter\"],\"WorkingDir\":\"/app\",\"Labels\":{}}");
    expect("{\"files\":[]}", NULL, true, "{\"Entrypoint\":[\"/app/greeter\"],\"Labels\":{}}");
}

static void test_members(void **state)
{
    expect("{\"files\":[],\"entrypoint\":[\"/x\"],\"arguments\":[\"a\"],\"env\":{\"B\":\"2\"},"
           "\"user\":\"1:1\",\"ports\":[80],\"labels\":{\"l\":\"1\"},\"workingDirectory\":\"/w\","
           "\"stopSignal\":\"SIGQUIT\",\"healthCheck\":{\"command\":[\"/app/check\",\"-q\"],"
           "\"intervalSeconds\":1.5,\"timeoutSeconds\":2,\"startPeriodSeconds\":3,\"retries\":4}}",
           NULL, true,
           "{\"Entrypoint\":[\"/x\"],\"Cmd\":[\"a\"],\"Env\":[\"B=2\"],\"User\":\"1:1\","
           "\"ExposedPorts\":{\"80/tcp\":{}},\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGQUIT\","
           "\"Healthcheck\":{\"Test\":[\"CMD\",\"/app/check\",\"-q\"],\"Interval\":1500000000,"
           "\"Timeout\":2000000000,\"StartPeriod\":3000000000,\"Retries\":4},"
           "\"Labels\":{\"l\":\"1\"}}");
    expect("{\"files\":[],\"healthCheck\":{\"command\":\"curl -f http://localhost || exit 1\"}}",
           NULL, true,
           "{\"Entrypoint\":[\"/app/greeter\"],\"Healthcheck\":{\"Test\":[\"CMD-SHELL\","
           "\"curl -f http://localhost || exit 1\"]},\"Labels\":{}}");
}

#define BASE                                                                                      \
    "{\"config\":{\"Entrypoint\":[\"/bin/sh\"],\"Cmd\":[\"-i\"],\"Env\":[\"PATH=/bin\",\"A=1\"]," \
    "\"User\":\"nobody\",\"ExposedPorts\":{\"1/udp\":{}},\"Volumes\":{\"/v\":{}},"                \
    "\"Labels\":{\"org.opencontainers.image.version\":\"9\",\"team\":\"base\",\"x\":\"y\"}}}"

/* As a Dockerfile's words would do it. */
static void test_base(void **state)
{
    expect("{\"files\":[],\"env\":{\"A\":\"2\",\"B\":\"3\"},\"ports\":[80],"
           "\"labels\":{\"team\":\"mine\"}}",
           BASE, true,
           "{\"Entrypoint\":[\"/app/greeter\"],\"Env\":[\"PATH=/bin\",\"A=2\",\"B=3\"],"
           "\"User\":\"nobody\",\"ExposedPorts\":{\"1/udp\":{},\"80/tcp\":{}},"
           "\"Volumes\":{\"/v\":{}},\"Labels\":{\"team\":\"mine\",\"x\":\"y\"}}");
    expect("{\"files\":[],\"arguments\":[\"-c\",\"x\"]}",
           "{\"config\":{\"Entrypoint\":[\"/bin/sh\"],\"Cmd\":[\"-i\"]}}", true,
           "{\"Entrypoint\":[\"/app/greeter\"],\"Cmd\":[\"-c\",\"x\"],\"Labels\":{}}");
}

/* What a Dockerfile says stands, and its labels are its own. */
static void test_whole(void **state)
{
    expect(
        "{\"user\":\"1\"}", BASE, false,
        "{\"Entrypoint\":[\"/bin/sh\"],\"Cmd\":[\"-i\"],\"Env\":[\"PATH=/bin\",\"A=1\"],"
        "\"User\":\"1\",\"ExposedPorts\":{\"1/udp\":{}},\"Volumes\":{\"/v\":{}},"
        "\"Labels\":{\"org.opencontainers.image.version\":\"9\",\"team\":\"base\",\"x\":\"y\"}}");
    expect("{}", "{}", false, "{\"Labels\":{}}");
    expect("{}", "{\"config\":null}", false, "{\"Labels\":{}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conventions),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_base),
        cmocka_unit_test(test_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
