/* SPDX-License-Identifier: MIT */
/* Plain hosts over SSH: agent/deploy/README.md, "The ssh engine".
 *
 *     apply   A → each host: put, reuse or receive    nothing that runs is
 * touched A → each host: lock A → canary:    accept                                     from here
 * on it is a deployment poll    A → each host: status; then whatever ssh-rollout.h finds to do
 *     cancel  A → canary:    verdict cancelled */
#include "agent/deploy/engine.h"
#include "agent/deploy/engines/ssh/ssh-health.h"
#include "agent/deploy/engines/ssh/ssh-rollout.h"
#include "agent/deploy/engines/ssh/ssh-upload.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Shorter than the policy waits for an engine that is busy: what was killed before it began is in
 * nobody's way for long. */
#define APPLY_LEASE_SECONDS 20
#define AGENT_NAME_MAX 64

struct EngineSession {
    const Json *environment;
    SshRemote *remotes;
    size_t n_remotes;
    char agent[AGENT_NAME_MAX]; /* for locks */
    SshUpload upload;
    char *deployment; /* that was asked about last, and: */
    SshService *service;
    bool may_switch;
};

/* ---- opening ----------------------------------------------------------------------------------
 */

static EngineSession *ssh_close(EngineSession *session)
{
    for (size_t i = 0; session && i < session->n_remotes; i++) {
        ssh_remote_done(&session->remotes[i]);
    }
    if (session) {
        ssh_upload_done(&session->upload);
        session->service = ssh_service_free(session->service);
        free(session->deployment);
        free(session->remotes);
        free(session);
    }
    return NULL;
}
DEFINE_CLEANUP(EngineSession, ssh_close)

static void name_agent(char name[static AGENT_NAME_MAX])
{
    if (gethostname(name, AGENT_NAME_MAX) < 0) {
        (void)snprintf(name, AGENT_NAME_MAX, "agent");
    }
    name[AGENT_NAME_MAX - 1] = '\0';
    for (char *c = name; *c; c++) {
        *c = isalnum((unsigned char)*c) || *c == '.' || *c == '-' ? *c : '_';
    }
}

/* Twice the same host would wait for itself. */
static int check_distinct(const EngineSession *session, Error *err)
{
    for (size_t i = 0; i < session->n_remotes; i++) {
        for (size_t k = 0; k < i; k++) {
            const SshAddress *a = &session->remotes[i].address, *b = &session->remotes[k].address;

            if (strcmp(a->host, b->host) == 0 && a->port == b->port) {
                return error_set(err, -EINVAL, "`hosts` has '%s' twice", a->host);
            }
        }
    }
    return 0;
}

static int open_remotes(EngineSession *session, const Json *hosts, const char *config, Error *err)
{
    size_t n = json_length(hosts);

    session->remotes = calloc(n, sizeof(*session->remotes));
    if (!session->remotes) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (; session->n_remotes < n; session->n_remotes++) {
        const char *name = json_as_string(json_at(hosts, session->n_remotes));
        int r = name ? ssh_remote_init(name, config, &session->remotes[session->n_remotes], err)
                     : error_set(err, -EINVAL, "`hosts` has what is no text");

        if (r < 0) {
            return r;
        }
    }
    return check_distinct(session, err);
}

