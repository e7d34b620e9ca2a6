/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/deploy-verb.h"

#include "agent/deploy/kept-package.h"
#include "agent/deploy/template.h"
#include "agent/runners/deploy/deploy-call.h"
#include "agent/runners/deploy/deploy-evidence.h"
#include "agent/runners/deploy/deploy-package.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* ---- deploy: the package ----------------------------------------------------------------------
 */

/* Brings the package here as the content of a new release, checked and, where the engine wants
 * files, unpacked. */
static int unpack(DeployCall *call, unsigned *ret_number, KeptPackage *package, Error *err)
{
    _cleanup_fd_ int fd = -1;
    int r = deploy_package_open(call->spec, &fd, err);

    if (r != 0) {
        return r == DEPLOY_PACKAGE_MISSING ? DEPLOY_CALL_REFUSED : r;
    }
    r = report_phase(call->report, "unpack", NULL);
    r = r < 0 ? error_set_errno(err, r, "cannot report")
              : releases_make(&call->releases, ret_number, err);
    r = r < 0 ? r : kept_package_unpack(&call->releases, *ret_number, fd, package, err);
    if (r == KEPT_PACKAGE_BAD) {
        return DEPLOY_CALL_REFUSED;
    }
    if (r == 0 && call->engine->needs_root) {
        r = kept_package_unpack_root(&call->releases, *ret_number, package, err);
    }
    return r;
}

/* ---- deploy: the specification ----------------------------------------------------------------
 */

/* Fills the template; `root` (may be NULL) takes the place of the package's own. */
static int fill(DeployCall *call, const KeptPackage *package, const char *root, Json **ret,
                Error *err)
{
    _cleanup_buffer_ Buffer template = BUFFER_INIT(0);
    _cleanup_json_ Json *own = NULL;
    const char *file = NULL;
    TemplateNames names = {
        .environment = json_get(call->spec->environment, "variables"),
        .call = json_get(call->spec->parameters, "variables"),
    };
    int r = kept_package_names(package, call->spec->environment_name, call->spec->call, &own, err);

    if (r == 0 && root && json_set_string(own, "root", root) < 0) {
        r = error_set(err, -ENOMEM, "out of memory");
    }
    r = r < 0 ? r
              : kept_package_read_template(package, call->engine->default_template, &template,
                                           &file, err);
    names.own = own;
    r = r < 0 ? r : template_fill(buffer_text(&template), template.len, &names, ret, err);
    if (r == -EINVAL) {
        return error_wrap(err, "%s", file ? file : "the engine's default template");
    }
    return r;
}

static int plan(DeployCall *call, const KeptPackage *package, const char *root, EnginePlan *ret,
                Error *err)
{
    _cleanup_json_ Json *specification = NULL;
    EngineLabels labels = {
        .digest = package->release.digest,
        .commit = package->release.commit,
        .version = package->release.version,
    };
    int r = fill(call, package, root, &specification, err);

    return r < 0 ? r : deploy_plan(&call->deploy, specification, &labels, ret, err);
}

/* What a deploy would ask for if the package had been unpacked as `release` was: the same bytes in
 * another directory are no change. False where the bytes are others. */
