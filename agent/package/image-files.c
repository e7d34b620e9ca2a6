/* SPDX-License-Identifier: MIT */
#include "agent/package/image-files.h"

#include "agent/package/file-map.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

#define MODE_OF_LINK ((mode_t)-1)

/* A layer would take it for the order to remove something. */
#define WHITEOUT ".wh."

void image_files_done(ImageFiles *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->entries[i].from);
        free(files->entries[i].to);
    }
    free(files->entries);
    *files = (ImageFiles){0};
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

static int check_names(const FileMap *map, const char *pointer, Error *err)
{
    for (size_t i = 0; i < map->count; i++) {
        const FileMapEntry *entry = &map->entries[i];

        if (entry->element != FILE_MAP_PARENT && has_whiteout(entry->to)) {
            return error_set(err, -EINVAL, "%s/%zu: '%s' cannot be '/%s' in an image", pointer,
                             entry->element, entry->from ? entry->from : "a directory", entry->to);
        }
    }
    return 0;
}

int image_files_find(int workspace_fd, const Json *files, ImageFiles *ret, Error *err)
{
    static const char pointer[] = "/package/files";
    _cleanup_file_map_ FileMap map = {0};
    ImageFiles found = {0};
    int r = file_map_find(workspace_fd, files, pointer, &map, err);

    r = r == 0 ? check_names(&map, pointer, err) : r;
    if (r < 0) {
        return r;
    }
    found.entries = calloc(map.count + 1, sizeof(*found.entries));
    if (!found.entries) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < map.count; i++) {
        FileMapEntry *entry = &map.entries[i];

        found.entries[found.count++] =
            (OciEntry){.from = TAKE_PTR(entry->from),
                       .to = TAKE_PTR(entry->to),
                       .mode = entry->kind == FILE_MAP_LINK ? MODE_OF_LINK : entry->mode};
    }
    found.allocated = map.count + 1;
    *ret = found;
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
