/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/text-file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE ((size_t)64 << 10)

/* Grows as it reads: a limit is no size. One byte beyond the limit is asked for, to see it. */
static int read_all(FILE *file, size_t limit, char **ret, size_t *ret_len)
{
    size_t size = 0, n = 0;
    char *text = NULL, *grown;

    do {
        size = size == 0 ? FIRST_SIZE : size * 2;
        size = size > limit + 1 ? limit + 1 : size;
        grown = realloc(text, size + 1);
        if (!grown) {
            free(text);
            return -ENOMEM;
        }
        text = grown;
        errno = 0;
        n += fread(text + n, 1, size - n, file);
    } while (n == size && n <= limit);
    if (ferror(file) || n > limit) {
        int r = n > limit ? -EFBIG : errno ? -errno : -EIO;

        free(text);
        return r;
    }
    text[n] = '\0';
    *ret = text;
    *ret_len = n;
    return 0;
}

int text_file_read(const char *path, size_t limit, char **ret, size_t *ret_len, char **ret_error)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    int r = file ? read_all(file, limit, ret, ret_len) : -errno;

    if (file && !is_stdin) {
        (void)fclose(file);
    }
    if (r < 0 && ret_error &&
        asprintf(ret_error, "'%s': %s", path, r == -EFBIG ? "too large" : strerror(-r)) < 0) {
        *ret_error = NULL;
    }
    return r;
}
