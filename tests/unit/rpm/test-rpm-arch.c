/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-arch.h"

#include "tests/unit/scratch.h"

#include <errno.h>

/* The beginning of an ELF file. */
static void write_program(int fd, const char *name, int class, int data, int machine)
{
    unsigned char head[64] = {0x7f, 'E', 'L', 'F', (unsigned char)class, (unsigned char)data};

    head[data == 1 ? 18 : 19] = (unsigned char)machine;
    scratch_write(fd, name, head, sizeof(head), 0755);
}

static int find(void **state, const char *text, const char *declared, const char **ret, Error *err)
{
    _cleanup_json_ Json *elements = NULL;
    _cleanup_rpm_files_ RpmFiles files = {0};

    assert_int_equal(json_parse(text, strlen(text), &elements, NULL), 0);
    assert_int_equal(rpm_files_find(SCRATCH_FD, elements, "/x", &files, NULL), 0);
    return rpm_arch_find(SCRATCH_FD, &files, declared, ret, err);
}

#define ONE(name) "[{\"from\":\"" name "\",\"to\":\"/opt/x/" name "\"}]"
#define TWO(a, b) \
    "[{\"from\":\"" a "\",\"to\":\"/opt/x/" a "\"},{\"from\":\"" b "\",\"to\":\"/opt/x/" b "\"}]"

static void make_tree(void **state)
{
    scratch_write_text(SCRATCH_FD, "script", "#!/bin/sh\n");
    scratch_write_text(SCRATCH_FD, "short",
                       "\x7f"
                       "ELF");
    write_program(SCRATCH_FD, "amd64", 2, 1, 62);
    write_program(SCRATCH_FD, "arm64", 2, 1, 183);
    write_program(SCRATCH_FD, "s390x", 2, 2, 22);
    write_program(SCRATCH_FD, "x32", 1, 1, 62);
}

static void test_find(void **state)
{
    static const struct {
        const char *files, *declared, *arch;
    } rows[] = {
        {ONE("script"), NULL, "noarch"},
        {ONE("short"), NULL, "noarch"},
        {ONE("amd64"), NULL, "x86_64"},
        {ONE("arm64"), NULL, "aarch64"},
        {ONE("s390x"), NULL, "s390x"},
        {TWO("amd64", "script"), NULL, "x86_64"},
        {ONE("script"), "noarch", "noarch"},
        {ONE("script"), "x86_64", "x86_64"},
        {TWO("amd64", "arm64"), "x86_64", "x86_64"},
    };

    make_tree(state);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        const char *arch;

        if (find(state, rows[i].files, rows[i].declared, &arch, &err) < 0) {
            fail_msg("row %zu: %s", i, error_text(&err));
        }
        assert_string_equal(arch, rows[i].arch);
    }
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *files, *declared, *mistake;
    } rows[] = {
        {TWO("amd64", "arm64"), NULL, "'amd64' is for x86_64, but 'arm64' for aarch64"},
        {ONE("amd64"), "noarch", "cannot be noarch"},
        {ONE("x32"), NULL, "a machine that is not known here"},
    };

    make_tree(state);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};
        const char *arch;

        assert_int_equal(find(state, rows[i].files, rows[i].declared, &arch, &err), -EINVAL);
        if (!strstr(error_text(&err), rows[i].mistake)) {
            fail_msg("'%s' is not in: %s", rows[i].mistake, error_text(&err));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {scratch_test(test_find), scratch_test(test_mistakes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
