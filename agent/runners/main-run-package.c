/* SPDX-License-Identifier: MIT */
/* slipway-run-package: package, which makes of the files that the build left what deploy-* takes.
 */
#include "agent/package/package.h"
#include "agent/runners/action.h"
#include "agent/runners/evidence.h"
#include "agent/runners/package/deb-artifact.h"
#include "agent/runners/package/image-artifacts.h"
#include "agent/runners/package/image-base.h"
#include "agent/runners/package/image-publish.h"
#include "agent/runners/package/rpm-artifact.h"
#include "agent/runners/statements.h"
#include "agent/source/built.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM "slipway-run-package"

/* Made in the call directory, and gone when it is packed. */
#define STAGING "package.tmp"

static int open_staging(int call_fd, int *ret_fd, Error *err)
{
    int r = file_remove_tree(call_fd, STAGING, err);

    if (r < 0) {
        return r;
    }
    if (mkdirat(call_fd, STAGING, 0755) < 0) {
        return error_set_errno(err, -errno, "cannot make '" STAGING "' in the call directory");
    }
    *ret_fd = openat(call_fd, STAGING, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? error_set_errno(err, -errno, "cannot open '" STAGING "'") : 0;
}

static int report_package(Action *action, const Package *package, int64_t size_bytes, Error *err)
{
    const Release *release = &package->release;
    Report *report = &action->report;
    int r = report_output(report, "digest", release->digest);

    r = r == 0 ? report_output(report, "version", release->version) : r;
    r = r == 0 ? report_output(report, "name", release->name) : r;
    r = r == 0 ? report_output_take(report, "size", json_new_int(size_bytes)) : r;
    r = r == 0 ? image_artifacts_report(action, package) : r;
    return r < 0 ? error_set_errno(err, r, "cannot report") : 0;
}

static int open_artifacts(int call_fd, int *ret, Error *err)
{
    *ret = openat(call_fd, "artifacts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret < 0 ? error_set_errno(err, -errno, "cannot open artifacts/ of the call") : 0;
}

static int state(Action *action, const Release *release, const ImageBase *base,
                 const DebPackage *deb, const RpmBuilt *rpm, int64_t began_us, Error *err)
{
    _cleanup_free_ char *tool = NULL;

    if (base->built.tool && asprintf(&tool, "%s %s", base->built.tool, base->built.version) < 0) {
        tool = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return statements_provenance(
        action,
        &(StatementsPackaged){
            .release = release,
            .files = {{deb->file_name, deb->summary.sha256}, {rpm->file, rpm->sha256}},
            .base = base->is_there ? base->base.name : NULL,
            .base_digest = base->is_there ? base->base.digest : NULL,
            .tool = tool,
            .began_us = began_us,
        },
        err);
}

static void list_files(PackageRequest *request, int artifacts_fd, const DebPackage *deb,
                       const RpmBuilt *rpm, PackageFile files[static 2])
{
    request->files_fd = artifacts_fd;
    request->files = files;
    if (deb->file_name) {
        files[request->n_files++] = (PackageFile){deb->file_name, deb->summary.sha256};
    }
    if (rpm->file) {
        files[request->n_files++] = (PackageFile){rpm->file, rpm->sha256};
    }
}

static int build(Action *action, const ImageBase *base, int call_fd, int staging_fd, Error *err)
{
    const Source *source = &action->source;
    _cleanup_fd_ int run_fd =
        openat(action->workspace_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    PackageRequest request = {
        .workspace_fd = action->workspace_fd,
        .recipe = action->recipe.root,
        .name = action->name,
        .version = source->version,
        .commit = source->commit,
        .repository = source->repository,
        .ref = source->ref,
        .subject = source->subject,
        .committed_at = source->committed_at,
        .registry = json_get_string(json_get(action->spec.publish, "image"), "registry"),
        .cache_directory = action->spec.cache_directory,
        .digests_fd = run_fd,
        .base = base->is_there ? &base->base : NULL};
    _cleanup_package_ Package package = {0};
    _cleanup_deb_package_ DebPackage deb = {0};
    _cleanup_rpm_built_ RpmBuilt rpm = {0};
    _cleanup_image_published_ ImagePublished published = {0};
    _cleanup_fd_ int artifacts_fd = -1;
    int64_t size_bytes, began_us = clock_wall_us();
    PackageFile files[2];
    int r = open_artifacts(call_fd, &artifacts_fd, err);

    r = r == 0 ? deb_artifact_make(action, &request, artifacts_fd, &deb, err) : r;
    r = r == 0 ? rpm_artifact_make(action, &request, artifacts_fd, &rpm, err) : r;
    if (r < 0) {
        return r;
    }
    list_files(&request, artifacts_fd, &deb, &rpm, files);
    r = package_build(&request, staging_fd, &package, err);
    r = r == 0 ? image_artifacts_make(action, &package, staging_fd, &size_bytes, err) : r;
    if (r < 0) {
        return r;
    }
    log_info("%s %s is %s", package.release.name, package.release.version, package.release.digest);
    action->release = evidence_describe_release(&package.release);
    r = action->release ? 0 : error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        return r;
    }
    r = state(action, &package.release, base, &deb, &rpm, began_us, err);
    r = r < 0 ? r : image_publish(action, &package, staging_fd, &published, err);
    r = r < 0 ? r : deb_artifact_publish(action, &deb, artifacts_fd, err);
    r = r < 0 ? r : rpm_artifact_publish(action, &rpm, err);
    r = r < 0 ? r : report_package(action, &package, size_bytes, err);
    if (r < 0) {
        return r;
    }
    r = image_publish_report(action, &published);
    return r < 0 ? error_set_errno(err, r, "cannot report") : 0;
}

static int run(Action *action, Error *err)
{
    _cleanup_fd_ int call_fd = -1, staging_fd = -1;
    _cleanup_image_base_ ImageBase base = IMAGE_BASE_INIT;
    int r;

    if (strcmp(action->spec.verb, "package") != 0) {
        return error_set(err, -EINVAL, "'%s' is not package, and I do no other action",
                         action->spec.action);
    }
    (void)umask(022); /* what is written here is packed with its mode */
    r = action_prepare(action, err);
    r = r < 0 ? r : built_check(action->spec.workspace, action->source.commit, err);
    if (r < 0) {
        return r;
    }
    r = report_phase(&action->report, "package", NULL);
    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    call_fd = open(action->spec.call_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (call_fd < 0) {
        return error_set_errno(err, -errno, "cannot open the call directory '%s'",
                               action->spec.call_directory);
    }
    r = open_staging(call_fd, &staging_fd, err);
    r = r == 0 ? image_base_bring(action, call_fd, &base, err) : r;
    r = r == 0 ? build(action, &base, call_fd, staging_fd, err) : r;
    r = r == 0 && image_base_report(action, &base) < 0 ? error_set(err, -EIO, "cannot report") : r;
    if (r < 0) {
        (void)!file_remove_tree(call_fd, STAGING, NULL);
        return r;
    }
    return file_remove_tree(call_fd, STAGING, err);
}

int main(void)
{
    return action_main(PROGRAM, run);
}
