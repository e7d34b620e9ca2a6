/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/ssh/ssh-rollout.h"

#include "agent/deploy/engines/ssh/ssh-health.h"
#include "protocol/base/clock.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Positive answer of a step: this deployment will not come up; why is in `err`. */
#define GIVE_UP 100

/* Of what hosts say of a failure. */
#define LOG_MAX ((size_t)64 << 10)

#define SUCCEEDED "succeeded"
#define FAILED "failed"

/* ---- asking and telling a host ----------------------------------------------------------------
 */

static int ask(const SshRollout *rollout, SshRemote *remote, Error *err)
{
    return ssh_remote_ask(remote, rollout->base, rollout->deployment, SSH_ROLLOUT_LEASE_SECONDS,
                          rollout->agent, err);
}

static int tell(const SshRollout *rollout, SshRemote *remote, const char *name,
                const char *argument, const char *argument2, Error *err)
{
    const char *arguments[] = {argument, argument2};
    SshRemoteVerb verb = {
        .name = name,
        .base = rollout->base,
        .deployment = rollout->deployment,
        .arguments = arguments,
        .n_arguments = argument2  ? 2
                       : argument ? 1
                                  : 0,
    };

    return ssh_remote_tell(remote, &verb, err);
}

/* Tells a host to do something. That it is away, or that the lock is lost, is found by whoever
 * looks at it next. */
static int act(const SshRollout *rollout, SshRemote *remote, const char *name, const char *argument,
               Error *err)
{
    int r = tell(rollout, remote, name, argument, NULL, err);

    if (r > 0) {
        ssh_remote_complain(remote, error_text(err));
        error_done(err);
    }
    return MIN(r, 0);
}

static bool has_lock(const SshRollout *rollout, const SshRemote *remote)
{
    const char *owner = remote->status.lock_owner;

    return owner && strcmp(owner, rollout->deployment) == 0;
}

static int64_t age_seconds(const SshRemote *remote)
{
    return remote->status.now - remote->status.since;
}

static bool is_gone(const SshRollout *rollout, const SshRemote *remote)
{
    return remote->is_away && remote->away_since_ms > 0 &&
           clock_monotonic_ms() - remote->away_since_ms >= rollout->service->health_deadline_ms;
}

int ssh_rollout_look(SshRollout *rollout, Error *err)
{
    for (size_t i = 0; i < rollout->n_remotes; i++) {
        _cleanup_error_ Error problem = {0};
        SshRemote *remote = &rollout->remotes[i];
        int r = ask(rollout, remote, &problem);

        if (r != 0) {
            ssh_remote_complain(remote, error_text(&problem));
        }
        if (r == -ENOMEM || (r != 0 && i == 0)) {
            (void)error_set(err, problem.code, "%s", error_text(&problem));
            return r;
        }
    }
    return 0;
}

/* ---- health -----------------------------------------------------------------------------------
 */

typedef enum Health {
    HEALTH_WAITING,
    HEALTH_GOOD,
    HEALTH_BAD, /* it will not be good; the complaint says why */
} Health;

static int complain_of_time(SshRemote *remote, const SshService *service, Error *err)
{
    int r = error_set(err, -ETIMEDOUT, "%s was not healthy within %lld s: %s", remote->name,
                      (long long)(service->health_deadline_ms / 1000),
                      remote->complaint ? remote->complaint : "it did not pass often enough");

    ssh_remote_complain(remote, error_text(err));
    return r;
}

