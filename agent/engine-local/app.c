/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/app.h"

#include "protocol/base/clock.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A service that dies is started again after this, doubled for each time in a row. */
#define RESTART_MS_FIRST 100
#define RESTART_MS_MAX 30000
/* Healthy for so long, it is no longer one that dies in a row. */
#define SETTLED_MS 60000
/* A port or a disk that said no is asked again. */
#define RETRY_MS 1000

static const char *const state_names[_APP_STATE_MAX] = {
    [APP_NEW] = "new",           [APP_SERVING] = "serving", [APP_REMOVING] = "removing",
    [APP_STOPPING] = "stopping", [APP_GONE] = "gone",
};

static const bool may_follow[_APP_STATE_MAX][_APP_STATE_MAX] = {
    [APP_NEW] = {[APP_SERVING] = true, [APP_REMOVING] = true, [APP_STOPPING] = true},
    [APP_SERVING] = {[APP_REMOVING] = true, [APP_STOPPING] = true},
    [APP_REMOVING] = {[APP_NEW] = true, [APP_STOPPING] = true, [APP_GONE] = true},
    [APP_STOPPING] = {[APP_GONE] = true},
};

static void step(void *userdata);

static bool set_state(App *app, AppState state)
{
    if (!may_follow[app->state][state]) {
        return false;
    }
    log_debug("'%s': %s → %s", app->id, state_names[app->state], state_names[state]);
    app->state = state;
    return true;
}

void app_step_soon(App *app)
{
    loop_timer_start(app->host->loop, &app->soon, 0, step, app);
}

static void step_at(App *app, int64_t when_ms)
{
    if (!app->later.loop || when_ms < app->later.due_ms) {
        loop_timer_start(app->host->loop, &app->later,
                         MAX(when_ms - clock_monotonic_ms(), (int64_t)0), step, app);
    }
}

static void on_instance(Instance *instance, void *userdata)
{
    app_step_soon(userdata);
}

static bool is_of(const Instance *i, const Deployment *d)
{
    return d && strcmp(i->deployment, d->id) == 0;
}

DeploymentCounts app_count(const App *app, const Deployment *d)
{
    DeploymentCounts counts = {.wanted = d->specification->instances};

    for (const Instance *i = app->instances; i; i = i->next) {
        if (i->state == INSTANCE_GONE) {
            continue;
        }
        counts.updated += is_of(i, d);
        counts.healthy += is_of(i, d) && i->state == INSTANCE_HEALTHY;
        counts.old += !is_of(i, d);
    }
    return counts;
}

bool app_is_there(const App *app)
{
    return app->serving || app->running;
}

bool app_is_settled(const App *app)
{
    DeploymentCounts counts;

    if (!app->serving || app->running) {
        return false;
    }
    counts = app_count(app, app->serving);
    return counts.healthy == counts.wanted && !app->problem;
}

Deployment *app_find_deployment(const App *app, const char *id)
{
    for (Deployment *d = app->deployments; d; d = d->next) {
        if (strcmp(d->id, id) == 0) {
            return d;
        }
    }
    return NULL;
}

/* Never one that serves or runs: both are among the newest or are looked for here. */
static void prune_deployments(App *app)
{
    size_t n = 0;

    for (Deployment **at = &app->deployments; *at;) {
        Deployment *d = *at;

        if (++n > APP_DEPLOYMENTS_MAX && d != app->serving && d != app->running) {
            *at = d->next;
            (void)deployment_free(d);
        } else {
            at = &d->next;
        }
    }
}

/* ---- instances --------------------------------------------------------------------------------
 */

static void add_instance(App *app, Instance *i)
{
    i->next = app->instances;
    app->instances = i;
}

/* As many as are wanted and told to run. */
static size_t count_wanted(const App *app, const Deployment *d)
{
    size_t n = 0;

    for (const Instance *i = app->instances; i; i = i->next) {
        n += is_of(i, d) && instance_is_wanted(i);
    }
    return n;
}

