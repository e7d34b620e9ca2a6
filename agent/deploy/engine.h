/* SPDX-License-Identifier: MIT */
/* The interface between the policy (deploy.c) and an engine (engines/NAME.c).
 *
 * An engine file translates seven verbs to the API of one cluster manager, and does nothing else.
 * It never sleeps, never retries, never decides: how long to wait, how often to ask, what a failure
 * leads to, and who may deploy at all is written once, above it. That keeps an engine file small,
 * and makes every engine behave the same where it matters.
 *
 * Life of a session, as the policy leads it (brackets: perhaps, star: again and again):
 *
 *     open → current* → plan* → [apply → poll* → current* → [cancel → poll*]] → close
 *
 * - `open` comes first, `close` last and exactly once for each successful `open`.
 * - After `open`, any verb may be called at any time, also for deployments that an earlier process
 *   began: all that a session knows, it can learn from the engine. A deployment is named by an ID
 *   which the policy chose, wrote to disk, and only then gave to `apply`.
 * - Verbs block for as long as one request takes (http.h bounds it), and are never called from two
 *   threads.
 *
 * What a verb returns:
 *
 * - 0 (or what the verb says): done, outputs are written, `err` is untouched.
 * - ENGINE_AWAY: the engine could not be asked, or lost the answer, or is overloaded; `err` says
 * how. The same verb with the same arguments may be called again; `apply` too, because its ID makes
 * it safe to repeat.
 * - ENGINE_BUSY (`apply`): another deployment of the same app is under way; `err` says which.
 * - ENGINE_UNCHANGED (`apply`): exactly this runs already, and no deployment was made of it.
 * - ENGINE_ABSENT (`current`): nothing runs under that name.
 * - a negative errno: the engine said no, for good; `err` has the engine's own words.
 *
 * Ownership: arguments are borrowed for the time of the call. Outputs belong to the caller, who
 * gives them zeroed and frees them with the engine_…_done functions below, also after a failure.
 *
 * To add an engine: a file in engines/ that defines `const Engine engine_NAME`, a line in the table
 * of engine.c, a unit test, and a row in the conformance test. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>
#include <stdint.h>

/* Grows by one when a member of Engine changes its meaning; members are added at the end only. */
#define ENGINE_INTERFACE_VERSION 2

typedef enum EngineAnswer {
    ENGINE_AWAY = 1,
    ENGINE_BUSY,
    ENGINE_UNCHANGED,
    ENGINE_ABSENT,
} EngineAnswer;

/* The labels that every engine puts on the running app. They are how `changes`, the next deploy and
 * a person with the engine's own tools learn what runs. */
#define ENGINE_LABEL_DIGEST "slipway.digest"
#define ENGINE_LABEL_COMMIT "slipway.commit"
#define ENGINE_LABEL_VERSION "slipway.version"
/* For engines that cannot keep the policy's ID of a deployment anywhere else: `apply` puts it on.
 */
#define ENGINE_LABEL_DEPLOYMENT "slipway.deployment"

/* Of new instances `wanted`, how many there are and how many are healthy; and how many of others
 * are not gone yet. */
typedef struct EngineCounts {
    int64_t wanted;
    int64_t updated;
    int64_t healthy;
    int64_t old;
} EngineCounts;

/* What runs under a name now. All texts may be NULL where the engine does not know. */
typedef struct EngineCurrent {
    char *deployment; /* the ID that was given to `apply` */
    char *next;       /* the ID of a deployment that is under way */
    char *digest;     /* from the labels, as are the next two */
    char *commit;
    char *version;
    char *url;
    Json *specification; /* as the engine has it */
    EngineCounts counts; /* relative to `deployment`: `old` are all others */
} EngineCurrent;

/* What `apply` would do. */
typedef struct EnginePlan {
    char *app;           /* the name that the specification gives it at the engine */
    Json *specification; /* as it will be sent: the template with the labels of the release */
    bool is_unchanged;   /* the engine already runs exactly that */
    Json *before;        /* what runs, in the terms of `specification`: without what the engine adds
                          * by itself, so that the two can be compared. NULL: nothing runs, or the
                          * `specification` of `current` does for that */
} EnginePlan;

