/* SPDX-License-Identifier: MIT */
#include "agent/package/deb/deb-scripts.h"

#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

#define SCRIPT_BYTES_MAX ((size_t)1 << 20)
#define TOKEN "#DEBHELPER#"
#define HAS_HELPER "command -v deb-systemd-helper >/dev/null"
#define SYSTEMD_RUNS "[ -d /run/systemd/system ]"

static const char *const names[_DEB_SCRIPT_KIND_MAX] = {
    [DEB_PREINST] = "preinst",
    [DEB_POSTINST] = "postinst",
    [DEB_PRERM] = "prerm",
    [DEB_POSTRM] = "postrm",
};

/* Among them a text can be put around the script's own. */
static const char *const shells[] = {"/bin/sh", "/bin/dash", "/bin/bash"};

const char *deb_script_name(DebScriptKind kind)
{
    return names[kind];
}

const char *deb_unit_name(const Json *unit)
{
    const char *from = json_get_string(unit, "from"), *slash = strrchr(from, '/');

    return slash ? slash + 1 : from;
}

bool deb_unit_is_template(const char *name)
{
    return strstr(name, "@.") != NULL;
}

/* ---- units ------------------------------------------------------------------------------------
 */

typedef enum UnitChoice {
    UNIT_ANY,           /* all but templates */
    UNIT_RESTARTED,     /* started, and restarted by an upgrade */
    UNIT_STARTED,       /* started, and left alone by an upgrade */
    UNIT_STOPPED,       /* on remove */
    UNIT_ENABLED,       /* unless the administrator disabled it */
    UNIT_LEFT_DISABLED, /* unless the administrator enabled it */
} UnitChoice;

static bool is_chosen(const Json *unit, UnitChoice choice)
{
    bool is_started = json_get_bool(unit, "start", true);
    bool is_restarted = json_get_bool(unit, "restart", true);

    if (deb_unit_is_template(deb_unit_name(unit))) {
        return false;
    }
    switch (choice) {
    case UNIT_RESTARTED:
        return is_started && is_restarted;
    case UNIT_STARTED:
        return is_started && !is_restarted;
    case UNIT_STOPPED:
        return is_started;
    case UNIT_ENABLED:
        return json_get_bool(unit, "enable", true);
    case UNIT_LEFT_DISABLED:
        return !json_get_bool(unit, "enable", true);
    case UNIT_ANY:
        break;
    }
    return true;
}

/* `format` has one %s, for the units with their quotes; nothing is appended where there are none.
 * Names are checked: no quote is in them. */
static int append_for_units(Buffer *text, const Json *units, UnitChoice choice, const char *before,
                            const char *after)
{
    _cleanup_buffer_ Buffer list = BUFFER_INIT(0);
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_length(units); i++) {
        const Json *unit = json_at(units, i);

        if (is_chosen(unit, choice)) {
            r = buffer_append_format(&list, " '%s'", deb_unit_name(unit));
        }
    }
    return r == 0 && list.len > 0
               ? buffer_append_format(text, "%s%s%s", before, buffer_text(&list), after)
               : r;
}

static int append_postinst(Buffer *text, const Json *units)
{
    int r = buffer_append_text(
        text, "case \"$1\" in configure|abort-upgrade|abort-deconfigure|abort-remove)\n"
              "    if " HAS_HELPER "; then\n");

    r = r == 0
            ? append_for_units(text, units, UNIT_ENABLED, "        for unit in",
                               "; do\n"
                               "            if deb-systemd-helper --quiet was-enabled \"$unit\"; "
                               "then\n"
                               "                deb-systemd-helper enable \"$unit\" >/dev/null "
                               "|| true\n"
                               "            else\n"
                               "                deb-systemd-helper update-state \"$unit\" "
                               ">/dev/null || true\n"
                               "            fi\n"
                               "        done\n")
            : r;
    r = r == 0
            ? append_for_units(text, units, UNIT_LEFT_DISABLED, "        for unit in",
                               "; do\n"
                               "            if deb-systemd-helper debian-installed \"$unit\" && "
                               "deb-systemd-helper --quiet was-enabled \"$unit\"; then\n"
                               "                deb-systemd-helper enable \"$unit\" >/dev/null "
                               "|| true\n"
                               "            fi\n"
                               "            deb-systemd-helper update-state \"$unit\" >/dev/null "
                               "|| true\n"
                               "        done\n")
            : r;
    r = r == 0
            ? buffer_append_text(text, "    fi\n"
                                       "    if " SYSTEMD_RUNS "; then\n"
                                       "        systemctl --system daemon-reload >/dev/null || "
                                       "true\n"
                                       "        if [ -n \"$2\" ]; then unit_action=restart; else "
                                       "unit_action=start; fi\n")
            : r;
    r = r == 0
            ? append_for_units(text, units, UNIT_RESTARTED,
                               "        deb-systemd-invoke $unit_action", " >/dev/null || true\n")
            : r;
    r = r == 0 ? append_for_units(text, units, UNIT_STARTED, "        deb-systemd-invoke start",
                                  " >/dev/null || true\n")
               : r;
    return r == 0 ? buffer_append_text(text, "    fi\n    ;;\nesac\n") : r;
}

static int append_prerm(Buffer *text, const Json *units)
{
    return append_for_units(text, units, UNIT_STOPPED,
                            "if [ \"$1\" = remove ] && " SYSTEMD_RUNS "; then\n"
                            "    deb-systemd-invoke stop",
                            " >/dev/null || true\nfi\n");
}

