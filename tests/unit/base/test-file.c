/* SPDX-License-Identifier: MIT */
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "tests/unit/cmocka.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* Each test has a directory of its own, held open, and gone afterwards. */
static char dir_path[64];
static int dir = -1;

static int make_dir(void **state)
{
    (void)snprintf(dir_path, sizeof(dir_path), "/tmp/slipway-test-file-XXXXXX");
    if (!mkdtemp(dir_path)) {
        return -1;
    }
    dir = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -1 : 0;
}

static int remove_dir(void **state)
{
    int r = file_remove_tree(AT_FDCWD, dir_path, NULL);

    dir = fd_close(dir);
    return r;
}

static void write_file(const char *name, const char *text)
{
    _cleanup_fd_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void assert_content(const char *name, const char *text)
{
    _cleanup_buffer_ Buffer b = {0};

    assert_int_equal(file_read(dir, name, &b, NULL), 0);
    assert_string_equal(buffer_text(&b), text);
}

static size_t count_entries(void)
{
    DIR *list = opendir(dir_path);
    size_t n = 0;

    assert_non_null(list);
    while (readdir(list)) {
        n++;
    }
    (void)closedir(list);
    return n - 2;
}

static void path_in_dir(char *path, size_t size, const char *name)
{
    (void)snprintf(path, size, "%s/%s", dir_path, name);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static void read_appends(void **state)
{
    _cleanup_buffer_ Buffer b = {0};

    write_file("empty", "");
    write_file("a", "one");
    write_file("b", "two");
    assert_int_equal(file_read(dir, "empty", &b, NULL), 0);
    assert_string_equal(buffer_text(&b), "");
    assert_int_equal(file_read(dir, "a", &b, NULL), 0);
    assert_int_equal(file_read(dir, "b", &b, NULL), 0);
    assert_string_equal(buffer_text(&b), "onetwo");
}

static void read_of_a_large_file(void **state)
{
    enum { SIZE = 300001 };
    _cleanup_free_ char *text = malloc(SIZE + 1);

    for (size_t i = 0; i < SIZE; i++) {
        text[i] = (char)('a' + i % 23);
    }
    text[SIZE] = '\0';
    write_file("large", text);
    assert_content("large", text);
}

static void read_stops_exactly_at_the_limit(void **state)
{
    _cleanup_error_ Error err = {0};
    Buffer b = BUFFER_INIT(10);

    write_file("ten", "0123456789");
    write_file("eleven", "0123456789x");
    assert_int_equal(file_read(dir, "ten", &b, NULL), 0);
    assert_string_equal(buffer_text(&b), "0123456789");
    buffer_clear(&b);
    assert_int_equal(file_read(dir, "eleven", &b, &err), -ENOBUFS);
    assert_string_equal(error_text(&err), "'eleven' is larger than the 10 bytes allowed");
    assert_int_equal(b.len, 0);
    assert_string_equal(buffer_text(&b), "");

    /* What the buffer had before counts, and stays. */
    assert_int_equal(buffer_append_text(&b, "x"), 0);
    assert_int_equal(file_read(dir, "ten", &b, NULL), -ENOBUFS);
    assert_string_equal(buffer_text(&b), "x");
    buffer_done(&b);
}

/* Files in /proc say that they are empty. */
static void read_does_not_trust_the_size(void **state)
{
    _cleanup_buffer_ Buffer b = {0}, small = BUFFER_INIT(10);

    assert_int_equal(file_read(AT_FDCWD, "/proc/self/status", &b, NULL), 0);
    assert_true(b.len > 100 && strncmp(b.data, "Name:", 5) == 0);
    assert_int_equal(file_read(AT_FDCWD, "/proc/self/status", &small, NULL), -ENOBUFS);
    assert_int_equal(small.len, 0);
}

/* A file of /proc/sys gives all at the first read or never. */
static void read_takes_in_one_go_what_is_there_once(void **state)
{
    _cleanup_buffer_ Buffer b = BUFFER_INIT(4096);

    assert_int_equal(file_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", &b, NULL), 0);
    assert_non_null(strchr(buffer_text(&b), '\t'));
    assert_int_equal(b.data[b.len - 1], '\n');
}

static void read_wants_a_regular_file(void **state)
{
    _cleanup_error_ Error err = {0};
    _cleanup_buffer_ Buffer b = {0};

    assert_int_equal(mkdirat(dir, "d", 0700), 0);
    assert_int_equal(mkfifoat(dir, "fifo", 0600), 0); /* nobody writes: it must not wait */
    assert_int_equal(file_read(dir, "d", &b, &err), -EINVAL);
    assert_string_equal(error_text(&err), "cannot read 'd': not a regular file");
    assert_int_equal(file_read(dir, "fifo", &b, NULL), -EINVAL);
    assert_int_equal(file_read(AT_FDCWD, "/dev/null", &b, NULL), -EINVAL);
    assert_int_equal(file_read(dir, "none", &b, &err), -ENOENT);
    assert_non_null(strstr(error_text(&err), "cannot read 'none'"));
}

/* ---- replacing --------------------------------------------------------------------------------
 */

static void replace_makes_and_replaces(void **state)
{
    struct stat st;

    assert_int_equal(file_replace(dir, "f", "one", 3, 0600, NULL), 0);
    assert_content("f", "one");
    assert_int_equal(fstatat(dir, "f", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(file_replace(dir, "f", "", 0, 0644, NULL), 0);
    assert_content("f", "");
    assert_int_equal(mkdirat(dir, "sub", 0700), 0);
    assert_int_equal(file_replace(dir, "sub/f", "two", 3, 0600, NULL), 0);
    assert_content("sub/f", "two");
    assert_int_equal(count_entries(), 2); /* nothing left aside */
}

static void replace_does_not_change_an_open_file(void **state)
{
    _cleanup_fd_ int fd = -1;
    char text[4] = "";

    write_file("f", "old");
    fd = openat(dir, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(file_replace(dir, "f", "new", 3, 0600, NULL), 0);
    assert_int_equal(fd_read_full(fd, text, 3), 3);
    assert_string_equal(text, "old");
}

/* What an earlier try left aside has another mode, or is a trap. */
static void replace_trusts_nothing_that_lies_aside(void **state)
{
    struct stat st;

    write_file("secret.tmp", "rest");
    assert_int_equal(fchmodat(dir, "secret.tmp", 0644, 0), 0);
    assert_int_equal(file_replace(dir, "secret", "x", 1, 0600, NULL), 0);
    assert_int_equal(fstatat(dir, "secret", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    write_file("victim", "untouched");
    assert_int_equal(symlinkat("victim", dir, "f.tmp"), 0);
    assert_int_equal(file_replace(dir, "f", "x", 1, 0600, NULL), 0);
    assert_content("victim", "untouched");
    assert_int_equal(linkat(dir, "victim", dir, "g.tmp", 0), 0);
    assert_int_equal(file_replace(dir, "g", "x", 1, 0600, NULL), 0);
    assert_content("victim", "untouched");
}

static void replace_that_fails_leaves_the_old(void **state)
{
    struct rlimit saved, small = {4, 4};
    _cleanup_error_ Error err = {0};
    int r;

    /* The disk is full: no file of ours may be longer than 4 bytes. */
    write_file("f", "old content");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
    small.rlim_max = saved.rlim_max;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    r = file_replace(dir, "f", "much longer", 11, 0600, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);
    assert_int_equal(r, -EFBIG);
    assert_non_null(strstr(error_text(&err), "cannot write 'f'"));
    assert_content("f", "old content");
    assert_int_equal(count_entries(), 1);

    /* The name is taken by a directory. */
    assert_int_equal(mkdirat(dir, "d", 0700), 0);
    assert_int_equal(file_replace(dir, "d", "x", 1, 0600, NULL), -EISDIR);
    assert_int_equal(count_entries(), 2);
    assert_int_equal(file_replace(dir, "none/f", "x", 1, 0600, NULL), -ENOENT);
}

/* ---- directories ------------------------------------------------------------------------------
 */

static void make_dirs_makes_what_is_missing(void **state)
{
    static const char *const names[] = {"a", "a/b/c", "a/b/c", "x//y///z", "t/", "./p/../q"};
    char path[128];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        path_in_dir(path, sizeof(path), names[i]);
        assert_int_equal(file_make_dirs(path, 0700, NULL), 0);
        assert_int_equal(faccessat(dir, names[i], X_OK, 0), 0);
    }
    assert_int_equal(file_make_dirs("/", 0700, NULL), 0);
    assert_int_equal(file_make_dirs(".", 0700, NULL), 0);
}

static void make_dirs_says_what_is_in_the_way(void **state)
{
    _cleanup_error_ Error err = {0};
    char path[128];

    write_file("f", "");
    path_in_dir(path, sizeof(path), "f");
    assert_int_equal(file_make_dirs(path, 0700, &err), -ENOTDIR);
    assert_non_null(strstr(error_text(&err), "is not a directory"));
    path_in_dir(path, sizeof(path), "f/g");
    assert_int_equal(file_make_dirs(path, 0700, &err), -ENOTDIR);
    assert_int_equal(symlinkat("nowhere", dir, "dangling"), 0);
    path_in_dir(path, sizeof(path), "dangling");
    assert_int_equal(file_make_dirs(path, 0700, &err), -ENOTDIR);
    assert_int_equal(file_make_dirs("", 0700, &err), -ENOENT);
}

static void exists_looks_at_the_name_itself(void **state)
{
    write_file("f", "");
    assert_int_equal(symlinkat("nowhere", dir, "dangling"), 0);
    assert_true(file_exists(dir, "f"));
    assert_true(file_exists(dir, "dangling"));
    assert_false(file_exists(dir, "none"));
    assert_false(file_exists(dir, "f/none"));
}

static void sync_dir_takes_the_current_one_too(void **state)
{
    assert_int_equal(file_sync_dir(dir), 0);
    assert_int_equal(file_sync_dir(AT_FDCWD), 0);
    assert_int_equal(file_sync_dir(-1), -EBADF);
}

/* ---- trees ------------------------------------------------------------------------------------
 */

static void remove_tree_takes_anything(void **state)
{
    assert_int_equal(mkdirat(dir, "t", 0700), 0);
    assert_int_equal(mkdirat(dir, "t/a", 0700), 0);
    assert_int_equal(mkdirat(dir, "t/a/b", 0700), 0);
    assert_int_equal(mkdirat(dir, "t/.hidden", 0700), 0);
    write_file("t/a/b/f", "x");
    write_file("t/.hidden/..f", "x");
    assert_int_equal(mkfifoat(dir, "t/fifo", 0600), 0);
    write_file("single", "x");
    assert_int_equal(file_remove_tree(dir, "t", NULL), 0);
    assert_int_equal(file_remove_tree(dir, "single", NULL), 0);
    assert_int_equal(file_remove_tree(dir, "none", NULL), 0);
    assert_int_equal(count_entries(), 0);
}

static void remove_tree_does_not_follow_links(void **state)
{
    assert_int_equal(mkdirat(dir, "outside", 0700), 0);
    write_file("outside/keep", "kept");
    assert_int_equal(mkdirat(dir, "t", 0700), 0);
    assert_int_equal(symlinkat("../outside", dir, "t/to-dir"), 0);
    assert_int_equal(symlinkat("../outside/keep", dir, "t/to-file"), 0);
    assert_int_equal(symlinkat("..", dir, "t/up"), 0);
    assert_int_equal(symlinkat("outside", dir, "link"), 0);
    assert_int_equal(file_remove_tree(dir, "t", NULL), 0);
    assert_int_equal(file_remove_tree(dir, "link", NULL), 0);
    assert_content("outside/keep", "kept");
    assert_int_equal(count_entries(), 1);
}

/* A build that ran away made a directory in a directory in a directory. */
static void remove_tree_of_any_depth(void **state)
{
    int at = dup(dir);

    assert_int_equal(mkdirat(dir, "t", 0700), 0);
    for (int i = 0; i < 600; i++) {
        int next;

        assert_int_equal(mkdirat(at, i == 0 ? "t/d" : "d", 0700), 0);
        next = openat(at, i == 0 ? "t/d" : "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void)fd_close(at);
        at = next;
    }
    (void)fd_close(at);
    /* What has the name of a lifted directory already is only another thing to remove. */
    assert_int_equal(mkdirat(dir, "t/.slipway-lifted-0", 0700), 0);
    assert_true(file_tree_size(dir, "t") >= 0);
    assert_int_equal(file_remove_tree(dir, "t", NULL), 0);
    assert_int_equal(count_entries(), 0);
}

static void as_nobody(void (*body)(void))
{
    int status;
    pid_t pid;

    assert_int_equal(fchmod(dir, 0777), 0);
    pid = fork();
    if (pid == 0) {
        if (getuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)) {
            _exit(2);
        }
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                             \
        }                                                                         \
    } while (0)

static void nobody_removes_what_has_no_permissions(void)
{
    static const mode_t modes[] = {0500, 0400, 0300, 0200, 0100, 0000};

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        CHECK(mkdirat(dir, "t", 0700) == 0);
        CHECK(mkdirat(dir, "t/locked", 0700) == 0);
        CHECK(mkdirat(dir, "t/locked/in", 0700) == 0);
        CHECK(symlinkat("in", dir, "t/locked/link") == 0);
        CHECK(fchmodat(dir, "t/locked/in", modes[i], 0) == 0);
        CHECK(fchmodat(dir, "t/locked", modes[i], 0) == 0);
        CHECK(fchmodat(dir, "t", modes[i], 0) == 0);
        CHECK(file_remove_tree(dir, "t", NULL) == 0);
        CHECK(!file_exists(dir, "t"));
    }
}

static void remove_tree_gives_itself_permissions(void **state)
{
    as_nobody(nobody_removes_what_has_no_permissions);
}

/* The caller's own directory is not ours to open up. */
static void nobody_removes_from_a_read_only_directory(void)
{
    _cleanup_fd_ int held = -1;
    _cleanup_error_ Error err = {0};
    struct stat st;

    CHECK(mkdirat(dir, "held", 0700) == 0 && mkdirat(dir, "held/t", 0700) == 0);
    CHECK(fchmodat(dir, "held", 0500, 0) == 0);
    held = openat(dir, "held", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(file_remove_tree(held, "t", &err) == -EACCES);
    CHECK(strstr(error_text(&err), "cannot remove 't'"));
    CHECK(fstat(held, &st) == 0 && (st.st_mode & 0777) == 0500);

    /* Not even to be looked into: that is no success either. */
    CHECK(fchmodat(dir, "held", 0000, 0) == 0);
    CHECK(file_remove_tree(held, "t", NULL) == -EACCES);
    CHECK(fchmodat(dir, "held", 0700, 0) == 0);
}

static void remove_tree_leaves_the_callers_directory_alone(void **state)
{
    as_nobody(nobody_removes_from_a_read_only_directory);
}

/* A mount inside the tree: a file system in memory that is not to be touched. False: we may not. */
static bool mount_in_tree(char *path, size_t size)
{
    assert_int_equal(mkdirat(dir, "t", 0700), 0);
    assert_int_equal(mkdirat(dir, "t/mounted", 0700), 0);
    path_in_dir(path, size, "t/mounted");
    return mount("none", path, "tmpfs", 0, "size=64k") == 0;
}

/* Without the right to mount, on mounts that every Linux has; the same walk, without the removing.
 */
static void walk_stays_in_dev(void)
{
    char path[] = "/dev/shm/slipway-test-file-XXXXXX";
    _cleanup_fd_ int fd = mkostemp(path, O_CLOEXEC);
    struct stat outer, inner;
    int64_t size;
    int r;

    if (fd < 0 || stat("/dev", &outer) < 0 || fstat(fd, &inner) < 0 ||
        outer.st_dev == inner.st_dev) {
        (void)unlink(path);
        skip();
    }
    r = posix_fallocate(fd, 0, 1 << 20);
    size = file_tree_size(AT_FDCWD, "/dev");
    (void)unlink(path);
    assert_int_equal(r, 0);
    assert_true(size < 1 << 20);
}

static void a_tree_ends_where_another_is_mounted(void **state)
{
    char path[128];

    if (!mount_in_tree(path, sizeof(path))) {
        walk_stays_in_dev();
        return;
    }
    write_file("t/mounted/keep", "kept");
    assert_int_equal(file_remove_tree(dir, "t", NULL), -EXDEV);
    assert_content("t/mounted/keep", "kept");
    assert_int_equal(umount(path), 0);
}

static void tree_size_counts_blocks_once(void **state)
{
    _cleanup_free_ char *text = malloc(100001);
    int64_t empty, full;

    memset(text, 'x', 100000);
    text[100000] = '\0';
    assert_int_equal(mkdirat(dir, "t", 0700), 0);
    empty = file_tree_size(dir, "t");
    write_file("t/f", text);
    assert_int_equal(symlinkat("f", dir, "t/link"), 0);
    full = file_tree_size(dir, "t");
    assert_true(full - empty >= 100000 && full - empty < 200000);
    assert_int_equal(file_tree_size(dir, "none"), 0);
}

int main(void)
{
#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        IN_DIR(read_appends),
        IN_DIR(read_of_a_large_file),
        IN_DIR(read_stops_exactly_at_the_limit),
        IN_DIR(read_does_not_trust_the_size),
        IN_DIR(read_takes_in_one_go_what_is_there_once),
        IN_DIR(read_wants_a_regular_file),
        IN_DIR(replace_makes_and_replaces),
        IN_DIR(replace_does_not_change_an_open_file),
        IN_DIR(replace_trusts_nothing_that_lies_aside),
        IN_DIR(replace_that_fails_leaves_the_old),
        IN_DIR(make_dirs_makes_what_is_missing),
        IN_DIR(make_dirs_says_what_is_in_the_way),
        IN_DIR(exists_looks_at_the_name_itself),
        IN_DIR(sync_dir_takes_the_current_one_too),
        IN_DIR(remove_tree_takes_anything),
        IN_DIR(remove_tree_does_not_follow_links),
        IN_DIR(remove_tree_of_any_depth),
        IN_DIR(remove_tree_gives_itself_permissions),
        IN_DIR(remove_tree_leaves_the_callers_directory_alone),
        IN_DIR(a_tree_ends_where_another_is_mounted),
        IN_DIR(tree_size_counts_blocks_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
