/* SPDX-License-Identifier: MIT */
#include "agent/source/source.h"

#include "agent/source/checkout.h"
#include "protocol/artifact/archive.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The input is unpacked here, beside the workspace, and then moved in. */
#define INPUT_ASIDE "workspace.input"

#define NAME_DEFAULT "app"
#define VERSION_DEFAULT "unversioned"
#define SHORT_HASH 12

void source_done(Source *source)
{
    free(source->repository);
    free(source->commit);
    free(source->ref);
    free(source->version);
    free(source->name);
    free(source->subject);
    *source = (Source){0};
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

static int copy(char **ret, const char *text, Error *err)
{
    if (text) {
        *ret = strdup(text);
        return *ret ? 0 : out_of_memory(err);
    }
    return 0;
}

/* ---- what is asked for ------------------------------------------------------------------------
 */

static int check_request(const SourceRequest *request, Error *err)
{
    if (request->git && request->input) {
        return error_set(err, -EINVAL, "the source is both a git repository and an input");
    }
    if (request->git && !request->commit) {
        return error_set(err, -EINVAL, "the source names a git repository, but no commit");
    }
    if (request->commit && !git_is_full_commit(request->commit)) {
        return error_set(err, -EINVAL,
                         "'%s' is no full commit hash (40 or 64 lower-case hexadecimal digits)",
                         request->commit);
    }
    if (request->ref && !git_is_ref(request->ref)) {
        return error_set(err, -EINVAL, "'%s' is no name of a branch or tag", request->ref);
    }
    if (request->input && !text_is_identifier(request->input)) {
        return error_set(err, -EINVAL, "'%s' is no name of an input", request->input);
    }
    return 0;
}

int source_request_read(const Json *parameters, SourceRequest *ret, Error *err)
{
    const Json *source = json_get(parameters, "source");
    const char *ref = json_get_string(source, "ref");
    SourceRequest request = *ret;
    int r;

    if (source && json_type_of(source) != JSON_OBJECT) {
        return error_set(err, -EINVAL, "`source` is no object");
    }
    request.git = json_get_string(source, "git");
    request.commit = json_get_string(source, "commit");
    request.ref = ref ? ref : json_get_string(parameters, "ref");
    request.input = json_get_string(source, "input");
    request.name = json_get_string(source, "name");
    request.is_clean = json_get_bool(parameters, "clean", false);
    r = check_request(&request, err);
    if (r == 0 && source && !request.git && !request.input) {
        r = error_set(err, -EINVAL, "`source` has neither `git` nor `input`");
    }
    if (r == 0) {
        *ret = request;
    }
    return r;
}

/* ---- source.json ------------------------------------------------------------------------------
 */

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

/* The files of a workspace are not synced to disk. So a power cut may take what the note promises,
 * and only a note of this very boot is a reason to keep them. Empty where it cannot be read. */
static void read_boot_id(Buffer *id)
{
    if (file_read(AT_FDCWD, BOOT_ID_FILE, id, NULL) < 0) {
        buffer_clear(id);
    }
    while (id->len > 0 && id->data[id->len - 1] == '\n') {
        buffer_truncate(id, id->len - 1);
    }
}

/* `origin` is what the workspace was made from: the same again needs no work. */
static int write_note(const Workspace *workspace, const Source *source, const char *origin,
                      Error *err)
{
    _cleanup_json_ Json *note = json_new_object();
    _cleanup_buffer_ Buffer boot_id = BUFFER_INIT(0);
    int r = note ? json_set_string(note, "origin", origin) : -ENOMEM;

    read_boot_id(&boot_id);
    r = r == 0 ? json_set_string(note, "boot", buffer_text(&boot_id)) : r;
    r = r == 0 ? json_set_string(note, "name", source->name) : r;
    r = r == 0 ? json_set_string(note, "version", source->version) : r;
    r = r == 0 ? json_set_string(note, "repository", source->repository) : r;
    r = r == 0 ? json_set_string(note, "commit", source->commit) : r;
    r = r == 0 ? json_set_string(note, "ref", source->ref) : r;
    r = r == 0 ? json_set_string(note, "subject", source->subject) : r;
    r = r == 0 ? json_set_int(note, "committedAt", source->committed_at) : r;
    return r < 0 ? out_of_memory(err) : workspace_write_note(workspace, note, err);
}

static int read_note(const Json *note, Source *source, Error *err)
{
    int r = copy(&source->name, json_get_string(note, "name"), err);

    r = r == 0 ? copy(&source->version, json_get_string(note, "version"), err) : r;
    r = r == 0 ? copy(&source->repository, json_get_string(note, "repository"), err) : r;
    r = r == 0 ? copy(&source->commit, json_get_string(note, "commit"), err) : r;
    r = r == 0 ? copy(&source->ref, json_get_string(note, "ref"), err) : r;
    r = r == 0 ? copy(&source->subject, json_get_string(note, "subject"), err) : r;
    source->committed_at = json_get_int(note, "committedAt", SOURCE_TIME_UNKNOWN);
    if (r == 0 && (!source->name || !source->version)) {
        r = error_set(
            err, -EINVAL,
            "an earlier call of this run did not finish bringing its source, and this one "
            "names none");
    }
    return r;
}

/* The workspace holds what is asked for. The same commit under another name is not the same: steps
 * are told the name. */
static bool is_there(const SourceRequest *request, const Json *note, const char *origin)
{
    _cleanup_buffer_ Buffer boot_id = BUFFER_INIT(0);
    const char *before = json_get_string(note, "origin"), *ref = json_get_string(note, "ref");
    const char *boot = json_get_string(note, "boot");

    read_boot_id(&boot_id);
    return !request->is_clean && before && strcmp(before, origin) == 0 && boot &&
           strcmp(boot, buffer_text(&boot_id)) == 0 &&
           (!request->ref || (ref && strcmp(ref, request->ref) == 0));
}

/* ---- names and versions -----------------------------------------------------------------------
 */

/* The last part of a URL, without .git, and with only what an identifier may have. */
static char *name_of(const char *text)
{
    _cleanup_free_ char *copy_of = strdup(text ? text : "");
    char *name = copy_of;
    size_t n;

    if (!name) {
        return NULL;
    }
    n = strlen(name);
    while (n > 0 && name[n - 1] == '/') {
        name[--n] = '\0';
    }
    if (n >= 4 && strcmp(name + n - 4, ".git") == 0) { /* "/srv/app/.git" is the one in app */
        name[n -= 4] = '\0';
        while (n > 0 && name[n - 1] == '/') {
            name[--n] = '\0';
        }
    }
    for (char *p = name + n; p > name; p--) {
        if (p[-1] == '/' || p[-1] == ':') {
            name = p;
            break;
        }
    }
    for (char *p = name; *p; p++) {
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p)) {
            *p = '-';
        }
    }
    name += strspn(name, ".-");
    if (strlen(name) > TEXT_IDENTIFIER_MAX) {
        name[TEXT_IDENTIFIER_MAX] = '\0';
    }
    return strdup(*name ? name : NAME_DEFAULT);
}

