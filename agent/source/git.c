/* SPDX-License-Identifier: MIT */
#include "agent/source/git.h"

#include "agent/source/process.h"
#include "protocol/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GIT_OUTPUT_MAX ((size_t)16 << 20)

/* A server that sends less than one byte a second for so long is gone (http.lowSpeedTime). */
#define GIT_STALL_SECONDS "120"

/* GIT_* of the surroundings that say how to get through to a server, or what to tell of the way.
 * The others would say which repository to work on, and that is ours to say. */
static const char *const kept_variables[] = {
    "GIT_ASKPASS",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
    "GIT_TRACE_PACKET",
    "GIT_TRACE_SETUP",
    "GIT_TRACE_CURL_NO_DATA",
};

/* What every git of ours is told by its environment, where it outranks all configuration files. */
static const struct {
    const char *name, *value;
} settings[] = {
    {"core.hooksPath", "/dev/null"},
    {"core.fsmonitor", "false"},
    {"protocol.ext.allow", "never"},
    /* The workspace and the mirror are ours; what is in them was asked for by name. */
    {"safe.directory", "*"},
    /* Nothing is thrown away or repacked behind our back (mirror.c does it, under its lock). */
    {"gc.auto", "0"},
    {"maintenance.auto", "false"},
    /* A fetch that is cut off leaves a whole pack or none. */
    {"transfer.unpackLimit", "1"},
    {"fetch.recurseSubmodules", "false"},
    {"submodule.recurse", "false"},
    {"advice.detachedHead", "false"},
    {"init.defaultBranch", "main"},
    {"http.lowSpeedLimit", "1"},
    {"http.lowSpeedTime", GIT_STALL_SECONDS},
};

void git_done(Git *git)
{
    free(git->url);
    free(git->shown_url);
    environment_done(&git->env);
    *git = GIT_INIT;
}

/* ---- names ------------------------------------------------------------------------------------
 */

bool git_is_full_commit(const char *text)
{
    size_t n = strspn(text, "0123456789abcdef");

    return (n == 40 || n == 64) && text[n] == '\0';
}

/* One part between slashes. */
static bool is_ref_part(const char *part, size_t n)
{
    return n > 0 && part[0] != '.' && part[n - 1] != '.' &&
           !(n >= 5 && memcmp(part + n - 5, ".lock", 5) == 0) && !(n == 1 && part[0] == '@');
}

bool git_is_ref(const char *text)
{
    const char *part = text;

    if (text[0] == '-' || strstr(text, "..") || strstr(text, "@{")) {
        return false;
    }
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("~^:?*[\\", *p)) {
            return false;
        }
    }
    for (;;) {
        size_t n = strcspn(part, "/");

        if (!is_ref_part(part, n)) {
            return false;
        }
        if (!part[n]) {
            return true;
        }
        part += n + 1;
    }
}

const char *git_branch_of(const char *ref)
{
    if (text_has_prefix(ref, "refs/heads/")) {
        return ref + strlen("refs/heads/");
    }
    return text_has_prefix(ref, "refs/") || strcmp(ref, "HEAD") == 0 ? NULL : ref;
}

const char *git_tag_of(const char *ref)
{
    return text_has_prefix(ref, "refs/tags/") ? ref + strlen("refs/tags/") : NULL;
}

/* "scheme://user:password@host" without ":password". NULL: out of memory. */
static char *without_password(const char *url)
{
    const char *scheme = strstr(url, "://"), *host, *at, *colon;
    char *shown;

    if (!scheme) {
        return strdup(url);
    }
    host = scheme + 3;
    at = memrchr(host, '@', strcspn(host, "/?#"));
    colon = at ? memchr(host, ':', (size_t)(at - host)) : NULL;
    if (!colon) {
        return strdup(url);
    }
    return asprintf(&shown, "%.*s%s", (int)(colon - url), url, at) < 0 ? NULL : shown;
}

static bool is_local(const char *url)
{
    return url[0] == '/' || text_has_prefix(url, "file://");
}

static int check_url(const char *url, Error *err)
{
    for (const char *p = url; *p; p++) {
        if (iscntrl((unsigned char)*p)) {
            return error_set(err, -EINVAL, "the repository's URL has a control character");
        }
    }
    if (text_has_prefix(url, "ext::") || url[0] == '-') {
        return error_set(err, -EINVAL, "'%s' is no URL of a git repository", url);
    }
    if (!strchr(url, ':') && url[0] != '/') {
        return error_set(err, -EINVAL,
                         "'%s' is neither the URL of a git repository nor an absolute path", url);
    }
    return 0;
}

/* ---- surroundings -----------------------------------------------------------------------------
 */

static bool is_unwanted(const char *name, size_t n)
{
    if (n < 4 || memcmp(name, "GIT_", 4) != 0) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(kept_variables); i++) {
        if (strlen(kept_variables[i]) == n && memcmp(kept_variables[i], name, n) == 0) {
            return false;
        }
    }
    return true;
}

