/* SPDX-License-Identifier: MIT */
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/fetch.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS 4

static const Option options[] = {
    {"output", OPTION_TEXT, "DIR", NULL, "get: the directory to put them in (default: .)"},
    {"no-unpack", OPTION_FLAG, NULL, NULL, "get: leave archives as they are"},
    {0},
};

static int list_artifacts(Session *s, const char *call, SlipwayJson **ret)
{
    SlipwayJson *params = slipway_json_new_object();
    int r;

    (void)slipway_json_set_string(params, "/call", call);
    r = session_request(s, "artifacts/list", params, ret);
    (void)slipway_json_unref(params);
    return r;
}

static void print_artifacts(Session *s, const SlipwayJson *artifacts)
{
    static const char *const head[COLUMNS] = {"ARTIFACT", "SIZE", "FORMAT", "SHA-256"};
    size_t n = slipway_json_get_count(artifacts, "");
    const char **cells = calloc((n + 1) * COLUMNS, sizeof(*cells));
    char(*sizes)[OUTPUT_TEXT_SIZE] = calloc(n + 1, sizeof(*sizes));

    if (cells && sizes) {
        memcpy(cells, head, sizeof(head));
        for (size_t i = 0; i < n; i++) {
            const SlipwayJson *artifact = slipway_json_get_element(artifacts, i);
            const char **row = cells + (i + 1) * COLUMNS;

            row[0] = slipway_json_get_string(artifact, "/name", "?");
            row[1] = output_size((uint64_t)slipway_json_get_int(artifact, "/size", 0), sizes[i]);
            row[2] = slipway_json_get_string(artifact, "/format", "");
            row[3] = slipway_json_get_string(artifact, "/sha256", "");
        }
        output_table(&s->output, cells, n + 1, COLUMNS);
    }
    free(sizes);
    free(cells);
}

static int run_list(Session *s, const char *call)
{
    SlipwayJson *result = NULL;
    int r = list_artifacts(s, call, &result);

    if (r == EXIT_DONE && s->output.is_json) {
        session_print_json(s, NULL, result);
    } else if (r == EXIT_DONE) {
        print_artifacts(s, slipway_json_get(result, "/artifacts"));
    }
    (void)slipway_json_unref(result);
    return r;
}

static int run_get(Session *s, const char *what)
{
    const char *slash = strchr(what, '/');
    char *call = slash ? strndup(what, (size_t)(slash - what)) : strdup(what);
    SlipwayJson *result = NULL;
    int r = call ? list_artifacts(s, call, &result) : EXIT_ACTION_FAILED;

    if (r == EXIT_DONE) {
        r = fetch_artifacts(s, slipway_json_get(result, "/artifacts"), slash ? slash + 1 : NULL,
                            options_text(s->options, "output", "."),
                            options_flag(s->options, "no-unpack"));
    }
    (void)slipway_json_unref(result);
    free(call);
    return r;
}

static int run(Session *s)
{
    const char *first = s->options->arguments[0];

    if (strcmp(first, "get") == 0) {
        return s->options->n_arguments == 2
                   ? run_get(s, s->options->arguments[1])
                   : session_usage(s, "say what to get: slipway artifacts get CALL[/NAME]");
    }
    if (s->options->n_arguments > 1) {
        return session_usage(s, "'%s' is no subcommand of artifacts; did you mean 'get'?", first);
    }
    return run_list(s, first);
}

const Command command_artifacts = {
    .name = "artifacts",
    .synopsis = "CALL | get CALL[/NAME]",
    .summary = "list or fetch what a call made",
    .description =
        "Lists the artifacts of a call; with `get` fetches all of them, or one. Size and SHA-256 "
        "are checked, a long transfer that was cut is gone on with, and archives are unpacked into "
        "a fresh directory of the artifact's name.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run,
};