static int append_postrm(Buffer *text, const Json *units)
{
    int r = append_for_units(text, units, UNIT_ANY,
                             "if [ \"$1\" = purge ] && " HAS_HELPER "; then\n"
                             "    deb-systemd-helper purge",
                             " >/dev/null || true\nfi\n");

    return r == 0 ? buffer_append_text(text, "if [ \"$1\" = remove ] && " SYSTEMD_RUNS "; then\n"
                                             "    systemctl --system daemon-reload >/dev/null || "
                                             "true\nfi\n")
                  : r;
}

/* What the units need of a script; nothing where they need nothing. */
static int append_generated(DebScriptKind kind, const Json *units, Buffer *text)
{
    static int (*const makers[_DEB_SCRIPT_KIND_MAX])(Buffer *, const Json *) = {
        [DEB_POSTINST] = append_postinst,
        [DEB_PRERM] = append_prerm,
        [DEB_POSTRM] = append_postrm,
    };
    bool has_any = false;

    for (size_t i = 0; i < json_length(units); i++) {
        has_any = has_any || is_chosen(json_at(units, i), UNIT_ANY);
    }
    return makers[kind] && has_any ? makers[kind](text, units) : 0;
}

/* ---- scripts of the repository ----------------------------------------------------------------
 */

static int refuse(DebScriptKind kind, const char *path, const char *what, Error *err)
{
    return error_set(err, -EINVAL, "/package/deb/scripts/%s: '%s' %s", names[kind], path, what);
}

static int read_script(DebScriptKind kind, int workspace_fd, const char *path, Buffer *text,
                       Error *err)
{
    int r = file_read(workspace_fd, path, text, err);

    if (r < 0) {
        return error_wrap(err, "/package/deb/scripts/%s", names[kind]);
    }
    if (!text_has_prefix(buffer_text(text), "#!")) {
        return refuse(kind, path, "does not begin with #!, so dpkg could not start it", err);
    }
    if (memchr(text->data, '\r', text->len)) {
        return refuse(kind, path, "has lines that end with a carriage return", err);
    }
    if (strlen(text->data) != text->len) {
        return refuse(kind, path, "is no text", err);
    }
    if (text->data[text->len - 1] != '\n' && buffer_append(text, "\n", 1) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

/* The line #DEBHELPER#, or NULL; *ret_len is its length with its end. */
static const char *find_token(const char *text, size_t *ret_len)
{
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t blanks = strspn(line, " \t");

        if (text_has_prefix(line + blanks, TOKEN) && line[blanks + strlen(TOKEN)] == '\n') {
            *ret_len = blanks + strlen(TOKEN) + 1;
            return line;
        }
    }
    return NULL;
}

static bool is_shell(const char *text)
{
    const char *interpreter = text + 2 + strspn(text + 2, " ");
    size_t n = strcspn(interpreter, " \n");

    for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
        if (strlen(shells[i]) == n && strncmp(interpreter, shells[i], n) == 0) {
            return true;
        }
    }
    return false;
}

/* "#!/bin/sh -e": an option of the first line is the script's own, too. */
static bool stops_at_errors(const char *own)
{
    const char *option = strstr(own, " -");

    return option && option < own + strcspn(own, "\n") &&
           memchr(option, 'e', strcspn(option, "\n"));
}

/* The script runs by itself in between, so that its `exit` and its options are its own. What is
 * started comes up after its preparations, and goes down before its tidying up. */
static int append_around(DebScriptKind kind, const char *path, const char *own,
                         const char *generated, Buffer *ret)
{
    size_t first = strcspn(own, "\n");
    bool is_ours_first = kind == DEB_PRERM;
    int r = buffer_append_format(ret, "%.*s\nset -e\n%s", (int)first, own,
                                 is_ours_first ? generated : "");

    r = r == 0 ? buffer_append_format(ret, "# %s of the repository\n(\n%s%s)\n", path,
                                      stops_at_errors(own) ? "" : "set +e\n", own + first + 1)
               : r;
    return r == 0 && !is_ours_first ? buffer_append_text(ret, generated) : r;
}

static int combine(DebScriptKind kind, const char *path, const char *own, const char *generated,
                   Buffer *ret, Error *err)
{
    size_t token_len;
    const char *token = find_token(own, &token_len);
    int r;

    if (token) {
        r = buffer_append_format(ret, "%.*s%s%s", (int)(token - own), own, generated,
                                 token + token_len);
    } else if (!*generated) {
        r = buffer_append_text(ret, own);
    } else if (is_shell(own)) {
        r = append_around(kind, path, own, generated, ret);
    } else {
        return refuse(kind, path,
                      "is no script of a shell, so what the units need has no place in it: put a "
                      "line " TOKEN " where it can stand, or leave the units out",
                      err);
    }
    return r < 0 ? error_set(err, -ENOMEM, "out of memory") : 0;
}

int deb_script_make(DebScriptKind kind, int workspace_fd, const Json *deb, Buffer *ret, Error *err)
{
    const char *path = json_get_string(json_get(deb, "scripts"), names[kind]);
    _cleanup_buffer_ Buffer own = BUFFER_INIT(SCRIPT_BYTES_MAX), generated = BUFFER_INIT(0);
    int r = append_generated(kind, json_get(deb, "units"), &generated);

    if (r < 0) {
        return error_set_errno(err, r, "cannot write the %s script", names[kind]);
    }
    if (path) {
        r = read_script(kind, workspace_fd, path, &own, err);
        return r == 0 ? combine(kind, path, own.data, buffer_text(&generated), ret, err) : r;
    }
    if (generated.len > 0 &&
        buffer_append_format(ret, "#!/bin/sh\nset -e\n%s", generated.data) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}
