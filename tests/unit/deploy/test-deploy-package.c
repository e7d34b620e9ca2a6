/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/deploy-package.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* printf package | sha256sum */
#define BYTES "package"
#define SHA256 "bc4a71180870f7945155fbb02f4b0a2e3faa2a62d6d31b7039013055ed19869a"

#define ANNOUNCED(sha256)                                                                    \
    "{\"seq\":1,\"type\":\"started\"}\n"                                                     \
    "not json\n"                                                                             \
    "{\"seq\":2,\"type\":\"report\",\"line\":\"{\\\"type\\\":\\\"artifact\\\",\\\"name\\\":" \
    "\\\"package\\\",\\\"file\\\":\\\"package.tar.zst\\\",\\\"sha256\\\":\\\"" sha256 "\\\"}\"}\n"

typedef struct Place {
    char path[128];
    char calls[160];
    char inputs[160];
    char workspace[160];
    Json *parameters;
    Spec spec;
} Place;

static void write_file(const Place *place, const char *name, const char *content)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", place->path, name);
    *strrchr(path, '/') = '\0';
    assert_int_equal(file_make_dirs(path, 0755, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/%s", place->path, name);
    assert_int_equal(file_replace(AT_FDCWD, path, content, strlen(content), 0644, NULL), 0);
}

static int set_up(void **state)
{
    static Place place;
    const char *base = getenv("TMPDIR");

    (void)snprintf(place.path, sizeof(place.path), "%s/source.XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(place.path));
    (void)snprintf(place.calls, sizeof(place.calls), "%s/calls", place.path);
    (void)snprintf(place.inputs, sizeof(place.inputs), "%s/inputs", place.path);
    (void)snprintf(place.workspace, sizeof(place.workspace), "%s/runs/r/workspace", place.path);
    place.spec = (Spec){
        .calls_directory = place.calls,
        .inputs_directory = place.inputs,
        .workspace = place.workspace,
    };
    write_file(&place, "runs/r/workspace/x", "");
    *state = &place;
    return 0;
}

static int tear_down(void **state)
{
    Place *place = *state;

    place->parameters = json_unref(place->parameters);
    return file_remove_tree(AT_FDCWD, place->path, NULL);
}

static void write_call(const Place *place, const char *call, const char *action, const char *status,
                       const char *journal)
{
    char name[256], text[256];

    (void)snprintf(name, sizeof(name), "calls/%s/spec.json", call);
    (void)snprintf(text, sizeof(text), "{\"action\":\"%s\"}", action);
    write_file(place, name, text);
    (void)snprintf(name, sizeof(name), "calls/%s/journal.ndjson", call);
    write_file(place, name, journal);
    (void)snprintf(name, sizeof(name), "calls/%s/artifacts/package.tar.zst", call);
    write_file(place, name, BYTES);
    (void)snprintf(name, sizeof(name), "runs/r/calls/%s", call);
    write_file(place, name, "");
    if (status) {
        (void)snprintf(name, sizeof(name), "calls/%s/status.json", call);
        (void)snprintf(text, sizeof(text), "{\"type\":\"finished\",\"status\":\"%s\"}", status);
        write_file(place, name, text);
    }
}

static int open_with(Place *place, const char *parameters, Error *err)
{
    _cleanup_fd_ int fd = -1;
    char bytes[16] = "";
    int r;

    place->parameters = json_unref(place->parameters);
    assert_int_equal(json_parse(parameters, strlen(parameters), &place->parameters, NULL), 0);
    place->spec.parameters = place->parameters;
    r = deploy_package_open(&place->spec, &fd, err);
    if (r == 0) {
        assert_int_equal(read(fd, bytes, sizeof(bytes)), strlen(BYTES));
        assert_string_equal(bytes, BYTES);
    } else {
        assert_int_equal(fd, -1);
    }
    return r;
}

static void the_package_of_a_call(void **state)
{
    static const struct {
        const char *status;
        const char *journal;
        const char *said; /* NULL: it is opened */
    } cases[] = {
        {"succeeded", ANNOUNCED(SHA256), NULL},
        {"succeeded", ANNOUNCED("00") ANNOUNCED(SHA256), NULL},
        {"succeeded", ANNOUNCED("00"), "is not what it was"},
        {"succeeded", "{\"seq\":1,\"type\":\"started\"}\n", "has no artifact 'package'"},
        {"failed", ANNOUNCED(SHA256), "ended as failed"},
        {NULL, ANNOUNCED(SHA256), "has not ended yet"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_error_ Error err = {0};
        int r;

        (void)set_up(state);
        write_call(*state, "c1", "package", cases[i].status, cases[i].journal);
        r = open_with(*state, "{\"package\":{\"call\":\"c1\"}}", &err);
        assert_int_equal(r, cases[i].said ? DEPLOY_PACKAGE_MISSING : 0);
        if (cases[i].said && !strstr(error_text(&err), cases[i].said)) {
            fail_msg("'%s' is not in '%s'", cases[i].said, error_text(&err));
        }
        (void)tear_down(state);
    }
}

static void an_artifact_that_leads_out(void **state)
{
    static const char journal[] =
        "{\"type\":\"report\",\"line\":\"{\\\"type\\\":\\\"artifact\\\",\\\"name\\\":"
        "\\\"package\\\","
        "\\\"file\\\":\\\"../spec.json\\\",\\\"sha256\\\":\\\"" SHA256 "\\\"}\"}\n";
    _cleanup_error_ Error err = {0};

    write_call(*state, "c1", "package", "succeeded", journal);
    assert_int_equal(open_with(*state, "{\"package\":{\"call\":\"c1\"}}", &err),
                     DEPLOY_PACKAGE_MISSING);
}

static void the_package_of_an_input(void **state)
{
    static const struct {
        const char *sha256; /* NULL: it is not complete */
        const char *said;
    } cases[] = {
        {SHA256, NULL},
        {"00", "is not what it was"},
        {NULL, "no complete input 'i1'"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_error_ Error err = {0};
        int r;

        (void)set_up(state);
        write_file(*state, "inputs/i1", BYTES);
        if (cases[i].sha256) {
            write_file(*state, "inputs/i1.sha256", cases[i].sha256);
        }
        r = open_with(*state, "{\"package\":{\"input\":\"i1\"}}", &err);
        assert_int_equal(r, cases[i].said ? DEPLOY_PACKAGE_MISSING : 0);
        if (cases[i].said) {
            assert_non_null(strstr(error_text(&err), cases[i].said));
        }
        (void)tear_down(state);
    }
}

static void the_newest_package_of_the_run(void **state)
{
    _cleanup_error_ Error err = {0};
    Place *place = *state;

    assert_int_equal(open_with(place, "{}", &err), DEPLOY_PACKAGE_MISSING);
    assert_non_null(strstr(error_text(&err), "which package?"));
    place->spec.run = "r";
    assert_int_equal(open_with(place, "{}", &err), DEPLOY_PACKAGE_MISSING);
    assert_non_null(strstr(error_text(&err), "no call of run r has made a package"));
    write_call(place, "c1", "package", "succeeded", ANNOUNCED("00"));
    write_call(place, "c2", "package", "succeeded", ANNOUNCED(SHA256));
    write_call(place, "c3", "package", "failed", ANNOUNCED("00"));
    write_call(place, "c4", "build", "succeeded", ANNOUNCED("00"));
    write_call(place, "c5", "package", NULL, ANNOUNCED("00"));
    assert_int_equal(open_with(place, "{}", NULL), 0);
}

static void names_that_lead_elsewhere(void **state)
{
    static const char *const wrong[] = {
        "{\"package\":{\"call\":\"../c1\"}}", "{\"package\":{\"call\":\"\"}}",
        "{\"package\":{\"call\":\"none\"}}",  "{\"package\":{\"input\":\"../inputs/i1\"}}",
        "{\"package\":{\"input\":\"none\"}}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        _cleanup_error_ Error err = {0};

        assert_int_equal(open_with(*state, wrong[i], &err), DEPLOY_PACKAGE_MISSING);
        assert_non_null(err.text);
    }
}

#define with_place(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_package_of_a_call),   with_place(an_artifact_that_leads_out),
        cmocka_unit_test(the_package_of_an_input), with_place(the_newest_package_of_the_run),
        with_place(names_that_lead_elsewhere),
    };

    return cmocka_run_group_tests_name("deploy-package", tests, NULL, NULL);
}
