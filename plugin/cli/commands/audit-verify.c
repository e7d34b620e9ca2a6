/* SPDX-License-Identifier: MIT */
/* slipway audit verify. A chain shows what was done to records in the middle. That its end was cut
 * off shows only against what was said of it elsewhere: by the head that lies beside the log, and
 * by the receipts of deployments, which travelled. */
#include "plugin/cli/audit-log.h"
#include "plugin/cli/collect.h"
#include "plugin/cli/commands/commands.h"
#include "plugin/cli/evidence/receipts.h"
#include "plugin/cli/evidence/text-file.h"
#include "plugin/cli/evidence/trusted-keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_SIZE_MAX ((size_t)4096)
/* Receipts that the agent is asked for: the newest. Each is in the log behind the one before. */
#define KEPT_MAX 100

typedef struct Verifying {
    Session *session;
    SlipwayJson *keys; /* whom somebody believes; NULL: nobody */
    bool has_keys;     /* it was said who is believed, so signatures count */
    Receipts receipts;
    char *agent;          /* "slipway:agent/NAME" whose log it is; NULL: not known */
    SlipwayJson *heads;   /* seq and sha256 of what has to be in the log */
    SlipwayJson *anchors; /* where each of them was said */
    size_t n_kept;        /* of them by receipts that the agent keeps */
} Verifying;

static void verifying_done(Verifying *v)
{
    receipts_done(&v->receipts);
    (void)slipway_json_unref(v->keys);
    (void)slipway_json_unref(v->heads);
    (void)slipway_json_unref(v->anchors);
    free(v->agent);
}

static int say(Session *s, const char *about, const char *text)
{
    SlipwayError error = {.code = SLIPWAY_ERROR_LOCAL, .message = text};

    (void)session_fail(s, &error, about);
    return EXIT_ACTION_FAILED;
}

static int out_of_memory(Session *s)
{
    return say(s, "audit", "out of memory");
}

/* ---- receipts ---------------------------------------------------------------------------------
 */

static int read_keys(Verifying *v)
{
    const char *path;
    int r = 0;

    for (size_t i = 0; r == 0 && (path = options_item(v->session->options, "keys", i)); i++) {
        char *problem = NULL;

        v->has_keys = true;
        r = trusted_keys_add_file(&v->keys, path, NULL, &problem);
        if (r < 0) {
            (void)say(v->session, "--keys", problem ? problem : "out of memory");
        }
        free(problem);
    }
    return r < 0 ? EXIT_USAGE : EXIT_DONE;
}

/* The text of a bundle, in which keys are looked for now. */
static int add_text(Verifying *v, const char *text, size_t len, const char *source, bool is_kept)
{
    SlipwayJson *entries = NULL;
    char *problem = NULL;
    int r = slipway_bundle_read(text, len, v->keys, &entries, &problem);

    if (r < 0) {
        r = say(v->session, source, problem ? problem : "out of memory");
    } else if (receipts_add(&v->receipts, source, is_kept, entries) < 0) {
        r = out_of_memory(v->session);
    }
    (void)slipway_json_unref(entries);
    free(problem);
    return r;
}

static int add_file(Verifying *v, const char *path)
{
    char *text = NULL, *problem = NULL;
    size_t len = 0;
    int r = EXIT_USAGE;

    if (text_file_read(path, RELEASE_BUNDLE_MAX, &text, &len, &problem) < 0) {
        (void)say(v->session, "--evidence", problem ? problem : "out of memory");
    } else {
        r = add_text(v, text, len, path, false);
    }
    free(problem);
    free(text);
    return r;
}

/* ---- the agent's own --------------------------------------------------------------------------
 */

/* Has the call a receipt? One that failed has none. */
static bool is_deployment(const SlipwayJson *call)
{
    const char *action = slipway_json_get_string(call, "/action", "");

    return (strncmp(action, "deploy-", strlen("deploy-")) == 0 ||
            strncmp(action, "rollback-", strlen("rollback-")) == 0) &&
           strcmp(slipway_json_get_string(call, "/status", ""), "succeeded") == 0;
}

/* A call that was cleaned up meanwhile has nothing to say any more. */
static int add_call(Verifying *v, const char *call)
{
    _cleanup_(release_bundle_done) ReleaseBundle bundle = {0};
    SlipwayClient *client = v->session->client;
    SlipwayJson *params = slipway_json_new_object(), *list = NULL;
    int code = 0, r;

    (void)slipway_json_set_string(params, "/call", call);
    r = slipway_client_request_wait(client, "artifacts/list", params, -1, &list, &code);
    (void)slipway_json_unref(params);
    if (r == -EREMOTEIO && code == SLIPWAY_ERROR_NOT_FOUND) {
        return EXIT_DONE;
    }
    if (r < 0) {
        (void)say(v->session, "artifacts/list", slipway_client_get_error(client));
        return r == -ENOTCONN ? EXIT_UNREACHABLE : EXIT_ACTION_FAILED;
    }
    r = collect_artifacts(v->session, slipway_json_get(list, "/artifacts"), &bundle);
    (void)slipway_json_unref(list);
    return r == EXIT_DONE && bundle.len > 0 ? add_text(v, bundle.text, bundle.len, call, true) : r;
}

