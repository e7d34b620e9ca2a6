/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/approval.h"

#include "plugin/cli/report/moment.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What controllers put into the environment of what they start. */
static const struct {
    const char *sign; /* is set: it is this one */
    const char *via;
    const char *name;
    const char *url;
} controllers[] = {
    {"JENKINS_URL", "jenkins", NULL, "BUILD_URL"},
    {"GITLAB_CI", "gitlab", "GITLAB_USER_LOGIN", "CI_JOB_URL"},
    {"GITHUB_ACTIONS", "github", "GITHUB_ACTOR", NULL},
    {"BUILDBOT", "buildbot", NULL, "BUILD_URL"},
};

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

static const char *variable(const char *name)
{
    const char *value = name ? getenv(name) : NULL;

    return value && *value ? value : NULL;
}

ApprovalOrigin approval_find_origin(void)
{
    for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
        if (variable(controllers[i].sign)) {
            return (ApprovalOrigin){
                .via = controllers[i].via,
                .name = variable(controllers[i].name),
                .url = variable(controllers[i].url),
            };
        }
    }
    return (ApprovalOrigin){.url = variable("BUILD_URL")};
}

/* ---- the change -------------------------------------------------------------------------------
 */

int approval_check_change(const SlipwayJson *change, const ReleaseSubject *subject,
                          const char *environment, char **ret_error)
{
    const char *text = slipway_json_get_string(change, "/text", NULL);
    const char *to = slipway_json_get_string(change, "/to", NULL);
    const char *of = slipway_json_get_string(change, "/environment", environment);
    const char *from = slipway_json_get_string(change, "/from", "");

    if (!text || !*text || !to) {
        return fail(ret_error, -EINVAL,
                    "it is not what `slipway changes --json` prints: `text` and `to` are missing");
    }
    if (strcmp(of, environment) != 0) {
        return fail(ret_error, -ESTALE, "the change is that of '%s', not of '%s'", of, environment);
    }
    if (!subject->commit || strcmp(to, subject->commit) != 0) {
        return fail(ret_error, -ESTALE,
                    "the change is that of commit %.12s, the package is of %.12s", to,
                    subject->commit ? subject->commit : "none");
    }
    if (strcmp(slipway_json_get_string(change, "/relation", ""), "back") == 0) {
        return fail(ret_error, -ESTALE,
                    "commit %.12s is older than %.12s, which runs in '%s', and would be refused; "
                    "to go back call rollback-%s, which needs no approval",
                    to, from, environment, environment);
    }
    return 0;
}

/* ---- the statement ----------------------------------------------------------------------------
 */

static int set_text(SlipwayJson *predicate, const char *pointer, const char *text)
{
    return text && *text ? slipway_json_set_string(predicate, pointer, text) : 0;
}

static int set_change(SlipwayJson *predicate, const SlipwayJson *change)
{
    const char *text = slipway_json_get_string(change, "/text", NULL);
    char *sha256 = text ? slipway_sha256(text, strlen(text)) : NULL;
    int r = !text ? 0 : sha256 ? set_text(predicate, "/change/sha256", sha256) : -ENOMEM;

    free(sha256);
    return r < 0 ? r
                 : set_text(predicate, "/previousCommit",
                            slipway_json_get_string(change, "/from", NULL));
}

static int set_times(SlipwayJson *predicate, int64_t now_us, long long minutes)
{
    char text[MOMENT_TEXT_SIZE];
    int r = set_text(predicate, "/issuedOn", moment_rfc3339(now_us, text));

    return r < 0
               ? r
               : set_text(predicate, "/expiresOn",
                          moment_rfc3339(now_us + (int64_t)minutes * 60 * MOMENT_SECOND_US, text));
}

static SlipwayJson *make_predicate(const ApprovalRequest *request, int64_t now_us)
{
    SlipwayJson *predicate = slipway_json_new_object();
    int r = predicate ? set_text(predicate, "/approver/name", request->approver) : -ENOMEM;

    r = r < 0 ? r : set_text(predicate, "/approver/via", request->via);
    r = r < 0 ? r : set_text(predicate, "/approver/url", request->url);
    r = r < 0 ? r : set_text(predicate, "/environment", request->environment);
    r = r < 0 ? r : set_text(predicate, "/commit", request->subject->commit);
    r = r < 0 ? r : set_change(predicate, request->change);
    r = r < 0 ? r : set_text(predicate, "/reason", request->reason);
    r = r < 0 ? r : set_times(predicate, now_us, request->minutes);
    return r < 0 ? slipway_json_unref(predicate) : predicate;
}

int approval_sign(const ApprovalRequest *request, int64_t now_us, char **ret_line, char **ret_error)
{
    SlipwayJson *predicate;
    int r;

    if (request->minutes < 1 || request->minutes > APPROVAL_MINUTES_MAX) {
        return fail(ret_error, -EINVAL, "an approval holds for 1 to %d minutes, not %lld",
                    APPROVAL_MINUTES_MAX, request->minutes);
    }
    predicate = make_predicate(request, now_us);
    if (!predicate) {
        return fail(ret_error, -ENOMEM, "out of memory");
    }
    r = slipway_approval_sign(request->key_path, request->subject->digest, request->subject->name,
                              predicate, ret_line, ret_error);
    (void)slipway_json_unref(predicate);
    return r;
}
