/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/deploy-package.h"

#include "protocol/artifact/digest.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"
#include "protocol/ndjson.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARTIFACT_NAME "package"
#define JOURNAL_LINE_MAX ((size_t)512 << 10)
#define STATUS_MAX ((size_t)1 << 20)

static int missing(Error *err, const char *format, ...) _printf_(2, 3);
static int missing(Error *err, const char *format, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0) {
        text = NULL;
    }
    va_end(ap);
    (void)error_set(err, -ENOENT, "%s", text ? text : "there is no package to deploy");
    free(text);
    return DEPLOY_PACKAGE_MISSING;
}

static int open_in(const char *directory, const char *name, int flags)
{
    _cleanup_free_ char *path = NULL;
    int fd;

    if (asprintf(&path, "%s/%s", directory, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Checks the bytes and leaves the descriptor at the beginning. */
static int check_bytes(int fd, const char *sha256, const char *what, Error *err)
{
    char hex[DIGEST_HEX_SIZE];
    struct stat st;
    int r;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return missing(err, "%s is no regular file", what);
    }
    r = digest_fd(fd, hex, NULL, err);
    if (r < 0) {
        return r;
    }
    if (strcmp(hex, sha256) != 0) {
        return missing(
            err,
            "%s is not what it was: its SHA-256 is %s and should be %s; make the package "
            "again",
            what, hex, sha256);
    }
    return lseek(fd, 0, SEEK_SET) < 0 ? error_set_errno(err, -errno, "cannot read %s", what) : 0;
}

/* ---- the artifact of a call -------------------------------------------------------------------
 */

/* The last announcement of the artifact counts. */
static void note_announcement(const char *line, size_t len, Json **announced)
{
    _cleanup_json_ Json *record = NULL, *report = NULL;
    const char *text, *type, *name;

    if (json_parse(line, len, &record, NULL) < 0) {
        return;
    }
    text = json_get_string(record, "line");
    if (!text || json_parse(text, strlen(text), &report, NULL) < 0) {
        return;
    }
    type = json_get_string(report, "type");
    name = json_get_string(report, "name");
    if (type && name && strcmp(type, "artifact") == 0 && strcmp(name, ARTIFACT_NAME) == 0) {
        (void)json_unref(*announced);
        *announced = TAKE_PTR(report);
    }
}

static int read_journal(int fd, Json **announced)
{
    char chunk[16384];
    NdjsonReader reader;
    ssize_t got;
    int r = 0;

    ndjson_reader_init(&reader, JOURNAL_LINE_MAX);
    while (r >= 0 && (got = fd_read_full(fd, chunk, sizeof(chunk))) > 0) {
        const char *line;
        size_t len;

        r = ndjson_reader_feed(&reader, chunk, (size_t)got);
        while (r >= 0 && (r = ndjson_reader_next(&reader, &line, &len)) != 0) {
            if (r == 1) {
                note_announcement(line, len, announced);
            }
            r = 0; /* a line that is too long is no announcement */
        }
    }
    ndjson_reader_done(&reader);
    return r < 0 ? r : 0;
}

/* How a call ended; NULL: it has not. */
static int read_status(int call_fd, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(STATUS_MAX);
    _cleanup_json_ Json *status = NULL;
    const char *name;
    int r;

    *ret = NULL;
    if (!file_exists(call_fd, "status.json")) {
        return 0;
    }
    r = file_read(call_fd, "status.json", &text, err);
    r = r < 0 ? r : json_parse(buffer_text(&text), text.len, &status, err);
    if (r < 0) {
        return r;
    }
    name = json_get_string(status, "status");
    *ret = strdup(name ? name : "?");
    return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int check_succeeded(int call_fd, const char *call, Error *err)
{
    _cleanup_free_ char *status = NULL;
    int r = read_status(call_fd, &status, err);

    if (r < 0) {
        return r;
    }
    if (!status) {
        return missing(err, "call %s has not ended yet; deploy its package once it has", call);
    }
    if (strcmp(status, "succeeded") != 0) {
        return missing(err,
                       "call %s ended as %s; only a package whose making succeeded is deployed",
                       call, status);
    }
    return 0;
}

static int open_announced(int call_fd, const char *call, const Json *announced, int *ret_fd,
                          Error *err)
{
    const char *file = json_get_string(announced, "file");
    const char *sha256 = json_get_string(announced, "sha256");
    _cleanup_free_ char *path = NULL, *what = NULL;
    _cleanup_fd_ int fd = -1;
    int r;

    if (!file || !sha256 || strchr(file, '/') || file[0] == '.') {
        return missing(err, "call %s has no artifact '%s'; it takes a call of the action 'package'",
                       call, ARTIFACT_NAME);
    }
    if (asprintf(&path, "artifacts/%s", file) < 0 ||
        asprintf(&what, "the package of call %s", call) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    fd = openat(call_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return missing(err, "%s is not on this host any more (%s); make it again", what,
                       strerror(errno));
    }
    r = check_bytes(fd, sha256, what, err);
    if (r == 0) {
        *ret_fd = TAKE_FD(fd);
    }
    return r;
}

static int open_from_call(const Spec *spec, const char *call, int *ret_fd, Error *err)
{
    _cleanup_json_ Json *announced = NULL;
    _cleanup_fd_ int call_fd = -1, journal_fd = -1;
    int r;

    if (!spec->calls_directory || !text_is_identifier(call)) {
        return missing(err, "there is no call '%s' on this host", call);
    }
    call_fd = open_in(spec->calls_directory, call, O_RDONLY | O_DIRECTORY);
    if (call_fd < 0) {
        return missing(
            err,
            "there is no call '%s' on this host; make the package here, or send it as an "
            "input",
            call);
    }
    r = check_succeeded(call_fd, call, err);
    if (r != 0) {
        return r;
    }
    journal_fd = openat(call_fd, "journal.ndjson", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    r = journal_fd < 0 ? -errno : read_journal(journal_fd, &announced);
    if (r < 0) {
        return error_set_errno(err, r, "cannot read the journal of call %s", call);
    }
    return open_announced(call_fd, call, announced, ret_fd, err);
}

/* ---- an input ---------------------------------------------------------------------------------
 */

int deploy_package_open_input(const Spec *spec, const char *input, int *ret_fd, Error *err)
{
    _cleanup_buffer_ Buffer sha256 = BUFFER_INIT(256);
    _cleanup_free_ char *digest_file = NULL, *what = NULL;
    _cleanup_fd_ int directory = -1, fd = -1;
    int r;

    if (!spec->inputs_directory || !text_is_identifier(input)) {
        return missing(err, "there is no input '%s'", input);
    }
    if (asprintf(&digest_file, "%s.sha256", input) < 0 ||
        asprintf(&what, "the input '%s'", input) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    directory = open(spec->inputs_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fd = directory < 0 ? -1 : openat(directory, input, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || file_read(directory, digest_file, &sha256, NULL) < 0) {
        return missing(err, "there is no complete input '%s'; send it with inputs/write", input);
    }
    r = check_bytes(fd, buffer_text(&sha256), what, err);
    if (r == 0) {
        *ret_fd = TAKE_FD(fd);
    }
    return r;
}

/* ---- the run's own ----------------------------------------------------------------------------
 */

static bool is_package_call(const Spec *spec, const char *call)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(STATUS_MAX);
    _cleanup_free_ char *status = NULL;
    _cleanup_json_ Json *other = NULL;
    _cleanup_fd_ int fd = -1;
    const char *action;

    if (!text_is_identifier(call)) {
        return false;
    }
    fd = open_in(spec->calls_directory, call, O_RDONLY | O_DIRECTORY);
    if (fd < 0 || file_read(fd, "spec.json", &text, NULL) < 0 ||
        json_parse(buffer_text(&text), text.len, &other, NULL) < 0) {
        return false;
    }
    action = json_get_string(other, "action");
    return action && strcmp(action, "package") == 0 && read_status(fd, &status, NULL) == 0 &&
           status && strcmp(status, "succeeded") == 0;
}

/* The newest, as a call's id begins with its time; NULL. The caller's. */
static char *find_in_run(const Spec *spec, const char *calls_of_run)
{
    DIR *dir = opendir(calls_of_run);
    struct dirent *entry;
    char *newest = NULL;

    while (dir && (entry = readdir(dir))) {
        if ((!newest || strcmp(entry->d_name, newest) > 0) &&
            is_package_call(spec, entry->d_name)) {
            free(newest);
            newest = strdup(entry->d_name);
        }
    }
    if (dir) {
        (void)closedir(dir);
    }
    return newest;
}

static int open_from_run(const Spec *spec, int *ret_fd, Error *err)
{
    _cleanup_free_ char *calls_of_run = NULL, *call = NULL;

    if (!spec->run || !spec->calls_directory) {
        return missing(err,
                       "which package? Say `package`: {\"call\": CALL} or {\"input\": NAME}, or "
                       "call it with the run whose package it is");
    }
    /* STATE/runs/RUN/workspace → STATE/runs/RUN/calls */
    if (asprintf(&calls_of_run, "%s/../calls", spec->workspace) < 0) {
        calls_of_run = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    call = find_in_run(spec, calls_of_run);
    if (!call) {
        return missing(err, "no call of run %s has made a package; call 'package' in it first",
                       spec->run);
    }
    return open_from_call(spec, call, ret_fd, err);
}

int deploy_package_open(const Spec *spec, int *ret_fd, Error *err)
{
    const Json *package = json_get(spec->parameters, "package");
    const char *call = json_get_string(package, "call");
    const char *input = json_get_string(package, "input");

    if (call) {
        return open_from_call(spec, call, ret_fd, err);
    }
    if (input) {
        return deploy_package_open_input(spec, input, ret_fd, err);
    }
    return open_from_run(spec, ret_fd, err);
}
