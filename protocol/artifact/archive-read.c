/* SPDX-License-Identifier: MIT */
/* Two libarchive readers in a row: the first only decompresses, the second reads the tar. So the
 * bytes between them can be counted, and it can be seen whether both came to their proper ends.
 *
 * Nothing here relies on libarchive for safety. It never sees the file system: names are cut into
 * parts and walked with openat(2) and O_NOFOLLOW, from directories that this very archive made;
 * everything is created with O_EXCL, so that no entry can change what an earlier one made. */
#include "protocol/artifact/archive.h"

#include "protocol/artifact/archive-name.h"
#include "protocol/artifact/write-behind.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BLOCK_SIZE ((size_t)256 << 10)

#define PROGRESS_STEP_BYTES ((int64_t)1 << 20)

/* As long as nobody has said that it may be kept, it is its owner's alone. */
#define ASIDE_MODE 0700
#define ROOT_MODE 0755

/* What the tar around the content may take: headers and padding, with a pax header for each entry
 * (libarchive takes at most 1 MiB of it), and the zeros at the end. */
#define FRAME_BYTES_PER_ENTRY ((int64_t)16 << 10)
#define FRAME_BYTES ((int64_t)4 << 20)

typedef struct OpenDirectory {
    char name[ARCHIVE_NAME_PART_MAX + 1];
    int fd;
} OpenDirectory;

typedef struct Unpacking {
    struct archive *source; /* decompresses */
    struct archive *tar;
    ArchiveSource in;
    char *block;
    locale_t locale;
    int64_t tar_bytes; /* that came out of `source` */
    int64_t tar_bytes_max;
    int source_error;  /* -errno, with its sentence in source_text */
    Error source_text; /* libarchive would not carry it from one reader to the other */

    int root_fd;
    mode_t root_mode;    /* that it will have in the end */
    mode_t kept_mode;    /* bits that a new file keeps, if they are asked for */
    OpenDirectory *open; /* the directories that lead to the last entry, outermost first */
    size_t n_open;
    WriteBehind *behind; /* makes the small files */
    char *small;         /* the content of one */
    bool has_said_which; /* the error names the entry that it is about, which may be an earlier one
                          */

    int64_t bytes, bytes_max;
    int64_t entries, entries_max;
    int64_t told_bytes;
    ArchiveProgress progress;
    void *progress_userdata;
} Unpacking;

static void close_directories(Unpacking *u, size_t keep)
{
    if (u->n_open > keep && u->behind) {
        write_behind_leave(u->behind);
    }
    while (u->n_open > keep) {
        u->n_open--;
        u->open[u->n_open].fd = fd_close(u->open[u->n_open].fd);
    }
}

static void unpacking_done(Unpacking *u)
{
    (void)archive_read_free(u->tar);
    (void)archive_read_free(u->source);
    u->behind = write_behind_free(u->behind);
    free(u->small);
    close_directories(u, 0);
    free(u->open);
    free(u->block);
    archive_locale_free(u->locale);
    error_done(&u->source_text);
    u->root_fd = fd_close(u->root_fd);
}

/* ---- the two readers ---------------------------------------------------------------------------
 */

static int fail_source(Unpacking *u, int code, const char *text)
{
    if (!u->source_error) {
        u->source_error = error_set(&u->source_text, code, "%s", text);
    }
    return u->source_error;
}

static la_ssize_t on_read(struct archive *a, void *userdata, const void **ret)
{
    Unpacking *u = userdata;
    ssize_t got = u->in.read(u->block, READ_BLOCK_SIZE, u->in.userdata);

    if (got < 0) {
        int r = (int)got;

        (void)fail_source(u, r, strerror(-r));
        archive_set_error(a, -r, "%s", strerror(-r));
        return -1;
    }
    *ret = u->block;
    return got;
}

/* The next bytes of the tar; 0 at its end. They are libarchive's own, valid until the next call. */
static la_ssize_t on_tar_read(struct archive *a, void *userdata, const void **ret)
{
    Unpacking *u = userdata;
    la_int64_t offset;
    size_t n = 0;
    int r;

    do {
        r = archive_read_data_block(u->source, ret, &n, &offset);
    } while (r == ARCHIVE_OK && n == 0);
    if (r == ARCHIVE_EOF) {
        return 0;
    }
    if (r != ARCHIVE_OK) {
        const char *text = archive_error_string(u->source);

        (void)fail_source(u, -EBADMSG, text ? text : "cannot be decompressed");
    } else if ((int64_t)n > u->tar_bytes_max - u->tar_bytes) {
        (void)fail_source(u, -EBADMSG, "holds more than is allowed");
    }
    if (u->source_error) {
        archive_set_error(a, EIO, "%s", error_text(&u->source_text));
        return -1;
    }
    u->tar_bytes += (int64_t)n;
    return (la_ssize_t)n;
}

