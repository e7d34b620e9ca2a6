/* SPDX-License-Identifier: MIT */
#include "agent/package/package.h"

#include "agent/package/image-files.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONVENTION_FROM "dist"
#define CONVENTION_TO "/app"
#define CONVENTION_TEMPLATE "deploy/service.json"

#define TEMPLATE_BYTES_MAX ((size_t)1 << 20)

#define LABEL "org.opencontainers.image."

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- files ------------------------------------------------------------------------------------
 */

/* [{"from": "dist", "to": "/app"}] */
static int new_convention(Json **ret)
{
    _cleanup_json_ Json *files = json_new_array(), *file = json_new_object();
    int r = files && file ? json_set_string(file, "from", CONVENTION_FROM) : -ENOMEM;

    r = r == 0 ? json_set_string(file, "to", CONVENTION_TO) : r;
    r = r == 0 ? json_append_take(files, TAKE_PTR(file)) : r;
    if (r == 0) {
        *ret = TAKE_PTR(files);
    }
    return r;
}

static int find_files(const PackageRequest *request, ImageFiles *ret, Error *err)
{
    const Json *declared = json_pointer(request->recipe, "/package/files");
    _cleanup_json_ Json *convention = NULL;

    if (declared) {
        return image_files_find(request->workspace_fd, declared, ret, err);
    }
    if (!file_exists(request->workspace_fd, CONVENTION_FROM)) {
        return error_set(err, -ENOENT,
                         "nothing to package: there is no " CONVENTION_FROM
                         "/ (is it made by the build?), and slipway.json has no `package.files`");
    }
    if (new_convention(&convention) < 0) {
        return out_of_memory(err);
    }
    return image_files_find(request->workspace_fd, convention, ret, err);
}

/* ---- configuration ----------------------------------------------------------------------------
 */

static int copy_member(const Json *from, const char *name, Json *to, const char *to_name)
{
    _cleanup_json_ Json *copy = NULL;
    int r;

    if (!json_get(from, name)) {
        return 0;
    }
    r = json_copy(json_get(from, name), &copy);
    return r == 0 ? json_set_take(to, to_name, TAKE_PTR(copy)) : r;
}

/* The program that the image is for: the one of the service's name, unless another is named. */
static int add_entrypoint(const PackageRequest *request, const Json *package,
                          const ImageFiles *files, Json *config)
{
    _cleanup_json_ Json *entrypoint = NULL;
    _cleanup_free_ char *path = NULL;
    int r;

    if (json_get(package, "entrypoint")) {
        return copy_member(package, "entrypoint", config, "Entrypoint");
    }
    if (asprintf(&path, CONVENTION_TO "/%s", request->name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (!image_files_has_executable(files, path)) {
        log_info("the image has no entrypoint: none is named, and there is no executable %s", path);
        return 0;
    }
    entrypoint = json_new_array();
    r = entrypoint ? json_append_string(entrypoint, path) : -ENOMEM;
    return r == 0 ? json_set_take(config, "Entrypoint", TAKE_PTR(entrypoint)) : r;
}

/* {"NAME": "value"} → ["NAME=value"] */
static int add_env(const Json *env, Json *config)
{
    _cleanup_json_ Json *list = json_new_array();
    int r = list ? 0 : -ENOMEM;

    for (JsonMember m = {0}; r == 0 && json_next_member(env, &m);) {
        _cleanup_free_ char *entry = NULL;

        if (asprintf(&entry, "%s=%s", m.name, json_as_string(m.value)) < 0) {
            entry = NULL;
            return -ENOMEM;
        }
        r = json_append_string(list, entry);
    }
    if (r < 0 || json_length(list) == 0) {
        return r;
    }
    return json_set_take(config, "Env", TAKE_PTR(list));
}

/* [8080] → {"8080/tcp": {}} */
static int add_ports(const Json *ports, Json *config)
{
    _cleanup_json_ Json *exposed = json_new_object();
    int r = exposed ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < json_length(ports); i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "%lld/tcp",
                       (long long)json_as_int(json_at(ports, i), 0));
        r = json_set_take(exposed, name, json_new_object());
    }
    if (r < 0 || json_member_count(exposed) == 0) {
        return r;
    }
    return json_set_take(config, "ExposedPorts", TAKE_PTR(exposed));
}

/* Only what is the commit's own. Version, branch and repository depend on where it was found; they
 * are annotations of the index. */
static int add_labels(const PackageRequest *request, const Json *own, Json *config)
{
    _cleanup_json_ Json *labels = json_new_object();
    char created[CLOCK_TEXT_SIZE];
    int r = labels ? json_set_string(labels, LABEL "title", request->name) : -ENOMEM;

    r = r == 0 ? json_set_string(labels, LABEL "revision", request->commit) : r;
    r = r == 0 ? json_set_string(labels, LABEL "created",
                                 clock_format(request->committed_at * 1000000, created))
               : r;
    for (JsonMember m = {0}; r == 0 && json_next_member(own, &m);) {
        r = json_set_string(labels, m.name, json_as_string(m.value));
    }
    return r == 0 ? json_set_take(config, "Labels", TAKE_PTR(labels)) : r;
}

