/* SPDX-License-Identifier: MIT */
#include "agent/runners/package/rpm-artifact.h"

#include "agent/package/rpm/rpm-build.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <string.h>

#define ARTIFACT "rpm"

static int report_output_of(Report *report, const RpmBuilt *built)
{
    _cleanup_json_ Json *output = json_new_object();
    int r = output ? json_set_string(output, "file", built->file) : -ENOMEM;

    r = r == 0 ? json_set_string(output, "sha256", built->sha256) : r;
    r = r == 0 ? json_set_int(output, "size", built->size_bytes) : r;
    return r == 0 ? report_output_take(report, ARTIFACT, TAKE_PTR(output)) : r;
}

int rpm_artifact_make(Action *action, const PackageRequest *request, int artifacts_fd, Error *err)
{
    _cleanup_rpm_built_ RpmBuilt built = {0};
    ArchiveSummary summary = {0};
    int r;

    if (!rpm_is_wanted(request->recipe)) {
        return 0;
    }
    r = report_phase(&action->report, "package", ARTIFACT);
    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    r = rpm_build(request, artifacts_fd, &built, err);
    if (r < 0) {
        return r;
    }
    log_info("artifact '" ARTIFACT "': %s, %lld bytes", built.file, (long long)built.size_bytes);
    summary.size_bytes = built.size_bytes;
    memcpy(summary.sha256, built.sha256, sizeof(summary.sha256));
    r = report_artifact(&action->report, ARTIFACT, built.file, "file", &summary);
    r = r == 0 ? report_output_of(&action->report, &built) : r;
    return r < 0 ? error_set_errno(err, r, "cannot report") : 0;
}
