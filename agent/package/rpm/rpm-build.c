/* SPDX-License-Identifier: MIT */
/* A package is a lead that nobody reads any more, a header about the header, the header, and the
 * payload. The header has the digests of payload and files, so the payload is written first, aside;
 * the header about the header has the header's digest, so it is made last. */
#include "agent/package/rpm/rpm-build.h"

#include "agent/package/rpm/rpm-arch.h"
#include "agent/package/rpm/rpm-payload.h"
#include "agent/package/rpm/rpm-scripts.h"
#include "agent/package/rpm/rpm-sign.h"
#include "agent/package/rpm/rpm-version.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POINTER "/package/rpm"

#define DEFAULT_RELEASE "1"
#define DEFAULT_GROUP "Unspecified"
#define DEFAULT_COMPRESSION COMPRESSION_GZIP

#define UNITS_DIRECTORY "/usr/lib/systemd/system/"

/* What is the same in every package, so that none depends on the host that made it. */
#define BUILD_HOST "slipway"
#define RPM_FORMAT_VERSION "4.14.0"

/* Aside, while the header is made. */
#define PAYLOAD_FILE "rpm-payload.tmp"
#define PACKAGE_FILE "rpm.tmp"

#define COPY_SIZE ((size_t)256 << 10)

#define LEAD_SIZE 96

/* Of one package, while it is made. */
typedef struct Building {
    const PackageRequest *request;
    const GpgKey *key; /* NULL: it is not signed */
    const Json *rpm;   /* `package.rpm` */
    Json *elements;    /* `files`, with the units */
    RpmBuilt built;
    int64_t epoch; /* -1: none */
    char *evr;     /* [EPOCH:]VERSION-RELEASE */
    RpmFiles files;
    RpmScripts scripts;
    Compression compression;
    RpmPayload payload;
    RpmRelations relations[_RPM_RELATION_KIND_MAX];
} Building;

void rpm_built_done(RpmBuilt *built)
{
    free(built->file);
    free(built->name);
    free(built->epoch);
    free(built->version);
    free(built->release);
    free(built->arch);
    *built = (RpmBuilt){0};
}

static void building_done(Building *b)
{
    rpm_built_done(&b->built);
    rpm_files_done(&b->files);
    rpm_scripts_done(&b->scripts);
    for (size_t i = 0; i < _RPM_RELATION_KIND_MAX; i++) {
        rpm_relations_done(&b->relations[i]);
    }
    (void)json_unref(b->elements);
    free(b->evr);
}

