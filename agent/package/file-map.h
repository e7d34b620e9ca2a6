/* SPDX-License-Identifier: MIT */
/* Which files of the workspace go where in a package: a `files` array of slipway.json, made into
 * sorted entries, with every directory that leads to them. Image, deb and rpm share it; what else
 * an element says of its files (an owner, a flag) each looks up for itself, by `element`. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>
#include <sys/types.h>

/* No element: a directory that only leads to what is named. */
#define FILE_MAP_PARENT ((size_t)-1)

typedef enum FileMapKind {
    FILE_MAP_FILE,
    FILE_MAP_LINK,
    FILE_MAP_DIRECTORY,
    FILE_MAP_NAME, /* a place without content, which the element's `ghost` asks for */
} FileMapKind;

typedef struct FileMapEntry {
    FileMapKind kind;
    char *from;     /* below the workspace; NULL where only the package has it */
    char *to;       /* in the package, without a leading slash */
    mode_t mode;    /* permission bits; of a link 0777 */
    size_t element; /* of `files`, or FILE_MAP_PARENT */
} FileMapEntry;

typedef struct FileMap {
    FileMapEntry *entries; /* sorted by `to`, byte by byte; each place once */
    size_t count;
    size_t allocated;
} FileMap;

void file_map_done(FileMap *map);
#define _cleanup_file_map_ _cleanup_(file_map_done)

/* `files` is checked against slipway.schema.json and stands there at `pointer`, which every mistake
 * names. An element has `to` and
 *   `from`: a file (`to` is its name, or with a slash at the end its directory), a directory or a
 *           pattern (what is in it, without the fixed part, goes below `to`; those directories are
 *           the element's, too);
 *   or `dir`: true, an empty directory; or `ghost`: true without `from`, a name alone.
 * Modes are 0755 or 0644, by whether anybody may execute, and 0755 for directories, unless `mode`
 * says otherwise (of files and of `dir`); so a umask or a checkout makes no difference. One file
 * for one place twice is fine, and the later element's. -ENOENT: a `from` that matches nothing.
 * -EEXIST: two files for one place. -EINVAL: a socket, fifo or device; a file that is setuid, where
 * no `mode` says so. */
int file_map_find(int workspace_fd, const Json *files, const char *pointer, FileMap *ret,
                  Error *err) _must_check_;

/* The same with the elements alone of which `is_wanted` says so; numbers and mistakes are as if all
 * were looked up. */
typedef bool (*FileMapFilter)(const Json *element, const void *userdata);
int file_map_find_some(int workspace_fd, const Json *files, const char *pointer,
                       FileMapFilter is_wanted, const void *userdata, FileMap *ret,
                       Error *err) _must_check_;

/* File capabilities, which an archive's entry of ours does not have: a program that needs them
 * would fail at run time, far from here. Other extended attributes and ACLs stay behind, as in
 * every checkout. */
bool file_map_has_capabilities(int workspace_fd, const FileMapEntry *entry);

/* NULL where there is none; `path` is with or without its leading slash. */
const FileMapEntry *file_map_get(const FileMap *map, const char *path);
