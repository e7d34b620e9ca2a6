/* SPDX-License-Identifier: MIT */
/* slipway approve: a person releases a package to an environment, and the controller's key says so.
 * What is signed is what was shown: the commit, what ran before it, and the text of the change. */
#include "plugin/cli/change-call.h"
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/confirm.h"
#include "plugin/cli/evidence/approval.h"
#include "plugin/cli/evidence/release-bundle.h"
#include "plugin/cli/evidence/text-file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHANGE_MAX ((size_t)4 << 20)
#define SECOND_US ((int64_t)1000000)

static const Option options[] = {
    {"env", OPTION_TEXT, "E", NULL, "the environment to release to; required"},
    {"key", OPTION_TEXT, "FILE", NULL,
     "the private key to sign with, as `slipway keygen` makes it; required"},
    {"bundle", OPTION_TEXT, "FILE", NULL,
     "the release's evidence, to which the approval is added (default: " RELEASE_BUNDLE_FILE ")"},
    {"digest", OPTION_TEXT, "SHA256", NULL, "the package, where the bundle is about several"},
    {"approver", OPTION_TEXT, "NAME", NULL,
     "who releases, as the controller knows them (default: the user; under a controller it has to "
     "be said)"},
    {"via", OPTION_TEXT, "HOW", NULL,
     "how they said so (default: the controller that runs this, or terminal)"},
    {"url", OPTION_TEXT, "URL", NULL,
     "the page of the decision (default: the controller's page of this build)"},
    {"reason", OPTION_TEXT, "TEXT", NULL, "in the person's words"},
    {"valid", OPTION_NUMBER, "MINUTES", NULL, "how long it holds (default: 240)"},
    {"change", OPTION_TEXT, "FILE", NULL,
     "the change as it was shown already: what `slipway changes --json` printed; - is stdin. "
     "Without it the agent is asked for the change, which is printed here"},
    {"yes", OPTION_FLAG, NULL, NULL, "sign without asking"},
    {0},
};

typedef struct Approving {
    Session *session;
    ReleaseBundle bundle;
    ReleaseSubject subject; /* borrowed from the bundle */
    ApprovalRequest request;
    const char *bundle_path;
    SlipwayJson *change;
} Approving;

static void approving_done(Approving *a)
{
    release_bundle_done(&a->bundle);
    a->change = slipway_json_unref(a->change);
}

static int say(Session *s, int code, const char *about, const char *problem)
{
    output_say(&s->output, "slipway: %s%s%s", about ? about : "", about ? ": " : "",
               problem ? problem : "out of memory");
    return code;
}

/* ---- what is said on the command line ---------------------------------------------------------
 */

static int choose_approver(Approving *a, const ApprovalOrigin *origin)
{
    Session *s = a->session;
    const char *name = options_text(s->options, "approver", origin->name);

    if (!name && origin->via) {
        return session_usage(s,
                             "say who releases with --approver NAME: the user of this program is "
                             "%s, not the person who pressed the button",
                             origin->via);
    }
    name = name ? name : confirm_user_name();
    if (!name || !*name) {
        return session_usage(s, "say who releases with --approver NAME");
    }
    a->request.approver = name;
    return EXIT_DONE;
}

static int read_options(Approving *a)
{
    Session *s = a->session;
    const Options *o = s->options;
    ApprovalOrigin origin = approval_find_origin();
    long long minutes = options_number(o, "valid", APPROVAL_MINUTES_DEFAULT);

    a->bundle_path = options_text(o, "bundle", RELEASE_BUNDLE_FILE);
    a->request = (ApprovalRequest){
        .key_path = options_text(o, "key", NULL),
        .environment = options_text(o, "env", NULL),
        .via = options_text(o, "via",
                            origin.via           ? origin.via
                            : confirm_may_ask(s) ? "terminal"
                                                 : NULL),
        .url = options_text(o, "url", origin.url),
        .reason = options_text(o, "reason", NULL),
        .minutes = minutes,
    };
    if (!a->request.environment) {
        return session_usage(s, "say where to release to: --env E");
    }
    if (!a->request.key_path) {
        return session_usage(s, "say which key signs: --key FILE; `slipway keygen FILE` makes one");
    }
    if (minutes < 1 || minutes > APPROVAL_MINUTES_MAX) {
        return session_usage(s, "--valid is 1 to %d minutes, not %lld", APPROVAL_MINUTES_MAX,
                             minutes);
    }
    return choose_approver(a, &origin);
}

/* ---- what is released -------------------------------------------------------------------------
 */

static int read_bundle(Approving *a)
{
    Session *s = a->session;
    char *problem = NULL;
    int r = slipway_key_check(a->request.key_path, NULL, &problem);

    if (r < 0) {
        r = say(s, EXIT_USAGE, NULL, problem);
    } else if (release_bundle_load(&a->bundle, a->bundle_path, &problem) < 0) {
        r = say(s, EXIT_USAGE, NULL, problem);
    } else if (release_subject_find(a->bundle.entries, options_text(s->options, "digest", NULL),
                                    &a->subject, &problem) < 0) {
        r = say(s, EXIT_USAGE, a->bundle_path, problem);
    } else if (!a->subject.commit) {
        r = say(s, EXIT_USAGE, a->bundle_path, "its provenance says no commit");
    }
    a->request.subject = &a->subject;
    free(problem);
    return r;
}