static int fail_read(Unpacking *u, struct archive *a, Error *err)
{
    const char *text = archive_error_string(a);

    if (u->source_error) {
        return error_set(err, u->source_error, "%s", error_text(&u->source_text));
    }
    if (archive_errno(a) == ENOMEM) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return error_set(err, -EBADMSG, "%s", text ? text : "is no archive that can be read");
}

static int open_readers(Unpacking *u, Error *err)
{
    struct archive_entry *entry;
    struct archive *a = u->source = archive_read_new();

    u->tar = archive_read_new();
    u->block = malloc(READ_BLOCK_SIZE);
    if (!a || !u->tar || !u->block) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
        archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
        archive_read_support_format_raw(a) != ARCHIVE_OK ||
        archive_read_open(a, u, NULL, on_read, NULL) != ARCHIVE_OK) {
        return fail_read(u, a, err);
    }
    /* The raw format holds one entry, or none where there is not a single byte. */
    if (archive_read_next_header(a, &entry) != ARCHIVE_OK) {
        return u->source_error ? fail_read(u, a, err) : error_set(err, -EBADMSG, "is empty");
    }
    if (archive_read_support_format_tar(u->tar) != ARCHIVE_OK ||
        archive_read_open(u->tar, u, NULL, on_tar_read, NULL) != ARCHIVE_OK) {
        return fail_read(u, u->tar, err);
    }
    return 0;
}

/* After the last entry: the tar's own end has to be there, and the compressed stream's. What stands
 * between the two (tar pads with zeros) is read for that, within the limit. */
static int finish_readers(Unpacking *u, Error *err)
{
    const void *data;
    la_ssize_t n;

    if (archive_read_header_position(u->tar) >= u->tar_bytes) {
        return error_set(err, -EBADMSG, "is cut off: its end is missing");
    }
    do {
        n = on_tar_read(u->tar, u, &data);
    } while (n > 0);
    return n < 0 ? fail_read(u, u->tar, err) : 0;
}

/* ---- directories -------------------------------------------------------------------------------
 */

static int enter_directory(Unpacking *u, const char *part, Error *err)
{
    int at = u->n_open > 0 ? u->open[u->n_open - 1].fd : u->root_fd;
    OpenDirectory *next = &u->open[u->n_open];
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd;

    if (mkdirat(at, part, 0755) < 0 && errno != EEXIST) {
        return error_set_errno(err, -errno, "cannot make directory '%s'", part);
    }
    fd = openat(at, part, flags);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR)) {
        return error_set(err, -EBADMSG, "goes through '%s', which is no directory", part);
    }
    if (fd < 0) {
        return error_set_errno(err, -errno, "cannot open directory '%s'", part);
    }
    next->fd = fd;
    (void)stpncpy(next->name, part, sizeof(next->name) - 1);
    u->n_open++;
    return 0;
}

/* Opens the directory that the first `count` parts name, making what is missing. Entries come
 * sorted, so most of the way is usually open from the entry before. */
static int walk_to(Unpacking *u, const ArchiveName *name, size_t count, int *ret_fd, Error *err)
{
    size_t same = 0;
    int r;

    while (same < MIN(count, u->n_open) && strcmp(name->parts[same], u->open[same].name) == 0) {
        same++;
    }
    close_directories(u, same);
    while (u->n_open < count) {
        r = enter_directory(u, name->parts[u->n_open], err);
        if (r < 0) {
            return r;
        }
    }
    *ret_fd = count > 0 ? u->open[count - 1].fd : u->root_fd;
    return 0;
}

/* ---- entries -----------------------------------------------------------------------------------
 */

static int fail_create(int r, Error *err)
{
    if (r == -EEXIST) {
        return error_set(err, -EBADMSG, "is there twice");
    }
    return error_set_errno(err, r, "cannot make it");
}

static void tell_progress(Unpacking *u, int64_t step_bytes)
{
    if (u->progress && u->bytes - u->told_bytes >= step_bytes) {
        u->told_bytes = u->bytes;
        u->progress(u->bytes, u->progress_userdata);
    }
}

