/* SPDX-License-Identifier: MIT */
#include "plugin/cli/follow.h"

#include "plugin/cli/log-view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Failures that are listed; the result has them all. */
#define FAILURES_SHOWN 20

typedef struct Follow {
    Session *session;
    const char *label;
    char *call;
    LogView view;
    SlipwayJson *result;
    char *last_progress;
    bool wants_cancel; /* Ctrl-C came before the call had a name */
    int code;          /* != 0: it cannot be followed */
} Follow;

void follow_result_done(FollowResult *result)
{
    free(result->call);
    (void)slipway_json_unref(result->result);
    *result = (FollowResult){0};
}

int follow_exit_code(const SlipwayJson *result)
{
    static const struct {
        const char *status;
        ExitCode code;
    } codes[] = {
        {"succeeded", EXIT_DONE},  {"failed", EXIT_ACTION_FAILED}, {"lost", EXIT_ACTION_FAILED},
        {"refused", EXIT_REFUSED}, {"timed_out", EXIT_TIMED_OUT},  {"cancelled", EXIT_CANCELLED},
    };
    const char *status = slipway_json_get_string(result, "/status", "");

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(codes[i].status, status) == 0) {
            return codes[i].code;
        }
    }
    return EXIT_ACTION_FAILED;
}

/* ---- how it ended -----------------------------------------------------------------------------
 */

static void print_failures(Session *s, const SlipwayJson *tests)
{
    const SlipwayJson *failures = slipway_json_get(tests, "/failures"), *failure;
    size_t n = slipway_json_get_count(failures, "");

    for (size_t i = 0; i < n && i < FAILURES_SHOWN; i++) {
        failure = slipway_json_get_element(failures, i);
        output_say(&s->output, "  %sfailed%s %s%s%s: %s", output_style(&s->output, true, STYLE_BAD),
                   output_plain(&s->output, true), slipway_json_get_string(failure, "/suite", ""),
                   *slipway_json_get_string(failure, "/suite", "") ? " / " : "",
                   slipway_json_get_string(failure, "/name", "?"),
                   slipway_json_get_string(failure, "/message", ""));
    }
    if (n > FAILURES_SHOWN) {
        output_say(&s->output, "  and %zu more", n - FAILURES_SHOWN);
    }
}

/* ", 40 passed, 1 failed": the caller frees it. */
static char *tests_text(const SlipwayJson *tests)
{
    long long failed = slipway_json_get_int(tests, "/failed", 0);
    long long skipped = slipway_json_get_int(tests, "/skipped", 0);
    char *text = NULL, skipped_text[40] = "", failed_text[40] = "";

    if (skipped > 0) {
        (void)snprintf(skipped_text, sizeof(skipped_text), ", %lld skipped", skipped);
    }
    if (failed > 0) {
        (void)snprintf(failed_text, sizeof(failed_text), ", %lld failed", failed);
    }
    if (!tests ||
        asprintf(&text, ": %lld passed%s%s", (long long)slipway_json_get_int(tests, "/passed", 0),
                 failed_text, skipped_text) < 0) {
        return strdup("");
    }
    return text;
}

static const char *status_text(const char *status)
{
    return strcmp(status, "timed_out") == 0   ? "timed out"
           : strcmp(status, "refused") == 0   ? "was refused"
           : strcmp(status, "lost") == 0      ? "was lost"
           : strcmp(status, "cancelled") == 0 ? "was cancelled"
                                              : status;
}

