/* SPDX-License-Identifier: MIT */
#include "plugin/cli/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Fetching {
    Session *session;
    const char *name;
    bool is_done;
    int code;
} Fetching;

static void on_progress(uint64_t done, uint64_t total, void *userdata)
{
    Fetching *fetching = userdata;

    output_progress(&fetching->session->output, fetching->name, done, total, "bytes");
}

static void on_fetched(SlipwayClient *client, const SlipwayError *error, void *userdata)
{
    Fetching *fetching = userdata;

    fetching->is_done = true;
    if (error) {
        fetching->code = session_fail(fetching->session, error, fetching->name);
    }
}

/* Into the file `path`, or with `directory` into that. */
static int download(Session *s, const SlipwayJson *artifact, const char *name, const char *path,
                    const char *directory)
{
    Fetching fetching = {.session = s, .name = name};
    int r = directory ? slipway_artifact_unpack(s->client, artifact, path, directory, on_progress,
                                                on_fetched, &fetching)
                      : slipway_artifact_download(s->client, artifact, path, on_progress,
                                                  on_fetched, &fetching);

    if (r < 0) {
        output_say(&s->output, "slipway: %s", slipway_client_get_error(s->client));
        return EXIT_ACTION_FAILED;
    }
    r = 0;
    while (r == 0 && !fetching.is_done) {
        r = session_step(s);
    }
    output_clear_progress(&s->output);
    return fetching.is_done ? fetching.code : r;
}

static void say_done(Session *s, const SlipwayJson *artifact, const char *name, const char *path)
{
    char size[OUTPUT_TEXT_SIZE];

    if (s->output.is_json) {
        SlipwayJson *line = slipway_json_new_object();

        (void)slipway_json_set(line, "/artifact", slipway_json_get(artifact, "/artifact"));
        (void)slipway_json_set_string(line, "/path", path);
        session_print_json(s, "artifact/fetched", line);
        (void)slipway_json_unref(line);
    } else {
        output_say(&s->output, "%s: %s in '%s'", name,
                   output_size((uint64_t)slipway_json_get_int(artifact, "/size", 0), size), path);
    }
}

/* Names of artifacts come from the agent; one that leads elsewhere is not followed there. */
static bool is_file_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int fetch_one(Session *s, const SlipwayJson *artifact, const char *directory, bool no_unpack)
{
    const char *name = slipway_json_get_string(artifact, "/name", "");
    bool is_archive = strcmp(slipway_json_get_string(artifact, "/format", ""), "tar.zst") == 0;
    bool is_unpacked = is_archive && !no_unpack;
    char *file = NULL, *target = NULL;
    int r = EXIT_ACTION_FAILED;

    if (!is_file_name(name)) {
        output_say(&s->output, "slipway: the agent names an artifact '%s', which is no file name",
                   name);
        return EXIT_ACTION_FAILED;
    }
    if (asprintf(&target, "%s/%s", directory, name) < 0 ||
        asprintf(&file, "%s/%s%s", directory, name, is_archive ? ".tar.zst" : "") < 0) {
        output_say(&s->output, "slipway: out of memory");
    } else if (is_unpacked && access(target, F_OK) == 0) {
        r = session_usage(s, "'%s' is there already; remove it or choose another --output", target);
    } else {
        r = download(s, artifact, name, file, is_unpacked ? target : NULL);
    }
    if (r == EXIT_DONE) {
        say_done(s, artifact, name, is_unpacked ? target : file);
    }
    free(target);
    free(file);
    return r;
}

int fetch_artifacts(Session *s, const SlipwayJson *artifacts, const char *name,
                    const char *directory, bool no_unpack)
{
    size_t n = slipway_json_get_count(artifacts, ""), n_fetched = 0;
    int r = EXIT_DONE;

    if (mkdir(directory, 0777) < 0 && errno != EEXIST) {
        return session_usage(s, "'%s': %s", directory, strerror(errno));
    }
    for (size_t i = 0; r == EXIT_DONE && i < n; i++) {
        const SlipwayJson *artifact = slipway_json_get_element(artifacts, i);

        if (!name || strcmp(slipway_json_get_string(artifact, "/name", ""), name) == 0) {
            r = fetch_one(s, artifact, directory, no_unpack);
            n_fetched++;
        }
    }
    if (name && n_fetched == 0) {
        return session_usage(s, "the call has no artifact '%s'; `slipway artifacts` lists them",
                             name);
    }
    return r;
}