static int set_version(Source *source, const char *fallback, Error *err)
{
    const char *tag = source->ref ? git_tag_of(source->ref) : NULL;
    char shortened[SHORT_HASH + 1];

    if (!tag) {
        (void)snprintf(shortened, sizeof(shortened), "%s",
                       source->commit ? source->commit : fallback);
    }
    return copy(&source->version, tag ? tag : shortened, err);
}

/* ---- git --------------------------------------------------------------------------------------
 */

static int describe(const Mirror *mirror, const SourceRequest *request, Source *source, Error *err)
{
    const char *tag = request->ref ? git_tag_of(request->ref) : NULL;
    int r =
        mirror_read_commit(mirror, request->commit, &source->committed_at, &source->subject, err);

    if (r == 0) {
        r = tag ? copy(&source->version, tag, err)
                : mirror_describe(mirror, request->commit, &source->version, err);
    }
    r = r == 0 ? copy(&source->repository, mirror->git->shown_url, err) : r;
    r = r == 0 ? copy(&source->commit, request->commit, err) : r;
    r = r == 0 ? copy(&source->ref, request->ref, err) : r;
    if (r == 0) {
        source->name = name_of(request->name ? request->name : mirror->git->url);
        r = source->name ? 0 : out_of_memory(err);
    }
    return r;
}

