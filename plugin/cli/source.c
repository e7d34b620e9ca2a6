/* SPDX-License-Identifier: MIT */
#include "plugin/cli/source.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The answer of git that we read: one line of `ls-remote` or `show`. */
#define GIT_OUTPUT_MAX ((size_t)1 << 20)

void source_commit_done(SourceCommit *c)
{
    free(c->repository);
    free(c->commit);
    free(c->ref);
    free(c->subject);
    *c = (SourceCommit){0};
}

/* ---- git --------------------------------------------------------------------------------------
 */

static int spawn_git(const char *const *arguments, int out_fd, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    int r = posix_spawn_file_actions_init(&actions);

    if (r != 0) {
        return -r;
    }
    r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    r = r == 0 ? posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO) : r;
    r = r == 0 ? posix_spawnp(ret, "git", &actions, NULL, (char *const *)arguments, environ) : r;
    (void)posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static char *read_all(int fd)
{
    char *text = malloc(GIT_OUTPUT_MAX + 1);
    size_t n = 0;

    while (text) {
        ssize_t got = read(fd, text + n, GIT_OUTPUT_MAX - n);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
    }
    if (text) {
        while (n > 0 && text[n - 1] == '\n') {
            n--;
        }
        text[n] = '\0';
    }
    return text;
}

/* What git prints, without the last line feed; NULL if it fails (it says why on stderr itself). The
 * caller frees it. */
