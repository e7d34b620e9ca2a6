/* SPDX-License-Identifier: MIT */
/* Drives agent/package/registry for test-registry.py: one command a run, its result on stdout, its
 * error on stderr.
 *
 *   registry-client [--OPTION VALUE …] push LAYOUT DIGEST|- REFERENCE
 *                   pull REFERENCE PLATFORM|- LAYOUT
 *                   resolve REFERENCE · tag REFERENCE TAG
 *                   attach REFERENCE TITLE FILE · referrers REFERENCE · fetch REFERENCE DIGEST */
#include "agent/package/registry/registry.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static RegistryOptions arg_options = {.pause_ms = 20};
static const char *arg_plain[2], *arg_token[2], *arg_mount[2];

static void on_progress(void *userdata, const RegistryProgress *progress)
{
    static const char *const names[] = {
        [REGISTRY_KNOWN] = "known",         [REGISTRY_MOUNTED] = "mounted",
        [REGISTRY_MOVING] = "moving",       [REGISTRY_MOVED] = "moved",
        [REGISTRY_PUBLISHED] = "published", [REGISTRY_WAITING] = "waiting",
    };

    (void)fprintf(stderr, "%s %s %lld/%lld %s\n", names[progress->stage],
                  progress->digest ? progress->digest : "-", (long long)progress->done,
                  (long long)progress->total, progress->text ? progress->text : "");
}

static int open_directory(const char *path, Error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? error_set_errno(err, -errno, "'%s'", path) : fd;
}

static const char *optional(const char *text)
{
    return strcmp(text, "-") == 0 ? NULL : text;
}

static int run_push(RegistryClient *client, char **args, Error *err)
{
    _cleanup_fd_ int fd = open_directory(args[0], err);
    RegistryPush push = {.layout_fd = fd,
                         .digest = optional(args[1]),
                         .reference = args[2],
                         .mount_from = arg_mount};
    char digest[OCI_DIGEST_SIZE];
    int r = fd < 0 ? fd : registry_push_layout(client, &push, digest, err);

    return r < 0 ? r : printf("%s\n", digest);
}

static int run_pull(RegistryClient *client, char **args, Error *err)
{
    _cleanup_fd_ int fd = open_directory(args[2], err);
    char digest[OCI_DIGEST_SIZE];
    int r = fd < 0 ? fd : registry_pull_layout(client, args[0], optional(args[1]), fd, digest, err);

    return r < 0 ? r : printf("%s\n", digest);
}

static int run_resolve(RegistryClient *client, char **args, Error *err)
{
    char digest[OCI_DIGEST_SIZE];
    int r = registry_resolve(client, args[0], digest, err);

    return r < 0 ? r : printf("%s\n", digest);
}

static int run_tag(RegistryClient *client, char **args, Error *err)
{
    return registry_tag(client, args[0], args[1], err);
}

static int run_attach(RegistryClient *client, char **args, Error *err)
{
    _cleanup_buffer_ Buffer data = BUFFER_INIT(REGISTRY_ARTIFACT_MAX);
    RegistryArtifact artifact = {.artifact_type = REGISTRY_TYPE_BUNDLE, .title = args[1]};
    char digest[OCI_DIGEST_SIZE];
    int r = file_read(AT_FDCWD, args[2], &data, err);

    artifact.data = data.data;
    artifact.size_bytes = data.len;
    r = r < 0 ? r : registry_attach(client, args[0], &artifact, digest, err);
    return r < 0 ? r : printf("%s\n", digest);
}

static int run_referrers(RegistryClient *client, char **args, Error *err)
{
    _cleanup_registry_referrers_ RegistryReferrers all = {0};
    int r = registry_referrers(client, args[0], REGISTRY_TYPE_BUNDLE, &all, err);

    for (size_t i = 0; r == 0 && i < all.count; i++) {
        (void)printf("%s %s\n", all.items[i].digest, all.items[i].title);
    }
    return r;
}

static int run_fetch(RegistryClient *client, char **args, Error *err)
{
    _cleanup_buffer_ Buffer data = BUFFER_INIT(REGISTRY_ARTIFACT_MAX);
    int r = registry_fetch_artifact(client, args[0], args[1], &data, err);

    return r < 0 ? r : fd_write_all(STDOUT_FILENO, data.data, data.len);
}

static const struct {
    const char *name;
    int n_args;
    int (*run)(RegistryClient *client, char **args, Error *err);
} commands[] = {
    {"push", 3, run_push},   {"pull", 3, run_pull},     {"resolve", 1, run_resolve},
    {"tag", 2, run_tag},     {"attach", 3, run_attach}, {"referrers", 1, run_referrers},
    {"fetch", 2, run_fetch},
};

static int set_chunk(const char *value)
{
    return text_parse_int(value, 1, INT64_MAX, &arg_options.chunk_bytes);
}

static int set_option(const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **place;
    } texts[] = {
        {"--docker-config", &arg_options.docker_config},
        {"--credentials", &arg_options.credentials_file},
        {"--ca", &arg_options.ca_file},
        {"--certificate", &arg_options.certificate_file},
        {"--key", &arg_options.key_file},
        {"--plain", &arg_plain[0]},
        {"--token-host", &arg_token[0]},
        {"--mount", &arg_mount[0]},
    };

    if (strcmp(name, "--chunk") == 0) {
        return set_chunk(value);
    }
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (strcmp(texts[i].name, name) == 0) {
            *texts[i].place = value;
            return 0;
        }
    }
    return -EINVAL;
}

static int run(int argc, char **argv, Error *err)
{
    _cleanup_(registry_closep) RegistryClient *client = NULL;
    int i = 1, r;

    for (; i + 1 < argc && text_has_prefix(argv[i], "--"); i += 2) {
        if (set_option(argv[i], argv[i + 1]) < 0) {
            return error_set(err, -EINVAL, "option '%s' is unknown, or its value wrong", argv[i]);
        }
    }
    arg_options.plain_hosts = arg_plain;
    arg_options.token_hosts = arg_token;
    arg_options.on_progress = on_progress;
    r = registry_open(&arg_options, &client, err);
    for (size_t c = 0; r == 0 && i < argc && c < ARRAY_SIZE(commands); c++) {
        if (strcmp(commands[c].name, argv[i]) == 0 && argc - i - 1 == commands[c].n_args) {
            return commands[c].run(client, argv + i + 1, err);
        }
    }
    return r < 0 ? r : error_set(err, -EINVAL, "no such command, or not its arguments");
}

int main(int argc, char **argv)
{
    _cleanup_error_ Error err = {0};

    (void)signal(SIGPIPE, SIG_IGN);
    if (run(argc, argv, &err) < 0) {
        (void)fprintf(stderr, "error: %s\n", error_text(&err));
        return 1;
    }
    return 0;
}
