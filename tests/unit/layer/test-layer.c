/* SPDX-License-Identifier: MIT */
#include "agent/package/layer/layer.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static char app[] = "app", from[] = "dist/run", to[] = "app/run", link_from[] = "dist/link",
            link_to[] = "app/link";

static const LayerEntry entries[] = {
    {.to = app, .mode = 0755},
    {.from = link_from, .to = link_to, .mode = (mode_t)-1},
    {.from = from, .to = to, .mode = 04755},
};

static LayerSpec spec_of(int root_fd)
{
    return (LayerSpec){.root_fd = root_fd,
                       .entries = entries,
                       .n_entries = ARRAY_SIZE(entries),
                       .time = 1700000000};
}

static void make_tree(int root_fd)
{
    scratch_write_text(root_fd, "dist/run", "#!/bin/sh\n");
    assert_int_equal(symlinkat("run", root_fd, "dist/link"), 0);
    assert_int_equal(mkdirat(root_fd, "out", 0755), 0);
}

static void write_layer(void **state, const LayerSpec *spec, const LayerMemory *memory, Layer *ret)
{
    _cleanup_error_ Error err = {0};
    _cleanup_fd_ int out = openat(SCRATCH_FD, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (layer_write(spec, memory, out, ret, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void expect_listed(void **state, const Layer *layer, const char *wanted)
{
    char command[512], line[256];
    _cleanup_buffer_ Buffer listed = BUFFER_INIT(0);
    FILE *f;

    (void)snprintf(command, sizeof(command),
                   "TZ=UTC tar -tvz --numeric-owner -f '%s/out/%s' | tr -s ' '", SCRATCH_PATH,
                   layer->sha256);
    f = popen(command, "r");
    while (fgets(line, sizeof(line), f)) {
        assert_int_equal(buffer_append_text(&listed, line), 0);
    }
    assert_int_equal(pclose(f), 0);
    assert_string_equal(buffer_text(&listed), wanted);
}

static void test_contents(void **state)
{
    const LayerSpec spec = spec_of(SCRATCH_FD);
    Layer layer;
    char name[100];
    struct stat st;

    make_tree(SCRATCH_FD);
    write_layer(state, &spec, NULL, &layer);
    expect_listed(state, &layer,
                  "drwxr-xr-x 0/0 0 2023-11-14 22:13 app/\n"
                  "lrwxrwxrwx 0/0 0 2023-11-14 22:13 app/link -> run\n"
                  "-rwsr-xr-x 0/0 10 2023-11-14 22:13 app/run\n");
    (void)snprintf(name, sizeof(name), "out/%s", layer.sha256);
    assert_int_equal(fstatat(SCRATCH_FD, name, &st, 0), 0);
    assert_int_equal(st.st_size, layer.size_bytes);
    assert_int_equal(scratch_count(SCRATCH_FD, "out"), 1);
}

/* The tar inside is what every compression has. */
static void test_compressions(void **state)
{
    LayerSpec spec = spec_of(SCRATCH_FD);
    Layer layers[_COMPRESS_KIND_MAX];

    make_tree(SCRATCH_FD);
    for (CompressKind kind = 0; kind < _COMPRESS_KIND_MAX; kind++) {
        spec.compression = kind;
        write_layer(state, &spec, NULL, &layers[kind]);
        assert_string_equal(layers[kind].diff_id, layers[0].diff_id);
    }
    assert_string_equal(layers[COMPRESS_NONE].sha256, layers[0].diff_id);
    assert_string_not_equal(layers[COMPRESS_ZSTD].sha256, layers[COMPRESS_GZIP].sha256);
}

typedef struct Memory {
    BlobCache cache;
    FileDigests *digests;
    LayerMemory memory;
} Memory;

static void open_memory(void **state, Memory *m)
{
    assert_int_equal(blob_cache_open(SCRATCH_PATH, &m->cache, NULL), 0);
    assert_int_equal(file_digests_open(SCRATCH_FD, "digests", &m->digests, NULL), 0);
    m->memory = (LayerMemory){.cache = &m->cache, .digests = m->digests};
}

static void close_memory(Memory *m)
{
    m->digests = file_digests_free(m->digests);
    blob_cache_done(&m->cache);
}

/* Made once. Whatever its bytes depend on makes it another one. */
static void test_known(void **state)
{
    static char other_to[] = "app/other";
    LayerEntry others[ARRAY_SIZE(entries)];
    LayerSpec spec = spec_of(SCRATCH_FD);
    Layer first, again;
    Memory m;

    make_tree(SCRATCH_FD);
    open_memory(state, &m);
    write_layer(state, &spec, &m.memory, &first);
    assert_false(first.is_known);
    write_layer(state, &spec, &m.memory, &again);
    assert_true(again.is_known);
    assert_string_equal(first.sha256, again.sha256);
    assert_string_equal(first.diff_id, again.diff_id);
    assert_int_equal(first.size_bytes, again.size_bytes);

    spec.time++;
    write_layer(state, &spec, &m.memory, &again);
    assert_false(again.is_known);
    spec = spec_of(SCRATCH_FD);
    spec.compression = COMPRESS_NONE;
    write_layer(state, &spec, &m.memory, &again);
    assert_false(again.is_known);
    spec = spec_of(SCRATCH_FD);
    memcpy(others, entries, sizeof(entries));
    spec.entries = others;
    others[2].mode = 0755;
    write_layer(state, &spec, &m.memory, &again);
    assert_false(again.is_known);
    others[2] = entries[2];
    others[2].to = other_to;
    write_layer(state, &spec, &m.memory, &again);
    assert_false(again.is_known);

    spec = spec_of(SCRATCH_FD);
    scratch_write_text(SCRATCH_FD, "dist/run", "#!/bin/xx\n");
    write_layer(state, &spec, &m.memory, &again);
    assert_false(again.is_known);
    assert_string_not_equal(first.sha256, again.sha256);
    assert_int_equal(unlinkat(SCRATCH_FD, "dist/link", 0), 0);
    assert_int_equal(symlinkat("nur", SCRATCH_FD, "dist/link"), 0);
    write_layer(state, &spec, &m.memory, &again);
    assert_false(again.is_known);
    close_memory(&m);
}

/* Two names of one file are two files: whether they were one depends on how the tree came about. */
static void test_hard_links(void **state)
{
    static char second_from[] = "dist/second", second_to[] = "second", first_to[] = "first";
    const LayerEntry both[] = {{.from = from, .to = first_to, .mode = 0644},
                               {.from = second_from, .to = second_to, .mode = 0644}};
    LayerSpec spec = spec_of(SCRATCH_FD);
    Layer linked, apart;

    spec.entries = both;
    spec.n_entries = 2;
    make_tree(SCRATCH_FD);
    assert_int_equal(linkat(SCRATCH_FD, "dist/run", SCRATCH_FD, "dist/second", 0), 0);
    write_layer(state, &spec, NULL, &linked);
    assert_int_equal(unlinkat(SCRATCH_FD, "dist/second", 0), 0);
    scratch_write_text(SCRATCH_FD, "dist/second", "#!/bin/sh\n");
    write_layer(state, &spec, NULL, &apart);
    assert_string_equal(linked.sha256, apart.sha256);
}

/* Holes are zeros, and zeros are small. */
static void test_sparse(void **state)
{
    static char hole[] = "hole";
    const LayerEntry entry = {.from = hole, .to = hole, .mode = 0644};
    LayerSpec spec = spec_of(SCRATCH_FD);
    Layer sparse, full;
    _cleanup_free_ char *zeros = calloc(1, 3 << 20);
    _cleanup_fd_ int fd = openat(SCRATCH_FD, "hole", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    spec.entries = &entry;
    spec.n_entries = 1;
    make_tree(SCRATCH_FD);
    assert_int_equal(ftruncate(fd, 3 << 20), 0);
    write_layer(state, &spec, NULL, &sparse);
    scratch_write(SCRATCH_FD, "hole", zeros, 3 << 20, 0644);
    write_layer(state, &spec, NULL, &full);
    assert_string_equal(sparse.sha256, full.sha256);
    assert_true(sparse.size_bytes < 20000);
}

static void test_mistakes(void **state)
{
    static char odd[] = "odd\xff", fine[] = "fine";
    LayerEntry entry = {.from = fine, .to = odd, .mode = 0644};
    LayerSpec spec = spec_of(SCRATCH_FD);
    _cleanup_fd_ int out = -1;
    Layer layer;
    Memory m;

    spec.entries = &entry;
    spec.n_entries = 1;
    make_tree(SCRATCH_FD);
    open_memory(state, &m);
    out = openat(SCRATCH_FD, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        const LayerMemory *memory = i ? &m.memory : NULL;
        _cleanup_error_ Error err = {0};

        scratch_write_text(SCRATCH_FD, "fine", "x");
        entry.to = odd;
        assert_int_equal(layer_write(&spec, memory, out, &layer, &err), -EINVAL);
        assert_non_null(strstr(error_text(&err), "UTF-8"));
        assert_int_equal(unlinkat(SCRATCH_FD, "fine", 0), 0);
        entry.to = fine;
        assert_int_equal(layer_write(&spec, memory, out, &layer, &err), -ENOENT);
    }
    assert_int_equal(scratch_count(SCRATCH_FD, "out"), 0); /* nothing half made */
    close_memory(&m);
}

static void test_tar(void **state)
{
    LayerSpec spec = spec_of(SCRATCH_FD);
    Layer plain, made, again;
    char name[100];
    _cleanup_fd_ int out = -1, tar = -1;
    _cleanup_error_ Error err = {0};
    Memory m;

    make_tree(SCRATCH_FD);
    open_memory(state, &m);
    out = openat(SCRATCH_FD, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    spec.compression = COMPRESS_NONE;
    write_layer(state, &spec, NULL, &plain);
    (void)snprintf(name, sizeof(name), "out/%s", plain.sha256);
    tar = openat(SCRATCH_FD, name, O_RDONLY | O_CLOEXEC);
    assert_int_equal(layer_write_tar(tar, plain.diff_id, COMPRESS_GZIP, &m.cache, out, &made, NULL),
                     0);
    spec.compression = COMPRESS_GZIP;
    write_layer(state, &spec, NULL, &again);
    assert_string_equal(made.sha256, again.sha256);
    assert_string_equal(made.diff_id, again.diff_id);
    assert_int_equal(layer_write_tar(-1, plain.diff_id, COMPRESS_GZIP, &m.cache, out, &again, NULL),
                     0); /* known, so it is not even read */
    assert_true(again.is_known);
    assert_int_equal(lseek(tar, 512, SEEK_SET), 512);
    assert_int_equal(layer_write_tar(tar, plain.diff_id, COMPRESS_GZIP, NULL, out, &made, &err),
                     -EBADMSG);
    close_memory(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_contents),   scratch_test(test_compressions), scratch_test(test_known),
        scratch_test(test_hard_links), scratch_test(test_sparse),       scratch_test(test_mistakes),
        scratch_test(test_tar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
