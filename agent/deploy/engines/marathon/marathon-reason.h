/* SPDX-License-Identifier: MIT */
/* Why a deployment is not there: the tightest that Marathon says about it. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/json.h"

#include <stdbool.h>

/* The last failure of a task of the configuration since `config_version`, or NULL. */
const Json *marathon_reason_failure(const Json *app, const char *config_version);

typedef enum MarathonVerdict {
    MARATHON_WAIT,    /* Marathon tries again, and that may help */
    MARATHON_SUSPECT, /* the same once more will not get better */
    MARATHON_HOPELESS,
} MarathonVerdict;

/* What a failure means: a host that was lost is nobody's fault; an image that nobody has, a task
 * that cannot be, a check that failed as often as the app allows, are final. A service that ended
 * may find its database the second time. */
MarathonVerdict marathon_reason_judge(const Json *failure);

/* Appends what failed, with what and where. */
int marathon_reason_append_failure(const Json *app, const Json *failure, Buffer *text) _must_check_;

/* Appends the check that fails on a new task now; nothing if none does. */
int marathon_reason_append_check(const Json *app, const char *config_version,
                                 Buffer *text) _must_check_;

/* Appends why Mesos runs no more instances of the app: the answer of GET /v2/queue. Nothing if the
 * app does not wait. */
int marathon_reason_append_queue(const Json *queue, const char *app_id, Buffer *text) _must_check_;

/* Appends the message of an error answer and every detail, with the place of each. */
int marathon_reason_append_error(const Json *answer, Buffer *text) _must_check_;
