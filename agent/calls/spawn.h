/* SPDX-License-Identifier: MIT */
/* The one place where the agent starts processes: shims, the programs that make the host's key and
 * forward the audit log, that which looks who answers, and the child that empties the trash. */
#pragma once

#include "agent/calls/agent-config.h"
#include "agent/calls/store/call-dir.h"

#include <uv.h>

/* Told once, when the process was reaped; not when the list is closed before. */
typedef void (*SpawnExited)(int64_t status, int signal, void *userdata);

/* One process, until it was reaped. */
typedef struct SpawnedProcess {
    uv_process_t handle;
    struct SpawnList *list;
    struct SpawnedProcess *next;
    SpawnExited exited; /* NULL: nobody asks */
    void *userdata;
} SpawnedProcess;

/* Processes of one loop. A handle lives until its process was reaped or the list is closed. */
typedef struct SpawnList {
    uv_loop_t *loop;
    SpawnedProcess *first;
    pid_t remover_pid; /* 0: none */
    uv_poll_t *remover;
    unsigned n_open;   /* handles that the loop still has */
    int64_t files_max; /* RLIMIT_NOFILE that the agent was given; 0: it has not changed it */
    void (*closed)(void *userdata);
    void *userdata;
} SpawnList;

/* What a shim is started with. Descriptors are borrowed; the agent closes its copies after. */
typedef struct SpawnRequest {
    const AgentConfig *config;
    const ActionConfig *action;
    const CallSpec *spec;
    const char *call;
    const char *cgroup; /* or NULL */
    int64_t files_max;  /* 0: as the agent has it */
    int call_fd;
    int lock_fd;
    int control_fd; /* listening */
} SpawnRequest;

/* Lets this process have as many descriptors as it may: a call that somebody follows takes six.
 * What was before is kept for the shims (files_max). */
void spawn_list_init(SpawnList *list, uv_loop_t *loop);

/* Lets the processes go on. Where the loop still has handles (n_open > 0), `closed` is called once
 * they are gone; never from inside this function. */
void spawn_list_close(SpawnList *list, void (*closed)(void *userdata), void *userdata);

/* Starts the shim in a session of its own: it outlives the agent. A program that cannot be executed
 * is told at once, with its path. */
int spawn_shim(SpawnList *list, const SpawnRequest *request, Error *err) _must_check_;

/* Starts slipway-host-key on STATE/keys. What goes wrong in there it says on the agent's stderr. */
int spawn_host_key(SpawnList *list, const AgentConfig *config, Error *err) _must_check_;

/* Starts slipway-audit-forward on STATE/audit for audit.forward of `config`. *ret_process lives
 * until `exited` is called. */
int spawn_audit_forward(SpawnList *list, const AgentConfig *config, SpawnExited exited,
                        void *userdata, SpawnedProcess **ret_process, Error *err) _must_check_;

/* Starts slipway-reach with these words (agent/reach), writing to `out_fd` (borrowed). `exited` is
 * called from the loop once it has ended, however it did; not where the list is closed before. */
int spawn_reach(SpawnList *list, const AgentConfig *config, char *const *words, int out_fd,
                SpawnExited exited, void *userdata, Error *err) _must_check_;

/* Empties the directory `trash_fd` (borrowed) in a child at low priority; nothing happens while
 * there is one already. */
int spawn_remover(SpawnList *list, int trash_fd, Error *err) _must_check_;

/* The environment of a step, the agent's part of it (agent/runners/README.md). NULL-terminated, the
 * caller's, freed with spawn_free_strings. */
int spawn_build_environment(const SpawnRequest *request, char ***ret) _must_check_;

/* The shim's command line; the same. */
int spawn_build_arguments(const SpawnRequest *request, char ***ret) _must_check_;

char **spawn_free_strings(char **strings);
DEFINE_CLEANUP(char *, spawn_free_strings)
