/* SPDX-License-Identifier: MIT */
#include "tests/unit/deploy/fake-engine.h"

#include "protocol/base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define APP "app"

const FakeStep fake_success[] = {
    {.state = ENGINE_RUNNING, .counts = {2, 1, 0, 2}},
    {.state = ENGINE_RUNNING, .counts = {2, 2, 1, 2}},
    {.state = ENGINE_SUCCEEDED, .counts = {2, 2, 2, 0}},
    {.state = _ENGINE_STATE_MAX},
};
const FakeStep fake_failure[] = {
    {.state = ENGINE_RUNNING, .counts = {2, 1, 0, 2}},
    {.state = ENGINE_FAILED,
     .counts = {2, 0, 0, 2},
     .reason = "instance 1 exited with status 3",
     .log = "no such table\n"},
    {.state = _ENGINE_STATE_MAX},
};
const FakeStep fake_hanging[] = {
    {.state = ENGINE_RUNNING, .counts = {2, 2, 1, 2}},
    {.state = _ENGINE_STATE_MAX},
};

const FakeStep fake_failing[] = {
    {.state = ENGINE_RUNNING, .counts = {2, 1, 0, 2}},
    {.state = ENGINE_RUNNING, .counts = {2, 1, 0, 2}, .reason = "it crashed"},
    {.state = ENGINE_RUNNING, .counts = {2, 1, 0, 2}, .reason = "it crashed"},
    {.state = ENGINE_FAILING, .counts = {2, 1, 0, 2}, .reason = "it crashed twice"},
    {.state = _ENGINE_STATE_MAX},
};

static const FakeStep cancelled_at_once[] = {
    {.state = ENGINE_CANCELLED, .counts = {2, 0, 0, 2}},
    {.state = _ENGINE_STATE_MAX},
};
static const FakeStep success_at_once[] = {
    {.state = ENGINE_SUCCEEDED, .counts = {2, 2, 2, 0}},
    {.state = _ENGINE_STATE_MAX},
};

/* ---- the engine -------------------------------------------------------------------------------
 */

/* The session is the fake itself. */
static Fake *fake_of(EngineSession *session)
{
    return (Fake *)(void *)session;
}

static int scripted(const int *answers, size_t at)
{
    return at < FAKE_STEPS_MAX ? answers[at] : 0;
}

static int answer(int code, Error *err)
{
    if (code != 0) {
        (void)error_set(err, -EIO, "the fake engine answers %d", code);
    }
    return code;
}

static FakeDeployment *find(Fake *fake, const char *id)
{
    for (size_t i = 0; i < fake->n_deployments; i++) {
        if (strcmp(fake->deployments[i].id, id) == 0) {
            return &fake->deployments[i];
        }
    }
    return NULL;
}

static void serve(Fake *fake, const char *id)
{
    free(fake->serving);
    fake->serving = strdup(id);
    fake->serving_counts = (EngineCounts){2, 2, 2, 0};
}

static int fake_current(EngineSession *session, const char *app, EngineCurrent *ret, Error *err)
{
    Fake *fake = fake_of(session);
    int code = scripted(fake->current_answers, fake->n_current++);

    assert(strcmp(app, APP) == 0);
    if (code != 0) {
        return answer(code, err);
    }
    if (!fake->serving) {
        return ENGINE_ABSENT;
    }
    ret->deployment = strdup(fake->serving);
    ret->version = strdup("1");
    ret->commit = strdup("c0ffee");
    ret->specification = json_new_object();
    assert(json_set_string(ret->specification, "of", fake->serving) == 0);
    ret->counts = fake->serving_counts;
    return 0;
}

static int fake_apply(EngineSession *session, const char *app, const Json *specification,
                      const char *id, Error *err)
{
    Fake *fake = fake_of(session);
    size_t len = strlen(id);
    bool is_back = len > 5 && strcmp(id + len - 5, "-back") == 0;
    int code = scripted(fake->apply_answers, fake->n_apply++);

    assert(json_type_of(specification) == JSON_OBJECT);
    if (code != 0) {
        return answer(code, err);
    }
    if (!find(fake, id)) {
        assert(fake->n_deployments < FAKE_STEPS_MAX);
        fake->deployments[fake->n_deployments++] = (FakeDeployment){
            .id = strdup(id),
            .steps = !is_back           ? fake->steps
                     : fake->back_steps ? fake->back_steps
                                        : success_at_once,
        };
    }
    if (fake->replaces_at_once) {
        serve(fake, id);
    }
    return 0;
}

static int fake_poll(EngineSession *session, const char *app, const char *id, EngineStatus *ret,
                     Error *err)
{
    Fake *fake = fake_of(session);
    FakeDeployment *deployment = find(fake, id);
    const FakeStep *step;

    assert(strcmp(app, APP) == 0);

    fake->n_poll++;
    if (!deployment) {
        ret->state = ENGINE_UNKNOWN;
        return 0;
    }
    step = &deployment->steps[deployment->at];
    if (step[1].state != _ENGINE_STATE_MAX) {
        deployment->at++;
    }
    if (step->answer != 0) {
        return answer(step->answer, err);
    }
    if (step->state == ENGINE_SUCCEEDED && !fake->serves_another) {
        serve(fake, id);
        fake->serving_counts = step->counts;
    }
    ret->state = step->state;
    ret->counts = step->counts;
    ret->reason = step->reason ? strdup(step->reason) : NULL;
    ret->log = step->log ? strdup(step->log) : NULL;
    return 0;
}

