/* SPDX-License-Identifier: MIT */
#include "agent/package/layer/blob-cache.h"

#include "protocol/base/clock.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define KEY "1111111111111111111111111111111111111111111111111111111111111111"
#define OTHER_KEY "2222222222222222222222222222222222222222222222222222222222222222"

static void open_cache(void **state, BlobCache *cache)
{
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/cache/deep", SCRATCH_PATH);
    assert_int_equal(blob_cache_open(path, cache, NULL), 0);
}

/* Keeps `text` under the key. Its digest is `ret_hex`. */
static void add(void **state, const BlobCache *cache, const char *key, const char *text,
                char *ret_hex)
{
    _cleanup_json_ Json *record = json_new_object();

    assert_int_equal(digest_bytes(text, strlen(text), ret_hex), 0);
    scratch_write_text(SCRATCH_FD, "made", text);
    assert_int_equal(json_set_string(record, "sha256", ret_hex), 0);
    assert_int_equal(json_set_int(record, "size", (int64_t)strlen(text)), 0);
    assert_int_equal(json_set_string(record, "more", "kept"), 0);
    assert_int_equal(blob_cache_add(cache, key, record, SCRATCH_FD, "made", NULL), 0);
    assert_int_equal(unlinkat(SCRATCH_FD, "made", 0), 0);
}

static int find(void **state, const BlobCache *cache, const char *key)
{
    _cleanup_json_ Json *record = NULL;
    int r = blob_cache_find(cache, key, SCRATCH_FD, "found", &record, NULL);

    if (r > 0) {
        assert_string_equal(json_get_string(record, "more"), "kept");
        assert_int_equal(unlinkat(SCRATCH_FD, "found", 0), 0);
    }
    return r;
}

static void test_found_again(void **state)
{
    _cleanup_blob_cache_ BlobCache cache = BLOB_CACHE_INIT;
    _cleanup_json_ Json *record = NULL;
    char hex[DIGEST_HEX_SIZE];

    open_cache(state, &cache);
    assert_int_equal(find(state, &cache, KEY), 0);
    add(state, &cache, KEY, "some bytes", hex);
    assert_int_equal(find(state, &cache, KEY), 1);
    assert_int_equal(find(state, &cache, OTHER_KEY), 0);
    assert_int_equal(blob_cache_find(&cache, KEY, SCRATCH_FD, NULL, &record, NULL), 1);
    scratch_expect_text(SCRATCH_FD, hex, "some bytes");
}

static void blob_name(const char *hex, char *name)
{
    (void)snprintf(name, 100, "cache/deep/blobs/%s.blob", hex);
}

/* Cut, changed or gone: it is not there, and is made again. */
static void test_damaged(void **state)
{
    _cleanup_blob_cache_ BlobCache cache = BLOB_CACHE_INIT;
    char hex[DIGEST_HEX_SIZE], name[100];

    open_cache(state, &cache);
    add(state, &cache, KEY, "some bytes", hex);
    blob_name(hex, name);
    scratch_write_text(SCRATCH_FD, name, "some");
    assert_int_equal(find(state, &cache, KEY), 0);
    assert_false(file_exists(SCRATCH_FD, name)); /* forgotten, so that it can be kept anew */
    add(state, &cache, KEY, "some bytes", hex);
    assert_int_equal(unlinkat(SCRATCH_FD, name, 0), 0);
    assert_int_equal(find(state, &cache, KEY), 0);
    scratch_write_text(SCRATCH_FD, "cache/deep/blobs/" KEY ".json", "{\"sha256\": \"../../x\"}");
    assert_int_equal(find(state, &cache, KEY), 0);
    scratch_write_text(SCRATCH_FD, "cache/deep/blobs/" KEY ".json", "");
    assert_int_equal(find(state, &cache, KEY), 0);
}

static void replace(char *text, const char *from, const char *to)
{
    char *at = strstr(text, from);

    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
}

