/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-files.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/xattr.h>

typedef struct Found {
    Json *elements;
    RpmFiles files;
} Found;

static void found_done(Found *found)
{
    rpm_files_done(&found->files);
    (void)json_unref(found->elements);
}

static int find(void **state, const char *text, Found *ret, Error *err)
{
    assert_int_equal(json_parse(text, strlen(text), &ret->elements, NULL), 0);
    return rpm_files_find(SCRATCH_FD, ret->elements, "/package/rpm/files", &ret->files, err);
}

static void expect(void **state, const char *text, const char *wanted)
{
    _cleanup_(found_done) Found found = {0};
    _cleanup_buffer_ Buffer told = {0};
    _cleanup_error_ Error err = {0};

    if (find(state, text, &found, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    for (size_t i = 0; i < found.files.count; i++) {
        const RpmFile *f = &found.files.list[i];

        assert_int_equal(buffer_append_format(&told, "%o %s:%s %x %u /%s%s%s\n", f->mode, f->user,
                                              f->group, f->flags, f->size_bytes, f->entry->to,
                                              f->link_target ? " > " : "",
                                              f->link_target ? f->link_target : ""),
                         0);
    }
    assert_string_equal(buffer_text(&told), wanted);
}

static void make_tree(void **state)
{
    scratch_write(SCRATCH_FD, "bin/x", "123", 3, 0755);
    scratch_write(SCRATCH_FD, "etc/x.conf", "12", 2, 0644);
    assert_int_equal(symlinkat("../y", SCRATCH_FD, "bin/link"), 0);
}

/* Its own directories and no others; a link's size is its target's; in /etc are configurations. */
static void test_find(void **state)
{
    make_tree(state);
    expect(state,
           "[{\"from\":\"bin\",\"to\":\"/usr/lib/x\",\"owner\":\"u\",\"group\":\"g\"},"
           "{\"from\":\"etc\",\"to\":\"/etc\"}]",
           "100644 root:root 11 2 /etc/x.conf\n40755 u:g 0 0 /usr/lib/x\n"
           "120777 u:g 0 4 /usr/lib/x/link > ../y\n100755 u:g 0 3 /usr/lib/x/x\n");
}

static void test_flags(void **state)
{
    make_tree(state);
    expect(state,
           "[{\"from\":\"etc/x.conf\",\"to\":\"/etc/a\",\"config\":true},"
           "{\"from\":\"etc/x.conf\",\"to\":\"/etc/b\",\"config\":false},"
           "{\"from\":\"etc/x.conf\",\"to\":\"/opt/x/c\",\"noreplace\":true,\"missingok\":true},"
           "{\"from\":\"etc/x.conf\",\"to\":\"/opt/x/d\",\"doc\":true,\"license\":true},"
           "{\"to\":\"/var/log/x\",\"ghost\":true,\"mode\":\"0600\"},"
           "{\"to\":\"/var/lib/x\",\"dir\":true,\"mode\":\"1777\"}]",
           "100644 root:root 1 2 /etc/a\n100644 root:root 0 2 /etc/b\n40755 root:root 0 0 /opt/x\n"
           "100644 root:root 19 2 /opt/x/c\n100644 root:root 82 2 /opt/x/d\n"
           "41777 root:root 0 0 /var/lib/x\n100600 root:root 40 0 /var/log/x\n");
}

static void expect_mistake(void **state, const char *text, int code, const char *mistake)
{
    _cleanup_(found_done) Found found = {0};
    _cleanup_error_ Error err = {0};

    assert_int_equal(find(state, text, &found, &err), code);
    assert_null(found.files.list);
    if (!strstr(error_text(&err), mistake)) {
        fail_msg("'%s' is not in: %s", mistake, error_text(&err));
    }
}

static void test_mistakes(void **state)
{
    int fd;

    scratch_write(SCRATCH_FD, "latin/\xe4", "x", 1, 0644);
    scratch_write(SCRATCH_FD, "control/a\nb", "x", 1, 0644);
    scratch_write(SCRATCH_FD, "a", "x", 1, 0644);
    assert_int_equal(symlinkat("\xe4", SCRATCH_FD, "link"), 0);
    expect_mistake(state, "[{\"from\":\"a\",\"to\":\"/a\"},{\"from\":\"latin\",\"to\":\"/b\"}]",
                   -EINVAL, "/package/rpm/files/1: the name '/b/\xe4' is not UTF-8");
    expect_mistake(state, "[{\"from\":\"control\",\"to\":\"/b\"}]", -EINVAL, "control character");
    expect_mistake(state, "[{\"from\":\"link\",\"to\":\"/b\"}]", -EINVAL, "target of the link");

    /* Sparse, so that it costs nothing. One byte less would do, were it alone. */
    fd = openat(SCRATCH_FD, "huge", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(fd, RPM_CONTENT_BYTES_MAX + 1), 0);
    expect_mistake(state, "[{\"from\":\"huge\",\"to\":\"/b\"}]", -EFBIG,
                   "'huge' has 4 GiB or more");
    assert_int_equal(ftruncate(fd, RPM_CONTENT_BYTES_MAX), 0);
    expect_mistake(state, "[{\"from\":\"huge\",\"to\":\"/b\"},{\"from\":\"a\",\"to\":\"/c\"}]",
                   -EFBIG, "more than an rpm holds");
    (void)fd_close(fd);
}

/* cap_net_bind_service=ep, as the kernel keeps it. */
static void test_capabilities(void **state)
{
    static const unsigned char value[20] = {1, 0, 0, 2, 0, 4};

    scratch_write(SCRATCH_FD, "server", "x", 1, 0755);
    if (fsetxattr(openat(SCRATCH_FD, "server", O_RDONLY | O_CLOEXEC), "security.capability", value,
                  sizeof(value), 0) < 0) {
        print_message("capabilities cannot be set here: %s\n", strerror(errno));
    } else {
        expect_mistake(state, "[{\"from\":\"server\",\"to\":\"/opt/s\"}]", -EINVAL,
                       "'server' has capabilities, which have to be meant");
    }
    expect(state,
           "[{\"from\":\"server\",\"to\":\"/usr/bin/s\",\"capabilities\":"
           "\"cap_net_bind_service=ep\"}]",
           "100755 root:root 0 1 /usr/bin/s\n");
}

/* A directory that has files before and after one below it is named once. */
static void test_directories_once(void **state)
{
    _cleanup_(found_done) Found found = {0};
    _cleanup_rpm_header_ RpmHeader header = {0};
    _cleanup_buffer_ Buffer out = {0};
    static const char wanted[] = "/opt/\0/opt/d/\0/opt/d/e/\0/opt/f/";

    scratch_write_text(SCRATCH_FD, "t/d/a", "x");
    scratch_write_text(SCRATCH_FD, "t/d/e/b", "x");
    scratch_write_text(SCRATCH_FD, "t/d/z", "x");
    scratch_write_text(SCRATCH_FD, "t/f/a", "x");
    assert_int_equal(find(state, "[{\"from\":\"t\",\"to\":\"/opt\"}]", &found, NULL), 0);
    assert_int_equal(rpm_files_write(&found.files, 1, &header), 0);
    assert_int_equal(rpm_header_format(&header, RPM_REGION, &out), 0);
    assert_non_null(memmem(out.data, out.len, wanted, sizeof(wanted)));
    /* /opt/d, /opt/d/a, /opt/d/e, /opt/d/e/b, /opt/d/z, /opt/f, /opt/f/a */
    assert_non_null(
        memmem(out.data, out.len, "\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\0\0\0\0\3", 28));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_find),
        scratch_test(test_flags),
        scratch_test(test_mistakes),
        scratch_test(test_capabilities),
        scratch_test(test_directories_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