static char *git(const char *const *arguments)
{
    int pipe_fds[2], status = -1;
    char *text = NULL;
    pid_t pid;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        return NULL;
    }
    if (spawn_git(arguments, pipe_fds[1], &pid) < 0) {
        (void)close(pipe_fds[0]);
        (void)close(pipe_fds[1]);
        return NULL;
    }
    (void)close(pipe_fds[1]);
    text = read_all(pipe_fds[0]);
    (void)close(pipe_fds[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static bool is_full_commit(const char *text)
{
    size_t n = strspn(text, "0123456789abcdef");

    return (n == 40 || n == 64) && !text[n];
}

/* scheme://…, or host:path as scp has it; a path has no colon before its first slash. */
static bool is_url(const char *text)
{
    size_t n = strcspn(text, ":/");

    return text[n] == ':';
}

/* ---- finding ----------------------------------------------------------------------------------
 */

/* A bare repository has no working tree to differ. */
static bool has_changes(const char *repository)
{
    char *is_bare = git(
        (const char *const[]){"git", "-C", repository, "rev-parse", "--is-bare-repository", NULL});
    char *changes =
        is_bare && strcmp(is_bare, "false") == 0
            ? git((const char *const[]){"git", "-C", repository, "status", "--porcelain", NULL})
            : NULL;
    bool is_changed = changes && *changes;

    free(is_bare);
    free(changes);
    return is_changed;
}

static int find_local(Session *s, const char *path, const char *name, SourceCommit *c)
{
    char *wanted = NULL, *about = NULL, *space;

    c->repository = realpath(path, NULL);
    if (!c->repository) {
        return session_usage(s, "there is no repository '%s': %s", path, strerror(errno));
    }
    if (asprintf(&wanted, "%s^{commit}", name) < 0) {
        return session_usage(s, "out of memory");
    }
    c->commit = git((const char *const[]){"git", "-C", c->repository, "rev-parse", "--verify",
                                          "--quiet", "--end-of-options", wanted, NULL});
    free(wanted);
    if (!c->commit || !is_full_commit(c->commit)) {
        return session_usage(s, "'%s' names no commit of the git repository '%s'", name,
                             c->repository);
    }
    about = git((const char *const[]){"git", "-C", c->repository, "show", "-s", "--format=%ct %s",
                                      c->commit, NULL});
    space = about ? strchr(about, ' ') : NULL;
    if (space) {
        c->committed_at = strtoll(about, NULL, 10);
        c->subject = strdup(space + 1);
    }
    free(about);
    c->is_dirty = has_changes(c->repository);
    return EXIT_DONE;
}

/* A tag's own object comes before the commit that it names, `NAME^{}`: that line wins. */
static int find_remote(Session *s, const char *url, const char *ref, SourceCommit *c)
{
    char *peeled = NULL, *text, *line, *rest;

    c->repository = strdup(url);
    if (asprintf(&peeled, "%s^{}", ref) < 0) {
        return session_usage(s, "out of memory");
    }
    text =
        git((const char *const[]){"git", "ls-remote", "--exit-code", "--", url, ref, peeled, NULL});
    free(peeled);
    rest = text;
    while ((line = strsep(&rest, "\n")) && *line) {
        size_t n = strcspn(line, "\t");

        if (!c->commit || (strlen(line) > 3 && strcmp(line + strlen(line) - 3, "^{}") == 0)) {
            free(c->commit);
            c->commit = strndup(line, n);
        }
    }
    free(text);
    return c->commit && is_full_commit(c->commit)
               ? EXIT_DONE
               : session_usage(s, "'%s' has no '%s' that git can reach", url, ref);
}

int source_find_commit(Session *s, const char *repository, const char *commit, const char *ref,
                       SourceCommit *ret)
{
    SourceCommit c = {0};
    int r = EXIT_DONE;

    repository = repository ? repository : ".";
    if (!is_url(repository)) {
        r = find_local(s, repository, commit ? commit : ref ? ref : "HEAD", &c);
    } else if (commit && is_full_commit(commit)) {
        c.repository = strdup(repository);
        c.commit = strdup(commit);
    } else if (commit) {
        r = session_usage(s, "--commit of a repository elsewhere is the full hash, not '%s'",
                          commit);
    } else {
        r = find_remote(s, repository, ref ? ref : "HEAD", &c);
    }
    if (r == EXIT_DONE) {
        c.ref = ref ? strdup(ref) : NULL;
        *ret = c;
        return EXIT_DONE;
    }
    source_commit_done(&c);
    return r;
}

int source_set_git(SlipwayJson *params, const SourceCommit *commit)
{
    if (slipway_json_set_string(params, "/parameters/source/git", commit->repository) < 0 ||
        slipway_json_set_string(params, "/parameters/source/commit", commit->commit) < 0) {
        return -1;
    }
    return commit->ref ? slipway_json_set_string(params, "/parameters/source/ref", commit->ref) : 0;
}

/* ---- sending ----------------------------------------------------------------------------------
 */

typedef struct Sending {
    Session *session;
    bool is_done;
    int code;
} Sending;

static void on_progress(uint64_t done, uint64_t total, void *userdata)
{
    Sending *sending = userdata;

    output_progress(&sending->session->output, "sending the source", done, total, "bytes");
}

static void on_sent(SlipwayClient *client, const SlipwayError *error, void *userdata)
{
    Sending *sending = userdata;

    sending->is_done = true;
    if (error) {
        sending->code = session_fail(sending->session, error, "inputs/write");
    }
}

static int send_file(Session *s, const char *path, const char *input)
{
    Sending sending = {.session = s};
    int r = 0;

    if (slipway_input_upload(s->client, input, path, on_progress, on_sent, &sending) < 0) {
        return session_usage(s, "%s", slipway_client_get_error(s->client));
    }
    while (r == 0 && !sending.is_done) {
        r = session_step(s);
    }
    output_clear_progress(&s->output);
    return sending.is_done ? sending.code : r;
}

int source_send(Session *s, const char *path, const char *input)
{
    const char *tmp = getenv("TMPDIR");
    char *directory = NULL, *archive = NULL, *error = NULL;
    struct stat st;
    int r = EXIT_ACTION_FAILED;

    if (stat(path, &st) < 0) {
        return session_usage(s, "'%s': %s", path, strerror(errno));
    }
    if (S_ISREG(st.st_mode)) {
        return send_file(s, path, input);
    }
    if (!S_ISDIR(st.st_mode)) {
        return session_usage(s, "'%s' is neither a directory nor an archive", path);
    }
    if (asprintf(&directory, "%s/slipway-XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0) {
        return EXIT_ACTION_FAILED;
    }
    if (!mkdtemp(directory) || asprintf(&archive, "%s/source.tar.zst", directory) < 0) {
        output_say(&s->output, "slipway: a directory for packing, '%s': %s", directory,
                   strerror(errno));
        free(directory);
        return EXIT_ACTION_FAILED;
    }
    if (slipway_archive_pack(path, archive, &error) < 0) {
        output_say(&s->output, "slipway: %s", error ? error : "out of memory");
    } else {
        r = send_file(s, archive, input);
    }
    free(error);
    (void)unlink(archive);
    (void)rmdir(directory);
    free(archive);
    free(directory);
    return r;
}
