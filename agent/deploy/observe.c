/* SPDX-License-Identifier: MIT */
#include "agent/deploy/observe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void observation_done(Observation *observation)
{
    engine_status_done(&observation->status);
    free(observation->odd);
    *observation = (Observation){0};
}

/* ---- delays -----------------------------------------------------------------------------------
 */

typedef struct Delay {
    int64_t next_ms;
    uint32_t random; /* not for secrets: only so that two that wait differ */
} Delay;

static int64_t delay_first_ms(const Deploy *deploy)
{
    return MAX(OBSERVE_DELAY_FIRST_MS, deploy->engine->look_interval_ms);
}

static Delay delay_start(const Deploy *deploy)
{
    uint64_t seed =
        (uint64_t)deploy->host->now_ms(deploy->host->userdata) ^ ((uint64_t)getpid() * 2654435761u);

    return (Delay){.next_ms = delay_first_ms(deploy), .random = (uint32_t)seed | 1};
}

static void delay_wait(const Deploy *deploy, Delay *delay, int64_t deadline_ms)
{
    int64_t left = deadline_ms - deploy->host->now_ms(deploy->host->userdata);
    int64_t fifth = delay->next_ms / 5, wanted;

    left = MAX(left, (int64_t)1);
    delay->random = delay->random * 1664525u + 1013904223u;
    wanted = delay->next_ms - fifth + (int64_t)((delay->random >> 8) % (uint32_t)(2 * fifth + 1));
    deploy->host->wait_ms(MIN(wanted, left), deploy->host->userdata);
    delay->next_ms = MIN(delay->next_ms * 3 / 2, OBSERVE_DELAY_LAST_MS);
}

static int64_t now(const Deploy *deploy)
{
    return deploy->host->now_ms(deploy->host->userdata);
}