void follow_print_result(Session *s, const SlipwayJson *result)
{
    const char *status = slipway_json_get_string(result, "/status", "unknown");
    const char *reason = slipway_json_get_string(result, "/reason", NULL);
    const SlipwayJson *tests = slipway_json_get(result, "/tests");
    long long survivors = slipway_json_get_int(result, "/survivors", 0);
    long long leftovers = slipway_json_get_int(result, "/leftovers", 0);
    bool is_good = strcmp(status, "succeeded") == 0;
    char duration[OUTPUT_TEXT_SIZE], *counts = tests_text(tests);

    if (s->output.is_json) {
        free(counts);
        return; /* the finished event said it all */
    }
    output_say(&s->output, "%s%s %s in %s%s%s",
               output_style(&s->output, true, is_good ? STYLE_GOOD : STYLE_BAD),
               slipway_json_get_string(result, "/action", "the call"), status_text(status),
               output_duration(slipway_json_get_number(result, "/durationSeconds", 0), duration),
               counts ? counts : "", output_plain(&s->output, true));
    free(counts);
    print_failures(s, tests);
    if (reason && !is_good && strcmp(reason, status) != 0) {
        output_say(&s->output, "  %s", reason);
    }
    if (leftovers > 0) {
        output_say(&s->output, "  %lld process%s outlived the action and %s ended", leftovers,
                   leftovers == 1 ? "" : "es", leftovers == 1 ? "was" : "were");
    }
    if (survivors > 0) {
        output_say(&s->output,
                   "  %s%lld process%s could not be ended and still run%s on the "
                   "agent's host%s",
                   output_style(&s->output, true, STYLE_BAD), survivors, survivors == 1 ? "" : "es",
                   survivors == 1 ? "s" : "", output_plain(&s->output, true));
    }
}

/* ---- while it runs ----------------------------------------------------------------------------
 */

/* On a terminal a line that changes; elsewhere a line for each phase, not for each number. */
static void show_progress(Follow *f, const SlipwayJson *json)
{
    Output *o = &f->session->output;
    const char *phase = slipway_json_get_string(json, "/phase", "");
    const char *message = slipway_json_get_string(json, "/message", "");
    char *text = NULL;

    if (o->is_json || o->is_quiet || f->view.is_mid_line ||
        asprintf(&text, "%s: %s%s%s", f->label, phase, *phase && *message ? ": " : "", message) <
            0) {
        return;
    }
    if (o->is_terminal) {
        int64_t done = slipway_json_get_int(json, "/done", 0);
        int64_t total = slipway_json_get_int(json, "/total", 0);

        output_progress(o, text, done > 0 ? (uint64_t)done : 0, total > 0 ? (uint64_t)total : 0,
                        slipway_json_get_string(json, "/unit", ""));
    } else if ((*phase || *message) && (!f->last_progress || strcmp(f->last_progress, text) != 0)) {
        output_say(o, "%s", text);
    }
    free(f->last_progress);
    f->last_progress = text;
}

static void on_event(Session *s, const SlipwayEvent *event, void *userdata)
{
    Follow *f = userdata;

    if (f->call && event->call && strcmp(event->call, f->call) != 0) {
        return;
    }
    switch (event->type) {
    case SLIPWAY_EVENT_LOG:
        if (!s->output.is_json && !s->output.is_quiet) {
            log_view_write(&f->view, event->stream[3] == 'e', event->data, event->data_len);
        }
        break;
    case SLIPWAY_EVENT_PROGRESS:
        show_progress(f, event->json);
        break;
    case SLIPWAY_EVENT_FINISHED:
        f->result = slipway_json_ref(slipway_json_get(event->json, "/result"));
        break;
    default:
        break;
    }
}

static void on_cancelled(SlipwayClient *client, const SlipwayJson *result,
                         const SlipwayError *error, void *userdata)
{
    Session *s = userdata;

    if (error) {
        (void)session_fail(s, error, "calls/cancel");
    }
}

static void cancel(Follow *f)
{
    Session *s = f->session;

    if (slipway_call_cancel(s->client, f->call, on_cancelled, s) < 0) {
        output_say(&s->output, "slipway: %s", slipway_client_get_error(s->client));
    }
}

static void on_interrupt(Session *s, void *userdata)
{
    Follow *f = userdata;

    log_view_end_line(&f->view);
    output_say(&s->output, "slipway: cancelling %s; once more leaves at once", f->label);
    if (f->call) {
        cancel(f);
    } else {
        f->wants_cancel = true;
    }
}

static void say_waiting(Follow *f, const SlipwayJson *result)
{
    Session *s = f->session;
    const char *waits_for = slipway_json_get_string(result, "/waitsFor", "");

    if (s->output.is_json) {
        session_print_json(s, "call/created", result);
    } else if (strcmp(slipway_json_get_string(result, "/state", ""), "queued") == 0 &&
               slipway_json_get_int(result, "/position", 0) > 0) {
        output_say(&s->output, "%s waits%s%s (position %lld in the queue)", f->label,
                   *waits_for ? " for " : "", waits_for,
                   (long long)slipway_json_get_int(result, "/position", 0));
    }
}

