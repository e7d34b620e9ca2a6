/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-files.h"

#include "agent/package/rpm/rpm-directories.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER "root"

static const struct {
    const char *member;
    uint32_t flag;
} members[] = {
    {"config", RPM_FILE_CONFIG},        {"noreplace", RPM_FILE_CONFIG | RPM_FILE_NO_REPLACE},
    {"missingok", RPM_FILE_MISSING_OK}, {"doc", RPM_FILE_DOC},
    {"license", RPM_FILE_LICENSE},      {"ghost", RPM_FILE_GHOST},
};

static const uint16_t types[] = {
    [FILE_MAP_FILE] = S_IFREG,
    [FILE_MAP_LINK] = S_IFLNK,
    [FILE_MAP_DIRECTORY] = S_IFDIR,
    [FILE_MAP_NAME] = S_IFREG,
};

void rpm_files_done(RpmFiles *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->list[i].link_target);
    }
    free(files->list);
    file_map_done(&files->map);
    *files = (RpmFiles){0};
}

/* ---- one file ---------------------------------------------------------------------------------
 */

static bool has_control(const char *name)
{
    for (; *name; name++) {
        if ((unsigned char)*name < ' ' || *name == 0x7f) {
            return true;
        }
    }
    return false;
}

/* rpm writes the names down as UTF-8, dnf into XML. */
static int check_name(const char *to, Error *err)
{
    if (!text_is_utf8(to, strlen(to))) {
        return error_set(err, -EINVAL, "the name '/%s' is not UTF-8, which an rpm needs", to);
    }
    if (has_control(to)) {
        return error_set(err, -EINVAL, "the name '/%s' has a control character", to);
    }
    return 0;
}

/* A file in /etc is what an administrator changes, unless it is said not to be. */
static uint32_t get_flags(const FileMapEntry *entry, const Json *element)
{
    uint32_t flags = 0;

    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        if (json_get_bool(element, members[i].member, false)) {
            flags |= members[i].flag;
        }
    }
    if (entry->kind == FILE_MAP_FILE && text_has_prefix(entry->to, "etc/") &&
        !json_has(element, "config") && !json_has(element, "noreplace")) {
        flags |= RPM_FILE_CONFIG | RPM_FILE_NO_REPLACE;
    }
    return entry->kind == FILE_MAP_DIRECTORY ? flags & ~(uint32_t)RPM_FILE_CONFIG : flags;
}

