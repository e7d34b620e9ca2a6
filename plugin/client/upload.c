/* SPDX-License-Identifier: MIT */
/* A file up to the agent, as an input. The first piece goes alone: its answer says how much the
 * agent has from another time, and from there the rest follows, several pieces at once. */
#include "plugin/client/client.h"

#include "protocol/artifact/digest.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UPLOAD_WINDOW 8

typedef struct Upload {
    SlipwayClient *client;
    char *input;
    char *path;
    char sha256[DIGEST_HEX_SIZE];
    int64_t size;
    int64_t piece;
    int64_t sent;
    int64_t confirmed;
    int fd;
    unsigned n_pending;
    bool is_known; /* how much the agent has */
    bool is_over;
    SlipwayProgressCallback progress;
    SlipwayDoneCallback done;
    void *userdata;
} Upload;

static Upload *upload_free(Upload *u)
{
    if (u) {
        u->fd = fd_close(u->fd);
        free(u->input);
        free(u->path);
        free(u);
    }
    return NULL;
}
DEFINE_CLEANUP(Upload, upload_free)

static void finish(Upload *u, int code, const char *text)
{
    _cleanup_free_ char *message = NULL;
    SlipwayError error = {.code = code};

    if (u->is_over) {
        return;
    }
    u->is_over = true;
    if (code) {
        (void)client_fail(u->client, -EIO, "sending '%s' as input '%s': %s", u->path, u->input,
                          text);
        message = strdup(slipway_client_get_error(u->client));
        error.message = message ? message : "out of memory";
    }
    if (u->done) {
        u->done(u->client, code ? &error : NULL, u->userdata);
    }
}

static void on_written(SlipwayClient *client, const SlipwayJson *result, const SlipwayError *error,
                       void *userdata);

/* The parameters of `inputs/write` for the next piece. */
static int describe_piece(Upload *u, const char *data, size_t n, Json **ret)
{
    _cleanup_json_ Json *params = json_new_object();
    _cleanup_buffer_ Buffer base64 = {0};
    int r = params ? text_append_base64(&base64, data, n) : -ENOMEM;

    r = r == 0 ? json_set_string(params, "input", u->input) : r;
    r = r == 0 ? json_set_int(params, "offset", u->sent) : r;
    r = r == 0 ? json_set_string(params, "base64", buffer_text(&base64)) : r;
    if (r == 0 && u->sent + (int64_t)n == u->size) {
        r = json_set_bool(params, "isLast", true);
        r = r == 0 ? json_set_string(params, "sha256", u->sha256) : r;
    }
    if (r == 0) {
        *ret = TAKE_PTR(params);
    }
    return r;
}

static int send_piece(Upload *u)
{
    _cleanup_free_ char *data = malloc((size_t)u->piece);
    _cleanup_json_ Json *params = NULL;
    ClientRequest *request;
    int64_t wanted = MIN(u->piece, u->size - u->sent);
    ssize_t n;
    int r;

    if (!data) {
        return client_fail(u->client, -ENOMEM, "out of memory");
    }
    n = fd_pread_full(u->fd, data, (size_t)wanted, u->sent);
    if (n < 0 || n != wanted) {
        return client_fail(u->client, n < 0 ? (int)n : -EAGAIN, "%s",
                           n < 0 ? strerror((int)-n) : "the file became shorter meanwhile");
    }
    r = describe_piece(u, data, (size_t)n, &params);
    r = r == 0 ? client_send(u->client, "inputs/write", params, on_written, u, &request) : r;
    if (r == 0) {
        u->n_pending++;
        u->sent += n;
    }
    return r;
}

static void go_on(Upload *u)
{
    unsigned window = u->is_known ? UPLOAD_WINDOW : 1;
    int r = 0;

    while (!u->is_over && r == 0 && u->n_pending < window && u->sent < u->size) {
        r = send_piece(u);
    }
    if (r < 0 && !(r == -EBUSY && u->n_pending > 0)) {
        _cleanup_free_ char *reason = strdup(slipway_client_get_error(u->client));

        finish(u, SLIPWAY_ERROR_LOCAL, reason ? reason : "out of memory");
    }
    if (u->is_over && u->n_pending == 0) {
        (void)upload_free(u);
    }
}

static void on_written(SlipwayClient *client, const SlipwayJson *result, const SlipwayError *error,
                       void *userdata)
{
    Upload *u = userdata;
    int64_t has = slipway_json_get_int(result, "/size", -1);

    u->n_pending--;
    if (error) {
        finish(u, error->code, error->message);
    } else if (has < 0 || has > u->size) {
        finish(u, SLIPWAY_ERROR_CONFLICT,
               "the agent has another input of this name; choose another name");
    } else if (slipway_json_get_bool(result, "/isComplete", false)) {
        u->confirmed = u->size;
    } else {
        u->confirmed = MAX(u->confirmed, has);
    }
    if (!u->is_over && !u->is_known) {
        /* The last piece is always sent: it carries the digest of all. */
        int64_t last = (u->size - 1) / u->piece * u->piece;

        u->is_known = true;
        if (u->confirmed < u->size || !slipway_json_get_bool(result, "/isComplete", false)) {
            int64_t next = MIN(u->confirmed, last);

            u->sent = MAX(u->sent, next);
        }
    }
    if (!u->is_over && u->progress) {
        u->progress((uint64_t)u->confirmed, (uint64_t)u->size, u->userdata);
    }
    if (!u->is_over && slipway_json_get_bool(result, "/isComplete", false)) {
        finish(u, 0, NULL);
    } else if (!u->is_over && u->sent == u->size && u->n_pending == 0) {
        finish(u, SLIPWAY_ERROR_INTERNAL, "the agent does not call it complete");
    }
    go_on(u);
}

static int open_file(Upload *u, Error *err)
{
    struct stat st;
    int r;

    u->fd = open(u->path, O_RDONLY | O_CLOEXEC);
    if (u->fd < 0 || fstat(u->fd, &st) < 0) {
        return error_set_errno(err, -errno, "'%s'", u->path);
    }
    if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        return error_set(err, -EINVAL, "'%s' is not an archive: it is %s", u->path,
                         S_ISREG(st.st_mode) ? "empty" : "no regular file");
    }
    r = digest_fd(u->fd, u->sha256, &u->size, err);
    return r < 0 ? error_wrap(err, "'%s'", u->path) : 0;
}

_public_ int slipway_input_upload(SlipwayClient *client, const char *input, const char *path,
                                  SlipwayProgressCallback progress, SlipwayDoneCallback done,
                                  void *userdata)
{
    _cleanup_(upload_freep) Upload *u = calloc(1, sizeof(*u));
    _cleanup_error_ Error err = {0};
    int r;

    if (!u) {
        return -ENOMEM;
    }
    if (!text_is_identifier(input)) {
        return client_fail(client, -EINVAL,
                           "'%s' is no name for an input: it is 1 to 128 of A-Z a-z 0-9 . _ -",
                           input);
    }
    *u = (Upload){
        .client = client,
        .input = strdup(input),
        .path = strdup(path),
        .piece = client_piece_size(client),
        .fd = -1,
        .progress = progress,
        .done = done,
        .userdata = userdata,
    };
    if (!u->input || !u->path) {
        return -ENOMEM;
    }
    r = open_file(u, &err);
    if (r < 0) {
        return client_fail(client, r, "%s", error_text(&err));
    }
    go_on(TAKE_PTR(u));
    return 0;
}
