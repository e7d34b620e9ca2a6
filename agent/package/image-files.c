/* SPDX-License-Identifier: MIT */
#include "agent/package/image-files.h"

#include "agent/package/file-map.h"
#include "protocol/artifact/archive.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MODE_OF_LINK ((mode_t)-1)
#define MODE_DIRECTORY 0755

/* A layer would take it for the order to remove something. */
#define WHITEOUT ".wh."

void image_files_done(ImageFiles *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->entries[i].from);
        free(files->entries[i].to);
    }
    free(files->entries);
    free(files->layers);
    *files = (ImageFiles){0};
}

/* ---- what an image cannot have ----------------------------------------------------------------
 */

static bool has_whiteout(const char *name)
{
    for (const char *part = name; *part; part += strcspn(part, "/"), part += *part == '/') {
        if (text_has_prefix(part, WHITEOUT)) {
            return true;
        }
    }
    return false;
}

static int check_entry(int workspace_fd, const FileMapEntry *entry, Error *err)
{
    struct stat st;

    if (entry->element != FILE_MAP_PARENT && has_whiteout(entry->to)) {
        return error_set(err, -EINVAL, "'%s' cannot be '/%s' in an image",
                         entry->from ? entry->from : "a directory", entry->to);
    }
    if (entry->kind == FILE_MAP_NAME) {
        return error_set(err, -EINVAL, "'/%s' has no content: an image holds no name alone",
                         entry->to);
    }
    if (entry->kind != FILE_MAP_FILE) {
        return 0;
    }
    if (fstatat(workspace_fd, entry->from, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_size > ARCHIVE_BYTES_MAX) {
        return error_set(err, -EFBIG, "'%s' has %lld bytes; an image's file has at most %lld",
                         entry->from, (long long)st.st_size, (long long)ARCHIVE_BYTES_MAX);
    }
    if (file_map_has_capabilities(workspace_fd, entry)) {
        return error_set(err, -EINVAL,
                         "'%s' has file capabilities, which the image would lose: give them to "
                         "the container, and take them off here (setcap -r)",
                         entry->from);
    }
    return 0;
}

static int check_entries(int workspace_fd, const FileMap *map, const char *pointer, Error *err)
{
    for (size_t i = 0; i < map->count; i++) {
        int r = check_entry(workspace_fd, &map->entries[i], err);

        if (r < 0) {
            (void)error_wrap(err, "%s/%zu", pointer, map->entries[i].element);
            return r;
        }
    }
    return 0;
}

/* ---- layers -----------------------------------------------------------------------------------
 */

static bool is_same_name(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The number of the layer that each element's files are in: that of the first element which names
 * it. The caller's; NULL when there is no memory. */
static size_t *number_layers(const Json *files)
{
    size_t n = json_length(files), *numbers = calloc(n + 1, sizeof(*numbers));

    for (size_t i = 0; numbers && i < n; i++) {
        const char *name = json_get_string(json_at(files, i), "layer");

        while (numbers[i] < i &&
               !is_same_name(json_get_string(json_at(files, numbers[i]), "layer"), name)) {
            numbers[i]++;
        }
    }
    return numbers;
}

/* Takes both texts, also when it fails. */
static int add_entry_take(ImageFiles *files, LayerEntry entry)
{
    if (entry.to && files->count == files->allocated) {
        size_t allocated = MAX((size_t)64, files->allocated * 2);
        LayerEntry *entries = reallocarray(files->entries, allocated, sizeof(*entries));

        files->entries = entries ? entries : files->entries;
        files->allocated = entries ? allocated : files->allocated;
    }
    if (!entry.to || files->count == files->allocated) {
        free(entry.from);
        free(entry.to);
        return -ENOMEM;
    }
    files->entries[files->count++] = entry;
    return 0;
}

/* The directories that lead to an entry, in its layer, too, with the modes that they have in all.
 */
static int add_parents(const FileMap *map, const char *to, size_t layer, ImageFiles *files)
{
    int r = 0;

    for (const char *slash = strchr(to, '/'); r == 0 && slash; slash = strchr(slash + 1, '/')) {
        char *parent = strndup(to, (size_t)(slash - to));
        const FileMapEntry *known = parent ? file_map_get(map, parent) : NULL;

        r = add_entry_take(files, (LayerEntry){.to = parent,
                                               .mode = known ? known->mode : MODE_DIRECTORY,
                                               .layer = layer});
    }
    return r;
}

static int compare_entries(const void *a, const void *b)
{
    const LayerEntry *x = a, *y = b;

    return x->layer != y->layer ? (x->layer > y->layer) - (x->layer < y->layer)
                                : strcmp(x->to, y->to);
}

/* Only directories come more than once: a place belongs to one element. */
static void remove_duplicates(ImageFiles *files)
{
    size_t kept = 0;

    for (size_t i = 0; i < files->count; i++) {
        LayerEntry *entry = &files->entries[i];

        if (kept > 0 && compare_entries(&files->entries[kept - 1], entry) == 0) {
            free(entry->from);
            free(entry->to);
        } else {
            files->entries[kept++] = *entry;
        }
    }
    files->count = kept;
}

static int find_layers(const Json *json, ImageFiles *files)
{
    files->layers = calloc(json_length(json) + 1, sizeof(*files->layers));
    if (!files->layers) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < files->count; i++) {
        size_t number = files->entries[i].layer;

        if (i == 0 || files->entries[i - 1].layer != number) {
            files->layers[files->n_layers++] =
                (ImageLayer){.name = json_get_string(json_at(json, number), "layer"), .first = i};
        }
        files->layers[files->n_layers - 1].count++;
    }
    return 0;
}

/* Takes the map's texts. */
static int make_layers(const Json *json, FileMap *map, ImageFiles *files)
{
    _cleanup_free_ size_t *numbers = number_layers(json);
    int r = numbers ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < map->count; i++) {
        FileMapEntry *entry = &map->entries[i];
        size_t layer;

        if (entry->element == FILE_MAP_PARENT) {
            continue; /* comes with those that it leads to */
        }
        layer = numbers[entry->element];
        r = add_parents(map, entry->to, layer, files);
        if (r == 0) {
            char *to = strdup(entry->to); /* the map is still searched by its own */

            r = add_entry_take(
                files,
                (LayerEntry){.from = TAKE_PTR(entry->from),
                             .to = to,
                             .mode = entry->kind == FILE_MAP_LINK ? MODE_OF_LINK : entry->mode,
                             .layer = layer});
        }
    }
    if (r == 0 && files->count > 0) {
        qsort(files->entries, files->count, sizeof(*files->entries), compare_entries);
        remove_duplicates(files);
    }
    return r == 0 ? find_layers(json, files) : r;
}

static bool is_for_platform(const Json *element, const void *platform)
{
    const char *wanted = json_get_string(element, "platform");

    return !wanted || (platform && strcmp(wanted, platform) == 0);
}

int image_files_find(int workspace_fd, const Json *files, const char *platform, ImageFiles *ret,
                     Error *err)
{
    static const char pointer[] = "/package/files";
    _cleanup_file_map_ FileMap map = {0};
    _cleanup_image_files_ ImageFiles found = {0};
    int r = file_map_find_some(workspace_fd, files, pointer, is_for_platform, platform, &map, err);

    r = r == 0 ? check_entries(workspace_fd, &map, pointer, err) : r;
    if (r < 0) {
        return r;
    }
    if (make_layers(files, &map, &found) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret = found;
    found = (ImageFiles){0};
    return 0;
}

bool image_files_has_executable(const ImageFiles *files, const char *path)
{
    for (size_t i = 0; i < files->count; i++) {
        const LayerEntry *entry = &files->entries[i];

        if (entry->from && strcmp(entry->to, path + (*path == '/')) == 0) {
            return entry->mode == MODE_OF_LINK || (entry->mode & 0111);
        }
    }
    return false;
}
