/* SPDX-License-Identifier: MIT */
/* slipway release collect: the evidence of a run's calls into one file.
 * slipway release verify: what such a file says, whether to believe it, and what is missing. */
#include "plugin/cli/collect.h"
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/evidence/release-tell.h"
#include "plugin/cli/evidence/release-verdict.h"
#include "plugin/cli/evidence/text-file.h"
#include "plugin/cli/evidence/trusted-keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PRODUCTION "prod"
#define SECOND_US ((int64_t)1000000)

static const Option options[] = {
    {"run", OPTION_TEXT, "RUN", NULL, "collect: the pipeline run whose calls are asked; required"},
    {"output", OPTION_TEXT, "FILE", NULL,
     "collect: the bundle that it is added to (default: " RELEASE_BUNDLE_FILE ")"},
    {"keys", OPTION_LIST, "FILE", NULL,
     "verify: whom you believe: an agent.json, a JSON file with its `keys`, or what "
     "`slipway keys --json` prints; may be given several times"},
    {"env", OPTION_TEXT, "E", NULL,
     "verify: the environment that it is to be released to (default: prod); what that demands is "
     "taken from an agent.json given with --keys, else everything is"},
    {"digest", OPTION_TEXT, "SHA256", NULL,
     "verify: the package, where the bundle is about several"},
    {0},
};

static int say(Session *s, int code, const char *about, const char *problem)
{
    output_say(&s->output, "slipway: %s%s%s", about ? about : "", about ? ": " : "",
               problem ? problem : "out of memory");
    return code;
}

/* ---- collect ----------------------------------------------------------------------------------
 */

static int load_if_there(Session *s, const char *path, ReleaseBundle *bundle)
{
    char *problem = NULL;
    int r = release_bundle_load(bundle, path, &problem);

    if (r < 0 && r != -ENOENT) {
        r = say(s, EXIT_ACTION_FAILED, NULL, problem);
    } else {
        r = EXIT_DONE;
    }
    free(problem);
    return r;
}

static int save(Session *s, const char *path, const ReleaseBundle *bundle, size_t before)
{
    size_t n = slipway_json_get_count(bundle->entries, "");
    char *problem = NULL;
    int r = EXIT_DONE;

    if (n > before && release_bundle_save(bundle, path, &problem) < 0) {
        r = say(s, EXIT_ACTION_FAILED, NULL, problem);
    } else if (s->output.is_json) {
        SlipwayJson *line = slipway_json_new_object();

        (void)slipway_json_set_string(line, "/path", path);
        (void)slipway_json_set_int(line, "/statements", (int64_t)n);
        (void)slipway_json_set_int(line, "/added", (int64_t)(n - before));
        session_print_json(s, NULL, line);
        (void)slipway_json_unref(line);
    } else {
        output_say(&s->output, "%zu statement%s in '%s', %zu of them new", n, n == 1 ? "" : "s",
                   path, n - before);
    }
    free(problem);
    return r;
}

static int collect(Session *s)
{
    _cleanup_(release_bundle_done) ReleaseBundle bundle = {0};
    const char *run = options_text(s->options, "run", NULL);
    const char *path = options_text(s->options, "output", RELEASE_BUNDLE_FILE);
    size_t before;
    int r;

    if (s->options->n_arguments > 1) {
        return session_usage(s, "collect takes no '%s'; say --output FILE",
                             s->options->arguments[1]);
    }
    if (!run) {
        return session_usage(s, "say whose evidence to collect: --run RUN");
    }
    r = load_if_there(s, path, &bundle);
    before = slipway_json_get_count(bundle.entries, "");
    r = r == EXIT_DONE ? session_connect(s) : r;
    r = r == EXIT_DONE ? collect_run(s, run, &bundle) : r;
    return r == EXIT_DONE ? save(s, path, &bundle, before) : r;
}

/* ---- verify: whom to believe ------------------------------------------------------------------
 */

typedef struct Verifying {
    Session *session;
    const char *path;
    const char *environment;
    SlipwayJson *keys;     /* NULL: nobody is believed */
    SlipwayJson *requires; /* NULL: everything */
    SlipwayJson *entries;
    ReleaseSubject subject;
    ReleaseVerdict verdict;
} Verifying;

