/* SPDX-License-Identifier: MIT */
#include "agent/deploy/kept-package.h"

#include "protocol/artifact/archive.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEMPLATE_MAX ((size_t)1 << 20)

void kept_package_done(KeptPackage *package)
{
    release_done(&package->release);
    oci_image_done(&package->image);
    free(package->root);
    (void)fd_close(package->fd);
    *package = KEPT_PACKAGE_INIT;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static int open_directory(const Releases *releases, unsigned number, int *ret_fd, Error *err)
{
    char name[RELEASES_NAME_SIZE];
    int fd = openat(releases->dir_fd, releases_name(number, name),
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot open '%s/%s'", releases->path, name);
    }
    *ret_fd = fd;
    return 0;
}

static int set_root(const Releases *releases, unsigned number, KeptPackage *package, Error *err)
{
    char name[RELEASES_NAME_SIZE];

    if (asprintf(&package->root, "%s/%s/" RELEASES_ROOT, releases->path,
                 releases_name(number, name)) < 0) {
        package->root = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

/* What is wrong with the content of a package is its own fault, and told apart from trouble of
 * ours. */
static int sort_out(int r)
{
    return r == -EBADMSG || r == -EINVAL || r == -ENOENT ? KEPT_PACKAGE_BAD : r;
}

static int open_package(int directory_fd, KeptPackage *package, Error *err)
{
    int r;

    package->fd =
        openat(directory_fd, RELEASES_PACKAGE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (package->fd < 0) {
        return error_set_errno(err, -errno, "cannot open the package");
    }
    r = release_read(package->fd, &package->release, err);
    if (r == 0 && package->release.package) {
        return error_set(err, -EINVAL, "it has no image, but '%s', which no engine here installs",
                         package->release.package);
    }
    return r < 0 ? r
                 : oci_image_open(package->fd, RELEASE_IMAGE, package->release.digest,
                                  &package->image, err);
}

int kept_package_open(const Releases *releases, unsigned number, KeptPackage *ret, Error *err)
{
    _cleanup_kept_package_ KeptPackage package = KEPT_PACKAGE_INIT;
    _cleanup_fd_ int fd = -1;
    int r = open_directory(releases, number, &fd, err);

    r = r < 0 ? r : open_package(fd, &package, err);
    if (r == 0 && file_exists(fd, RELEASES_ROOT)) {
        r = set_root(releases, number, &package, err);
    }
    if (r < 0) {
        return error_wrap(err, "kept release %06u of '%s'", number, releases->environment);
    }
    *ret = package;
    package = KEPT_PACKAGE_INIT;
    return 0;
}

int kept_package_unpack(const Releases *releases, unsigned number, int archive_fd, KeptPackage *ret,
                        Error *err)
{
    _cleanup_kept_package_ KeptPackage package = KEPT_PACKAGE_INIT;
    _cleanup_fd_ int fd = -1;
    int r = open_directory(releases, number, &fd, err);

    if (r < 0) {
        return r;
    }
    r = archive_unpack(archive_fd, fd, RELEASES_PACKAGE, NULL, NULL, NULL, err);
    r = r < 0 ? r : open_package(fd, &package, err);
    r = r < 0 ? r : oci_image_verify(&package.image, err);
    if (r < 0) {
        (void)error_wrap(err, "this is no package that can be deployed");
        return sort_out(r);
    }
    *ret = package;
    package = KEPT_PACKAGE_INIT;
    return 0;
}

int kept_package_unpack_root(const Releases *releases, unsigned number, KeptPackage *package,
                             Error *err)
{
    _cleanup_fd_ int fd = -1;
    int r = open_directory(releases, number, &fd, err);

    r = r < 0 ? r : oci_image_unpack(&package->image, fd, RELEASES_ROOT, err);
    r = r < 0 ? r : set_root(releases, number, package, err);
    return r < 0 ? error_wrap(err, "cannot unpack the image") : 0;
}

/* ---- names ------------------------------------------------------------------------------------
 */

static int append_all(Json *array, const Json *strings)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_length(strings); i++) {
        r = json_append_take(array, json_ref(json_at(strings, i)));
    }
    return r;
}

/* As a container would start it: the entrypoint and then the arguments. */
static int set_command(Json *names, const Json *config)
{
    Json *command = json_new_array();
    int r = command ? append_all(command, json_get(config, "Entrypoint")) : -ENOMEM;

    r = r < 0 ? r : append_all(command, json_get(config, "Cmd"));
    if (r < 0) {
        (void)json_unref(command);
        return r;
    }
    return json_set_take(names, "command", command);
}

/* "NAME=value" strings to an object. */
static int set_env(Json *names, const Json *config)
{
    const Json *list = json_get(config, "Env");
    Json *env = json_new_object();
    int r = env ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < json_length(list); i++) {
        const char *text = json_as_string(json_at(list, i));
        const char *equals = text ? strchr(text, '=') : NULL;
        _cleanup_free_ char *name = NULL;

        if (equals && equals > text) {
            name = strndup(text, (size_t)(equals - text));
            r = name ? json_set_string(env, name, equals + 1) : -ENOMEM;
        }
    }
    if (r < 0) {
        (void)json_unref(env);
        return r;
    }
    return json_set_take(names, "env", env);
}

static int set_image(Json *names, const Release *release)
{
    _cleanup_buffer_ Buffer image = BUFFER_INIT(0);
    int r;

    if (release->reference) {
        return json_set_string(names, "image", release->reference);
    }
    r = buffer_append_format(&image, "%s@%s", release->name, release->digest);
    return r < 0 ? r : json_set_string(names, "image", buffer_text(&image));
}

int kept_package_names(const KeptPackage *package, const char *environment, const char *call,
                       Json **ret, Error *err)
{
    const Release *release = &package->release;
    const Json *config = json_get(package->image.config_json, "config");
    const char *directory = json_get_string(config, "WorkingDir");
    _cleanup_json_ Json *names = json_new_object();
    const struct {
        const char *name;
        const char *value;
    } texts[] = {
        {"name", release->name},
        {"version", release->version},
        {"commit", release->commit ? release->commit : ""},
        {"digest", release->digest},
        {"environment", environment},
        {"call", call},
        {"workingDirectory", directory && *directory ? directory : "/"},
        {"root", package->root},
    };
    int r = names ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++) {
        r = json_set_string(names, texts[i].name, texts[i].value);
    }
    r = r < 0 ? r : set_image(names, release);
    r = r < 0 ? r : set_command(names, config);
    r = r < 0 ? r : set_env(names, config);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    *ret = TAKE_PTR(names);
    return 0;
}

int kept_package_read_template(const KeptPackage *package, const char *fallback, Buffer *ret,
                               const char **ret_file, Error *err)
{
    const char *file = package->release.template;
    int r;

    if (!file) {
        *ret_file = NULL;
        r = buffer_append_text(ret, fallback);
        return r < 0 ? error_set(err, r, "out of memory") : 0;
    }
    ret->limit = TEMPLATE_MAX;
    r = file_read(package->fd, file, ret, err);
    if (r < 0) {
        return error_wrap(err, "the deploy template of the package");
    }
    *ret_file = file;
    return 0;
}
