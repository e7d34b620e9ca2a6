/* SPDX-License-Identifier: MIT */
/* Events come from the files, in the order and with the numbers of the journal: a follower is a
 * place in it, and a slow reader holds up nobody. */
#include "agent/calls/call.h"
#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void follower_wake(CallFollower *follower)
{
    Calls *calls = follower->call->calls;

    if (follower->is_waiting && !follower->is_pending) {
        follower->is_pending = true;
        TAILQ_INSERT_TAIL(&calls->pending, follower, pending_entry);
        calls_request_turn(calls);
    }
}

int call_follow(Call *call, uint64_t after, void (*ready)(CallFollower *follower, void *userdata),
                void *userdata, CallFollower **ret, Error *err)
{
    CallFollower *follower = calloc(1, sizeof(*follower));
    int r;

    if (!follower) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *follower = (CallFollower){
        .call = call,
        .ready = ready,
        .userdata = userdata,
        .journal = JOURNAL_EMPTY,
        .after = after,
        .fd = -1,
        .log_fd = -1,
        .is_waiting = true, /* also one that is never read, only told of the end */
    };
    r = call_dir_open(call->calls->calls_fd, call->id, &follower->fd, err);
    if (r < 0) {
        free(follower);
        return r;
    }
    LIST_INSERT_HEAD(&call->followers, follower, entry);
    *ret = follower;
    return 0;
}

CallFollower *call_follower_free(CallFollower *follower)
{
    if (!follower) {
        return NULL;
    }
    if (follower->is_pending) {
        TAILQ_REMOVE(&follower->call->calls->pending, follower, pending_entry);
    }
    LIST_REMOVE(follower, entry);
    journal_done(&follower->journal);
    (void)fd_close(follower->fd);
    (void)fd_close(follower->log_fd);
    (void)json_unref(follower->details);
    free(follower->data);
    free(follower);
    return NULL;
}

bool call_follower_is_done(const CallFollower *follower)
{
    return follower->is_done;
}

/* ---- one event of each kind -------------------------------------------------------------------
 */

static int load_log(CallFollower *follower, const JournalRecord *record, CallEvent *event,
                    Error *err)
{
    ssize_t n;

    if (record->length > (int64_t)CALL_LOG_CHUNK_MAX) {
        return error_set(err, -EBADMSG, "a log record of %lld bytes", (long long)record->length);
    }
    if (follower->log_fd < 0) {
        follower->log_fd = openat(follower->fd, "output.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    if (!follower->data) {
        follower->data = malloc(CALL_LOG_CHUNK_MAX);
    }
    if (follower->log_fd < 0 || !follower->data) {
        return error_set_errno(err, follower->data ? -errno : -ENOMEM, "reading the log");
    }
    n = fd_pread_full(follower->log_fd, follower->data, (size_t)record->length, record->offset);
    if (n < 0) {
        return error_set_errno(err, (int)n, "reading the log");
    }
    event->type = CALL_EVENT_LOG;
    event->stream = record->stream;
    event->offset = record->offset;
    event->data = follower->data;
    event->len = (size_t)n;
    return 0;
}

static int describe_started(CallFollower *follower, const JournalRecord *record, Error *err)
{
    _cleanup_call_spec_ CallSpec spec = {0};
    int r = call_dir_read_spec(follower->fd, &spec, err);

    if (r < 0) {
        return r;
    }
    r = json_set_int(follower->details, "pid", json_get_int(record->json, "pid", 0));
    r = r == 0 ? call_dir_set_seconds(follower->details, "waitedSeconds",
                                      record->time_us - spec.created_us)
               : r;
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

static int describe_finished(CallFollower *follower, Error *err)
{
    Json *result;
    int r = call_read_result(follower->call, &result, err);

    if (r < 0) {
        return r;
    }
    r = json_set_take(follower->details, "result", result);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

static int load_report(CallFollower *follower, const JournalRecord *record, CallEvent *event,
                       Error *err)
{
    int r;

    follower->details = json_unref(follower->details);
    r = result_describe_report(follower->call->id, record, &event->type, &follower->details);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

static int load(CallFollower *follower, const JournalRecord *record, CallEvent *event, Error *err)
{
    int r;

    if (record->type == JOURNAL_LOG) {
        return load_log(follower, record, event, err);
    }
    follower->details = json_new_object();
    if (!follower->details) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    switch (record->type) {
    case JOURNAL_STARTED:
        event->type = CALL_EVENT_STARTED;
        r = describe_started(follower, record, err);
        break;
    case JOURNAL_FINISHED:
        event->type = CALL_EVENT_FINISHED;
        r = describe_finished(follower, err);
        follower->is_done = r == 0;
        break;
    default:
        r = load_report(follower, record, event, err);
        break;
    }
    event->details = follower->details;
    return r;
}

/* ---- pulling ----------------------------------------------------------------------------------
 */

/* Nothing for now. Holds no memory while it waits; is done where nothing will ever come. */
static int wait(CallFollower *follower)
{
    free(TAKE_PTR(follower->data));
    follower->is_waiting = true;
    follower->is_done = follower->call->state == CALL_FINISHED;
    return 0;
}

static int open_journal(CallFollower *follower, Error *err)
{
    int r;

    if (follower->journal.fd >= 0) {
        return 1;
    }
    if (follower->call->state == CALL_QUEUED) {
        return 0;
    }
    r = journal_open(&follower->journal, follower->fd, err);
    if (r == -ENOENT && follower->call->state == CALL_RUNNING) {
        follower->journal = JOURNAL_EMPTY;
        return 0;
    }
    if (r < 0) {
        return r;
    }
    r = journal_seek(&follower->journal, follower->after, err);
    return r < 0 ? r : 1;
}

int call_follower_next(CallFollower *follower, CallEvent *ret, Error *err)
{
    _cleanup_error_ Error problem = {0};
    JournalRecord record;
    CallEvent event = {0};
    int r;

    follower->details = json_unref(follower->details);
    follower->is_waiting = false;
    if (follower->is_done) {
        return 0;
    }
    r = open_journal(follower, &problem);
    r = r > 0 ? journal_next(&follower->journal, &record, &problem) : r;
    if (r == 0) {
        return wait(follower);
    }
    if (r > 0 && record.type == JOURNAL_FINISHED && follower->call->state != CALL_FINISHED) {
        /* The shim is still tidying up: the event is to say what the files say for good. */
        r = journal_seek(&follower->journal, record.seq - 1, &problem);
        if (r == 0) {
            return wait(follower);
        }
    }
    event.seq = r > 0 ? record.seq : 0;
    event.time_us = r > 0 ? record.time_us : 0;
    r = r > 0 ? load(follower, &record, &event, &problem) : r;
    if (r < 0) {
        return error_set(err, r, "following call '%s': %s", follower->call->id,
                         error_text(&problem));
    }
    *ret = event;
    return 1;
}
