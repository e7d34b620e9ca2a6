/* SPDX-License-Identifier: MIT */
/* What goes when: calls by age, by number and when the disk is short, oldest first; with them their
 * runs' workspaces and the inputs of their time. The runners' cache and releases are theirs. */
#pragma once

#include "agent/calls/call.h"

typedef struct CleanupDisk {
    int64_t free_bytes;
    int64_t total_bytes;
    int64_t free_inodes;  /* for us, who may be less than root */
    int64_t total_inodes; /* 0: the file system has no such limit */
} CleanupDisk;

int cleanup_read_disk(int state_fd, CleanupDisk *ret) _must_check_;
/* With fewer bytes free than this the oldest calls go early. */
int64_t cleanup_disk_mark(const AgentConfig *config, const CleanupDisk *disk);
bool cleanup_is_disk_short(const AgentConfig *config, const CleanupDisk *disk);

/* Does a bounded part of what is due at `now_us` with that much disk. Moves to trash/ only, so it
 * takes no time; *ret_removed says how many calls went. Returns 1 while there is more to do. */
int cleanup_step(Calls *calls, int64_t now_us, const CleanupDisk *disk, size_t *ret_removed);

/* Puts the directory of a call that never became one aside, or whatever else stands in calls/. */
int cleanup_discard(Calls *calls, int dir_fd, const char *name) _must_check_;
