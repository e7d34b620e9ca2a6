/* SPDX-License-Identifier: MIT */
/* The archives here are made by hand, block by block, as no honest program would make them. */
#include "protocol/artifact/archive.h"

#include "protocol/artifact/archive-name.h"
#include "protocol/artifact/file-list.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/mman.h>

#define BLOCK 512

/* ---- a tar by hand -----------------------------------------------------------------------------
 */

typedef struct Tar {
    Buffer bytes;
    mode_t mode; /* of the next entries; 0: 0644 */
} Tar;

static void tar_done(Tar *tar)
{
    buffer_done(&tar->bytes);
}
#define _cleanup_tar_ _cleanup_(tar_done)

static void tar_pad(Tar *tar)
{
    static const char zeros[BLOCK];

    assert_int_equal(buffer_append(&tar->bytes, zeros, (BLOCK - tar->bytes.len % BLOCK) % BLOCK),
                     0);
}

/* `width` octal digits and what ends them. */
static void put_octal(char *field, size_t width, uint64_t value)
{
    for (size_t i = width; i > 0; i--) {
        field[i - 1] = (char)('0' + (value & 7));
        value >>= 3;
    }
}

/* POSIX.1-2017, pax(1), "ustar Interchange Format". */
static void tar_header(Tar *tar, char type, const char *name, const char *target, uint64_t size)
{
    char h[BLOCK] = {0};
    uint64_t sum = 0;

    assert_true(strlen(name) <= 100 && strlen(target) <= 100);
    memcpy(h, name, strlen(name));
    put_octal(h + 100, 7, tar->mode ? tar->mode : 0644);
    put_octal(h + 108, 7, 12345); /* an owner that must not matter */
    put_octal(h + 116, 7, 12345);
    put_octal(h + 124, 11, size);
    put_octal(h + 136, 11, 86400);
    h[156] = type;
    memcpy(h + 157, target, strlen(target));
    memcpy(h + 257, "ustar\00000", 8);
    if (type == '3' || type == '4') { /* /dev/null */
        put_octal(h + 329, 7, 1);
        put_octal(h + 337, 7, 3);
    }
    memset(h + 148, ' ', 8); /* the sum counts itself as blanks */
    for (size_t i = 0; i < BLOCK; i++) {
        sum += (unsigned char)h[i];
    }
    put_octal(h + 148, 6, sum);
    h[154] = '\0';
    assert_int_equal(buffer_append(&tar->bytes, h, BLOCK), 0);
}

static void tar_data(Tar *tar, const void *data, size_t n)
{
    assert_int_equal(buffer_append(&tar->bytes, data, n), 0);
    tar_pad(tar);
}

static void tar_file(Tar *tar, const char *name, const char *content)
{
    tar_header(tar, '0', name, "", strlen(content));
    tar_data(tar, content, strlen(content));
}

static void tar_symlink(Tar *tar, const char *name, const char *target)
{
    tar_header(tar, '2', name, target, 0);
}

/* A record "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void append_record(Buffer *b, const char *key, const char *value)
{
    size_t len = strlen(key) + strlen(value) + 3, digits = 1;

    while ((size_t)snprintf(NULL, 0, "%zu", len + digits) > digits) {
        digits++;
    }
    assert_int_equal(buffer_append_format(b, "%zu %s=%s\n", len + digits, key, value), 0);
}

/* An extended header with up to four records. */
static void tar_pax_records(Tar *tar, const char *const records[4][2])
{
    _cleanup_buffer_ Buffer b = {0};

    for (size_t i = 0; i < 4 && records[i][0]; i++) {
        append_record(&b, records[i][0], records[i][1]);
    }
    tar_header(tar, 'x', "pax", "", b.len);
    tar_data(tar, b.data, b.len);
}

static void tar_pax(Tar *tar, const char *key, const char *value)
{
    tar_pax_records(tar, (const char *const[4][2]){{key, value}});
}

static void tar_end(Tar *tar)
{
    static const char zeros[2 * BLOCK];

    assert_int_equal(buffer_append(&tar->bytes, zeros, sizeof(zeros)), 0);
}

/* ---- unpacking it ------------------------------------------------------------------------------
 */

