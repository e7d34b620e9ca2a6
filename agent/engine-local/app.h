/* SPDX-License-Identifier: MIT */
/* One service: the deployment that serves, the one that may be running, all instances, the port.
 *
 *     new ──► serving ──► removing ──► gone
 *      └──────────┴─────► stopping ──► gone      (the engine ends; the file stays)
 *
 * There is one function that acts, the step: it compares what should be with what is and does what
 * is missing. It runs after anything happened, and after a restart of the engine over what was
 * found, so that an own and an adopted instance go one way. */
#pragma once

#include "agent/engine-local/deployment.h"
#include "agent/engine-local/instance.h"

/* Deployments that an app remembers; a repeated PUT finds its ID among them. */
#define APP_DEPLOYMENTS_MAX 20
#define APP_LOG_TAIL_LINES 20

typedef enum AppState {
    APP_NEW, /* nothing has served yet */
    APP_SERVING,
    APP_REMOVING,
    APP_STOPPING,
    APP_GONE,
    _APP_STATE_MAX,
    _APP_STATE_INVALID = -22,
} AppState;

typedef struct App App;

/* Something that is kept changed (app-record.h), or the app is gone and may be freed. */
typedef int (*AppFunction)(App *app, void *userdata);

struct App {
    const InstanceHost *host;
    char *id;
    AppState state;
    Deployment *deployments; /* owned, newest first */
    Deployment *serving;     /* one of them, or NULL */
    Deployment *running;     /* likewise; while finishing it is also `serving` */
    Instance *instances;     /* owned */
    ForwardPort *port;       /* of `serving` */
    ForwardPort *next_port;  /* of `running`, where it is another */
    char *problem;           /* why the port is not served; NULL: it is, or nobody wants it */
    uint64_t picks;
    unsigned crashes; /* in a row */
    int64_t restart_at_ms;
    bool is_unsaved;
    LoopTimer soon;  /* the next step */
    LoopTimer later; /* a deadline, or something to try again */
    AppFunction on_change;
    void *userdata;
    App *next; /* for its owner */
};

App *app_new(const InstanceHost *host, const char *id, AppFunction on_change,
             void *userdata) _must_check_;
App *app_free(App *app); /* what runs, runs on */
DEFINE_CLEANUP(App, app_free)

/* Whether clients see it: it serves, or its first deployment runs. */
bool app_is_there(const App *app);

Deployment *app_find_deployment(const App *app, const char *id);
DeploymentCounts app_count(const App *app, const Deployment *deployment);

/* All instances of the serving deployment are healthy, and no others are there. */
bool app_is_settled(const App *app);

/* Begins a deployment (taken on success only); there must be none running. Undone if it cannot be
 * saved. */
int app_deploy(App *app, Deployment *deployment, Error *err) _must_check_;

/* 0: cancelled or finished before. -EALREADY: the switch has been made. */
int app_cancel(App *app, Deployment *deployment) _must_check_;

void app_remove(App *app);
void app_stop(App *app);         /* all its processes, but not its file */
void app_stop_at_once(App *app); /* the same without grace */
void app_step_soon(App *app);

/* An instance that was found; it is kept or ended by the next step. */
void app_adopt(App *app, const char *id, const InstanceRecord *record);
