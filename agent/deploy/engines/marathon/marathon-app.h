/* SPDX-License-Identifier: MIT */
/* What Marathon says of an app (the object `app` of GET /v2/apps/ID), read for a deployment.
 *
 * Marathon has two states of an app and shows both in one object: what is wanted, which a PUT
 * changes at once, and the tasks, each with the version of the app that it was started as. So a
 * deployment is never judged by the app's own members alone, nor by the deployment's absence from
 * the list: a task counts as new when it is of the wanted configuration, as healthy when each of
 * the app's checks has passed on it, and everything else is old. All functions only read. */
#pragma once

#include "agent/deploy/engine.h"

/* SHA-256 of what was sent, so that "unchanged" does not depend on knowing every default. */
#define MARATHON_LABEL_SENT "slipway.sent"

/* A label of ours, or NULL. */
const char *marathon_app_label(const Json *app, const char *name);

/* Some deployment of the app is under way. */
bool marathon_app_is_locked(const Json *app);

/* The ID of the first one, Marathon's own; NULL. */
const char *marathon_app_deployment(const Json *app);

/* Since when the configuration is as it is: tasks of that version and of later ones, which differ
 * in the number of instances alone, are new. NULL where Marathon does not say. */
const char *marathon_app_config_version(const Json *app);

/* A time of Marathon's, as its tasks and failures have it, is of the configuration since
 * `config_version`. */
bool marathon_app_is_of(const char *version, const char *config_version);

/* Counts the tasks against the configuration since `config_version`. */
void marathon_app_count(const Json *app, const char *config_version, EngineCounts *ret);

/* The version of a task that is not of the wanted configuration and runs; NULL: there is none. */
const char *marathon_app_old_version(const Json *app);

/* A copy without what Marathon says about it, as it can be sent again. -ENOMEM. */
int marathon_app_specification(const Json *app, Json **ret) _must_check_;