bool rpm_is_wanted(const Json *recipe)
{
    return json_pointer(recipe, POINTER) != NULL;
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- what it is called ------------------------------------------------------------------------
 */

static int copy_text(const char *text, char **ret)
{
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

static int set_version(Building *b, Error *err)
{
    const PackageRequest *request = b->request;
    const char *declared = json_get_string(b->rpm, "version");
    int r;

    if (declared) {
        return copy_text(declared, &b->built.version) < 0 ? out_of_memory(err) : 0;
    }
    r = rpm_version_from_describe(request->version, request->name, request->commit,
                                  request->committed_at, &b->built.version, err);
    return r < 0 ? error_wrap(err, POINTER "/version") : 0;
}

static int set_names(Building *b, Error *err)
{
    const char *name = json_get_string(b->rpm, "name"),
               *release = json_get_string(b->rpm, "release");
    char epoch[32] = "0";
    int r = set_version(b, err);

    if (r < 0) {
        return r;
    }
    b->epoch = json_get_int(b->rpm, "epoch", -1);
    if (b->epoch >= 0) {
        (void)snprintf(epoch, sizeof(epoch), "%" PRId64, b->epoch);
    }
    r = copy_text(name ? name : b->request->name, &b->built.name);
    r = r == 0 ? copy_text(epoch, &b->built.epoch) : r;
    r = r == 0 ? copy_text(release ? release : DEFAULT_RELEASE, &b->built.release) : r;
    if (r == 0 && asprintf(&b->evr, "%s%s%s-%s", b->epoch < 0 ? "" : epoch, b->epoch < 0 ? "" : ":",
                           b->built.version, b->built.release) < 0) {
        b->evr = NULL;
        r = -ENOMEM;
    }
    return r < 0 ? out_of_memory(err) : 0;
}

/* ---- what is in it ----------------------------------------------------------------------------
 */

/* Units are files like others; a missing one is better named by its own pointer. */
static int add_unit(Building *b, const Json *unit, size_t i, Error *err)
{
    _cleanup_json_ Json *file = json_new_object();
    const char *from = json_get_string(unit, "from");
    _cleanup_free_ char *to = NULL;
    struct stat st;
    int r;

    if (fstatat(b->request->workspace_fd, from, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return error_set_errno(err, -errno, POINTER "/units/%zu/from: '%s'", i, from);
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(err, -EINVAL, POINTER "/units/%zu/from: '%s' is no file", i, from);
    }
    if (asprintf(&to, UNITS_DIRECTORY "%s", rpm_unit_name(unit)) < 0) {
        to = NULL;
        return out_of_memory(err);
    }
    r = file ? json_set_string(file, "from", from) : -ENOMEM;
    r = r == 0 ? json_set_string(file, "to", to) : r;
    r = r == 0 ? json_set_string(file, "mode", "0644") : r;
    r = r == 0 ? json_append_take(b->elements, TAKE_PTR(file)) : r;
    return r < 0 ? out_of_memory(err) : 0;
}

/* Without `files`, the package has what the image has. */
static int find_files(Building *b, Error *err)
{
    const Json *own = json_get(b->rpm, "files");
    const Json *images = json_pointer(b->request->recipe, "/package/files");
    const Json *units = json_get(b->rpm, "units");
    int r;

    if (!own && !images && json_length(units) == 0) {
        return error_set(err, -EINVAL,
                         POINTER ": it has no `files`, and there is no `package.files` that it "
                                 "could take (a package without any says [])");
    }
    if (own || images) {
        r = json_copy(own ? own : images, &b->elements);
    } else {
        b->elements = json_new_array();
        r = b->elements ? 0 : -ENOMEM;
    }
    if (r < 0) {
        return out_of_memory(err);
    }
    for (size_t i = 0; r == 0 && i < json_length(units); i++) {
        r = add_unit(b, json_at(units, i), i, err);
    }
    return r == 0 ? rpm_files_find(b->request->workspace_fd, b->elements,
                                   own ? POINTER "/files" : "/package/files", &b->files, err)
                  : r;
}

static int set_file_name(Building *b, Error *err)
{
    const char *arch;
    int r = rpm_arch_find(b->request->workspace_fd, &b->files, json_get_string(b->rpm, "arch"),
                          &arch, err);

    if (r < 0) {
        return r;
    }
    r = copy_text(arch, &b->built.arch);
    if (r == 0 && asprintf(&b->built.file, "%s-%s-%s.%s.rpm", b->built.name, b->built.version,
                           b->built.release, arch) < 0) {
        b->built.file = NULL;
        r = -ENOMEM;
    }
    return r < 0 ? out_of_memory(err) : 0;
}

static int collect(Building *b, Error *err)
{
    const char *compression = json_get_string(b->rpm, "compression");
    int r = set_names(b, err);

    b->compression = compression ? compression_from_name(compression) : DEFAULT_COMPRESSION;
    r = r == 0 ? find_files(b, err) : r;
    r = r == 0 ? set_file_name(b, err) : r;
    return r == 0 ? rpm_scripts_read(b->request->workspace_fd, json_get(b->rpm, "scripts"),
                                     json_get(b->rpm, "units"), &b->scripts, err)
                  : r;
}

/* ---- relations --------------------------------------------------------------------------------
 */

/* What rpm itself has to be able to do. */
static int add_features(const Building *b, RpmRelations *requires)
{
    const struct {
        bool is_needed;
        const char *name, *version;
    } rows[] = {
        {true, "CompressedFileNames", "3.0.4-1"},
        {true, "FileDigests", "4.6.0-1"},
        {true, "PayloadFilesHavePrefix", "4.0-1"},
        {b->compression == COMPRESSION_XZ, "PayloadIsXz", "5.2-1"},
        {b->compression == COMPRESSION_ZSTD, "PayloadIsZstd", "5.4.18-1"},
        {b->files.has_capabilities, "FileCaps", "4.6.1-1"},
        {strchr(b->evr, '~') != NULL, "TildeInVersions", "4.10.0-1"},
        {strchr(b->evr, '^') != NULL, "CaretInVersions", "4.15.0-1"},
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rows); i++) {
        r = rows[i].is_needed ? rpm_relations_add_feature(requires, rows[i].name, rows[i].version)
                              : 0;
    }
    return r;
}

/* What rpmbuild adds of itself: the package is what it is called, and has a configuration of its
 * version. */
static int add_own_relations(Building *b)
{
    RpmRelations *provides = &b->relations[RPM_PROVIDES], *requires = &b->relations[RPM_REQUIRES];
    RpmRelations *orders = &b->relations[RPM_ORDERS];
    _cleanup_free_ char *config = NULL;
    int r = rpm_relations_add(provides, b->built.name, RPM_SENSE_EQUAL, b->evr);

    if (asprintf(&config, "config(%s)", b->built.name) < 0) {
        config = NULL;
        return -ENOMEM;
    }
    if (r == 0 && b->files.has_config) {
        r = rpm_relations_add(provides, config, RPM_SENSE_EQUAL | RPM_SENSE_CONFIG, b->evr);
        r = r == 0 ? rpm_relations_add(requires, config, RPM_SENSE_EQUAL | RPM_SENSE_CONFIG, b->evr)
                   : r;
    }
    if (r == 0 && json_length(json_get(b->rpm, "units")) > 0) {
        r = rpm_relations_add(orders, "systemd",
                              RPM_SENSE_POST | RPM_SENSE_PREUN | RPM_SENSE_POSTUN, "");
    }
    return r == 0 ? add_features(b, requires) : r;
}

static int add_relations(Building *b, Error *err)
{
    for (size_t kind = 0; kind < _RPM_RELATION_KIND_MAX; kind++) {
        const char *name = rpm_relation_kind_name((RpmRelationKind)kind);
        char pointer[64];
        int r;

        (void)snprintf(pointer, sizeof(pointer), POINTER "/%s", name);
        r = rpm_relations_add_json(&b->relations[kind], json_get(b->rpm, name), pointer, err);
        if (r < 0) {
            return r;
        }
    }
    return add_own_relations(b) < 0 ? out_of_memory(err) : 0;
}

/* ---- the header -------------------------------------------------------------------------------
 */

/* At noon, as rpm has it; the day is checked with slipway.json. */
static int add_changelog(const Json *changelog, RpmHeader *header, Error *err)
{
    int64_t before_us = INT64_MAX;

    for (size_t i = 0; i < json_length(changelog); i++) {
        const Json *entry = json_at(changelog, i), *changes = json_get(entry, "changes");
        const char *date = json_get_string(entry, "date"),
                   *version = json_get_string(entry, "version");
        _cleanup_buffer_ Buffer name = BUFFER_INIT(0), text = BUFFER_INIT(0), time = BUFFER_INIT(0);
        int64_t at_us;
        int r = buffer_append_format(&time, "%sT12:00:00Z", date);

        if (r == 0 && clock_parse(buffer_text(&time), &at_us) < 0) {
            return error_set(err, -EINVAL, POINTER "/changelog/%zu/date: '%s' is no day", i, date);
        }
        if (r == 0 && at_us > before_us) {
            return error_set(err, -EINVAL,
                             POINTER "/changelog/%zu/date: '%s' is later than the one before; the "
                                     "newest comes first",
                             i, date);
        }
        r = r == 0 ? buffer_append_format(&name, "%s%s%s", json_get_string(entry, "author"),
                                          version ? " - " : "", version ? version : "")
                   : r;
        for (size_t k = 0; r == 0 && k < json_length(changes); k++) {
            r = buffer_append_format(&text, "%s- %s", k > 0 ? "\n" : "",
                                     json_as_string(json_at(changes, k)));
        }
        before_us = at_us;
        r = r == 0
                ? rpm_header_append_int32(header, RPM_CHANGELOG_TIME, (uint32_t)(at_us / 1000000))
                : r;
        r = r == 0 ? rpm_header_append_text(header, RPM_CHANGELOG_NAME, buffer_text(&name)) : r;
        r = r == 0 ? rpm_header_append_text(header, RPM_CHANGELOG_TEXT, buffer_text(&text)) : r;
        if (r < 0) {
            return out_of_memory(err);
        }
    }
    return 0;
}

static int add_texts(const Building *b, RpmHeader *header)
{
    const Json *rpm = b->rpm;
    const char *summary = json_get_string(rpm, "summary");
    const char *description = json_get_string(rpm, "description");
    const char *group = json_get_string(rpm, "group");
    _cleanup_free_ char *source = NULL;
    char level[8];
    const struct {
        RpmTag tag;
        const char *text;
    } texts[] = {
        {RPM_NAME, b->built.name},
        {RPM_VERSION, b->built.version},
        {RPM_RELEASE, b->built.release},
        {RPM_BUILD_HOST, BUILD_HOST},
        {RPM_VENDOR, json_get_string(rpm, "vendor")},
        {RPM_LICENSE, json_get_string(rpm, "license")},
        {RPM_PACKAGER, json_get_string(rpm, "packager")},
        {RPM_URL, json_get_string(rpm, "url")},
        {RPM_OS, "linux"},
        {RPM_ARCH, b->built.arch},
        {RPM_RPM_VERSION, RPM_FORMAT_VERSION},
        {RPM_PAYLOAD_FORMAT, "cpio"},
        {RPM_PAYLOAD_COMPRESSOR, compression_name(b->compression)},
        {RPM_PAYLOAD_FLAGS, level},
        {RPM_ENCODING, "utf-8"},
    };
    int r = rpm_header_append_text(header, RPM_LANGUAGES, "C");

    (void)snprintf(level, sizeof(level), "%d", compression_level(b->compression));
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++) {
        r = rpm_header_set_text(header, texts[i].tag, texts[i].text);
    }
    r = r == 0 ? rpm_header_set_translated(header, RPM_SUMMARY, summary) : r;
    r = r == 0 ? rpm_header_set_translated(header, RPM_DESCRIPTION,
                                           description ? description : summary)
               : r;
    r = r == 0 ? rpm_header_set_translated(header, RPM_GROUP, group ? group : DEFAULT_GROUP) : r;
    /* Without it, rpm takes the package for a source package. */
    if (r == 0 && asprintf(&source, "%s-%s-%s.src.rpm", b->built.name, b->built.version,
                           b->built.release) < 0) {
        source = NULL;
        r = -ENOMEM;
    }
    return r == 0 ? rpm_header_set_text(header, RPM_SOURCE_RPM, source) : r;
}

static int add_numbers(const Building *b, RpmHeader *header)
{
    int r = rpm_header_append_int32(header, RPM_BUILD_TIME, (uint32_t)b->request->committed_at);

    r = r == 0 && b->epoch >= 0 ? rpm_header_append_int32(header, RPM_EPOCH, (uint32_t)b->epoch)
                                : r;
    r = r == 0 ? rpm_header_append_text(header, RPM_PAYLOAD_DIGEST, b->payload.sha256) : r;
    r = r == 0 ? rpm_header_append_text(header, RPM_PAYLOAD_DIGEST_INSIDE, b->payload.inside_sha256)
               : r;
    return r == 0 ? rpm_header_append_int32(header, RPM_PAYLOAD_DIGEST_ALGORITHM, RPM_SHA256) : r;
}

static int make_header(Building *b, Buffer *out, Error *err)
{
    _cleanup_rpm_header_ RpmHeader header = {0};
    RpmRelations *requires = &b->relations[RPM_REQUIRES];
    int r = add_changelog(json_get(b->rpm, "changelog"), &header, err);

    if (r < 0) {
        return r;
    }
    r = add_texts(b, &header);
    r = r == 0 ? add_numbers(b, &header) : r;
    r = r == 0 ? rpm_files_write(&b->files, (uint32_t)b->request->committed_at, &header) : r;
    r = r == 0 ? rpm_scripts_write(&b->scripts, &header, requires) : r;
    for (size_t kind = 0; r == 0 && kind < _RPM_RELATION_KIND_MAX; kind++) {
        r = rpm_relations_write(&b->relations[kind], (RpmRelationKind)kind, &header);
    }
    r = r == 0 ? rpm_header_format(&header, RPM_REGION, out) : r;
    return r < 0 ? error_set_errno(err, r, "the header of the package cannot be made") : 0;
}

/* ---- the file ---------------------------------------------------------------------------------
 */

/* Nothing but its first bytes is looked at, by file(1) and its like. */
static void make_lead(const Building *b, unsigned char lead[static LEAD_SIZE])
{
    static const unsigned char head[] = {0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0, 0, 1};

    memset(lead, 0, LEAD_SIZE);
    memcpy(lead, head, sizeof(head));
    (void)snprintf((char *)lead + sizeof(head), 66, "%s-%s-%s", b->built.name, b->built.version,
                   b->built.release);
    lead[77] = 1; /* Linux */
    lead[79] = 5; /* signatures are headers */
}

static int add_header_digests(const Buffer *header, RpmHeader *signature)
{
    static const struct {
        DigestKind kind;
        RpmTag tag;
    } rows[] = {{DIGEST_SHA1, RPM_SIGNATURE_SHA1}, {DIGEST_SHA256, RPM_SIGNATURE_SHA256}};
    char hex[DIGEST_HEX_SIZE];
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rows); i++) {
        _cleanup_(digest_freep) Digest *digest = NULL;

        r = digest_new_kind(rows[i].kind, &digest, NULL);
        r = r == 0 ? digest_update(digest, header->data, header->len) : r;
        r = r == 0 ? digest_finish(digest, hex) : r;
        r = r == 0 ? rpm_header_set_text(signature, rows[i].tag, hex) : r;
    }
    return r;
}

