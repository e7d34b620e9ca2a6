/* SPDX-License-Identifier: MIT */
#include "plugin/health/watch.h"

#include "plugin/cli/report/moment.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIVE_MAX 50
#define ENDED_MAX 15

typedef enum Question {
    QUESTION_HEALTH,
    QUESTION_LIVE,
    QUESTION_ENDED,
    _QUESTION_MAX,
} Question;

struct Watch {
    char *address;
    int timeout_ms;
    void (*told)(void *userdata);
    void *userdata;
    SlipwayClient *client; /* NULL: not connected */
    Facts facts;
    Readiness readiness;
    SlipwayJson *answers[_QUESTION_MAX]; /* that the facts are made of */
    char *why;

    /* of the round of questions that is under way */
    bool is_asking;
    unsigned n_pending;
    bool has_failed;
    int64_t asked_ms;
    int64_t asked_us; /* an answer may come within a millisecond */
    SlipwayJson *coming[_QUESTION_MAX];
    double coming_offset;
    int64_t told_ms; /* when the facts came; 0: there are none */

    /* the audit log */
    char *directory, *path;
    Ledger ledger;
    bool has_ledger;
    bool is_fetching;
    bool is_fetched;
    char *audit_problem;
    int64_t ledger_records; /* that the agent had when it was read; -1: never read */
    int64_t fetching_records;
    int64_t ledger_next_ms;
};

static int64_t monotonic_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t monotonic_ms(void)
{
    return monotonic_us() / 1000;
}

static int64_t wall_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void replace_text(char **text, const char *by)
{
    free(*text);
    *text = by ? strdup(by) : NULL;
}

/* ---- the facts --------------------------------------------------------------------------------
 */

static void set_ledger(Watch *w)
{
    w->facts.ledger = w->has_ledger ? &w->ledger : NULL;
    w->facts.audit_problem = w->audit_problem;
}

static void set_facts(Watch *w, bool is_up)
{
    readiness_done(&w->readiness);
    w->readiness = (Readiness){0};
    for (size_t i = 0; i < _QUESTION_MAX; i++) {
        (void)slipway_json_unref(w->answers[i]);
        w->answers[i] = is_up ? slipway_json_ref(w->coming[i]) : NULL;
    }
    if (is_up &&
        readiness_judge(w->answers[QUESTION_HEALTH], w->coming_offset, &w->readiness) < 0) {
        is_up = false;
        replace_text(&w->why, "out of memory");
    }
    w->told_ms = monotonic_ms();
    w->facts = (Facts){
        .is_up = is_up,
        .address = w->address,
        .why = is_up    ? NULL
               : w->why ? w->why
                        : "the agent is away",
        .health = w->answers[QUESTION_HEALTH],
        .live = slipway_json_get(w->answers[QUESTION_LIVE], "/calls"),
        .ended = slipway_json_get(w->answers[QUESTION_ENDED], "/calls"),
        .readiness = &w->readiness,
        .clock_offset = is_up ? w->coming_offset : NAN,
        .seconds = (double)(monotonic_us() - w->asked_us) / 1e6,
        .now_us = wall_us(),
    };
    set_ledger(w);
}

static void end_round(Watch *w, bool is_up)
{
    w->is_asking = false;
    set_facts(w, is_up);
    for (size_t i = 0; i < _QUESTION_MAX; i++) {
        w->coming[i] = slipway_json_unref(w->coming[i]);
    }
}

/* ---- asking -----------------------------------------------------------------------------------
 */

/* By the agent's own word, which left it a moment before it came. */
static double read_offset(const SlipwayJson *health)
{
    int64_t us;

    return moment_parse(slipway_json_get_string(health, "/clock/time", ""), &us) < 0
               ? NAN
               : (double)(us - wall_us()) / 1e6;
}

static void take_answer(Watch *w, Question question, const SlipwayJson *result,
                        const SlipwayError *error)
{
    if (!w->is_asking || w->n_pending == 0) {
        return; /* of a round that was given up */
    }
    w->n_pending--;
    if (error) {
        w->has_failed = true;
        replace_text(&w->why, error->message);
        return;
    }
    w->coming[question] = slipway_json_ref(result);
    if (question == QUESTION_HEALTH) {
        w->coming_offset = read_offset(result);
    }
}

