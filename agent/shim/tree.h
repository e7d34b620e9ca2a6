/* SPDX-License-Identifier: MIT */
/* All processes that descend from this one. As a child subreaper it inherits every orphan among
 * them, so a process can leave its parent, session and group, but not this tree; and once waitpid
 * says that there is no child, nothing is left: that is the proof. */
#pragma once

#include "protocol/base/macro.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct TreeProcess {
    pid_t pid;
    pid_t parent;
    unsigned long long started; /* with the pid: this process and no later one */
    bool is_alive;              /* not a zombie */
    bool is_ours;
} TreeProcess;

typedef struct TreeList {
    TreeProcess *processes; /* by pid */
    size_t n;
} TreeList;

/* Makes this process the subreaper of what it starts. -errno. */
int tree_adopt(void) _must_check_;

/* The descendants of `root`, without it, by /proc. The list is the caller's. -errno. */
int tree_list(pid_t root, TreeList *ret) _must_check_;
void tree_list_done(TreeList *list);
#define _cleanup_tree_list_ _cleanup_(tree_list_done)

/* How many descendants of this process live. */
int tree_count(void);

/* SIGTERM for every descendant, and SIGCONT, so that also those hear it which are stopped. */
void tree_terminate(void);

/* SIGKILL for every descendant. They are stopped first, until no new one appears: a tree that
 * forks faster than it is killed cannot get away. Later orphans and forks need another call. */
void tree_kill(void);

/* Reaps who has ended. Returns whether there is any child left. If `pid` is among those who ended,
 * its status goes to *ret_status and *ret_has_ended becomes true. */
bool tree_reap(pid_t pid, int *ret_status, bool *ret_has_ended) _must_check_;
