/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/text-file.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/slipway-test-text-file-XXXXXX";

static int set_up(void **state)
{
    int fd = mkstemp(path);

    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    return unlink(path);
}

static void write_bytes(size_t n)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    for (size_t i = 0; i < n; i++) {
        assert_true(fputc('a' + (int)(i % 26), file) != EOF);
    }
    assert_int_equal(fclose(file), 0);
}

static void it_is_read_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 200000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *text = NULL;
        size_t len = 1;

        write_bytes(sizes[i]);
        assert_int_equal(text_file_read(path, 200000, &text, &len, NULL), 0);
        assert_int_equal(len, sizes[i]);
        assert_int_equal(strlen(text), len);
        assert_true(len == 0 || text[len - 1] == 'a' + (char)((len - 1) % 26));
        free(text);
    }
}

static void the_limit_holds(void **state)
{
    char *text = NULL, *problem = NULL;
    size_t len = 0;

    write_bytes(101);
    assert_int_equal(text_file_read(path, 101, &text, &len, NULL), 0);
    free(text);
    text = NULL;
    assert_int_equal(text_file_read(path, 100, &text, &len, &problem), -EFBIG);
    assert_null(text);
    assert_non_null(strstr(problem, "too large"));
    free(problem);
}

static void what_cannot_be_read_is_named(void **state)
{
    char *text = NULL, *problem = NULL;
    size_t len = 0;

    assert_int_equal(text_file_read("/nowhere/at-all", 10, &text, &len, &problem), -ENOENT);
    assert_string_equal(problem, "'/nowhere/at-all': No such file or directory");
    free(problem);
    assert_int_equal(text_file_read("/", 10, &text, &len, &problem), -EISDIR);
    assert_non_null(strstr(problem, "'/'"));
    free(problem);
}

static void a_dash_is_standard_input(void **state)
{
    char *text = NULL;
    size_t len = 0;

    write_bytes(3);
    assert_non_null(freopen(path, "r", stdin));
    assert_int_equal(text_file_read("-", 10, &text, &len, NULL), 0);
    assert_string_equal(text, "abc");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_read_whole),
        cmocka_unit_test(the_limit_holds),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(a_dash_is_standard_input),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
