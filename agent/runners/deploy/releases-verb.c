/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/releases-verb.h"

#include "agent/runners/deploy/running.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Whoever asks is in a hurry. */
static int ask(const Spec *spec, Running *ret, bool *ret_is_confirmed, Error *err)
{
    _cleanup_error_ Error problem = {0};

    *ret_is_confirmed = running_ask(spec, NULL, ret, &problem) == 0;
    if (*ret_is_confirmed) {
        return 0;
    }
    log_warning("%s; what was deployed last is taken for it", error_text(&problem));
    running_done(ret);
    return running_remember(spec, ret, err);
}

static void say(const Json *releases)
{
    for (size_t i = 0; i < json_length(releases); i++) {
        const Json *release = json_at(releases, i);
        const char *commit = json_get_string(release, "commit");
        const char *subject = json_get_string(release, "subject");

        (void)printf("%s %s %.12s %s%s%s\n",
                     json_get_bool(release, "isRunning", false)  ? "→"
                     : json_get_bool(release, "isBefore", false) ? "←"
                                                                 : " ",
                     json_get_string(release, "version"), commit ? commit : "",
                     json_get_string(release, "digest"), subject ? "  " : "",
                     subject ? subject : "");
    }
    (void)fflush(stdout);
}

static int run(const Spec *spec, Report *report, Error *err)
{
    _cleanup_running_ Running running = RUNNING_INIT;
    _cleanup_json_ Json *releases = NULL;
    bool is_confirmed = false;
    int r;

    if (!spec->environment_name || !spec->releases_directory) {
        return error_set(err, -EINVAL, "the action '%s' has no environment to work on",
                         spec->action);
    }
    r = ask(spec, &running, &is_confirmed, err);
    if (r < 0) {
        return r;
    }
    r = releases_describe(&running.releases, running.release, &releases);
    if (r < 0) {
        return error_set_errno(err, r, "cannot list the releases");
    }
    say(releases);
    r = report_output_take(report, "releases", json_ref(releases));
    r = r < 0 ? r : report_output_take(report, "isConfirmed", json_new_bool(is_confirmed));
    return r < 0 ? error_set_errno(err, r, "cannot report the outputs") : 0;
}

int releases_verb_run(const Spec *spec, Report *report)
{
    _cleanup_error_ Error err = {0};
    int r = run(spec, report, &err);

    if (r < 0) {
        log_error("%s", error_text(&err));
        if (report_reason(report, error_text(&err), -1) < 0) {
            log_error("the reason could not be reported");
        }
    }
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