static int memory_with(const void *data, size_t n)
{
    int fd = memfd_create("archive", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, data, n), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* Into `out`; on failure nothing may be left, neither there nor in its parent. */
static int unpack_bytes(void **state, const void *data, size_t n, const ArchiveLimits *limits,
                        Error *err)
{
    _cleanup_fd_ int in = memory_with(data, n);
    size_t before = scratch_count(SCRATCH_FD, ".");
    int r = archive_unpack(in, SCRATCH_FD, "out", limits, NULL, NULL, err);

    assert_int_equal(scratch_count(SCRATCH_FD, "."), before + (r == 0));
    assert_int_equal(err->code, r);
    return r;
}

static void expect_unpacked(void **state, Tar *tar)
{
    _cleanup_error_ Error err = {0};

    tar_end(tar);
    if (unpack_bytes(state, tar->bytes.data, tar->bytes.len, NULL, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void expect_refused_within(void **state, Tar *tar, const ArchiveLimits *limits,
                                  const char *words)
{
    _cleanup_error_ Error err = {0};

    tar_end(tar);
    assert_int_equal(unpack_bytes(state, tar->bytes.data, tar->bytes.len, limits, &err), -EBADMSG);
    if (!strstr(error_text(&err), words)) {
        fail_msg("'%s' is not in: %s", words, error_text(&err));
    }
}

static void expect_refused(void **state, Tar *tar, const char *words)
{
    expect_refused_within(state, tar, NULL, words);
}

/* ---- what is fine ------------------------------------------------------------------------------
 */

static void test_by_hand(void **state)
{
    _cleanup_tar_ Tar tar = {0};
    struct stat st, other;
    char target[16];

    tar.mode = 0755;
    tar_header(&tar, '5', "./", "", 0);
    tar_header(&tar, '5', "./d/", "", 0);
    tar.mode = 06755;
    tar_file(&tar, "./d/f", "hello");
    tar.mode = 0;
    tar_symlink(&tar, "d/l", "../deep/er/g");
    tar_file(&tar, "deep/er/g", "made its directories");
    tar_header(&tar, '1', "h", "d/f", 0);
    tar.mode = 0500;
    tar_header(&tar, '5', "deep", "", 0); /* after what is in it */
    expect_unpacked(state, &tar);

    scratch_expect_text(SCRATCH_FD, "out/d/f", "hello");
    scratch_expect_text(SCRATCH_FD, "out/d/l", "made its directories");
    assert_int_equal(fstatat(SCRATCH_FD, "out/d/f", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(st.st_uid, geteuid());
    assert_int_equal(st.st_mtim.tv_sec, 86400);
    assert_int_equal(fstatat(SCRATCH_FD, "out/h", &other, 0), 0);
    assert_int_equal(st.st_ino, other.st_ino);
    assert_int_equal(readlinkat(SCRATCH_FD, "out/d/l", target, sizeof(target)), 12);
    assert_int_equal(fstatat(SCRATCH_FD, "out/deep", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0700); /* never without its owner's rights */
}

static void test_there_already(void **state)
{
    _cleanup_error_ Error err = {0};
    _cleanup_tar_ Tar tar = {0};

    tar_file(&tar, "f", "x");
    tar_end(&tar);
    assert_int_equal(mkdirat(SCRATCH_FD, "out", 0700), 0);
    assert_int_equal(unpack_bytes(state, tar.bytes.data, tar.bytes.len, NULL, &err), -EEXIST);
    assert_int_equal(scratch_count(SCRATCH_FD, "out"), 0);
}

/* What a crash left of another time is no obstacle. */
static void test_left_over(void **state)
{
    _cleanup_error_ Error err = {0};
    _cleanup_fd_ int in = -1;
    _cleanup_tar_ Tar tar = {0};

    scratch_write_text(SCRATCH_FD, "out.tmp/old", "");
    tar_file(&tar, "new", "x");
    tar_end(&tar);
    in = memory_with(tar.bytes.data, tar.bytes.len);
    assert_int_equal(archive_unpack(in, SCRATCH_FD, "out", NULL, NULL, NULL, &err), 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "out"), 1);
    assert_int_equal(scratch_count(SCRATCH_FD, "."), 1);
}

static void make_tree(int fd)
{
    _cleanup_free_ char *big = malloc(3000000);

    assert_non_null(big);
    for (size_t i = 0; i < 3000000; i++) {
        big[i] = (char)(i * i >> 8);
    }
    scratch_write(fd, "big", big, 3000000, 0644);
    scratch_write(fd, "bin/tool", "#!/bin/sh\n", 10, 0755);
    scratch_write(fd, "secret", "s", 1, 0600);
    scratch_write(fd, "readonly", "r", 1, 0444);
    /* Composed, decomposed and outside of the first plane: each comes back byte for byte. */
    scratch_write_text(fd, "na\xc3\xafve/nai\xcc\x88ve/\xf0\x9f\x9a\xa2", "text");
    scratch_write_text(fd, "empty", "");
    assert_int_equal(symlinkat("../empty", fd, "bin/link"), 0);
    assert_int_equal(mkdirat(fd, "void", 0700), 0);
}

static void expect_same(void **state, const char *name)
{
    _cleanup_free_ char *before = NULL, *after = NULL, *from = NULL, *to = NULL;
    struct stat st_before, st_after;
    size_t n_before, n_after;

    assert_true(asprintf(&from, "in/%s", name) > 0 && asprintf(&to, "out/%s", name) > 0);
    before = scratch_read(SCRATCH_FD, from, &n_before);
    after = scratch_read(SCRATCH_FD, to, &n_after);
    assert_int_equal(n_before, n_after);
    assert_memory_equal(before, after, n_before);
    assert_int_equal(fstatat(SCRATCH_FD, from, &st_before, 0), 0);
    assert_int_equal(fstatat(SCRATCH_FD, to, &st_after, 0), 0);
    assert_int_equal(st_before.st_mode, st_after.st_mode);
    assert_int_equal(st_before.st_mtim.tv_sec, st_after.st_mtim.tv_sec);
}

typedef struct Progress {
    int64_t last;
    unsigned n;
} Progress;

static void on_progress(int64_t done_bytes, void *userdata)
{
    Progress *p = userdata;

    assert_true(done_bytes > p->last);
    p->last = done_bytes;
    p->n++;
}

static void pack_tree(void **state, ArchiveFormat format, int out_fd)
{
    static const char *const all[] = {"**"};
    _cleanup_(file_list_done) FileList list = {0};
    _cleanup_(archive_writer_freep) ArchiveWriter *w = NULL;
    _cleanup_fd_ int tree = openat(SCRATCH_FD, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ArchiveSummary summary;

    assert_int_equal(file_list_match(tree, all, 1, &list, NULL), 0);
    assert_int_equal(archive_writer_new(format, 0, out_fd, -1, &w, NULL), 0);
    for (size_t i = 0; i < list.count; i++) {
        assert_int_equal(
            archive_writer_add(w, tree, list.names[i], list.names[i], (mode_t)-1, NULL), 0);
    }
    assert_int_equal(archive_writer_finish(w, &summary, NULL), 0);
    assert_int_equal(lseek(out_fd, 0, SEEK_SET), 0);
}

static void test_there_and_back(void **state)
{
    static const char *const names[] = {
        "big",      "bin/tool", "secret", "readonly", "na\xc3\xafve/nai\xcc\x88ve/\xf0\x9f\x9a\xa2",
        "bin/link", "empty"};
    static const ArchiveFormat formats[] = {ARCHIVE_TAR, ARCHIVE_TAR_ZSTD, ARCHIVE_TAR_GZIP};
    _cleanup_fd_ int tree = -1;

    assert_int_equal(mkdirat(SCRATCH_FD, "in", 0755), 0);
    tree = openat(SCRATCH_FD, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_tree(tree);
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        _cleanup_fd_ int archive = memfd_create("archive", MFD_CLOEXEC);
        _cleanup_error_ Error err = {0};
        Progress progress = {0};

        pack_tree(state, formats[i], archive);
        if (archive_unpack(archive, SCRATCH_FD, "out", NULL, on_progress, &progress, &err) < 0) {
            fail_msg("%s", error_text(&err));
        }
        assert_int_equal(scratch_count(SCRATCH_FD, "out"), 7);
        for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
            expect_same(state, names[k]);
        }
        assert_int_equal(progress.last, 3000000 + 10 + 1 + 1 + 4);
        assert_true(progress.n >= 2 && progress.n <= 5);
        assert_int_equal(file_remove_tree(SCRATCH_FD, "out", NULL), 0);
    }
}

/* ---- what is not -------------------------------------------------------------------------------
 */

static void test_names(void **state)
{
    static const struct {
        const char *name, *words;
    } evil[] = {
        {"/etc/cron.d/x", "'/etc/cron.d/x': has an absolute name"},
        {"//x", "absolute"},
        {"../x", "'../x': has '..'"},
        {"a/../../x", "'..'"},
        {"a/..", "'..'"},
        {"\xff\xfe", "UTF-8"},
        {"", "no name"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(evil); i++) {
        _cleanup_tar_ Tar tar = {0};

        tar_file(&tar, "first", "fine");
        tar_file(&tar, evil[i].name, "x");
        expect_refused(state, &tar, evil[i].words);
    }
}

/* The same by an extended header, which is where long names and other character sets come in. */
static void test_pax_names(void **state)
{
    static const struct {
        const char *key, *value, *words;
    } evil[] = {
        {"path", "/etc/x", "absolute"},
        {"path", "../x", "'..'"},
        {"path", "a/\xff", "UTF-8"},
        {"linkpath", "../../x", "leads out"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(evil); i++) {
        _cleanup_tar_ Tar tar = {0};

        tar_pax(&tar, evil[i].key, evil[i].value);
        tar_symlink(&tar, "fine", "fine");
        expect_refused(state, &tar, evil[i].words);
    }
}

static void test_long_names(void **state)
{
    _cleanup_tar_ Tar part = {0}, whole = {0}, deep = {0}, fits = {0};
    char name[2 * ARCHIVE_NAME_MAX];

    memset(name, 'x', sizeof(name));
    name[ARCHIVE_NAME_PART_MAX + 1] = '\0';
    tar_pax(&part, "path", name);
    tar_file(&part, "f", "x");
    expect_refused(state, &part, "255 bytes");

    for (size_t i = 0; i < sizeof(name); i++) {
        name[i] = i % 100 == 99 ? '/' : 'x';
    }
    name[ARCHIVE_NAME_MAX + 1] = '\0';
    tar_pax(&whole, "path", name);
    tar_file(&whole, "f", "x");
    expect_refused(state, &whole, "4095 bytes");

    for (size_t i = 0; i < ARCHIVE_DEPTH_MAX + 1; i++) {
        memcpy(name + 2 * i, "d/", 3);
    }
    tar_pax(&deep, "path", name);
    tar_header(&deep, '5', "d", "", 0);
    expect_refused(state, &deep, "128 directories deep");

    name[2 * ARCHIVE_DEPTH_MAX] = '\0';
    tar_pax(&fits, "path", name);
    tar_header(&fits, '5', "d", "", 0);
    expect_unpacked(state, &fits);
}

/* A sparse file as GNU tar writes it: the data where they belong, holes between and behind. */
static void test_sparse(void **state)
{
    _cleanup_tar_ Tar tar = {0};
    _cleanup_free_ char *content = NULL;
    char data[2 * BLOCK] = "1\n1024\n4\n";
    size_t n;

    (void)strcpy(data + BLOCK, "data");
    tar_pax_records(&tar, (const char *const[4][2]){{"GNU.sparse.major", "1"},
                                                    {"GNU.sparse.minor", "0"},
                                                    {"GNU.sparse.name", "holes"},
                                                    {"GNU.sparse.realsize", "4096"}});
    tar_header(&tar, '0', "GNUSparseFile.0/holes", "", BLOCK + 4);
    tar_data(&tar, data, BLOCK + 4);
    expect_unpacked(state, &tar);
    content = scratch_read(SCRATCH_FD, "out/holes", &n);
    assert_int_equal(n, 4096);
    assert_memory_equal(content, (const char[1024]){0}, 1024);
    assert_string_equal(content + 1024, "data");
    assert_memory_equal(content + 1028, (const char[3068]){0}, 3068);
}

/* Nothing may appear in the directory beside the one that is unpacked into. */
static void test_links_out(void **state)
{
    static const char *const targets[] = {"/",    "/etc", "..", "../outside", "d/../../outside",
                                          "./..", "d/.."};

    assert_int_equal(mkdirat(SCRATCH_FD, "outside", 0755), 0);
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        _cleanup_tar_ Tar tar = {0};

        tar_symlink(&tar, "link", targets[i]);
        tar_file(&tar, "link/evil", "x");
        expect_refused(state, &tar, "'link': is a link that leads out");
        assert_int_equal(scratch_count(SCRATCH_FD, "outside"), 0);
    }
}

/* A link that stays inside is fine, writing through it is not: what is written where would depend
 * on what the link points to by then. */
static void test_through_links(void **state)
{
    _cleanup_tar_ Tar file = {0}, directory = {0}, link = {0}, over = {0};

    tar_header(&file, '5', "d", "", 0);
    tar_symlink(&file, "link", "d");
    tar_file(&file, "link/f", "x");
    expect_refused(state, &file, "goes through 'link'");

    tar_header(&directory, '5', "d", "", 0);
    tar_symlink(&directory, "link", "d");
    tar_header(&directory, '5', "link", "", 0);
    expect_refused(state, &directory, "goes through 'link'");

    tar_symlink(&link, "link", "nowhere");
    tar_header(&link, '1', "link/h", "link", 0);
    expect_refused(state, &link, "'link/h'");

    tar_symlink(&over, "link", "target");
    tar_file(&over, "link", "x"); /* would be written to the target */
    expect_refused(state, &over, "'link': is there twice");
}

/* Each link stays inside by its words alone; together they would not. */
static void test_links_together(void **state)
{
    _cleanup_tar_ Tar tar = {0};

    tar_header(&tar, '5', "a/b/c", "", 0);
    tar_symlink(&tar, "a/b/c/up", "../../..");
    tar_symlink(&tar, "evil", "a/b/c/up/../outside");
    expect_refused(state, &tar, "'evil': is a link that leads out");
}

static void test_hard_links(void **state)
{
    static const char *const targets[] = {
        "/etc/passwd", "../outside", "absent", "d", "d/../f", ".", "", "link", "through/f"};

    scratch_write_text(SCRATCH_FD, "outside", "secret");
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        _cleanup_tar_ Tar tar = {0};

        tar_file(&tar, "f", "x");
        tar_file(&tar, "d/f", "x");
        tar_symlink(&tar, "through", "d");
        /* A second name of this one, higher up, would lead out. */
        tar_symlink(&tar, "d/link", "..");
        tar_symlink(&tar, "link", "f");
        tar_header(&tar, '1', "hard", targets[i], 0);
        expect_refused(state, &tar, "'hard'");
    }
    scratch_expect_text(SCRATCH_FD, "outside", "secret");
}

static void test_special_files(void **state)
{
    for (const char *type = "346"; *type; type++) {
        _cleanup_tar_ Tar tar = {0};

        tar_header(&tar, *type, "special", "", 0);
        expect_refused(state, &tar, "'special': is a device, fifo or socket");
    }
}

static void test_twice(void **state)
{
    _cleanup_tar_ Tar files = {0}, links = {0}, over_file = {0}, below_file = {0}, root = {0};

    tar_file(&files, "f", "one");
    tar_file(&files, "f", "two");
    expect_refused(state, &files, "'f': is there twice");

    tar_file(&links, "f", "one");
    tar_symlink(&links, "f", "g");
    expect_refused(state, &links, "'f': is there twice");

    tar_file(&over_file, "f", "one");
    tar_header(&over_file, '5', "f", "", 0);
    expect_refused(state, &over_file, "'f': is there twice");

    tar_file(&below_file, "f", "one");
    tar_file(&below_file, "f/g", "two");
    expect_refused(state, &below_file, "'f': is there twice");

    tar_symlink(&root, "./", "x");
    expect_refused(state, &root, "names the root");
}

static void test_limits(void **state)
{
    _cleanup_tar_ Tar bytes = {0}, fits = {0}, entries = {0}, sparse = {0};

    tar_file(&bytes, "a", "12345");
    tar_file(&bytes, "b", "123456");
    expect_refused_within(state, &bytes, &(ArchiveLimits){.max_bytes = 10},
                          "'b': goes past the 10 bytes");

    tar_file(&entries, "a", "");
    tar_file(&entries, "b", "");
    tar_file(&entries, "c", "");
    expect_refused_within(state, &entries, &(ArchiveLimits){.max_entries = 2},
                          "'c': is one more than the 2 entries");

    /* GNU sparse 1.0: says a terabyte, brings a byte. */
    tar_pax_records(&sparse, (const char *const[4][2]){{"GNU.sparse.major", "1"},
                                                       {"GNU.sparse.minor", "0"},
                                                       {"GNU.sparse.name", "holes"},
                                                       {"GNU.sparse.realsize", "1099511627776"}});
    tar_header(&sparse, '0', "holes", "", BLOCK + 1);
    tar_data(&sparse, (const char[BLOCK + 1]){"1\n0\n1\n"}, BLOCK + 1);
    expect_refused_within(state, &sparse, &(ArchiveLimits){.max_bytes = 1 << 20}, "'holes'");

    tar_file(&fits, "a", "12345");
    tar_file(&fits, "b", "12345");
    tar_end(&fits);
    {
        _cleanup_error_ Error err = {0};
        ArchiveLimits limits = {.max_bytes = 10, .max_entries = 2};

        assert_int_equal(unpack_bytes(state, fits.bytes.data, fits.bytes.len, &limits, &err), 0);
    }
}

/* 256 MiB of zeros in a few KiB: after the end of the tar, where no entry would count them. */
static void test_bomb(void **state)
{
    _cleanup_fd_ int archive = memfd_create("bomb", MFD_CLOEXEC);
    _cleanup_error_ Error err = {0};
    _cleanup_free_ char *line = NULL;
    ArchiveLimits limits = {.max_bytes = 1 << 20, .max_entries = 10};

    assert_int_equal(fcntl(archive, F_SETFD, 0), 0);
    assert_true(
        asprintf(&line, "head -c 268435456 /dev/zero | zstd -qc > /proc/self/fd/%d", archive) > 0);
    assert_int_equal(system(line), 0);
    assert_true(lseek(archive, 0, SEEK_END) < 100000);
    assert_int_equal(lseek(archive, 0, SEEK_SET), 0);
    assert_int_equal(archive_unpack(archive, SCRATCH_FD, "out", &limits, NULL, NULL, &err),
                     -EBADMSG);
    assert_non_null(strstr(error_text(&err), "more than is allowed"));
}

/* libarchive reads headers that only say something about the next one by recursion. */
static void test_headers_without_end(void **state)
{
    _cleanup_tar_ Tar tar = {0};

    for (size_t i = 0; i < 20000; i++) {
        tar_pax(&tar, "comment", "x");
    }
    tar_file(&tar, "f", "x");
    expect_refused(state, &tar, "");
}

/* Wherever the stream ends too early: plain at each block (which includes the seams between
 * entries, where a tar looks finished) and compressed at each byte. */
static void test_cut(void **state)
{
    _cleanup_fd_ int archive = memfd_create("archive", MFD_CLOEXEC);
    _cleanup_(archive_writer_freep) ArchiveWriter *w = NULL;
    _cleanup_free_ char *bytes = NULL;
    _cleanup_tar_ Tar tar = {0};
    ArchiveSummary summary;

    tar_file(&tar, "a", "x");
    tar_header(&tar, '0', "zeros", "", BLOCK);
    tar_data(&tar, (const char[BLOCK]){0}, BLOCK);
    tar_symlink(&tar, "b", "a");
    for (size_t n = 0; n <= tar.bytes.len; n += BLOCK / 2) {
        _cleanup_error_ Error err = {0};

        assert_int_equal(unpack_bytes(state, n ? tar.bytes.data : "", n, NULL, &err), -EBADMSG);
    }

    assert_int_equal(archive_writer_new(ARCHIVE_TAR_ZSTD, 0, archive, 0, &w, NULL), 0);
    assert_int_equal(archive_writer_add_bytes(w, "f", "hello", 5, 0644, NULL), 0);
    assert_int_equal(archive_writer_finish(w, &summary, NULL), 0);
    bytes = malloc((size_t)summary.size_bytes);
    assert_int_equal(fd_pread_full(archive, bytes, (size_t)summary.size_bytes, 0),
                     summary.size_bytes);
    for (size_t n = 0; n < (size_t)summary.size_bytes; n++) {
        _cleanup_error_ Error err = {0};

        assert_int_equal(unpack_bytes(state, bytes, n, NULL, &err), -EBADMSG);
    }
}

static void test_no_archive(void **state)
{
    static const char *const texts[] = {"", "x", "<html>not found</html>", "\x1f\x8b",
                                        "\x28\xb5\x2f\xfd"};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_error_ Error err = {0};

        assert_int_equal(unpack_bytes(state, texts[i], strlen(texts[i]), NULL, &err), -EBADMSG);
    }
}

static void test_bad_descriptors(void **state)
{
    _cleanup_error_ Error err = {0};
    _cleanup_fd_ int in = memory_with("x", 1);

    assert_int_equal(archive_unpack(-1, SCRATCH_FD, "out", NULL, NULL, NULL, &err), -EBADF);
    assert_int_equal(scratch_count(SCRATCH_FD, "."), 0);
    assert_int_equal(archive_unpack(in, -1, "out", NULL, NULL, NULL, &err), -EBADF);
}

/* ---- a source -----------------------------------------------------------------------------------
 */

typedef struct Source {
    const Scratch *scratch;
    const Buffer *bytes;
    size_t position, step;
    int fails_with, may_keep; /* instead of the end; the answer */
    unsigned n_asked;         /* whether it may be kept */
} Source;

static ssize_t give_some(void *data, size_t n, void *userdata)
{
    Source *source = userdata;
    size_t left = source->bytes->len - source->position, some = MIN(n, source->step);

    some = MIN(some, left);
    if (some == 0) {
        return source->fails_with;
    }
    memcpy(data, source->bytes->data + source->position, some);
    source->position += some;
    return (ssize_t)some;
}

/* All is there, aside, where nobody else comes. */
static int decide(void *userdata, Error *err)
{
    Source *source = userdata;
    struct stat st;

    source->n_asked++;
    assert_int_equal(source->position, source->bytes->len);
    assert_false(file_exists(source->scratch->fd, "out"));
    scratch_expect_text(source->scratch->fd, "out.tmp/a/b", "content");
    assert_int_equal(fstatat(source->scratch->fd, "out.tmp", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    return source->may_keep < 0 ? error_set(err, source->may_keep, "not this one") : 0;
}

static int unpack_source(void **state, Source *source, Error *err)
{
    const ArchiveSource from = {.read = give_some, .may_keep = decide, .userdata = source};
    int r;

    source->scratch = *state;
    r = archive_unpack_from(&from, SCRATCH_FD, "out", NULL, NULL, NULL, err);
    assert_int_equal(scratch_count(SCRATCH_FD, "."), r == 0);
    assert_int_equal(err->code, r);
    return r;
}

static void test_source(void **state)
{
    static const size_t steps[] = {1, 100, BLOCK, 100000};
    mode_t before = umask(027);
    _cleanup_tar_ Tar tar = {.mode = 0666};
    struct stat st;

    tar_file(&tar, "a/b", "content");
    tar_end(&tar);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        _cleanup_error_ Error err = {0};
        Source source = {.bytes = &tar.bytes, .step = steps[i]};

        assert_int_equal(unpack_source(state, &source, &err), 0);
        assert_int_equal(source.n_asked, 1);
        assert_int_equal(fstatat(SCRATCH_FD, "out", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0750);
        assert_int_equal(fstatat(SCRATCH_FD, "out/a/b", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0666);
        assert_int_equal(file_remove_tree(SCRATCH_FD, "out", NULL), 0);
    }
    (void)umask(before);
}

static void test_source_refuses(void **state)
{
    _cleanup_tar_ Tar tar = {0};
    _cleanup_error_ Error err = {0};
    Source source = {.bytes = &tar.bytes, .step = 100, .may_keep = -EBADMSG};

    tar_file(&tar, "a/b", "content");
    tar_end(&tar);
    assert_int_equal(unpack_source(state, &source, &err), -EBADMSG);
    assert_string_equal(error_text(&err), "not this one");
}

static void test_source_fails(void **state)
{
    _cleanup_tar_ Tar tar = {0};
    _cleanup_error_ Error err = {0};
    Source source = {.bytes = &tar.bytes, .step = 100, .fails_with = -ECANCELED};

    tar_file(&tar, "a/b", "content");
    assert_int_equal(unpack_source(state, &source, &err), -ECANCELED);
    assert_int_equal(source.n_asked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_by_hand),
        scratch_test(test_there_already),
        scratch_test(test_left_over),
        scratch_test(test_there_and_back),
        scratch_test(test_names),
        scratch_test(test_pax_names),
        scratch_test(test_long_names),
        scratch_test(test_sparse),
        scratch_test(test_links_out),
        scratch_test(test_through_links),
        scratch_test(test_links_together),
        scratch_test(test_hard_links),
        scratch_test(test_special_files),
        scratch_test(test_twice),
        scratch_test(test_limits),
        scratch_test(test_bomb),
        scratch_test(test_headers_without_end),
        scratch_test(test_cut),
        scratch_test(test_no_archive),
        scratch_test(test_bad_descriptors),
        scratch_test(test_source),
        scratch_test(test_source_refuses),
        scratch_test(test_source_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