static int start_missing(App *app, const Deployment *d, Error *err)
{
    for (size_t n = count_wanted(app, d); n < d->specification->instances; n++) {
        Instance *i;
        uint16_t port;
        int r = forward_choose_port(app->host->forward, &port);

        if (r < 0) {
            return error_set_errno(err, r, "no port is free for an instance");
        }
        r = instance_start(app->host, d->specification, d->id, port, on_instance, app, &i, err);
        if (r < 0) {
            return r;
        }
        add_instance(app, i);
    }
    return 0;
}

/* The one that says why not all are healthy. */
static Instance *find_unhealthy(const App *app, const Deployment *d)
{
    Instance *found = NULL;

    for (Instance *i = app->instances; i; i = i->next) {
        if (is_of(i, d) && i->state != INSTANCE_HEALTHY && (!found || !found->problem)) {
            found = i;
        }
    }
    return found;
}

static void restart_later(App *app, const Instance *i, const char *why)
{
    int64_t now = clock_monotonic_ms();
    int64_t delay = RESTART_MS_FIRST;

    if (i && i->was_healthy && now - i->healthy_since_ms >= SETTLED_MS) {
        app->crashes = 0;
    }
    for (unsigned n = 0; n < app->crashes && delay < RESTART_MS_MAX; n++) {
        delay *= 2;
    }
    delay = MIN(delay, (int64_t)RESTART_MS_MAX);
    app->crashes++;
    app->restart_at_ms = now + delay;
    log_warning("'%s': %s %s; starting another in %g s", app->id, i ? i->id : "an instance", why,
                (double)delay / 1000);
}

/* ---- the end of a deployment ------------------------------------------------------------------
 */

static void end_deployment(App *app, DeploymentState state, const Instance *i, const char *reason)
{
    _cleanup_buffer_ Buffer tail = {0};
    Deployment *d = app->running;

    d->counts = app_count(app, d);
    if (i) {
        (void)!instance_log_tail(i, APP_LOG_TAIL_LINES, &tail); /* without it, the reason stands */
    }
    (void)deployment_set_state(d, state, reason, tail.len > 0 ? tail.data : NULL);
    app->running = NULL;
    app->next_port = forward_port_close(app->next_port);
    app->is_unsaved = true;
    prune_deployments(app);
}

static void fail_deployment(App *app, const Instance *i, const char *format, ...) _printf_(3, 4);
static void fail_deployment(App *app, const Instance *i, const char *format, ...)
{
    char *reason = NULL;
    va_list ap;

    va_start(ap, format);
    if (vasprintf(&reason, format, ap) < 0) {
        reason = NULL;
    }
    va_end(ap);
    end_deployment(app, DEPLOYMENT_FAILED, i, reason);
    free(reason);
}

static void note_death(App *app, const Instance *i)
{
    const char *how = i->problem ? i->problem : "ended";

    if (app->running && app->running->state == DEPLOYMENT_STARTING && is_of(i, app->running)) {
        fail_deployment(app, i, "an instance %s%s", how,
                        i->end == KEEPER_FAILED ? ""
                        : i->was_healthy        ? " after it had been healthy"
                                                : " before it was healthy");
    } else if (is_of(i, app->serving)) {
        restart_later(app, i, how);
    }
}

/* Two passes: a deployment that fails counts and describes what is still in the list. */
static void bury(App *app)
{
    for (Instance *i = app->instances; i; i = i->next) {
        if (i->state == INSTANCE_GONE && i->has_died) {
            note_death(app, i);
        }
    }
    for (Instance **at = &app->instances; *at;) {
        Instance *i = *at;

        if (i->state == INSTANCE_GONE) {
            *at = i->next;
            (void)instance_free(i);
        } else {
            at = &i->next;
        }
    }
}

/* ---- the port ---------------------------------------------------------------------------------
 */