/* After a power cut a file may have its size and none of its bytes. */
static void test_of_an_earlier_boot(void **state)
{
    static const char record[] = "cache/deep/blobs/" KEY ".json";
    _cleanup_blob_cache_ BlobCache cache = BLOB_CACHE_INIT;
    _cleanup_free_ char *text = NULL;
    char hex[DIGEST_HEX_SIZE], name[100];

    open_cache(state, &cache);
    add(state, &cache, KEY, "some bytes", hex);
    blob_name(hex, name);
    text = scratch_read(SCRATCH_FD, record, NULL);
    replace(text, "\"boot\":\"", "\"toob\":\"");
    scratch_write_text(SCRATCH_FD, record, text);
    assert_int_equal(find(state, &cache, KEY), 1); /* checked, and believed from now on */
    free(text);
    text = scratch_read(SCRATCH_FD, record, NULL);
    assert_non_null(strstr(text, "\"boot\":\""));
    replace(text, "\"boot\":\"", "\"toob\":\"");
    scratch_write_text(SCRATCH_FD, record, text);
    scratch_write(SCRATCH_FD, name, "\0\0\0\0\0\0\0\0\0\0", 10, 0644);
    assert_int_equal(find(state, &cache, KEY), 0);
}

static void set_age(void **state, const char *name, int64_t days)
{
    const struct timespec then[2] = {
        {.tv_sec = clock_wall_us() / 1000000 - days * 86400},
        {.tv_sec = clock_wall_us() / 1000000 - days * 86400},
    };

    assert_int_equal(utimensat(SCRATCH_FD, name, then, 0), 0);
}

static void test_clean_by_age(void **state)
{
    _cleanup_blob_cache_ BlobCache cache = BLOB_CACHE_INIT;
    char hex[DIGEST_HEX_SIZE], name[100];

    open_cache(state, &cache);
    add(state, &cache, KEY, "some bytes", hex);
    blob_name(hex, name);
    set_age(state, name, BLOB_CACHE_DAYS - 1);
    set_age(state, "cache/deep/blobs/" KEY ".json", BLOB_CACHE_DAYS - 1);
    assert_int_equal(blob_cache_clean(&cache, clock_wall_us(), BLOB_CACHE_BYTES_MAX, NULL), 0);
    assert_int_equal(find(state, &cache, KEY), 1); /* used, so young again */
    assert_int_equal(
        blob_cache_clean(&cache, clock_wall_us() + (int64_t)(BLOB_CACHE_DAYS - 1) * 86400 * 1000000,
                         BLOB_CACHE_BYTES_MAX, NULL),
        0);
    assert_int_equal(find(state, &cache, KEY), 1);
    set_age(state, name, BLOB_CACHE_DAYS + 1);
    set_age(state, "cache/deep/blobs/" KEY ".json", BLOB_CACHE_DAYS + 1);
    scratch_write_text(SCRATCH_FD, "cache/deep/blobs/left.123.tmp", "x");
    set_age(state, "cache/deep/blobs/left.123.tmp", BLOB_CACHE_DAYS + 1);
    assert_int_equal(blob_cache_clean(&cache, clock_wall_us(), BLOB_CACHE_BYTES_MAX, NULL), 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "cache/deep/blobs"), 0);
}

/* The oldest go first, and not more than need to. */
static void test_clean_by_size(void **state)
{
    _cleanup_blob_cache_ BlobCache cache = BLOB_CACHE_INIT;
    char old[DIGEST_HEX_SIZE], young[DIGEST_HEX_SIZE], name[100];

    open_cache(state, &cache);
    add(state, &cache, KEY, "the old one, with more bytes", old);
    add(state, &cache, OTHER_KEY, "the young one", young);
    blob_name(old, name);
    set_age(state, name, 2);
    set_age(state, "cache/deep/blobs/" KEY ".json", 1);
    assert_int_equal(blob_cache_clean(&cache, clock_wall_us(), 600, NULL), 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "cache/deep/blobs"), 4);
    assert_int_equal(blob_cache_clean(&cache, clock_wall_us(), 200, NULL), 0);
    assert_int_equal(find(state, &cache, KEY), 0);
    assert_int_equal(find(state, &cache, OTHER_KEY), 1);
    assert_int_equal(blob_cache_clean(&cache, clock_wall_us(), 0, NULL), 0);
    assert_int_equal(scratch_count(SCRATCH_FD, "cache/deep/blobs"), 0);
}

static void test_no_place(void **state)
{
    _cleanup_error_ Error err = {0};
    BlobCache cache = BLOB_CACHE_INIT;
    char path[200];

    scratch_write_text(SCRATCH_FD, "file", "x");
    (void)snprintf(path, sizeof(path), "%s/file", SCRATCH_PATH);
    assert_true(blob_cache_open(path, &cache, &err) < 0);
    assert_int_equal(cache.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_found_again),        scratch_test(test_damaged),
        scratch_test(test_of_an_earlier_boot), scratch_test(test_clean_by_age),
        scratch_test(test_clean_by_size),      scratch_test(test_no_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