static int new_config(const PackageRequest *request, const ImageFiles *files, Json **ret)
{
    const Json *package = json_get(request->recipe, "package");
    _cleanup_json_ Json *config = json_new_object();
    int r = config ? add_entrypoint(request, package, files, config) : -ENOMEM;

    r = r == 0 ? copy_member(package, "arguments", config, "Cmd") : r;
    r = r == 0 ? add_env(json_get(package, "env"), config) : r;
    r = r == 0 ? copy_member(package, "user", config, "User") : r;
    r = r == 0 ? add_ports(json_get(package, "ports"), config) : r;
    if (r == 0 && !json_get(package, "files") && !json_get(package, "workingDirectory")) {
        r = json_set_string(config, "WorkingDir", CONVENTION_TO);
    }
    r = r == 0 ? copy_member(package, "workingDirectory", config, "WorkingDir") : r;
    r = r == 0 ? add_labels(request, json_get(package, "labels"), config) : r;
    if (r == 0) {
        *ret = TAKE_PTR(config);
    }
    return r;
}

static int new_annotations(const PackageRequest *request, Json **ret)
{
    _cleanup_json_ Json *annotations = json_new_object();
    int r =
        annotations ? json_set_string(annotations, LABEL "ref.name", request->version) : -ENOMEM;

    r = r == 0 ? json_set_string(annotations, LABEL "version", request->version) : r;
    r = r == 0 ? json_set_string(annotations, LABEL "source", request->repository) : r;
    if (r == 0) {
        *ret = TAKE_PTR(annotations);
    }
    return r;
}

static int write_image(const PackageRequest *request, int package_fd,
                       char ret_digest[static OCI_DIGEST_SIZE], Error *err)
{
    _cleanup_image_files_ ImageFiles files = {0};
    _cleanup_json_ Json *config = NULL, *annotations = NULL;
    int r = find_files(request, &files, err);

    if (r < 0) {
        return r;
    }
    if (new_config(request, &files, &config) < 0 || new_annotations(request, &annotations) < 0) {
        return out_of_memory(err);
    }
    return oci_image_write(&(OciImageSpec){.root_fd = request->workspace_fd,
                                           .entries = files.entries,
                                           .n_entries = files.count,
                                           .created = request->committed_at,
                                           .config = config,
                                           .annotations = annotations},
                           package_fd, RELEASE_IMAGE, ret_digest, err);
}

/* ---- template ---------------------------------------------------------------------------------
 */

static bool is_taken(const char *template)
{
    return strcmp(template, RELEASE_FILE) == 0 || strcmp(template, RELEASE_IMAGE) == 0 ||
           text_has_prefix(template, RELEASE_IMAGE "/");
}

static int make_parents(int dir_fd, const char *path, Error *err)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        _cleanup_free_ char *parent = strndup(path, (size_t)(slash - path));

        if (!parent) {
            return out_of_memory(err);
        }
        if (mkdirat(dir_fd, parent, 0755) < 0 && errno != EEXIST) {
            return error_set_errno(err, -errno, "cannot make '%s'", parent);
        }
    }
    return 0;
}

/* Copied as it is, once it was seen to be JSON: better now than at the deployment. */
static int copy_template(const PackageRequest *request, const char *template, int package_fd,
                         Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(TEMPLATE_BYTES_MAX);
    _cleanup_json_ Json *value = NULL;
    int r = file_read(request->workspace_fd, template, &text, err);

    r = r == 0 ? json_parse(buffer_text(&text), text.len, &value, err) : r;
    if (r < 0) {
        return error_wrap(err, "deploy template '%s'", template);
    }
    r = make_parents(package_fd, template, err);
    return r == 0 ? file_replace(package_fd, template, text.data, text.len, 0644, err) : r;
}

/* *ret stays NULL where the repository has none. */
static int add_template(const PackageRequest *request, int package_fd, char **ret, Error *err)
{
    const char *template = json_as_string(json_pointer(request->recipe, "/deploy/template"));
    int r;

    if (!template && file_exists(request->workspace_fd, CONVENTION_TEMPLATE)) {
        template = CONVENTION_TEMPLATE;
    }
    if (!template) {
        return 0;
    }
    while (text_has_prefix(template, "./")) {
        template += 2;
    }
    if (is_taken(template)) {
        return error_set(err, -EINVAL,
                         "the deploy template cannot be called '%s': the package has one already",
                         template);
    }
    r = copy_template(request, template, package_fd, err);
    if (r < 0) {
        return r;
    }
    *ret = strdup(template);
    return *ret ? 0 : out_of_memory(err);
}

/* ---- the package ------------------------------------------------------------------------------
 */

static int copy_text(char **ret, const char *text)
{
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? -ENOMEM : 0;
}

static int describe(const PackageRequest *request, const char *digest, Release *release, Error *err)
{
    int r = copy_text(&release->name, request->name);

    r = r == 0 ? copy_text(&release->version, request->version) : r;
    r = r == 0 ? copy_text(&release->digest, digest) : r;
    r = r == 0 ? copy_text(&release->commit, request->commit) : r;
    r = r == 0 ? copy_text(&release->repository, request->repository) : r;
    r = r == 0 ? copy_text(&release->ref, request->ref) : r;
    r = r == 0 ? copy_text(&release->subject, request->subject) : r;
    release->committed_at = request->committed_at;
    return r < 0 ? out_of_memory(err) : 0;
}

int package_build(const PackageRequest *request, int package_fd, Release *ret, Error *err)
{
    _cleanup_release_ Release release = {0};
    char digest[OCI_DIGEST_SIZE];
    int r = write_image(request, package_fd, digest, err);

    r = r == 0 ? describe(request, digest, &release, err) : r;
    r = r == 0 ? add_template(request, package_fd, &release.template, err) : r;
    r = r == 0 ? release_write(package_fd, &release, err) : r;
    if (r < 0) {
        return r;
    }
    *ret = release;
    release = (Release){0};
    return 0;
}
