/* SPDX-License-Identifier: MIT */
#include "agent/package/release.h"

#include "protocol/base/clock.h"
#include "protocol/base/file.h"
#include "protocol/json.h"
#include "protocol/schema.h"
#include "protocol/validate.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define RELEASE_BYTES_MAX ((size_t)64 << 10)

void release_done(Release *release)
{
    free(release->name);
    free(release->version);
    free(release->digest);
    free(release->commit);
    free(release->repository);
    free(release->ref);
    free(release->subject);
    free(release->reference);
    free(release->package);
    free(release->template);
    *release = (Release){0};
}

/* Where each text of a release stands in the file, in the order in which it is written. */
static const struct {
    const char *name;
    size_t offset;
} members[] = {
    {"name", offsetof(Release, name)},
    {"version", offsetof(Release, version)},
    {"digest", offsetof(Release, digest)},
    {"commit", offsetof(Release, commit)},
    {"repository", offsetof(Release, repository)},
    {"ref", offsetof(Release, ref)},
    {"subject", offsetof(Release, subject)},
    {"reference", offsetof(Release, reference)},
    {"package", offsetof(Release, package)},
    {"template", offsetof(Release, template)},
};

static char **member_of(Release *release, size_t i)
{
    return (char **)((char *)release + members[i].offset);
}

static bool has_dot_dot(const char *path)
{
    for (const char *part = path; *part; part += strcspn(part, "/"), part += *part == '/') {
        size_t n = strcspn(part, "/");

        if (n == 2 && part[0] == '.' && part[1] == '.') {
            return true;
        }
    }
    return false;
}

static int copy_members(const Json *object, Release *release, Error *err)
{
    int64_t committed_at_us;

    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        const char *text = json_get_string(object, members[i].name);

        if (text) {
            *member_of(release, i) = strdup(text);
            if (!*member_of(release, i)) {
                return error_set(err, -ENOMEM, "out of memory");
            }
        }
    }
    if (clock_parse(json_get_string(object, "committedAt"), &committed_at_us) < 0) {
        return error_set(err, -EINVAL, "/committedAt: not a moment of RFC 3339 in UTC");
    }
    release->committed_at = committed_at_us / 1000000;
    if (release->template && has_dot_dot(release->template)) {
        return error_set(err, -EINVAL, "/template: '%s' leads out of the package",
                         release->template);
    }
    if (release->package && has_dot_dot(release->package)) {
        return error_set(err, -EINVAL, "/package: '%s' leads out of the package", release->package);
    }
    return 0;
}

static int parse(const Buffer *text, Release *ret, Error *err)
{
    _cleanup_json_ Json *object = NULL, *schema = NULL;
    _cleanup_release_ Release release = {0};
    int r = json_parse(buffer_text(text), text->len, &object, err);

    r = r == 0 ? schema_load("release", &schema, err) : r;
    r = r == 0 ? validate_value(schema, object, buffer_text(text), text->len, err) : r;
    r = r == 0 ? copy_members(object, &release, err) : r;
    if (r < 0) {
        return r;
    }
    *ret = release;
    release = (Release){0};
    return 0;
}

int release_read(int package_fd, Release *ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(RELEASE_BYTES_MAX);
    int r = file_read(package_fd, RELEASE_FILE, &text, err);

    if (r < 0) {
        return r;
    }
    r = parse(&text, ret, err);
    return r < 0 ? error_wrap(err, RELEASE_FILE) : 0;
}

int release_write(int package_fd, const Release *release, Error *err)
{
    _cleanup_json_ Json *object = json_new_object();
    _cleanup_buffer_ Buffer text = BUFFER_INIT(RELEASE_BYTES_MAX);
    char moment[CLOCK_TEXT_SIZE];
    int r = object ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(members); i++) {
        r = json_set_string(object, members[i].name, *member_of((Release *)release, i));
    }
    if (r == 0) {
        r = json_set_string(object, "committedAt",
                            clock_format(release->committed_at * 1000000, moment));
    }
    r = r == 0 ? json_format_pretty(object, &text) : r;
    r = r == 0 ? buffer_append(&text, "\n", 1) : r;
    if (r < 0) {
        return error_set_errno(err, r, "cannot write " RELEASE_FILE);
    }
    return file_replace(package_fd, RELEASE_FILE, text.data, text.len, 0644, err);
}
