/* SPDX-License-Identifier: MIT */
#include "agent/calls/spawn.h"

#include "tests/unit/calls/fixture.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>

static Json *parse(const char *text)
{
    Json *value = NULL;

    assert_int_equal(json_parse(text, strlen(text), &value, NULL), 0);
    return value;
}

static const char *find(char **environment, const char *name)
{
    size_t n = strlen(name);
    const char *found = NULL;

    for (; *environment; environment++) {
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=') {
            assert_null(found); /* not twice */
            found = *environment + n + 1;
        }
    }
    return found;
}

static void gives_an_environment_of_its_own(void **state)
{
    _cleanup_json_ Json *env = parse("{\"PATH\":\"/mine\",\"A\":\"b\"}");
    AgentConfig config = {.name = (char *)"agent-1"};
    ActionConfig action = {.name = (char *)"build", .env = env};
    CallSpec spec = {.action = "build", .workspace = "/w", .is_terminal = true};
    SpawnRequest request = {.config = &config, .action = &action, .spec = &spec, .call = "c1"};
    _cleanup_(spawn_free_stringsp) char **environment = NULL;

    (void)setenv("TERM", "xterm", 1);
    (void)setenv("LANG", "C.UTF-8", 1);
    (void)setenv("AWS_SECRET", "hidden", 1);
    (void)setenv("SLIPWAY_STATE", "/s", 1);
    assert_int_equal(spawn_build_environment(&request, &environment), 0);
    assert_string_equal(find(environment, "PATH"), "/mine");
    assert_string_equal(find(environment, "A"), "b");
    assert_string_equal(find(environment, "LANG"), "C.UTF-8");
    assert_string_equal(find(environment, "TERM"), "xterm");
    assert_string_equal(find(environment, "CI"), "true");
    assert_string_equal(find(environment, "SLIPWAY"), "true");
    assert_string_equal(find(environment, "SLIPWAY_CALL"), "c1");
    assert_string_equal(find(environment, "SLIPWAY_ACTION"), "build");
    assert_string_equal(find(environment, "SLIPWAY_RUN"), "c1");
    assert_string_equal(find(environment, "SLIPWAY_WORKSPACE"), "/w");
    assert_string_equal(find(environment, "SLIPWAY_AGENT"), "agent-1");
    assert_null(find(environment, "TRACEPARENT"));
    assert_null(find(environment, "AWS_SECRET"));
    assert_null(find(environment, "SLIPWAY_STATE"));
}

static void has_a_path_and_a_dumb_terminal(void **state)
{
    AgentConfig config = {.name = (char *)"a"};
    ActionConfig action = {.name = (char *)"build"};
    CallSpec spec = {.action = "build", .run = "r", .workspace = "/w", .traceparent = "00-1"};
    SpawnRequest request = {.config = &config, .action = &action, .spec = &spec, .call = "c1"};
    _cleanup_(spawn_free_stringsp) char **environment = NULL;

    (void)setenv("TERM", "xterm", 1);
    (void)unsetenv("PATH");
    assert_int_equal(spawn_build_environment(&request, &environment), 0);
    assert_non_null(strstr(find(environment, "PATH"), "/usr/bin"));
    assert_string_equal(find(environment, "TERM"), "dumb");
    assert_string_equal(find(environment, "SLIPWAY_RUN"), "r");
    assert_string_equal(find(environment, "TRACEPARENT"), "00-1");
}

static char *join(char **strings)
{
    Buffer text = {0};

    for (char **s = strings; *s; s++) {
        assert_int_equal(buffer_append_format(&text, "%s%s", s == strings ? "" : " ", *s), 0);
    }
    return buffer_take_text(&text);
}

/* agent/calls/README.md, "The shim's command line". */
static void writes_the_command_line(void **state)
{
    char *for_build[] = {(char *)"test", (char *)"build", NULL}, *for_none[] = {NULL};
    SecretConfig secrets[] = {{.name = (char *)"T", .file = (char *)"/t", .actions = for_build},
                              {.name = (char *)"U", .file = (char *)"/u", .actions = for_none}};
    char *command[] = {(char *)"/run", (char *)"--x", NULL};
    AgentConfig config = {.libexec_directory = (char *)"/l", .secrets = secrets, .n_secrets = 2};
    ActionConfig action = {.name = (char *)"build", .command = command};
    CallSpec spec = {.timeout_ms = 1500, .grace_ms = 3, .is_terminal = true};
    SpawnRequest request = {.config = &config, .action = &action, .spec = &spec};
    _cleanup_(spawn_free_stringsp) char **arguments = NULL, **plain = NULL;
    _cleanup_free_ char *line = NULL, *plain_line = NULL;

    request.cgroup = "/sys/c";
    request.files_max = 1024;
    assert_int_equal(spawn_build_arguments(&request, &arguments), 0);
    line = join(arguments);
    assert_string_equal(
        line, "/l/slipway-shim --timeout-ms 1500 --silence-timeout-ms 0 "
              "--grace-ms 3 --terminal --files-max 1024 --cgroup /sys/c --secret T=/t -- /run --x");
    request.cgroup = NULL;
    request.files_max = 0;
    spec.is_terminal = false;
    action.name = (char *)"other";
    assert_int_equal(spawn_build_arguments(&request, &plain), 0);
    plain_line = join(plain);
    assert_string_equal(plain_line, "/l/slipway-shim --timeout-ms 1500 --silence-timeout-ms 0 "
                                    "--grace-ms 3 -- /run --x");
}

