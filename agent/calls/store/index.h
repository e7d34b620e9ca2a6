/* SPDX-License-Identifier: MIT */
/* The ways to a call: idempotency/KEY by its idempotency key, runs/RUN/calls/CALL by its run
 * (README.md). Whatever a power cut took of them comes back with index_add. */
#pragma once

#include "protocol/base/macro.h"

#include <stddef.h>

typedef struct Index {
    int keys_fd;
    int runs_fd;
} Index;

/* Keys, runs and calls are identifiers; `run` may be NULL. What is there already is right. */
int index_add(const Index *index, const char *id, const char *key, const char *run) _must_check_;

/* Takes back what index_add made, and the run with it if it is empty otherwise. A key that leads to
 * another call stays. Returns 1 if this was the last call of the run: its directory, with the
 * workspace, is of no more use. */
int index_remove(const Index *index, const char *id, const char *key, const char *run);

/* 1 and the call's id, 0 if the key is not known. `id` has TEXT_IDENTIFIER_MAX + 1 bytes. */
int index_find(const Index *index, const char *key, char *id, size_t size) _must_check_;

/* The ids of a run's calls, sorted, each and the array to be freed. *ret_n 0 where there are none.
 */
int index_list_run(const Index *index, const char *run, char ***ret, size_t *ret_n) _must_check_;