static int bring_commit(const SourceRequest *request, const Workspace *workspace, const Git *git,
                        Source *source, Error *err)
{
    _cleanup_mirror_ Mirror mirror = MIRROR_INIT;
    int r = mirror_open(request->cache_directory, git, request->commit, &mirror, err);

    r = r == 0 ? mirror_fetch(&mirror, request->commit, request->ref, err) : r;
    mirror_unlock(&mirror);
    r = r == 0 ? workspace_forget(workspace, err) : r;
    r = r == 0 ? checkout_run(&mirror, workspace,
                              &(CheckoutRequest){.directory = request->workspace,
                                                 .commit = request->commit,
                                                 .ref = request->ref,
                                                 .is_clean = request->is_clean},
                              err)
               : r;
    return r == 0 ? describe(&mirror, request, source, err) : r;
}

static int bring_git(const SourceRequest *request, const Workspace *workspace, const Json *note,
                     Source *source, Error *err)
{
    _cleanup_git_ Git git = GIT_INIT;
    _cleanup_free_ char *origin = NULL;
    int r = git_open(request->git, &git, err);

    if (r < 0) {
        return r;
    }
    git.confine = request->confine;
    if (asprintf(&origin, "git %s %s", git.shown_url, request->commit) < 0) {
        origin = NULL;
        return out_of_memory(err);
    }
    if (is_there(request, note, origin)) {
        source->is_kept = true;
        return read_note(note, source, err);
    }
    r = bring_commit(request, workspace, &git, source, err);
    return r == 0 ? write_note(workspace, source, origin, err) : r;
}

/* ---- inputs -----------------------------------------------------------------------------------
 */

/* The digest that the sender stated; the agent has only checked sizes. */
static int read_stated_digest(int inputs_fd, const char *input, char ret[static DIGEST_HEX_SIZE],
                              Error *err)
{
    _cleanup_free_ char *name = NULL;
    _cleanup_buffer_ Buffer text = BUFFER_INIT(DIGEST_HEX_SIZE);
    int r;

    if (asprintf(&name, "%s.sha256", input) < 0) {
        name = NULL;
        return out_of_memory(err);
    }
    r = file_read(inputs_fd, name, &text, err);
    if (r < 0) {
        return r;
    }
    if (text.len != DIGEST_HEX_SIZE - 1) {
        return error_set(err, -EBADMSG, "'%s' is no SHA-256", name);
    }
    memcpy(ret, buffer_text(&text), DIGEST_HEX_SIZE);
    return 0;
}

