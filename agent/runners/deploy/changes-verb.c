/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/changes-verb.h"

#include "agent/deploy/changes.h"
#include "agent/runners/action.h"
#include "agent/source/mirror.h"
#include "agent/source/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What git may say; a change that needs more is not one that anybody reads. */
#define LOG_MAX ((size_t)16 << 20)
#define FILES_MAX ((size_t)32 << 20)
#define CONFIGURATION_MAX ((size_t)1 << 20)
#define SLIPWAY_JSON_MAX ((size_t)1 << 20)

/* Before the first release, how far the log goes. */
#define FIRST_COMMITS "--max-count=20"
/* Nobody counts further; beyond it the counts say at least this many. */
#define LOG_COMMITS "--max-count=20000"

typedef struct ChangesCall {
    const Spec *spec;

    /* where the commits are */
    SourceRequest request;
    Confine confine; /* for git: what a step left in the workspace runs in there */
    Source source;
    Git git;
    Mirror mirror;
    const char *repository; /* a directory with the objects; NULL: there is no history */
    const char *to;
    char *to_version;

    const Running *running;

    Buffer coming;
    Buffer going;
    Buffer files;
    Buffer configuration;
} ChangesCall;

static void changes_call_done(ChangesCall *call)
{
    confine_done(&call->confine);
    source_done(&call->source);
    mirror_done(&call->mirror);
    git_done(&call->git);
    free(call->to_version);
    buffer_done(&call->coming);
    buffer_done(&call->going);
    buffer_done(&call->files);
    buffer_done(&call->configuration);
}

/* ---- where the commits are --------------------------------------------------------------------
 */

static int open_mirror(ChangesCall *call, Error *err)
{
    int r = git_open(call->request.git, &call->git, err);

    call->git.confine = call->request.confine;
    call->to = call->request.commit;
    r = r < 0 ? r
              : mirror_open(call->spec->cache_directory, &call->git, call->to, &call->mirror, err);
    r = r < 0 ? r : mirror_fetch(&call->mirror, call->to, call->request.ref, err);
    r = r < 0 ? r : mirror_describe(&call->mirror, call->to, &call->to_version, err);
    call->repository = r < 0 ? NULL : call->mirror.directory;
    return r;
}

/* What an earlier call of the run brought, or an input: its files are there, its history perhaps.
 */
static int open_workspace(ChangesCall *call, Error *err)
{
    const char *commit = json_get_string(call->spec->parameters, "commit");
    int r = source_bring(&call->request, &call->source, err);

    if (r < 0) {
        return r;
    }
    call->to = commit ? commit : call->source.commit;
    if (!call->to) {
        return error_set(
            err, -EINVAL,
            "the source says no commit, so there is nothing to compare with what runs");
    }
    call->to_version = commit ? NULL : strdup(call->source.version);
    r = git_open(call->source.repository ? call->source.repository : call->spec->workspace,
                 &call->git, err);
    if (r < 0) {
        return r;
    }
    call->git.confine = call->request.confine;
    r = git_try(&call->git, call->spec->workspace, GIT_ARGUMENTS("rev-parse", "--git-dir"), NULL,
                NULL);
    call->repository = r == 0 ? call->spec->workspace : NULL;
    return MIN(r, 0);
}

static int open_source(ChangesCall *call, const SourceRequest *source, Error *err)
{
    int r = 0;

    call->request = source ? *source : (SourceRequest){0};
    call->request.workspace = call->spec->workspace;
    call->request.cache_directory = call->spec->cache_directory;
    call->request.inputs_directory = call->spec->inputs_directory;
    r = source ? 0 : source_request_read(call->spec->parameters, &call->request, err);
    r = r < 0 ? r : action_confine(call->spec, CONFINED_GIT, &call->confine, err);
    if (r < 0) {
        return r;
    }
    call->request.confine = r > 0 ? &call->confine : NULL;
    return call->request.git && call->request.commit ? open_mirror(call, err)
                                                     : open_workspace(call, err);
}

/* ---- what lies between ------------------------------------------------------------------------
 */

