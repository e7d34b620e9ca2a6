/* SPDX-License-Identifier: MIT */
#include "agent/runners/package/deb-artifact.h"

#include "agent/package/repository/apt-repository.h"
#include "agent/runners/package/publishing.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARTIFACT "deb"
#define DEFAULT_SUITE "stable"
#define DEFAULT_COMPONENT "main"

int deb_artifact_make(Action *action, const PackageRequest *request, int artifacts_fd,
                      DebPackage *ret, Error *err)
{
    const Json *package = json_get(request->recipe, "package");
    _cleanup_deb_package_ DebPackage deb = {0};
    int r;

    if (!json_has(package, "deb")) {
        return 0;
    }
    r = report_phase(&action->report, "package", ARTIFACT);
    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    r = deb_build(&(DebRequest){.workspace_fd = request->workspace_fd,
                                .package = package,
                                .name = request->name,
                                .version = request->version,
                                .commit = request->commit,
                                .committed_at = request->committed_at},
                  artifacts_fd, &deb, err);
    if (r < 0) {
        return r;
    }
    log_info("artifact '" ARTIFACT "': %s, %lld bytes", deb.file_name,
             (long long)deb.summary.size_bytes);
    r = report_artifact(&action->report, ARTIFACT, deb.file_name, "file", &deb.summary);
    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    *ret = deb;
    deb = (DebPackage){0};
    return 0;
}

/* ---- publishing -------------------------------------------------------------------------------
 */

static const char *text_or(const Json *object, const char *name, const char *fallback)
{
    const char *text = json_get_string(object, name);

    return text ? text : fallback;
}

static int add(const Publishing *publishing, const Json *publish, const DebPackage *package,
               int artifacts_fd, AptOutcome *ret, Error *err)
{
    const AptRepository repository = {.target = publishing->target,
                                      .key = publishing->key,
                                      .suite = text_or(publish, "suite", DEFAULT_SUITE),
                                      .component = text_or(publish, "component", DEFAULT_COMPONENT),
                                      .origin = json_get_string(publish, "origin"),
                                      .label = json_get_string(publish, "label"),
                                      .valid_days = (int)json_get_int(publish, "validDays", 0),
                                      .keep = (size_t)json_get_int(publish, "keep", 0)};
    _cleanup_fd_ int fd = openat(artifacts_fd, package->file_name, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? error_set_errno(err, -errno, "cannot read it")
                  : apt_repository_add(&repository,
                                       &(AptPackage){.name = package->name,
                                                     .version = package->version,
                                                     .architecture = package->architecture,
                                                     .control = package->control,
                                                     .file_name = package->file_name,
                                                     .fd = fd,
                                                     .size_bytes = package->summary.size_bytes,
                                                     .sha256 = package->summary.sha256},
                                       clock_wall_us(), ret, err);
}

/* ---- what came of it --------------------------------------------------------------------------
 */

static int report_deb(Action *action, const DebPackage *package, const char *repository, Error *err)
{
    _cleanup_json_ Json *output = json_new_object();
    int r = output ? json_set_string(output, "file", package->file_name) : -ENOMEM;

    r = r == 0 ? json_set_string(output, "name", package->name) : r;
    r = r == 0 ? json_set_string(output, "version", package->version) : r;
    r = r == 0 ? json_set_string(output, "architecture", package->architecture) : r;
    r = r == 0 ? json_set_string(output, "sha256", package->summary.sha256) : r;
    r = r == 0 ? json_set_int(output, "size", package->summary.size_bytes) : r;
    r = r == 0 ? json_set_string(output, "repository", repository) : r;
    r = r == 0 ? report_output_take(&action->report, ARTIFACT, TAKE_PTR(output)) : r;
    return r < 0 ? error_set_errno(err, r, "cannot report") : 0;
}

int deb_artifact_publish(Action *action, const DebPackage *package, int artifacts_fd, Error *err)
{
    const Json *publish = json_get(action->spec.publish, "deb");
    _cleanup_publishing_ Publishing publishing = {0};
    AptOutcome outcome;
    int r;

    if (!package->file_name) {
        return 0;
    }
    if (!publish) {
        return report_deb(action, package, NULL, err);
    }
    r = report_phase(&action->report, "publish", package->file_name);
    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    r = publishing_open(action, publish, &publishing, err);
    r = r == 0 ? add(&publishing, publish, package, artifacts_fd, &outcome, err) : r;
    if (r < 0) {
        return error_wrap(err, "publishing '%s'", package->file_name);
    }
    log_info(outcome == APT_UNCHANGED ? "'%s' is in '%s' already" : "'%s' is in '%s' now",
             package->file_name, publishing.address);
    return report_deb(action, package, publishing.address, err);
}
