/* SPDX-License-Identifier: MIT */
/* Docker's config.json, as far as it says how to log in: `auths`, `credHelpers`, `credsStore`.
 * Podman's auth.json is of the same form, and may name repositories besides hosts. */
#pragma once

#include "agent/package/registry/credential.h"
#include "protocol/base/error.h"

typedef struct DockerConfig DockerConfig;

/* A file that is larger is none that a login wrote. */
#define DOCKER_CONFIG_MAX ((size_t)1 << 20)

/* `path` is the file; one that is not there knows nothing. -EBADMSG: it cannot be understood. */
int docker_config_load(const char *path, DockerConfig **ret, Error *err) _must_check_;
/* The same from its text. `path` is for what is said about it. */
int docker_config_parse(const char *path, const char *text, size_t n, DockerConfig **ret,
                        Error *err) _must_check_;
DockerConfig *docker_config_free(DockerConfig *config);
DEFINE_CLEANUP(DockerConfig, docker_config_free)

/* Path of the file where docker has it: in `directory`, else $DOCKER_CONFIG, else ~/.docker. NULL
 * in *ret_path: there is no such place. */
int docker_config_path(const char *directory, char **ret_path) _must_check_;

/* 1: how to log in to the host for this repository. 0: nothing is said of it. May run a credential
 * helper. */
int docker_config_find(const DockerConfig *config, const char *host, const char *repository,
                       Credential *ret, Error *err) _must_check_;