static bool has_commit(const ChangesCall *call, const char *commit)
{
    _cleanup_free_ char *object = NULL;

    if (!git_is_full_commit(commit) || asprintf(&object, "%s^{commit}", commit) < 0) {
        object = NULL;
        return false;
    }
    return git_try(&call->git, call->repository, GIT_ARGUMENTS("cat-file", "-e", object), NULL,
                   NULL) == 0;
}

/* The mirror may not have it yet: it ran before this host ever saw the repository. */
static bool find_commit(ChangesCall *call, const char *commit)
{
    _cleanup_error_ Error problem = {0};

    if (!call->repository || !git_is_full_commit(commit)) {
        return false;
    }
    if (has_commit(call, commit)) {
        return true;
    }
    return call->mirror.directory && mirror_fetch(&call->mirror, commit, NULL, &problem) == 0;
}

static bool is_ancestor(const ChangesCall *call, const char *a, const char *b)
{
    return git_try(&call->git, call->repository, GIT_ARGUMENTS("merge-base", "--is-ancestor", a, b),
                   NULL, NULL) == 0;
}

static ChangesRelation find_relation(ChangesCall *call)
{
    const char *from = running_commit(call->running);

    if (!call->running->is_running) {
        return CHANGES_FIRST;
    }
    if (from && strcmp(from, call->to) == 0) {
        return CHANGES_SAME;
    }
    if (!from || !find_commit(call, from) || !has_commit(call, call->to)) {
        return CHANGES_UNKNOWN;
    }
    if (is_ancestor(call, from, call->to)) {
        return CHANGES_FORWARD;
    }
    return is_ancestor(call, call->to, from) ? CHANGES_BACK : CHANGES_APART;
}

/* `git log` of what `to` has and `from` (NULL: nothing) has not. */
static int read_log(const ChangesCall *call, const char *from, const char *to, Buffer *ret,
                    Error *err)
{
    _cleanup_free_ char *not_from = NULL;

    ret->limit = LOG_MAX;
    if (!from) {
        return git_run(
            &call->git, call->repository,
            GIT_ARGUMENTS("log", FIRST_COMMITS, "--format=" CHANGES_LOG_FORMAT, to, "--"), ret,
            err);
    }
    if (asprintf(&not_from, "^%s", from) < 0) {
        not_from = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return git_run(
        &call->git, call->repository,
        GIT_ARGUMENTS("log", LOG_COMMITS, "--format=" CHANGES_LOG_FORMAT, to, not_from, "--"), ret,
        err);
}

/* The deploy template that the commit's slipway.json names; NULL. The caller's. */
static char *find_template(const ChangesCall *call)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(SLIPWAY_JSON_MAX);
    _cleanup_free_ char *object = NULL;
    _cleanup_json_ Json *config = NULL;
    const char *name;

    if (asprintf(&object, "%s:slipway.json", call->to) < 0) {
        object = NULL;
        return NULL;
    }
    if (git_try(&call->git, call->repository, GIT_ARGUMENTS("cat-file", "blob", object), &text,
                NULL) != 0 ||
        json_parse(buffer_text(&text), text.len, &config, NULL) < 0) {
        return NULL;
    }
    name = json_get_string(json_get(config, "deploy"), "template");
    return name ? strdup(name) : NULL;
}

/* Paths are taken as they are written (`:(literal)`), so that no name of the repository's is a
 * pattern. */
