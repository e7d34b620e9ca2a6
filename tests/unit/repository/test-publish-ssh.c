/* SPDX-License-Identifier: MIT */
/* Against a real sshd, whose shell and tools are busybox's here. */
#include "agent/package/repository/publish-target.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/ssh/sshd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a path may have in it, and what a shell would make of it. */
#define DIRECTORY "deep/it's $(touch x) \"a\" *;b"
#define LOCK DIRECTORY "/.slipway-lock.d"
#define PATIENCE_MS 60000

/* ---- the host over there ----------------------------------------------------------------------
 */

static void make_busybox(const Sshd *s)
{
    static const char *const applets[] = {"sh", "cat",  "wc", "mv",    "rm",
                                          "ls", "sync", "id", "mkdir", "echo"};
    char path[160];

    (void)snprintf(path, sizeof(path), "%s/bin", s->directory);
    assert_int_equal(mkdir(path, 0755), 0);
    for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
        (void)snprintf(path, sizeof(path), "%s/bin/%s", s->directory, applets[i]);
        assert_int_equal(symlink("/bin/busybox", path), 0);
    }
    /* A start-up file that is talkative. */
    (void)snprintf(path, sizeof(path), "%s/login", s->directory);
    sshd_write(s, "login",
               "#!/bin/busybox sh\necho Welcome.\nPATH=${0%/*}/bin\n"
               "exec sh -c \"$SSH_ORIGINAL_COMMAND\"\n");
    assert_int_equal(chmod(path, 0755), 0);
}

static int setup(void **state)
{
    char line[128];
    const char *lines[] = {line, NULL};
    Sshd *s = calloc(1, sizeof(*s));

    (void)signal(SIGPIPE, SIG_IGN);
    assert_non_null(s);
    (void)strcpy(s->directory, "/tmp/slipway-test-XXXXXX");
    assert_non_null(mkdtemp(s->directory));
    (void)snprintf(s->config, sizeof(s->config), "%s/ssh_config", s->directory);
    (void)snprintf(line, sizeof(line), "ForceCommand %s/login", s->directory);
    make_busybox(s);
    sshd_start(s, lines);
    *state = s;
    return 0;
}

static PublishTarget *open_target(const Sshd *s)
{
    const PublishAccess access = {.ssh_config_file = s->config};
    _cleanup_error_ Error err = {0};
    PublishTarget *target = NULL;
    char address[256];

    (void)snprintf(address, sizeof(address), "ssh://127.0.0.1:%u%s/" DIRECTORY, s->port,
                   s->directory);
    if (publish_target_open(address, &access, &target, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_string_equal(publish_target_address(target), address);
    return target;
}

static void must(int r, const Error *err)
{
    if (r < 0) {
        fail_msg("%s", error_text(err));
    }
}

static void lock(PublishTarget *target, const char *holder, int64_t timeout_ms)
{
    _cleanup_error_ Error err = {0};

    must(publish_target_lock(target, holder, timeout_ms, &err), &err);
}

static void put(PublishTarget *target, const char *name, const char *text)
{
    _cleanup_error_ Error err = {0};

    must(publish_target_put(target, name, text, strlen(text), &err), &err);
}

static void expect_text(const Sshd *s, const char *name, const char *text)
{
    _cleanup_free_ char *there = sshd_read(s, name);

    assert_string_equal(there, text);
}

/* Entries of the directory whose names begin so; `ret` (may be NULL) gets one of them. */
static int count(const Sshd *s, const char *directory, const char *prefix, char ret[static 256])
{
    char path[256];
    const struct dirent *entry;
    int n = 0;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "%s/%s", s->directory, directory);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
            (void)snprintf(ret, 256, "%s", entry->d_name);
            n++;
        }
    }
    (void)closedir(dir);
    return n;
}

/* The processes that serve connections: children of the one that listens. Ends them. */
static void cut(const Sshd *s)
{
    const struct dirent *entry;
    DIR *dir = opendir("/proc");

    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        _cleanup_buffer_ Buffer text = {0};
        char path[300];
        int parent;

        (void)snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        if (file_read(AT_FDCWD, path, &text, NULL) == 0 && strrchr(text.data, ')') &&
            sscanf(strrchr(text.data, ')'), ") %*c %d", &parent) == 1 && parent == s->pid) {
            (void)kill((pid_t)atoi(entry->d_name), SIGKILL);
        }
    }
    (void)closedir(dir);
}

