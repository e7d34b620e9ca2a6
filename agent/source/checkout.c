/* SPDX-License-Identifier: MIT */
#include "agent/source/checkout.h"

#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALTERNATES ".git/objects/info/alternates"
#define PATH_BYTES_MAX ((size_t)64 << 10)

/* What an interrupted git leaves; only one call of a run is there at a time, so nobody holds them.
 */
static const char *const stale_locks[] = {
    ".git/index.lock",       ".git/HEAD.lock",    ".git/config.lock",
    ".git/packed-refs.lock", ".git/shallow.lock",
};

typedef struct Checkout {
    const Mirror *mirror;
    const Git *git;
    const Workspace *workspace;
    const CheckoutRequest *request;
} Checkout;

/* A workspace can be made again, so git need not wait for the disk. */
static int run(const Checkout *c, const char *const *arguments, Error *err)
{
    const char *with_settings[16] = {"-c", "core.fsync=none"};
    size_t n = 2;

    while (*arguments) {
        assert(n + 1 < ARRAY_SIZE(with_settings));
        with_settings[n++] = *arguments++;
    }
    return git_run(c->git, c->request->directory, with_settings, NULL, err);
}

/* ---- the repository ---------------------------------------------------------------------------
 */

static char *alternates_text(const Checkout *c)
{
    char *text;

    return asprintf(&text, "%s/objects\n", c->mirror->directory) < 0 ? NULL : text;
}

/* The workspace is a repository already, and one that borrows from this very mirror. */
static bool is_ours(const Checkout *c)
{
    _cleanup_buffer_ Buffer found = BUFFER_INIT(PATH_BYTES_MAX);
    _cleanup_free_ char *wanted = alternates_text(c);

    return wanted && file_read(c->workspace->fd, ALTERNATES, &found, NULL) == 0 &&
           strcmp(buffer_text(&found), wanted) == 0;
}

static int make_repository(const Checkout *c, Error *err)
{
    _cleanup_free_ char *alternates = alternates_text(c);
    const char *format =
        strlen(c->request->commit) == 64 ? "--object-format=sha256" : "--object-format=sha1";
    int r = workspace_clear(c->workspace, err);

    if (!alternates) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = r == 0 ? run(c, GIT_ARGUMENTS("init", "--quiet", "--template=", format, "."), err) : r;
    if (r == 0 && mkdirat(c->workspace->fd, ".git/objects/info", 0777) < 0 && errno != EEXIST) {
        r = error_set_errno(err, -errno, "cannot make '.git/objects/info'");
    }
    if (r == 0) {
        r = file_replace(c->workspace->fd, ALTERNATES, alternates, strlen(alternates), 0644, err);
    }
    return r == 0 ? run(c, GIT_ARGUMENTS("config", "remote.origin.url", c->git->shown_url), err)
                  : r;
}

/* For `git describe` and for steps that ask for the branch. The objects are there already. */
static int bring_refs(const Checkout *c, Error *err)
{
    const char *branch = c->request->ref ? git_branch_of(c->request->ref) : NULL;
    _cleanup_free_ char *remote_ref = NULL;
    int r = run(c,
                GIT_ARGUMENTS("fetch", "--quiet", "--force", "--prune", "--no-write-fetch-head",
                              "--", c->mirror->directory, "+refs/tags/*:refs/tags/*"),
                err);

    if (r < 0 || !branch) {
        return r;
    }
    if (asprintf(&remote_ref, "refs/remotes/origin/%s", branch) < 0) {
        remote_ref = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return run(c, GIT_ARGUMENTS("update-ref", remote_ref, c->request->commit), err);
}

static int move_to_commit(const Checkout *c, Error *err)
{
    int r;

    for (size_t i = 0; i < ARRAY_SIZE(stale_locks); i++) {
        (void)unlinkat(c->workspace->fd, stale_locks[i], 0);
    }
    r = bring_refs(c, err);
    r = r == 0 ? run(c,
                     GIT_ARGUMENTS("checkout", "--quiet", "--force", "--detach", c->request->commit,
                                   "--"),
                     err)
               : r;
    return r == 0 && c->request->is_clean ? run(c, GIT_ARGUMENTS("clean", "-xffd", "--quiet"), err)
                                          : r;
}

/* ---- submodules -------------------------------------------------------------------------------
 */

/* Relative URLs of submodules are relative to the remote's, with whatever password it has; it is
 * said on the command line of this one git and never written into the workspace. */
static int update_submodules(const Checkout *c, Error *err)
{
    _cleanup_free_ char *setting = NULL;

    if (asprintf(&setting, "remote.origin.url=%s", c->git->url) < 0) {
        setting = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return run(c,
               GIT_ARGUMENTS("-c", setting, "submodule", "--quiet", "update", "--init",
                             "--recursive", "--force"),
               err);
}

static int bring_submodules(const Checkout *c, Error *err)
{
    int r;

    if (!file_exists(c->workspace->fd, ".gitmodules")) {
        return 0;
    }
    log_info("bringing the submodules");
    r = update_submodules(c, err);
    if (r == 0 && c->request->is_clean) {
        r = run(c,
                GIT_ARGUMENTS("submodule", "--quiet", "foreach", "--recursive",
                              "git clean -xffd --quiet"),
                err);
    }
    return r < 0 ? error_wrap(err, "submodules of '%s'", c->git->shown_url) : 0;
}

int checkout_run(const Mirror *mirror, const Workspace *workspace, const CheckoutRequest *request,
                 Error *err)
{
    const Checkout c = {
        .mirror = mirror, .git = mirror->git, .workspace = workspace, .request = request};
    _cleanup_error_ Error problem = {0};
    int r;

    if (is_ours(&c)) {
        r = move_to_commit(&c, &problem);
        if (r == 0) {
            return bring_submodules(&c, err);
        }
        log_warning("the workspace cannot be moved to the commit (%s), making it anew",
                    error_text(&problem));
    }
    r = make_repository(&c, err);
    r = r == 0 ? move_to_commit(&c, err) : r;
    if (r < 0) {
        return error_wrap(err, "checking out %s of '%s'", request->commit, mirror->git->shown_url);
    }
    return bring_submodules(&c, err);
}