static void verifying_done(Verifying *v)
{
    release_verdict_done(&v->verdict);
    v->entries = slipway_json_unref(v->entries);
    v->requires = slipway_json_unref(v->requires);
    v->keys = slipway_json_unref(v->keys);
}

static bool is_production(const char *name)
{
    return strcmp(name, "prod") == 0 || strcmp(name, "production") == 0;
}

/* As the agent reads its configuration: production that says nothing demands everything. */
static void take_requirements(Verifying *v, const SlipwayJson *environments)
{
    const SlipwayJson *environment = NULL, *requires;

    for (SlipwayJsonMember m = {0}; !environment && slipway_json_next_member(environments, &m);) {
        environment = strcmp(m.name, v->environment) == 0 ? m.value : NULL;
    }
    if (!environment) {
        return;
    }
    requires = slipway_json_get(environment, "/requires");
    (void)slipway_json_unref(v->requires);
    v->requires = requires                        ? slipway_json_ref(requires)
                  : is_production(v->environment) ? NULL
                                                  : slipway_json_new_object();
}

static int read_keys(Verifying *v, const char *path)
{
    Session *s = v->session;
    char *problem = NULL;
    SlipwayJson *root = NULL;
    int r = trusted_keys_add_file(&v->keys, path, &root, &problem);

    if (r < 0) {
        r = say(s, r == -ENOMEM ? EXIT_ACTION_FAILED : EXIT_USAGE, "--keys", problem);
    } else {
        take_requirements(v, slipway_json_get(root, "/environments"));
    }
    (void)slipway_json_unref(root);
    free(problem);
    return r;
}

/* ---- verify: telling --------------------------------------------------------------------------
 */

typedef struct StateLook {
    const char *word;
    OutputStyle style;
} StateLook;

static const StateLook looks[_PIECE_STATE_MAX] = {
    [PIECE_GOOD] = {"good", STYLE_GOOD},
    [PIECE_BAD] = {"bad", STYLE_BAD},
    [PIECE_WRONG_ROLE] = {"wrong role", STYLE_BAD},
    [PIECE_UNKNOWN] = {"not trusted", STYLE_WARN},
    [PIECE_MISSING] = {"missing", STYLE_BAD},
};

static void print_piece(const Verifying *v, const ReleasePiece *piece)
{
    Output *o = &v->session->output;
    const char *signer = slipway_json_get_string(piece->entry, "/signer", NULL);
    char *text = piece->entry ? release_tell(piece->entry) : NULL;

    output_print(o, "  %-13s%s%-12s%s%s%s%s%s", piece->name,
                 output_style(o, false, looks[piece->state].style), looks[piece->state].word,
                 output_plain(o, false), text ? text : "", signer ? "; signed by '" : "",
                 signer ? signer : "", signer ? "'" : "");
    if (!text && piece->reason) {
        output_print(o, "%s", piece->reason);
    } else if (piece->reason && v->keys) {
        output_print(o, "\n%27s%s", "", piece->reason);
    }
    if (piece->state == PIECE_UNKNOWN && !v->keys) {
        output_print(o, "\n"); /* the conclusion says it once, for all of them */
        free(text);
        return;
    }
    if (piece->mend && piece->is_demanded) {
        output_print(o, "\n%27s→ %s", "", piece->mend);
    } else if (!piece->is_demanded && piece->state != PIECE_GOOD) {
        output_print(o, "\n%27s%s does not demand it", "", v->environment);
    }
    output_print(o, "\n");
    free(text);
}

static bool is_a_piece(const Verifying *v, const SlipwayJson *entry)
{
    for (size_t i = 0; i < RELEASE_PIECES; i++) {
        if (v->verdict.pieces[i].entry == entry) {
            return true;
        }
    }
    return false;
}

