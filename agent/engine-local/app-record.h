/* SPDX-License-Identifier: MIT */
/* An app as JSON: what clients see, and what is kept in STATE/apps/APP.json. */
#pragma once

#include "agent/engine-local/app.h"

/* GET /v1/apps/APP. Without a deployment that serves, only `next` says what goes on. The caller's.
 */
int app_record_describe(const App *app, Json **ret) _must_check_;

/* As it is kept on disk: which deployment serves, and all that are remembered. */
int app_record_to_json(const App *app, Json **ret) _must_check_;

/* Fills an app that is new. One without a serving and a running deployment is left to be removed.
 */
int app_record_from_json(const Json *json, App *app, Error *err) _must_check_;