static int ssh_open(const Json *environment, EngineSession **ret, Error *err)
{
    _cleanup_(ssh_closep) EngineSession *session = calloc(1, sizeof(*session));
    const Json *hosts = json_get(environment, "hosts");
    int r;

    if (!session) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    session->upload = SSH_UPLOAD_INIT;
    session->environment = environment;
    name_agent(session->agent);
    if (json_length(hosts) == 0) {
        return error_set(err, -EINVAL,
                         "the environment has no `hosts`; for the ssh engine they are an array of "
                         "\"USER@HOST\" or \"ssh://USER@HOST:PORT\"");
    }
    r = open_remotes(session, hosts, json_get_string(environment, "sshConfig"), err);
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(session);
    return 0;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

/* A positive answer as the engine's own. */
static int answer_of(int r)
{
    return r == SSH_REMOTE_AWAY   ? ENGINE_AWAY
           : r == SSH_REMOTE_BUSY ? ENGINE_BUSY
           : r > 0                ? -EREMOTEIO
                                  : r;
}

/* Within a verb there always is an error to write to, also where nobody asked for it. */
static int hand_over(int r, Error *from, Error *to)
{
    if (to && from->code < 0 && r != 0) {
        error_done(to);
        *to = *from;
        *from = (Error){0};
    }
    return r;
}

static int base_of(const char *app, const char **ret, Error *err)
{
    *ret = ssh_service_base_of(app);
    return *ret ? 0 : error_set(err, -EINVAL, "'%s' is no app of the ssh engine: ID:BASE", app);
}

static SshRollout rollout_of(EngineSession *session, const char *base, const char *deployment)
{
    return (SshRollout){
        .remotes = session->remotes,
        .n_remotes = session->n_remotes,
        .base = base,
        .deployment = deployment,
        .agent = session->agent,
        .service = session->service,
        .may_switch = session->may_switch,
    };
}

/* All must answer. */
static int ask_all(EngineSession *session, const char *base, const char *deployment, Error *err)
{
    for (size_t i = 0; i < session->n_remotes; i++) {
        int r = ssh_remote_ask(&session->remotes[i], base, deployment, 0, session->agent, err);

        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int do_simple(EngineSession *session, SshRemote *remote, const char *verb, const char *base,
                     const char *deployment, Error *err)
{
    return ssh_remote_do(
        remote, &(SshRemoteVerb){.name = verb, .base = base, .deployment = deployment}, NULL, err);
}

/* What a session remembers of a deployment is of that one alone. */
static int turn_to(EngineSession *session, const char *deployment, Error *err)
{
    if (session->deployment && strcmp(session->deployment, deployment) == 0) {
        return 0;
    }
    free(session->deployment);
    session->deployment = strdup(deployment);
    session->service = ssh_service_free(session->service);
    session->may_switch = false;
    for (size_t i = 0; i < session->n_remotes; i++) {
        session->remotes[i].passes = 0;
        session->remotes[i].checked_at_ms = 0;
    }
    return session->deployment ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* ---- current ----------------------------------------------------------------------------------
 */

static int copy_text(const char *text, char **ret)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy) {
        return -ENOMEM;
    }
    *ret = copy;
    return 0;
}

/* What serves, and what is on its way to: while a deployment is not decided, or is taken back,
 * what ran before is what serves. */
static int find_serving(EngineSession *session, const char *base, EngineCurrent *ret, Error *err)
{
    SshRemote *canary = &session->remotes[0];
    _cleanup_free_ char *owner = NULL;
    const SshRemoteStatus *status = &canary->status;
    int r = 0;

    if (ssh_remote_is_locked(status)) {
        r = copy_text(status->lock_owner, &owner);
        r = r < 0 ? error_set(err, r, "out of memory")
                  : ssh_remote_ask(canary, base, owner, 0, session->agent, err);
        if (r != 0) {
            return r;
        }
    }
    if (owner && status->is_accepted &&
        !(status->verdict && strcmp(status->verdict, "succeeded") == 0)) {
        r = copy_text(owner, &ret->next);
        r = r < 0 ? r
                  : copy_text(status->has_before ? status->before : status->current,
                              &ret->deployment);
        return r < 0 ? error_set(err, r, "out of memory") : 0;
    }
    for (size_t i = 0; r == 0 && !ret->deployment && i < session->n_remotes; i++) {
        r = copy_text(session->remotes[i].status.current, &ret->deployment);
    }
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

static bool serves(const SshRemote *remote, const char *deployment)
{
    return remote->status.current && strcmp(remote->status.current, deployment) == 0;
}

static int count_host(SshRemote *remote, const char *base, EngineCurrent *ret, Error *err)
{
    _cleanup_(ssh_service_freep) SshService *service = NULL;
    _cleanup_error_ Error why = {0};
    int r;

    if (!serves(remote, ret->deployment)) {
        ret->counts.old += remote->status.current != NULL;
        return 0;
    }
    ret->counts.updated++;
    r = ssh_service_from_json(remote->status.current_specification, &service, &why);
    r = r < 0 ? r : ssh_health_check(remote, base, service, false, &why);
    ret->counts.healthy += r == 0;
    return r == SSH_REMOTE_AWAY || r == -ENOMEM ? hand_over(r, &why, err) : 0;
}

static int read_specification(EngineSession *session, const char *app, EngineCurrent *ret,
                              Error *err)
{
    const Json *specification = NULL, *labels;
    const char *id;
    int r;

    for (size_t i = 0; !specification && i < session->n_remotes; i++) {
        specification = serves(&session->remotes[i], ret->deployment)
                            ? session->remotes[i].status.current_specification
                            : NULL;
    }
    id = json_get_string(specification, "id");
    if (id && (strncmp(id, app, strlen(id)) != 0 || app[strlen(id)] != ':')) {
        return error_set(err, -EINVAL, "'%s' is the base of another app, '%s'",
                         ssh_service_base_of(app), id);
    }
    labels = json_get(specification, "labels");
    r = copy_text(json_get_string(labels, ENGINE_LABEL_DIGEST), &ret->digest);
    r = r < 0 ? r : copy_text(json_get_string(labels, ENGINE_LABEL_COMMIT), &ret->commit);
    r = r < 0 ? r : copy_text(json_get_string(labels, ENGINE_LABEL_VERSION), &ret->version);
    r = r < 0 ? r : copy_text(json_get_string(session->environment, "url"), &ret->url);
    r = r < 0 || !specification ? r : json_copy(specification, &ret->specification);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

/* Whether it is well there is asked only where somebody wants to know. */
static int find_current(EngineSession *session, const char *app, bool is_counted,
                        EngineCurrent *ret, Error *err)
{
    const char *base = ssh_service_base_of(app);
    int r = base ? ask_all(session, base, NULL, err) : 0;

    r = r != 0 || !base ? r : find_serving(session, base, ret, err);
    if (r != 0 || !ret->deployment) {
        return r != 0 ? answer_of(r) : ENGINE_ABSENT;
    }
    ret->counts.wanted = (int64_t)session->n_remotes;
    for (size_t i = 0; is_counted && r == 0 && i < session->n_remotes; i++) {
        r = count_host(&session->remotes[i], base, ret, err);
    }
    r = r != 0 ? r : read_specification(session, app, ret, err);
    return answer_of(r);
}

static int ssh_current(EngineSession *session, const char *app, EngineCurrent *ret, Error *err)
{
    _cleanup_error_ Error problem = {0};

    return hand_over(find_current(session, app, true, ret, &problem), &problem, err);
}

/* ---- plan -------------------------------------------------------------------------------------
 */

/* The labels that the template has for itself stay; ours are put among them. */
static int add_labels(Json *specification, const EngineLabels *wanted)
{
    int r = json_has(specification, "labels")
                ? 0
                : json_set_take(specification, "labels", json_new_object());
    Json *labels = json_get(specification, "labels");

    r = r < 0 ? r : json_set_string(labels, ENGINE_LABEL_DIGEST, wanted->digest);
    r = r < 0 ? r : json_set_string(labels, ENGINE_LABEL_COMMIT, wanted->commit);
    return r < 0 ? r : json_set_string(labels, ENGINE_LABEL_VERSION, wanted->version);
}

/* Every host is at the same deployment, and that is exactly this. */
static bool runs_everywhere(const EngineSession *session, const Json *specification)
{
    const char *deployment = session->remotes[0].status.current;

    for (size_t i = 0; i < session->n_remotes; i++) {
        const SshRemoteStatus *status = &session->remotes[i].status;

        if (!deployment || !serves(&session->remotes[i], deployment) ||
            !status->current_specification ||
            !json_equal(status->current_specification, specification)) {
            return false;
        }
    }
    return true;
}

static int make_plan(EngineSession *session, const Json *specification, const EngineLabels *labels,
                     EnginePlan *ret, Error *err)
{
    _cleanup_(ssh_service_freep) SshService *service = NULL;
    _cleanup_engine_current_ EngineCurrent current = {0};
    _cleanup_buffer_ Buffer app = BUFFER_INIT(0);
    int r = ssh_service_from_json(specification, &service, err);

    if (r < 0) {
        return r;
    }
    r = ssh_service_append_app(service, &app);
    r = r < 0 ? r : json_copy(specification, &ret->specification);
    r = r < 0 ? r : add_labels(ret->specification, labels);
    r = r < 0 ? r : copy_text(buffer_text(&app), &ret->app);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = find_current(session, ret->app, false, &current, err);
    ret->is_unchanged = r == 0 && !current.next && runs_everywhere(session, ret->specification);
    return r == ENGINE_ABSENT ? 0 : r;
}

static int ssh_plan(EngineSession *session, const Json *specification, const EngineLabels *labels,
                    EnginePlan *ret, Error *err)
{
    _cleanup_error_ Error problem = {0};

    return hand_over(make_plan(session, specification, labels, ret, &problem), &problem, err);
}

/* ---- apply ------------------------------------------------------------------------------------
 */

/* It did not begin: nothing of it stays, as far as hosts can be reached. */
static void drop(EngineSession *session, const char *base, const char *deployment)
{
    for (size_t i = 0; i < session->n_remotes; i++) {
        _cleanup_error_ Error ignored = {0};

        (void)do_simple(session, &session->remotes[i], "drop", base, deployment, &ignored);
    }
}

static int check_free(const EngineSession *session, const char *deployment, Error *err)
{
    for (size_t i = 0; i < session->n_remotes; i++) {
        const SshRemote *remote = &session->remotes[i];

        if (ssh_remote_is_locked(&remote->status) &&
            strcmp(remote->status.lock_owner, deployment) != 0) {
            (void)error_set(err, -EBUSY, "%s: deployment '%s' is under way there", remote->name,
                            remote->status.lock_owner);
            return SSH_REMOTE_BUSY;
        }
    }
    return 0;
}

static int stage(EngineSession *session, const char *deployment, Error *err)
{
    for (size_t i = 0; i < session->n_remotes; i++) {
        int r = ssh_upload_stage(&session->upload, &session->remotes[i], session->service,
                                 deployment, err);

        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int begin(EngineSession *session, const char *base, const char *deployment, Error *err)
{
    char seconds[24];
    const char *arguments[] = {seconds, session->agent};
    SshRemoteVerb lock = {
        .name = "lock",
        .base = base,
        .deployment = deployment,
        .arguments = arguments,
        .n_arguments = ARRAY_SIZE(arguments),
    };

    (void)snprintf(seconds, sizeof(seconds), "%d", APPLY_LEASE_SECONDS);
    for (size_t i = 0; i < session->n_remotes; i++) {
        int r = ssh_remote_do(&session->remotes[i], &lock, NULL, err);

        if (r != 0) {
            return r;
        }
    }
    return do_simple(session, &session->remotes[0], "accept", base, deployment, err);
}

static int apply(EngineSession *session, const char *app, const Json *specification,
                 const char *deployment, Error *err)
{
    const SshRemoteStatus *canary = &session->remotes[0].status;
    const char *base = NULL;
    int r = base_of(app, &base, err);

    r = r < 0 ? r : turn_to(session, deployment, err);
    if (r == 0 && !session->service) {
        r = ssh_service_from_json(specification, &session->service, err);
    }
    r = r != 0 ? r : ask_all(session, base, deployment, err);
    if (r != 0) {
        return r;
    }
    session->may_switch = true;
    if (canary->is_accepted) {
        return json_equal(canary->specification, specification)
                   ? 0
                   : error_set(err, -EEXIST, "the hosts have another deployment of the name '%s'",
                               deployment);
    }
    r = check_free(session, deployment, err);
    if (r == 0 && runs_everywhere(session, specification)) {
        return ENGINE_UNCHANGED;
    }
    r = r != 0 ? r : stage(session, deployment, err);
    r = r != 0 ? r : begin(session, base, deployment, err);
    if (r != 0 && r != SSH_REMOTE_AWAY) {
        drop(session, base, deployment);
    }
    return r;
}

static int ssh_apply(EngineSession *session, const char *app, const Json *specification,
                     const char *deployment, Error *err)
{
    _cleanup_error_ Error problem = {0};
    int r = apply(session, app, specification, deployment, &problem);

    return hand_over(r == ENGINE_UNCHANGED ? r : answer_of(r), &problem, err);
}

/* ---- poll, cancel -----------------------------------------------------------------------------
 */

static int poll_once(EngineSession *session, const char *app, const char *deployment,
                     EngineStatus *ret, Error *err)
{
    const SshRemoteStatus *canary = &session->remotes[0].status;
    const char *base = NULL;
    SshRollout rollout;
    int r = base_of(app, &base, err);

    r = r < 0 ? r : turn_to(session, deployment, err);
    if (r < 0) {
        return r;
    }
    rollout = rollout_of(session, base, deployment);
    r = ssh_rollout_look(&rollout, err);
    if (r != 0) {
        return r;
    }
    if (!canary->is_accepted) {
        ret->state = ENGINE_UNKNOWN;
        return 0;
    }
    if (!session->service) {
        r = ssh_service_from_json(canary->specification, &session->service, err);
        if (r < 0) {
            return error_wrap(err, "what the hosts say of deployment '%s'", deployment);
        }
    }
    rollout.service = session->service;
    r = ssh_rollout_go_on(&rollout, err);
    session->may_switch = true; /* whoever goes on looking at it wants it */
    return r != 0 ? r : ssh_rollout_tell(&rollout, ret, err);
}

static int ssh_poll(EngineSession *session, const char *app, const char *deployment,
                    EngineStatus *ret, Error *err)
{
    _cleanup_error_ Error problem = {0};
    int r = poll_once(session, app, deployment, ret, &problem);

    return hand_over(answer_of(r), &problem, err);
}

static int cancel(EngineSession *session, const char *app, const char *deployment, Error *err)
{
    static const char *const verdict[] = {"cancelled", "it was cancelled"};
    SshRemote *canary = &session->remotes[0];
    const char *base = NULL;
    int r = base_of(app, &base, err);

    r = r < 0 ? r : ssh_remote_ask(canary, base, deployment, 0, session->agent, err);
    if (r != 0) {
        return r;
    }
    if (!canary->status.is_accepted) {
        drop(session, base, deployment);
        return 0;
    }
    return ssh_remote_do(canary,
                         &(SshRemoteVerb){.name = "verdict",
                                          .base = base,
                                          .deployment = deployment,
                                          .arguments = verdict,
                                          .n_arguments = ARRAY_SIZE(verdict)},
                         NULL, err);
}

static int ssh_cancel(EngineSession *session, const char *app, const char *deployment, Error *err)
{
    _cleanup_error_ Error problem = {0};

    return hand_over(answer_of(cancel(session, app, deployment, &problem)), &problem, err);
}

static const char default_template[] =
    "{\n"
    "  \"id\": \"${name}-${environment}\",\n"
    "  \"base\": \"~/${name}-${environment}\",\n"
    "  \"root\": \"${root}\",\n"
    "  \"restart\": {\"unit\": \"${name}\"},\n"
    "  \"env\": \"${env:json}\",\n"
    "  \"health\": {\"url\": \"http://$${host}:${port}/health\", \"passes\": 2}\n"
    "}\n";

const Engine engine_ssh = {
    .interface_version = ENGINE_INTERFACE_VERSION,
    .name = "ssh",
    .title = "plain hosts over SSH",
    .default_template = default_template,
    .needs_root = true,
    .open = ssh_open,
    .current = ssh_current,
    .plan = ssh_plan,
    .apply = ssh_apply,
    .poll = ssh_poll,
    .cancel = ssh_cancel,
    .close = ssh_close,
};