/* All of `data` to where it belongs, in a file or (fd -1) in the content of a small one; what is
 * left out between two blocks of a sparse file stays a hole. */
static int put_block(Unpacking *u, int fd, const char *data, size_t n, int64_t offset)
{
    if (fd < 0) {
        memcpy(u->small + offset, data, n);
        return 0;
    }
    while (n > 0) {
        ssize_t written = pwrite(fd, data, n, offset);

        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        if (written > 0) {
            data += written;
            offset += written;
            n -= (size_t)written;
        }
    }
    return 0;
}

static int unpack_content(Unpacking *u, int fd, int64_t size, Error *err)
{
    int64_t end = 0;
    int r;

    for (;;) {
        la_int64_t offset = 0;
        const void *data;
        size_t n = 0;

        r = archive_read_data_block(u->tar, &data, &n, &offset);
        if (r == ARCHIVE_EOF) {
            break;
        }
        if (r != ARCHIVE_OK) {
            return fail_read(u, u->tar, err);
        }
        if (offset < end || (int64_t)n > size - offset) {
            return error_set(err, -EBADMSG, "has more content than its size says");
        }
        r = put_block(u, fd, data, n, offset);
        if (r < 0) {
            return error_set_errno(err, r, "cannot write it");
        }
        u->bytes += offset + (int64_t)n - end;
        end = offset + (int64_t)n;
        tell_progress(u, PROGRESS_STEP_BYTES);
    }
    if (end < size && fd >= 0 && ftruncate(fd, size) < 0) {
        return error_set_errno(err, -errno, "cannot write it");
    }
    u->bytes += size - end;
    return 0;
}

/* Its content is read before anything is made, which somebody else does. */
static int unpack_small_file(Unpacking *u, int at, const char *part, struct archive_entry *entry,
                             Error *err)
{
    mode_t mode = archive_entry_perm(entry) & 0777;
    size_t size = (size_t)archive_entry_size(entry);
    int r;

    memset(u->small, 0, size);
    r = unpack_content(u, -1, (int64_t)size, err);
    if (r < 0) {
        return r;
    }
    r = write_behind_add(u->behind,
                         &(WriteBehindFile){
                             .path = archive_entry_pathname(entry),
                             .dir_fd = at,
                             .name = part,
                             .mode = mode,
                             .sets_mode = mode & ~u->kept_mode,
                             .mtime = archive_entry_mtime(entry),
                             .data = u->small,
                             .n = size,
                         },
                         err);
    u->has_said_which = r < 0;
    return r;
}

/* Made with its mode: nobody else comes as far as the root before all is there. Only what is taken
 * away from a mode that is asked for has to be set. */
static int unpack_file(Unpacking *u, int at, const char *part, struct archive_entry *entry,
                       Error *err)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = archive_entry_mtime(entry)}};
    mode_t mode = archive_entry_perm(entry) & 0777;
    _cleanup_fd_ int fd = openat(at, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    int r;

    if (fd < 0) {
        return fail_create(-errno, err);
    }
    r = unpack_content(u, fd, archive_entry_size(entry), err);
    if (r < 0) {
        return r;
    }
    if (((mode & ~u->kept_mode) && fchmod(fd, mode) < 0) || futimens(fd, times) < 0) {
        return error_set_errno(err, -errno, "cannot set its mode and time");
    }
    return 0;
}

/* May come twice, and after what is in it: then it only says the mode. The owner can always work in
 * it, so that what was unpacked can be used and removed. */
static int unpack_directory(Unpacking *u, const ArchiveName *name, struct archive_entry *entry,
                            Error *err)
{
    int fd, r = walk_to(u, name, name->count, &fd, err);

    mode_t mode = (archive_entry_perm(entry) & 0777) | 0700;

    if (r < 0) {
        return r;
    }
    if (name->count == 0) {
        u->root_mode = mode;
        return 0;
    }
    return fchmod(fd, mode) < 0 ? error_set_errno(err, -errno, "cannot set its mode") : 0;
}

static int unpack_symlink(int at, const char *part, const ArchiveName *name,
                          struct archive_entry *entry, Error *err)
{
    const char *target = archive_entry_symlink(entry);
    int r = archive_name_check_link(name, target ? target : "", err);

    if (r < 0) {
        return r;
    }
    return symlinkat(target, at, part) < 0 ? fail_create(-errno, err) : 0;
}