/* Looks when it is time to. Passes are counted by whoever looks: another process begins anew. */
static int watch_health(const SshRollout *rollout, SshRemote *remote, const SshService *service,
                        Health *ret, Error *err)
{
    _cleanup_error_ Error problem = {0};
    int64_t now = clock_monotonic_ms();
    int r;

    *ret = HEALTH_WAITING;
    if (remote->checked_at_ms > 0 && now - remote->checked_at_ms < service->health_interval_ms) {
        return 0;
    }
    remote->checked_at_ms = now;
    r = ssh_health_check(remote, rollout->base, service, true, &problem);
    if (r == 0) {
        remote->passes++;
        *ret = remote->passes >= service->health_passes ? HEALTH_GOOD : HEALTH_WAITING;
    } else {
        remote->passes = 0;
        ssh_remote_complain(remote, error_text(&problem));
    }
    if (r == -ENOMEM) {
        return error_set(err, r, "out of memory");
    }
    if (r < 0 || r == SSH_REMOTE_DEAD) {
        *ret = HEALTH_BAD;
    } else if (*ret == HEALTH_WAITING &&
               age_seconds(remote) * 1000 >= service->health_deadline_ms) {
        (void)complain_of_time(remote, service, &problem);
        *ret = HEALTH_BAD;
    }
    return 0;
}

static void forget_health(SshRemote *remote)
{
    remote->passes = 0;
    remote->checked_at_ms = 0;
}

/* ---- forward ----------------------------------------------------------------------------------
 */

/* Notes on the host that it failed, with the last lines of its log; it is only told, so that this
 * does not work is no matter. */
static int give_up(const SshRollout *rollout, SshRemote *remote, const char *why, Error *err)
{
    _cleanup_error_ Error ignored = {0};

    (void)error_set(err, -EREMOTEIO, "%s", why);
    if (act(rollout, remote, "fail", why, &ignored) == -ENOMEM) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return GIVE_UP;
}

static int switch_host(const SshRollout *rollout, SshRemote *remote, bool *ret_has_moved,
                       Error *err)
{
    int r = 0;

    if (rollout->may_switch) {
        *ret_has_moved = true;
        forget_health(remote);
        r = act(rollout, remote, "switch", NULL, err);
    }
    return r;
}

static int wait_for_switch(const SshRollout *rollout, SshRemote *remote, Error *err)
{
    char why[64];

    if (age_seconds(remote) * 1000 <= rollout->service->restart_timeout_ms) {
        return 0;
    }
    (void)snprintf(why, sizeof(why), "restarting did not end within %lld s",
                   (long long)(rollout->service->restart_timeout_ms / 1000));
    (void)give_up(rollout, remote, why, err);
    (void)error_set(err, -ETIMEDOUT, "%s: %s", remote->name, why);
    return GIVE_UP;
}

static int wait_for_health(const SshRollout *rollout, SshRemote *remote, bool *ret_has_moved,
                           Error *err)
{
    Health health;
    int r = watch_health(rollout, remote, rollout->service, &health, err);

    if (r < 0 || health == HEALTH_WAITING) {
        return r;
    }
    if (health == HEALTH_BAD) {
        _cleanup_free_ char *why = strdup(remote->complaint ? remote->complaint : "");

        return why ? give_up(rollout, remote, why, err) : error_set(err, -ENOMEM, "out of memory");
    }
    *ret_has_moved = true;
    return act(rollout, remote, "mark", "healthy", err);
}

/* One step of one host on its way to healthy. */
static int forward_host(const SshRollout *rollout, SshRemote *remote, bool *ret_has_moved,
                        Error *err)
{
    const SshRemoteStatus *status = &remote->status;

    if (remote->is_away) {
        if (!is_gone(rollout, remote)) {
            return 0;
        }
        (void)error_set(err, -EHOSTDOWN, "%s",
                        remote->complaint ? remote->complaint : remote->name);
        return GIVE_UP;
    }
    switch (status->state) {
    case SSH_STATE_STAGED:
    case SSH_STATE_SWITCHING_DEAD:
        return switch_host(rollout, remote, ret_has_moved, err);
    case SSH_STATE_SWITCHING:
        return wait_for_switch(rollout, remote, err);
    case SSH_STATE_STARTED:
        return wait_for_health(rollout, remote, ret_has_moved, err);
    case SSH_STATE_HEALTHY:
    case SSH_STATE_DONE:
        return 0;
    default:
        (void)error_set(err, -EREMOTEIO, "%s: %s", remote->name,
                        status->text && *status->text ? status->text
                                                      : "the release is not there any more");
        return GIVE_UP;
    }
}

