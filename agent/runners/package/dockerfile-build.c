/* SPDX-License-Identifier: MIT */
#include "agent/runners/package/dockerfile-build.h"

#include "agent/package/docker-archive.h"
#include "agent/package/image.h"
#include "agent/source/process.h"
#include "protocol/artifact/archive.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A daemon that hangs is none. */
#define ASK_TIMEOUT_MS 10000
#define ANSWER_BYTES_MAX ((size_t)4 << 10)

/* buildah's storage, beside the workspace, so that it goes with the run. */
#define STORAGE "buildah/storage"
#define RUN_STORAGE "buildah/run"

#define ARGUMENTS_MAX 32

/* One building, and where it puts what. */
typedef struct Building {
    const Action *action;
    const char *dockerfile;
    const char *directory; /* absolute */
    char *id_file, *id, *archive, *storage, *run_storage, *timestamp;
    Environment env;
    DockerfileBuilt built;
} Building;

void dockerfile_built_done(DockerfileBuilt *built)
{
    free(built->version);
    *built = (DockerfileBuilt){0};
}

static void building_done(Building *building)
{
    free(building->id_file);
    free(building->id);
    free(building->archive);
    free(building->storage);
    free(building->run_storage);
    free(building->timestamp);
    environment_done(&building->env);
    dockerfile_built_done(&building->built);
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

const char *dockerfile_find(const Action *action)
{
    static const char *const others[] = {"files", "base", "platforms"};
    const Json *package = json_get(action->recipe.root, "package");
    const char *declared = json_get_string(package, "dockerfile");
    struct stat st;

    for (size_t i = 0; !declared && i < ARRAY_SIZE(others); i++) {
        if (json_has(package, others[i])) {
            return NULL;
        }
    }
    if (declared) {
        return declared;
    }
    return fstatat(action->workspace_fd, IMAGE_CONVENTION_DOCKERFILE, &st, 0) == 0 &&
                   S_ISREG(st.st_mode)
               ? IMAGE_CONVENTION_DOCKERFILE
               : NULL;
}

/* ---- programs ---------------------------------------------------------------------------------
 */

/* Runs it; its failure is ours, with its last words. */
static int run(Building *building, const char *const *argv, Error *err)
{
    _cleanup_buffer_ Buffer complaints = BUFFER_INIT(PROCESS_COMPLAINTS_MAX), how = BUFFER_INIT(0);
    ProcessExit end;
    int r = process_run(&(ProcessOptions){.argv = argv,
                                          .env = building->env.entries,
                                          .directory = building->action->spec.workspace,
                                          .complaints = &complaints,
                                          .is_detached = true},
                        &end, err);

    if (r < 0 || process_exit_is_success(&end)) {
        return r;
    }
    r = process_exit_describe(&end, 0, &how);
    return r < 0 ? out_of_memory(err)
                 : error_set(err, -EIO, "%s %s: %s", building->built.tool, buffer_text(&how),
                             complaints.len ? buffer_text(&complaints) : "it did not say why");
}

/* What it answers on stdout, without the last line feed; the caller's. Says nothing of a failure
 * but in `err`. */
static int ask(Building *building, const char *const *argv, char **ret, Error *err)
{
    _cleanup_buffer_ Buffer answer = BUFFER_INIT(ANSWER_BYTES_MAX),
                            complaints = BUFFER_INIT(PROCESS_COMPLAINTS_MAX);
    ProcessExit end;
    int r = process_run(&(ProcessOptions){.argv = argv,
                                          .env = building->env.entries,
                                          .timeout_ms = ASK_TIMEOUT_MS,
                                          .output = &answer,
                                          .complaints = &complaints,
                                          .is_detached = true},
                        &end, err);

    if (r < 0) {
        return r;
    }
    if (!process_exit_is_success(&end)) {
        return error_set(err, -EIO, "%s",
                         end.is_timed_out ? "it does not answer" : buffer_text(&complaints));
    }
    while (answer.len > 0 && answer.data[answer.len - 1] == '\n') {
        buffer_truncate(&answer, answer.len - 1);
    }
    *ret = buffer_take_text(&answer);
    return *ret ? 0 : out_of_memory(err);
}

/* ---- which tool -------------------------------------------------------------------------------
 */

static int find_docker(Building *building, Error *err)
{
    static const char *const argv[] = {"docker", "version", "--format", "{{.Server.Version}}",
                                       NULL};
    int r = ask(building, argv, &building->built.version, err);

    if (r == 0) {
        building->built.tool = "docker";
    }
    return r;
}

/* "buildah version 1.28.2 (image-spec …)" */
static int find_buildah(Building *building, Error *err)
{
    static const char *const argv[] = {"buildah", "--version", NULL};
    _cleanup_free_ char *answer = NULL;
    const char *version;
    int r = ask(building, argv, &answer, err);

    if (r < 0) {
        return r;
    }
    version = strstr(answer, "version ");
    version = version ? version + strlen("version ") : answer;
    building->built.version = strndup(version, strcspn(version, " "));
    building->built.tool = "buildah";
    return building->built.version ? 0 : out_of_memory(err);
}

static int find_tool(Building *building, Error *err)
{
    _cleanup_error_ Error docker = {0}, buildah = {0};
    int r = find_docker(building, &docker);

    if (r < 0) {
        r = find_buildah(building, &buildah);
    }
    if (r == -ENOMEM) {
        return out_of_memory(err);
    }
    return r == 0 ? 0
                  : error_set(err, -ENOENT,
                              "nobody here can build '%s': docker: %s; buildah: %s. Install one of "
                              "them, or name `package.files` in slipway.json, which needs neither",
                              building->dockerfile, error_text(&docker), error_text(&buildah));
}

/* ---- building ---------------------------------------------------------------------------------
 */

static int build_by_docker(Building *building, Error *err)
{
    const char *const argv[] = {
        "docker",          "build", "--file", building->dockerfile, "--iidfile", building->id_file,
        "--force-rm=true", ".",     NULL};

    return run(building, argv, err);
}

/* `buildah`, with storage of its own, and as root with mounts of its own: those that a build leaves
 * which fails or is killed are gone with its last process, and stand in nobody's way. */
static int run_buildah(Building *building, const char *const *arguments, Error *err)
{
    const char *argv[ARGUMENTS_MAX + 1];
    size_t n = 0;

    if (geteuid() == 0) {
        argv[n++] = "unshare";
        argv[n++] = "--mount";
        argv[n++] = "--";
    }
    argv[n++] = "buildah";
    argv[n++] = "--root";
    argv[n++] = building->storage;
    argv[n++] = "--runroot";
    argv[n++] = building->run_storage;
    while (*arguments && n < ARGUMENTS_MAX) {
        argv[n++] = *arguments++;
    }
    argv[n] = NULL;
    return run(building, argv, err);
}

/* The commit's time on everything, so that the same commit gives the same image where the
 * Dockerfile lets it. */
static int build_by_buildah(Building *building, Error *err)
{
    const char *const arguments[] = {"build",
                                     "--file",
                                     building->dockerfile,
                                     "--layers",
                                     "--force-rm",
                                     "--timestamp",
                                     building->timestamp,
                                     "--iidfile",
                                     building->id_file,
                                     ".",
                                     NULL};

    return run_buildah(building, arguments, err);
}

static int read_id(Building *building, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(ANSWER_BYTES_MAX);
    int r = file_read(AT_FDCWD, building->id_file, &text, err);

    if (r < 0) {
        return r;
    }
    building->id = strndup(buffer_text(&text), strcspn(buffer_text(&text), "\n"));
    return building->id ? 0 : out_of_memory(err);
}

static int save_by_docker(Building *building, Error *err)
{
    const char *const argv[] = {"docker",          "save",       "--output",
                                building->archive, building->id, NULL};

    return run(building, argv, err);
}

static int save_by_buildah(Building *building, Error *err)
{
    _cleanup_free_ char *target = NULL;

    if (asprintf(&target, "docker-archive:%s", building->archive) < 0) {
        target = NULL;
        return out_of_memory(err);
    }
    return run_buildah(building,
                       (const char *const[]){"push", "--quiet", building->id, target, NULL}, err);
}

/* Files of its containers belong to users that only buildah may be. */
static void forget_storage(Building *building)
{
    const char *const argv[] = {"buildah", "unshare", "rm", "-rf", building->storage, NULL};
    _cleanup_error_ Error problem = {0};

    if (geteuid() != 0 && run(building, argv, &problem) < 0) {
        log_warning("%s, going on", error_text(&problem));
    }
}

static int build(Building *building, Error *err)
{
    bool is_docker = strcmp(building->built.tool, "docker") == 0;
    int r = is_docker ? build_by_docker(building, err) : build_by_buildah(building, err);

    r = r == 0 ? read_id(building, err) : r;
    if (r == 0) {
        r = is_docker ? save_by_docker(building, err) : save_by_buildah(building, err);
    }
    if (!is_docker) {
        forget_storage(building);
    }
    return r;
}

/* ---- importing --------------------------------------------------------------------------------
 */

static int unpack(const Building *building, int dir_fd, const char *name, Error *err)
{
    _cleanup_fd_ int fd = open(building->archive, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? error_set_errno(err, -errno, "cannot open '%s'", building->archive)
                  : archive_unpack(fd, dir_fd, name, NULL, NULL, NULL, err);
}

static int import(const Building *building, const char *layout, Error *err)
{
    _cleanup_blob_cache_ BlobCache cache = BLOB_CACHE_INIT;
    _cleanup_fd_ int dir_fd = open(building->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                     archive_fd = -1;
    int r;

    if (dir_fd < 0) {
        return error_set_errno(err, -errno, "cannot open '%s'", building->directory);
    }
    r = unpack(building, dir_fd, "archive", err);
    if (r < 0) {
        return r;
    }
    archive_fd = openat(dir_fd, "archive", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (archive_fd < 0) {
        return error_set_errno(err, -errno, "cannot open what was unpacked");
    }
    r = blob_cache_open(building->action->spec.cache_directory, &cache, NULL);
    return docker_archive_import(archive_fd, r == 0 ? &cache : NULL, dir_fd, layout, err);
}

/* ---- all of it --------------------------------------------------------------------------------
 */

static int prepare(Building *building)
{
    const Spec *spec = &building->action->spec;
    const struct {
        char **text;
        const char *directory, *name;
    } paths[] = {
        {&building->id_file, building->directory, "id"},
        {&building->archive, building->directory, "image.tar"},
        {&building->storage, spec->workspace, "../" STORAGE},
        {&building->run_storage, spec->workspace, "../" RUN_STORAGE},
    };
    int r;

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        if (asprintf(paths[i].text, "%s/%s", paths[i].directory, paths[i].name) < 0) {
            *paths[i].text = NULL;
            return -ENOMEM;
        }
    }
    if (asprintf(&building->timestamp, "%" PRId64, building->action->source.committed_at) < 0) {
        building->timestamp = NULL;
        return -ENOMEM;
    }
    r = environment_add_all(&building->env, environ);
    return r == 0 ? environment_set(&building->env, "SOURCE_DATE_EPOCH", building->timestamp) : r;
}

int dockerfile_build(const Action *action, const char *dockerfile, const char *directory,
                     const char *layout, DockerfileBuilt *ret, Error *err)
{
    _cleanup_(building_done)
        Building building = {.action = action, .dockerfile = dockerfile, .directory = directory};
    int r;

    if (!file_exists(action->workspace_fd, dockerfile)) {
        return error_set(err, -ENOENT, "/package/dockerfile: there is no '%s'", dockerfile);
    }
    if (prepare(&building) < 0) {
        return out_of_memory(err);
    }
    r = find_tool(&building, err);
    if (r < 0) {
        return r;
    }
    log_info("%s: built by %s %s", dockerfile, building.built.tool, building.built.version);
    r = build(&building, err);
    r = r == 0 ? import(&building, layout, err) : r;
    if (r < 0) {
        return error_wrap(err, "'%s'", dockerfile);
    }
    *ret = building.built;
    building.built = (DockerfileBuilt){0};
    return 0;
}
