/* SPDX-License-Identifier: MIT */
#include "agent/package/image-files.h"

#include "protocol/artifact/file-list.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE_EXECUTABLE 0755
#define MODE_PLAIN 0644
#define MODE_DIRECTORY 0755
#define MODE_OF_LINK ((mode_t)-1)

/* A layer would take it for the order to remove something. */
#define WHITEOUT ".wh."

/* One element of `package.files`, while its files are looked up. */
typedef struct Mapping {
    int workspace_fd;
    const char *from, *to;
    mode_t mode;      /* 0: by the file's own */
    size_t fixed_len; /* of `from`: what all names begin with, left out in the image */
    bool is_one_file; /* `to` is its very name */
} Mapping;

void image_files_done(ImageFiles *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->entries[i].from);
        free(files->entries[i].to);
    }
    free(files->entries);
    *files = (ImageFiles){0};
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* Takes both texts, also when it fails. */
static int add_entry_take(ImageFiles *files, char *from, char *to, mode_t mode, Error *err)
{
    if (!to) {
        free(from);
        return out_of_memory(err);
    }
    if (files->count == files->allocated) {
        size_t allocated = MAX((size_t)64, files->allocated * 2);
        OciEntry *entries = reallocarray(files->entries, allocated, sizeof(*entries));

        if (!entries) {
            free(from);
            free(to);
            return out_of_memory(err);
        }
        files->entries = entries;
        files->allocated = allocated;
    }
    files->entries[files->count++] = (OciEntry){.from = from, .to = to, .mode = mode};
    return 0;
}

/* ---- names ------------------------------------------------------------------------------------
 */

/* The directories at the beginning of a pattern, with their slash. */
static size_t fixed_length(const char *pattern)
{
    size_t n = strcspn(pattern, "*?[\\");

    while (n > 0 && pattern[n - 1] != '/') {
        n--;
    }
    return n;
}

/* Parts joined by one slash, without the first; "." is left out. The caller's. */
static char *image_name(const char *directory, const char *name)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    const char *const halves[] = {directory, name};
    int r = buffer_append(&text, "", 0);

    for (size_t i = 0; i < ARRAY_SIZE(halves); i++) {
        for (const char *part = halves[i]; *part;
             part += strcspn(part, "/"), part += *part == '/') {
            size_t n = strcspn(part, "/");

            if (n == 0 || (n == 1 && part[0] == '.')) {
                continue;
            }
            r = r == 0 && text.len > 0 ? buffer_append(&text, "/", 1) : r;
            r = r == 0 ? buffer_append(&text, part, n) : r;
        }
    }
    return r == 0 ? buffer_take_text(&text) : NULL;
}

static bool has_whiteout(const char *name)
{
    for (const char *part = name; *part; part += strcspn(part, "/"), part += *part == '/') {
        if (text_has_prefix(part, WHITEOUT)) {
            return true;
        }
    }
    return false;
}

/* ---- looking up -------------------------------------------------------------------------------
 */

