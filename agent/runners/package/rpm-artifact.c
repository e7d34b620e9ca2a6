/* SPDX-License-Identifier: MIT */
#include "agent/runners/package/rpm-artifact.h"

#include "agent/package/rpm/yum-repository.h"
#include "agent/runners/package/publishing.h"
#include "protocol/base/clock.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ARTIFACT "rpm"

static const Json *get_publish(const Action *action)
{
    return json_get(action->spec.publish, ARTIFACT);
}

int rpm_artifact_make(Action *action, const PackageRequest *request, int artifacts_fd,
                      RpmBuilt *ret, Error *err)
{
    GpgKey key = publishing_key(action, get_publish(action));
    _cleanup_rpm_built_ RpmBuilt built = {0};
    ArchiveSummary summary = {0};
    int r;

    if (!rpm_is_wanted(request->recipe)) {
        return 0;
    }
    r = rpm_build(request, key.key ? &key : NULL, artifacts_fd, &built, err);
    if (r < 0) {
        return r;
    }
    summary.size_bytes = built.size_bytes;
    memcpy(summary.sha256, built.sha256, sizeof(summary.sha256));
    r = report_artifact(&action->report, ARTIFACT, built.file, "file", &summary);
    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    log_info("artifact '" ARTIFACT "': %s, %lld bytes", built.file, (long long)built.size_bytes);
    *ret = built;
    built = (RpmBuilt){0};
    return 0;
}

/* ---- publishing -------------------------------------------------------------------------------
 */

static int add(const Action *action, const Publishing *publishing, const RpmBuilt *built,
               Error *err)
{
    const YumRepository repository = {.target = publishing->target,
                                      .key = publishing->key.key ? &publishing->key : NULL,
                                      .work_directory = action->spec.call_directory,
                                      .keep = (size_t)json_get_int(get_publish(action), "keep", 0)};
    _cleanup_free_ char *directory = NULL;
    YumOutcome outcome;
    int r;

    if (asprintf(&directory, "%s/artifacts", action->spec.call_directory) < 0) {
        directory = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = yum_repository_add(&repository, built, directory, clock_wall_us(), &outcome, err);
    if (r == 0) {
        log_info(outcome == YUM_UNCHANGED ? "'%s' is in '%s' already" : "'%s' is in '%s' now",
                 built->file, publishing->address);
    }
    return r;
}

static int report_rpm(Action *action, const RpmBuilt *built, const char *repository, Error *err)
{
    _cleanup_json_ Json *output = json_new_object();
    int r = output ? json_set_string(output, "file", built->file) : -ENOMEM;

    r = r == 0 ? json_set_string(output, "name", built->name) : r;
    r = r == 0 ? json_set_string(output, "version", built->version) : r;
    r = r == 0 ? json_set_string(output, "release", built->release) : r;
    r = r == 0 ? json_set_string(output, "architecture", built->arch) : r;
    r = r == 0 ? json_set_string(output, "sha256", built->sha256) : r;
    r = r == 0 ? json_set_int(output, "size", built->size_bytes) : r;
    r = r == 0 ? json_set_string(output, "repository", repository) : r;
    r = r == 0 ? report_output_take(&action->report, ARTIFACT, TAKE_PTR(output)) : r;
    return r < 0 ? error_set_errno(err, r, "cannot report") : 0;
}

int rpm_artifact_publish(Action *action, const RpmBuilt *built, Error *err)
{
    _cleanup_publishing_ Publishing publishing = {0};
    const Json *publish = get_publish(action);
    int r;

    if (!built->file) {
        return 0;
    }
    if (!json_has(publish, "target")) {
        return report_rpm(action, built, NULL, err);
    }
    r = report_phase(&action->report, "publish", built->file);
    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    r = publishing_open(action, publish, &publishing, err);
    r = r == 0 ? add(action, &publishing, built, err) : r;
    if (r < 0) {
        return error_wrap(err, "publishing '%s'", built->file);
    }
    return report_rpm(action, built, publishing.address, err);
}