static bool is_well(const SshRemote *remote)
{
    return !remote->is_away &&
           (remote->status.state == SSH_STATE_HEALTHY || remote->status.state == SSH_STATE_DONE);
}

static int write_verdict(const SshRollout *rollout, const char *verdict, const char *text,
                         Error *err)
{
    SshRemote *canary = &rollout->remotes[0];

    return tell(rollout, canary, "verdict", verdict, text, err);
}

/* Whether its turn has come or not: a host that is another's by now cannot be deployed to. */
static int check_locks(const SshRollout *rollout, Error *err)
{
    for (size_t i = 0; i < rollout->n_remotes; i++) {
        const SshRemote *remote = &rollout->remotes[i];
        const char *owner = remote->status.lock_owner;

        if (!remote->is_away && !has_lock(rollout, remote)) {
            (void)error_set(err, -EOWNERDEAD, "%s: its lock was lost%s%s", remote->name,
                            owner ? " to deployment " : "", owner ? owner : "");
            return GIVE_UP;
        }
    }
    return 0;
}

/* The canary alone, and then a batch at a time, each when the one before is well. */
static int go_forward(const SshRollout *rollout, bool *ret_has_moved, Error *err)
{
    size_t start = 0, end = 1;
    int r = check_locks(rollout, err);

    if (r != 0) {
        return r;
    }
    while (start < rollout->n_remotes) {
        bool is_batch_well = true;

        for (size_t i = start; i < end; i++) {
            r = forward_host(rollout, &rollout->remotes[i], ret_has_moved, err);
            if (r != 0) { /* what a host cannot do, it cannot do well */
                return r == -ENOMEM ? r : GIVE_UP;
            }
            is_batch_well = is_batch_well && is_well(&rollout->remotes[i]);
        }
        if (!is_batch_well) {
            return 0;
        }
        start = end;
        end = MIN(end + rollout->service->batch, rollout->n_remotes);
    }
    *ret_has_moved = true;
    return write_verdict(rollout, SUCCEEDED, "", err);
}

/* ---- back -------------------------------------------------------------------------------------
 */

/* What runs there again is judged by its own specification. */
static int wait_for_return(const SshRollout *rollout, SshRemote *remote, bool *ret_has_moved,
                           Error *err)
{
    _cleanup_(ssh_service_freep) SshService *service = NULL;
    Health health = HEALTH_GOOD;
    int r = 0;

    if (remote->status.current_specification &&
        ssh_service_from_json(remote->status.current_specification, &service, NULL) == 0) {
        r = watch_health(rollout, remote, service, &health, err);
    }
    if (r < 0 || health == HEALTH_WAITING) {
        return r;
    }
    *ret_has_moved = true;
    if (health == HEALTH_BAD) {
        _cleanup_free_ char *why = strdup(remote->complaint ? remote->complaint : "");

        return why ? act(rollout, remote, "stuck", why, err)
                   : error_set(err, -ENOMEM, "out of memory");
    }
    return act(rollout, remote, "mark", "back", err);
}

static bool is_over(const SshRollout *rollout, const SshRemote *remote)
{
    if (remote->is_away) {
        return is_gone(rollout, remote);
    }
    return !has_lock(rollout, remote) || remote->status.state == SSH_STATE_ABSENT ||
           remote->status.state == SSH_STATE_BACK || remote->status.state == SSH_STATE_STUCK;
}

static int return_host(const SshRollout *rollout, SshRemote *remote, bool *ret_has_moved,
                       Error *err)
{
    switch (remote->status.state) {
    case SSH_STATE_RETURNING:
        if (age_seconds(remote) * 1000 <= rollout->service->restart_timeout_ms) {
            return 0;
        }
        *ret_has_moved = true;
        return act(rollout, remote, "stuck", "restarting what ran before did not end", err);
    case SSH_STATE_RETURNED:
        return wait_for_return(rollout, remote, ret_has_moved, err);
    default:
        *ret_has_moved = true;
        forget_health(remote);
        return act(rollout, remote, "return", NULL, err);
    }
}

