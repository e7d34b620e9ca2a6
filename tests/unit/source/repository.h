/* SPDX-License-Identifier: MIT */
/* A git repository to bring sources from, made with git itself. */
#pragma once

#include "agent/source/git.h"
#include "agent/source/process.h"
#include "tests/unit/scratch.h"

#include <stdio.h>

/* The scratch place, and git as if nobody had configured it; it need not wait for the disk. */
_unused_ static int repository_setup(void **state)
{
    char path[100];
    int r = scratch_setup(state);

    if (r == 0) {
        scratch_write_text(SCRATCH_FD, "gitconfig", "[core]\n\tfsync = none\n");
        (void)snprintf(path, sizeof(path), "%s/gitconfig", SCRATCH_PATH);
        r = setenv("GIT_CONFIG_GLOBAL", path, 1) | setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
    }
    return r;
}

#define repository_test(f) cmocka_unit_test_setup_teardown(f, repository_setup, scratch_teardown)

/* Runs git in a directory of the scratch place; what it prints is the caller's. */
_unused_ static char *repository_git(void **state, const char *name, const char *const *arguments)
{
    _cleanup_environment_ Environment env = {0};
    _cleanup_buffer_ Buffer output = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};
    const char *argv[24] = {"git", "-c", "protocol.file.allow=always"};
    char directory[200];
    ProcessExit how;

    for (size_t i = 0; arguments[i]; i++) {
        argv[3 + i] = arguments[i];
    }
    (void)snprintf(directory, sizeof(directory), "%s/%s", SCRATCH_PATH, name);
    assert_int_equal(environment_set(&env, "PATH", getenv("PATH")), 0);
    assert_int_equal(environment_set(&env, "GIT_CONFIG_GLOBAL", getenv("GIT_CONFIG_GLOBAL")), 0);
    assert_int_equal(environment_set(&env, "GIT_CONFIG_NOSYSTEM", "1"), 0);
    assert_int_equal(environment_set(&env, "GIT_AUTHOR_NAME", "Test"), 0);
    assert_int_equal(environment_set(&env, "GIT_AUTHOR_EMAIL", "test@localhost"), 0);
    assert_int_equal(environment_set(&env, "GIT_COMMITTER_NAME", "Test"), 0);
    assert_int_equal(environment_set(&env, "GIT_COMMITTER_EMAIL", "test@localhost"), 0);
    assert_int_equal(environment_set(&env, "GIT_AUTHOR_DATE", "1700000000 +0000"), 0);
    assert_int_equal(environment_set(&env, "GIT_COMMITTER_DATE", "1700000000 +0000"), 0);
    if (process_run(
            &(ProcessOptions){
                .argv = argv, .env = env.entries, .directory = directory, .output = &output},
            &how, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_true(process_exit_is_success(&how));
    while (output.len > 0 && output.data[output.len - 1] == '\n') {
        output.data[--output.len] = '\0';
    }
    return buffer_take_text(&output);
}

#define REPOSITORY_GIT(name, ...) free(repository_git(state, name, GIT_ARGUMENTS(__VA_ARGS__)))

_unused_ static void repository_make(void **state, const char *name)
{
    assert_int_equal(mkdirat(SCRATCH_FD, name, 0755), 0);
    REPOSITORY_GIT(name, "init", "-q", "-b", "main");
}

/* Changes one file and commits. The hash is the caller's. */
_unused_ static char *repository_commit(void **state, const char *name, const char *file,
                                        const char *text)
{
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/%s", name, file);
    scratch_write_text(SCRATCH_FD, path, text);
    REPOSITORY_GIT(name, "add", "-A");
    REPOSITORY_GIT(name, "commit", "-q", "-m", text);
    return repository_git(state, name, GIT_ARGUMENTS("rev-parse", "HEAD"));
}

/* An absolute path in the scratch place; the caller's. */
_unused_ static char *repository_path(void **state, const char *name)
{
    char *path;

    assert_true(asprintf(&path, "%s/%s", SCRATCH_PATH, name) > 0);
    return path;
}
