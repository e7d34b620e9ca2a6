/* SPDX-License-Identifier: MIT */
#include "agent/runners/test-results.h"

#include "protocol/artifact/file-list.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEST_FILES_MAX 100000

void test_files_done(TestFiles *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->files[i].name);
    }
    free(files->files);
    *files = (TestFiles){0};
}

/* ---- what is there ----------------------------------------------------------------------------
 */

/* git's own directory is not the step's work, and large. */
static int match(int workspace_fd, const RecipeStep *step, FileList *list, Error *err)
{
    _cleanup_free_ const char **patterns = calloc(step->n_junit + 1, sizeof(*patterns));

    if (!patterns) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    memcpy(patterns, step->junit, step->n_junit * sizeof(*patterns));
    patterns[step->n_junit] = "!.git";
    list->limit = TEST_FILES_MAX;
    list->may_match_nothing = true;
    return file_list_match(workspace_fd, patterns, step->n_junit + 1, list, err);
}

/* 1: a regular file; 0: anything else, or gone meanwhile. Takes the name. */
static int examine(int workspace_fd, char **name, TestFile *ret)
{
    struct stat st;

    if (fstatat(workspace_fd, *name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode)) {
        return 0;
    }
    *ret = (TestFile){.name = TAKE_PTR(*name),
                      .device = st.st_dev,
                      .inode = st.st_ino,
                      .size = st.st_size,
                      .changed_ns =
                          (int64_t)st.st_ctim.tv_sec * 1000000000 + (int64_t)st.st_ctim.tv_nsec};
    return 1;
}

int test_files_find(int workspace_fd, const RecipeStep *step, TestFiles *ret, Error *err)
{
    _cleanup_(file_list_done) FileList list = {0};
    TestFiles found = {0};
    int r = step->n_junit > 0 ? match(workspace_fd, step, &list, err) : 0;

    if (r < 0) {
        return error_wrap(err, "looking for JUnit files");
    }
    found.files = calloc(list.count + 1, sizeof(*found.files));
    if (!found.files) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < list.count; i++) {
        found.count += (size_t)examine(workspace_fd, &list.names[i], &found.files[found.count]);
    }
    *ret = found;
    return 0;
}

/* ---- what is new ------------------------------------------------------------------------------
 */

static int compare_by_name(const void *a, const void *b)
{
    return strcmp(((const TestFile *)a)->name, ((const TestFile *)b)->name);
}

static bool is_new(const TestFiles *before, const TestFile *file)
{
    const TestFile *old = before->count == 0 ? NULL
                                             : bsearch(file, before->files, before->count,
                                                       sizeof(*before->files), compare_by_name);

    return !old || old->device != file->device || old->inode != file->inode ||
           old->size != file->size || old->changed_ns != file->changed_ns;
}

static int read_file(int workspace_fd, const char *name, TestSums *sums, Error *err)
{
    _cleanup_fd_ int fd = openat(workspace_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0) {
        return error_set_errno(err, -errno, "JUnit file '%s'", name);
    }
    return junit_read(fd, name, sums, err);
}

static int sum_up(int workspace_fd, const RecipeStep *step, const TestFiles *before,
                  TestFiles *after, TestSums *sums, TestFiles *counted, Error *err)
{
    for (size_t i = 0; i < after->count; i++) {
        _cleanup_error_ Error problem = {0};
        int r;

        if (!is_new(before, &after->files[i])) {
            continue;
        }
        r = read_file(workspace_fd, after->files[i].name, sums, &problem);
        if (r == -ENOMEM || (r < 0 && step->is_junit_declared)) {
            return error_set(err, r, "%s", error_text(&problem));
        }
        if (r < 0) {
            log_warning("%s, going on without it", error_text(&problem));
        } else {
            counted->files[counted->count++] = after->files[i];
            after->files[i].name = NULL;
        }
    }
    return 0;
}

int test_results_collect(int workspace_fd, const RecipeStep *step, const TestFiles *before,
                         TestSums *ret, TestFiles *ret_files, Error *err)
{
    _cleanup_test_files_ TestFiles after = {0}, counted = {0};
    _cleanup_test_sums_ TestSums sums = {0};
    int r = test_files_find(workspace_fd, step, &after, err);

    counted.files = r == 0 ? calloc(after.count + 1, sizeof(*counted.files)) : NULL;
    if (r == 0 && !counted.files) {
        r = error_set(err, -ENOMEM, "out of memory");
    }
    r = r == 0 ? sum_up(workspace_fd, step, before, &after, &sums, &counted, err) : r;
    if (r == 0 && counted.count == 0 && step->is_junit_declared) {
        r = error_set(
            err, -ENOENT,
            "'%s' wrote no JUnit file that matches '%s'%s, so nobody knows what was tested",
            step->title, step->junit[0], step->n_junit > 1 ? " or the others" : "");
    }
    /* What was read counts, also when it is not all. */
    *ret = sums;
    *ret_files = counted;
    counted = (TestFiles){0};
    sums = (TestSums){0};
    return r;
}