/* The one with the fewest connections; of several such, the one that waited longest. */
static bool is_better(const ForwardTarget *a, const ForwardTarget *b)
{
    return a->connections < b->connections ||
           (a->connections == b->connections && a->last_pick < b->last_pick);
}

static ForwardTarget *pick_target(void *userdata, const ForwardTarget *avoid)
{
    App *app = userdata;
    ForwardTarget *best = NULL, *last_resort = NULL;

    for (Instance *i = app->instances; i; i = i->next) {
        ForwardTarget *t = &i->target;

        if (t->may_take && t == avoid) {
            last_resort = t;
        } else if (t->may_take && (!best || is_better(t, best))) {
            best = t;
        }
    }
    best = best ? best : last_resort;
    if (best) {
        best->last_pick = ++app->picks;
    }
    return best;
}

static int open_port(App *app, const Specification *s, ForwardPort **ret, Error *err)
{
    return forward_port_open(app->host->forward, s->address, s->port, pick_target, app, ret, err);
}

static void set_problem(App *app, const char *text)
{
    if (text && (!app->problem || strcmp(app->problem, text) != 0)) {
        log_error("'%s': %s, trying again every %d ms", app->id, text, RETRY_MS);
    }
    free(app->problem);
    app->problem = text ? strdup(text) : NULL;
}

/* Where none is healthy, those that once were are better than a closed door. */
static bool choose_targets(App *app)
{
    bool has_healthy = false, has_any = false;

    for (const Instance *i = app->instances; i; i = i->next) {
        has_healthy |= is_of(i, app->serving) && i->state == INSTANCE_HEALTHY;
    }
    for (Instance *i = app->instances; i; i = i->next) {
        i->target.may_take = is_of(i, app->serving) && instance_is_wanted(i) &&
                             (has_healthy ? i->state == INSTANCE_HEALTHY : i->was_healthy);
        has_any |= i->target.may_take;
    }
    return has_any;
}

/* Anew after a restart of the engine; 0 if it is held already. */
static int take_port(App *app, Error *err)
{
    return app->port ? 0 : open_port(app, app->serving->specification, &app->port, err);
}

static void route(App *app)
{
    _cleanup_error_ Error err = {0};
    bool has_targets = choose_targets(app);
    int r = 0;

    if (!app->serving || app->state > APP_SERVING) {
        app->port = forward_port_close(app->port);
        set_problem(app, NULL);
        return;
    }
    r = take_port(app, &err);
    if (r == 0 && has_targets) {
        r = forward_port_listen(app->port, &err);
    } else if (r == 0) {
        forward_port_pause(app->port); /* refused at once is better than waiting for nobody */
    }
    set_problem(app, r < 0 ? error_text(&err) : NULL);
    if (r < 0) {
        step_at(app, clock_monotonic_ms() + RETRY_MS);
    }
}

/* ---- the step ---------------------------------------------------------------------------------
 */

/* Taken, not listened on yet: a port that is in use is known before anything is started. */
static int take_next_port(App *app, Error *err)
{
    const Specification *s = app->running->specification;

    if (app->next_port || (app->port && forward_port_is_at(app->port, s->address, s->port))) {
        return 0;
    }
    return open_port(app, s, &app->next_port, err);
}

/* From here on new connections go to the new instances, in one step of the loop. */
static void switch_over(App *app)
{
    _cleanup_error_ Error err = {0};

    if (forward_port_listen(app->next_port ? app->next_port : app->port, &err) < 0) {
        fail_deployment(app, NULL, "%s", error_text(&err));
        return;
    }
    if (app->next_port) {
        (void)forward_port_close(app->port);
        app->port = TAKE_PTR(app->next_port);
    }
    app->serving = app->running;
    app->crashes = 0;
    app->restart_at_ms = 0;
    app->is_unsaved = true;
    (void)deployment_set_state(app->running, DEPLOYMENT_FINISHING, NULL, NULL);
    (void)set_state(app, APP_SERVING);
}

