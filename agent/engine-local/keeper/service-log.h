/* SPDX-License-Identifier: MIT */
/* What a service wrote, bounded: NAME grows to a limit, then it becomes NAME.1 (the older one goes)
 * and a new one begins. Written by the keeper, read by the engine. */
#pragma once

#include "protocol/base/buffer.h"

#include <sys/types.h>

typedef struct ServiceLog {
    int dir_fd; /* borrowed */
    const char *name;
    int fd;
    off_t size;
    off_t limit; /* bytes of one file; the two together are at most twice this */
} ServiceLog;

/* Appends to what is there. -errno. */
int service_log_open(ServiceLog *log, int dir_fd, const char *name, off_t limit) _must_check_;
void service_log_done(ServiceLog *log);

/* Writes all of it. A full disk loses what does not fit: a service is not stopped for its log. */
int service_log_write(ServiceLog *log, const char *data, size_t n) _must_check_;

/* The last `n_lines` lines as text with line feeds, older file included; a line longer than
 * SERVICE_LOG_LINE_MAX loses its beginning. Nothing where there is no log. */
#define SERVICE_LOG_LINE_MAX ((size_t)1024)
int service_log_tail(int dir_fd, const char *name, size_t n_lines, Buffer *out) _must_check_;

/* Removes logs ("*.log", with what was before them) but the `n_kept` with the highest names. */
void service_log_prune(int dir_fd, size_t n_kept);