static bool is_cancelled(const Deploy *deploy)
{
    return deploy->host->is_cancelled(deploy->host->userdata);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

/* Says once why it waits. */
static void say_waiting(const Deploy *deploy, const Error *err, bool *is_said)
{
    _cleanup_free_ char *text = NULL;

    if (!*is_said && asprintf(&text, "%s; asking again", error_text(err)) > 0) {
        deploy->host->say(text, deploy->host->userdata);
    }
    *is_said = true;
}

int observe_ask(const Deploy *deploy, int64_t away_ms, bool is_persistent, ObserveAsk ask,
                void *userdata, Error *err)
{
    int64_t start = now(deploy);
    Delay delay = delay_start(deploy);
    bool is_said = false;

    for (;;) {
        _cleanup_error_ Error problem = {0};
        int r = ask(deploy, userdata, &problem);
        int64_t patience_ms = r == ENGINE_BUSY ? OBSERVE_BUSY_MS : away_ms;

        if ((r != ENGINE_AWAY && r != ENGINE_BUSY) || now(deploy) - start >= patience_ms ||
            (!is_persistent && is_cancelled(deploy))) {
            if (problem.code < 0) {
                (void)error_set(err, problem.code, "%s", error_text(&problem));
            }
            return r;
        }
        say_waiting(deploy, &problem, &is_said);
        delay_wait(deploy, &delay, start + patience_ms);
    }
}

/* ---- observing --------------------------------------------------------------------------------
 */

/* One look, and what is remembered between looks. */
typedef struct Look {
    const Deploy *deploy;
    const ObserveRequest *request;
    Observation *seen;
    int64_t deadline_ms;
    int64_t odd_since_ms; /* -1: nothing is odd */
    EngineCounts counts;  /* that were told last */
    char *told_reason;    /* what holds it up, as it was told last */
    bool is_told;
    bool is_away;
    bool is_away_said;
} Look;

/* *ret_odd is NULL: it serves. Otherwise what is odd about it, the caller's; *ret_is_other:
 * something else serves, which no waiting for health will mend. */
static int check_serving(const Look *look, char **ret_odd, bool *ret_is_other)
{
    _cleanup_engine_current_ EngineCurrent current = {0};
    const Deploy *deploy = look->deploy;
    const char *wanted = look->request->deployment, *app = look->request->app;
    bool is_other = true;
    char *odd = NULL;
    int n = 0;
    int r = deploy->engine->current(deploy->session, app, &current, NULL);

    if (r == ENGINE_ABSENT) {
        n = asprintf(&odd, "the engine says that it ended well, but nothing runs as '%s'", app);
    } else if (r != 0) {
        n = asprintf(&odd, "the engine says that it ended well, but not what runs as '%s'", app);
    } else if (!current.deployment || strcmp(current.deployment, wanted) != 0) {
        n = asprintf(&odd, "the engine says that it ended well, but '%s' runs deployment '%s'", app,
                     current.deployment ? current.deployment : "?");
    } else if (!engine_counts_are_settled(&current.counts)) {
        is_other = false;
        n = asprintf(&odd,
                     "the engine says that it ended well, but of %lld instances %lld are healthy "
                     "and %lld old ones are left",
                     (long long)current.counts.wanted, (long long)current.counts.healthy,
                     (long long)current.counts.old);
    }
    if (n < 0) {
        return -ENOMEM;
    }
    *ret_odd = odd;
    *ret_is_other = odd && is_other;
    return 0;
}

/* An engine may need a moment to catch up with itself, not longer. */
static int judge_odd(Look *look)
{
    int64_t at = now(look->deploy);

    if (look->odd_since_ms < 0) {
        look->odd_since_ms = at;
    }
    look->seen->end = OBSERVE_FAILED;
    return look->request->is_ending || at - look->odd_since_ms >= OBSERVE_ODD_MS;
}

/* 1: it has ended, seen->end says how; 0: not yet. */
static int judge_succeeded(Look *look)
{
    bool is_other = false;
    char *odd = NULL;
    int r;

    if (look->request->is_ending) {
        look->seen->end = OBSERVE_SETTLED;
        return 1;
    }
    r = check_serving(look, &odd, &is_other);
    if (r < 0) {
        return r;
    }
    free(look->seen->odd);
    look->seen->odd = odd;
    if (!odd && engine_counts_are_settled(&look->seen->status.counts)) {
        look->seen->end = OBSERVE_SETTLED;
        return 1;
    }
    if (is_other) {
        return judge_odd(look);
    }
    look->odd_since_ms = -1;
    return 0;
}

static int judge(Look *look)
{
    switch (look->seen->status.state) {
    case ENGINE_SUCCEEDED:
        return judge_succeeded(look);
    case ENGINE_FAILED:
    case ENGINE_CANCELLED:
        look->seen->end = OBSERVE_FAILED;
        return 1;
    case ENGINE_FAILING: /* what is given up has not ended while the engine tries */
        look->seen->end = OBSERVE_FAILED;
        return !look->request->is_ending;
    case ENGINE_UNKNOWN:
        return judge_odd(look);
    default:
        look->odd_since_ms = -1;
        return 0;
    }
}

/* True when something has changed since the last look. */
static bool tell_progress(Look *look)
{
    const EngineStatus *status = &look->seen->status;
    const DeployHost *host = look->deploy->host;

    if (look->is_told && memcmp(&status->counts, &look->counts, sizeof(look->counts)) == 0) {
        return false;
    }
    look->counts = status->counts;
    look->is_told = true;
    if (!look->request->is_ending) {
        host->progress(status->phase ? status->phase : "deploy", &status->counts, host->userdata);
    }
    return true;
}

/* What holds a deployment up is told when the engine knows it, not when the deadline has come. */
static int tell_reason(Look *look)
{
    const char *reason = look->seen->status.reason;
    const DeployHost *host = look->deploy->host;
    _cleanup_free_ char *text = NULL;
    char *copy;

    if (look->seen->status.state != ENGINE_RUNNING || look->request->is_ending || !reason ||
        (look->told_reason && strcmp(look->told_reason, reason) == 0)) {
        return 0;
    }
    copy = strdup(reason);
    if (!copy || asprintf(&text, "so far: %s", reason) < 0) {
        text = NULL;
        free(copy);
        return -ENOMEM;
    }
    free(look->told_reason);
    look->told_reason = copy;
    host->say(text, host->userdata);
    return 0;
}

/* An answer that makes no sense is as good as none: the deadline ends both. */
static int look_once(Look *look, bool *ret_has_changed)
{
    _cleanup_engine_status_ EngineStatus status = {0};
    _cleanup_error_ Error problem = {0};
    const Deploy *deploy = look->deploy;
    int r = deploy->engine->poll(deploy->session, look->request->app, look->request->deployment,
                                 &status, &problem);

    if (r == -ENOMEM) {
        return r;
    }
    look->is_away = r != 0;
    if (look->is_away) {
        say_waiting(deploy, &problem, &look->is_away_said);
        return 0;
    }
    engine_status_done(&look->seen->status);
    look->seen->status = status;
    status = (EngineStatus){0};
    *ret_has_changed = tell_progress(look);
    r = tell_reason(look);
    return r < 0 ? r : judge(look);
}

static int look_until_the_end(Look *look)
{
    const Deploy *deploy = look->deploy;
    Delay delay = delay_start(deploy);

    for (;;) {
        bool has_changed = false;
        int r = look_once(look, &has_changed);

        if (r != 0) {
            return MIN(r, 0);
        }
        if (!look->request->is_persistent && is_cancelled(deploy)) {
            look->seen->end = OBSERVE_CANCELLED;
            return 0;
        }
        if (now(deploy) >= look->deadline_ms) {
            look->seen->end = look->is_away ? OBSERVE_AWAY : OBSERVE_DEADLINE;
            return 0;
        }
        delay.next_ms = has_changed ? delay_first_ms(deploy) : delay.next_ms;
        delay_wait(deploy, &delay, look->deadline_ms);
    }
}

int observe(const Deploy *deploy, const ObserveRequest *request, Observation *ret, Error *err)
{
    Look look = {
        .deploy = deploy,
        .request = request,
        .seen = ret,
        .deadline_ms = now(deploy) + request->timeout_ms,
        .odd_since_ms = -1,
    };
    int r = look_until_the_end(&look);

    free(look.told_reason);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}