static void on_started(SlipwayClient *client, const SlipwayJson *result, const SlipwayError *error,
                       void *userdata)
{
    Follow *f = userdata;

    if (error) {
        f->code = session_fail(f->session, error, f->label);
        return;
    }
    if (!f->call) {
        f->call = strdup(slipway_json_get_string(result, "/call", ""));
    }
    if (!f->call) {
        f->code = EXIT_ACTION_FAILED;
        return;
    }
    say_waiting(f, result);
    if (f->wants_cancel) {
        cancel(f);
    }
}

static int wait_for_end(Follow *f)
{
    Session *s = f->session;
    int r = 0;

    session_arm_signals(s);
    while (r == 0 && f->code == 0 && !f->result) {
        r = session_step(s);
    }
    session_disarm_signals(s);
    log_view_end_line(&f->view);
    output_clear_progress(&s->output);
    if (f->result) {
        follow_print_result(s, f->result);
        return follow_exit_code(f->result);
    }
    if (f->call && (r == EXIT_UNREACHABLE || r == EXIT_CANCELLED)) {
        output_say(&s->output, "Go on with: slipway attach %s --after %llu", f->call,
                   (unsigned long long)slipway_call_get_last_seq(s->client, f->call));
    }
    return r != 0 ? r : f->code;
}

/* The callbacks of requests that are still on their way would find a Follow that is gone; the
 * client is closed by whoever gets an exit code != 0 from here without a result. */
static int run(Follow *f, int sent, FollowResult *ret)
{
    Session *s = f->session;
    int r = sent < 0 ? EXIT_UNREACHABLE : EXIT_DONE;

    if (r != 0) {
        output_say(&s->output, "slipway: %s", slipway_client_get_error(s->client));
    } else {
        s->on_event = on_event;
        s->on_interrupt = on_interrupt;
        s->userdata = f;
        r = wait_for_end(f);
        if (!f->result) {
            s->client = slipway_client_free(s->client);
        }
        s->on_event = NULL;
        s->on_interrupt = NULL;
    }
    log_view_done(&f->view);
    free(f->last_progress);
    *ret = (FollowResult){.call = f->call, .result = f->result};
    return r;
}

int follow_start(Session *s, SlipwayJson *params, const char *label, FollowResult *ret)
{
    Follow f = {.session = s, .label = label};

    *ret = (FollowResult){0};
    if (log_view_init(&f.view, &s->output, label) < 0 ||
        slipway_json_set_bool(params, "/attach", true) < 0) {
        output_say(&s->output, "slipway: out of memory");
        return EXIT_ACTION_FAILED;
    }
    return run(&f, slipway_call_start(s->client, params, on_started, &f), ret);
}

/* The name of a call's action, from the list of calls; "call" for one that is not in it. */
static char *action_of(Session *s, const char *call)
{
    SlipwayJson *params = slipway_json_new_object(), *list = NULL;
    char *action = NULL;

    (void)slipway_json_set_int(params, "/limit", 1000);
    if (slipway_client_request_wait(s->client, "calls/list", params, -1, &list, NULL) == 0) {
        const SlipwayJson *calls = slipway_json_get(list, "/calls"), *entry;

        for (size_t i = 0; !action && (entry = slipway_json_get_element(calls, i)); i++) {
            if (strcmp(slipway_json_get_string(entry, "/call", ""), call) == 0) {
                action = strdup(slipway_json_get_string(entry, "/action", "call"));
            }
        }
    }
    (void)slipway_json_unref(list);
    (void)slipway_json_unref(params);
    return action ? action : strdup("call");
}

int follow_attach(Session *s, const char *call, uint64_t after, const char *label,
                  FollowResult *ret)
{
    char *found = label ? NULL : action_of(s, call);
    Follow f = {.session = s, .label = label ? label : found, .call = strdup(call)};
    int r;

    *ret = (FollowResult){0};
    if (!f.label || !f.call || log_view_init(&f.view, &s->output, f.label) < 0) {
        output_say(&s->output, "slipway: out of memory");
        free(f.call);
        free(found);
        return EXIT_ACTION_FAILED;
    }
    r = run(&f, slipway_call_attach(s->client, call, after, on_started, &f), ret);
    free(found);
    return r;
}