static int add_kept(Verifying *v)
{
    static const char wanted[] = "{\"states\":[\"finished\"],\"limit\":1000}";
    SlipwayJson *params = NULL, *list = NULL;
    const SlipwayJson *call;
    size_t n = 0;
    int r = slipway_json_parse(wanted, sizeof(wanted) - 1, &params) < 0
                ? out_of_memory(v->session)
                : session_request(v->session, "calls/list", params, &list);

    for (size_t i = 0; r == EXIT_DONE && n < KEPT_MAX; i++) {
        call = slipway_json_get_element(slipway_json_get(list, "/calls"), i);
        if (!call) {
            break;
        }
        if (is_deployment(call)) {
            r = add_call(v, slipway_json_get_string(call, "/call", ""));
            n++;
        }
    }
    (void)slipway_json_unref(list);
    (void)slipway_json_unref(params);
    return r;
}

/* The agent's own come before the log is read, so that none names a record that was written after.
 */
static int read_receipts(Verifying *v, bool is_agents)
{
    Session *s = v->session;
    const char *path;
    int r = read_keys(v);

    for (size_t i = 0; r == EXIT_DONE && (path = options_item(s->options, "evidence", i)); i++) {
        r = add_file(v, path);
    }
    if (r == EXIT_DONE && is_agents) {
        r = session_connect(s);
        r = r == EXIT_DONE ? add_kept(v) : r;
    }
    return r;
}

/* ---- which of them are about this log ---------------------------------------------------------
 */

static int look_for_calls(const SlipwayJson *record, void *userdata)
{
    Verifying *v = userdata;
    const char *call = slipway_json_get_string(record, "/call", "");

    for (size_t i = 0; *call && i < v->receipts.n; i++) {
        Receipt *receipt = &v->receipts.items[i];

        receipt->is_of_call |= strcmp(receipt_text(receipt, "/call"), call) == 0;
    }
    return 0;
}

/* Whose log it is: as it was said, as the agent says, or as the receipt of one of its calls says. A
 * bundle has receipts of several hosts, and each is about its own log. */
static int find_agent(Verifying *v, const AuditLog *log, bool is_agents)
{
    const char *name = options_text(v->session->options, "name", is_agents ? log->name : NULL);

    for (size_t i = 0; !name && !v->agent && i < v->receipts.n; i++) {
        if (v->receipts.items[i].is_of_call) {
            v->agent = strdup(receipt_text(&v->receipts.items[i], "/agent"));
            return v->agent ? 0 : -ENOMEM;
        }
    }
    if (name && asprintf(&v->agent, "slipway:agent/%s", name) < 0) {
        v->agent = NULL;
        return -ENOMEM;
    }
    return 0;
}

static bool is_of_this_log(const Verifying *v, const Receipt *receipt)
{
    return receipt->is_kept || (v->agent && strcmp(receipt_text(receipt, "/agent"), v->agent) == 0);
}

/* "of prod (line 3 of 'release.intoto.jsonl')" */
static void describe_receipt(const Receipt *receipt, char *text, size_t size)
{
    if (receipt->is_kept) {
        (void)snprintf(text, size, "of %.128s (call %.128s)", receipt_text(receipt, "/environment"),
                       receipt->source);
    } else {
        (void)snprintf(
            text, size, "of %.128s (line %lld of '%.200s')", receipt_text(receipt, "/environment"),
            (long long)slipway_json_get_int(receipt->entry, "/line", 0), receipt->source);
    }
}

static int say_doubt(const Verifying *v, const Receipt *receipt)
{
    char text[768], which[512];

    describe_receipt(receipt, which, sizeof(which));
    (void)snprintf(text, sizeof(text), "the receipt %s proves nothing: %s", which,
                   receipt_doubt(receipt));
    return say(v->session, "audit verify", text);
}

