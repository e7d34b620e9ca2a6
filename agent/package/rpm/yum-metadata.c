/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/yum-metadata.h"

#include "agent/package/rpm/rpm-version.h"
#include "protocol/base/buffer.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

/* expat counts in int; what it gets at once also bounds what it holds back. */
#define FEED_STEP ((size_t)64 << 10)

/* <metadata><package><format><rpm:requires><rpm:entry> */
#define DEPTH_MAX 16U

typedef struct Reader Reader;

/* Either file is a list of one kind of element, two levels deep, with facts one level below it. */
typedef struct Grammar {
    const char *root, *item;
    int (*begin)(Reader *reader, const char **attributes);
    int (*on_fact)(Reader *reader, const char *name, const char **attributes); /* its attributes */
    int (*on_text)(Reader *reader, const char *name, const char *text);        /* its text */
    int (*end)(Reader *reader);
} Grammar;

struct Reader {
    XML_Parser parser;
    const Grammar *grammar;
    unsigned depth;
    bool is_in_item;
    char *fact;  /* the element that is open below an item, as long as it has text alone */
    Buffer text; /* of it */
    bool is_sha256;
    YumData data;
    YumPackage package;
    YumIndex *index;
    YumPackages *packages;
    Error *err;
    int code;
};

static void data_done(YumData *data)
{
    free(data->type);
    free(data->location);
    *data = (YumData){0};
}

static void package_done(YumPackage *package)
{
    free(package->name);
    free(package->arch);
    free(package->epoch);
    free(package->version);
    free(package->release);
    free(package->location);
    *package = (YumPackage){0};
}

void yum_index_done(YumIndex *index)
{
    for (size_t i = 0; i < index->count; i++) {
        data_done(&index->list[i]);
    }
    free(index->list);
    *index = (YumIndex){0};
}

void yum_packages_done(YumPackages *packages)
{
    for (size_t i = 0; i < packages->count; i++) {
        package_done(&packages->list[i]);
    }
    free(packages->list);
    *packages = (YumPackages){0};
}

static void reader_done(Reader *reader)
{
    XML_ParserFree(reader->parser);
    free(reader->fact);
    buffer_done(&reader->text);
    data_done(&reader->data);
    package_done(&reader->package);
}

/* ---- facts ------------------------------------------------------------------------------------
 */

static int bad(Reader *reader, const char *what)
{
    return error_set(reader->err, -EBADMSG, "line %lu: %s",
                     (unsigned long)XML_GetCurrentLineNumber(reader->parser), what);
}

static const char *attribute(const char **attributes, const char *name)
{
    for (; *attributes; attributes += 2) {
        if (strcmp(attributes[0], name) == 0) {
            return attributes[1];
        }
    }
    return NULL;
}

static int set(Reader *reader, char **place, const char *text)
{
    char *copy;

    if (!text || !*text || strlen(text) > YUM_TEXT_MAX) {
        return bad(reader, "a fact is missing, empty or too long");
    }
    copy = strdup(text);
    if (!copy) {
        return error_set(reader->err, -ENOMEM, "out of memory");
    }
    free(*place);
    *place = copy;
    return 0;
}

/* It is read, listed for createrepo_c line by line, and removed. */
static bool is_location(const char *text)
{
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            return false;
        }
    }
    for (const char *part = text; *part; part += strcspn(part, "/"), part += *part == '/') {
        size_t n = strcspn(part, "/");

        if (n == 0 || (part[0] == '.' && (n == 1 || (n == 2 && part[1] == '.')))) {
            return false;
        }
    }
    return *text != '\0';
}

static int set_location(Reader *reader, char **place, const char **attributes)
{
    const char *href = attribute(attributes, "href");

    if (!href || !is_location(href) || attribute(attributes, "xml:base")) {
        return bad(reader, "a location is missing, or not below the repository");
    }
    return set(reader, place, href);
}

static bool is_sha256(const char *text)
{
    return strlen(text) == DIGEST_HEX_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == DIGEST_HEX_SIZE - 1;
}

static int set_digest(Reader *reader, const char *text, char place[static DIGEST_HEX_SIZE])
{
    if (!is_sha256(text)) {
        return bad(reader, "a digest is no SHA-256");
    }
    memcpy(place, text, DIGEST_HEX_SIZE);
    return 0;
}

/* ---- repomd.xml -------------------------------------------------------------------------------
 */

static int begin_data(Reader *reader, const char **attributes)
{
    const char *type = attribute(attributes, "type");

    return type ? set(reader, &reader->data.type, type) : bad(reader, "<data> has no type");
}

