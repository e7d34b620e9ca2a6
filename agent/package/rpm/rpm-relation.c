/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-relation.h"

#include <errno.h>
#include <string.h>

/* Longer names and versions are no package's. */
#define RELATION_LEN_MAX ((size_t)1024)

static const struct {
    const char *name;
    RpmTag names, versions, senses;
} kinds[_RPM_RELATION_KIND_MAX] = {
    [RPM_PROVIDES] = {"provides", RPM_PROVIDE_NAME, RPM_PROVIDE_VERSION, RPM_PROVIDE_FLAGS},
    [RPM_REQUIRES] = {"requires", RPM_REQUIRE_NAME, RPM_REQUIRE_VERSION, RPM_REQUIRE_FLAGS},
    [RPM_CONFLICTS] = {"conflicts", RPM_CONFLICT_NAME, RPM_CONFLICT_VERSION, RPM_CONFLICT_FLAGS},
    [RPM_OBSOLETES] = {"obsoletes", RPM_OBSOLETE_NAME, RPM_OBSOLETE_VERSION, RPM_OBSOLETE_FLAGS},
    [RPM_RECOMMENDS] = {"recommends", RPM_RECOMMEND_NAME, RPM_RECOMMEND_VERSION,
                        RPM_RECOMMEND_FLAGS},
    [RPM_SUGGESTS] = {"suggests", RPM_SUGGEST_NAME, RPM_SUGGEST_VERSION, RPM_SUGGEST_FLAGS},
    [RPM_ORDERS] = {"orders", RPM_ORDER_NAME, RPM_ORDER_VERSION, RPM_ORDER_FLAGS},
};

static const struct {
    const char *text;
    uint32_t sense;
} operators[] = {
    {"<", RPM_SENSE_LESS},    {"<=", RPM_SENSE_LESS | RPM_SENSE_EQUAL},
    {"=", RPM_SENSE_EQUAL},   {">=", RPM_SENSE_GREATER | RPM_SENSE_EQUAL},
    {">", RPM_SENSE_GREATER},
};

static const struct {
    const char *text;
    uint32_t sense;
} moments[] = {
    {"pretrans", RPM_SENSE_PRETRANS}, {"pre", RPM_SENSE_PRE},
    {"post", RPM_SENSE_POST},         {"preun", RPM_SENSE_PREUN},
    {"postun", RPM_SENSE_POSTUN},     {"posttrans", RPM_SENSE_POSTTRANS},
};

void rpm_relations_done(RpmRelations *relations)
{
    for (size_t i = 0; i < relations->count; i++) {
        free(relations->list[i].name);
        free(relations->list[i].version);
    }
    free(relations->list);
    *relations = (RpmRelations){0};
}

const char *rpm_relation_kind_name(RpmRelationKind kind)
{
    return kinds[kind].name;
}

/* Takes both texts, also when it fails. */
static int add_take(RpmRelations *relations, char *name, char *version, uint32_t sense)
{
    if (name && version && relations->count == relations->allocated) {
        size_t allocated = MAX((size_t)16, relations->allocated * 2);
        RpmRelation *list = reallocarray(relations->list, allocated, sizeof(*list));

        if (list) {
            relations->list = list;
            relations->allocated = allocated;
        }
    }
    if (!name || !version || relations->count == relations->allocated) {
        free(name);
        free(version);
        return -ENOMEM;
    }
    relations->list[relations->count++] =
        (RpmRelation){.name = name, .version = version, .sense = sense};
    return 0;
}

int rpm_relations_add(RpmRelations *relations, const char *name, uint32_t sense,
                      const char *version)
{
    return add_take(relations, strdup(name), strdup(version), sense);
}

int rpm_relations_add_feature(RpmRelations *relations, const char *name, const char *version)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = buffer_append_format(&text, "rpmlib(%s)", name);

    return r == 0 ? rpm_relations_add(relations, buffer_text(&text),
                                      RPM_SENSE_LESS | RPM_SENSE_EQUAL | RPM_SENSE_RPMLIB, version)
                  : r;
}

/* ---- texts ------------------------------------------------------------------------------------
 */

/* Printable, without what rpm's own grammar uses: blanks, commas, comparisons. */
static bool is_name(const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name[i];

        if (c <= ' ' || c == 0x7f || strchr(",<>=!&|\"'`;\\", c)) {
            return false;
        }
    }
    return n > 0 && n <= RELATION_LEN_MAX && name[0] != '(' && name[0] != '-';
}