static int plan_as(DeployCall *call, const KeptPackage *package, const KeptRelease *release,
                   bool *ret_is_comparable, EnginePlan *ret, Error *err)
{
    char name[RELEASES_NAME_SIZE];
    _cleanup_free_ char *root = NULL;

    *ret_is_comparable =
        is_same(json_get_string(release->record, "digest"), package->release.digest);
    if (!*ret_is_comparable) {
        return 0;
    }
    if (asprintf(&root, "%s/%s/" RELEASES_ROOT, call->releases.path,
                 releases_name(releases_content_number(release), name)) < 0) {
        root = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return plan(call, package, call->engine->needs_root ? root : NULL, ret, err);
}

static int is_wanted(DeployCall *call, const KeptRelease *release, void *userdata, bool *ret,
                     Error *err)
{
    const KeptPackage *package = userdata;
    _cleanup_engine_plan_ EnginePlan planned = {0};
    _cleanup_json_ Json *filled = NULL;
    int r = plan_as(call, package, release, ret, &planned, err);

    if (r < 0 || !*ret) {
        return r;
    }
    r = releases_read_file(&call->releases, release->number, RELEASES_FILLED, &filled, err);
    *ret = r == 0 && json_equal(filled, planned.specification);
    return r;
}

/* ---- deploy -----------------------------------------------------------------------------------
 */

static int add_release(DeployCall *call, unsigned number, const KeptPackage *package,
                       const EnginePlan *planned, Error *err)
{
    const Release *release = &package->release;
    Json *record = NULL;
    int r =
        releases_write_file(&call->releases, number, RELEASES_FILLED, planned->specification, err);

    r = r < 0 ? r : deploy_call_new_record(call, "deploy", number, planned->app, &record, err);
    if (r < 0) {
        return r;
    }
    r = json_set_string(record, "name", release->name);
    r = r < 0 ? r : json_set_string(record, "digest", release->digest);
    r = r < 0 ? r : json_set_string(record, "version", release->version);
    r = r < 0 ? r : json_set_string(record, "commit", release->commit);
    r = r < 0 ? r : json_set_string(record, "repository", release->repository);
    r = r < 0 ? r : json_set_string(record, "ref", release->ref);
    r = r < 0 ? r : json_set_string(record, "subject", release->subject);
    r = r < 0 ? r : json_set_string(record, "template", release->template);
    r = r < 0 ? r : json_set_int(record, "committedAt", release->committed_at);
    if (r < 0) {
        (void)json_unref(record);
        return error_set(err, r, "out of memory");
    }
    return releases_add_take(&call->releases, number, record, NULL, err);
}

/* 1: the engine runs exactly that already, and it is confirmed; 0: it does not. */
static int confirm_unchanged(DeployCall *call, const KeptPackage *package,
                             const EngineCurrent *current, Error *err)
{
    const KeptRelease *running = releases_find_running(&call->releases, current);
    _cleanup_engine_plan_ EnginePlan planned = {0};
    bool is_comparable = false;
    int r;

    if (!running) {
        return 0;
    }
    r = plan_as(call, package, running, &is_comparable, &planned, err);
    if (r < 0 || !is_comparable || !planned.is_unchanged) {
        return r;
    }
    r = deploy_call_confirm(call, planned.app, running->record, err);
    return r < 0 ? r : 1;
}

static int deploy_new(DeployCall *call, unsigned number, const KeptPackage *package, Error *err)
{
    _cleanup_engine_current_ EngineCurrent current = {0};
    _cleanup_engine_plan_ EnginePlan planned = {0};
    int r = plan(call, package, NULL, &planned, err);
    bool is_first;

    r = r < 0 ? r : deploy_call_current(call, planned.app, &current, err);
    if (r < 0) {
        return r;
    }
    is_first = r == DEPLOY_ABSENT;
    r = is_first ? 0 : confirm_unchanged(call, package, &current, err);
    if (r != 0) {
        return MIN(r, 0);
    }
    deploy_call_say_difference(planned.before ? planned.before : current.specification,
                               planned.specification);
    r = add_release(call, number, package, &planned, err);
    return r < 0 ? r : deploy_call_run(call, number, is_first ? NULL : &current, err);
}

static int deploy(DeployCall *call, Error *err)
{
    _cleanup_kept_package_ KeptPackage package = KEPT_PACKAGE_INIT;
    unsigned number = 0;
    int r = unpack(call, &number, &package, err);

    if (r == 0) {
        (void)printf("%s %s, commit %s\n%s\n", package.release.name, package.release.version,
                     package.release.commit ? package.release.commit : "unknown",
                     package.release.digest);
        r = deploy_evidence_decide(call, &package, err);
    }
    r = r != 0 ? r : deploy_call_settle(call, is_wanted, &package, err);
    r = r != 0 ? r : deploy_evidence_use_approval(call, err);
    r = r != 0 ? r : deploy_new(call, number, &package, err);
    if (number > 0 && !releases_find(&call->releases, number) &&
        releases_remove(&call->releases, number, NULL) < 0) {
        (void)printf("what was unpacked could not be removed; the next deploy will\n");
    }
    return r;
}

int deploy_verb_run(const Spec *spec, Report *report)
{
    _cleanup_deploy_call_ DeployCall call = {0};
    _cleanup_error_ Error err = {0};
    int r = deploy_call_begin(spec, report, &call, &err);

    r = r != 0 ? r : deploy(&call, &err);
    return deploy_call_end(&call, r, &err);
}

/* ---- rollback ---------------------------------------------------------------------------------
 */

static int is_wanted_back(DeployCall *call, const KeptRelease *release, void *userdata, bool *ret,
                          Error *err)
{
    const char *to = json_get_string(call->spec->parameters, "to");

    *ret = is_same(json_get_string(release->record, "kind"), "rollback") &&
           (!to || releases_is_meant(release, to));
    return 0;
}

/* The app that this environment is known by here. */
static const char *known_app(const DeployCall *call)
{
    const Releases *releases = &call->releases;

    return releases->count > 0 ? json_get_string(releases->items[releases->count - 1].record, "app")
                               : NULL;
}

static int find_target(DeployCall *call, KeptRelease **ret, Error *err)
{
    const char *to = json_get_string(call->spec->parameters, "to"), *app = known_app(call);
    _cleanup_engine_current_ EngineCurrent current = {0};
    const KeptRelease *running = NULL;
    int r = app ? deploy_call_current(call, app, &current, err) : DEPLOY_ABSENT;

    if (r < 0) {
        return r;
    }
    running = r == 0 ? releases_find_running(&call->releases, &current) : NULL;
    r = releases_find_target(&call->releases, running, to, ret, err);
    return r == -ENOENT || r == -ENOTUNIQ ? DEPLOY_CALL_REFUSED : r;
}

static int add_rollback(DeployCall *call, const KeptRelease *target, const EnginePlan *planned,
                        unsigned *ret_number, Error *err)
{
    static const char *const kept[] = {"name", "digest",  "version",  "commit",     "repository",
                                       "ref",  "subject", "template", "committedAt"};
    Json *record = NULL;
    int r = releases_make(&call->releases, ret_number, err);

    r = r < 0 ? r
              : releases_write_file(&call->releases, *ret_number, RELEASES_FILLED,
                                    planned->specification, err);
    r = r < 0 ? r
              : deploy_call_new_record(call, "rollback", *ret_number, planned->app, &record, err);
    if (r < 0) {
        return r;
    }
    r = json_set_int(record, "of", releases_content_number(target));
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kept); i++) {
        Json *value = json_get(target->record, kept[i]);

        r = value ? json_set_take(record, kept[i], json_ref(value)) : 0;
    }
    if (r < 0) {
        (void)json_unref(record);
        return error_set(err, r, "out of memory");
    }
    return releases_add_take(&call->releases, *ret_number, record, NULL, err);
}