static void tells_what_cannot_be_executed(void **state)
{
    char *command[] = {(char *)"/run", NULL};
    AgentConfig config = {.name = (char *)"a", .libexec_directory = (char *)"/nonexistent"};
    ActionConfig action = {.name = (char *)"build", .command = command};
    CallSpec spec = {.action = "build", .workspace = "/"};
    SpawnRequest request = {.config = &config,
                            .action = &action,
                            .spec = &spec,
                            .call = "c",
                            .call_fd = SCRATCH_FD,
                            .lock_fd = SCRATCH_FD,
                            .control_fd = SCRATCH_FD};
    _cleanup_error_ Error err = {0};
    SpawnList list;
    uv_loop_t loop;

    scratch_write_text(SCRATCH_FD, "spec.json", "{}");
    assert_int_equal(uv_loop_init(&loop), 0);
    spawn_list_init(&list, &loop);
    assert_int_equal(spawn_shim(&list, &request, &err), -ENOENT);
    assert_non_null(strstr(error_text(&err), "/nonexistent/slipway-shim"));
    while (list.n_open > 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(uv_loop_close(&loop), 0);
}

static bool is_reaped(Fixture *f, void *userdata)
{
    return !f->calls->processes.first;
}

static void reaps_shims(void **state)
{
    Fixture f;

    fixture_init(&f, "");
    fixture_open(&f);
    fixture_wait_state(&f, fixture_start(&f, "succeed", "k", NULL), CALL_FINISHED);
    fixture_wait(&f, is_reaped, NULL);
    fixture_done(&f);
}

/* Many descriptors for the agent; for what it starts as many as before, also after a second look.
 */
static void remembers_the_limit_that_it_was_given(void **state)
{
    struct rlimit before, given, now;
    SpawnList list;
    uv_loop_t loop;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    given = (struct rlimit){before.rlim_max / 2, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &given), 0);
    assert_int_equal(uv_loop_init(&loop), 0);
    spawn_list_init(&list, &loop);
    assert_int_equal(list.files_max, MIN(given.rlim_cur, (rlim_t)INT_MAX));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    assert_int_equal(now.rlim_cur, before.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static bool has_key(Fixture *f, void *userdata)
{
    return is_reaped(f, NULL) && fixture_exists(f, "state/keys/agent.pub");
}

/* Where there is none; the program gets the directory and nothing else. */
static void has_the_host_key_made(void **state)
{
    _cleanup_error_ Error err = {0};
    _cleanup_free_ char *text = NULL, *expected = NULL;
    Fixture f;

    fixture_init(&f, "");
    fixture_open(&f);
    assert_int_equal(calls_make_host_key(f.calls, &err), -ENOENT);
    assert_non_null(strstr(error_text(&err), "libexec/slipway-host-key"));
    fixture_write(&f, "libexec/slipway-host-key",
                  "#!/bin/sh\nmkdir -p \"$1\" && echo \"$@\" >\"$1/new\" && "
                  "mv \"$1/new\" \"$1/agent.pub\"\n");
    assert_int_equal(fchmodat(f.fd, "libexec/slipway-host-key", 0755, 0), 0);
    assert_int_equal(calls_make_host_key(f.calls, NULL), 0);
    fixture_wait(&f, has_key, NULL);
    text = fixture_read(&f, "state/keys/agent.pub");
    assert_true(asprintf(&expected, "%s/state/keys\n", f.directory) > 0);
    assert_string_equal(text, expected);
    assert_int_equal(unlinkat(f.fd, "libexec/slipway-host-key", 0), 0);
    assert_int_equal(calls_make_host_key(f.calls, NULL), 0); /* it is there */
    fixture_done(&f);
}

static void on_closed(void *userdata)
{
    *(bool *)userdata = true;
}

static void empties_the_trash(void **state)
{
    SpawnList list;
    uv_loop_t loop;
    bool is_closed = false;

    scratch_write_text(SCRATCH_FD, "a/b/c", "x");
    scratch_write_text(SCRATCH_FD, "d", "x");
    assert_int_equal(fchmodat(SCRATCH_FD, "a/b", 0500, 0), 0); /* as go's module cache has it */
    assert_int_equal(uv_loop_init(&loop), 0);
    spawn_list_init(&list, &loop);
    assert_int_equal(spawn_remover(&list, SCRATCH_FD, NULL), 0);
    assert_int_equal(spawn_remover(&list, SCRATCH_FD, NULL), 0); /* one is enough */
    assert_int_equal(list.n_open, 1);
    uv_ref((uv_handle_t *)list.remover);
    while (list.remover) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(scratch_count(SCRATCH_FD, "."), 0);
    spawn_list_close(&list, on_closed, &is_closed);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_an_environment_of_its_own),
        cmocka_unit_test(has_a_path_and_a_dumb_terminal),
        cmocka_unit_test(writes_the_command_line),
        scratch_test(tells_what_cannot_be_executed),
        cmocka_unit_test(reaps_shims),
        cmocka_unit_test(remembers_the_limit_that_it_was_given),
        cmocka_unit_test(has_the_host_key_made),
        scratch_test(empties_the_trash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
