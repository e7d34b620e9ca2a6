/* SPDX-License-Identifier: MIT */
/* One host of an environment: the session with it, the driver's verbs (driver.sh), and what it said
 * last about a deployment. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/json.h"
#include "protocol/ssh/ssh-exec.h"

#include <stdbool.h>
#include <stdint.h>

/* driver.sh without its comments. */
extern const char ssh_driver[];

/* Of what a host says. */
#define SSH_REMOTE_SAID_MAX ((size_t)4 << 20)

/* For verbs that only look or write a small file; for those that move a release; as long as a
 * connection that stands may be busy with one. */
#define SSH_REMOTE_SHORT_MS ((int64_t)60000)
#define SSH_REMOTE_LONG_MS ((int64_t)3600000)

/* Positive answers of a verb; a negative one: the host said no, or the way to it needs a person. */
typedef enum SshRemoteAnswer {
    SSH_REMOTE_AWAY = 1, /* it could not be asked, or the answer was lost */
    SSH_REMOTE_BUSY,     /* another deployment has the lock */
    SSH_REMOTE_LOST,     /* this one has it no more */
    SSH_REMOTE_ABSENT,   /* what was asked for is not there */
    SSH_REMOTE_NOT_YET,  /* `check`: it is not well */
    SSH_REMOTE_DEAD,     /* `check`: it will not be, either */
} SshRemoteAnswer;

/* Where a deployment is on a host; names of the driver. */
typedef enum SshRemoteState {
    SSH_STATE_ABSENT,
    SSH_STATE_BEGUN, /* not all of it is there */
    SSH_STATE_STAGED,
    SSH_STATE_SWITCHING,
    SSH_STATE_SWITCHING_DEAD, /* what did it has ended without saying so */
    SSH_STATE_STARTED,
    SSH_STATE_HEALTHY,
    SSH_STATE_FAILED,
    SSH_STATE_RETURNING,
    SSH_STATE_RETURNING_DEAD,
    SSH_STATE_RETURNED, /* what ran before was started, and is not known to be well yet */
    SSH_STATE_BACK,
    SSH_STATE_STUCK, /* it did not get back */
    SSH_STATE_DONE,
    _SSH_STATE_MAX,
} SshRemoteState;

typedef struct SshRemoteStatus {
    int64_t now;      /* of its clock, in seconds */
    char *lock_owner; /* a deployment; NULL: the lock is free */
    int64_t lock_until;
    char *current; /* the deployment that `current` is at; NULL: none */
    Json *current_specification;
    SshRemoteState state; /* of the deployment that was asked about, as is the rest */
    int64_t since;
    char *text; /* why, of SSH_STATE_FAILED and SSH_STATE_STUCK */
    bool is_accepted;
    bool has_before; /* it was switched from `before`, NULL: from nothing */
    char *before;
    char *verdict; /* "succeeded", "failed", "cancelled"; NULL: none yet */
    char *verdict_text;
    bool has_tail;
    Json *specification;
} SshRemoteStatus;

typedef struct SshRemote {
    char *name; /* as in the environment */
    SshAddress address;
    const char *config_path; /* the environment's */
    char *host;              /* where it is, for the address of a health check */
    SshSession *session;     /* NULL: none now */
    SshRemoteStatus status;
    /* Of this process alone. */
    bool is_away;          /* it did not say how it is when it was asked last */
    int64_t away_since_ms; /* monotonic; 0: it is not */
    int64_t checked_at_ms; /* 0: never */
    int64_t passes;        /* in a row */
    char *complaint;       /* what is or was wrong last: away, or not well */
} SshRemote;

/* `name`: "[USER@]HOST[:PORT]" or "ssh://…". Connects to nothing. -EINVAL. */
int ssh_remote_init(const char *name, const char *config_path, SshRemote *ret,
                    Error *err) _must_check_;
void ssh_remote_done(SshRemote *remote);

typedef struct SshRemoteVerb {
    const char *name;
    const char *base;
    const char *deployment; /* NULL: none */
    const char *const *arguments;
    size_t n_arguments;
    const char *input;  /* a text for its stdin; NULL: none */
    int input_fd;       /* counts when it is > 0: a file, from its beginning */
    int64_t timeout_ms; /* 0: SSH_REMOTE_SHORT_MS */
} SshRemoteVerb;

/* Does a verb there; `out` (may be NULL) gets what it says. 0, or an answer as above, always with
 * `err` set. */
int ssh_remote_do(SshRemote *remote, const SshRemoteVerb *verb, Buffer *out,
                  Error *err) _must_check_;

/* Does a verb there that says how the deployment is doing after it. */
int ssh_remote_tell(SshRemote *remote, const SshRemoteVerb *verb, Error *err) _must_check_;

/* Asks how `deployment` (NULL: none) is doing there, and whatever else is in the status; renews its
 * lock for `lease_seconds` where that is > 0. */
int ssh_remote_ask(SshRemote *remote, const char *base, const char *deployment,
                   int64_t lease_seconds, const char *agent, Error *err) _must_check_;

/* Takes what the verb `status` said. For tests. -EBADMSG. */
int ssh_remote_status_parse(const char *text, SshRemoteStatus *ret, Error *err) _must_check_;
void ssh_remote_status_done(SshRemoteStatus *status);
#define _cleanup_ssh_remote_status_ _cleanup_(ssh_remote_status_done)

/* Somebody holds the lock and its time is not over. */
bool ssh_remote_is_locked(const SshRemoteStatus *status);

/* Remembers a sentence as what is wrong; out of memory it is forgotten. */
void ssh_remote_complain(SshRemote *remote, const char *text);
