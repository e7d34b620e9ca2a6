/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-header.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

typedef enum RpmType {
    TYPE_INT16 = 3,
    TYPE_INT32 = 4,
    TYPE_STRING = 6,
    TYPE_BINARY = 7,
    TYPE_STRING_ARRAY = 8,
    TYPE_TRANSLATED = 9,
} RpmType;

struct RpmHeaderEntry {
    RpmTag tag;
    RpmType type;
    uint32_t count;
    Buffer data; /* big-endian, as it stands in the file */
};

/* On disk, all of it big-endian. */
typedef struct IndexEntry {
    uint32_t tag, type, offset, count;
} IndexEntry;

static const unsigned char magic[8] = {0x8e, 0xad, 0xe8, 0x01};

void rpm_header_done(RpmHeader *header)
{
    for (size_t i = 0; i < header->count; i++) {
        buffer_done(&header->entries[i].data);
    }
    free(header->entries);
    *header = (RpmHeader){0};
}

/* The entry of that tag, made if need be. What is appended in turn was used last or near it, so the
 * search begins at the end. */
static RpmHeaderEntry *get_entry(RpmHeader *header, RpmTag tag, RpmType type)
{
    for (size_t i = header->count; i > 0; i--) {
        if (header->entries[i - 1].tag == tag) {
            return &header->entries[i - 1];
        }
    }
    if (header->count == header->allocated) {
        size_t allocated = MAX((size_t)64, header->allocated * 2);
        RpmHeaderEntry *entries = reallocarray(header->entries, allocated, sizeof(*entries));

        if (!entries) {
            return NULL;
        }
        header->entries = entries;
        header->allocated = allocated;
    }
    header->entries[header->count] =
        (RpmHeaderEntry){.tag = tag, .type = type, .data = BUFFER_INIT(RPM_HEADER_BYTES_MAX)};
    return &header->entries[header->count++];
}

static int append(RpmHeader *header, RpmTag tag, RpmType type, const void *data, size_t n,
                  uint32_t count)
{
    RpmHeaderEntry *entry = get_entry(header, tag, type);
    int r = entry ? buffer_append(&entry->data, data, n) : -ENOMEM;

    if (r == 0) {
        entry->count += count;
    }
    return r;
}

int rpm_header_set_text(RpmHeader *header, RpmTag tag, const char *text)
{
    return text ? append(header, tag, TYPE_STRING, text, strlen(text) + 1, 1) : 0;
}

int rpm_header_set_translated(RpmHeader *header, RpmTag tag, const char *text)
{
    return text ? append(header, tag, TYPE_TRANSLATED, text, strlen(text) + 1, 1) : 0;
}

int rpm_header_set_binary(RpmHeader *header, RpmTag tag, const void *data, size_t n)
{
    return append(header, tag, TYPE_BINARY, data, n, (uint32_t)n);
}

int rpm_header_append_text(RpmHeader *header, RpmTag tag, const char *text)
{
    return append(header, tag, TYPE_STRING_ARRAY, text, strlen(text) + 1, 1);
}

int rpm_header_append_int16(RpmHeader *header, RpmTag tag, uint16_t value)
{
    uint16_t wire = htobe16(value);

    return append(header, tag, TYPE_INT16, &wire, sizeof(wire), 1);
}

int rpm_header_append_int32(RpmHeader *header, RpmTag tag, uint32_t value)
{
    uint32_t wire = htobe32(value);

    return append(header, tag, TYPE_INT32, &wire, sizeof(wire), 1);
}

/* ---- the file ---------------------------------------------------------------------------------
 */

static size_t alignment_of(RpmType type)
{
    return type == TYPE_INT16 ? 2 : type == TYPE_INT32 ? 4 : 1;
}

static int compare_tags(const void *a, const void *b)
{
    const RpmHeaderEntry *x = a, *y = b;

    return (x->tag > y->tag) - (x->tag < y->tag);
}

static int append_index(Buffer *index, uint32_t tag, uint32_t type, uint32_t offset, uint32_t count)
{
    const IndexEntry entry = {htobe32(tag), htobe32(type), htobe32(offset), htobe32(count)};

    return buffer_append(index, &entry, sizeof(entry));
}

/* The values in the order of their tags, each at an offset that suits its type. */
static int format_values(const RpmHeader *header, Buffer *index, Buffer *store)
{
    static const char zeros[8];
    int r = 0;

    for (size_t i = 0; r == 0 && i < header->count; i++) {
        const RpmHeaderEntry *entry = &header->entries[i];
        size_t alignment = alignment_of(entry->type);

        assert(i == 0 || entry->tag != header->entries[i - 1].tag);
        r = buffer_append(store, zeros, -store->len & (alignment - 1));
        r = r == 0
                ? append_index(index, entry->tag, entry->type, (uint32_t)store->len, entry->count)
                : r;
        r = r == 0 ? buffer_append(store, entry->data.data, entry->data.len) : r;
    }
    return r;
}

int rpm_header_format(RpmHeader *header, RpmTag region, Buffer *out)
{
    _cleanup_buffer_ Buffer index = BUFFER_INIT(0), store = BUFFER_INIT(RPM_HEADER_BYTES_MAX);
    size_t n_index = header->count + 1;
    uint32_t counts[2];
    int r;

    if (header->count > 0) {
        qsort(header->entries, header->count, sizeof(*header->entries), compare_tags);
    }
    r = format_values(header, &index, &store);
    /* The region's own entry comes first and leads to the last 16 bytes of the store, which are an
     * entry that leads back over the whole index. */
    counts[0] = htobe32((uint32_t)n_index);
    counts[1] = htobe32((uint32_t)(store.len + sizeof(IndexEntry)));
    r = r == 0 ? buffer_append(out, magic, sizeof(magic)) : r;
    r = r == 0 ? buffer_append(out, counts, sizeof(counts)) : r;
    r = r == 0 ? append_index(out, region, TYPE_BINARY, (uint32_t)store.len, sizeof(IndexEntry))
               : r;
    r = r == 0 ? append_index(&store, region, TYPE_BINARY,
                              -(uint32_t)(n_index * sizeof(IndexEntry)), sizeof(IndexEntry))
               : r;
    r = r == 0 ? buffer_append(out, index.data, index.len) : r;
    return r == 0 ? buffer_append(out, store.data, store.len) : r;
}