static void step_starting(App *app)
{
    const Deployment *d = app->running;
    _cleanup_error_ Error err = {0};
    DeploymentCounts counts;

    if (take_next_port(app, &err) < 0 || start_missing(app, d, &err) < 0) {
        fail_deployment(app, NULL, "%s", error_text(&err));
        return;
    }
    counts = app_count(app, d);
    if (counts.healthy == counts.wanted) {
        switch_over(app);
    } else if (clock_monotonic_ms() >= d->deadline_ms) {
        const Instance *i = find_unhealthy(app, d);

        fail_deployment(app, i, "%zu of %zu instances were healthy within %g s; %s", counts.healthy,
                        counts.wanted, (double)d->specification->health_deadline_ms / 1000,
                        i && i->problem ? i->problem : "no health check was answered");
    } else {
        step_at(app, d->deadline_ms);
    }
}

static void step_finishing(App *app)
{
    const Deployment *d = app->running;
    DeploymentCounts counts = app_count(app, d);

    if (counts.healthy == counts.wanted && counts.old == 0) {
        end_deployment(app, DEPLOYMENT_SUCCEEDED, NULL, NULL);
    } else if (counts.healthy < counts.wanted && clock_monotonic_ms() >= d->deadline_ms) {
        const Instance *i = find_unhealthy(app, d);

        fail_deployment(app, i, "it was switched to, but did not stay healthy; %s",
                        i && i->problem ? i->problem : "its instances died");
    } else if (counts.healthy < counts.wanted) {
        step_at(app, d->deadline_ms);
    }
}

/* One that is not healthy for as long as it may take to become so is as good as dead. */
static void end_hopeless(App *app)
{
    const Specification *s = app->serving->specification;
    int64_t now = clock_monotonic_ms();

    for (Instance *i = app->instances; i; i = i->next) {
        int64_t until = i->unhealthy_since_ms + s->health_deadline_ms;

        if (!is_of(i, app->serving) || !instance_is_wanted(i) || i->state == INSTANCE_HEALTHY ||
            i->unhealthy_since_ms == 0) {
            continue;
        }
        if (now < until) {
            step_at(app, until);
            continue;
        }
        restart_later(app, i, i->problem ? i->problem : "is not healthy");
        instance_stop(i, i->grace_ms);
    }
}

static void step_serving(App *app)
{
    _cleanup_error_ Error err = {0};

    end_hopeless(app);
    if (count_wanted(app, app->serving) == app->serving->specification->instances) {
        return;
    }
    if (clock_monotonic_ms() >= app->restart_at_ms && start_missing(app, app->serving, &err) < 0) {
        restart_later(app, NULL, error_text(&err));
    }
    if (clock_monotonic_ms() < app->restart_at_ms) {
        step_at(app, app->restart_at_ms);
    }
}

static void end_unwanted(App *app)
{
    bool is_wanted_at_all = app->state <= APP_SERVING;

    for (Instance *i = app->instances; i; i = i->next) {
        if (instance_is_wanted(i) &&
            !(is_wanted_at_all && (is_of(i, app->serving) || is_of(i, app->running)))) {
            instance_drain(i);
        }
    }
}

static void save_if_needed(App *app)
{
    if (app->is_unsaved && app->on_change(app, app->userdata) < 0) {
        step_at(app, clock_monotonic_ms() + RETRY_MS);
    } else {
        app->is_unsaved = false;
    }
}

static void step(void *userdata)
{
    App *app = userdata;

    loop_timer_stop(&app->later);
    bury(app);
    if (app->state <= APP_SERVING) {
        if (app->serving) { /* before a deployment takes it as its own; route() tells a failure */
            (void)!take_port(app, NULL);
        }
        if (app->running && app->running->state == DEPLOYMENT_STARTING) {
            step_starting(app);
        }
        if (app->running && app->running->state == DEPLOYMENT_FINISHING) {
            step_finishing(app);
        }
        if (app->serving) {
            step_serving(app);
        }
    }
    end_unwanted(app);
    route(app);
    save_if_needed(app);
    if (app->state > APP_SERVING && !app->instances && set_state(app, APP_GONE)) {
        (void)app->on_change(app, app->userdata); /* it may be freed now */
    }
}