static void on_health(SlipwayClient *client, const SlipwayJson *result, const SlipwayError *error,
                      void *userdata)
{
    take_answer(userdata, QUESTION_HEALTH, result, error);
}

static void on_live(SlipwayClient *client, const SlipwayJson *result, const SlipwayError *error,
                    void *userdata)
{
    take_answer(userdata, QUESTION_LIVE, result, error);
}

static void on_ended(SlipwayClient *client, const SlipwayJson *result, const SlipwayError *error,
                     void *userdata)
{
    take_answer(userdata, QUESTION_ENDED, result, error);
}

static int ask_for_calls(Watch *w, const char *states, int limit, SlipwayReplyCallback callback)
{
    SlipwayJson *params = NULL;
    int r = slipway_json_parse(states, strlen(states), &params);

    r = r < 0 ? r : slipway_json_set_int(params, "/limit", limit);
    r = r < 0 ? r : slipway_client_request(w->client, "calls/list", params, callback, w);
    (void)slipway_json_unref(params);
    return r;
}

static int ask(Watch *w)
{
    int r = slipway_client_request(w->client, "health", NULL, on_health, w);

    r = r < 0 ? r : ask_for_calls(w, "{\"states\":[\"running\",\"queued\"]}", LIVE_MAX, on_live);
    return r < 0 ? r : ask_for_calls(w, "{\"states\":[\"finished\"]}", ENDED_MAX, on_ended);
}

static int connect_agent(Watch *w)
{
    int r;

    if (w->client) {
        return 0;
    }
    w->client = slipway_client_new("slipway-health", slipway_version());
    r = w->client ? slipway_client_connect(w->client, w->address) : -ENOMEM;
    if (r < 0) {
        replace_text(&w->why, w->client ? slipway_client_get_error(w->client) : "out of memory");
        w->client = slipway_client_free(w->client);
    }
    return r;
}

/* Callbacks of what is still asked are called in here; nothing is made of them. */
static void disconnect(Watch *w)
{
    w->n_pending = 0;
    w->client = slipway_client_free(w->client);
    w->is_fetching = w->is_fetched = false;
}

bool watch_refresh(Watch *w)
{
    int64_t now_ms = monotonic_ms();

    if (w->is_asking) {
        return false;
    }
    if (w->told_ms > 0 && now_ms - w->told_ms < WATCH_FRESH_MS) {
        return true;
    }
    w->asked_ms = now_ms;
    w->asked_us = monotonic_us();
    w->coming_offset = NAN;
    w->has_failed = false;
    if (connect_agent(w) < 0) {
        end_round(w, false);
        return true;
    }
    w->is_asking = true;
    w->n_pending = _QUESTION_MAX;
    if (ask(w) < 0) {
        replace_text(&w->why, slipway_client_get_error(w->client));
        disconnect(w);
        end_round(w, false);
        return true;
    }
    return false;
}

const Facts *watch_facts(const Watch *w)
{
    return &w->facts;
}

/* ---- the audit log ----------------------------------------------------------------------------
 */

static void on_fetched(SlipwayClient *client, const SlipwayError *error, void *userdata)
{
    Watch *w = userdata;

    w->is_fetching = false;
    if (!error) {
        w->is_fetched = true;
    } else if (error->code == SLIPWAY_ERROR_CONFLICT) {
        replace_text(&w->audit_problem, error->message); /* stays until the two agree again */
        w->ledger_records = w->fetching_records;
    }
}

static bool is_ledger_due(const Watch *w)
{
    int64_t records = slipway_json_get_int(w->facts.health, "/audit/records", 0);

    return w->facts.is_up && w->client && !w->is_fetching && !w->is_fetched &&
           records != w->ledger_records && monotonic_ms() >= w->ledger_next_ms;
}

static int make_place(Watch *w)
{
    const char *base = getenv("TMPDIR");

    if (w->path) {
        return 0;
    }
    if (asprintf(&w->directory, "%s/slipway-health-XXXXXX", base && *base ? base : "/tmp") < 0) {
        w->directory = NULL;
        return -ENOMEM;
    }
    if (!mkdtemp(w->directory) || asprintf(&w->path, "%s/log", w->directory) < 0) {
        int r = -errno;

        free(w->directory);
        w->directory = w->path = NULL;
        return r;
    }
    return 0;
}