/* What is in it besides: earlier attempts, other environments, other packages. */
static void print_others(const Verifying *v)
{
    Output *o = &v->session->output;
    const SlipwayJson *entry;
    bool is_first = true;

    for (size_t i = 0; (entry = slipway_json_get_element(v->entries, i)); i++) {
        bool is_trusted = strcmp(slipway_json_get_string(entry, "/trust", ""), "trusted") == 0;
        char *text = is_a_piece(v, entry) ? NULL : release_tell(entry);

        if (text) {
            output_print(o, "%s  %s%s\n", is_first ? "\nAlso in it:\n" : "",
                         is_trusted ? "" : "(not trusted) ", text);
            is_first = false;
        }
        free(text);
    }
}

static void print_conclusion(const Verifying *v)
{
    Output *o = &v->session->output;

    if (!v->keys) {
        output_print(o,
                     "\n%sNothing of this is trusted: you named no keys.%s Anybody can write such "
                     "lines. Say whom you believe with --keys FILE: the agent.json of the host "
                     "that deploys, and `slipway keys --json` of each agent.\n",
                     output_style(o, false, STYLE_BAD), output_plain(o, false));
        return;
    }
    if (v->verdict.is_ready) {
        output_print(o,
                     "\n%sComplete for %s.%s Only the host that deploys knows the rest: whether "
                     "the approval was used, whether what runs is still what was shown, and "
                     "freezes.\n",
                     output_style(o, false, STYLE_GOOD), v->environment, output_plain(o, false));
        return;
    }
    output_print(o, "\n%sNot enough for %s:%s", output_style(o, false, STYLE_BAD), v->environment,
                 output_plain(o, false));
    for (size_t i = 0, n = 0; i < RELEASE_PIECES; i++) {
        const ReleasePiece *piece = &v->verdict.pieces[i];

        if (piece->is_demanded && piece->state != PIECE_GOOD) {
            output_print(o, "%s %s (%s)", n++ > 0 ? "," : "", piece->name,
                         looks[piece->state].word);
        }
    }
    output_print(o, ".\n");
}

static void print_text(const Verifying *v)
{
    Output *o = &v->session->output;
    const ReleaseSubject *subject = &v->subject;

    output_print(o, "%s%s %s%s  %s\n", output_style(o, false, STYLE_BOLD),
                 subject->name ? subject->name : "?", subject->version ? subject->version : "",
                 output_plain(o, false), subject->digest);
    output_print(o, "commit %s of %s\n\n", subject->commit ? subject->commit : "?",
                 subject->repository ? subject->repository : "?");
    for (size_t i = 0; i < RELEASE_PIECES; i++) {
        print_piece(v, &v->verdict.pieces[i]);
    }
    print_others(v);
    print_conclusion(v);
}

static int set_piece(SlipwayJson *pieces, const ReleasePiece *piece)
{
    SlipwayJson *object = slipway_json_new_object();
    int r = object ? slipway_json_set_string(object, "/piece", piece->name) : -ENOMEM;

    r = r < 0 ? r : slipway_json_set_string(object, "/state", piece_state_name(piece->state));
    r = r < 0 ? r : slipway_json_set_bool(object, "/isDemanded", piece->is_demanded);
    if (r == 0 && piece->entry) {
        r = slipway_json_set(object, "/line", slipway_json_get(piece->entry, "/line"));
    }
    r = r == 0 && piece->reason ? slipway_json_set_string(object, "/reason", piece->reason) : r;
    r = r == 0 && piece->mend ? slipway_json_set_string(object, "/mend", piece->mend) : r;
    r = r < 0 ? r : slipway_json_set(pieces, "/-", object);
    (void)slipway_json_unref(object);
    return r;
}

static int set_text(SlipwayJson *object, const char *pointer, const char *text)
{
    return text ? slipway_json_set_string(object, pointer, text) : 0;
}

