/* SPDX-License-Identifier: MIT */
/* slipway-run-verify: verify-E, whether the service of an environment answers as it should. The
 * repository's smoke test says so; where it has none, the service's health check. */
#include "agent/http/http.h"
#include "agent/runners/action.h"
#include "agent/runners/deploy/running.h"
#include "agent/runners/evidence.h"
#include "agent/runners/statements.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <string.h>

#define PROGRAM "slipway-run-verify"

#define HEALTH_PATH_DEFAULT "/health"
#define TEMPLATE_DEFAULT "deploy/service.json"
#define TEMPLATE_BYTES_MAX ((size_t)1 << 20)
#define HEALTH_TIMEOUT_MS ((int64_t)10000)

/* `health.path` of the repository's deploy template, where it says one outright. The caller's. */
static char *find_health_path(const Action *action)
{
    const char *template = json_as_string(json_pointer(action->recipe.root, "/deploy/template"));
    _cleanup_buffer_ Buffer text = BUFFER_INIT(TEMPLATE_BYTES_MAX);
    _cleanup_json_ Json *value = NULL;
    const char *path;

    if (file_read(action->workspace_fd, template ? template : TEMPLATE_DEFAULT, &text, NULL) < 0 ||
        json_parse(buffer_text(&text), text.len, &value, NULL) < 0) {
        return strdup(HEALTH_PATH_DEFAULT);
    }
    path = json_as_string(json_pointer(value, "/health/path"));
    return strdup(path && *path == '/' && !strstr(path, "${") ? path : HEALTH_PATH_DEFAULT);
}

static int check_health(Action *action, const char *url, Error *err)
{
    _cleanup_(http_closep) Http *http = NULL;
    _cleanup_http_response_ HttpResponse response = {0};
    _cleanup_free_ char *path = find_health_path(action);
    _cleanup_error_ Error problem = {0};
    int r = path ? report_phase(&action->report, "verify", "health check") : -ENOMEM;

    if (r < 0) {
        return error_set_errno(err, r, "cannot begin the health check");
    }
    r = http_open(url, &http, err);
    if (r < 0) {
        return r;
    }
    r = http_request(http, &(HttpRequest){.path = path, .timeout_ms = HEALTH_TIMEOUT_MS}, &response,
                     &problem);
    if (r != 0) {
        return error_set(err, r < 0 ? r : -EHOSTUNREACH, "GET %s%s: %s", url, path,
                         error_text(&problem));
    }
    if (!http_status_is_success(response.status)) {
        return error_set(err, -EPROTO, "GET %s%s answered %d", url, path, response.status);
    }
    log_info("GET %s%s answered %d", url, path, response.status);
    return 0;
}

static int run_smoke_test(Action *action, const RecipeStep *step, const char *url, Error *err)
{
    _cleanup_environment_ Environment env = {0};
    int r = action_make_environment(action, step, &env, err);

    if (r < 0) {
        return r;
    }
    r = environment_set(&env, "SLIPWAY_URL", url);
    r = r == 0 ? environment_set(&env, "SLIPWAY_ENVIRONMENT", action->spec.environment_name) : r;
    return r < 0 ? error_set(err, r, "out of memory") : action_run_step(action, step, &env, err);
}

static int check(Action *action, const RecipeStep *step, const char *url, Error *err)
{
    if (step->argv) {
        return run_smoke_test(action, step, url, err);
    }
    if (!url) {
        return error_set(err, -EINVAL,
                         "nothing to verify with: the repository has no smoke test (smoke.sh, or "
                         "`verify` in slipway.json), and environment '%s' no `url` in agent.json",
                         action->spec.environment_name);
    }
    return check_health(action, url, err);
}

/* States how it went for the package that ran all the while. Where that is not known, or another
 * came meanwhile, it is known of no package. */
static int state(Action *action, const Running *before, bool is_smoke_test, bool has_passed,
                 Error *err)
{
    _cleanup_running_ Running after = RUNNING_INIT;
    const char *digest = running_digest(before), *commit = running_commit(before), *digest_after;
    const Json *record = before->release ? before->release->record : NULL;
    char receipt[DIGEST_HEX_SIZE];
    bool has_receipt;
    int r;

    if (!digest) {
        log_info("this host has deployed nothing to '%s', so there is no verification of it",
                 action->spec.environment_name);
        return 0;
    }
    if (is_smoke_test &&
        (!action->source.commit || !commit || strcmp(action->source.commit, commit) != 0)) {
        log_info("the smoke test is not of the commit that runs in '%s', so there is no "
                 "verification of it",
                 action->spec.environment_name);
        return 0;
    }
    r = running_ask(&action->spec, &action->report, &after, err);
    digest_after = running_digest(&after);
    if (r < 0) {
        return r;
    }
    if (!digest_after || strcmp(digest, digest_after) != 0) {
        return error_set(
            err, -EAGAIN,
            "another package was deployed to '%s' meanwhile, so nobody knows which was "
            "verified; call it again",
            action->spec.environment_name);
    }
    has_receipt = evidence_find_stated(&action->spec, json_get_string(record, "call"), receipt);
    return statements_verification(action,
                                   &(StatementsVerified){
                                       .name = json_get_string(record, "name"),
                                       .digest = digest,
                                       .receipt_sha256 = has_receipt ? receipt : NULL,
                                       .is_smoke_test = is_smoke_test,
                                       .has_passed = has_passed,
                                   },
                                   err);
}

/* What is verified is the package that runs, whatever source the smoke test is from. */
static int note_package(Action *action, const Running *running, Error *err)
{
    const char *digest = running_digest(running);
    int r = digest ? 0 : 1;

    if (r == 0 && running->release) {
        r = json_copy(running->release->record, &action->release);
    } else if (r == 0) { /* somebody else deployed it: the engine knows it by its labels */
        action->release = json_new_object();
        r = action->release ? json_set_string(action->release, "commit", running_commit(running))
                            : -ENOMEM;
        r = r < 0 ? r : json_set_string(action->release, "version", running_version(running));
    }
    r = r != 0 ? r : json_set_string(action->release, "digest", digest);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

/* A verification that failed is stated too, and stays the reason of the failure. */
static int check_and_state(Action *action, const RecipeStep *step, const char *url, Error *err)
{
    _cleanup_running_ Running before = RUNNING_INIT;
    _cleanup_error_ Error problem = {0};
    int r = running_ask(&action->spec, &action->report, &before, err), stated;

    r = r < 0 ? r : note_package(action, &before, err);
    if (r < 0) {
        return r;
    }
    r = check(action, step, url, err);
    stated = state(action, &before, step->argv, r == 0, r < 0 ? &problem : err);
    if (r < 0 && stated < 0) {
        log_warning("%s", error_text(&problem));
    }
    return r == 0 && stated < 0 ? stated : r;
}

static int run(Action *action, Error *err)
{
    _cleanup_recipe_step_ RecipeStep step = {0};
    const char *url = json_get_string(action->spec.environment, "url");
    int r;

    if (strcmp(action->spec.verb, "verify") != 0 || !action->spec.environment) {
        return error_set(err, -EINVAL, "'%s' is no verify action of an environment",
                         action->spec.action);
    }
    action->is_source_optional = true; /* then there is the health check */
    r = action_prepare(action, err);
    r = r == 0 ? recipe_get_step(&action->recipe, action->workspace_fd, RECIPE_VERIFY, &step, err)
               : r;
    if (r < 0) {
        return r;
    }
    r = report_output(&action->report, "url", url);
    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    return check_and_state(action, &step, url, err);
}

int main(void)
{
    return action_main(PROGRAM, run);
}
