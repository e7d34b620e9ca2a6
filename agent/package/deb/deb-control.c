/* SPDX-License-Identifier: MIT */
#include "agent/package/deb/deb-control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define POINTER "/package/deb/"
#define DEFAULT_SECTION "misc"
#define DEFAULT_PRIORITY "optional"
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789+.-"

/* Debian's name of what this program runs on, which is what the build beside it has made. */
#if defined(__x86_64__)
#define NATIVE_ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define NATIVE_ARCHITECTURE "arm64"
#elif defined(__arm__) && defined(__ARM_PCS_VFP)
#define NATIVE_ARCHITECTURE "armhf"
#elif defined(__i386__)
#define NATIVE_ARCHITECTURE "i386"
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE_ARCHITECTURE "riscv64"
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define NATIVE_ARCHITECTURE "ppc64el"
#elif defined(__s390x__)
#define NATIVE_ARCHITECTURE "s390x"
#else
#define NATIVE_ARCHITECTURE ""
#endif

/* In the order of Debian's own packages. */
static const struct {
    const char *field, *member;
} relations[] = {
    {"Pre-Depends", "preDepends"}, {"Depends", "depends"},   {"Recommends", "recommends"},
    {"Suggests", "suggests"},      {"Enhances", "enhances"}, {"Breaks", "breaks"},
    {"Conflicts", "conflicts"},    {"Replaces", "replaces"}, {"Provides", "provides"},
};

static bool is_package_name(const char *name)
{
    size_t n = strlen(name);

    return n >= 2 && strspn(name, NAME_CHARACTERS) == n && !strchr("+.-", name[0]);
}

const char *deb_control_name(const Json *deb, const char *service, Error *err)
{
    const char *name = json_get_string(deb, "name");

    if (name || is_package_name(service)) {
        return name ? name : service;
    }
    (void)error_set(err, -EINVAL,
                    POINTER "name: is missing, and the service's name '%s' is no name of a Debian "
                            "package: two or more of a-z 0-9 + - ., beginning with a-z 0-9",
                    service);
    return NULL;
}

const char *deb_control_architecture(const Json *deb, Error *err)
{
    const char *architecture = json_get_string(deb, "architecture");

    if (architecture || *NATIVE_ARCHITECTURE) {
        return architecture ? architecture : NATIVE_ARCHITECTURE;
    }
    (void)error_set(err, -EINVAL,
                    POINTER "architecture: is missing, and nobody knows what Debian calls this "
                            "machine's");
    return NULL;
}

/* ---- fields -----------------------------------------------------------------------------------
 */

/* A field is a line: what would end it or hide in it is refused. */
static int check_text(const char *member, const char *text, bool may_have_lines, Error *err)
{
    for (const char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;

        if ((byte < ' ' || byte == 0x7f) && !(may_have_lines && byte == '\n')) {
            return error_set(err, -EINVAL, POINTER "%s: has a control character (0x%02x)", member,
                             byte);
        }
    }
    return 0;
}

static int append_field(const char *field, const char *member, const char *text, Buffer *ret,
                        Error *err)
{
    int r = text ? check_text(member, text, false, err) : 0;

    if (r == 0 && text && buffer_append_format(ret, "%s: %s\n", field, text) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return r;
}

static int append_relations(const Json *deb, size_t i, Buffer *ret, Error *err)
{
    const Json *list = json_get(deb, relations[i].member);
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

    for (size_t k = 0; k < json_length(list); k++) {
        if (buffer_append_format(&text, "%s%s", k > 0 ? ", " : "",
                                 json_as_string(json_at(list, k))) < 0) {
            return error_set(err, -ENOMEM, "out of memory");
        }
    }
    return append_field(relations[i].field, relations[i].member,
                        text.len > 0 ? buffer_text(&text) : NULL, ret, err);
}

/* The first line is the synopsis. The others are indented by one blank, an empty one is a dot; a
 * line that is indented already is shown as it is. */
static int append_description(const Json *deb, Buffer *ret, Error *err)
{
    const char *text = json_get_string(deb, "description");
    size_t len = strlen(text);
    int r = check_text("description", text, true, err);

    while (len > 0 && strchr("\n ", text[len - 1])) {
        len--;
    }
    if (r == 0 && (len == 0 || text[0] == '\n' || text[0] == ' ')) {
        r = error_set(err, -EINVAL, POINTER "description: has no text on its first line");
    }
    for (size_t at = 0; r == 0 && at < len;) {
        size_t n = strcspn(text + at, "\n");

        n = MIN(n, len - at);
        r = buffer_append_format(ret, "%s%.*s\n",
                                 at == 0  ? "Description: "
                                 : n == 0 ? " ."
                                          : " ",
                                 (int)n, text + at);
        r = r < 0 ? error_set(err, -ENOMEM, "out of memory") : 0;
        at += n + 1;
    }
    return r;
}

int deb_control_format(const DebControl *control, Buffer *ret, Error *err)
{
    const Json *deb = control->deb;
    const char *section = json_get_string(deb, "section");
    const char *priority = json_get_string(deb, "priority");
    const char *architecture = deb_control_architecture(deb, err);
    char size[32];
    int r;

    if (!architecture) {
        return -EINVAL;
    }
    (void)snprintf(size, sizeof(size), "%" PRId64, control->installed_kib);
    r = append_field("Package", "name", control->name, ret, err);
    r = r == 0 ? append_field("Version", "version", control->version, ret, err) : r;
    r = r == 0 ? append_field("Architecture", "architecture", architecture, ret, err) : r;
    r = r == 0
            ? append_field("Maintainer", "maintainer", json_get_string(deb, "maintainer"), ret, err)
            : r;
    r = r == 0 ? append_field("Installed-Size", "files", size, ret, err) : r;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(relations); i++) {
        r = append_relations(deb, i, ret, err);
    }
    r = r == 0 ? append_field("Section", "section", section ? section : DEFAULT_SECTION, ret, err)
               : r;
    r = r == 0
            ? append_field("Priority", "priority", priority ? priority : DEFAULT_PRIORITY, ret, err)
            : r;
    r = r == 0 ? append_field("Homepage", "homepage", json_get_string(deb, "homepage"), ret, err)
               : r;
    return r == 0 ? append_description(deb, ret, err) : r;
}
