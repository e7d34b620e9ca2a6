/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/archive.h"

#include "protocol/artifact/archive-name.h"
#include "protocol/artifact/file-list.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BLOCK 512

static int open_memory(void)
{
    int fd = memfd_create("archive", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static char *content_of(int fd, size_t *ret_len)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *data = malloc((size_t)size + 1);

    assert_non_null(data);
    assert_int_equal(fd_pread_full(fd, data, (size_t)size, 0), size);
    *ret_len = (size_t)size;
    return data;
}

static ArchiveWriter *writer(ArchiveFormat format, int fd, int64_t mtime)
{
    _cleanup_error_ Error err = {0};
    ArchiveWriter *w = NULL;

    if (archive_writer_new(format, 0, fd, mtime, &w, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    return w;
}

static void pack_all(int root_fd, int out_fd, int64_t mtime, ArchiveSummary *ret)
{
    static const char *const all[] = {"**"};
    _cleanup_(file_list_done) FileList list = {0};
    _cleanup_error_ Error err = {0};

    if (file_list_match(root_fd, all, 1, &list, &err) < 0 ||
        archive_pack(root_fd, list.names, list.count, mtime, out_fd, NULL, NULL, ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

/* A header block by its fields: ustar, as POSIX has it. */
static void test_tar(void **state)
{
    _cleanup_fd_ int out = open_memory();
    _cleanup_(archive_writer_freep) ArchiveWriter *w = writer(ARCHIVE_TAR, out, 1000);
    _cleanup_free_ char *tar = NULL;
    char sha256[DIGEST_HEX_SIZE];
    ArchiveSummary summary;
    size_t n;

    assert_int_equal(archive_writer_add_directory(w, "d", 04775, NULL), 0);
    assert_int_equal(archive_writer_add_bytes(w, "d/f", "hello", 5, 0640, NULL), 0);
    assert_int_equal(archive_writer_finish(w, &summary, NULL), 0);

    tar = content_of(out, &n);
    assert_int_equal(n, 5 * BLOCK); /* two headers, one block of content, two of zeros */
    assert_string_equal(tar, "d/");
    assert_string_equal(tar + 100, "000775 "); /* no setuid */
    assert_int_equal(tar[156], '5');
    assert_string_equal(tar + BLOCK, "d/f");
    assert_memory_equal(tar + BLOCK + 100, "000640 ", 7);
    assert_memory_equal(tar + BLOCK + 108, "000000 ", 7); /* uid */
    assert_memory_equal(tar + BLOCK + 116, "000000 ", 7); /* gid */
    assert_memory_equal(tar + BLOCK + 124, "00000000005 ", 12);
    assert_memory_equal(tar + BLOCK + 136, "00000001750 ", 12); /* 1000 s */
    assert_memory_equal(tar + BLOCK + 257, "ustar\00000", 8);
    assert_int_equal(tar[BLOCK + 265], '\0'); /* no user's name */
    assert_int_equal(tar[BLOCK + 297], '\0'); /* no group's name */
    assert_memory_equal(tar + 2 * BLOCK, "hello", 5);

    assert_int_equal(summary.size_bytes, n);
    assert_int_equal(summary.entries, 2);
    assert_int_equal(digest_bytes(tar, n, sha256), 0);
    assert_string_equal(summary.sha256, sha256);
    assert_string_equal(summary.contents_sha256, sha256);
}

/* Runs `command` with the bytes on its stdin; its output is the caller's. */
static char *filter(const char *command, int fd, size_t *ret_len)
{
    _cleanup_free_ char *line = NULL;
    _cleanup_buffer_ Buffer b = {0};
    size_t got;
    FILE *output;

    assert_true(asprintf(&line, "%s < /proc/self/fd/%d", command, fd) > 0);
    assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
    output = popen(line, "r");
    assert_non_null(output);
    do {
        assert_int_equal(buffer_reserve(&b, 4096), 0);
        got = fread(b.data + b.len, 1, 4096, output);
        b.len += got;
    } while (got > 0);
    assert_int_equal(pclose(output), 0);
    *ret_len = b.len;
    return buffer_take_text(&b);
}

/* What others make of it is the tar whose digest was told. */
static void test_compressed(void **state)
{
    static const struct {
        ArchiveFormat format;
        const char *command;
    } rows[] = {{ARCHIVE_TAR_ZSTD, "zstd -dc"}, {ARCHIVE_TAR_GZIP, "gzip -dc"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_fd_ int out = open_memory();
        _cleanup_(archive_writer_freep) ArchiveWriter *w = writer(rows[i].format, out, 0);
        _cleanup_free_ char *archive = NULL, *tar = NULL;
        char sha256[DIGEST_HEX_SIZE];
        ArchiveSummary summary;
        size_t n, n_tar;

        assert_int_equal(archive_writer_add_bytes(w, "f", "hello", 5, 0644, NULL), 0);
        assert_int_equal(archive_writer_finish(w, &summary, NULL), 0);
        archive = content_of(out, &n);
        assert_int_equal(summary.size_bytes, n);
        assert_int_equal(digest_bytes(archive, n, sha256), 0);
        assert_string_equal(summary.sha256, sha256);
        tar = filter(rows[i].command, out, &n_tar);
        assert_int_equal(n_tar, 4 * BLOCK);
        assert_int_equal(digest_bytes(tar, n_tar, sha256), 0);
        assert_string_equal(summary.contents_sha256,
                            rows[i].format == ARCHIVE_TAR_GZIP ? sha256 : "");
        if (rows[i].format == ARCHIVE_TAR_GZIP) { /* RFC 1952: neither name nor time */
            assert_int_equal(archive[3], 0);
            assert_memory_equal(archive + 4, "\0\0\0\0", 4);
        }
    }
}

static void make_tree(int fd)
{
    _cleanup_free_ char *big = malloc(1500000);

    assert_non_null(big);
    for (size_t i = 0; i < 1500000; i++) {
        big[i] = (char)(i * i >> 8);
    }
    scratch_write(fd, "big", big, 1500000, 0644);
    scratch_write(fd, "bin/tool", "#!/bin/sh\n", 10, 0755);
    scratch_write_text(fd, "naïve/漢字", "text");
    scratch_write_text(fd, "empty", "");
    assert_int_equal(symlinkat("../empty", fd, "bin/link"), 0);
    assert_int_equal(mkdirat(fd, "void", 0700), 0);
}

/* The same content packed from two trees, that were made at different times by somebody with
 * another umask, is the same archive, byte for byte. */
static void test_reproducible(void **state)
{
    _cleanup_fd_ int a = -1, b = -1, out_a = open_memory(), out_b = open_memory();
    ArchiveSummary of_a, of_b;
    mode_t before;

    assert_int_equal(mkdirat(SCRATCH_FD, "a", 0755), 0);
    assert_int_equal(mkdirat(SCRATCH_FD, "b", 0755), 0);
    a = openat(SCRATCH_FD, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    b = openat(SCRATCH_FD, "b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_tree(a);
    before = umask(0);
    make_tree(b);
    (void)umask(before);
    assert_int_equal(
        utimensat(b, "bin/tool", (struct timespec[2]){{.tv_sec = 5}, {.tv_sec = 7}}, 0), 0);

    pack_all(a, out_a, 1234567890, &of_a);
    pack_all(b, out_b, 1234567890, &of_b);
    assert_int_equal(of_a.entries, 6);
    assert_string_equal(of_a.sha256, of_b.sha256);
    /* With their own times they differ. */
    pack_all(b, out_b, -1, &of_b);
    assert_string_not_equal(of_a.sha256, of_b.sha256);
}

static void add(void **state, const char *name, int code, const char *words)
{
    _cleanup_fd_ int out = open_memory();
    _cleanup_(archive_writer_freep) ArchiveWriter *w = writer(ARCHIVE_TAR, out, 0);
    _cleanup_error_ Error err = {0};

    assert_int_equal(archive_writer_add(w, SCRATCH_FD, name, name, (mode_t)-1, &err), code);
    if (code < 0) {
        assert_int_equal(err.code, code);
        if (!strstr(error_text(&err), words) || !strstr(error_text(&err), name)) {
            fail_msg("'%s' and '%s' are not in: %s", name, words, error_text(&err));
        }
    }
}

static void test_refused(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_fd_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", SCRATCH_PATH);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(mkfifoat(SCRATCH_FD, "fifo", 0600), 0);
    scratch_write_text(SCRATCH_FD, "\xff", "");
    scratch_write_text(SCRATCH_FD, "fine", "");
    assert_int_equal(mkdirat(SCRATCH_FD, "directory", 0700), 0);

    add(state, "fine", 0, NULL);
    add(state, "directory", 0, NULL);
    add(state, "socket", -EINVAL, "neither");
    add(state, "fifo", -EINVAL, "neither");
    add(state, "absent", -ENOENT, "cannot read");
    add(state, "\xff", -EINVAL, "UTF-8");
    add(state, "directory/..", -EINVAL, "'..'");
    add(state, ".", -EINVAL, "root");
}

/* An OCI layer may hold any link; an artifact none that its receiver would refuse. */
static void test_links_out(void **state)
{
    char *name = (char *)"link";
    _cleanup_fd_ int out = open_memory();
    _cleanup_error_ Error err = {0};
    ArchiveSummary summary;

    assert_int_equal(symlinkat("/usr/bin/python3", SCRATCH_FD, "link"), 0);
    add(state, "link", 0, NULL);
    assert_int_equal(archive_pack(SCRATCH_FD, &name, 1, 0, out, NULL, NULL, &summary, &err),
                     -EINVAL);
    assert_non_null(strstr(error_text(&err), "'link': is a link that leads out"));
}

typedef struct Progress {
    int fd;          /* is written to at the first call */
    const char *add; /* NULL: cut to nothing */
    int64_t last;
    unsigned n;
} Progress;

static void on_progress(int64_t done_bytes, void *userdata)
{
    Progress *p = userdata;

    assert_true(done_bytes > p->last);
    p->last = done_bytes;
    if (p->n++ == 0 && p->fd >= 0) {
        assert_int_equal(p->add ? fd_write_all(p->fd, p->add, strlen(p->add)) : ftruncate(p->fd, 0),
                         0);
    }
}

static int pack_watched(void **state, Progress *progress, Error *err)
{
    _cleanup_fd_ int out = open_memory();
    char *names[] = {(char *)"big", (char *)"small"};
    ArchiveSummary summary;

    return archive_pack(SCRATCH_FD, names, 2, 0, out, on_progress, progress, &summary, err);
}

/* Progress is told while the file is read, so there the file can be changed under the packer. */
static void test_changes_meanwhile(void **state)
{
    _cleanup_free_ char *zeros = calloc(1, 3000000);
    _cleanup_error_ Error err = {0};
    Progress quiet = {.fd = -1}, progress = {0};
    _cleanup_fd_ int fd = -1;

    scratch_write(SCRATCH_FD, "big", zeros, 3000000, 0644);
    scratch_write_text(SCRATCH_FD, "small", "12345");
    assert_int_equal(pack_watched(state, &quiet, &err), 0);
    assert_int_equal(quiet.last, 3000005);
    assert_true(quiet.n >= 2 && quiet.n <= 4);

    fd = openat(SCRATCH_FD, "big", O_WRONLY | O_APPEND | O_CLOEXEC);
    progress = (Progress){.fd = fd, .add = "more"};
    assert_int_equal(pack_watched(state, &progress, &err), -EAGAIN);
    assert_non_null(strstr(error_text(&err), "'big': changed its size"));
    progress = (Progress){.fd = fd};
    assert_int_equal(pack_watched(state, &progress, &err), -EAGAIN);
}

static void test_full_disk(void **state)
{
    _cleanup_fd_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    static const ArchiveFormat formats[] = {ARCHIVE_TAR, ARCHIVE_TAR_ZSTD, ARCHIVE_TAR_GZIP};

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        _cleanup_(archive_writer_freep) ArchiveWriter *w = writer(formats[i], full, 0);
        _cleanup_error_ Error err = {0};
        ArchiveSummary summary = {.entries = -1};
        int r = archive_writer_add_bytes(w, "f", "hello", 5, 0644, &err);

        r = r == 0 ? archive_writer_finish(w, &summary, &err) : r;
        assert_int_equal(r, -ENOSPC);
        assert_int_equal(summary.entries, -1);
        assert_non_null(strstr(error_text(&err), "No space left"));
    }
}

static void test_level(void **state)
{
    _cleanup_fd_ int out = open_memory();
    _cleanup_error_ Error err = {0};
    ArchiveWriter *w = NULL;

    assert_int_equal(archive_writer_new(ARCHIVE_TAR_GZIP, 99, out, 0, &w, &err), -EIO);
    assert_null(w);
    assert_null(archive_writer_free(NULL));
}

/* What dpkg reads: GNU tar with a root, and names of owners beside the ids. */
static void test_gnutar(void **state)
{
    static const ArchiveFormat formats[] = {ARCHIVE_GNUTAR_XZ, ARCHIVE_GNUTAR_GZIP,
                                            ARCHIVE_GNUTAR_ZSTD};
    static const char *const magic[] = {"\3757zXZ", "\037\213\010", "\050\265\057\375"};

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        char long_name[300] = "./";
        _cleanup_free_ char *first = NULL;

        memset(long_name + 2, 'n', 120);
        long_name[100] = '/';
        for (int run = 0; run < 2; run++) {
            _cleanup_fd_ int out = open_memory();
            _cleanup_(archive_writer_freep) ArchiveWriter *w = writer(formats[i], out, 1000);
            _cleanup_(digest_freep) Digest *d = NULL;
            _cleanup_free_ char *bytes = NULL;
            char md5[DIGEST_HEX_SIZE];
            ArchiveSummary summary;
            size_t n;

            assert_int_equal(digest_new_kind(DIGEST_MD5, &d, NULL), 0);
            archive_writer_set_extras(w, &(ArchiveExtras){"root", "adm", 04000, d});
            assert_int_equal(archive_writer_add_directory(w, "./", 0755, NULL), 0);
            assert_int_equal(archive_writer_add_bytes(w, "./\303\251", "abc", 3, 07755, NULL), 0);
            assert_int_equal(digest_finish(d, md5), 0);
            assert_string_equal(md5, "900150983cd24fb0d6963f7d28e17f72");
            archive_writer_set_extras(w, &(ArchiveExtras){0});
            assert_int_equal(archive_writer_add_bytes(w, long_name, "", 0, 0644, NULL), 0);
            assert_int_equal(archive_writer_finish(w, &summary, NULL), 0);
            assert_string_equal(summary.contents_sha256, "");
            bytes = content_of(out, &n);
            assert_memory_equal(bytes, magic[i], 3);
            if (first) { /* the same bytes again, whatever time it is */
                assert_memory_equal(bytes, first, n);
            }
            free(first);
            first = TAKE_PTR(bytes);
        }
    }
}

static void test_ar(void **state)
{
    static const char wanted[] = "!<arch>\n"
                                 "debian-binary   1000        0     0     100644  4         `\n"
                                 "2.0\n"
                                 "odd             1000        0     0     100644  3         `\n"
                                 "abc\n";
    _cleanup_fd_ int out = open_memory();
    _cleanup_(archive_writer_freep) ArchiveWriter *w = writer(ARCHIVE_AR, out, 1000);
    _cleanup_free_ char *bytes = NULL;
    ArchiveSummary summary;
    size_t n;

    assert_int_equal(archive_writer_add_bytes(w, "debian-binary", "2.0\n", 4, 0644, NULL), 0);
    assert_int_equal(archive_writer_add_bytes(w, "odd", "abc", 3, 0644, NULL), 0);
    assert_int_equal(archive_writer_finish(w, &summary, NULL), 0);
    bytes = content_of(out, &n);
    assert_int_equal(n, strlen(wanted));
    assert_memory_equal(bytes, wanted, n);
    assert_int_equal(summary.size_bytes, n);
}

static void test_gzip_bytes(void **state)
{
    _cleanup_buffer_ Buffer out = BUFFER_INIT(1000), small = BUFFER_INIT(4);

    assert_int_equal(buffer_append(&out, "x", 1), 0);
    assert_int_equal(archive_gzip_bytes("hello", 5, 9, &out, NULL), 0);
    assert_memory_equal(out.data, "x\037\213\010\000\000\000\000\000", 9); /* no time */
    assert_int_equal(archive_gzip_bytes("hello", 5, 9, &small, NULL), -ENOBUFS);
    assert_int_equal(small.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tar),        cmocka_unit_test(test_compressed),
        scratch_test(test_reproducible),   scratch_test(test_refused),
        scratch_test(test_links_out),      scratch_test(test_changes_meanwhile),
        cmocka_unit_test(test_full_disk),  cmocka_unit_test(test_level),
        cmocka_unit_test(test_gnutar),     cmocka_unit_test(test_ar),
        cmocka_unit_test(test_gzip_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
