/* SPDX-License-Identifier: MIT */
#include "agent/calls/cleanup.h"

#include "agent/calls/store/inputs.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Calls in one step: each costs some five system calls. */
#define STEP_CALLS 64

/* Calls that are looked at in one step, because some are not to go yet. */
#define STEP_LOOKS 512

/* When the disk is short, calls go one by one, so that not more go than need to. The space comes
 * back only when the remover was there, so it goes on with the next clean-up. */
#define STEP_CALLS_DISK 8

#define DAY_US ((int64_t)24 * 3600 * 1000000)

int cleanup_read_disk(int state_fd, CleanupDisk *ret)
{
    struct statvfs st;

    if (fstatvfs(state_fd, &st) < 0) {
        return -errno;
    }
    ret->free_bytes = (int64_t)st.f_bavail * (int64_t)st.f_frsize;
    ret->total_bytes = (int64_t)st.f_blocks * (int64_t)st.f_frsize;
    ret->free_inodes = (int64_t)st.f_favail;
    ret->total_inodes = (int64_t)st.f_files;
    return 0;
}

int64_t cleanup_disk_mark(const AgentConfig *config, const CleanupDisk *disk)
{
    return disk->total_bytes / 100 * config->disk_free_percent;
}

bool cleanup_is_disk_short(const AgentConfig *config, const CleanupDisk *disk)
{
    return disk->free_bytes < cleanup_disk_mark(config, disk);
}

/* A name of its own in trash/, so that a run that comes again is not in the way. */
int cleanup_discard(Calls *calls, int dir_fd, const char *name)
{
    static unsigned counter;
    _cleanup_free_ char *aside = NULL;

    if (asprintf(&aside, "%s.%lld.%u", name, (long long)clock_wall_us(), counter++) < 0) {
        aside = NULL;
        return -ENOMEM;
    }
    if (renameat(dir_fd, name, calls->trash_fd, aside) < 0 && errno != ENOENT) {
        return -errno;
    }
    return 0;
}

/* ---- a call -----------------------------------------------------------------------------------
 */

static bool has_live_run(Calls *calls, const char *run)
{
    const LiveCall *live;

    TAILQ_FOREACH (live, &calls->queue, entry) {
        if (live->run && strcmp(live->run, run) == 0) {
            return true;
        }
    }
    TAILQ_FOREACH (live, &calls->running, entry) {
        if (live->run && strcmp(live->run, run) == 0) {
            return true;
        }
    }
    return false;
}

/* 1: gone, 0: it stays for now. */
static int remove_call(Calls *calls, Call *call)
{
    _cleanup_call_spec_ CallSpec spec = {0};
    _cleanup_fd_ int fd = -1;
    int r = 0;

    if (!LIST_EMPTY(&call->followers)) {
        return 0;
    }
    if (call_dir_open(calls->calls_fd, call->id, &fd, NULL) == 0 &&
        call_dir_read_spec(fd, &spec, NULL) == 0) {
        /* What a call of the same run left is still wanted: a package between its approval and its
         * deploy. */
        if (spec.run && has_live_run(calls, spec.run)) {
            return 0;
        }
        if (index_remove(&calls->index, call->id, spec.key, spec.run) > 0) {
            r = cleanup_discard(calls, calls->index.runs_fd, spec.run ? spec.run : call->id);
        }
    }
    r = r == 0 ? cleanup_discard(calls, calls->calls_fd, call->id) : r;
    if (r < 0) {
        return r;
    }
    calls_forget(calls, call);
    return 1;
}

/* ---- inputs -----------------------------------------------------------------------------------
 */

static bool mentions(const Json *value, const char *input)
{
    for (JsonMember m = {0}; json_next_member(value, &m);) {
        const char *text = json_as_string(m.value);

        if ((text && strcmp(m.name, "input") == 0 && strcmp(text, input) == 0) ||
            mentions(m.value, input)) {
            return true;
        }
    }
    for (size_t i = 0; i < json_length(value); i++) {
        if (mentions(json_at(value, i), input)) {
            return true;
        }
    }
    return false;
}

static bool is_mentioned_by(const struct LiveCallList *list, const char *input)
{
    const LiveCall *live;

    TAILQ_FOREACH (live, list, entry) {
        _cleanup_call_spec_ CallSpec spec = {0};
        _cleanup_fd_ int fd = -1;

        if (call_dir_open(live->calls->calls_fd, live->call->id, &fd, NULL) < 0 ||
            call_dir_read_spec(fd, &spec, NULL) < 0 ||
            mentions(json_get(spec.root, "parameters"), input)) {
            return true; /* what cannot be known stays */
        }
    }
    return false;
}

static bool is_input_used(const char *input, void *userdata)
{
    Calls *calls = userdata;

    return is_mentioned_by(&calls->queue, input) || is_mentioned_by(&calls->running, input);
}

/* ---- what is due ------------------------------------------------------------------------------
 */

static bool is_due(Calls *calls, const Call *call, int64_t now_us, bool is_short)
{
    size_t n_finished = calls->n_all - calls->n_queued - calls->n_running;
    char path[TEXT_IDENTIFIER_MAX + sizeof("/status.json")];
    struct stat st;

    if (is_short || n_finished > calls->config->keep_calls) {
        return true;
    }
    (void)snprintf(path, sizeof(path), "%s/status.json", call->id);
    return fstatat(calls->calls_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
           (int64_t)st.st_mtim.tv_sec * 1000000 <
               now_us - (int64_t)calls->config->keep_days * DAY_US;
}

int cleanup_step(Calls *calls, int64_t now_us, const CleanupDisk *disk, size_t *ret_removed)
{
    bool is_short = cleanup_is_disk_short(calls->config, disk);
    size_t max = is_short ? STEP_CALLS_DISK : STEP_CALLS, removed = 0, i = 0;
    int64_t inputs_before = now_us - (int64_t)calls->config->keep_days * DAY_US;

    while (removed < max && i < MIN(calls->n_all, (size_t)STEP_LOOKS)) {
        Call *call = calls->all[i];
        int64_t created_us = calls_id_time(call->id);
        int r = 0;

        if (call->state == CALL_FINISHED) {
            if (!is_due(calls, call, now_us, is_short)) {
                break; /* those that come are younger */
            }
            r = remove_call(calls, call);
        }
        if (r > 0) {
            removed++;
            inputs_before = MAX(inputs_before, created_us);
        } else {
            i++;
        }
    }
    (void)inputs_remove_old(calls->inputs_fd, inputs_before, is_input_used, calls);
    if (removed > 0) {
        log_debug("%zu old calls are removed", removed);
    }
    *ret_removed = removed;
    return removed == max && !is_short;
}
