/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/gpg.h"

#include "agent/source/process.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GPG_TIMEOUT_MS ((int64_t)60000)
#define GPG_GRACE_MS ((int64_t)1000)
#define INPUT_NAME "gpg-input"
#define SIGNATURE_NAME "gpg-signature"
#define WORDS_MAX 24

/* ---- running it -------------------------------------------------------------------------------
 */

/* NULL among the words ends them. `complaints` may be NULL. Returns whether it ended well. */
static int run(const char *const *argv, Buffer *output, Buffer *complaints, bool *ret_is_success,
               Error *err)
{
    ProcessExit how;
    int r = process_run(&(ProcessOptions){.argv = argv,
                                          .timeout_ms = GPG_TIMEOUT_MS,
                                          .grace_ms = GPG_GRACE_MS,
                                          .output = output,
                                          .complaints = complaints,
                                          .is_detached = true},
                        &how, err);

    *ret_is_success = r == 0 && process_exit_is_success(&how);
    return r;
}

/* `last` are the words after the options that every call has. */
static void collect_words(const GpgKey *key, const char *const *last, const char **words)
{
    size_t n = 0;

    words[n++] = "gpg";
    words[n++] = "--batch";
    words[n++] = "--quiet";
    words[n++] = "--no-tty";
    if (key->home) {
        words[n++] = "--homedir";
        words[n++] = key->home;
    }
    if (key->passphrase_file) {
        words[n++] = "--pinentry-mode";
        words[n++] = "loopback";
        words[n++] = "--passphrase-file";
        words[n++] = key->passphrase_file;
    }
    while (*last) {
        words[n++] = *last++;
    }
    words[n] = NULL;
}

/* The last line that it said itself, which is the one that matters: hints come without its name. */
static const char *last_line(Buffer *complaints)
{
    const char *last = "it says nothing";

    for (char *line = complaints->data; line && *line;) {
        char *end = line + strcspn(line, "\n");

        if (text_has_prefix(line, "gpg: ")) {
            last = line;
        }
        line = *end ? end + 1 : end;
        *end = '\0';
    }
    return last;
}

static int call_gpg(const GpgKey *key, const char *const *last, Buffer *ret, int code,
                    const char *what, Error *err)
{
    _cleanup_buffer_ Buffer complaints = BUFFER_INIT(PROCESS_COMPLAINTS_MAX);
    const char *words[WORDS_MAX];
    size_t before = ret->len;
    bool is_success;
    int r;

    collect_words(key, last, words);
    r = run(words, ret, &complaints, &is_success, err);
    if (r == 0 && !is_success) {
        r = error_set(err, code, "%s: %s", what, last_line(&complaints));
    }
    if (r < 0) {
        buffer_truncate(ret, before);
    }
    return r;
}

/* ---- its agent --------------------------------------------------------------------------------
 */

/* gpg starts an agent for the key's sake, which would stay behind, and be ended with the call, told
 * as a survivor. One that was there before is somebody's, and stays: it may know a passphrase. */
static bool is_agent_there(const GpgKey *key)
{
    const char *const words[] = {"gpg-connect-agent", "--no-autostart", "GETINFO pid", "/bye",
                                 NULL};
    const char *const with_home[] = {"gpg-connect-agent", "--homedir", key->home, "--no-autostart",
                                     "GETINFO pid",       "/bye",      NULL};
    _cleanup_buffer_ Buffer answer = BUFFER_INIT(4096), complaints = BUFFER_INIT(4096);
    bool is_success;

    return run(key->home ? with_home : words, &answer, &complaints, &is_success, NULL) < 0 ||
           !is_success || strncmp(buffer_text(&answer), "D ", 2) == 0;
}

static void end_agent(const GpgKey *key)
{
    const char *const words[] = {"gpgconf", "--kill", "gpg-agent", NULL};
    const char *const with_home[] = {"gpgconf", "--homedir", key->home,
                                     "--kill",  "gpg-agent", NULL};
    _cleanup_buffer_ Buffer answer = BUFFER_INIT(4096), complaints = BUFFER_INIT(4096);
    bool is_success;

    (void)!run(key->home ? with_home : words, &answer, &complaints, &is_success, NULL);
}