/* What is to be put on an app as labels. */
typedef struct EngineLabels {
    const char *digest;
    const char *commit;
    const char *version;
} EngineLabels;

typedef enum EngineState {
    ENGINE_UNKNOWN, /* the engine has no deployment of that ID: it never came there, or is forgotten
                     */
    ENGINE_RUNNING,
    ENGINE_SUCCEEDED, /* what the engine claims; the policy looks at the counts as well */
    ENGINE_FAILED,
    ENGINE_CANCELLED,
    ENGINE_FAILING, /* it will not come up, and the engine goes on trying: the policy cancels it */
    _ENGINE_STATE_MAX,
} EngineState;

typedef struct EngineStatus {
    EngineState state;
    char *phase;  /* the engine's word for where it is; NULL */
    char *reason; /* the tightest that the engine has: of a failure, or of what holds up a
                   * deployment that still runs; NULL */
    char *log;    /* the last lines of what failed, with line feeds; NULL */
    EngineCounts counts;
} EngineStatus;

typedef struct EngineSession EngineSession; /* each engine's own */

typedef struct Engine {
    unsigned interface_version; /* ENGINE_INTERFACE_VERSION at the time of compiling */
    const char *name;           /* as `engine` in agent.json */
    const char *title;

    /* The template for a repository that has none; filled like any other (template.h). */
    const char *default_template;

    /* Does this engine run a tree of files on this host (`${root}`), so that the package has to be
     * unpacked before `plan`? */
    bool needs_root;

    /* Reads the environment (an object of agent.json with its `name`; it and all below it outlive
     * the session) and makes ready to ask. Need not reach the engine. -EINVAL: the configuration is
     * wrong. */
    int (*open)(const Json *environment, EngineSession **ret, Error *err);

    /* What serves as `app`, or ENGINE_ABSENT. A first deployment that is still under way does not
     * serve.
     */
    int (*current)(EngineSession *session, const char *app, EngineCurrent *ret, Error *err);

    /* What `specification` (a filled template) with `labels` means, and whether it would change
     * anything. Changes nothing itself. -EINVAL: this is no specification for this engine. */
    int (*plan)(EngineSession *session, const Json *specification, const EngineLabels *labels,
                EnginePlan *ret, Error *err);

    /* Asks for `specification` (from a plan, perhaps of an earlier process) to run as the
     * deployment `deployment`. Repeating it is without effect. Success means that it was asked for,
     * not more. */
    int (*apply)(EngineSession *session, const char *app, const Json *specification,
                 const char *deployment, Error *err);

    /* How a deployment of `app` is doing. One that the engine does not know is success,
     * ENGINE_UNKNOWN. After `cancel` it is ENGINE_RUNNING until the engine has got back. */
    int (*poll)(EngineSession *session, const char *app, const char *deployment, EngineStatus *ret,
                Error *err);

    /* Asks for a deployment to be given up, so that what ran before goes on. 0 also when it has
     * ended or never was: `poll` tells. */
    int (*cancel)(EngineSession *session, const char *app, const char *deployment, Error *err);

    /* Takes NULL. What the session asked for goes on. */
    EngineSession *(*close)(EngineSession *session);

    /* The policy does not look more often than this, for an engine that is far away and everybody's
     * (0: as often as it sees fit). */
    int64_t look_interval_ms;
} Engine;

void engine_current_done(EngineCurrent *current);
void engine_plan_done(EnginePlan *plan);
void engine_status_done(EngineStatus *status);
#define _cleanup_engine_current_ _cleanup_(engine_current_done)
#define _cleanup_engine_plan_ _cleanup_(engine_plan_done)
#define _cleanup_engine_status_ _cleanup_(engine_status_done)

/* The engine that an environment names, from the table of all that are compiled in; the error of
 * one that is not lists those that are. */
int engine_find(const char *name, const Engine **ret, Error *err) _must_check_;

/* Of new instances all that are wanted are there and healthy, and none of others. */
static inline bool engine_counts_are_settled(const EngineCounts *c)
{
    return c->updated == c->wanted && c->healthy == c->wanted && c->old == 0;
}

/* Every engine that is compiled in: a file of engines/ each. */
extern const Engine engine_local;
extern const Engine engine_marathon;
extern const Engine engine_ssh;
extern const Engine engine_swarm;