static int add_file(const Mapping *mapping, const char *name, ImageFiles *files, Error *err)
{
    const char *rest = mapping->is_one_file ? "" : name + mapping->fixed_len;
    char *to = image_name(mapping->to, rest);
    mode_t mode = mapping->mode;
    struct stat st;

    if (!to) {
        return out_of_memory(err);
    }
    if (!*to || has_whiteout(to)) {
        int r = error_set(err, -EINVAL, "'%s' cannot be '/%s' in an image", name, to);

        free(to);
        return r;
    }
    if (fstatat(mapping->workspace_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        free(to);
        return error_set_errno(err, -errno, "'%s'", name);
    }
    if (S_ISDIR(st.st_mode)) { /* an empty one */
        return add_entry_take(files, NULL, to, MODE_DIRECTORY, err);
    }
    if (S_ISLNK(st.st_mode)) {
        mode = MODE_OF_LINK;
    } else if (mode == 0) {
        mode = st.st_mode & 0111 ? MODE_EXECUTABLE : MODE_PLAIN;
    }
    return add_entry_take(files, strdup(name), to, mode, err);
}

static int add_matches(const Mapping *mapping, ImageFiles *files, Error *err)
{
    _cleanup_(file_list_done) FileList list = {0};
    const char *const patterns[] = {mapping->from, "!.git", "!**/.git"};
    int r = file_list_match(mapping->workspace_fd, patterns, ARRAY_SIZE(patterns), &list, err);

    for (size_t i = 0; r == 0 && i < list.count; i++) {
        r = add_file(mapping, list.names[i], files, err);
    }
    return r;
}

/* `from` is a file, a directory (what is in it goes below `to`), or a pattern. */
static int add_mapping(int workspace_fd, const Json *file, ImageFiles *files, Error *err)
{
    const char *mode = json_get_string(file, "mode");
    Mapping mapping = {.workspace_fd = workspace_fd,
                       .from = json_get_string(file, "from"),
                       .to = json_get_string(file, "to"),
                       .mode = mode ? (mode_t)strtoul(mode, NULL, 8) : 0};
    size_t to_len = strlen(mapping.to);
    struct stat st;

    mapping.fixed_len = fixed_length(mapping.from);
    if (fstatat(workspace_fd, mapping.from, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(st.st_mode)) {
            /* Names in the list begin with it and a slash, however it is written here. */
            char *clean = image_name("", mapping.from);

            if (!clean) {
                return out_of_memory(err);
            }
            mapping.fixed_len = strlen(clean) + (*clean ? 1 : 0);
            free(clean);
        } else {
            mapping.is_one_file = mapping.to[to_len - 1] != '/';
        }
    }
    return add_matches(&mapping, files, err);
}

/* ---- in order ---------------------------------------------------------------------------------
 */

static int compare_entries(const void *a, const void *b)
{
    const OciEntry *x = a, *y = b;
    int r = strcmp(x->to, y->to);

    return r != 0 ? r : (y->from != NULL) - (x->from != NULL); /* files before directories */
}

static int add_parents(ImageFiles *files, Error *err)
{
    size_t n = files->count;

    for (size_t i = 0; i < n; i++) {
        for (const char *slash = strchr(files->entries[i].to, '/'); slash;
             slash = strchr(slash + 1, '/')) {
            const char *to = files->entries[i].to;
            int r =
                add_entry_take(files, NULL, strndup(to, (size_t)(slash - to)), MODE_DIRECTORY, err);

            if (r < 0) {
                return r;
            }
            slash = files->entries[i].to + (slash - to);
        }
    }
    return 0;
}

/* One directory may be named often, a file once. */
static int remove_duplicates(ImageFiles *files, Error *err)
{
    size_t kept = 0;

    for (size_t i = 0; i < files->count; i++) {
        OciEntry *entry = &files->entries[i], *last = kept ? &files->entries[kept - 1] : NULL;

        if (!last || strcmp(last->to, entry->to) != 0) {
            files->entries[kept++] = *entry;
            continue;
        }
        if (last->from && !(entry->from && strcmp(last->from, entry->from) == 0)) {
            int r = error_set(err, -EEXIST, "'/%s' would be '%s' and %s%s%s in the image", last->to,
                              last->from, entry->from ? "'" : "a directory",
                              entry->from ? entry->from : "", entry->from ? "'" : "");

            /* Those that were passed over are gone; the rest moves up behind the kept ones. */
            memmove(files->entries + kept, files->entries + i,
                    (files->count - i) * sizeof(*files->entries));
            files->count -= i - kept;
            return r;
        }
        free(entry->from);
        free(entry->to);
    }
    files->count = kept;
    return 0;
}

int image_files_find(int workspace_fd, const Json *files, ImageFiles *ret, Error *err)
{
    _cleanup_image_files_ ImageFiles found = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_length(files); i++) {
        r = add_mapping(workspace_fd, json_at(files, i), &found, err);
        if (r < 0) {
            (void)error_wrap(err, "/package/files/%zu", i);
        }
    }
    r = r == 0 ? add_parents(&found, err) : r;
    if (r < 0) {
        return r;
    }
    if (found.count > 0) {
        qsort(found.entries, found.count, sizeof(*found.entries), compare_entries);
    }
    r = remove_duplicates(&found, err);
    if (r < 0) {
        return r;
    }
    *ret = found;
    found = (ImageFiles){0};
    return 0;
}

bool image_files_has_executable(const ImageFiles *files, const char *path)
{
    for (size_t i = 0; i < files->count; i++) {
        const OciEntry *entry = &files->entries[i];

        if (entry->from && strcmp(entry->to, path + (*path == '/')) == 0) {
            return entry->mode == MODE_OF_LINK || (entry->mode & 0111);
        }
    }
    return false;
}
