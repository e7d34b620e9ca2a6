/* SPDX-License-Identifier: MIT */
#include "plugin/cli/audit-log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void audit_log_done(AuditLog *log)
{
    if (log->directory) {
        char *part = NULL;

        if (log->path && asprintf(&part, "%s.part", log->path) > 0) {
            (void)unlink(part); /* there where the log was found wrong */
            free(part);
        }
        (void)unlink(log->path ? log->path : "");
        (void)rmdir(log->directory);
    }
    free(log->name);
    free(log->path);
    free(log->directory);
    *log = (AuditLog){0};
}

typedef struct Fetching {
    Session *session;
    bool is_done;
    int code;
} Fetching;

static void on_progress(uint64_t done, uint64_t total, void *userdata)
{
    Fetching *fetching = userdata;

    output_progress(&fetching->session->output, "audit log", done, total, "bytes");
}

static void on_fetched(SlipwayClient *client, const SlipwayError *error, void *userdata)
{
    Fetching *fetching = userdata;

    fetching->is_done = true;
    if (error) {
        int code = session_fail(fetching->session, error, "audit");

        /* A log that does not hold is what was looked for, not a mistake of the command line. */
        fetching->code = error->code == SLIPWAY_ERROR_CONFLICT ? EXIT_ACTION_FAILED : code;
    }
}

int audit_log_download(Session *s, const char *path)
{
    Fetching fetching = {.session = s};
    int r = s->client ? 0 : session_connect(s);

    if (r != 0) {
        return r;
    }
    r = slipway_audit_download(s->client, path, on_progress, on_fetched, &fetching);
    if (r < 0) {
        SlipwayError error = {.code = SLIPWAY_ERROR_LOCAL,
                              .message = slipway_client_get_error(s->client)};

        (void)session_fail(s, &error, "audit");
        return EXIT_ACTION_FAILED;
    }
    while (r == 0 && !fetching.is_done) {
        r = session_step(s);
    }
    output_clear_progress(&s->output);
    return fetching.is_done ? fetching.code : r;
}

/* A place that only this user can look into: a log tells who does what. */
static int make_place(AuditLog *log)
{
    const char *base = getenv("TMPDIR");

    if (asprintf(&log->directory, "%s/slipway-audit-XXXXXX", base && *base ? base : "/tmp") < 0) {
        log->directory = NULL;
        return -ENOMEM;
    }
    if (!mkdtemp(log->directory)) {
        int r = -errno;

        free(log->directory);
        log->directory = NULL;
        return r;
    }
    if (asprintf(&log->path, "%s/log", log->directory) < 0) {
        log->path = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int fetch(Session *s, AuditLog *log)
{
    int r = make_place(log);

    if (r < 0) {
        output_say(&s->output, "slipway: no place for a copy of the log: %s", strerror(-r));
        return EXIT_ACTION_FAILED;
    }
    r = audit_log_download(s, log->path);
    if (r == 0) {
        log->name =
            strdup(slipway_json_get_string(slipway_client_get_agent(s->client), "/agent/name",
                                           slipway_client_get_address(s->client)));
    }
    return r;
}

int audit_log_open(Session *s, const char *file, AuditLog *ret)
{
    AuditLog log = {0};
    int r = 0;

    if (file) {
        log.name = strdup(file);
        log.path = strdup(file);
    } else {
        r = fetch(s, &log);
    }
    if (r == 0 && (!log.name || !log.path)) {
        output_say(&s->output, "slipway: out of memory");
        r = EXIT_ACTION_FAILED;
    }
    if (r != 0) {
        audit_log_done(&log);
        return r;
    }
    *ret = log;
    return 0;
}

int audit_log_walk(Session *s, const AuditLog *log, const SlipwayJson *heads,
                   SlipwayAuditCallback callback, void *userdata, SlipwayJson **ret_head)
{
    SlipwayError error = {.code = SLIPWAY_ERROR_LOCAL};
    char *sentence = NULL;
    int r = slipway_audit_check(log->path, heads, callback, userdata, ret_head, &sentence);

    if (sentence) {
        error.message = sentence;
        (void)session_fail(s, &error, log->name);
        free(sentence);
        return EXIT_ACTION_FAILED;
    }
    return r;
}