static int print_json(const Verifying *v)
{
    SlipwayJson *whole = slipway_json_new_object(), *pieces = slipway_json_new_array();
    const ReleaseSubject *subject = &v->subject;
    int r = whole && pieces ? set_text(whole, "/digest", subject->digest) : -ENOMEM;

    r = r < 0 ? r : set_text(whole, "/name", subject->name);
    r = r < 0 ? r : set_text(whole, "/version", subject->version);
    r = r < 0 ? r : set_text(whole, "/commit", subject->commit);
    r = r < 0 ? r : set_text(whole, "/repository", subject->repository);
    r = r < 0 ? r : set_text(whole, "/environment", v->environment);
    r = r < 0 ? r : slipway_json_set_bool(whole, "/isComplete", v->verdict.is_ready);
    r = r < 0 ? r : slipway_json_set_bool(whole, "/hasKeys", v->keys);
    for (size_t i = 0; r == 0 && i < RELEASE_PIECES; i++) {
        r = set_piece(pieces, &v->verdict.pieces[i]);
    }
    r = r < 0 ? r : slipway_json_set(whole, "/pieces", pieces);
    r = r < 0 ? r : slipway_json_set(whole, "/statements", v->entries);
    if (r == 0) {
        session_print_json(v->session, NULL, whole);
    }
    (void)slipway_json_unref(pieces);
    (void)slipway_json_unref(whole);
    return r;
}

/* ---- verify -----------------------------------------------------------------------------------
 */

static int read_bundle(Verifying *v)
{
    Session *s = v->session;
    char *text = NULL, *problem = NULL;
    size_t len = 0;
    int r = EXIT_DONE;

    if (text_file_read(v->path, RELEASE_BUNDLE_MAX, &text, &len, &problem) < 0) {
        r = say(s, EXIT_USAGE, NULL, problem);
    } else if (slipway_bundle_read(text, len, v->keys, &v->entries, &problem) < 0 ||
               release_subject_find(v->entries, options_text(s->options, "digest", NULL),
                                    &v->subject, &problem) < 0) {
        r = say(s, EXIT_ACTION_FAILED, v->path, problem);
    }
    free(problem);
    free(text);
    return r;
}

static int judge(Verifying *v)
{
    Session *s = v->session;
    ReleaseQuestion question = {
        .entries = v->entries,
        .subject = &v->subject,
        .environment = v->environment,
        .requires = v->requires,
        .has_keys = v->keys,
        .now_us = (int64_t)time(NULL) * SECOND_US,
    };
    int r = release_verdict_make(&question, &v->verdict);

    if (r == 0 && s->output.is_json) {
        r = print_json(v);
    } else if (r == 0) {
        print_text(v);
    }
    if (r < 0) {
        return say(s, EXIT_ACTION_FAILED, v->path, NULL);
    }
    return v->verdict.is_ready ? EXIT_DONE : EXIT_REFUSED;
}

static int verify(Session *s)
{
    _cleanup_(verifying_done) Verifying v = {
        .session = s,
        .path = s->options->n_arguments > 1 ? s->options->arguments[1] : RELEASE_BUNDLE_FILE,
        .environment = options_text(s->options, "env", PRODUCTION),
    };
    const char *path;
    int r = EXIT_DONE;

    for (size_t i = 0; r == EXIT_DONE && (path = options_item(s->options, "keys", i)); i++) {
        r = read_keys(&v, path);
    }
    r = r == EXIT_DONE ? read_bundle(&v) : r;
    return r == EXIT_DONE ? judge(&v) : r;
}

static int run(Session *s)
{
    const char *what = s->options->arguments[0];

    if (strcmp(what, "collect") == 0) {
        return collect(s);
    }
    if (strcmp(what, "verify") == 0) {
        return verify(s);
    }
    return session_usage(s, "'%s' is no subcommand of release; there are collect and verify", what);
}

const Command command_release = {
    .name = "release",
    .synopsis = "collect --run RUN | verify [BUNDLE]",
    .summary = "a release's evidence: bring it together, and explain it",
    .description =
        "`collect` asks the agent for what the calls of a run have signed, and adds it to the "
        "bundle; where a run's calls are on several hosts, ask each into the same file.\n"
        "`verify` explains a bundle without asking anybody: who packaged, tested, staged, verified "
        "and released which package, whether each statement is signed by a key that you believe "
        "in a role that may say so, what the environment still misses, and which command brings "
        "it. Without --keys nothing is trusted. Exit code 0: complete and trusted; 4: a deploy "
        "would be refused; 1: no bundle, or about no package.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 2,
    .is_local = true,
    .run = run,
};