/* All hosts at once: nobody has to be careful with what ran a moment ago. */
static int go_back(const SshRollout *rollout, bool *ret_has_moved, Error *err)
{
    for (size_t i = 0; i < rollout->n_remotes; i++) {
        SshRemote *remote = &rollout->remotes[i];
        int r = 0;

        if (!remote->is_away && !is_over(rollout, remote)) {
            r = return_host(rollout, remote, ret_has_moved, err);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static bool has_got_back(const SshRollout *rollout)
{
    for (size_t i = 0; i < rollout->n_remotes; i++) {
        if (!is_over(rollout, &rollout->remotes[i])) {
            return false;
        }
    }
    return true;
}

/* ---- the end ----------------------------------------------------------------------------------
 */

static int for_all(const SshRollout *rollout, const char *verb, const char *argument, Error *err)
{
    for (size_t i = 0; i < rollout->n_remotes; i++) {
        SshRemote *remote = &rollout->remotes[i];
        int r = remote->is_away || !has_lock(rollout, remote)
                    ? 0
                    : act(rollout, remote, verb, argument, err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int finish(const SshRollout *rollout, Error *err)
{
    char keep[24];

    (void)snprintf(keep, sizeof(keep), "%zu", rollout->service->keep);
    return for_all(rollout, "finish", keep, err);
}

static int step(const SshRollout *rollout, bool *ret_has_moved, Error *err)
{
    const char *verdict = rollout->remotes[0].status.verdict;
    int r;

    if (verdict && strcmp(verdict, SUCCEEDED) == 0) {
        return finish(rollout, err);
    }
    if (verdict) {
        r = go_back(rollout, ret_has_moved, err);
        return r < 0 || !has_got_back(rollout) ? r : for_all(rollout, "unlock", NULL, err);
    }
    r = go_forward(rollout, ret_has_moved, err);
    if (r == GIVE_UP) {
        _cleanup_free_ char *why = strdup(error_text(err));

        error_done(err);
        *ret_has_moved = true;
        r = why ? write_verdict(rollout, FAILED, why, err)
                : error_set(err, -ENOMEM, "out of memory");
    }
    return r;
}

int ssh_rollout_go_on(SshRollout *rollout, Error *err)
{
    bool has_moved = true;
    int r = 0;

    /* Each host moves through every state at most once. */
    for (size_t i = 0; r == 0 && has_moved && i < rollout->n_remotes * _SSH_STATE_MAX + 2; i++) {
        has_moved = false;
        r = step(rollout, &has_moved, err);
    }
    return r;
}

/* ---- telling ----------------------------------------------------------------------------------
 */

static void count(const SshRollout *rollout, EngineCounts *counts)
{
    *counts = (EngineCounts){.wanted = (int64_t)rollout->n_remotes};
    for (size_t i = 0; i < rollout->n_remotes; i++) {
        const SshRemote *remote = &rollout->remotes[i];
        SshRemoteState state = remote->status.state;

        if (is_well(remote) || state == SSH_STATE_STARTED) {
            counts->updated++;
            counts->healthy += is_well(remote);
        } else if (remote->status.current) {
            counts->old++;
        }
    }
}

static int set_reason(EngineStatus *status, Buffer *text, Error *err)
{
    if (text->len > 0) {
        status->reason = buffer_take_text(text);
    }
    return text->len > 0 && !status->reason ? error_set(err, -ENOMEM, "out of memory") : 0;
}

/* The verdict's words, and of each host that did not get back why. */
static int tell_failure(const SshRollout *rollout, EngineStatus *ret, Error *err)
{
    const SshRemoteStatus *canary = &rollout->remotes[0].status;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = buffer_append_text(&text, canary->verdict_text ? canary->verdict_text : "");

    for (size_t i = 0; r == 0 && i < rollout->n_remotes; i++) {
        const SshRemote *remote = &rollout->remotes[i];

        if (remote->is_away) {
            r = buffer_append_format(&text, "%swhat runs on %s is not known",
                                     text.len > 0 ? "; " : "", remote->name);
        } else if (remote->status.state == SSH_STATE_STUCK) {
            r = buffer_append_format(&text, "%s%s did not get back: %s", text.len > 0 ? "; " : "",
                                     remote->name, remote->status.text);
        }
    }
    return r < 0 ? error_set(err, r, "out of memory") : set_reason(ret, &text, err);
}

static int append_tail(const SshRollout *rollout, SshRemote *remote, Buffer *log)
{
    _cleanup_buffer_ Buffer said = BUFFER_INIT(LOG_MAX);
    SshRemoteVerb verb = {
        .name = "tail",
        .base = rollout->base,
        .deployment = rollout->deployment,
    };
    _cleanup_error_ Error ignored = {0};
    int r = ssh_remote_do(remote, &verb, &said, &ignored);

    if (r != 0 || said.len == 0) {
        return r == -ENOMEM ? r : 0;
    }
    r = buffer_append_format(log, "%s:\n", remote->name);
    return r < 0 ? r : text_append_utf8(log, said.data, said.len);
}

static int tell_log(const SshRollout *rollout, EngineStatus *ret, Error *err)
{
    _cleanup_buffer_ Buffer log = BUFFER_INIT(0);
    int r = 0;

    for (size_t i = 0; r == 0 && i < rollout->n_remotes; i++) {
        SshRemote *remote = &rollout->remotes[i];

        if (!remote->is_away && remote->status.has_tail) {
            r = append_tail(rollout, remote, &log);
        }
    }
    if (r == 0 && log.len > 0) {
        ret->log = buffer_take_text(&log);
        r = ret->log ? 0 : -ENOMEM;
    }
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

/* What holds it up: the first host that is not well, and says why. */
static int tell_complaint(const SshRollout *rollout, EngineStatus *ret, Error *err)
{
    for (size_t i = 0; !ret->reason && i < rollout->n_remotes; i++) {
        const SshRemote *remote = &rollout->remotes[i];

        if (!is_well(remote) && remote->complaint) {
            ret->reason = strdup(remote->complaint);
            return ret->reason ? 0 : error_set(err, -ENOMEM, "out of memory");
        }
    }
    return 0;
}

static int set_phase(EngineStatus *status, const char *phase, Error *err)
{
    status->phase = strdup(phase);
    return status->phase ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static bool is_any_away(const SshRollout *rollout)
{
    for (size_t i = 0; i < rollout->n_remotes; i++) {
        if (rollout->remotes[i].is_away) {
            return true;
        }
    }
    return false;
}

int ssh_rollout_tell(SshRollout *rollout, EngineStatus *ret, Error *err)
{
    const char *verdict = rollout->remotes[0].status.verdict;
    int r;

    count(rollout, &ret->counts);
    if (!verdict) {
        ret->state = ENGINE_RUNNING;
        r = set_phase(ret, "switching", err);
        return r < 0 ? r : tell_complaint(rollout, ret, err);
    }
    if (strcmp(verdict, SUCCEEDED) == 0) {
        ret->state = is_any_away(rollout) ? ENGINE_RUNNING : ENGINE_SUCCEEDED;
        return set_phase(ret, "finishing", err);
    }
    r = set_phase(ret, "returning", err);
    if (r < 0) {
        return r;
    }
    if (!has_got_back(rollout)) {
        ret->state = ENGINE_RUNNING;
        return tell_failure(rollout, ret, err);
    }
    ret->state = strcmp(verdict, FAILED) == 0 ? ENGINE_FAILED : ENGINE_CANCELLED;
    r = tell_failure(rollout, ret, err);
    return r < 0 ? r : tell_log(rollout, ret, err);
}