static int read_target(int workspace_fd, RpmFile *file, Error *err)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(workspace_fd, file->entry->from, target, sizeof(target));

    if (n < 0 || n == (ssize_t)sizeof(target)) {
        return error_set_errno(err, n < 0 ? -errno : -ENAMETOOLONG, "'%s'", file->entry->from);
    }
    if (!text_is_utf8(target, (size_t)n)) {
        return error_set(err, -EINVAL, "the target of the link '%s' is not UTF-8",
                         file->entry->from);
    }
    file->link_target = strndup(target, (size_t)n);
    file->size_bytes = (uint32_t)n;
    return file->link_target ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int read_size(int workspace_fd, RpmFile *file, Error *err)
{
    struct stat st;

    if (fstatat(workspace_fd, file->entry->from, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return error_set_errno(err, -errno, "'%s'", file->entry->from);
    }
    if (st.st_size > RPM_CONTENT_BYTES_MAX) {
        return error_set(err, -EFBIG,
                         "'%s' has 4 GiB or more, which the payload of an rpm cannot hold",
                         file->entry->from);
    }
    file->size_bytes = (uint32_t)st.st_size;
    return 0;
}

/* A package would silently lose what lets the program work. */
static int check_capabilities(int workspace_fd, const RpmFile *file, Error *err)
{
    if (!file->capabilities && file_map_has_capabilities(workspace_fd, file->entry)) {
        return error_set(err, -EINVAL,
                         "'%s' has capabilities, which have to be meant: name them as "
                         "`capabilities` (getcap tells them)",
                         file->entry->from);
    }
    return 0;
}

static int describe_file(int workspace_fd, const FileMapEntry *entry, const Json *element,
                         RpmFile *file, Error *err)
{
    const char *user = json_get_string(element, "owner"),
               *group = json_get_string(element, "group");
    int r = check_name(entry->to, err);

    *file = (RpmFile){.entry = entry,
                      .user = user ? user : OWNER,
                      .group = group ? group : OWNER,
                      .flags = get_flags(entry, element),
                      .mode = types[entry->kind] | (uint16_t)entry->mode};
    if (r == 0 && entry->kind == FILE_MAP_LINK) {
        r = read_target(workspace_fd, file, err);
    }
    if (r == 0 && entry->kind == FILE_MAP_FILE) {
        file->capabilities = json_get_string(element, "capabilities");
        r = read_size(workspace_fd, file, err);
        r = r == 0 ? check_capabilities(workspace_fd, file, err) : r;
    }
    return r;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static bool is_left_out(const FileMapEntry *entry)
{
    return entry->kind == FILE_MAP_DIRECTORY && rpm_directory_is_the_systems(entry->to);
}

static int describe_files(int workspace_fd, const Json *elements, const char *pointer,
                          RpmFiles *files, Error *err)
{
    int64_t total = 0;

    for (size_t i = 0; i < files->map.count; i++) {
        const FileMapEntry *entry = &files->map.entries[i];
        const Json *element =
            entry->element == FILE_MAP_PARENT ? NULL : json_at(elements, entry->element);
        RpmFile *file = &files->list[files->count];
        int r;

        if (is_left_out(entry)) {
            continue;
        }
        files->count++;
        r = describe_file(workspace_fd, entry, element, file, err);
        total += r == 0 && entry->kind == FILE_MAP_FILE ? file->size_bytes : 0;
        if (r == 0 && total > RPM_CONTENT_BYTES_MAX) {
            r = error_set(err, -EFBIG,
                          "up to '/%s' there are 4 GiB or more, more than an rpm holds", entry->to);
        }
        if (r < 0) {
            (void)(element ? error_wrap(err, "%s/%zu", pointer, entry->element) : r);
            return r;
        }
        files->has_config |= (file->flags & RPM_FILE_CONFIG) != 0;
        files->has_capabilities |= file->capabilities != NULL;
    }
    return 0;
}

int rpm_files_find(int workspace_fd, const Json *elements, const char *pointer, RpmFiles *ret,
                   Error *err)
{
    _cleanup_rpm_files_ RpmFiles files = {0};
    int r = file_map_find(workspace_fd, elements, pointer, &files.map, err);

    if (r < 0) {
        return r;
    }
    files.list = calloc(files.map.count + 1, sizeof(*files.list));
    if (!files.list) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = describe_files(workspace_fd, elements, pointer, &files, err);
    if (r < 0) {
        return r;
    }
    *ret = files;
    files = (RpmFiles){0};
    return 0;
}

/* ---- the header -------------------------------------------------------------------------------
 */

/* A directory that the last file was in, or below. */
typedef struct OpenDirectory {
    const char *to; /* of some file in it; its first `len` bytes are the directory's, with slash */
    size_t len;
    uint32_t index;
} OpenDirectory;

typedef struct Directories {
    OpenDirectory *stack;
    size_t depth;
    uint32_t count;
} Directories;

static int append_directory(const char *to, size_t len, RpmHeader *header)
{
    _cleanup_free_ char *directory = NULL;

    if (asprintf(&directory, "/%.*s", (int)len, to) < 0) {
        directory = NULL;
        return -ENOMEM;
    }
    return rpm_header_append_text(header, RPM_DIRECTORY_NAMES, directory);
}

/* "/usr/bin/" once for all files in it: an index leads there. Files are sorted by their whole name,
 * so what begins with a directory's name stands together, and one that was left never comes again.
 */
static int write_name(const char *to, Directories *open, RpmHeader *header)
{
    const char *slash = strrchr(to, '/');
    size_t len = slash ? (size_t)(slash + 1 - to) : 0;
    OpenDirectory *last;
    int r = 0;

    for (; open->depth > 0; open->depth--) {
        last = &open->stack[open->depth - 1];
        if (last->len <= len && memcmp(last->to, to, last->len) == 0) {
            break;
        }
    }
    last = &open->stack[open->depth];
    if (open->depth == 0 || last[-1].len != len) {
        *last = (OpenDirectory){.to = to, .len = len, .index = open->count++};
        open->depth++;
        r = append_directory(to, len, header);
    }
    r = r == 0 ? rpm_header_append_int32(header, RPM_DIRECTORY_INDEXES,
                                         open->stack[open->depth - 1].index)
               : r;
    return r == 0 ? rpm_header_append_text(header, RPM_BASE_NAMES, to + len) : r;
}

static int write_names(const RpmFiles *files, RpmHeader *header)
{
    Directories open = {.stack = calloc(files->count + 1, sizeof(*open.stack))};
    int r = open.stack ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < files->count; i++) {
        r = write_name(files->list[i].entry->to, &open, header);
    }
    free(open.stack);
    return r;
}

static int write_file(const RpmFile *file, bool has_capabilities, uint32_t inode, uint32_t time,
                      RpmHeader *header)
{
    uint32_t verify = file->flags & RPM_FILE_GHOST ? RPM_VERIFY_GHOST : RPM_VERIFY_ALL;
    const char *capabilities = file->capabilities ? file->capabilities : "";
    const struct {
        RpmTag tag;
        uint32_t value;
    } numbers[] = {
        {RPM_FILE_SIZES, file->size_bytes}, {RPM_FILE_TIMES, time}, {RPM_FILE_FLAGS, file->flags},
        {RPM_FILE_VERIFY, verify},          {RPM_FILE_DEVICES, 1},  {RPM_FILE_INODES, inode},
    };
    const struct {
        RpmTag tag;
        const char *text;
    } texts[] = {
        {RPM_FILE_DIGESTS, file->digest},
        {RPM_FILE_LINKS, file->link_target ? file->link_target : ""},
        {RPM_FILE_USERS, file->user},
        {RPM_FILE_GROUPS, file->group},
        {RPM_FILE_LANGUAGES, ""},
    };
    int r = rpm_header_append_int16(header, RPM_FILE_MODES, file->mode);

    r = r == 0 ? rpm_header_append_int16(header, RPM_FILE_RDEVS, 0) : r;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(numbers); i++) {
        r = rpm_header_append_int32(header, numbers[i].tag, numbers[i].value);
    }
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++) {
        r = rpm_header_append_text(header, texts[i].tag, texts[i].text);
    }
    return r == 0 && has_capabilities
               ? rpm_header_append_text(header, RPM_FILE_CAPABILITIES, capabilities)
               : r;
}

int rpm_files_write(const RpmFiles *files, uint32_t time, RpmHeader *header)
{
    uint64_t total = 0;
    int r = write_names(files, header);

    for (size_t i = 0; r == 0 && i < files->count; i++) {
        const RpmFile *file = &files->list[i];

        r = write_file(file, files->has_capabilities, (uint32_t)i + 1, time, header);
        total += file->flags & RPM_FILE_GHOST ? 0 : file->size_bytes;
    }
    if (r == 0 && files->count > 0) {
        r = rpm_header_append_int32(header, RPM_FILE_DIGEST_ALGORITHM, RPM_SHA256);
    }
    return r == 0 ? rpm_header_append_int32(header, RPM_SIZE, (uint32_t)total) : r;
}