static int add_setting(Environment *env, size_t i, const char *name, const char *value)
{
    char key[40];
    int r;

    (void)snprintf(key, sizeof(key), "GIT_CONFIG_KEY_%zu", i);
    r = environment_set(env, key, name);
    (void)snprintf(key, sizeof(key), "GIT_CONFIG_VALUE_%zu", i);
    return r == 0 ? environment_set(env, key, value) : r;
}

static int add_settings(Environment *env, bool may_use_paths)
{
    char count[20];
    size_t n = ARRAY_SIZE(settings);
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++) {
        r = add_setting(env, i, settings[i].name, settings[i].value);
    }
    /* A repository of this host may have submodules of this host. One from elsewhere may not: git's
     * own rule for submodules, since CVE-2022-39253. */
    if (r == 0 && may_use_paths) {
        r = add_setting(env, n++, "protocol.file.allow", "always");
    }
    (void)snprintf(count, sizeof(count), "%zu", n);
    return r == 0 ? environment_set(env, "GIT_CONFIG_COUNT", count) : r;
}

static int make_environment(Git *git)
{
    int r = environment_add_all(&git->env, environ);

    environment_filter(&git->env, is_unwanted);
    r = r == 0 ? environment_set(&git->env, "GIT_TERMINAL_PROMPT", "0") : r;
    r = r == 0 ? environment_set(&git->env, "LC_ALL", "C.UTF-8") : r;
    r = r == 0 ? environment_set(&git->env, "LANGUAGE", NULL) : r;
    return r == 0 ? add_settings(&git->env, git->is_local) : r;
}

int git_open(const char *url, Git *ret, Error *err)
{
    _cleanup_git_ Git git = GIT_INIT;
    int r = check_url(url, err);

    if (r < 0) {
        return r;
    }
    git.url = strdup(url);
    git.shown_url = without_password(url);
    git.is_local = is_local(url);
    r = git.url && git.shown_url ? make_environment(&git) : -ENOMEM;
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    *ret = git;
    git = GIT_INIT;
    return 0;
}

/* ---- running ----------------------------------------------------------------------------------
 */

/* The last line that git marked as what went wrong, without its mark; otherwise the last at all. */
static const char *find_sentence(char *text, size_t *ret_len)
{
    static const char *const marks[] = {"fatal: ", "error: ", "ERROR: ", "remote: "};
    const char *best = "", *line = text;
    size_t best_len = 0, best_mark = ARRAY_SIZE(marks);

    while (*line) {
        size_t n = strcspn(line, "\r\n"), mark = 0;

        while (mark < ARRAY_SIZE(marks) && !text_has_prefix(line, marks[mark])) {
            mark++;
        }
        if (n > 0 && mark <= best_mark) {
            size_t skip = mark < ARRAY_SIZE(marks) ? strlen(marks[mark]) : 0;

            best = line + MIN(skip, n);
            best_len = n - MIN(skip, n);
            best_mark = mark;
        }
        line += n + strspn(line + n, "\r\n");
    }
    *ret_len = best_len;
    return best;
}

static int explain(const char *const *arguments, const ProcessExit *how, Buffer *complaints,
                   Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    const char *sentence;
    size_t n;

    if (buffer_append(complaints, "", 0) < 0 || process_exit_describe(how, 0, &text) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    sentence = complaints->len > 0 ? find_sentence(complaints->data, &n) : "";
    if (!*sentence) {
        return error_set(err, -EIO, "git %s %s", arguments[0], buffer_text(&text));
    }
    return error_set(err, -EIO, "%.*s", (int)n, sentence);
}

static int run(const Git *git, const char *directory, const char *const *arguments, Buffer *output,
               ProcessExit *ret, Buffer *complaints, Error *err)
{
    _cleanup_free_ const char **argv = NULL;
    size_t n = 0;

    while (arguments[n]) {
        n++;
    }
    argv = calloc(n + 2, sizeof(*argv));
    if (!argv) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    argv[0] = "git";
    memcpy(argv + 1, arguments, n * sizeof(*argv));
    return process_run(&(ProcessOptions){.argv = argv,
                                         .env = git->env.entries,
                                         .directory = directory,
                                         .output = output,
                                         .complaints = complaints,
                                         .confine = git->confine,
                                         .is_detached = true},
                       ret, err);
}

int git_try(const Git *git, const char *directory, const char *const *arguments, Buffer *output,
            Error *err)
{
    _cleanup_buffer_ Buffer complaints = BUFFER_INIT(PROCESS_COMPLAINTS_MAX + 1);
    ProcessExit how;
    int r;

    if (output && output->limit == 0) {
        output->limit = GIT_OUTPUT_MAX;
    }
    r = run(git, directory, arguments, output, &how, &complaints, err);
    if (r < 0) {
        return r;
    }
    if (!process_exit_is_success(&how)) {
        r = explain(arguments, &how, &complaints, err);
        return r == -ENOMEM ? r : 1;
    }
    while (output && output->len > 0 && output->data[output->len - 1] == '\n') {
        buffer_truncate(output, output->len - 1);
    }
    return 0;
}

int git_run(const Git *git, const char *directory, const char *const *arguments, Buffer *output,
            Error *err)
{
    int r = git_try(git, directory, arguments, output, err);

    return r > 0 ? -EIO : r;
}
