/* SPDX-License-Identifier: MIT */
#include "agent/runners/deploy/running.h"

#include "agent/deploy/deploy.h"
#include "agent/runners/deploy/deploy-host.h"

#include <errno.h>
#include <string.h>

void running_done(Running *running)
{
    engine_current_done(&running->current);
    releases_done(&running->releases);
    *running = RUNNING_INIT;
}

static int load(const Spec *spec, Running *running, Error *err)
{
    int r =
        releases_open(spec->releases_directory, spec->environment_name, &running->releases, err);

    return r < 0 ? r : releases_load(&running->releases, err);
}

int running_remember(const Spec *spec, Running *ret, Error *err)
{
    int r = load(spec, ret, err);

    for (size_t i = ret->releases.count; r == 0 && !ret->release && i > 0; i--) {
        const KeptRelease *release = &ret->releases.items[i - 1];
        const char *outcome = json_get_string(release->record, "outcome");

        if (outcome && strcmp(outcome, "succeeded") == 0) {
            ret->release = release;
            ret->is_running = true;
        }
    }
    return r;
}

static int ask_once(const Engine *engine, EngineSession *session, const char *app,
                    EngineCurrent *ret, Error *err)
{
    int r = engine->current(session, app, ret, err);

    return r == ENGINE_ABSENT ? DEPLOY_ABSENT : r > 0 ? -EIO : r;
}

static int ask_patiently(const Engine *engine, EngineSession *session, Report *report,
                         const char *app, Running *running, Error *err)
{
    DeployHostState state;
    DeployHost host;
    Deploy deploy = {
        .engine = engine,
        .session = session,
        .host = &host,
        .releases = &running->releases,
    };

    deploy_host_open(report, &state, &host);
    return deploy_current(&deploy, app, &running->current, err);
}

static int ask_engine(const Spec *spec, Report *report, const char *app, Running *running,
                      Error *err)
{
    const Json *environment = spec->environment;
    const Engine *engine = NULL;
    EngineSession *session = NULL;
    int r = engine_find(json_get_string(environment, "engine"), &engine, err);

    r = r < 0 ? r : engine->open(environment, &session, err);
    if (r < 0) {
        return error_wrap(err, "environment '%s'", spec->environment_name);
    }
    r = report ? ask_patiently(engine, session, report, app, running, err)
               : ask_once(engine, session, app, &running->current, err);
    session = engine->close(session);
    if (r < 0) {
        return error_wrap(err, "what runs in '%s' is not known", spec->environment_name);
    }
    running->is_running = r == 0 && running->current.deployment;
    return 0;
}

/* The app that this host knows the environment by is the last one that it deployed there. */
int running_ask(const Spec *spec, Report *report, Running *ret, Error *err)
{
    const char *app = NULL;
    int r = load(spec, ret, err);

    if (r == 0 && ret->releases.count > 0) {
        app = json_get_string(ret->releases.items[ret->releases.count - 1].record, "app");
    }
    if (r < 0 || !app) {
        return r;
    }
    r = ask_engine(spec, report, app, ret, err);
    if (r == 0 && ret->is_running) {
        ret->release = releases_find_running(&ret->releases, &ret->current);
    }
    return r;
}

/* The engine's word goes before the record's. */
static const char *either(const Running *running, const char *said, const char *name)
{
    return said ? said : running->release ? json_get_string(running->release->record, name) : NULL;
}

const char *running_commit(const Running *running)
{
    return running->is_running ? either(running, running->current.commit, "commit") : NULL;
}

const char *running_digest(const Running *running)
{
    return running->is_running ? either(running, running->current.digest, "digest") : NULL;
}

const char *running_version(const Running *running)
{
    return running->is_running ? either(running, running->current.version, "version") : NULL;
}