/* Receipts that are of no use for this log, when all are: whose they are. */
static int say_no_receipt(const Verifying *v)
{
    char text[512];

    if (v->receipts.n == 0) {
        return say(v->session, "audit verify",
                   "no receipt in the bundles says where its host's log ended");
    }
    (void)snprintf(text, sizeof(text),
                   v->agent ? "no receipt in the bundles is of %.128s, but of %.128s; say whose "
                              "log it is with --name"
                            : "no receipt in the bundles is of a call in this log%s, but of "
                              "%.128s; if the log is that agent's, say so with --name",
                   v->agent ? v->agent : "", receipt_text(&v->receipts.items[0], "/agent"));
    return say(v->session, "audit verify", text);
}

/* ---- what has to be in the log ----------------------------------------------------------------
 */

static int add_anchor(Verifying *v, SlipwayJson *anchor, const SlipwayJson *head)
{
    int r = slipway_json_set(anchor, "/seq", slipway_json_get(head, "/seq"));

    r = r < 0 ? r : slipway_json_set(v->anchors, "/-", anchor);
    return r < 0 ? r : slipway_json_set(v->heads, "/-", head);
}

/* What FILE.head says, where somebody verifies the log in its own place. */
static int add_head_file(Verifying *v, const AuditLog *log)
{
    SlipwayJson *head = NULL, *anchor = slipway_json_new_object();
    char *path = NULL, *text = NULL, *problem = NULL;
    size_t len = 0;
    int r = EXIT_DONE;

    if (asprintf(&path, "%s.head", log->path) < 0) {
        path = NULL;
        r = out_of_memory(v->session);
    } else if (access(path, F_OK) == 0) {
        if (text_file_read(path, HEAD_SIZE_MAX, &text, &len, &problem) < 0) {
            r = say(v->session, "the log's head", problem ? problem : "out of memory");
        } else if (slipway_json_parse(text, len, &head) < 0) {
            r = say(v->session, path, "no JSON, so it says nothing of the log's end");
        } else if (slipway_json_set_string(anchor, "/file", path) < 0 ||
                   add_anchor(v, anchor, head) < 0) {
            r = out_of_memory(v->session);
        }
    }
    (void)slipway_json_unref(head);
    (void)slipway_json_unref(anchor);
    free(problem);
    free(text);
    free(path);
    return r;
}

static int add_receipt(Verifying *v, const Receipt *receipt)
{
    SlipwayJson *anchor = slipway_json_new_object();
    int r = slipway_json_set_string(anchor, receipt->is_kept ? "/artifactOf" : "/file",
                                    receipt->source);

    if (r == 0 && !receipt->is_kept) {
        r = slipway_json_set(anchor, "/line", slipway_json_get(receipt->entry, "/line"));
    }
    r = r < 0 ? r
              : slipway_json_set_string(anchor, "/environment",
                                        receipt_text(receipt, "/environment"));
    r = r < 0 ? r : slipway_json_set_string(anchor, "/call", receipt_text(receipt, "/call"));
    if (r == 0 && v->has_keys) {
        r = slipway_json_set(anchor, "/signer", slipway_json_get(receipt->entry, "/signer"));
    }
    r = r < 0 ? r : add_anchor(v, anchor, receipt_anchor(receipt));
    (void)slipway_json_unref(anchor);
    v->n_kept += receipt->is_kept;
    return r;
}

static int gather(Verifying *v, const AuditLog *log, bool is_agents)
{
    size_t n_ours = 0;
    int r = is_agents ? EXIT_DONE : add_head_file(v, log);

    for (size_t i = 0; r == EXIT_DONE && i < v->receipts.n; i++) {
        const Receipt *receipt = &v->receipts.items[i];

        if (!is_of_this_log(v, receipt)) {
            continue;
        }
        n_ours += !receipt->is_kept;
        if (v->has_keys && receipt_doubt(receipt)) {
            r = say_doubt(v, receipt);
        } else if (add_receipt(v, receipt) < 0) {
            r = out_of_memory(v->session);
        }
    }
    return r == EXIT_DONE && options_item(v->session->options, "evidence", 0) && n_ours == 0
               ? say_no_receipt(v)
               : r;
}

/* ---- what is shown ----------------------------------------------------------------------------
 */

static void print_anchor(Session *s, const SlipwayJson *anchor)
{
    const char *environment = slipway_json_get_string(anchor, "/environment", NULL);
    const char *signer = slipway_json_get_string(anchor, "/signer", NULL);
    const char *file = slipway_json_get_string(anchor, "/file", "?");
    long long seq = (long long)slipway_json_get_int(anchor, "/seq", 0);

    if (environment) {
        output_print(&s->output,
                     "  record %lld is the one that the receipt of %s names (line %lld of "
                     "'%s'%s%s)\n",
                     seq, environment, (long long)slipway_json_get_int(anchor, "/line", 0), file,
                     signer ? ", signed by " : "", signer ? signer : "");
    } else {
        output_print(&s->output, "  record %lld is the one that '%s' names\n", seq, file);
    }
}

