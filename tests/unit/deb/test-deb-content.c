/* SPDX-License-Identifier: MIT */
#include "agent/package/deb/deb-content.h"

#include "tests/unit/deb/deb-recipe.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#define MD5_OF_X "9dd4e461268c8034f5c8564e155c67a6"
#define MAINTAINER "\"maintainer\":\"T <t@x>\""

static DebContentRequest request_for(void **state, const Json *deb)
{
    return (DebContentRequest){.workspace_fd = SCRATCH_FD,
                               .deb = deb,
                               .files = json_get(deb, "files"),
                               .files_pointer = "/package/deb/files",
                               .name = "greeter",
                               .version = "1.2",
                               .source_version = "v1.2",
                               .committed_at = 1700000000};
}

static void test_lists(void **state)
{
    _cleanup_json_ Json *deb =
        json_of("{" MAINTAINER
                ",\"files\":[{\"from\":\"a\",\"to\":\"/etc/a\"},{\"from\":\"a\",\"to\":\"/etc/b\","
                "\"config\":false},{\"from\":\"a\",\"to\":\"/opt/"
                "c\",\"config\":true},{\"from\":\"link\",\"to\":"
                "\"/etc/l\"}],\"units\":[{\"from\":\"d/x.service\"}]}");
    DebContentRequest request = request_for(state, deb);
    _cleanup_deb_content_ DebContent content = {0};
    _cleanup_deb_data_ DebData data = {0};
    _cleanup_error_ Error err = {0};
    int out = memfd_create("data", MFD_CLOEXEC);

    scratch_write_text(SCRATCH_FD, "a", "x");
    scratch_write_text(SCRATCH_FD, "d/x.service", "x");
    scratch_write_text(SCRATCH_FD, "LICENSE", "x");
    assert_int_equal(symlinkat("a", SCRATCH_FD, "link"), 0);
    if (deb_content_find(&request, &content, &err) < 0 ||
        deb_content_write(&request, &content, ARCHIVE_GNUTAR_GZIP, out, &data, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_string_equal(buffer_text(&data.conffiles), "/etc/a\n/opt/c\n");
    assert_memory_equal(buffer_text(&data.md5sums), MD5_OF_X "  etc/a\n" MD5_OF_X "  etc/b\n", 80);
    assert_non_null(
        strstr(buffer_text(&data.md5sums), MD5_OF_X "  usr/lib/systemd/system/x.service\n"));
    assert_non_null(strstr(buffer_text(&data.md5sums), "  usr/share/doc/greeter/changelog.gz\n"));
    assert_non_null(
        strstr(buffer_text(&data.md5sums), MD5_OF_X "  usr/share/doc/greeter/copyright\n"));
    assert_null(strstr(buffer_text(&data.md5sums), "etc/l"));
    /* 6 files, one link; etc, opt, usr, usr/lib, …/systemd, …/system, usr/share, …/doc, …/greeter
     */
    assert_int_equal(data.installed_kib, 6 + 1 + 9);
    assert_true(lseek(out, 0, SEEK_END) > 0);
    (void)fd_close(out);
}

static void test_changelogs(void **state)
{
    _cleanup_json_ Json *deb =
        json_of("{" MAINTAINER ",\"revision\":\"1\",\"changelog\":\"NEWS\",\"files\":"
                "[{\"from\":\"NEWS\",\"to\":\"/x\"}]}");
    DebContentRequest request = request_for(state, deb);
    _cleanup_deb_content_ DebContent content = {0};

    scratch_write_text(SCRATCH_FD, "NEWS", "x");
    assert_int_equal(deb_content_find(&request, &content, NULL), 0);
    assert_int_equal(content.n_generated, 2);
    assert_string_equal(content.generated[0].to, "usr/share/doc/greeter/changelog.gz");
    assert_string_equal(content.generated[1].to, "usr/share/doc/greeter/changelog.Debian.gz");
}

/* The digest of data.tar.gz. */
static void digest_data(const DebContentRequest *request, char ret[static DIGEST_HEX_SIZE])
{
    _cleanup_deb_content_ DebContent content = {0};
    _cleanup_deb_data_ DebData data = {0};
    _cleanup_error_ Error err = {0};
    _cleanup_fd_ int out = memfd_create("data", MFD_CLOEXEC);

    if (deb_content_find(request, &content, &err) < 0 ||
        deb_content_write(request, &content, ARCHIVE_GNUTAR_GZIP, out, &data, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_int_equal(digest_fd(out, ret, NULL, NULL), 0);
}

static void test_extended_attributes(void **state)
{
    /* VFS_CAP_REVISION_2, cap_net_bind_service: as setcap writes it. */
    static const unsigned char capability[20] = {1, 0, 0, 2, 0, 4};
    _cleanup_json_ Json *deb =
        json_of("{" MAINTAINER ",\"files\":[{\"from\":\"a\",\"to\":\"/opt/b\"}]}");
    DebContentRequest request = request_for(state, deb);
    _cleanup_deb_content_ DebContent content = {0};
    _cleanup_error_ Error err = {0};
    _cleanup_fd_ int fd = -1;
    char without[DIGEST_HEX_SIZE], with[DIGEST_HEX_SIZE];

    scratch_write_text(SCRATCH_FD, "a", "x");
    fd = openat(SCRATCH_FD, "a", O_RDONLY | O_CLOEXEC);
    digest_data(&request, without);
    if (fsetxattr(fd, "user.note", "1", 1, 0) < 0) {
        print_message("no attributes here: %s\n", strerror(errno));
    }
    digest_data(&request, with);
    assert_string_equal(with, without); /* they stay behind */
    if (fsetxattr(fd, "security.capability", capability, sizeof(capability), 0) < 0) {
        print_message("capabilities cannot be set here: %s\n", strerror(errno));
        return;
    }
    assert_int_equal(deb_content_find(&request, &content, &err), -EINVAL);
    assert_non_null(strstr(error_text(&err), "'a' has capabilities, which a Debian package"));
    assert_non_null(strstr(error_text(&err), "give them to '/opt/b' by setcap"));
}

static void test_own_changelog_stays(void **state)
{
    _cleanup_json_ Json *deb = json_of("{" MAINTAINER ",\"files\":[{\"from\":\"c.gz\",\"to\":"
                                       "\"/usr/share/doc/greeter/changelog.gz\"}]}");
    DebContentRequest request = request_for(state, deb);
    _cleanup_deb_content_ DebContent content = {0};

    scratch_write_text(SCRATCH_FD, "c.gz", "x");
    assert_int_equal(deb_content_find(&request, &content, NULL), 0);
    assert_int_equal(content.n_generated, 0);
}

static void test_refused(void **state)
{
    static const struct {
        const char *recipe, *complaint;
        int r;
    } rows[] = {
        {"\"files\":[{\"from\":\"gone\",\"to\":\"/x\"}]",
         "/package/deb/files/0: 'gone' matches nothing", -ENOENT},
        {"\"files\":[{\"from\":\"suid\",\"to\":\"/x\"}]", "/package/deb/files/0: 'suid' is setuid",
         -EINVAL},
        {"\"files\":[{\"from\":\"od\\nd\",\"to\":\"/x/\"}]", "'/x/od…' has a control character",
         -EINVAL},
        {"\"units\":[{\"from\":\"x.service\"}]", "/package/deb/units/0/from: 'x.service'", -ENOENT},
        {"\"units\":[{\"from\":\"d.service\"}]", "'d.service' is no regular file", -EINVAL},
        {"\"copyright\":\"gone\"", "/package/deb/copyright: 'gone'", -ENOENT},
        {"\"changelog\":\"a\"", "/package/deb/changelog: needs a `revision`", -EINVAL},
        {"\"changelog\":\"gone\",\"revision\":\"1\"", "/package/deb/changelog: ", -ENOENT},
    };

    scratch_write_text(SCRATCH_FD, "a", "x");
    scratch_write(SCRATCH_FD, "suid", "x", 1, 04755);
    scratch_write_text(SCRATCH_FD, "od\nd", "x");
    assert_int_equal(mkdirat(SCRATCH_FD, "d.service", 0755), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[512];
        _cleanup_json_ Json *deb = NULL;
        _cleanup_deb_content_ DebContent content = {0};
        _cleanup_error_ Error err = {0};
        DebContentRequest request;

        (void)snprintf(text, sizeof(text), "{" MAINTAINER ",%s}", rows[i].recipe);
        deb = json_of(text);
        request = request_for(state, deb);
        assert_int_equal(deb_content_find(&request, &content, &err), rows[i].r);
        EXPECT_COMPLAINT(&err, rows[i].complaint);
    }
}

/* dpkg would take it; nobody who reads its lists could. */
static void test_name_that_is_not_utf8(void **state)
{
    _cleanup_json_ Json *deb =
        json_of("{" MAINTAINER ",\"files\":[{\"from\":\"d\",\"to\":\"/x/\"}]}");
    DebContentRequest request = request_for(state, deb);
    _cleanup_deb_content_ DebContent content = {0};
    _cleanup_error_ Error err = {0};

    scratch_write_text(SCRATCH_FD, "d/\xff", "x");
    assert_int_equal(deb_content_find(&request, &content, &err), -EINVAL);
    EXPECT_COMPLAINT(&err, "not UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_lists),
        scratch_test(test_changelogs),
        scratch_test(test_extended_attributes),
        scratch_test(test_own_changelog_stays),
        scratch_test(test_refused),
        scratch_test(test_name_that_is_not_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