static void fetch_ledger(Watch *w)
{
    int r = make_place(w);

    w->ledger_next_ms = monotonic_ms() + WATCH_LEDGER_MS;
    w->fetching_records = slipway_json_get_int(w->facts.health, "/audit/records", 0);
    if (w->fetching_records == 0) { /* there is no log yet */
        w->ledger_records = 0;
        return;
    }
    w->is_fetching = r == 0;
    if (r == 0 && slipway_audit_download(w->client, w->path, NULL, on_fetched, w) < 0) {
        w->is_fetching = false;
    }
}

static void read_ledger(Watch *w)
{
    int64_t began_ms = monotonic_ms(), took_ms;
    char *error = NULL;
    Ledger ledger;
    int r = ledger_read(w->path, &ledger, &error);

    w->is_fetched = false;
    if (r == 0) {
        ledger_done(&w->ledger);
        w->ledger = ledger;
        w->has_ledger = true;
        w->ledger_records = w->fetching_records;
        replace_text(&w->audit_problem, NULL);
    } else if (r == -EBADMSG) {
        replace_text(&w->audit_problem, error);
        w->ledger_records = w->fetching_records;
    }
    free(error);
    took_ms = monotonic_ms() - began_ms;
    w->ledger_next_ms =
        began_ms + (20 * took_ms > WATCH_LEDGER_MS ? 20 * took_ms : WATCH_LEDGER_MS);
    set_ledger(w);
}

/* ---- in the loop ------------------------------------------------------------------------------
 */

int watch_get_fd(const Watch *w)
{
    return w->client ? slipway_client_get_fd(w->client) : -1;
}

short watch_get_events(const Watch *w)
{
    return (short)(w->client ? slipway_client_get_events(w->client) : 0);
}

int watch_get_timeout_ms(const Watch *w)
{
    int timeout_ms = w->client ? slipway_client_get_timeout_ms(w->client) : -1;
    int64_t left_ms = w->is_asking ? w->asked_ms + w->timeout_ms - monotonic_ms() : -1;

    if (w->is_asking && left_ms < 0) {
        left_ms = 0;
    }
    return left_ms >= 0 && (timeout_ms < 0 || left_ms < timeout_ms) ? (int)left_ms : timeout_ms;
}

/* The end of the round of questions, if this was it. */
static bool check_round(Watch *w)
{
    if (!w->is_asking) {
        return false;
    }
    if (!w->client) {
        end_round(w, false);
    } else if (w->n_pending == 0) {
        end_round(w, !w->has_failed);
    } else if (monotonic_ms() - w->asked_ms >= w->timeout_ms) {
        replace_text(&w->why, "it does not answer");
        disconnect(w);
        end_round(w, false);
    }
    return !w->is_asking;
}

void watch_process(Watch *w)
{
    if (w->client && slipway_client_process(w->client) < 0) {
        replace_text(&w->why, slipway_client_get_error(w->client));
        disconnect(w);
    }
    if (w->is_fetched) {
        read_ledger(w);
    }
    if (check_round(w)) {
        if (is_ledger_due(w)) {
            fetch_ledger(w);
        }
        w->told(w->userdata);
    }
}

Watch *watch_new(const char *address, int timeout_ms, void (*told)(void *userdata), void *userdata)
{
    Watch *w = calloc(1, sizeof(*w));

    if (!w) {
        return NULL;
    }
    *w = (Watch){.address = strdup(address),
                 .timeout_ms = timeout_ms,
                 .told = told,
                 .userdata = userdata,
                 .ledger_records = -1};
    return w->address ? w : watch_free(w);
}

Watch *watch_free(Watch *w)
{
    if (!w) {
        return NULL;
    }
    disconnect(w);
    w->is_asking = false;
    for (size_t i = 0; i < _QUESTION_MAX; i++) {
        (void)slipway_json_unref(w->answers[i]);
        (void)slipway_json_unref(w->coming[i]);
    }
    if (w->path) {
        char *part = NULL;

        if (asprintf(&part, "%s.part", w->path) > 0) {
            (void)unlink(part);
            free(part);
        }
        (void)unlink(w->path);
        (void)rmdir(w->directory);
    }
    readiness_done(&w->readiness);
    ledger_done(&w->ledger);
    free(w->address);
    free(w->why);
    free(w->directory);
    free(w->path);
    free(w->audit_problem);
    free(w);
    return NULL;
}
