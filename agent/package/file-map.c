/* SPDX-License-Identifier: MIT */
#include "agent/package/file-map.h"

#include "protocol/artifact/file-list.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MODE_EXECUTABLE 0755
#define MODE_PLAIN 0644
#define MODE_DIRECTORY 0755
#define MODE_LINK 0777
#define MODE_SPECIAL (S_ISUID | S_ISGID | S_ISVTX)

/* One element of `files`, while its files are looked up. */
typedef struct Mapping {
    int workspace_fd;
    size_t element;
    const char *from, *to;
    mode_t mode;      /* 0: by the file's own */
    size_t fixed_len; /* of `from`: what all names begin with, left out in the package */
    bool is_one_file; /* `to` is its very name */
} Mapping;

static void entry_done(FileMapEntry *entry)
{
    free(entry->from);
    free(entry->to);
}

void file_map_done(FileMap *map)
{
    for (size_t i = 0; i < map->count; i++) {
        entry_done(&map->entries[i]);
    }
    free(map->entries);
    *map = (FileMap){0};
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* Takes the entry's texts, also when it fails. */
static int add_entry_take(FileMap *map, FileMapEntry entry, Error *err)
{
    if (!entry.to) {
        entry_done(&entry);
        return out_of_memory(err);
    }
    if (map->count == map->allocated) {
        size_t allocated = MAX((size_t)64, map->allocated * 2);
        FileMapEntry *entries = reallocarray(map->entries, allocated, sizeof(*entries));

        if (!entries) {
            entry_done(&entry);
            return out_of_memory(err);
        }
        map->entries = entries;
        map->allocated = allocated;
    }
    map->entries[map->count++] = entry;
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
static char *package_name(const char *directory, const char *name)
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

/* ---- looking up -------------------------------------------------------------------------------
 */

/* What a file's own bits make of it. */
static int choose_mode(const Mapping *mapping, const char *name, const struct stat *st,
                       FileMapEntry *entry, Error *err)
{
    if (S_ISDIR(st->st_mode)) { /* an empty one */
        entry->kind = FILE_MAP_DIRECTORY;
        entry->mode = MODE_DIRECTORY;
        return 0;
    }
    if (S_ISLNK(st->st_mode)) {
        entry->kind = FILE_MAP_LINK;
        entry->mode = MODE_LINK;
        return 0;
    }
    entry->kind = FILE_MAP_FILE;
    entry->mode = mapping->mode;
    if (mapping->mode == 0 && (st->st_mode & MODE_SPECIAL)) {
        return error_set(err, -EINVAL,
                         "'%s' is setuid, setgid or sticky, which has to be meant: name its `mode`",
                         name);
    }
    if (mapping->mode == 0) {
        entry->mode = st->st_mode & 0111 ? MODE_EXECUTABLE : MODE_PLAIN;
    }
    return 0;
}

static int add_file(const Mapping *mapping, const char *name, FileMap *map, Error *err)
{
    const char *rest = mapping->is_one_file ? "" : name + mapping->fixed_len;
    FileMapEntry entry = {.element = mapping->element};
    struct stat st;
    int r;

    if (fstatat(mapping->workspace_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return error_set_errno(err, -errno, "'%s'", name);
    }
    r = choose_mode(mapping, name, &st, &entry, err);
    if (r < 0) {
        return r;
    }
    entry.to = package_name(mapping->to, rest);
    if (entry.to && !*entry.to) {
        r = error_set(err, -EINVAL, "'%s' cannot be '/' in a package", name);
        entry_done(&entry);
        return r;
    }
    if (entry.kind != FILE_MAP_DIRECTORY) {
        entry.from = strdup(name);
        if (!entry.from) {
            entry_done(&entry);
            return out_of_memory(err);
        }
    }
    return add_entry_take(map, entry, err);
}

/* The directories that lead to an entry: from `own_len` bytes of its name on they are its
 * element's, before that nobody's. */
static int add_parents(FileMap *map, size_t i, size_t own_len, Error *err)
{
    for (size_t n = strcspn(map->entries[i].to, "/"); map->entries[i].to[n];
         n += 1 + strcspn(map->entries[i].to + n + 1, "/")) {
        int r = add_entry_take(
            map,
            (FileMapEntry){.kind = FILE_MAP_DIRECTORY,
                           .to = strndup(map->entries[i].to, n),
                           .mode = MODE_DIRECTORY,
                           .element = n >= own_len ? map->entries[i].element : FILE_MAP_PARENT},
            err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int add_matches(const Mapping *mapping, FileMap *map, Error *err)
{
    _cleanup_(file_list_done) FileList list = {.refuses_special = true};
    const char *const patterns[] = {mapping->from, "!.git", "!**/.git"};
    _cleanup_free_ char *root = package_name(mapping->to, "");
    /* The one file's directories are not named by its element; nor is "/". */
    size_t own_len = !root || mapping->is_one_file || !*root ? SIZE_MAX : strlen(root);
    int r = root
                ? file_list_match(mapping->workspace_fd, patterns, ARRAY_SIZE(patterns), &list, err)
                : out_of_memory(err);

    for (size_t i = 0; r == 0 && i < list.count; i++) {
        r = add_file(mapping, list.names[i], map, err);
        r = r == 0 ? add_parents(map, map->count - 1, own_len, err) : r;
    }
    return r;
}

/* `from` is a file, a directory (what is in it goes below `to`), or a pattern. */
static int add_files(Mapping *mapping, FileMap *map, Error *err)
{
    struct stat st;

    mapping->fixed_len = fixed_length(mapping->from);
    if (fstatat(mapping->workspace_fd, mapping->from, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(st.st_mode)) {
            /* Names in the list begin with it and a slash, however it is written here. */
            char *clean = package_name("", mapping->from);

            if (!clean) {
                return out_of_memory(err);
            }
            mapping->fixed_len = strlen(clean) + (*clean ? 1 : 0);
            free(clean);
        } else {
            mapping->is_one_file = mapping->to[strlen(mapping->to) - 1] != '/';
        }
    }
    return add_matches(mapping, map, err);
}

/* A place that is made, not copied. */
static int add_place(const Mapping *mapping, bool is_directory, FileMap *map, Error *err)
{
    FileMapEntry entry = {.kind = is_directory ? FILE_MAP_DIRECTORY : FILE_MAP_NAME,
                          .to = package_name(mapping->to, ""),
                          .element = mapping->element};
    int r;

    entry.mode = mapping->mode ? mapping->mode : is_directory ? MODE_DIRECTORY : MODE_PLAIN;
    if (entry.to && !*entry.to) {
        entry_done(&entry);
        return error_set(err, -EINVAL, "'/' belongs to no package");
    }
    r = add_entry_take(map, entry, err);
    return r == 0 ? add_parents(map, map->count - 1, SIZE_MAX, err) : r;
}

static int add_mapping(int workspace_fd, const Json *file, size_t element, FileMap *map, Error *err)
{
    const char *mode = json_get_string(file, "mode");
    Mapping mapping = {.workspace_fd = workspace_fd,
                       .element = element,
                       .from = json_get_string(file, "from"),
                       .to = json_get_string(file, "to"),
                       .mode = mode ? (mode_t)strtoul(mode, NULL, 8) : 0};

    if (json_get_bool(file, "dir", false) || !mapping.from) {
        return add_place(&mapping, json_get_bool(file, "dir", false), map, err);
    }
    return add_files(&mapping, map, err);
}

/* ---- in order ---------------------------------------------------------------------------------
 */

/* Where several want one place: what has content comes before what is a place alone, an element
 * before nobody, and the later element before the earlier one. */
static int compare_entries(const void *a, const void *b)
{
    const FileMapEntry *x = a, *y = b;
    int r = strcmp(x->to, y->to);

    r = r == 0 ? (y->from != NULL) - (x->from != NULL) : r;
    r = r == 0 ? (x->element == FILE_MAP_PARENT) - (y->element == FILE_MAP_PARENT) : r;
    return r == 0 ? (x->element < y->element) - (x->element > y->element) : r;
}

/* -EEXIST. `first` came first, and is the one of two of which one may be no file. */
static int refuse_both(const FileMapEntry *first, const FileMapEntry *second, const char *pointer,
                       Error *err)
{
    size_t element = second->element == FILE_MAP_PARENT ? first->element : second->element;
    const char *from = second->from;

    return error_set(err, -EEXIST, "%s/%zu: '/%s' would be %s%s%s and %s%s%s in the package",
                     pointer, element, first->to, first->from ? "'" : "",
                     first->from ? first->from : "a name alone", first->from ? "'" : "",
                     from ? "'" : "", from ? from : "a directory", from ? "'" : "");
}

/* One directory may be named often, a file once. */
static int remove_duplicates(FileMap *map, const char *pointer, Error *err)
{
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < map->count; i++) {
        FileMapEntry *entry = &map->entries[i], *last = kept ? &map->entries[kept - 1] : NULL;

        if (!last || strcmp(last->to, entry->to) != 0) {
            map->entries[kept++] = *entry;
            continue;
        }
        if (r == 0 &&
            (last->kind != entry->kind || (last->from && strcmp(last->from, entry->from) != 0))) {
            r = entry->from ? refuse_both(entry, last, pointer, err)
                            : refuse_both(last, entry, pointer, err);
        }
        entry_done(entry);
    }
    map->count = kept;
    return r;
}

int file_map_find_some(int workspace_fd, const Json *files, const char *pointer,
                       FileMapFilter is_wanted, const void *userdata, FileMap *ret, Error *err)
{
    _cleanup_file_map_ FileMap found = {0};

    for (size_t i = 0; i < json_length(files); i++) {
        int r;

        if (is_wanted && !is_wanted(json_at(files, i), userdata)) {
            continue;
        }
        r = add_mapping(workspace_fd, json_at(files, i), i, &found, err);

        if (r < 0) {
            (void)error_wrap(err, "%s/%zu", pointer, i);
            return r;
        }
    }
    if (found.count > 0) {
        int r;

        qsort(found.entries, found.count, sizeof(*found.entries), compare_entries);
        r = remove_duplicates(&found, pointer, err);
        if (r < 0) {
            return r;
        }
    }
    *ret = found;
    found = (FileMap){0};
    return 0;
}

int file_map_find(int workspace_fd, const Json *files, const char *pointer, FileMap *ret,
                  Error *err)
{
    return file_map_find_some(workspace_fd, files, pointer, NULL, NULL, ret, err);
}

bool file_map_has_capabilities(int workspace_fd, const FileMapEntry *entry)
{
    char path[PATH_MAX];
    int n = entry->kind == FILE_MAP_FILE && entry->from
                ? snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", workspace_fd, entry->from)
                : 0;

    return n > 0 && n < (int)sizeof(path) && lgetxattr(path, "security.capability", NULL, 0) > 0;
}

static int compare_to(const void *key, const void *entry)
{
    return strcmp(key, ((const FileMapEntry *)entry)->to);
}

const FileMapEntry *file_map_get(const FileMap *map, const char *path)
{
    return map->count == 0 ? NULL
                           : bsearch(path + (*path == '/'), map->entries, map->count,
                                     sizeof(*map->entries), compare_to);
}
