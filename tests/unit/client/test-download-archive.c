/* SPDX-License-Identifier: MIT */
/* plugin/client/download.c with an archive that is unpacked while it comes. */
#include "protocol/artifact/archive.h"
#include "tests/unit/client/download-fixture.h"

#include <errno.h>

#define APP_SIZE ((size_t)(2 * PIECE + 123))

/* Instead of the fixture's content: a tar, which zeros may follow, of the same size. */
static void make_archive(Fixture *f)
{
    _cleanup_free_ char *app = malloc(APP_SIZE), *bytes = NULL;
    _cleanup_(archive_writer_freep) ArchiveWriter *writer = NULL;
    _cleanup_fd_ int fd = openat(f->scratch->fd, "tar", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char sha256[DIGEST_HEX_SIZE];
    ArchiveSummary summary;
    size_t n;

    memcpy(app, f->content, APP_SIZE);
    assert_int_equal(archive_writer_new(ARCHIVE_TAR, 0, fd, 0, &writer, NULL), 0);
    assert_int_equal(archive_writer_add_bytes(writer, "bin/app", app, APP_SIZE, 0755, NULL), 0);
    assert_int_equal(archive_writer_finish(writer, &summary, NULL), 0);
    bytes = scratch_read(f->scratch->fd, "tar", &n);
    assert_true(n < SIZE);
    memset(f->content, 0, SIZE);
    memcpy(f->content, bytes, n);
    assert_int_equal(digest_bytes(f->content, SIZE, sha256), 0);
    assert_int_equal(slipway_json_set_string(f->artifact, "/sha256", sha256), 0);
    assert_int_equal(unlinkat(f->scratch->fd, "tar", 0), 0);
}

static int unpack(Fixture *f)
{
    char directory[140];

    (void)snprintf(directory, sizeof(directory), "%s/out", f->scratch->path);
    return slipway_artifact_unpack(f->pair->client, f->artifact, f->path, directory, on_progress,
                                   on_done, &f->outcome);
}

static void answer_from(Fixture *f, int64_t start, const char *from)
{
    for (int64_t offset = start; offset < SIZE; offset += PIECE) {
        assert_false(file_exists(f->scratch->fd, "out"));
        answer_piece(f, expect_piece(f, offset), from, "");
    }
}

/* The tree, and neither the archive nor anything else. */
static void expect_tree(Fixture *f)
{
    _cleanup_free_ char *got = NULL;
    size_t n;

    assert_int_equal(f->outcome.n, 1);
    assert_string_equal(f->outcome.text, "");
    got = scratch_read(f->scratch->fd, "out/bin/app", &n);
    assert_int_equal(n, APP_SIZE);
    assert_memory_equal(got, f->content + 512, APP_SIZE); /* behind its header */
    assert_int_equal(scratch_count(f->scratch->fd, "."), 1);
    fake_agent_expect_silence(&f->pair->agent, f->pair->client);
}

static void test_archive(void **state)
{
    Fixture *f = *state;

    make_archive(f);
    assert_int_equal(unpack(f), 0);
    answer_from(f, 0, f->content);
    expect_tree(f);
    assert_int_equal(f->outcome.progress, SIZE);
}

static void test_archive_resumed(void **state)
{
    Fixture *f = *state;

    make_archive(f);
    scratch_write(f->scratch->fd, "file.part", f->content, 2 * PIECE, 0600);
    assert_int_equal(unpack(f), 0);
    answer_from(f, 2 * PIECE, f->content);
    expect_tree(f);
}

/* What was there has unpacked as far as it went, or not at all; either way it is not right. */
static void test_archive_resumed_wrong(void **state)
{
    static const size_t wrong_at[] = {0, 1000};

    for (size_t i = 0; i < ARRAY_SIZE(wrong_at); i++) {
        _cleanup_free_ char *wrong = malloc(PIECE);
        void *inner = NULL;
        Fixture *f;

        assert_int_equal(setup(&inner), 0);
        f = inner;
        make_archive(f);
        memcpy(wrong, f->content, PIECE);
        wrong[wrong_at[i]] ^= 1;
        scratch_write(f->scratch->fd, "file.part", wrong, PIECE, 0600);
        assert_int_equal(unpack(f), 0);
        answer_from(f, PIECE, f->content);
        assert_int_equal(f->outcome.n, 0);
        f->outcome.progress = 0;
        answer_from(f, 0, f->content);
        expect_tree(f);
        assert_int_equal(teardown(&inner), 0);
    }
}

static void test_archive_wrong(void **state)
{
    Fixture *f = *state;
    _cleanup_free_ char *wrong = malloc(SIZE);

    make_archive(f);
    memcpy(wrong, f->content, SIZE);
    wrong[1000] ^= 1; /* in the file's content: it unpacks */
    assert_int_equal(unpack(f), 0);
    answer_from(f, 0, wrong);
    expect_failure(f, SLIPWAY_ERROR_LOCAL, "what came is not what was announced (SHA-256 ");
    assert_int_equal(scratch_count(f->scratch->fd, "."), 0);
}

/* As announced, and no archive: it is kept, to be looked at. What came without a file is fetched
 * once more for that. */
static void expect_kept(Fixture *f)
{
    _cleanup_free_ char *got = NULL;
    size_t n;

    assert_int_equal(f->outcome.n, 1);
    assert_int_equal(f->outcome.code, SLIPWAY_ERROR_LOCAL);
    assert_non_null(strstr(f->outcome.text, "the archive is kept as '"));
    got = scratch_read(f->scratch->fd, "file", &n);
    assert_int_equal(n, SIZE);
    assert_memory_equal(got, f->content, SIZE);
    assert_int_equal(scratch_count(f->scratch->fd, "."), 1);
}

static void test_archive_that_is_none(void **state)
{
    Fixture *f = *state;

    assert_int_equal(unpack(f), 0);
    answer_from(f, 0, f->content);
    assert_int_equal(f->outcome.n, 0);
    f->outcome.progress = 0;
    answer_from(f, 0, f->content);
    expect_kept(f);
}

static void test_resumed_archive_that_is_none(void **state)
{
    Fixture *f = *state;

    scratch_write(f->scratch->fd, "file.part", f->content, PIECE, 0600);
    assert_int_equal(unpack(f), 0);
    answer_from(f, PIECE, f->content);
    expect_kept(f);
}

static void test_empty_archive(void **state)
{
    Fixture *f = *state;
    char sha256[DIGEST_HEX_SIZE];

    assert_int_equal(digest_bytes("", 0, sha256), 0);
    assert_int_equal(slipway_json_set_int(f->artifact, "/size", 0), 0);
    assert_int_equal(slipway_json_set_string(f->artifact, "/sha256", sha256), 0);
    assert_int_equal(unpack(f), 0);
    assert_int_equal(f->outcome.n, 1);
    assert_non_null(strstr(f->outcome.text, "the archive is kept as '"));
    scratch_expect_text(f->scratch->fd, "file", "");
    assert_int_equal(scratch_count(f->scratch->fd, "."), 1);
}

/* One that was short would be here by now; nothing is left of it. */
static void test_archive_cut(void **state)
{
    Fixture *f = *state;

    make_archive(f);
    assert_int_equal(unpack(f), 0);
    answer_piece(f, expect_piece(f, 0), f->content, "");
    fake_agent_hang_up(&f->pair->agent);
    assert_int_equal(slipway_client_process(f->pair->client), -ENOTCONN);
    expect_failure(f, SLIPWAY_ERROR_DISCONNECTED, "fetching");
    assert_int_equal(scratch_count(f->scratch->fd, "."), 0);
}

/* One that will take long is written to a file, to be gone on with, and so are its first bytes. */
static void test_long_archive_cut(void **state)
{
    static char content[10 * PIECE];
    Fixture *f = *state;
    struct stat st;

    for (size_t i = 0; i < sizeof(content); i++) {
        content[i] = (char)(i * i >> 8);
    }
    assert_int_equal(slipway_json_set_int(f->artifact, "/size", (int64_t)1 << 45), 0);
    assert_int_equal(unpack(f), 0);
    for (int64_t offset = 0; offset < 10 * PIECE; offset += PIECE) {
        Json *request = fake_agent_expect(&f->pair->agent, f->pair->client, "artifacts/read");

        assert_int_equal(json_as_int(json_pointer(request, "/params/offset"), -1), offset);
        answer_piece(f, request, content, "");
        assert_int_equal(f->outcome.progress, offset + PIECE);
    }
    fake_agent_hang_up(&f->pair->agent);
    assert_int_equal(slipway_client_process(f->pair->client), -ENOTCONN);
    expect_failure(f, SLIPWAY_ERROR_DISCONNECTED, "fetching");
    assert_int_equal(scratch_count(f->scratch->fd, "."), 1);
    assert_int_equal(fstatat(f->scratch->fd, "file.part", &st, 0), 0);
    assert_int_equal(st.st_size, 10 * PIECE);
    {
        _cleanup_free_ char *got = scratch_read(f->scratch->fd, "file.part", NULL);

        assert_memory_equal(got, content, 10 * PIECE);
    }
}

static void test_archive_there_already(void **state)
{
    Fixture *f = *state;

    assert_int_equal(mkdirat(f->scratch->fd, "out", 0755), 0);
    assert_int_equal(unpack(f), -EEXIST);
    assert_non_null(strstr(slipway_client_get_error(f->pair->client), "out' is there already"));
    assert_int_equal(f->outcome.n, 0);
    fake_agent_expect_silence(&f->pair->agent, f->pair->client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        download_test(test_archive),
        download_test(test_archive_resumed),
        cmocka_unit_test(test_archive_resumed_wrong),
        download_test(test_archive_wrong),
        download_test(test_archive_that_is_none),
        download_test(test_resumed_archive_that_is_none),
        download_test(test_empty_archive),
        download_test(test_archive_cut),
        download_test(test_long_archive_cut),
        download_test(test_archive_there_already),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
