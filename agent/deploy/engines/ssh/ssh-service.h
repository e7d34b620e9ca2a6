/* SPDX-License-Identifier: MIT */
/* What a service on plain hosts is: the checked and filled-in form of
 * protocol/schema/ssh-service.schema.json, and the two files that it becomes on a host. */
#pragma once

#include "protocol/json.h"

#include <stdint.h>

typedef struct SshService {
    Json *json; /* as it came; owns every text below */
    const char *id;
    const char *base;
    const char *root;
    const char *health_url; /* NULL: none */
    int64_t restart_timeout_ms;
    int64_t health_passes;
    int64_t health_interval_ms;
    int64_t health_timeout_ms;
    int64_t health_deadline_ms;
    size_t keep;
    size_t batch;
} SshService;

/* Checks the value (referred to, not copied); every mistake is in `err`. -EINVAL. */
int ssh_service_from_json(const Json *json, SshService **ret, Error *err) _must_check_;
SshService *ssh_service_free(SshService *service);
DEFINE_CLEANUP(SshService, ssh_service_free)

/* Appends the script that restarts it, stops it, and says how it is. */
int ssh_service_append_control(const SshService *service, Buffer *out) _must_check_;

/* Appends its variables, to be read alike by a shell and by systemd's EnvironmentFile=. */
int ssh_service_append_env(const SshService *service, Buffer *out) _must_check_;

/* Appends the address that says whether it is well on `host` (a name or an address). */
int ssh_service_append_health_url(const SshService *service, const char *host,
                                  Buffer *out) _must_check_;

/* What the engine calls it: "ID:BASE", since the base is where hosts are asked about it. */
int ssh_service_append_app(const SshService *service, Buffer *out) _must_check_;

/* The base in such a name, borrowed from it; NULL: it is none. */
const char *ssh_service_base_of(const char *app);