/* The header about the header, padded so that the header begins at a multiple of eight. */
static int make_signature(const Building *b, const Buffer *header, Buffer *out, Error *err)
{
    static const char zeros[8];
    _cleanup_rpm_header_ RpmHeader signature = {0};
    int r = b->key ? rpm_sign(b->key, header, &signature, err) : 0;

    if (r < 0) {
        return r;
    }
    r = add_header_digests(header, &signature);
    r = r == 0 ? rpm_header_append_int32(&signature, RPM_SIGNATURE_SIZE,
                                         (uint32_t)((int64_t)header->len + b->payload.size_bytes))
               : r;
    r = r == 0 ? rpm_header_append_int32(&signature, RPM_SIGNATURE_PAYLOAD_SIZE,
                                         (uint32_t)b->payload.inside_bytes)
               : r;
    r = r == 0 ? rpm_header_format(&signature, RPM_SIGNATURE_REGION, out) : r;
    r = r == 0 ? buffer_append(out, zeros, -out->len & (sizeof(zeros) - 1)) : r;
    return r < 0 ? error_set_errno(err, r, "the signature's header cannot be made") : 0;
}

typedef struct Output {
    int fd;
    Digest *digest;
    int64_t size_bytes;
} Output;

static int put(Output *out, const void *data, size_t n, Error *err)
{
    int r = fd_write_all(out->fd, data, n);

    r = r == 0 ? digest_update(out->digest, data, n) : r;
    out->size_bytes += (int64_t)n;
    return r < 0 ? error_set_errno(err, r, "cannot write the package") : 0;
}

