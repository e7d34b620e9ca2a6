/* SPDX-License-Identifier: MIT */
#include "agent/runners/package/image-base.h"

#include "agent/runners/package/base-pull.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ROOM "base.tmp"
#define LAYOUT "layout"

void image_base_done(ImageBase *base)
{
    _cleanup_error_ Error problem = {0};

    for (char **layout = base->base.layouts; layout && *layout; layout++) {
        free(*layout);
    }
    free(base->base.layouts);
    (void)fd_close(base->base.fd);
    dockerfile_built_done(&base->built);
    if (base->call_fd >= 0 && file_remove_tree(base->call_fd, ROOM, &problem) < 0) {
        log_warning("%s, going on", error_text(&problem));
    }
    *base = IMAGE_BASE_INIT;
}

static int make_room(ImageBase *base, int call_fd, Error *err)
{
    int r = file_remove_tree(call_fd, ROOM, err);

    if (r < 0) {
        return r;
    }
    if (mkdirat(call_fd, ROOM, 0700) < 0) {
        return error_set_errno(err, -errno, "cannot make '" ROOM "' in the call directory");
    }
    base->call_fd = call_fd;
    base->base.fd = openat(call_fd, ROOM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return base->base.fd < 0 ? error_set_errno(err, -errno, "cannot open '" ROOM "'") : 0;
}

static int build(Action *action, const char *dockerfile, ImageBase *base, Error *err)
{
    _cleanup_free_ char *directory = NULL;
    int r = report_phase(&action->report, "build", dockerfile);

    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    base->base.layouts = calloc(2, sizeof(*base->base.layouts));
    if (base->base.layouts) {
        base->base.layouts[0] = strdup(LAYOUT);
    }
    if (!base->base.layouts || !base->base.layouts[0] ||
        asprintf(&directory, "%s/" ROOM, action->spec.call_directory) < 0) {
        directory = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    base->base.name = dockerfile;
    base->base.is_whole = true;
    base->is_there = true;
    return dockerfile_build(action, dockerfile, directory, LAYOUT, &base->built, err);
}

int image_base_bring(Action *action, int call_fd, ImageBase *ret, Error *err)
{
    _cleanup_image_base_ ImageBase base = IMAGE_BASE_INIT;
    const Json *package = json_get(action->recipe.root, "package");
    const char *reference = json_get_string(package, "base");
    const char *dockerfile = dockerfile_find(action);
    int r = 0;

    if (dockerfile) {
        r = make_room(&base, call_fd, err);
        r = r == 0 ? build(action, dockerfile, &base, err) : r;
    } else if (reference && strcmp(reference, "scratch") != 0 &&
               !text_has_prefix(reference, "./")) {
        base.is_there = true;
        r = base_pull(action, reference, json_get(package, "platforms"), &base.base, base.digest,
                      err);
        if (r < 0) {
            (void)error_wrap(err, "/package/base: '%s'", reference);
        }
    }
    if (r < 0) {
        return r;
    }
    *ret = base;
    if (base.base.digest) {
        ret->base.digest = ret->digest; /* its own, not the one that is left */
    }
    base = IMAGE_BASE_INIT;
    return 0;
}

int image_base_report(Action *action, const ImageBase *base)
{
    _cleanup_json_ Json *builder = NULL;
    int r;

    if (!base->built.tool) {
        return 0;
    }
    builder = json_new_object();
    r = builder ? json_set_string(builder, "tool", base->built.tool) : -ENOMEM;
    r = r == 0 ? json_set_string(builder, "version", base->built.version) : r;
    return r == 0 ? report_output_take(&action->report, "builder", TAKE_PTR(builder)) : r;
}
