/* SPDX-License-Identifier: MIT */
#include "agent/runners/spec.h"

#include "protocol/base/buffer.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"
#include "protocol/schema.h"
#include "protocol/validate.h"

#include <errno.h>
#include <string.h>

/* The agent takes requests of 1 MiB and adds a little; more is not a spec. */
#define SPEC_BYTES_MAX ((size_t)4 << 20)
#define SPEC_READ_STEP ((size_t)16 << 10)

#define SPEC_GRACE_DEFAULT_MS 10000

void spec_done(Spec *spec)
{
    free(spec->verb);
    (void)json_unref(spec->root);
    *spec = (Spec){0};
}

static int read_all(int fd, Buffer *text, Error *err)
{
    for (;;) {
        ssize_t got;
        int r = buffer_reserve(text, SPEC_READ_STEP);

        if (r == -ENOBUFS) {
            return error_set(err, -EFBIG, "larger than %zu bytes", SPEC_BYTES_MAX);
        }
        if (r < 0) {
            return error_set(err, r, "out of memory");
        }
        got = fd_read_full(fd, text->data + text->len, SPEC_READ_STEP);
        if (got < 0) {
            return error_set_errno(err, (int)got, "cannot read it");
        }
        text->len += (size_t)got;
        if (got == 0) {
            return text->len > 0 ? 0 : error_set(err, -EINVAL, "nothing there");
        }
    }
}

/* The action of an environment is named VERB-ENVIRONMENT. */
static int find_verb(Spec *spec, Error *err)
{
    size_t n = strlen(spec->action), tail;

    if (spec->environment_name) {
        tail = strlen(spec->environment_name) + 1;
        if (n > tail && spec->action[n - tail] == '-' &&
            strcmp(spec->action + n - tail + 1, spec->environment_name) == 0) {
            n -= tail;
        }
    }
    spec->verb = strndup(spec->action, n);
    return spec->verb ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static void borrow_members(Spec *spec)
{
    const Json *directories = json_get(spec->root, "directories");
    double grace = json_as_number(json_get(spec->root, "graceSeconds"), -1);

    spec->call = json_get_string(spec->root, "call");
    spec->agent = json_get_string(spec->root, "agent");
    spec->action = json_get_string(spec->root, "action");
    spec->run = json_get_string(spec->root, "run");
    spec->created_at = json_get_string(spec->root, "createdAt");
    spec->traceparent = json_get_string(spec->root, "traceparent");
    spec->parameters = json_get(spec->root, "parameters");
    spec->origin = json_get(spec->root, "origin");
    spec->approval = json_get(spec->root, "approval");
    spec->keys = json_get(spec->root, "keys");
    spec->environment = json_get(spec->root, "environment");
    spec->publish = json_get(spec->root, "publish");
    spec->environment_name = json_get_string(spec->environment, "name");
    spec->grace_ms = grace >= 0 ? (int64_t)(grace * 1000) : SPEC_GRACE_DEFAULT_MS;
    spec->call_directory = json_get_string(directories, "call");
    spec->workspace = json_get_string(directories, "workspace");
    spec->calls_directory = json_get_string(directories, "calls");
    spec->inputs_directory = json_get_string(directories, "inputs");
    spec->cache_directory = json_get_string(directories, "cache");
    spec->releases_directory = json_get_string(directories, "releases");
    spec->state_directory = json_get_string(directories, "state");
    spec->is_confined = json_get_bool(spec->root, "confine", false);
    spec->keys_directory = json_get_string(directories, "keys");
    spec->audit_directory = json_get_string(directories, "audit");
}

static int parse(const Buffer *text, Spec *spec, Error *err)
{
    _cleanup_json_ Json *schema = NULL;
    int r = json_parse(text->data, text->len, &spec->root, err);

    if (r < 0) {
        return r;
    }
    r = schema_load("spec", &schema, err);
    if (r == 0) {
        r = validate_value(schema, spec->root, NULL, 0, err);
    }
    if (r == 0 && !json_get(spec->root, "parameters")) {
        r = json_set_take(spec->root, "parameters", json_new_object());
    }
    if (r < 0) {
        return r;
    }
    borrow_members(spec);
    return find_verb(spec, err);
}

int spec_read(int fd, Spec *ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(SPEC_BYTES_MAX);
    _cleanup_spec_ Spec spec = {0};
    int r = read_all(fd, &text, err);

    if (r == 0) {
        r = parse(&text, &spec, err);
    }
    if (r < 0) {
        return error_wrap(err, "spec.json on fd %d", fd);
    }
    *ret = spec;
    spec = (Spec){0};
    return 0;
}
