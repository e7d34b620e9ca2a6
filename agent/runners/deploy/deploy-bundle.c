/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/deploy-bundle.h"

#include "agent/runners/deploy/deploy-package.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SPEC_MAX ((size_t)1 << 20)

static int add_text(const Trust *trust, const Buffer *text, const char *what, Bundle *bundle,
                    Error *err)
{
    int r = bundle_add(bundle, buffer_text(text), text->len, trust->keys, trust->count, err);

    if (r == -EINVAL) {
        (void)error_wrap(err, "%s is no evidence", what);
        return DEPLOY_BUNDLE_BAD;
    }
    return r;
}

/* ---- what was sent ----------------------------------------------------------------------------
 */

static int add_input(const Spec *spec, const char *input, const Trust *trust, Bundle *bundle,
                     Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(BUNDLE_MAX);
    _cleanup_free_ char *what = NULL, *path = NULL;
    _cleanup_fd_ int fd = -1;
    int r = deploy_package_open_input(spec, input, &fd, err);

    if (r != 0) {
        return r == DEPLOY_PACKAGE_MISSING ? DEPLOY_BUNDLE_BAD : r;
    }
    if (asprintf(&what, "the input '%s'", input) < 0 ||
        asprintf(&path, "/proc/self/fd/%d", fd) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = file_read(AT_FDCWD, path, &text, err);
    if (r < 0) {
        (void)error_wrap(err, "%s", what);
        return r == -ENOBUFS ? DEPLOY_BUNDLE_BAD : r;
    }
    return add_text(trust, &text, what, bundle, err);
}

/* ---- what was stated here ---------------------------------------------------------------------
 */

static int add_call(const Spec *spec, const char *call, const Trust *trust, Bundle *bundle,
                    Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(BUNDLE_MAX);
    _cleanup_free_ char *path = NULL, *what = NULL;

    if (!text_is_identifier(call)) {
        return 0;
    }
    if (asprintf(&path, "%s/%s/artifacts/" BUNDLE_FILE, spec->calls_directory, call) < 0 ||
        asprintf(&what, "the " BUNDLE_FILE " of call %s", call) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (file_read(AT_FDCWD, path, &text, NULL) < 0) {
        return 0; /* most calls state nothing */
    }
    return add_text(trust, &text, what, bundle, err);
}

static int add_run(const Spec *spec, const char *run, const Trust *trust, Bundle *bundle,
                   Error *err)
{
    _cleanup_free_ char *path = NULL;
    struct dirent *entry;
    DIR *dir;
    int r = 0;

    /* STATE/runs/RUN/workspace → STATE/runs/RUN/calls */
    if (asprintf(&path, "%s/../../%s/calls", spec->workspace, run) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    dir = opendir(path);
    while (r == 0 && dir && (entry = readdir(dir))) {
        r = add_call(spec, entry->d_name, trust, bundle, err);
    }
    if (dir) {
        (void)closedir(dir);
    }
    return r;
}

/* The run of another call; NULL: it has none, or is not here. The caller's. */
static char *run_of(const Spec *spec, const char *call)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(SPEC_MAX);
    _cleanup_json_ Json *other = NULL;
    _cleanup_free_ char *path = NULL;
    const char *run;

    if (!text_is_identifier(call) ||
        asprintf(&path, "%s/%s/spec.json", spec->calls_directory, call) < 0) {
        path = NULL;
        return NULL;
    }
    if (file_read(AT_FDCWD, path, &text, NULL) < 0 ||
        json_parse(buffer_text(&text), text.len, &other, NULL) < 0) {
        return NULL;
    }
    run = json_get_string(other, "run");
    return run && text_is_identifier(run) ? strdup(run) : NULL;
}

static int add_package_call(const Spec *spec, const char *call, const Trust *trust, Bundle *bundle,
                            Error *err)
{
    _cleanup_free_ char *run = run_of(spec, call);
    int r = add_call(spec, call, trust, bundle, err);

    return r == 0 && run && (!spec->run || strcmp(run, spec->run) != 0)
               ? add_run(spec, run, trust, bundle, err)
               : r;
}

int deploy_bundle_read(const Spec *spec, const Trust *trust, Bundle *ret, Error *err)
{
    const char *input = json_get_string(json_get(spec->parameters, "evidence"), "input");
    const char *call = json_get_string(json_get(spec->parameters, "package"), "call");
    int r = 0;

    if (spec->calls_directory) {
        r = spec->run ? add_run(spec, spec->run, trust, ret, err) : 0;
        r = r == 0 && call ? add_package_call(spec, call, trust, ret, err) : r;
    }
    return r == 0 && input ? add_input(spec, input, trust, ret, err) : r;
}
