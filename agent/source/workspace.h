/* SPDX-License-Identifier: MIT */
/* The workspace of a run: a directory that stays the same directory while its content comes and
 * goes, because others stand in it. Beside it lies source.json, which says what is in it. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

typedef struct Workspace {
    int fd;        /* the directory */
    int parent_fd; /* where source.json is */
} Workspace;

#define WORKSPACE_INIT ((Workspace){.fd = -1, .parent_fd = -1})

int workspace_open(const char *path, Workspace *ret, Error *err) _must_check_;
void workspace_done(Workspace *workspace);
#define _cleanup_workspace_ _cleanup_(workspace_done)

/* What source.json says: NULL when there is none, an object without members when what is in the
 * workspace may be half of something. The caller's. */
int workspace_read_note(const Workspace *workspace, Json **ret, Error *err) _must_check_;
int workspace_write_note(const Workspace *workspace, const Json *note, Error *err) _must_check_;

/* Before anything in the workspace is touched: from now on it may be half of something. */
int workspace_forget(const Workspace *workspace, Error *err) _must_check_;

/* Takes all that is in it away. */
int workspace_clear(const Workspace *workspace, Error *err) _must_check_;

/* 1: there is nothing in it; 0: there is. */
int workspace_is_empty(const Workspace *workspace, Error *err) _must_check_;

/* Puts what is in directory `name` of the parent into the workspace, which is empty, and removes
 * `name`. */
int workspace_move_in(const Workspace *workspace, const char *name, Error *err) _must_check_;
