/* SPDX-License-Identifier: MIT */
/* One process of a service, seen from the engine: its keeper, its port, its health.
 *
 *     starting ──► healthy ◄──► unhealthy          as its health checks say
 *         └───────────┴─────────────┴──► draining ──► stopping ──► gone
 *
 * `draining` waits for its connections, `stopping` for its processes. STATE/instances/ID/ is all
 * that a later engine needs to find it again: record.json, and the keeper behind control.sock. */
#pragma once

#include "agent/engine-local/forward.h"
#include "agent/engine-local/health.h"
#include "agent/engine-local/keeper/keeper.h"
#include "agent/engine-local/loop.h"
#include "agent/engine-local/specification.h"

#define INSTANCE_ID_SIZE sizeof("20260101T000000-0123456789abcdef")
#define INSTANCE_LOG_BYTES_MAX ((int64_t)1 << 20) /* of one file, of which there are two */

typedef enum InstanceState {
    INSTANCE_STARTING,
    INSTANCE_HEALTHY,
    INSTANCE_UNHEALTHY,
    INSTANCE_DRAINING,
    INSTANCE_STOPPING,
    INSTANCE_GONE,
    _INSTANCE_STATE_MAX,
    _INSTANCE_STATE_INVALID = -22,
} InstanceState;

typedef struct Instance Instance;

/* What all instances of an engine share. */
typedef struct InstanceHost {
    Loop *loop;
    Health *health;
    Forward *forward;
    int instances_fd; /* STATE/instances */
    int logs_fd;      /* STATE/logs */
    const char *keeper_path;
    int64_t files_max; /* RLIMIT_NOFILE that services get */
} InstanceHost;

/* Its state changed, or `problem` did. The owner may free it once it is gone, not before. */
typedef void (*InstanceFunction)(Instance *instance, void *userdata);

struct Instance {
    const InstanceHost *host;
    char id[INSTANCE_ID_SIZE];
    char *app;
    char *deployment;
    char *log_name;
    InstanceState state;
    pid_t pid; /* of the service; 0 until its keeper has said it */
    int64_t started_us;
    int64_t healthy_since_ms;   /* clock_monotonic_ms; 0: never was */
    int64_t unhealthy_since_ms; /* likewise; 0: is not */
    bool was_healthy;
    KeeperEnd end; /* how, once it is gone */
    bool has_died; /* gone without having been told to end */
    char *problem; /* why it is not healthy, or how it ended; NULL: nothing to say */
    ForwardTarget target;
    Instance *next; /* for its owner */

    int dir_fd;
    LoopSource control;
    Buffer control_input;
    char *health_path;
    int64_t interval_ms, timeout_ms, delay_ms, grace_ms;
    unsigned failures; /* health checks in a row */
    HealthCheck *check;
    LoopTimer timer;
    InstanceFunction on_change;
    void *userdata;
};

const char *instance_state_name(InstanceState state); /* as the API has it */

/* Starts a new one of `specification`. Its end, also one at once, is told by `on_change`. */
int instance_start(const InstanceHost *host, const Specification *specification,
                   const char *deployment, uint16_t port, InstanceFunction on_change,
                   void *userdata, Instance **ret, Error *err) _must_check_;

/* What a directory in STATE/instances says: whose it is, and whether its keeper lives. */
typedef struct InstanceRecord {
    Json *json; /* owns the texts */
    const char *app;
    const char *deployment;
    uint16_t port;
    int64_t started_us;
} InstanceRecord;
void instance_record_done(InstanceRecord *record);
int instance_record_read(const InstanceHost *host, const char *id, InstanceRecord *ret,
                         Error *err) _must_check_;

/* Takes over one that an earlier engine started. -ENOENT: its keeper is gone; what it may have left
 * has been ended and its directory removed. */
int instance_adopt(const InstanceHost *host, const char *id, const InstanceRecord *record,
                   const Specification *specification, InstanceFunction on_change, void *userdata,
                   Instance **ret, Error *err) _must_check_;

/* Ends whatever a directory stands for, as one that belongs to nobody. */
void instance_end_unknown(const InstanceHost *host, const char *id);

/* No new connections; after its connections or the grace have ended, SIGTERM, then SIGKILL. */
void instance_drain(Instance *instance);
/* SIGTERM now, SIGKILL after `grace_ms`. */
void instance_stop(Instance *instance, int64_t grace_ms);

/* Alive and not told to end. */
bool instance_is_wanted(const Instance *instance);

/* The last lines of its log. */
int instance_log_tail(const Instance *instance, size_t n_lines, Buffer *out) _must_check_;

/* Forgets the object. If it is not gone, its processes go on. Returns NULL. */
Instance *instance_free(Instance *instance);
