/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/retired.h"

#include "protocol/base/clock.h"

#include <errno.h>
#include <string.h>

#define LIST_BYTES_MAX ((size_t)1 << 20)

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

void retired_done(Retired *retired)
{
    (void)json_unref(retired->files);
    *retired = (Retired){0};
}

static const char *name_at(const Retired *retired, size_t i)
{
    return json_get_string(json_at(retired->files, i), "name");
}

/* Microseconds since the epoch; what cannot be read is old. */
static int64_t since_at(const Retired *retired, size_t i)
{
    const char *text = json_get_string(json_at(retired->files, i), "since");
    int64_t since_us;

    return text && clock_parse(text, &since_us) == 0 ? since_us : 0;
}

static bool is_list(const Json *files)
{
    if (json_type_of(files) != JSON_ARRAY) {
        return false;
    }
    for (size_t i = 0; i < json_length(files); i++) {
        if (!json_get_string(json_at(files, i), "name")) {
            return false;
        }
    }
    return true;
}

int retired_read(PublishTarget *target, const char *name, Retired *ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(LIST_BYTES_MAX);
    _cleanup_json_ Json *files = NULL;
    int r = publish_target_read(target, name, &text, err);

    if (r < 0) {
        return r;
    }
    if (r == 1 && json_parse(buffer_text(&text), text.len, &files, NULL) == 0 && is_list(files)) {
        *ret = (Retired){.name = name, .n_earlier = json_length(files)};
        ret->files = TAKE_PTR(files);
        return 0;
    }
    *ret = (Retired){.name = name, .files = json_new_array()};
    return ret->files ? 0 : out_of_memory(err);
}

static bool has(const Retired *retired, const char *file)
{
    for (size_t i = 0; i < json_length(retired->files); i++) {
        if (strcmp(name_at(retired, i), file) == 0) {
            return true;
        }
    }
    return false;
}

int retired_add(Retired *retired, const char *file, int64_t now_us)
{
    _cleanup_json_ Json *entry = NULL;
    char since[CLOCK_TEXT_SIZE];
    int r;

    if (has(retired, file)) {
        return 0;
    }
    entry = json_new_object();
    r = entry ? json_set_string(entry, "name", file) : -ENOMEM;
    r = r == 0 ? json_set_string(entry, "since", clock_format(now_us, since)) : r;
    return r == 0 ? json_append_take(retired->files, TAKE_PTR(entry)) : r;
}

static int drop(Retired *retired, const bool *is_dropped)
{
    Json *kept = json_new_array();
    size_t n_earlier = retired->n_earlier;
    int r = kept ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < json_length(retired->files); i++) {
        if (!is_dropped[i]) {
            r = json_append_take(kept, json_ref(json_at(retired->files, i)));
        } else if (i < retired->n_earlier) {
            n_earlier--;
        }
    }
    if (r < 0) {
        (void)json_unref(kept);
        return r;
    }
    (void)json_unref(retired->files);
    retired->files = kept;
    retired->n_earlier = n_earlier;
    return 0;
}

int retired_keep(Retired *retired, const char *file)
{
    size_t n = json_length(retired->files);
    _cleanup_free_ bool *is_dropped = NULL;

    if (!has(retired, file)) {
        return 0;
    }
    is_dropped = calloc(n + 1, sizeof(*is_dropped));
    if (!is_dropped) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        is_dropped[i] = strcmp(name_at(retired, i), file) == 0;
    }
    return drop(retired, is_dropped);
}

static int write_list(PublishTarget *target, const Retired *retired, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(LIST_BYTES_MAX);
    int r = json_format_pretty(retired->files, &text);

    r = r == 0 ? buffer_append(&text, "\n", 1) : r;
    if (r < 0) {
        return error_set_errno(err, r, "cannot write what is retired");
    }
    return publish_target_put(target, retired->name, text.data, text.len, err);
}

int retired_sweep(PublishTarget *target, Retired *retired, int64_t now_us, Error *err)
{
    size_t n = json_length(retired->files);
    _cleanup_free_ bool *is_dropped = calloc(n + 1, sizeof(*is_dropped));

    if (!is_dropped) {
        return out_of_memory(err);
    }
    for (size_t i = 0; i < retired->n_earlier; i++) {
        is_dropped[i] = i + RETIRED_MAX < n || now_us - since_at(retired, i) > RETIRED_STAY_US;
        if (is_dropped[i]) {
            _cleanup_error_ Error problem = {0};
            int r = publish_target_remove(target, name_at(retired, i), &problem);

            if (r < 0 && r != -EINVAL) { /* a name that is none was not put there by us */
                return error_set(err, r, "%s", error_text(&problem));
            }
        }
    }
    if (drop(retired, is_dropped) < 0) {
        return out_of_memory(err);
    }
    return write_list(target, retired, err);
}
