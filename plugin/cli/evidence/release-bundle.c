/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/release-bundle.h"

#include "plugin/cli/evidence/text-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void release_bundle_done(ReleaseBundle *bundle)
{
    (void)slipway_json_unref(bundle->entries);
    free(bundle->text);
    *bundle = (ReleaseBundle){0};
}

static int fail(char **ret_error, int r, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(char **ret_error, int r, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (ret_error && vasprintf(ret_error, format, arguments) < 0) {
        *ret_error = NULL;
    }
    va_end(arguments);
    return r;
}

/* ---- adding -----------------------------------------------------------------------------------
 */

static const char *end_of_line(const char *text, const char *end)
{
    const char *feed = memchr(text, '\n', (size_t)(end - text));

    return feed ? feed : end;
}

/* Copies the line of each entry: those that came twice and empty ones are left behind. */
static size_t copy_lines(const SlipwayJson *entries, const char *text, size_t len, char *out)
{
    const char *at = text, *end = text + len, *stop;
    const SlipwayJson *entry;
    int64_t number = 1;
    size_t n = 0;

    for (size_t i = 0; (entry = slipway_json_get_element(entries, i)); i++) {
        int64_t wanted = slipway_json_get_int(entry, "/line", 0);

        for (; number < wanted && at < end; number++) {
            stop = end_of_line(at, end);
            at = stop < end ? stop + 1 : end;
        }
        stop = end_of_line(at, end);
        memcpy(out + n, at, (size_t)(stop - at));
        n += (size_t)(stop - at);
        out[n++] = '\n';
    }
    return n;
}

/* What was there, then what comes; what was there ends with a line feed. */
static int join(const ReleaseBundle *bundle, const char *text, size_t len, ReleaseBundle *ret,
                char **ret_error)
{
    size_t whole = bundle->len + len;
    char *both = malloc(whole + 1), *kept = malloc(whole + 2);
    SlipwayJson *entries = NULL, *again = NULL;
    size_t n = 0;
    int r = -ENOMEM;

    if (both && kept) {
        memcpy(both, bundle->text ? bundle->text : "", bundle->len);
        memcpy(both + bundle->len, text, len);
        r = slipway_bundle_read(both, whole, NULL, &entries, ret_error);
    }
    if (r == 0) {
        n = copy_lines(entries, both, whole, kept);
        r = slipway_bundle_read(kept, n, NULL, &again,
                                ret_error); /* whose lines have new numbers */
    }
    (void)slipway_json_unref(entries);
    free(both);
    if (r < 0) {
        free(kept);
        return r;
    }
    kept[n] = '\0';
    *ret = (ReleaseBundle){.text = kept, .len = n, .entries = again};
    return 0;
}

int release_bundle_add(ReleaseBundle *bundle, const char *text, size_t len, size_t *ret_added,
                       char **ret_error)
{
    size_t before = slipway_json_get_count(bundle->entries, "");
    SlipwayJson *alone = NULL;
    ReleaseBundle joined;
    int r = slipway_bundle_read(text, len, NULL, &alone, ret_error); /* for the numbers of lines */

    (void)slipway_json_unref(alone);
    r = r < 0 ? r : join(bundle, text, len, &joined, ret_error);
    if (r < 0) {
        return r;
    }
    release_bundle_done(bundle);
    *bundle = joined;
    if (ret_added) {
        *ret_added = slipway_json_get_count(bundle->entries, "") - before;
    }
    return 0;
}

/* ---- the file ---------------------------------------------------------------------------------
 */

int release_bundle_load(ReleaseBundle *bundle, const char *path, char **ret_error)
{
    char *text = NULL, *problem = NULL;
    size_t len = 0;
    int r = text_file_read(path, RELEASE_BUNDLE_MAX, &text, &len, ret_error);

    if (r < 0) {
        return r;
    }
    r = release_bundle_add(bundle, text, len, NULL, &problem);
    if (r < 0) {
        (void)fail(ret_error, r, "'%s' is no bundle: %s", path,
                   problem ? problem : "out of memory");
    }
    free(problem);
    free(text);
    return r;
}

static int write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* The rename is on disk when its directory is. */
static int sync_directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = !slash          ? strdup(".")
                      : slash == path ? strdup("/")
                                      : strndup(path, (size_t)(slash - path));
    int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

    if (fd >= 0) {
        (void)close(fd);
    }
    free(directory);
    return r;
}

/* As a new file would have been made: mkostemp makes it for its owner alone. */
static int set_mode(int fd)
{
    mode_t mask = umask(0);

    (void)umask(mask);
    return fchmod(fd, 0666 & ~mask) < 0 ? -errno : 0;
}

static int replace(const ReleaseBundle *bundle, const char *path)
{
    char *aside = NULL;
    int fd, r;

    if (asprintf(&aside, "%s.XXXXXX", path) < 0) {
        return -ENOMEM;
    }
    fd = mkostemp(aside, O_CLOEXEC);
    if (fd < 0) {
        r = -errno;
        free(aside);
        return r;
    }
    r = set_mode(fd);
    r = r < 0 ? r : write_all(fd, bundle->text ? bundle->text : "", bundle->len);
    if (close(fd) < 0 && r == 0) {
        r = -errno;
    }
    if (r == 0 && rename(aside, path) < 0) {
        r = -errno;
    }
    if (r < 0) {
        (void)unlink(aside);
    }
    free(aside);
    return r < 0 ? r : sync_directory_of(path);
}

int release_bundle_save(const ReleaseBundle *bundle, const char *path, char **ret_error)
{
    int r = replace(bundle, path);

    return r < 0 ? fail(ret_error, r, "'%s' cannot be written: %s", path, strerror(-r)) : 0;
}