/* [EPOCH:]VERSION[-RELEASE] */
static bool is_version(const char *version)
{
    size_t digits = strspn(version, "0123456789");
    const char *rest = version[digits] == ':' && digits > 0 ? version + digits + 1 : version;
    const char *release = strchr(rest, '-');
    size_t n = strlen(rest);

    return n > 0 && n <= RELATION_LEN_MAX && *rest != '-' && (!release || release[1] != '\0') &&
           (!release || !strchr(release + 1, '-')) &&
           strspn(rest, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._+~^-") ==
               n;
}

static int find_operator(const char *text, size_t n, uint32_t *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
        if (strlen(operators[i].text) == n && strncmp(operators[i].text, text, n) == 0) {
            *ret = operators[i].sense;
            return 0;
        }
    }
    return -EINVAL;
}

int rpm_relations_add_text(RpmRelations *relations, const char *text, uint32_t sense, Error *err)
{
    size_t name_len = strcspn(text, " ");
    const char *comparator = text + name_len + strspn(text + name_len, " ");
    size_t comparator_len = strcspn(comparator, " ");
    const char *version = comparator + comparator_len + strspn(comparator + comparator_len, " ");
    uint32_t comparison = 0;

    if (text[0] == '(') {
        return error_set(err, -EINVAL, "'%s' is a rich dependency, which is not supported", text);
    }
    if (!is_name(text, name_len)) {
        return error_set(err, -EINVAL, "'%s' does not begin with the name of a package", text);
    }
    if (*comparator && find_operator(comparator, comparator_len, &comparison) < 0) {
        return error_set(err, -EINVAL,
                         "'%s' has to be NAME or NAME OP VERSION, OP being one of < <= = >= >",
                         text);
    }
    if (*comparator && !is_version(version)) {
        return error_set(err, -EINVAL,
                         "'%s' does not end with a version ([EPOCH:]VERSION[-RELEASE])", text);
    }
    return add_take(relations, strndup(text, name_len), strdup(version), sense | comparison) < 0
               ? error_set(err, -ENOMEM, "out of memory")
               : 0;
}

static uint32_t get_moments(const Json *names)
{
    uint32_t sense = 0;

    for (size_t i = 0; i < json_length(names); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(moments); k++) {
            if (strcmp(moments[k].text, json_as_string(json_at(names, i))) == 0) {
                sense |= moments[k].sense;
            }
        }
    }
    return sense;
}

int rpm_relations_add_json(RpmRelations *relations, const Json *array, const char *pointer,
                           Error *err)
{
    for (size_t i = 0; i < json_length(array); i++) {
        const Json *element = json_at(array, i);
        const char *text = json_as_string(element);
        int r =
            rpm_relations_add_text(relations, text ? text : json_get_string(element, "relation"),
                                   get_moments(json_get(element, "when")), err);

        if (r < 0) {
            (void)error_wrap(err, "%s/%zu%s", pointer, i, text ? "" : "/relation");
            return r;
        }
    }
    return 0;
}

/* ---- the header -------------------------------------------------------------------------------
 */

static int compare(const void *a, const void *b)
{
    const RpmRelation *x = a, *y = b;
    int r = strcmp(x->name, y->name);

    r = r == 0 ? strcmp(x->version, y->version) : r;
    return r == 0 ? (x->sense > y->sense) - (x->sense < y->sense) : r;
}

int rpm_relations_write(RpmRelations *relations, RpmRelationKind kind, RpmHeader *header)
{
    int r = 0;

    if (relations->count > 0) {
        qsort(relations->list, relations->count, sizeof(*relations->list), compare);
    }
    for (size_t i = 0; r == 0 && i < relations->count; i++) {
        const RpmRelation *relation = &relations->list[i];

        if (i > 0 && compare(relation, relation - 1) == 0) {
            continue;
        }
        r = rpm_header_append_text(header, kinds[kind].names, relation->name);
        r = r == 0 ? rpm_header_append_text(header, kinds[kind].versions, relation->version) : r;
        r = r == 0 ? rpm_header_append_int32(header, kinds[kind].senses, relation->sense) : r;
    }
    return r;
}