static int read_configuration(ChangesCall *call, Error *err)
{
    _cleanup_free_ char *template = find_template(call), *path = NULL;

    if (asprintf(&path, ":(literal)%s", template ? template : "deploy") < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    call->configuration.limit = CONFIGURATION_MAX;
    return git_run(&call->git, call->repository,
                   GIT_ARGUMENTS("diff", "--unified=0", "--no-color", "--no-ext-diff",
                                 "--no-textconv", "--no-renames", running_commit(call->running),
                                 call->to, "--", "slipway.json", path),
                   &call->configuration, err);
}

static int read_between(ChangesCall *call, Error *err)
{
    const char *from = running_commit(call->running);
    int r;

    call->files.limit = FILES_MAX;
    r = read_log(call, from, call->to, &call->coming, err);
    r = r < 0 ? r : read_log(call, call->to, from, &call->going, err);
    r = r < 0 ? r
              : git_run(&call->git, call->repository,
                        GIT_ARGUMENTS("diff", "--numstat", "-z", "--no-renames", "--no-ext-diff",
                                      "--no-textconv", from, call->to, "--"),
                        &call->files, err);
    return r < 0 ? r : read_configuration(call, err);
}

/* ---- together ---------------------------------------------------------------------------------
 */

static ChangesBytes bytes_of(const Buffer *buffer)
{
    return (ChangesBytes){buffer_text(buffer), buffer->len};
}

static int describe(ChangesCall *call, Json **ret, Error *err)
{
    ChangesRelation relation = find_relation(call);
    ChangesFacts facts = {
        .environment = call->spec->environment_name,
        .relation = relation,
        .from_commit = running_commit(call->running),
        .from_version = running_version(call->running),
        .to_commit = call->to,
        .to_version = call->to_version,
        .variables_then =
            call->running->release ? json_get(call->running->release->record, "variables") : NULL,
        .variables_now = json_get(call->spec->environment, "variables"),
    };
    int r = 0;

    if (relation == CHANGES_FORWARD || relation == CHANGES_BACK || relation == CHANGES_APART) {
        r = read_between(call, err);
    } else if (relation != CHANGES_SAME && call->repository) {
        r = read_log(call, NULL, call->to, &call->coming, err);
    }
    if (r < 0) {
        return r;
    }
    facts.coming = bytes_of(&call->coming);
    facts.going = bytes_of(&call->going);
    facts.files = bytes_of(&call->files);
    facts.configuration = bytes_of(&call->configuration);
    return changes_describe(&facts, ret, err);
}

/* `source` (may be NULL: what the call's parameters say) is where the commits are. */
static int compute(const Spec *spec, const SourceRequest *source, const Running *running,
                   Json **ret, Error *err)
{
    ChangesCall call = {
        .spec = spec,
        .running = running,
        .confine = CONFINE_INIT,
        .git = GIT_INIT,
        .mirror = MIRROR_INIT,
    };
    int r = open_source(&call, source, err);

    r = r < 0 ? r : describe(&call, ret, err);
    changes_call_done(&call);
    return r;
}

int changes_compute(const Spec *spec, const char *repository, const char *commit, const char *ref,
                    const Running *running, Json **ret, Error *err)
{
    SourceRequest source = {.git = repository, .commit = commit, .ref = ref};

    return compute(spec, &source, running, ret, err);
}

/* ---- the verb ---------------------------------------------------------------------------------
 */

static int report_all(Report *report, const Json *outputs, Error *err)
{
    int r = 0;

    for (JsonMember m = {0}; r == 0 && json_next_member(outputs, &m);) {
        r = report_output_take(report, m.name, json_ref(m.value));
    }
    if (r < 0) {
        return error_set_errno(err, r, "cannot report the outputs");
    }
    (void)printf("%s\n", json_get_string(outputs, "text"));
    (void)fflush(stdout);
    return 0;
}

static int run(const Spec *spec, Report *report, Error *err)
{
    _cleanup_running_ Running running = RUNNING_INIT;
    _cleanup_json_ Json *outputs = NULL;
    int r;

    if (!spec->environment_name || !spec->releases_directory) {
        return error_set(err, -EINVAL, "the action '%s' has no environment to work on",
                         spec->action);
    }
    r = running_ask(spec, report, &running, err);
    r = r < 0 ? r : compute(spec, NULL, &running, &outputs, err);
    return r < 0 ? r : report_all(report, outputs, err);
}

int changes_verb_run(const Spec *spec, Report *report)
{
    _cleanup_error_ Error err = {0};
    int r = run(spec, report, &err);

    if (r < 0) {
        (void)fprintf(stderr, "%s\n", error_text(&err));
        r = MIN(report_reason(report, error_text(&err), -1), r);
    }
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