/* To a regular file that this archive brought before: a second name of a symbolic link would say
 * something else at its other place, and could lead out there. */
static int unpack_hardlink(Unpacking *u, const ArchiveName *name, const char *target, Error *err)
{
    _cleanup_(archive_name_done) ArchiveName to = {0};
    _cleanup_fd_ int to_fd = -1;
    struct stat st;
    int fd, r;

    r = archive_name_parse(target, &to, err);
    if (r < 0) {
        return error_wrap(err, "is a link to '%s', which", target);
    }
    r = write_behind_wait(u->behind, err);
    if (r < 0) {
        u->has_said_which = true;
        return r;
    }
    r = to.count == 0 ? -EBADMSG : walk_to(u, &to, to.count - 1, &fd, NULL);
    if (r == 0) {
        to_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        r = to_fd < 0 ? -errno : walk_to(u, name, name->count - 1, &fd, err);
    }
    if (r < 0 || fstatat(to_fd, to.parts[to.count - 1], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode)) {
        return error_set(err, -EBADMSG, "is a link to '%s', which is no file before it", target);
    }
    r = linkat(to_fd, to.parts[to.count - 1], fd, name->parts[name->count - 1], 0);
    return r < 0 ? fail_create(-errno, err) : 0;
}

static int unpack_parsed(Unpacking *u, const ArchiveName *name, struct archive_entry *entry,
                         Error *err)
{
    const char *part, *hardlink = archive_entry_hardlink(entry);
    int fd, r;

    if (archive_entry_filetype(entry) == AE_IFDIR && !hardlink) {
        return unpack_directory(u, name, entry, err);
    }
    if (name->count == 0) {
        return error_set(err, -EBADMSG, "names the root, and is no directory");
    }
    if (hardlink) {
        return unpack_hardlink(u, name, hardlink, err);
    }
    r = walk_to(u, name, name->count - 1, &fd, err);
    if (r < 0) {
        return r;
    }
    part = name->parts[name->count - 1];
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        return archive_entry_size(entry) <= (int64_t)WRITE_BEHIND_FILE_MAX
                   ? unpack_small_file(u, fd, part, entry, err)
                   : unpack_file(u, fd, part, entry, err);
    case AE_IFLNK:
        return unpack_symlink(fd, part, name, entry, err);
    default:
        return error_set(err, -EBADMSG, "is a device, fifo or socket");
    }
}

static int unpack_entry(Unpacking *u, struct archive_entry *entry, Error *err)
{
    _cleanup_(archive_name_done) ArchiveName name = {0};
    const char *text = archive_entry_pathname(entry);
    int64_t size = archive_entry_size(entry);
    int r;

    if (++u->entries > u->entries_max) {
        return error_set(err, -EBADMSG, "is one more than the %lld entries allowed",
                         (long long)u->entries_max);
    }
    if (size < 0 || size > u->bytes_max - u->bytes) {
        return error_set(err, -EBADMSG, "goes past the %lld bytes allowed",
                         (long long)u->bytes_max);
    }
    if (!text) {
        return error_set(err, -EBADMSG, "has a name that is not UTF-8");
    }
    r = archive_name_parse(text, &name, err);
    return r < 0 ? r : unpack_parsed(u, &name, entry, err);
}

/* A name that is not ASCII, and was left as it is (archive-name.h). Any other warning means that
 * something in the header was not understood, and guessing is not for us. */
static bool is_translation(const Unpacking *u, int r)
{
    return r == ARCHIVE_WARN && archive_errno(u->tar) == EILSEQ;
}

static int unpack_entries(Unpacking *u, Error *err)
{
    for (;;) {
        struct archive_entry *entry;
        int r = archive_read_next_header(u->tar, &entry);

        if (r == ARCHIVE_EOF) {
            tell_progress(u, 1);
            r = finish_readers(u, err);
            return r < 0 ? r : write_behind_wait(u->behind, err);
        }
        if (r != ARCHIVE_OK && !is_translation(u, r)) {
            return fail_read(u, u->tar, err);
        }
        r = unpack_entry(u, entry, err);
        if (r < 0) {
            const char *text = archive_entry_pathname(entry);

            return u->has_said_which ? r : error_wrap(err, "'%s'", text ? text : "?");
        }
    }
}

/* Made with the mode that it will have, to see what the umask (or the parent's default ACL) leaves
 * of it, and of the mode of all that will be made below it. */
