/* SPDX-License-Identifier: MIT */
#include "agent/runners/action.h"

#include "agent/runners/artifacts.h"
#include "agent/runners/evidence.h"
#include "agent/runners/step.h"
#include "agent/runners/test-results.h"
#include "agent/source/git.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define STDIN_SPEC STDIN_FILENO
#define TEST_FILES_ARTIFACT "junit"

_Static_assert(JUNIT_SUMS_MAX < REPORT_LINE_MAX, "the sums have to fit into a report");

void action_done(Action *action)
{
    spec_done(&action->spec);
    source_done(&action->source);
    recipe_done(&action->recipe);
    test_sums_done(&action->tests);
    (void)fd_close(action->workspace_fd);
    (void)json_unref(action->release);
    free(action->reason);
    *action = ACTION_INIT;
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

int action_open(Action *action, Error *err)
{
    int r = report_open(REPORT_FD, &action->report, err);

    return r == 0 ? spec_read(STDIN_SPEC, &action->spec, err) : r;
}

/* ---- the source -------------------------------------------------------------------------------
 */

int action_confine(const Spec *spec, ConfinedKind kind, Confine *ret, Error *err)
{
    return confined_open(
        &(ConfinedPlaces){.state = spec->is_confined ? spec->state_directory : NULL,
                          .workspace = spec->workspace,
                          .cache = spec->cache_directory},
        kind, ret, err);
}

static int bring_source(Action *action, Error *err)
{
    const Spec *spec = &action->spec;
    _cleanup_confine_ Confine rules = CONFINE_INIT;
    SourceRequest request = {.workspace = spec->workspace,
                             .cache_directory = spec->cache_directory,
                             .inputs_directory = spec->inputs_directory,
                             .is_optional = action->is_source_optional};
    int r = source_request_read(spec->parameters, &request, err);

    if (r == 0 && request.git) {
        r = action_confine(spec, CONFINED_GIT, &rules, err);
        request.confine = r > 0 ? &rules : NULL;
    }
    r = r >= 0 ? source_bring(&request, &action->source, err) : r;
    if (r < 0) {
        return r;
    }
    action->workspace_fd = open(spec->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return action->workspace_fd < 0
               ? error_set_errno(err, -errno, "cannot open the workspace '%s'", spec->workspace)
               : 0;
}

int action_prepare(Action *action, Error *err)
{
    const char *name;
    int r = report_phase(&action->report, "source", NULL);

    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    r = bring_source(action, err);
    r = r == 0 ? recipe_read(action->workspace_fd, &action->recipe, err) : r;
    if (r < 0) {
        return r;
    }
    name = json_get_string(action->recipe.root, "name");
    action->name = name ? name : action->source.name;
    r = report_output(&action->report, "commit", action->source.commit);
    return r < 0 ? error_set_errno(err, r, "cannot report") : 0;
}

/* ---- the environment --------------------------------------------------------------------------
 */

static int add_aliases(const Action *action, Environment *env)
{
    const Spec *spec = &action->spec;
    const Source *source = &action->source;
    const char *branch = source->ref ? git_branch_of(source->ref) : NULL;
    const char *tag = source->ref ? git_tag_of(source->ref) : NULL;
    _cleanup_free_ char *build_tag = NULL;
    int r;

    if (asprintf(&build_tag, "slipway-%s-%s", spec->action, spec->run ? spec->run : spec->call) <
        0) {
        build_tag = NULL;
        return -ENOMEM;
    }
    r = environment_set(env, "GIT_COMMIT", source->commit);
    r = r == 0 ? environment_set(env, "GIT_BRANCH", branch ? branch : tag ? tag : source->ref) : r;
    r = r == 0 ? environment_set(env, "BUILD_ID", spec->run ? spec->run : spec->call) : r;
    r = r == 0 ? environment_set(env, "BUILD_TAG", build_tag) : r;
    return r == 0 ? environment_set(env, "WORKSPACE", spec->workspace) : r;
}

static int add_source(const Source *source, Environment *env)
{
    char epoch[32];
    int r = environment_set(env, "SLIPWAY_COMMIT", source->commit);

    (void)snprintf(epoch, sizeof(epoch), "%" PRId64, source->committed_at);
    r = r == 0 ? environment_set(env, "SLIPWAY_REF", source->ref) : r;
    r = r == 0 ? environment_set(env, "SLIPWAY_REPOSITORY", source->repository) : r;
    r = r == 0 ? environment_set(env, "SLIPWAY_VERSION", source->version) : r;
    return r == 0 ? environment_set(env, "SOURCE_DATE_EPOCH", epoch) : r;
}

static int add_own(const Json *variables, Environment *env)
{
    int r = 0;

    for (JsonMember m = {0}; r == 0 && json_next_member(variables, &m);) {
        r = environment_set(env, m.name, json_as_string(m.value));
    }
    return r;
}

int action_make_environment(const Action *action, const RecipeStep *step, Environment *env,
                            Error *err)
{
    int r = environment_add_all(env, environ);

    r = r == 0 ? add_aliases(action, env) : r;
    r = r == 0 ? add_own(step->env, env) : r;
    r = r == 0 ? add_source(&action->source, env) : r; /* nobody else says what was built */
    return r < 0 ? out_of_memory(err) : 0;
}

/* ---- a step -----------------------------------------------------------------------------------
 */

/* Joins what there is to say into one reason and reports it. */
static int report_failure(Action *action, const StepResult *result, const TestSums *sums,
                          const char *complaint, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = result->reason ? buffer_append_text(&text, result->reason) : 0;

    if (r == 0 && sums->failed > 0) {
        r = buffer_append_format(&text, "%s%" PRId64 " of %" PRId64 " tests failed",
                                 text.len ? "; " : "", sums->failed, sums->total);
    }
    if (r == 0 && complaint) {
        r = buffer_append_format(&text, "%s%s", text.len ? "; " : "", complaint);
    }
    if (r < 0) {
        return out_of_memory(err);
    }
    log_error("%s", buffer_text(&text));
    r = report_reason(&action->report, buffer_text(&text), result->exit_code);
    if (r < 0) {
        return error_set_errno(err, r, "cannot report");
    }
    action->reason = buffer_take_text(&text);
    return action->reason ? 1 : out_of_memory(err);
}

static int report_tests(Action *action, const TestSums *sums, size_t n_files, Error *err)
{
    Json *value = NULL;
    int r;

    if (n_files == 0) {
        return 0;
    }
    log_info("%" PRId64 " tests in %zu files: %" PRId64 " failed, %" PRId64 " skipped", sums->total,
             n_files, sums->failed, sums->skipped);
    r = test_sums_to_json(sums, &value);
    r = r == 0 ? report_output_take(&action->report, "tests", value) : r;
    return r < 0 ? error_set_errno(err, r, "cannot report the test results") : 0;
}

static int pack_artifacts(Action *action, const RecipeStep *step, bool is_after_failure, Error *err)
{
    const ArtifactsRequest request = {.workspace_fd = action->workspace_fd,
                                      .call_directory = action->spec.call_directory,
                                      .time = action->source.committed_at,
                                      .is_after_failure = is_after_failure};

    return artifacts_pack(&request, step->artifacts, step->n_artifacts, &action->report, err);
}

/* A failed step's logs are what somebody will want to read; if they cannot be had, its own failure
 * is still the news. */
static void pack_after_failure(Action *action, const RecipeStep *step)
{
    _cleanup_error_ Error problem = {0};

    if (pack_artifacts(action, step, true, &problem) < 0) {
        log_warning("%s, going on", error_text(&problem));
    }
}

/* For a controller that shows tests one by one. A recipe may have an artifact of that name. */
static bool has_artifact(const RecipeStep *step, const char *name)
{
    for (size_t i = 0; i < step->n_artifacts; i++) {
        if (strcmp(step->artifacts[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* They are a copy of what the result says: that there is none makes no result worse. */
static void pack_test_files(Action *action, const RecipeStep *step, const TestFiles *files)
{
    const ArtifactsRequest request = {.workspace_fd = action->workspace_fd,
                                      .call_directory = action->spec.call_directory,
                                      .time = action->source.committed_at};
    _cleanup_free_ char **names = calloc(files->count + 1, sizeof(*names));
    _cleanup_error_ Error problem = {0};
    int r = names ? 0 : error_set(&problem, -ENOMEM, "out of memory");

    if (files->count == 0 || has_artifact(step, TEST_FILES_ARTIFACT)) {
        return;
    }
    for (size_t i = 0; names && i < files->count; i++) {
        names[i] = files->files[i].name;
    }
    r = r == 0 ? artifacts_pack_one(&request, action->workspace_fd, TEST_FILES_ARTIFACT, names,
                                    files->count, &action->report, NULL, &problem)
               : r;
    if (r < 0) {
        log_warning("%s, going on", error_text(&problem));
    }
}

static int finish_step(Action *action, const RecipeStep *step, const TestFiles *before,
                       const StepResult *result, Error *err)
{
    TestSums *sums = &action->tests;
    _cleanup_error_ Error problem = {0};
    _cleanup_test_files_ TestFiles files = {0};
    bool is_failed;
    int r = test_results_collect(action->workspace_fd, step, before, sums, &files, &problem);

    if (r == -ENOMEM) {
        return out_of_memory(err);
    }
    is_failed = !result->is_success || r < 0 || sums->failed > 0;
    r = report_tests(action, sums, files.count, err);
    if (r < 0) {
        return r;
    }
    pack_test_files(action, step, &files);
    if (is_failed) {
        pack_after_failure(action, step);
        return report_failure(action, result, sums, problem.code ? error_text(&problem) : NULL,
                              err);
    }
    return pack_artifacts(action, step, false, err);
}

int action_run_step(Action *action, const RecipeStep *step, const Environment *env, Error *err)
{
    _cleanup_test_files_ TestFiles before = {0};
    _cleanup_step_result_ StepResult result = {0};
    _cleanup_confine_ Confine rules = CONFINE_INIT;
    int is_confined = action_confine(&action->spec, CONFINED_STEP, &rules, err);
    int r = is_confined < 0 ? is_confined
                            : report_phase(&action->report, action->spec.verb, step->title);

    if (r < 0) {
        return is_confined < 0 ? r : error_set_errno(err, r, "cannot report");
    }
    r = test_files_find(action->workspace_fd, step, &before, err);
    r = r == 0 ? step_run(&(StepRequest){.step = step,
                                         .workspace = action->spec.workspace,
                                         .env = env,
                                         .confine = is_confined > 0 ? &rules : NULL,
                                         .grace_ms = action->spec.grace_ms},
                          &result, err)
               : r;
    return r == 0 ? finish_step(action, step, &before, &result, err) : r;
}

/* ---- main -------------------------------------------------------------------------------------
 */

void action_protect(void)
{
    if (prctl(PR_SET_DUMPABLE, 0) < 0) {
        log_error_errno(-errno, "other processes may look into this one");
    }
}

static int add_source_of(const Action *action, Json *members)
{
    const Source *source = &action->source;
    int r = json_set_string(members, "name", action->name);

    r = r < 0 ? r : json_set_string(members, "commit", source->commit);
    r = r < 0 ? r : json_set_string(members, "version", source->version);
    r = r < 0 ? r : json_set_string(members, "repository", source->repository);
    r = r < 0 ? r : json_set_string(members, "subject", source->subject);
    return r < 0 || !source->commit || source->committed_at == SOURCE_TIME_UNKNOWN
               ? r
               : evidence_set_time(members, "committedAt", source->committed_at * 1000000);
}

/* For the audit log: how the action ended, of which package or source. */
static void record_end(const Action *action, bool has_succeeded, const char *reason)
{
    Json *members = json_new_object();
    int r = !members                 ? -ENOMEM
            : action->release        ? evidence_add_release(members, action->release)
            : action->source.is_none ? 0
                                     : add_source_of(action, members);

    if (r < 0) {
        members = json_unref(members);
    }
    evidence_record_end_take(&action->spec,
                             (double)(clock_monotonic_ms() - action->began_ms) / 1000,
                             has_succeeded ? "succeeded" : "failed", reason, members);
}

int action_main(const char *program, int (*run)(Action *action, Error *err))
{
    _cleanup_action_ Action action = ACTION_INIT;
    _cleanup_error_ Error err = {0};
    int r;

    log_open(program);
    action_protect();
    (void)signal(SIGPIPE, SIG_IGN);
    action.began_ms = clock_monotonic_ms();
    r = action_open(&action, &err);
    r = r == 0 ? run(&action, &err) : r;
    if (r < 0) {
        log_error("%s", error_text(&err));
        if (action.report.fd >= 0 && report_reason(&action.report, error_text(&err), -1) < 0) {
            log_error("the reason cannot be reported");
        }
    }
    if (action.spec.root) {
        record_end(&action, r == 0, r < 0 ? error_text(&err) : action.reason);
    }
    return r == 0 ? ACTION_SUCCEEDED : ACTION_FAILED;
}
