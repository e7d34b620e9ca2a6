/* SPDX-License-Identifier: MIT */
/* slipway-run-deploy: the runner of deploy-E, rollback-E, releases-E and changes-E (README.md). */
#include "agent/runners/action.h"
#include "agent/runners/deploy/changes-verb.h"
#include "agent/runners/deploy/deploy-verb.h"
#include "agent/runners/deploy/releases-verb.h"
#include "agent/runners/report.h"
#include "agent/runners/spec.h"
#include "protocol/base/log.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *verb;
    int (*run)(const Spec *spec, Report *report);
} verbs[] = {
    {"deploy", deploy_verb_run},
    {"rollback", rollback_verb_run},
    {"releases", releases_verb_run},
    {"changes", changes_verb_run},
};

static int fail(Report *report, const char *reason)
{
    log_error("%s", reason);
    if (report_reason(report, reason, -1) < 0) {
        log_error("the reason could not be reported");
    }
    return EXIT_FAILURE;
}

static int run(const Spec *spec, Report *report)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (strcmp(verbs[i].verb, spec->verb) == 0) {
            return verbs[i].run(spec, report);
        }
    }
    return fail(
        report,
        "this runner has deploy-E, rollback-E, releases-E and changes-E, and no other action");
}

int main(void)
{
    _cleanup_spec_ Spec spec = {0};
    _cleanup_error_ Error err = {0};
    Report report;

    log_open("slipway-run-deploy");
    action_protect();
    (void)signal(SIGPIPE, SIG_IGN);
    if (report_open(REPORT_FD, &report, &err) < 0) {
        log_error("%s", error_text(&err));
        return EXIT_FAILURE;
    }
    if (spec_read(STDIN_FILENO, &spec, &err) < 0) {
        return fail(&report, error_text(&err));
    }
    return run(&spec, &report);
}
