/* SPDX-License-Identifier: MIT */
#include "agent/source/workspace.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static int setup(void **state)
{
    return scratch_setup(state) < 0 ? -1 : mkdirat(SCRATCH_FD, "workspace", 0755);
}

static void open_workspace(void **state, Workspace *workspace)
{
    char path[100];

    (void)snprintf(path, sizeof(path), "%s/workspace", SCRATCH_PATH);
    assert_int_equal(workspace_open(path, workspace, NULL), 0);
}

static void test_note(void **state)
{
    _cleanup_workspace_ Workspace workspace = WORKSPACE_INIT;
    _cleanup_json_ Json *note = NULL, *back = NULL, *half = NULL;

    open_workspace(state, &workspace);
    assert_int_equal(workspace_read_note(&workspace, &note, NULL), 0);
    assert_null(note);
    note = json_new_object();
    assert_int_equal(json_set_string(note, "origin", "git x"), 0);
    assert_int_equal(workspace_write_note(&workspace, note, NULL), 0);
    assert_int_equal(workspace_read_note(&workspace, &back, NULL), 0);
    assert_true(json_equal(note, back));
    /* Beside the workspace, never in it. */
    assert_int_equal(workspace_is_empty(&workspace, NULL), 1);
    assert_int_equal(workspace_forget(&workspace, NULL), 0);
    assert_int_equal(workspace_read_note(&workspace, &half, NULL), 0);
    assert_non_null(half);
    assert_int_equal(json_member_count(half), 0);
}

static void test_damaged_note(void **state)
{
    static const char *const texts[] = {"", "{\"origin\":", "[]", "\"x\""};
    _cleanup_workspace_ Workspace workspace = WORKSPACE_INIT;

    open_workspace(state, &workspace);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_json_ Json *note = NULL;

        scratch_write_text(SCRATCH_FD, "source.json", texts[i]);
        assert_int_equal(workspace_read_note(&workspace, &note, NULL), 0);
        assert_int_equal(json_type_of(note), JSON_OBJECT);
        assert_int_equal(json_member_count(note), 0);
    }
}

static void test_clear(void **state)
{
    _cleanup_workspace_ Workspace workspace = WORKSPACE_INIT;

    scratch_write_text(SCRATCH_FD, "outside/x", "x");
    scratch_write_text(SCRATCH_FD, "workspace/.hidden/a", "a");
    scratch_write_text(SCRATCH_FD, "workspace/tight/a", "a");
    assert_int_equal(symlinkat("../outside", SCRATCH_FD, "workspace/link"), 0);
    assert_int_equal(fchmodat(SCRATCH_FD, "workspace/tight", 0500, 0), 0);
    open_workspace(state, &workspace);
    assert_int_equal(workspace_is_empty(&workspace, NULL), 0);
    assert_int_equal(workspace_clear(&workspace, NULL), 0);
    assert_int_equal(workspace_is_empty(&workspace, NULL), 1);
    assert_true(file_exists(SCRATCH_FD, "outside/x"));
}

static void test_move_in(void **state)
{
    _cleanup_workspace_ Workspace workspace = WORKSPACE_INIT;
    _cleanup_error_ Error err = {0};
    struct stat before, after;

    scratch_write_text(SCRATCH_FD, "aside/a/b", "b");
    scratch_write_text(SCRATCH_FD, "aside/.c", "c");
    open_workspace(state, &workspace);
    assert_int_equal(fstat(workspace.fd, &before), 0);
    assert_int_equal(workspace_move_in(&workspace, "aside", NULL), 0);
    scratch_expect_text(SCRATCH_FD, "workspace/a/b", "b");
    scratch_expect_text(SCRATCH_FD, "workspace/.c", "c");
    assert_false(file_exists(SCRATCH_FD, "aside"));
    /* It is still the directory that others stand in. */
    assert_int_equal(fstatat(SCRATCH_FD, "workspace", &after, 0), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(workspace_move_in(&workspace, "aside", &err), -ENOENT);
}

static void test_no_directory(void **state)
{
    Workspace workspace = WORKSPACE_INIT;
    _cleanup_error_ Error err = {0};
    char path[100];

    (void)snprintf(path, sizeof(path), "%s/gone", SCRATCH_PATH);
    assert_int_equal(workspace_open(path, &workspace, &err), -ENOENT);
    assert_non_null(strstr(error_text(&err), "cannot open the workspace"));
    scratch_write_text(SCRATCH_FD, "gone", "a file");
    assert_int_equal(workspace_open(path, &workspace, &err), -ENOTDIR);
    assert_int_equal(workspace.fd, -1);
}

#define workspace_test(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        workspace_test(test_note),    workspace_test(test_damaged_note), workspace_test(test_clear),
        workspace_test(test_move_in), workspace_test(test_no_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