/* ---- files ------------------------------------------------------------------------------------
 */

static void test_files(void **state)
{
    const Sshd *s = *state;
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(s);
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0), small = BUFFER_INIT(2);
    _cleanup_error_ Error err = {0};
    _cleanup_fd_ int fd = -1;
    char path[256], name[256];
    struct stat st;

    assert_int_equal(publish_target_read(target, "a/b/c", &text, NULL), 0);
    put(target, "a/b/c", "one");
    put(target, "a/b/c", "two!");
    assert_int_equal(publish_target_read(target, "a/b/c", &text, NULL), 1);
    assert_string_equal(buffer_text(&text), "two!");
    assert_int_equal(publish_target_read(target, "a/b/c", &small, &err), -ENOBUFS);
    assert_int_equal(small.len, 0);
    put(target, "a/empty", "");
    buffer_clear(&text);
    assert_int_equal(publish_target_read(target, "a/empty", &text, NULL), 1);
    assert_int_equal(text.len, 0);
    put(target, "a/1.2~rc+x $(touch y)'", "odd");
    expect_text(s, DIRECTORY "/a/1.2~rc+x $(touch y)'", "odd");
    (void)snprintf(path, sizeof(path), "%s/" DIRECTORY "/a/b/c", s->directory);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);

    sshd_write(s, "source", "content");
    (void)snprintf(path, sizeof(path), "%s/source", s->directory);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3); /* from the beginning all the same */
    assert_int_equal(publish_target_put_file(target, "pool/x.deb", fd, 7, NULL), 0);
    expect_text(s, DIRECTORY "/pool/x.deb", "content");
    /* Shorter than it was said to be: nothing of it is seen. */
    assert_int_equal(publish_target_put_file(target, "pool/y.deb", fd, 8, NULL), -EIO);
    assert_int_equal(
        count(s, DIRECTORY "/pool", "y.deb", name) == 0 || strstr(name, ".slipway-") != NULL, 1);

    assert_int_equal(publish_target_remove(target, "pool/x.deb", NULL), 0);
    assert_int_equal(publish_target_remove(target, "pool/x.deb", NULL), 0);
    assert_int_equal(count(s, DIRECTORY "/pool", "x.deb", name), 0);
}

/* More than every window on the way, and all bytes. */
static void test_a_large_file(void **state)
{
    const size_t size = 5000003;
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(*state);
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_free_ char *much = malloc(size);
    _cleanup_error_ Error err = {0};

    assert_non_null(much);
    for (size_t i = 0; i < size; i++) {
        much[i] = (char)(i * 7 + i / 1000);
    }
    must(publish_target_put(target, "much", much, size, &err), &err);
    assert_int_equal(publish_target_read(target, "much", &text, &err), 1);
    assert_int_equal(text.len, size);
    assert_memory_equal(text.data, much, size);
}

static void test_what_is_in_the_way(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(*state);
    _cleanup_error_ Error directory = {0}, file = {0};

    put(target, "way/file", "");
    assert_int_equal(publish_target_put(target, "way", "", 0, &directory), -EREMOTEIO);
    expect_words(error_text(&directory), "/way is a directory");
    assert_int_equal(publish_target_put(target, "way/file/x", "", 0, &file), -EREMOTEIO);
    expect_words(error_text(&file), "way/file");
}

/* What a writer left that was killed over there is gone after the next. */
static void test_leftovers(void **state)
{
    const Sshd *s = *state;
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(s);
    char name[256];

    put(target, "left/a", "1");
    sshd_write(s, DIRECTORY "/left/a.slipway-0123-7", "hal");
    put(target, "left/a", "2");
    assert_int_equal(count(s, DIRECTORY "/left", "a", name), 1);
    expect_text(s, DIRECTORY "/left/a", "2");
}

/* ---- lock -------------------------------------------------------------------------------------
 */