/* ---- from outside -----------------------------------------------------------------------------
 */

App *app_new(const InstanceHost *host, const char *id, AppFunction on_change, void *userdata)
{
    App *app = calloc(1, sizeof(*app));

    if (!app) {
        return NULL;
    }
    *app = (App){.host = host, .id = strdup(id), .on_change = on_change, .userdata = userdata};
    return app->id ? app : app_free(app);
}

static void free_deployments(App *app)
{
    while (app->deployments) {
        Deployment *d = app->deployments;

        app->deployments = d->next;
        (void)deployment_free(d);
    }
    app->serving = app->running = NULL;
}

App *app_free(App *app)
{
    if (app) {
        loop_timer_stop(&app->soon);
        loop_timer_stop(&app->later);
        (void)forward_port_close(app->port);
        (void)forward_port_close(app->next_port);
        while (app->instances) {
            Instance *i = app->instances;

            app->instances = i->next;
            (void)instance_free(i);
        }
        free_deployments(app);
        free(app->problem);
        free(app->id);
        free(app);
    }
    return NULL;
}

int app_deploy(App *app, Deployment *d, Error *err)
{
    AppState before = app->state;
    int r;

    if (app->state == APP_REMOVING) {
        (void)set_state(app, APP_NEW);
    }
    d->next = app->deployments;
    app->deployments = app->running = d;
    r = app->on_change(app, app->userdata);
    if (r < 0) {
        app->deployments = d->next;
        app->running = d->next = NULL;
        if (before == APP_REMOVING) { /* as if nothing had been asked */
            (void)set_state(app, APP_REMOVING);
        }
        return error_set_errno(err, r, "cannot keep the deployment on disk");
    }
    app_step_soon(app);
    return 0;
}

int app_cancel(App *app, Deployment *d)
{
    if (d->state == DEPLOYMENT_FINISHING) {
        return -EALREADY;
    }
    if (d == app->running) {
        end_deployment(app, DEPLOYMENT_CANCELLED, NULL, "it was cancelled");
        app_step_soon(app);
    }
    return 0;
}

void app_remove(App *app)
{
    if (app->running) {
        end_deployment(app,
                       app->running->state == DEPLOYMENT_STARTING ? DEPLOYMENT_CANCELLED
                                                                  : DEPLOYMENT_FAILED,
                       NULL, "the app was removed");
    }
    free_deployments(app);
    app->is_unsaved = true;
    (void)set_state(app, APP_REMOVING);
    app_step_soon(app);
}

void app_stop(App *app)
{
    if (app->running && app->running->state == DEPLOYMENT_STARTING) {
        fail_deployment(app, NULL, "the engine was stopped");
    }
    (void)set_state(app, APP_STOPPING);
    for (Instance *i = app->instances; i; i = i->next) {
        instance_stop(i, i->grace_ms);
    }
    app_step_soon(app);
}

void app_stop_at_once(App *app)
{
    for (Instance *i = app->instances; i; i = i->next) {
        instance_stop(i, 0);
    }
}

void app_adopt(App *app, const char *id, const InstanceRecord *record)
{
    const Deployment *d = app_find_deployment(app, record->deployment);
    _cleanup_error_ Error err = {0};
    Instance *i;
    int r;

    if (!d || (d != app->serving && d != app->running)) {
        instance_end_unknown(app->host, id);
        return;
    }
    r = instance_adopt(app->host, id, record, d->specification, on_instance, app, &i, &err);
    if (r < 0) {
        log_info("'%s': %s is gone (%s)", app->id, id, error_text(&err));
        return;
    }
    add_instance(app, i);
    log_info("'%s': found %s of deployment %s running", app->id, id, record->deployment);
}
