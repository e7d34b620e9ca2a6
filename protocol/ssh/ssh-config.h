/* SPDX-License-Identifier: MIT */
/* What ssh_config(5) says about one host: the part of it that decides where a connection goes, with
 * which keys, and which host keys are believed. What else is in the file is not our business, but
 * for what needs another way to the host: then `needs_program` names it. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/ssh/ssh-address.h"

#include <stdbool.h>
#include <stdint.h>

/* Of one file; of files that include others; of values of one keyword. */
#define SSH_CONFIG_SIZE_MAX ((size_t)1 << 20)
#define SSH_CONFIG_DEPTH_MAX 8
#define SSH_CONFIG_FILES_MAX 64
#define SSH_CONFIG_VALUES_MAX 64

#define SSH_PORT 22
#define SSH_CONNECT_TIMEOUT_MS 10000
#define SSH_ALIVE_INTERVAL_MS 15000
#define SSH_ALIVE_COUNT 3

typedef struct SshConfigList {
    char *items[SSH_CONFIG_VALUES_MAX];
    size_t n;
    bool is_set; /* also by "none" */
} SshConfigList;

typedef struct SshConfig {
    char *path;           /* the file that is read instead of the user's and the system's; NULL */
    char *home;           /* of the user who runs this */
    char *alias;          /* the host as it was asked for */
    char *host_name;      /* where it is */
    char *host_key_alias; /* under what it is in known_hosts, whatever its port; NULL: its name */
    char *user;           /* to log in as */
    uint16_t port;        /* to connect to */
    int address_family;   /* AF_UNSPEC, AF_INET, AF_INET6; -1 while unknown */
    SshConfigList identity_files; /* that are there, in order; a `.pub` chooses a key of the
                                     agent */
    SshConfigList known_hosts;    /* the user's files */
    SshConfigList system_known_hosts;
    char *identity_agent;   /* the socket of ssh-agent; "none" */
    int is_identities_only; /* -1 while unknown */
    int64_t connect_timeout_ms;
    int64_t alive_interval_ms; /* 0: the peer is never asked */
    int64_t alive_count;
    char *needs_program; /* "ProxyJump", "ProxyCommand"; NULL: we can connect */
} SshConfig;

/* Reads `path` (NULL: ~/.ssh/config, then /etc/ssh/ssh_config) for the host of `address`, whose own
 * user and port come first. Files that are not there are empty ones, `path` excepted. `Match`
 * blocks are passed over: they may run programs, and what they hold is said at debug. -EINVAL names
 * file and line. */
int ssh_config_load(const SshAddress *address, const char *path, SshConfig *ret,
                    Error *err) _must_check_;

void ssh_config_done(SshConfig *config);
#define _cleanup_ssh_config_ _cleanup_(ssh_config_done)

/* For the fuzz target: takes the lines of one text, without reading any file that it names. */
int ssh_config_parse(const char *text, size_t n, SshConfig *config, Error *err) _must_check_;