static void print_anchors(const Verifying *v)
{
    Session *s = v->session;
    long long newest = 0;

    for (size_t i = 0; i < slipway_json_get_count(v->anchors, ""); i++) {
        const SlipwayJson *anchor = slipway_json_get_element(v->anchors, i);
        long long seq = (long long)slipway_json_get_int(anchor, "/seq", 0);

        if (!slipway_json_get(anchor, "/artifactOf")) {
            print_anchor(s, anchor);
        } else if (seq > newest) {
            newest = seq;
        }
    }
    if (v->n_kept > 0) {
        output_print(&s->output,
                     "  %zu receipt%s of its calls name%s records that are in it, up to record "
                     "%lld\n",
                     v->n_kept, v->n_kept == 1 ? "" : "s", v->n_kept == 1 ? "s" : "", newest);
    }
}

static void print_verified(const Verifying *v, const AuditLog *log, const SlipwayJson *head)
{
    Session *s = v->session;
    long long n = (long long)slipway_json_get_int(head, "/seq", 0);

    if (s->output.is_quiet) {
        return;
    }
    output_print(&s->output, "%s%s%s: %lld record%s, each as it was when the next was written\n",
                 output_style(&s->output, false, STYLE_GOOD), log->name,
                 output_plain(&s->output, false), n, n == 1 ? "" : "s");
    if (n > 0) {
        output_print(&s->output, "  the last has SHA-256 %s\n",
                     slipway_json_get_string(head, "/sha256", ""));
    }
    print_anchors(v);
    if (slipway_json_get_count(v->anchors, "") == 0 && !s->client) {
        output_print(&s->output, "  whether records are missing at its end shows only against "
                                 "receipts: --evidence FILE\n");
    }
    if (slipway_json_get_bool(head, "/isTorn", false)) {
        output_print(&s->output, "  its last line is torn: a record that was being written, or a "
                                 "crash; nothing depends on it\n");
    }
}

static int print_verification(const Verifying *v, const AuditLog *log, const SlipwayJson *head)
{
    Session *s = v->session;
    SlipwayJson *line;

    if (!s->output.is_json) {
        print_verified(v, log, head);
        return EXIT_DONE;
    }
    line = slipway_json_new_object();
    (void)slipway_json_set_string(line, "/log", log->name);
    (void)slipway_json_set(line, "/records", slipway_json_get(head, "/seq"));
    (void)slipway_json_set(line, "/head", head);
    (void)slipway_json_set(line, "/anchors", v->anchors);
    session_print_json(s, "audit/verified", line);
    (void)slipway_json_unref(line);
    return EXIT_DONE;
}

/* A finding that rests on a receipt says on which: the one that names the newest record. */
static void print_newest_receipt(const Verifying *v)
{
    const Receipt *newest = NULL;
    long long seq = 0;
    char which[512];

    for (size_t i = 0; i < v->receipts.n; i++) {
        const Receipt *receipt = &v->receipts.items[i];
        long long said = (long long)receipt_seq(receipt);

        if (is_of_this_log(v, receipt) && said > seq) {
            newest = receipt;
            seq = said;
        }
    }
    if (newest) {
        describe_receipt(newest, which, sizeof(which));
        output_say(&v->session->output, "  the newest receipt, %s, names record %lld", which, seq);
    }
}

static int verify(Verifying *v, const AuditLog *log, bool is_agents)
{
    Session *s = v->session;
    SlipwayJson *head = NULL;
    int r = audit_log_walk(s, log, NULL, look_for_calls, v, NULL);

    if (r == 0 && find_agent(v, log, is_agents) < 0) {
        r = out_of_memory(s);
    }
    r = r == 0 ? gather(v, log, is_agents) : r;
    if (r == 0) {
        r = audit_log_walk(s, log, v->heads, NULL, NULL, &head);
        if (r == EXIT_ACTION_FAILED) {
            print_newest_receipt(v);
        }
    }
    r = r < 0 ? out_of_memory(s) : r;
    r = r == 0 ? print_verification(v, log, head) : r;
    (void)slipway_json_unref(head);
    return r;
}

int audit_verify(Session *s, const char *file)
{
    _cleanup_(verifying_done) Verifying v = {
        .session = s, .heads = slipway_json_new_array(), .anchors = slipway_json_new_array()};
    _cleanup_(audit_log_done) AuditLog log = {0};
    int r = v.heads && v.anchors ? read_receipts(&v, !file) : out_of_memory(s);

    r = r == EXIT_DONE ? audit_log_open(s, file, &log) : r;
    return r == EXIT_DONE ? verify(&v, &log, !file) : r;
}
