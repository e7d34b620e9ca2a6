/* SPDX-License-Identifier: MIT */
/* What a service is: the checked and filled-in form of protocol/schema/local-service.schema.json.
 */
#pragma once

#include "protocol/json.h"

#include <stdint.h>

typedef struct Specification {
    Json *json; /* as it came; owns every text below that is const */
    const char *id;
    const char *root; /* NULL: none */
    const char *working_directory;
    const char *address;
    uint16_t port;
    size_t instances;
    const char *health_path;
    int64_t health_interval_ms;
    int64_t health_timeout_ms;
    int64_t health_deadline_ms;
    int64_t stop_grace_ms;
} Specification;

/* Checks the text against the schema; every mistake is in `err`, with its line. -EINVAL for a text
 * that is wrong. */
int specification_parse(const char *text, size_t n, Specification **ret, Error *err) _must_check_;

/* From a value that is already JSON, as kept on disk. `json` is borrowed. */
int specification_from_json(Json *json, Specification **ret, Error *err) _must_check_;

Specification *specification_free(Specification *specification);
DEFINE_CLEANUP(Specification, specification_free)

/* The same service, whatever the order of the members. */
bool specification_equal(const Specification *a, const Specification *b);

/* The command and the working directory as they are on this host: absolute paths that exist below
 * root are taken there. *ret is a NULL-terminated array in one allocation of strings each the
 * caller's: free with specification_command_free. -ENOENT when root is missing. */
int specification_command(const Specification *specification, char ***ret_command,
                          char **ret_directory, Error *err) _must_check_;
char **specification_command_free(char **command);
DEFINE_CLEANUP(char *, specification_command_free)

/* Appends the service's environment as the keeper reads it: the few names that every program may
 * expect (as this process has them), `env`, then PORT and the SLIPWAY_ names. */
int specification_environment(const Specification *specification, const char *deployment,
                              const char *instance, uint16_t port, Buffer *out) _must_check_;

/* The address for people and their browsers. The caller's. */
char *specification_url(const Specification *specification) _must_check_;