static int plan_back(DeployCall *call, const KeptRelease *target, EnginePlan *ret, Error *err)
{
    _cleanup_json_ Json *filled = NULL;
    EngineLabels labels = {
        .digest = json_get_string(target->record, "digest"),
        .commit = json_get_string(target->record, "commit"),
        .version = json_get_string(target->record, "version"),
    };
    int r = releases_read_file(&call->releases, releases_content_number(target), RELEASES_FILLED,
                               &filled, err);

    return r < 0 ? r : deploy_plan(&call->deploy, filled, &labels, ret, err);
}

static int rollback(DeployCall *call, Error *err)
{
    _cleanup_engine_current_ EngineCurrent current = {0};
    _cleanup_engine_plan_ EnginePlan planned = {0};
    KeptRelease *target = NULL;
    unsigned number = 0;
    bool is_first;
    int r = deploy_call_settle(call, is_wanted_back, NULL, err);

    r = r != 0 ? r : find_target(call, &target, err);
    r = r != 0 ? r : deploy_evidence_decide_rollback(call, target->record, err);
    r = r != 0 ? r : plan_back(call, target, &planned, err);
    if (r != 0) {
        return r;
    }
    r = deploy_call_current(call, planned.app, &current, err);
    if (r < 0) {
        return r;
    }
    is_first = r == DEPLOY_ABSENT;
    (void)printf("going back to release %06u: version %s, %s\n", target->number,
                 json_get_string(target->record, "version"),
                 json_get_string(target->record, "digest"));
    if (planned.is_unchanged) {
        return deploy_call_confirm(call, planned.app, target->record, err);
    }
    deploy_call_say_difference(planned.before ? planned.before : current.specification,
                               planned.specification);
    r = add_rollback(call, target, &planned, &number, err);
    return r < 0 ? r : deploy_call_run(call, number, is_first ? NULL : &current, err);
}

int rollback_verb_run(const Spec *spec, Report *report)
{
    _cleanup_deploy_call_ DeployCall call = {0};
    _cleanup_error_ Error err = {0};
    int r = deploy_call_begin(spec, report, &call, &err);

    r = r != 0 ? r : rollback(&call, &err);
    return deploy_call_end(&call, r, &err);
}