/* ---- verbs ------------------------------------------------------------------------------------
 */

/* What gpg is to read goes through a file: its stdin is /dev/null. *ret_path is the caller's. */
static int write_named(const GpgKey *key, const char *name, const void *data, size_t n,
                       char **ret_path, Error *err)
{
    _cleanup_free_ char *path = NULL;
    _cleanup_fd_ int fd = -1;
    int r;

    if (asprintf(&path, "%s/%s", key->work_directory, name) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : fd_write_all(fd, data, n);
    if (r < 0) {
        return error_set_errno(err, r, "cannot write '%s'", path);
    }
    *ret_path = TAKE_PTR(path);
    return 0;
}

static int write_input(const GpgKey *key, const void *data, size_t n, char **ret_path, Error *err)
{
    return write_named(key, INPUT_NAME, data, n, ret_path, err);
}

static int sign(const GpgKey *key, const char *verb, const void *data, size_t n, Buffer *ret,
                Error *err)
{
    _cleanup_free_ char *path = NULL;
    int r = write_input(key, data, n, &path, err);
    bool had_agent;

    if (r < 0) {
        return r;
    }
    had_agent = is_agent_there(key);
    r = call_gpg(key,
                 (const char *const[]){"--armor", "--local-user", key->key, "--output", "-", verb,
                                       path, NULL},
                 ret, -EKEYREJECTED, "gpg cannot sign", err);
    if (!had_agent) {
        end_agent(key);
    }
    (void)unlink(path);
    return r;
}

int gpg_clearsign(const GpgKey *key, const void *text, size_t n, Buffer *ret, Error *err)
{
    return sign(key, "--clearsign", text, n, ret, err);
}

int gpg_detach_sign(const GpgKey *key, const void *data, size_t n, Buffer *ret, Error *err)
{
    return sign(key, "--detach-sign", data, n, ret, err);
}

/* --verify, not --decrypt, which takes a message that nobody signed. */
int gpg_open_clearsigned(const GpgKey *key, const void *text, size_t n, Buffer *ret, Error *err)
{
    _cleanup_free_ char *path = NULL;
    int r = write_input(key, text, n, &path, err);

    if (r < 0) {
        return r;
    }
    r = call_gpg(key, (const char *const[]){"--output", "-", "--verify", path, NULL}, ret,
                 -EKEYREJECTED, "its signature is not of our keyring", err);
    (void)unlink(path);
    return r;
}

int gpg_verify_detached(const GpgKey *key, const void *data, size_t n, const void *signature,
                        size_t n_signature, Error *err)
{
    _cleanup_free_ char *data_path = NULL, *signature_path = NULL;
    _cleanup_buffer_ Buffer output = BUFFER_INIT(4096);
    int r = write_input(key, data, n, &data_path, err);

    r = r == 0 ? write_named(key, SIGNATURE_NAME, signature, n_signature, &signature_path, err) : r;
    r = r == 0 ? call_gpg(key, (const char *const[]){"--verify", signature_path, data_path, NULL},
                          &output, -EKEYREJECTED, "its signature is not of our keyring", err)
               : r;
    if (data_path) {
        (void)unlink(data_path);
    }
    if (signature_path) {
        (void)unlink(signature_path);
    }
    return r;
}

int gpg_export(const GpgKey *key, Buffer *ret, Error *err)
{
    size_t before = ret->len;
    int r = call_gpg(key, (const char *const[]){"--armor", "--export", key->key, NULL}, ret,
                     -EKEYREJECTED, "gpg cannot export the key", err);

    /* For a key that is not there gpg says so and ends well. */
    return r == 0 && ret->len == before ? error_set(err, -ENOKEY, "gpg has no key '%s'", key->key)
                                        : r;
}