static int put_payload(Output *out, int payload_fd, Error *err)
{
    _cleanup_free_ char *block = malloc(COPY_SIZE);
    ssize_t n;
    int r = 0;

    if (!block) {
        return out_of_memory(err);
    }
    for (off_t done = 0; r == 0 && (n = fd_pread_full(payload_fd, block, COPY_SIZE, done)) != 0;
         done += n) {
        r = n < 0 ? error_set_errno(err, (int)n, "cannot read the payload")
                  : put(out, block, (size_t)n, err);
    }
    return r;
}

static int write_package(Building *b, int payload_fd, int fd, Error *err)
{
    _cleanup_(digest_freep) Digest *digest = NULL;
    _cleanup_buffer_ Buffer header = BUFFER_INIT(2 * RPM_HEADER_BYTES_MAX);
    _cleanup_buffer_ Buffer signature = BUFFER_INIT(0);
    unsigned char lead[LEAD_SIZE];
    Output out = {.fd = fd};
    int r = digest_new(&digest, err);

    out.digest = digest;
    make_lead(b, lead);
    r = r == 0 ? make_header(b, &header, err) : r;
    r = r == 0 ? make_signature(b, &header, &signature, err) : r;
    r = r == 0 ? put(&out, lead, sizeof(lead), err) : r;
    r = r == 0 ? put(&out, signature.data, signature.len, err) : r;
    r = r == 0 ? put(&out, header.data, header.len, err) : r;
    r = r == 0 ? put_payload(&out, payload_fd, err) : r;
    if (r < 0) {
        return r;
    }
    if (digest_finish(digest, b->built.sha256) < 0 || fsync(fd) < 0) {
        return error_set_errno(err, -EIO, "cannot write the package");
    }
    b->built.size_bytes = out.size_bytes;
    return 0;
}