static int make_root(Unpacking *u, int parent_fd, const char *aside, Error *err)
{
    struct stat st;

    if (mkdirat(parent_fd, aside, ROOT_MODE) < 0) {
        return error_set_errno(err, -errno, "cannot make directory '%s'", aside);
    }
    u->root_fd = openat(parent_fd, aside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (u->root_fd < 0 || fstat(u->root_fd, &st) < 0) {
        return error_set_errno(err, -errno, "cannot open directory '%s'", aside);
    }
    u->root_mode = st.st_mode & 0777;
    u->kept_mode = st.st_mode & ROOT_MODE;
    return fchmod(u->root_fd, ASIDE_MODE) < 0
               ? error_set_errno(err, -errno, "cannot set the mode of '%s'", aside)
               : 0;
}

static int unpack_into(Unpacking *u, int parent_fd, const char *aside, Error *err)
{
    _cleanup_archive_locale_ _unused_ locale_t before = (locale_t)0;
    int r;

    u->locale = archive_locale_new(ARCHIVE_LOCALE_READ);
    before = archive_locale_enter(u->locale);
    r = file_remove_tree(parent_fd, aside, err);
    if (r < 0) {
        return r;
    }
    u->open = calloc(ARCHIVE_DEPTH_MAX, sizeof(*u->open));
    u->small = malloc(WRITE_BEHIND_FILE_MAX);
    if (!u->open || !u->small || write_behind_new(&u->behind) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = make_root(u, parent_fd, aside, err);
    r = r == 0 ? open_readers(u, err) : r;
    return r < 0 ? r : unpack_entries(u, err);
}

static int put_in_place(Unpacking *u, int parent_fd, const char *aside, const char *name,
                        Error *err)
{
    int r = u->in.may_keep ? u->in.may_keep(u->in.userdata, err) : 0;

    if (r < 0) {
        return r;
    }
    if (fchmod(u->root_fd, u->root_mode) < 0) {
        return error_set_errno(err, -errno, "cannot set the mode of '%s'", aside);
    }
    r = renameat2(parent_fd, aside, parent_fd, name, RENAME_NOREPLACE);
    if (r < 0 && (errno == EINVAL || errno == ENOSYS)) { /* a file system that cannot */
        r = renameat(parent_fd, aside, parent_fd, name);
    }
    return r < 0 ? error_set_errno(err, -errno, "cannot rename '%s' to '%s'", aside, name) : 0;
}

int archive_unpack_from(const ArchiveSource *source, int parent_fd, const char *name,
                        const ArchiveLimits *limits, ArchiveProgress progress, void *userdata,
                        Error *err)
{
    _cleanup_(unpacking_done) Unpacking u = {
        .in = *source,
        .root_fd = -1,
        .bytes_max = limits && limits->max_bytes ? limits->max_bytes : ARCHIVE_BYTES_MAX,
        .entries_max = limits && limits->max_entries ? limits->max_entries : ARCHIVE_ENTRIES_MAX,
        .progress = progress,
        .progress_userdata = userdata,
    };
    _cleanup_free_ char *aside = NULL;
    int r;

    u.tar_bytes_max = u.bytes_max + FRAME_BYTES + u.entries_max * FRAME_BYTES_PER_ENTRY;
    if (asprintf(&aside, "%s.tmp", name) < 0) {
        aside = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (file_exists(parent_fd, name)) {
        return error_set(err, -EEXIST, "'%s' is there already", name);
    }
    r = unpack_into(&u, parent_fd, aside, err);
    if (r == 0) {
        r = put_in_place(&u, parent_fd, aside, name, err);
    }
    if (r < 0) {
        u.behind = write_behind_free(u.behind);
        close_directories(&u, 0);
        if (file_remove_tree(parent_fd, aside, NULL) < 0) {
            log_debug("cannot remove '%s', leaving it", aside);
        }
    }
    return r;
}

static ssize_t read_fd(void *data, size_t n, void *userdata)
{
    const int *fd = userdata;
    ssize_t got;

    do {
        got = read(*fd, data, n);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

int archive_unpack(int in_fd, int parent_fd, const char *name, const ArchiveLimits *limits,
                   ArchiveProgress progress, void *userdata, Error *err)
{
    const ArchiveSource source = {.read = read_fd, .userdata = &in_fd};

    return archive_unpack_from(&source, parent_fd, name, limits, progress, userdata, err);
}