static int on_data_fact(Reader *reader, const char *name, const char **attributes)
{
    const char *type = attribute(attributes, "type");

    if (strcmp(name, "location") == 0) {
        return set_location(reader, &reader->data.location, attributes);
    }
    if (strcmp(name, "checksum") == 0 && (!type || strcmp(type, "sha256") != 0)) {
        return bad(reader, "a checksum is not of type sha256 (createrepo_c --checksum)");
    }
    return 0;
}

static int on_data_text(Reader *reader, const char *name, const char *text)
{
    return strcmp(name, "checksum") == 0 ? set_digest(reader, text, reader->data.sha256) : 0;
}

static int end_data(Reader *reader)
{
    YumIndex *index = reader->index;
    YumData *list;

    if (!reader->data.location || !*reader->data.sha256) {
        return bad(reader, "<data> has no location or no checksum");
    }
    if (index->count == YUM_DATA_MAX) {
        return error_set(reader->err, -E2BIG, "it names more than %zu files", YUM_DATA_MAX);
    }
    list = reallocarray(index->list, index->count + 1, sizeof(*list));
    if (!list) {
        return error_set(reader->err, -ENOMEM, "out of memory");
    }
    index->list = list;
    list[index->count++] = reader->data;
    reader->data = (YumData){0};
    return 0;
}

static const Grammar index_grammar = {
    "repomd", "data", begin_data, on_data_fact, on_data_text, end_data,
};

/* ---- primary.xml ------------------------------------------------------------------------------
 */

static int begin_package(Reader *reader, const char **attributes)
{
    const char *type = attribute(attributes, "type");

    return type && strcmp(type, "rpm") == 0 ? 0 : bad(reader, "<package> is not of type rpm");
}

static int on_package_fact(Reader *reader, const char *name, const char **attributes)
{
    const char *type = attribute(attributes, "type");
    int r;

    if (strcmp(name, "location") == 0) {
        return set_location(reader, &reader->package.location, attributes);
    }
    if (strcmp(name, "checksum") == 0) {
        reader->is_sha256 = type && strcmp(type, "sha256") == 0;
    }
    if (strcmp(name, "version") != 0) {
        return 0;
    }
    r = set(reader, &reader->package.epoch, attribute(attributes, "epoch"));
    r = r == 0 ? set(reader, &reader->package.version, attribute(attributes, "ver")) : r;
    return r == 0 ? set(reader, &reader->package.release, attribute(attributes, "rel")) : r;
}

static int on_package_text(Reader *reader, const char *name, const char *text)
{
    YumPackage *package = &reader->package;

    if (strcmp(name, "name") == 0) {
        return set(reader, &package->name, text);
    }
    if (strcmp(name, "arch") == 0) {
        return set(reader, &package->arch, text);
    }
    return strcmp(name, "checksum") == 0 && reader->is_sha256
               ? set_digest(reader, text, package->sha256)
               : 0;
}

static int end_package(Reader *reader)
{
    YumPackages *packages = reader->packages;
    const YumPackage *package = &reader->package;

    if (!package->name || !package->arch || !package->version || !package->location) {
        return bad(reader, "<package> has no name, arch, version or location");
    }
    if (packages->count == YUM_PACKAGES_MAX) {
        return error_set(reader->err, -E2BIG, "it has more than %zu packages", YUM_PACKAGES_MAX);
    }
    if (packages->count == packages->allocated) {
        size_t allocated = MAX((size_t)64, packages->allocated * 2);
        YumPackage *list = reallocarray(packages->list, allocated, sizeof(*list));

        if (!list) {
            return error_set(reader->err, -ENOMEM, "out of memory");
        }
        packages->list = list;
        packages->allocated = allocated;
    }
    packages->list[packages->count++] = *package;
    reader->package = (YumPackage){0};
    return 0;
}

static const Grammar packages_grammar = {
    "metadata", "package", begin_package, on_package_fact, on_package_text, end_package,
};

/* ---- expat ------------------------------------------------------------------------------------
 */

static void keep(Reader *reader, int r)
{
    if (r < 0 && reader->code == 0) {
        reader->code = r;
        (void)XML_StopParser(reader->parser, XML_FALSE);
    }
}

static int on_item(Reader *reader, const char *name, const char **attributes)
{
    if (strcmp(name, reader->grammar->item) != 0) {
        return 0; /* <revision>, <tags>: what no one has to know */
    }
    reader->is_in_item = true;
    return reader->grammar->begin(reader, attributes);
}

