/* SPDX-License-Identifier: MIT */
/* All apps of one state directory, what they share, and the files that survive the process:
 *
 *     STATE/lock             held by the engine that has this directory
 *     STATE/apps/APP.json    what is wanted (app-record.h), written before it is begun
 *     STATE/instances/ID/    what was started (instance.h), made before it is started
 *     STATE/logs/APP/        what services wrote
 *
 * So whatever moment an engine is killed in, the next one knows what runs and what should. */
#pragma once

#include "agent/engine-local/app.h"

#define ENGINE_APPS_MAX 64
#define ENGINE_CONNECTIONS_MAX 2048 /* carried at once, for all apps together */

typedef struct Engine Engine;

/* Opens the directory, finds what runs, and begins to do what is missing. -EBUSY: another engine
 * has it. `files_max` is the RLIMIT_NOFILE of services. */
int engine_open(Loop *loop, const char *state_path, const char *keeper_path, int64_t files_max,
                Engine **ret, Error *err) _must_check_;
Engine *engine_close(Engine *engine); /* what runs, runs on */
DEFINE_CLEANUP(Engine, engine_close)

/* Ends all services, keeps what is wanted, and stops the loop when nothing is left. Asked again, it
 * does so without grace. */
void engine_stop(Engine *engine);
bool engine_is_stopping(const Engine *engine);

App *engine_first_app(const Engine *engine); /* then app->next */
App *engine_find_app(const Engine *engine, const char *id);
Deployment *engine_find_deployment(const Engine *engine, const char *id, App **ret_app);
size_t engine_connections(const Engine *engine);

/* The app, made if need be. -EBUSY: there are ENGINE_APPS_MAX. */
int engine_get_app(Engine *engine, const char *id, App **ret, Error *err) _must_check_;
