/* SPDX-License-Identifier: MIT */
#include "protocol/artifact/archive-name.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

void archive_name_done(ArchiveName *name)
{
    free(name->text);
    *name = (ArchiveName){0};
}

static int cut(ArchiveName *name, Error *err)
{
    char *position = NULL;

    for (char *part = strtok_r(name->text, "/", &position); part;
         part = strtok_r(NULL, "/", &position)) {
        if (strcmp(part, ".") == 0) {
            continue;
        }
        if (strcmp(part, "..") == 0) {
            return error_set(err, -EBADMSG, "has '..' in its name");
        }
        if (strlen(part) > ARCHIVE_NAME_PART_MAX) {
            return error_set(err, -EBADMSG, "has a part of more than %d bytes in its name",
                             ARCHIVE_NAME_PART_MAX);
        }
        if (name->count == ARCHIVE_DEPTH_MAX) {
            return error_set(err, -EBADMSG, "is more than %d directories deep", ARCHIVE_DEPTH_MAX);
        }
        name->parts[name->count++] = part;
    }
    return 0;
}

int archive_name_parse(const char *text, ArchiveName *ret, Error *err)
{
    _cleanup_(archive_name_done) ArchiveName name = {0};
    size_t len = strlen(text);
    int r;

    if (len == 0) {
        return error_set(err, -EBADMSG, "has no name");
    }
    if (len > ARCHIVE_NAME_MAX) {
        return error_set(err, -EBADMSG, "has a name of more than %d bytes", ARCHIVE_NAME_MAX);
    }
    if (text[0] == '/') {
        return error_set(err, -EBADMSG, "has an absolute name");
    }
    if (!text_is_utf8(text, len)) {
        return error_set(err, -EBADMSG, "has a name that is not UTF-8");
    }
    name.text = strdup(text);
    if (!name.text) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = cut(&name, err);
    if (r < 0) {
        return r;
    }
    *ret = name;
    name.text = NULL;
    return 0;
}

/* How often `target` goes up before it goes down; -1 if it goes up again after that. */
static int count_ups(const char *target)
{
    bool went_down = false;
    int ups = 0;

    while (*target) {
        size_t len = strcspn(target, "/");

        if (len == 2 && memcmp(target, "..", 2) == 0) {
            if (went_down) {
                return -1;
            }
            ups++;
        } else if (len > 1 || (len == 1 && target[0] != '.')) {
            went_down = true;
        }
        target += len + strspn(target + len, "/");
    }
    return ups;
}

int archive_name_check_link(const ArchiveName *name, const char *target, Error *err)
{
    size_t len = strlen(target);
    int ups;

    if (len == 0 || len > ARCHIVE_NAME_MAX || !text_is_utf8(target, len)) {
        return error_set(err, -EBADMSG, "is a link whose target is empty, too long or not UTF-8");
    }
    ups = count_ups(target);
    if (target[0] == '/' || ups < 0 || (size_t)ups + 1 > name->count) {
        return error_set(err, -EBADMSG, "is a link that leads out: '%s'", target);
    }
    return 0;
}

locale_t archive_locale_new(const char *name)
{
    return newlocale(LC_CTYPE_MASK, name, (locale_t)0);
}

void archive_locale_free(locale_t own)
{
    if (own) {
        freelocale(own);
    }
}

locale_t archive_locale_enter(locale_t own)
{
    return own ? uselocale(own) : (locale_t)0;
}

void archive_locale_leave(locale_t *before)
{
    if (*before) {
        (void)uselocale(*before);
        *before = (locale_t)0;
    }
}