static int on_fact(Reader *reader, const char *name, const char **attributes)
{
    free(reader->fact);
    reader->fact = strdup(name);
    buffer_clear(&reader->text);
    return reader->fact ? reader->grammar->on_fact(reader, name, attributes)
                        : error_set(reader->err, -ENOMEM, "out of memory");
}

static void on_start(void *userdata, const char *name, const char **attributes)
{
    Reader *reader = userdata;
    int r = 0;

    switch (++reader->depth) {
    case 1:
        if (strcmp(name, reader->grammar->root) != 0) {
            r = bad(reader, "it does not begin as such a file does");
        }
        break;
    case 2:
        r = on_item(reader, name, attributes);
        break;
    case 3:
        r = reader->is_in_item ? on_fact(reader, name, attributes) : 0;
        break;
    default:
        r = reader->depth > DEPTH_MAX ? bad(reader, "elements are nested too deep") : 0;
        break;
    }
    keep(reader, r);
}

static void on_end(void *userdata, const char *name)
{
    Reader *reader = userdata;
    int r = 0;

    if (reader->depth == 3 && reader->is_in_item) {
        r = reader->grammar->on_text(reader, name, buffer_text(&reader->text));
    } else if (reader->depth == 2 && reader->is_in_item) {
        reader->is_in_item = false;
        r = reader->grammar->end(reader);
    }
    reader->depth--;
    keep(reader, r);
}

/* Long texts (a description) are none of ours; of one that is, the byte past the limit tells. */
static void on_text(void *userdata, const char *text, int n)
{
    Reader *reader = userdata;
    size_t take = MIN((size_t)n, YUM_TEXT_MAX + 1 - reader->text.len);

    if (reader->depth == 3 && reader->is_in_item && buffer_append(&reader->text, text, take) < 0) {
        keep(reader, error_set(reader->err, -ENOMEM, "out of memory"));
    }
}

/* Entities come with it. */
static void on_doctype(void *userdata, const char *name, const char *system_id,
                       const char *public_id, int has_subset)
{
    keep(userdata, bad(userdata, "a DOCTYPE, which it does not need, is refused"));
}

static int feed(Reader *reader, const char *text, size_t n)
{
    enum XML_Status status;
    size_t done = 0;

    do {
        size_t step = MIN(FEED_STEP, n - done);

        status = XML_Parse(reader->parser, text + done, (int)step, done + step == n);
        done += step;
    } while (status == XML_STATUS_OK && done < n);
    if (reader->code < 0) {
        return reader->code;
    }
    if (status == XML_STATUS_OK) {
        return 0;
    }
    return XML_GetErrorCode(reader->parser) == XML_ERROR_NO_MEMORY
               ? error_set(reader->err, -ENOMEM, "out of memory")
               : bad(reader, XML_ErrorString(XML_GetErrorCode(reader->parser)));
}

static int parse(Reader *reader, const char *text, size_t n)
{
    reader->text.limit = YUM_TEXT_MAX + 1;
    reader->parser = XML_ParserCreate("UTF-8");
    if (!reader->parser) {
        return error_set(reader->err, -ENOMEM, "out of memory");
    }
    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader->parser, on_text);
    XML_SetStartDoctypeDeclHandler(reader->parser, on_doctype);
    return feed(reader, text, n);
}

int yum_index_parse(const char *text, size_t n, YumIndex *ret, Error *err)
{
    _cleanup_yum_index_ YumIndex index = {0};
    _cleanup_(reader_done) Reader reader = {.grammar = &index_grammar, .index = &index, .err = err};
    int r = parse(&reader, text, n);

    if (r == 0) {
        *ret = index;
        index = (YumIndex){0};
    }
    return r;
}

int yum_packages_parse(const char *text, size_t n, YumPackages *ret, Error *err)
{
    _cleanup_yum_packages_ YumPackages packages = {0};
    _cleanup_(reader_done)
        Reader reader = {.grammar = &packages_grammar, .packages = &packages, .err = err};
    int r = parse(&reader, text, n);

    if (r == 0) {
        *ret = packages;
        packages = (YumPackages){0};
    }
    return r;
}

const YumData *yum_index_find(const YumIndex *index, const char *type)
{
    for (size_t i = 0; i < index->count; i++) {
        if (strcmp(index->list[i].type, type) == 0) {
            return &index->list[i];
        }
    }
    return NULL;
}

int yum_package_compare(const YumPackage *a, const YumPackage *b)
{
    int r = rpm_version_compare(a->epoch, b->epoch);

    r = r == 0 ? rpm_version_compare(a->version, b->version) : r;
    return r == 0 ? rpm_version_compare(a->release, b->release) : r;
}