/* ---- the change -------------------------------------------------------------------------------
 */

static int read_change(Approving *a, const char *path)
{
    Session *s = a->session;
    char *text = NULL, *problem = NULL;
    size_t len = 0;
    int r = text_file_read(path, CHANGE_MAX, &text, &len, &problem);

    if (r < 0) {
        r = say(s, EXIT_USAGE, "--change", problem);
    } else if (slipway_json_parse(text, len, &a->change) < 0) {
        r = session_usage(s, "--change '%s' is no JSON; it is what `slipway changes --json` prints",
                          path);
    }
    free(problem);
    free(text);
    return r;
}

static int ask_change(Approving *a)
{
    SourceCommit source = {
        .repository = (char *)a->subject.repository,
        .commit = (char *)a->subject.commit,
        .ref = (char *)a->subject.ref,
    };
    int r;

    if (!source.repository) {
        return say(a->session, EXIT_USAGE, a->bundle_path,
                   "its provenance names no repository, so the agent cannot tell the change");
    }
    r = session_connect(a->session);
    return r == EXIT_DONE ? change_call(a->session, a->request.environment, &source, &a->change)
                          : r;
}

static int find_change(Approving *a)
{
    const char *path = options_text(a->session->options, "change", NULL);
    char *problem = NULL;
    int r = path ? read_change(a, path) : ask_change(a), checked;

    if (r != EXIT_DONE) {
        return r;
    }
    a->request.change = a->change;
    checked = approval_check_change(a->change, &a->subject, a->request.environment, &problem);
    if (checked < 0) {
        r = say(a->session, checked == -ESTALE ? EXIT_REFUSED : EXIT_USAGE, NULL, problem);
    }
    free(problem);
    return r;
}

/* ---- the signature ----------------------------------------------------------------------------
 */

static bool is_wanted(Approving *a)
{
    Session *s = a->session;
    const ReleaseSubject *subject = &a->subject;

    if (!s->output.is_json && !s->output.is_quiet) {
        output_print(&s->output, "%s\n\n", slipway_json_get_string(a->change, "/text", ""));
    }
    if (options_flag(s->options, "yes") || !confirm_may_ask(s)) {
        return true; /* where nobody can be asked, calling this is the click */
    }
    return confirm_ask(s, "Release %s %s (%.12s) to %s as %s?",
                       subject->name ? subject->name : "this package",
                       subject->version ? subject->version : "", subject->commit,
                       a->request.environment, a->request.approver);
}

static void say_done(const Approving *a)
{
    Session *s = a->session;

    if (s->output.is_json) {
        SlipwayJson *line = slipway_json_new_object();

        (void)slipway_json_set_string(line, "/environment", a->request.environment);
        (void)slipway_json_set_string(line, "/digest", a->subject.digest);
        (void)slipway_json_set_string(line, "/commit", a->subject.commit);
        (void)slipway_json_set_string(line, "/approver", a->request.approver);
        (void)slipway_json_set_string(line, "/bundle", a->bundle_path);
        session_print_json(s, NULL, line);
        (void)slipway_json_unref(line);
    } else {
        output_say(&s->output, "Released to %s by %s, good for %lld minutes; signed into '%s'.",
                   a->request.environment, a->request.approver, a->request.minutes, a->bundle_path);
    }
}

static int sign(Approving *a)
{
    Session *s = a->session;
    char *line = NULL, *problem = NULL;
    int r = approval_sign(&a->request, (int64_t)time(NULL) * SECOND_US, &line, &problem);

    r = r < 0 ? r : release_bundle_add(&a->bundle, line, strlen(line), NULL, &problem);
    r = r < 0 ? r : release_bundle_save(&a->bundle, a->bundle_path, &problem);
    if (r < 0) {
        r = say(s, r == -EINVAL ? EXIT_USAGE : EXIT_ACTION_FAILED, NULL, problem);
    } else {
        say_done(a);
    }
    free(problem);
    free(line);
    return r;
}

static int run(Session *s)
{
    _cleanup_(approving_done) Approving a = {.session = s};
    int r = read_options(&a);

    r = r == EXIT_DONE ? read_bundle(&a) : r;
    r = r == EXIT_DONE ? find_change(&a) : r;
    if (r != EXIT_DONE) {
        return r;
    }
    if (!is_wanted(&a)) {
        output_say(&s->output, "Not released.");
        return EXIT_REFUSED;
    }
    return sign(&a);
}

const Command command_approve = {
    .name = "approve",
    .synopsis = "--env E --key FILE",
    .summary = "release a package to an environment, with a signature",
    .description =
        "Shows what the release would change against what runs now, and signs that a person "
        "releases it: this package (as the bundle's provenance says), to this environment, with "
        "exactly this change, once, until it expires. The approval is added to the bundle, which "
        "`slipway call deploy-E --evidence` brings to the deploy. On a terminal it asks first; "
        "elsewhere it does not, since calling it is the click. It is refused (exit code 4) "
        "where somebody says no, or the change is not that of this release.",
    .options = options,
    .is_local = true,
    .run = run,
};
