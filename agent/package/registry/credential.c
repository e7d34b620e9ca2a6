/* SPDX-License-Identifier: MIT */
#include "agent/package/registry/credential.h"

#include "agent/source/process.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"
#include "protocol/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A helper may have to ask another machine, but nobody to type something. */
#define HELPER_TIMEOUT_MS ((int64_t)30000)
#define HELPER_GRACE_MS ((int64_t)1000)
#define HELPER_OUTPUT_MAX ((size_t)256 << 10)

/* As a helper's name in place of a user: the secret is an identity token. */
#define TOKEN_USER "<token>"

/* How docker's own helpers say that they know none; it comes on stdout, with status 1.
 * https://github.com/docker/docker-credential-helpers/blob/master/credentials/error.go */
#define HELPER_KNOWS_NONE "credentials not found"

static void wipe(char *text)
{
    if (text) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
}

void credential_done(Credential *credential)
{
    free(credential->user);
    wipe(credential->password);
    wipe(credential->identity_token);
    wipe(credential->registry_token);
    *credential = (Credential){0};
}

static void secret_done(Buffer *b)
{
    if (b->data) {
        explicit_bzero(b->data, b->allocated);
    }
    buffer_done(b);
}
#define _cleanup_secret_ _cleanup_(secret_done)

int credential_from_base64(const char *text, Credential *ret)
{
    _cleanup_secret_ Buffer both = BUFFER_INIT(0);
    _cleanup_credential_ Credential credential = {0};
    const char *colon;
    int r = text_decode_base64(&both, text, strlen(text));

    if (r < 0) {
        return r;
    }
    /* docker pads what it writes with NUL. */
    colon = strchr(buffer_text(&both), ':');
    if (!colon || strpbrk(buffer_text(&both), "\r\n")) {
        return -EINVAL;
    }
    credential.user = strndup(both.data, (size_t)(colon - both.data));
    credential.password = strdup(colon + 1);
    if (!credential.user || !credential.password) {
        return -ENOMEM;
    }
    *ret = credential;
    credential = (Credential){0};
    return 0;
}

int credential_append_basic(const Credential *credential, Buffer *value)
{
    _cleanup_secret_ Buffer both = BUFFER_INIT(0);
    int r = buffer_append_format(&both, "%s:%s", credential->user, credential->password);

    r = r < 0 ? r : buffer_append_text(value, "Basic ");
    return r < 0 ? r : text_append_base64(value, both.data, both.len);
}

/* ---- helpers ----------------------------------------------------------------------------------
 */

static int parse_answer(const char *program, const Buffer *output, Credential *ret, Error *err)
{
    _cleanup_json_ Json *answer = NULL;
    _cleanup_credential_ Credential credential = {0};
    const char *user, *secret;

    if (json_parse(buffer_text(output), output->len, &answer, NULL) < 0) {
        return error_set(err, -EBADMSG, "%s: what it wrote is not JSON", program);
    }
    user = json_get_string(answer, "Username");
    secret = json_get_string(answer, "Secret");
    if (!user || !secret || !*secret) {
        return error_set(err, -EBADMSG, "%s: its answer has no %s", program,
                         user ? "Secret" : "Username");
    }
    if (strcmp(user, TOKEN_USER) == 0) {
        credential.identity_token = strdup(secret);
    } else {
        credential.user = strdup(user);
        credential.password = strdup(secret);
    }
    if (!credential.identity_token && (!credential.user || !credential.password)) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret = credential;
    credential = (Credential){0};
    return 1;
}

static int run_helper(const char *program, int input_fd, const char *server, Buffer *output,
                      Error *err)
{
    const char *const argv[] = {program, "get", NULL};
    const ProcessOptions options = {.argv = argv,
                                    .input_fd = input_fd,
                                    .timeout_ms = HELPER_TIMEOUT_MS,
                                    .grace_ms = HELPER_GRACE_MS,
                                    .output = output,
                                    .is_detached = true};
    _cleanup_buffer_ Buffer how_text = BUFFER_INIT(0);
    ProcessExit how;
    int r = process_run(&options, &how, err);

    if (r < 0) {
        return r;
    }
    if (process_exit_is_success(&how)) {
        return 1;
    }
    if (how.exit_code > 0 && strstr(buffer_text(output), HELPER_KNOWS_NONE)) {
        return 0;
    }
    r = process_exit_describe(&how, HELPER_TIMEOUT_MS, &how_text);
    return error_set(err, r < 0 ? r : -EIO, "%s get, asked for '%s', %s: %.*s", program, server,
                     buffer_text(&how_text), (int)strcspn(buffer_text(output), "\r\n"),
                     buffer_text(output));
}

int credential_from_helper(const char *name, const char *server, Credential *ret, Error *err)
{
    _cleanup_secret_ Buffer output = BUFFER_INIT(HELPER_OUTPUT_MAX);
    _cleanup_free_ char *program = NULL;
    _cleanup_fd_ int input_fd = -1;
    int r;

    if (!text_is_identifier(name)) {
        return error_set(err, -EINVAL, "credential helper '%s': this is no name of a program",
                         name);
    }
    if (asprintf(&program, "docker-credential-%s", name) < 0) {
        program = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    input_fd = memfd_create("server", MFD_CLOEXEC);
    if (input_fd < 0 || fd_write_all(input_fd, server, strlen(server)) < 0 ||
        lseek(input_fd, 0, SEEK_SET) < 0) {
        return error_set_errno(err, -errno, "cannot ask %s", program);
    }
    r = run_helper(program, input_fd, server, &output, err);
    return r <= 0 ? r : parse_answer(program, &output, ret, err);
}