static int fake_cancel(EngineSession *session, const char *app, const char *id, Error *err)
{
    Fake *fake = fake_of(session);
    FakeDeployment *deployment = find(fake, id);

    assert(strcmp(app, APP) == 0);

    fake->n_cancel++;
    if (deployment && !deployment->is_cancelled) {
        deployment->is_cancelled = true;
        deployment->steps = fake->cancelled ? fake->cancelled : cancelled_at_once;
        deployment->at = 0;
    }
    return 0;
}

static const Engine fake_engine = {
    .interface_version = ENGINE_INTERFACE_VERSION,
    .name = "fake",
    .current = fake_current,
    .apply = fake_apply,
    .poll = fake_poll,
    .cancel = fake_cancel,
};

/* ---- the host ---------------------------------------------------------------------------------
 */

static int64_t host_now_ms(void *userdata)
{
    return ((Fake *)userdata)->now_ms;
}

static void host_wait_ms(int64_t milliseconds, void *userdata)
{
    Fake *fake = userdata;

    assert(milliseconds > 0);
    fake->n_wait++;
    fake->longest_wait_ms = MAX(fake->longest_wait_ms, milliseconds);
    fake->now_ms += milliseconds;
}

static bool host_is_cancelled(void *userdata)
{
    Fake *fake = userdata;

    return fake->cancel_at_ms > 0 && fake->now_ms >= fake->cancel_at_ms;
}

static void host_say(const char *text, void *userdata)
{
    assert(buffer_append_format(&((Fake *)userdata)->log, "%s\n", text) == 0);
}

static void host_progress(const char *phase, const EngineCounts *counts, void *userdata)
{
    assert(phase);
    assert(buffer_append_format(&((Fake *)userdata)->progress, "%lld/%lld ",
                                (long long)counts->healthy, (long long)counts->wanted) == 0);
}

static const DeployHost host_table = {
    .now_ms = host_now_ms,
    .wait_ms = host_wait_ms,
    .is_cancelled = host_is_cancelled,
    .say = host_say,
    .progress = host_progress,
};

/* ---- life -------------------------------------------------------------------------------------
 */

Fake *fake_new(void)
{
    Fake *fake = calloc(1, sizeof(*fake));
    DeployHost *host = calloc(1, sizeof(*host));
    const char *base = getenv("TMPDIR");

    assert(fake && host);
    *host = host_table;
    host->userdata = fake;
    fake->steps = fake_success;
    fake->now_ms = 1000;
    (void)snprintf(fake->directory, sizeof(fake->directory), "%s/deploy.XXXXXX",
                   base ? base : "/tmp");
    assert(mkdtemp(fake->directory));
    fake->releases = RELEASES_INIT;
    assert(releases_open(fake->directory, "staging", &fake->releases, NULL) == 0);
    fake->deploy = (Deploy){
        .engine = &fake_engine,
        .session = (EngineSession *)(void *)fake,
        .host = host,
        .releases = &fake->releases,
        .timeout_ms = 60000,
        .grace_ms = 8000,
    };
    return fake;
}

Fake *fake_free(Fake *fake)
{
    for (size_t i = 0; i < fake->n_deployments; i++) {
        free(fake->deployments[i].id);
    }
    free(fake->serving);
    buffer_done(&fake->log);
    buffer_done(&fake->progress);
    releases_done(&fake->releases);
    assert(file_remove_tree(AT_FDCWD, fake->directory, NULL) == 0);
    free((void *)fake->deploy.host);
    free(fake);
    return NULL;
}

static KeptRelease *add_release(Fake *fake, const char *id, const char *version,
                                const char *outcome)
{
    Json *record = json_new_object();
    _cleanup_json_ Json *filled = json_new_object();
    KeptRelease *release = NULL;
    unsigned number = 0;

    assert(releases_make(&fake->releases, &number, NULL) == 0);
    assert(json_set_string(filled, "version", version) == 0);
    assert(releases_write_file(&fake->releases, number, RELEASES_FILLED, filled, NULL) == 0);
    assert(json_set_string(record, "app", APP) == 0);
    assert(json_set_string(record, "deployment", id) == 0);
    assert(json_set_string(record, "version", version) == 0);
    assert(json_set_string(record, "digest", version) == 0);
    assert(json_set_string(record, "outcome", outcome) == 0);
    assert(releases_add_take(&fake->releases, number, record, &release, NULL) == 0);
    return release;
}

void fake_run_before(Fake *fake, const char *id)
{
    (void)add_release(fake, id, "1", "succeeded");
    serve(fake, id);
}

KeptRelease *fake_release(Fake *fake, const char *id)
{
    return add_release(fake, id, "2", NULL);
}

Json *fake_record(const Fake *fake, unsigned number)
{
    Json *record = NULL;

    assert(releases_read_file(&fake->releases, number, RELEASES_RECORD, &record, NULL) == 0);
    return record;
}
