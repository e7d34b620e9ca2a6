/* SPDX-License-Identifier: MIT */
#include "plugin/cli/collect.h"

#include "plugin/cli/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The most that calls/list gives. */
#define CALLS_MAX 1000

static int say(Session *s, const char *what, const char *problem)
{
    output_say(&s->output, "slipway: %s: %s", what, problem ? problem : "out of memory");
    return EXIT_ACTION_FAILED;
}

/* ---- a place for a moment ---------------------------------------------------------------------
 */

/* A directory that only this user can look into, with one file. */
typedef struct Place {
    char *directory;
    char *file;
} Place;

static void place_done(Place *place)
{
    char *part = NULL;

    if (place->file) {
        (void)unlink(place->file);
        if (asprintf(&part, "%s.part", place->file) > 0) {
            (void)unlink(part); /* there where a transfer was cut */
            free(part);
        }
    }
    if (place->directory) {
        (void)rmdir(place->directory);
    }
    free(place->file);
    free(place->directory);
    *place = (Place){0};
}

static int place_make(Session *s, Place *ret)
{
    const char *base = getenv("TMPDIR");
    Place place = {0};

    if (asprintf(&place.directory, "%s/slipway-XXXXXX", base && *base ? base : "/tmp") < 0) {
        return say(s, "a place for evidence", NULL);
    }
    if (!mkdtemp(place.directory)) {
        int r = say(s, place.directory, strerror(errno));

        free(place.directory);
        return r;
    }
    if (asprintf(&place.file, "%s/" RELEASE_BUNDLE_FILE, place.directory) < 0) {
        place.file = NULL;
        place_done(&place);
        return say(s, "a place for evidence", NULL);
    }
    *ret = place;
    return EXIT_DONE;
}

/* ---- from the agent ---------------------------------------------------------------------------
 */

typedef struct Fetching {
    Session *session;
    bool is_done;
    int code;
} Fetching;

static void on_fetched(SlipwayClient *client, const SlipwayError *error, void *userdata)
{
    Fetching *fetching = userdata;

    fetching->is_done = true;
    if (error) {
        fetching->code = session_fail(fetching->session, error, RELEASE_BUNDLE_FILE);
    }
}

static int download(Session *s, const SlipwayJson *artifact, const char *path)
{
    Fetching fetching = {.session = s};
    int r = EXIT_DONE;

    if (slipway_artifact_download(s->client, artifact, path, NULL, on_fetched, &fetching) < 0) {
        return say(s, RELEASE_BUNDLE_FILE, slipway_client_get_error(s->client));
    }
    while (r == EXIT_DONE && !fetching.is_done) {
        r = session_step(s);
    }
    if (!fetching.is_done) { /* its callback would find a Fetching that is gone */
        s->client = slipway_client_free(s->client);
    }
    return fetching.is_done ? fetching.code : r;
}

static int collect_artifact(Session *s, const SlipwayJson *artifact, ReleaseBundle *bundle)
{
    Place place;
    char *problem = NULL;
    int r = place_make(s, &place);

    if (r != EXIT_DONE) {
        return r;
    }
    r = download(s, artifact, place.file);
    if (r == EXIT_DONE && release_bundle_load(bundle, place.file, &problem) < 0) {
        r = say(s, slipway_json_get_string(artifact, "/artifact", RELEASE_BUNDLE_FILE), problem);
    }
    free(problem);
    place_done(&place);
    return r;
}

int collect_artifacts(Session *s, const SlipwayJson *artifacts, ReleaseBundle *bundle)
{
    const SlipwayJson *artifact;

    for (size_t i = 0; (artifact = slipway_json_get_element(artifacts, i)); i++) {
        if (strcmp(slipway_json_get_string(artifact, "/name", ""), RELEASE_BUNDLE_FILE) == 0) {
            return collect_artifact(s, artifact, bundle);
        }
    }
    return EXIT_DONE;
}

static int collect_call(Session *s, const char *call, ReleaseBundle *bundle)
{
    SlipwayJson *params = slipway_json_new_object(), *list = NULL;
    int r;

    (void)slipway_json_set_string(params, "/call", call);
    r = session_request(s, "artifacts/list", params, &list);
    r = r == EXIT_DONE ? collect_artifacts(s, slipway_json_get(list, "/artifacts"), bundle) : r;
    (void)slipway_json_unref(list);
    (void)slipway_json_unref(params);
    return r;
}

int collect_run(Session *s, const char *run, ReleaseBundle *bundle)
{
    SlipwayJson *params = slipway_json_new_object(), *list = NULL;
    const SlipwayJson *calls, *call;
    int r;

    (void)slipway_json_set_string(params, "/run", run);
    (void)slipway_json_set_int(params, "/limit", CALLS_MAX);
    r = session_request(s, "calls/list", params, &list);
    calls = slipway_json_get(list, "/calls");
    for (size_t i = slipway_json_get_count(calls, ""); r == EXIT_DONE && i > 0; i--) {
        call = slipway_json_get_element(calls, i - 1); /* the oldest first */
        if (strcmp(slipway_json_get_string(call, "/state", ""), "finished") == 0) {
            r = collect_call(s, slipway_json_get_string(call, "/call", ""), bundle);
        }
    }
    if (r == EXIT_DONE && slipway_json_get_count(calls, "") == 0) {
        r = session_usage(s, "the agent has no call of the run '%s'; `slipway calls` lists them",
                          run);
    }
    (void)slipway_json_unref(list);
    (void)slipway_json_unref(params);
    return r;
}

/* ---- to the agent -----------------------------------------------------------------------------
 */

int collect_send(Session *s, const ReleaseBundle *bundle, char *input)
{
    char *sha256 = slipway_sha256(bundle->text ? bundle->text : "", bundle->len), *problem = NULL;
    Place place;
    int r = sha256 ? place_make(s, &place) : say(s, "evidence", NULL);

    if (r != EXIT_DONE) {
        free(sha256);
        return r;
    }
    (void)snprintf(input, COLLECT_INPUT_SIZE, "evidence-%.32s", sha256);
    if (release_bundle_save(bundle, place.file, &problem) < 0) {
        r = say(s, "evidence", problem);
    } else {
        r = source_send(s, place.file, input);
    }
    free(problem);
    free(sha256);
    place_done(&place);
    return r;
}