/* The input's file, at its start, once its bytes were found to be those that were sent. */
static int open_input(const SourceRequest *request, int *ret_fd,
                      char ret_digest[static DIGEST_HEX_SIZE], Error *err)
{
    _cleanup_fd_ int inputs_fd = -1, fd = -1;
    char found[DIGEST_HEX_SIZE];
    int r;

    inputs_fd = request->inputs_directory
                    ? open(request->inputs_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                    : -1;
    fd = inputs_fd < 0
             ? -1
             : openat(inputs_fd, request->input, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return error_set(err, -ENOENT,
                         "there is no input '%s' here; send it again (slipway uploads it when it "
                         "is given a directory or an archive)",
                         request->input);
    }
    r = read_stated_digest(inputs_fd, request->input, ret_digest, err);
    r = r == 0 ? digest_fd(fd, found, NULL, err) : r;
    if (r < 0) {
        return error_wrap(err, "input '%s'", request->input);
    }
    if (strcmp(found, ret_digest) != 0) {
        return error_set(err, -EBADMSG,
                         "input '%s' is not what was sent: its SHA-256 is %s, not %s",
                         request->input, found, ret_digest);
    }
    if (lseek(fd, 0, SEEK_SET) < 0) {
        return error_set_errno(err, -errno, "input '%s'", request->input);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int unpack(int fd, const Workspace *workspace, Error *err)
{
    int r = workspace_forget(workspace, err);

    r = r == 0 ? file_remove_tree(workspace->parent_fd, INPUT_ASIDE, err) : r;
    r = r == 0 ? archive_unpack(fd, workspace->parent_fd, INPUT_ASIDE, NULL, NULL, NULL, err) : r;
    r = r == 0 ? workspace_clear(workspace, err) : r;
    return r == 0 ? workspace_move_in(workspace, INPUT_ASIDE, err) : r;
}

static int bring_input(const SourceRequest *request, const Workspace *workspace, const Json *note,
                       Source *source, Error *err)
{
    _cleanup_fd_ int fd = -1;
    _cleanup_free_ char *origin = NULL;
    char digest[DIGEST_HEX_SIZE];
    int r = open_input(request, &fd, digest, err);

    if (r < 0) {
        return r;
    }
    if (asprintf(&origin, "input %s %s", digest, request->commit ? request->commit : "") < 0) {
        origin = NULL;
        return out_of_memory(err);
    }
    if (is_there(request, note, origin)) {
        source->is_kept = true;
        return read_note(note, source, err);
    }
    log_info("unpacking the input '%s'", request->input);
    r = unpack(fd, workspace, err);
    if (r < 0) {
        return error_wrap(err, "input '%s'", request->input);
    }
    source->committed_at = SOURCE_TIME_UNKNOWN;
    source->name = name_of(request->name);
    r = source->name ? copy(&source->commit, request->commit, err) : out_of_memory(err);
    r = r == 0 ? copy(&source->ref, request->ref, err) : r;
    r = r == 0 ? set_version(source, digest, err) : r;
    return r == 0 ? write_note(workspace, source, origin, err) : r;
}

/* ---- what is there already --------------------------------------------------------------------
 */

/* An operator's own action may have brought something, of which nobody knows more. */
static int use_unknown(const SourceRequest *request, const Workspace *workspace, Source *source,
                       Error *err)
{
    int r = workspace_is_empty(workspace, err);

    if (r < 0) {
        return r;
    }
    if (r > 0 && !request->is_optional) {
        return error_set(err, -ENOENT,
                         "there is no source: the call names none, and no earlier call of its run "
                         "has brought one");
    }
    source->is_none = r > 0;
    source->committed_at = SOURCE_TIME_UNKNOWN;
    r = copy(&source->name, NAME_DEFAULT, err);
    return r == 0 ? copy(&source->version, VERSION_DEFAULT, err) : r;
}

static int bring(const SourceRequest *request, Source *source, Error *err)
{
    _cleanup_workspace_ Workspace workspace = WORKSPACE_INIT;
    _cleanup_json_ Json *note = NULL;
    int r = workspace_open(request->workspace, &workspace, err);

    r = r == 0 ? workspace_read_note(&workspace, &note, err) : r;
    if (r < 0) {
        return r;
    }
    if (request->git) {
        return bring_git(request, &workspace, note, source, err);
    }
    if (request->input) {
        return bring_input(request, &workspace, note, source, err);
    }
    source->is_kept = true;
    return note ? read_note(note, source, err) : use_unknown(request, &workspace, source, err);
}

int source_bring(const SourceRequest *request, Source *ret, Error *err)
{
    _cleanup_source_ Source source = {0};
    int r = check_request(request, err);

    r = r == 0 ? bring(request, &source, err) : r;
    if (r < 0) {
        return r;
    }
    *ret = source;
    source = (Source){0};
    return 0;
}