static void test_lock(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *first = open_target(*state);
    _cleanup_(publish_target_closep) PublishTarget *second = open_target(*state);
    _cleanup_error_ Error err = {0};
    char name[256];

    lock(first, "call c1 (it's process 7 on h)\nx", 0);
    assert_int_equal(publish_target_keep_lock(first, NULL), 0);
    assert_int_equal(publish_target_lock(second, "call c2", 0, &err), -EBUSY);
    expect_words(error_text(&err), "call c1 (it's process 7 on h) has been publishing to 'ssh://");
    expect_words(error_text(&err), "' since 2");
    put(first, "locked/a", "1");
    first = publish_target_close(first);
    lock(second, "call c2", 0);
    second = publish_target_close(second);
    assert_int_equal(count(*state, LOCK, "", name), 1);
    assert_int_equal(strncmp(name, "free.", 5), 0);
}

/* On a host that is not this one nobody sees our process: the shell over there frees it. */
static void test_lock_of_the_dead(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(*state);
    char name[256], path[512];
    int pipes[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    if (pid == 0) {
        PublishTarget *own = open_target(*state);

        (void)!write(pipes[1], publish_target_lock(own, "child", 0, NULL) == 0 ? "y" : "n", 1);
        (void)pause();
        _exit(0);
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(count(*state, LOCK, "held.", name), 1);
    (void)snprintf(path, sizeof(path), LOCK "/owner.%s", strchr(name, '.') + 1);
    sshd_write(*state, path, "somebody elsewhere\n2100-01-01T00:00:00.000000Z\n");
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    lock(target, "call c2", PATIENCE_MS);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

/* Its holder, and the shell over there with it, went without a word. */
static void test_lock_that_ran_out(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(*state);
    _cleanup_error_ Error held = {0}, over = {0};
    char name[256], from[512], to[512];

    lock(target, "call c1", 0);
    target = publish_target_close(target);
    assert_int_equal(count(*state, LOCK, "", name), 1);
    (void)snprintf(from, sizeof(from), "%s/" LOCK "/%s", ((Sshd *)*state)->directory, name);
    (void)snprintf(to, sizeof(to), "%s/" LOCK "/held.77-1", ((Sshd *)*state)->directory);
    assert_int_equal(rename(from, to), 0);
    sshd_write(*state, LOCK "/owner.77-1", "call c77\n2100-01-01T00:00:00.000000Z\n");
    target = open_target(*state);
    assert_int_equal(publish_target_lock(target, "call c1", 0, &held), -EBUSY);
    expect_words(error_text(&held), "call c77 has been publishing to");
    sshd_write(*state, LOCK "/owner.77-1", "call c77\n2020-01-01T00:00:00.000000Z\n");
    must(publish_target_lock(target, "call c1", 0, &over), &over);
    assert_int_equal(count(*state, LOCK, "owner.77", name), 0);
}

/* ---- a connection that is cut -----------------------------------------------------------------
 */

static void test_cut(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(*state);
    _cleanup_(publish_target_closep) PublishTarget *other = open_target(*state);
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};

    lock(target, "call c1", 0);
    put(target, "cut/a", "1");
    cut(*state);
    put(target, "cut/a", "2");
    cut(*state);
    assert_int_equal(publish_target_read(target, "cut/a", &text, NULL), 1);
    assert_string_equal(buffer_text(&text), "2");
    cut(*state);
    assert_int_equal(publish_target_lock(other, "call c2", 0, NULL), 0);
    /* Freed by the cut, and somebody else has it now: what we know may be old. */
    assert_int_equal(publish_target_put(target, "cut/a", "3", 1, &err), -ESTALE);
    expect_words(error_text(&err), "somebody else took the lock of 'ssh://");
    assert_int_equal(publish_target_keep_lock(target, NULL), -ESTALE);
    other = publish_target_close(other);
    assert_int_equal(publish_target_keep_lock(target, NULL), -ESTALE); /* still */
    expect_text(*state, DIRECTORY "/cut/a", "2");
}

/* Cut in the middle of a file: what has arrived is not taken for whole, nothing stays beside it. */
static void test_cut_in_a_file(void **state)
{
    const Sshd *s = *state;
    _cleanup_(publish_target_closep) PublishTarget *target = open_target(s);
    const size_t size = (size_t)48 << 20;
    _cleanup_free_ char *much = malloc(size);
    _cleanup_error_ Error err = {0};
    char name[256], path[256];
    struct stat st;
    pid_t pid;
    int status;

    assert_non_null(much);
    memset(much, 'x', size);
    put(target, "file/a", "old");
    pid = fork();
    if (pid == 0) { /* waits for the file to come, and cuts */
        int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

        while (clock_monotonic_ms() < deadline) {
            if (count(s, DIRECTORY "/file", "a.slipway-", name) > 0) {
                cut(s);
                _exit(0);
            }
            (void)poll(NULL, 0, 1);
        }
        _exit(1);
    }
    must(publish_target_put(target, "file/a", much, size, &err), &err);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)snprintf(path, sizeof(path), "%s/" DIRECTORY "/file/a", s->directory);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_int_equal(count(s, DIRECTORY "/file", "a", name), 1);
}

/* ---- by the program ssh -----------------------------------------------------------------------
 */

/* Where libssh2 cannot: each command has a connection of its own then. */
static void test_by_the_program(void **state)
{
    const Sshd *s = *state;
    _cleanup_(publish_target_closep) PublishTarget *target = NULL, *other = NULL;
    _cleanup_free_ char *config = sshd_read(s, "ssh_config");
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    _cleanup_error_ Error err = {0};
    char line[1024];

    (void)snprintf(line, sizeof(line), "ProxyCommand /bin/busybox nc 127.0.0.1 %u\n%.800s", s->port,
                   config);
    sshd_write(s, "ssh_config", line);
    target = open_target(s);
    lock(target, "call c1", 0);
    put(target, "program/a", "1");
    assert_int_equal(publish_target_keep_lock(target, NULL), 0);
    other = open_target(s);
    assert_int_equal(publish_target_lock(other, "call c2", 0, &err), -EBUSY);
    expect_words(error_text(&err), "call c1 has been publishing to");
    cut(s);
    put(target, "program/a", "2");
    assert_int_equal(publish_target_read(target, "program/a", &text, NULL), 1);
    assert_string_equal(buffer_text(&text), "2");
    target = publish_target_close(target);
    lock(other, "call c2", 0);
    sshd_write(s, "ssh_config", config);
}

/* ---- what cannot be ---------------------------------------------------------------------------
 */

static void test_addresses(void **state)
{
    static const struct {
        const char *address, *words;
    } rows[] = {
        {"ssh://host", "has no path"},
        {"ssh://host/apt?x=y", "no '?' has a meaning here"},
        {"ssh:///apt", "host"},
        {"ssh://-oProxyCommand=x/apt", ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        PublishTarget *target = NULL;

        assert_int_equal(publish_target_open(rows[i].address, NULL, &target, &err), -EINVAL);
        expect_words(error_text(&err), rows[i].words);
        assert_null(target);
    }
}

/* Another key than the one that is known, and no way around that. */
static void test_host_key(void **state)
{
    _cleanup_(publish_target_closep) PublishTarget *target = NULL;
    _cleanup_error_ Error err = {0};
    _cleanup_free_ char *known = sshd_read(*state, "known_hosts");
    _cleanup_free_ char *config = sshd_read(*state, "ssh_config");
    _cleanup_free_ char *stranger = sshd_read(*state, "id_stranger.pub");
    char line[512], name[64];

    (void)snprintf(name, sizeof(name), "[127.0.0.1]:%u", ((Sshd *)*state)->port);
    (void)snprintf(line, sizeof(line), "%s %s", name, stranger);
    sshd_write(*state, "known_hosts", line);
    (void)snprintf(line, sizeof(line), "StrictHostKeyChecking no\n%.400s", config);
    sshd_write(*state, "ssh_config", line);
    target = open_target(*state);
    assert_int_equal(publish_target_lock(target, "call c1", 0, &err), SSH_HOST_CHANGED);
    expect_words(error_text(&err), "cannot lock 'ssh://");
    sshd_write(*state, "known_hosts", known);
    sshd_write(*state, "ssh_config", config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_a_large_file),
        cmocka_unit_test(test_what_is_in_the_way),
        cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_lock_of_the_dead),
        cmocka_unit_test(test_lock_that_ran_out),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_cut_in_a_file),
        cmocka_unit_test(test_by_the_program),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_host_key),
    };

    return cmocka_run_group_tests(tests, setup, sshd_teardown);
}