static int open_aside(int dir_fd, const char *name, Error *err)
{
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

    return fd < 0 ? error_set_errno(err, -errno, "cannot make '%s'", name) : fd;
}

static int write_files(Building *b, int dir_fd, Error *err)
{
    _cleanup_fd_ int payload_fd = open_aside(dir_fd, PAYLOAD_FILE, err), fd = -1;
    int r;

    if (payload_fd < 0) {
        return payload_fd;
    }
    r = rpm_payload_write(b->request->workspace_fd, &b->files, (uint32_t)b->request->committed_at,
                          b->compression, payload_fd, &b->payload, err);
    if (r < 0) {
        return r;
    }
    fd = open_aside(dir_fd, PACKAGE_FILE, err);
    r = fd < 0 ? fd : write_package(b, payload_fd, fd, err);
    if (r == 0 && renameat(dir_fd, PACKAGE_FILE, dir_fd, b->built.file) < 0) {
        r = error_set_errno(err, -errno, "cannot make '%s'", b->built.file);
    }
    if (r == 0) {
        r = file_sync_dir(dir_fd);
        r = r < 0 ? error_set_errno(err, r, "cannot make '%s'", b->built.file) : 0;
    }
    return r;
}

int rpm_build(const PackageRequest *request, const GpgKey *key, int dir_fd, RpmBuilt *ret,
              Error *err)
{
    _cleanup_(building_done) Building b = {
        .request = request, .key = key, .rpm = json_pointer(request->recipe, POINTER)};
    int r = collect(&b, err);

    r = r == 0 ? add_relations(&b, err) : r;
    if (r < 0) {
        return r;
    }
    r = write_files(&b, dir_fd, err);
    (void)unlinkat(dir_fd, PAYLOAD_FILE, 0);
    (void)unlinkat(dir_fd, PACKAGE_FILE, 0);
    if (r < 0) {
        return error_wrap(err, "the rpm '%s'", b.built.file);
    }
    *ret = b.built;
    b.built = (RpmBuilt){0};
    return 0;
}
