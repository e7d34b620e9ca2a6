/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-scripts.h"

#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

#define SHELL "/bin/sh"
#define LUA "<lua>"
#define LUA_SUFFIX ".lua"

static const struct {
    const char *name;
    RpmTag text, program;
    uint32_t sense;
} moments[_RPM_MOMENT_MAX] = {
    [RPM_MOMENT_PRETRANS] = {"pretrans", RPM_PRETRANS, RPM_PRETRANS_PROGRAM, RPM_SENSE_PRETRANS},
    [RPM_MOMENT_PRE] = {"pre", RPM_PRE, RPM_PRE_PROGRAM, RPM_SENSE_PRE},
    [RPM_MOMENT_POST] = {"post", RPM_POST, RPM_POST_PROGRAM, RPM_SENSE_POST},
    [RPM_MOMENT_PREUN] = {"preun", RPM_PREUN, RPM_PREUN_PROGRAM, RPM_SENSE_PREUN},
    [RPM_MOMENT_POSTUN] = {"postun", RPM_POSTUN, RPM_POSTUN_PROGRAM, RPM_SENSE_POSTUN},
    [RPM_MOMENT_POSTTRANS] = {"posttrans", RPM_POSTTRANS, RPM_POSTTRANS_PROGRAM,
                              RPM_SENSE_POSTTRANS},
};

void rpm_scripts_done(RpmScripts *scripts)
{
    for (size_t i = 0; i < _RPM_MOMENT_MAX; i++) {
        free(scripts->list[i].text);
        free(scripts->list[i].program);
        free(scripts->list[i].argument);
    }
    *scripts = (RpmScripts){0};
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- scripts of the repository ----------------------------------------------------------------
 */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), n_end = strlen(end);

    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

/* "#!/bin/bash -e" gives "/bin/bash" and "-e": rpm starts the program itself, as the kernel would.
 */
static int find_program(const char *path, const char *text, RpmScript *script, Error *err)
{
    const char *line = text + 2 + strspn(text + 2, " \t");
    size_t n = strcspn(line, " \t\n"), end = strcspn(line, "\n");
    size_t argument = n + strspn(line + n, " \t");

    if (ends_with(path, LUA_SUFFIX) || !text_has_prefix(text, "#!")) {
        script->program = strdup(ends_with(path, LUA_SUFFIX) ? LUA : SHELL);
        return script->program ? 0 : out_of_memory(err);
    }
    if (*line != '/') {
        return error_set(err, -EINVAL, "'%s': its #! line names no program by an absolute path",
                         path);
    }
    while (end > argument && (line[end - 1] == ' ' || line[end - 1] == '\t')) {
        end--;
    }
    script->program = strndup(line, n);
    if (script->program && end > argument) {
        script->argument = strndup(line + argument, end - argument);
        return script->argument ? 0 : out_of_memory(err);
    }
    return script->program ? 0 : out_of_memory(err);
}

static int read_script(int workspace_fd, const char *path, RpmScript *script, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(RPM_SCRIPT_BYTES_MAX);
    int r = file_read(workspace_fd, path, &text, err);

    if (r < 0) {
        return r;
    }
    if (text.len == 0 || memchr(text.data, '\0', text.len) || !text_is_utf8(text.data, text.len)) {
        return error_set(err, -EINVAL, "'%s' is %s, no script", path,
                         text.len == 0 ? "empty" : "not text in UTF-8");
    }
    if (text.data[text.len - 1] != '\n' && buffer_append(&text, "\n", 1) < 0) {
        return out_of_memory(err);
    }
    r = find_program(path, buffer_text(&text), script, err);
    if (r < 0) {
        return r;
    }
    script->text = buffer_take_text(&text);
    return script->text ? 0 : out_of_memory(err);
}

/* ---- units ------------------------------------------------------------------------------------
 */

const char *rpm_unit_name(const Json *unit)
{
    const char *from = json_get_string(unit, "from"), *slash = strrchr(from, '/');

    return slash ? slash + 1 : from;
}

static bool is_template(const char *name)
{
    return strstr(name, "@.") != NULL;
}

typedef enum UnitsWanted {
    UNITS_ALL,
    UNITS_PRESET,
    UNITS_ENABLED,
    UNITS_STARTED,
    UNITS_RESTARTED,
} UnitsWanted;

static bool is_wanted(const Json *unit, UnitsWanted wanted)
{
    switch (wanted) {
    case UNITS_PRESET:
        return !json_has(unit, "enable");
    case UNITS_ENABLED:
        return json_get_bool(unit, "enable", false);
    case UNITS_STARTED:
        return json_get_bool(unit, "start", false);
    case UNITS_RESTARTED:
        return json_get_bool(unit, "restart", true);
    case UNITS_ALL:
        break;
    }
    return true;
}

/* `before`, then the names of those units, if there are any, then `after`. What runs of a template
 * are its instances. */
static int append_command(Buffer *script, const char *before, const Json *units, UnitsWanted wanted,
                          bool means_running, const char *after)
{
    bool has_any = false;
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_length(units); i++) {
        const Json *unit = json_at(units, i);
        const char *name = rpm_unit_name(unit), *at = strchr(name, '@');

        if (!is_wanted(unit, wanted)) {
            continue;
        }
        r = has_any ? 0 : buffer_append_text(script, before);
        has_any = true;
        r = r < 0 ? r
            : means_running && is_template(name)
                ? buffer_append_format(script, " '%.*s*%s'", (int)(at + 1 - name), name, at + 1)
                : buffer_append_format(script, " '%s'", name);
    }
    return r == 0 && has_any ? buffer_append_text(script, after) : r;
}

#define IF_SYSTEMCTL "if command -v systemctl >/dev/null 2>&1; then\n"
#define IF_RUNNING "if [ -d /run/systemd/system ]; then"

/* Links can be made where systemd does not run (in a chroot, in an image that is built); all else
 * needs it. */
static int append_post(Buffer *script, const Json *units)
{
    int r = buffer_append_text(script,
                               IF_SYSTEMCTL "    " IF_RUNNING " systemctl daemon-reload || :; fi\n"
                                            "    if [ \"$1\" -eq 1 ]; then\n");

    r = r == 0 ? append_command(script, "        systemctl --no-reload preset", units, UNITS_PRESET,
                                false, " || :\n")
               : r;
    r = r == 0 ? append_command(script, "        systemctl --no-reload enable", units,
                                UNITS_ENABLED, false, " || :\n")
               : r;
    r = r == 0 ? append_command(script, "        " IF_RUNNING " systemctl start", units,
                                UNITS_STARTED, false, " || :; fi\n")
               : r;
    return r == 0 ? buffer_append_text(script, "        :\n    fi\nfi\n") : r;
}

static int append_preun(Buffer *script, const Json *units)
{
    int r = buffer_append_text(
        script, "if [ \"$1\" -eq 0 ] && command -v systemctl >/dev/null 2>&1; then\n");

    r = r == 0 ? append_command(script, "    systemctl --no-reload disable", units, UNITS_ALL,
                                false, " || :\n")
               : r;
    r = r == 0 ? append_command(script, "    " IF_RUNNING " systemctl stop", units, UNITS_ALL, true,
                                " || :; fi\n")
               : r;
    return r == 0 ? buffer_append_text(script, "fi\n") : r;
}

static int append_postun(Buffer *script, const Json *units)
{
    int r = buffer_append_text(script, "if [ -d /run/systemd/system ] && command -v systemctl "
                                       ">/dev/null 2>&1; then\n"
                                       "    systemctl daemon-reload || :\n");

    r = r == 0 ? append_command(script, "    if [ \"$1\" -ge 1 ]; then systemctl try-restart",
                                units, UNITS_RESTARTED, true, " || :; fi\n")
               : r;
    return r == 0 ? buffer_append_text(script, "fi\n") : r;
}

/* The repository's own script, so that its `exit 0` does not leave out our part, and its failure is
 * still the scriptlet's. Not "( … ) || …", after which `set -e` in it would say nothing. */
static int append_own(Buffer *script, const char *text)
{
    return text
               ? buffer_append_format(script,
                                      "(\n%s)\nslipway_status=$?\n"
                                      "[ \"$slipway_status\" -eq 0 ] || exit \"$slipway_status\"\n",
                                      text)
               : 0;
}

typedef struct UnitPart {
    RpmMoment moment;
    int (*append)(Buffer *script, const Json *units);
    bool is_first; /* before the repository's own script */
} UnitPart;

/* A service is stopped before anything else goes, and started when everything else is done. */
static const UnitPart unit_parts[] = {
    {RPM_MOMENT_POST, append_post, false},
    {RPM_MOMENT_PREUN, append_preun, true},
    {RPM_MOMENT_POSTUN, append_postun, false},
};

static int add_units(const Json *units, const UnitPart *part, RpmScript *script, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r;

    if (script->program && strcmp(script->program, SHELL) != 0) {
        return error_set(err, -EINVAL,
                         "/package/rpm/scripts/%s: it is for '%s', but the part for the units, "
                         "which goes with it, is for " SHELL,
                         moments[part->moment].name, script->program);
    }
    r = part->is_first ? part->append(&text, units) : 0;
    r = r == 0 ? append_own(&text, script->text) : r;
    r = r == 0 && !part->is_first ? part->append(&text, units) : r;
    if (r < 0) {
        return out_of_memory(err);
    }
    free(script->text);
    script->text = buffer_take_text(&text);
    if (!script->program) {
        script->program = strdup(SHELL);
    }
    return script->text && script->program ? 0 : out_of_memory(err);
}

/* ---- both -------------------------------------------------------------------------------------
 */

int rpm_scripts_read(int workspace_fd, const Json *scripts, const Json *units, RpmScripts *ret,
                     Error *err)
{
    _cleanup_rpm_scripts_ RpmScripts found = {0};
    int r = 0;

    for (size_t i = 0; i < _RPM_MOMENT_MAX; i++) {
        const char *path = json_get_string(scripts, moments[i].name);

        r = path ? read_script(workspace_fd, path, &found.list[i], err) : 0;
        if (r < 0) {
            return error_wrap(err, "/package/rpm/scripts/%s", moments[i].name);
        }
    }
    for (size_t i = 0; json_length(units) > 0 && i < ARRAY_SIZE(unit_parts); i++) {
        r = add_units(units, &unit_parts[i], &found.list[unit_parts[i].moment], err);
        if (r < 0) {
            return r;
        }
    }
    *ret = found;
    found = (RpmScripts){0};
    return 0;
}

static int write_program(const RpmScript *script, RpmMoment moment, RpmHeader *header,
                         RpmRelations *requires)
{
    RpmTag tag = moments[moment].program;
    int r;

    if (strcmp(script->program, LUA) == 0) {
        r = rpm_header_set_text(header, tag, LUA);
        return r == 0 ? rpm_relations_add_feature(requires, "BuiltinLuaScripts", "4.2.2-1") : r;
    }
    if (script->argument) {
        r = rpm_header_append_text(header, tag, script->program);
        r = r == 0 ? rpm_header_append_text(header, tag, script->argument) : r;
        r = r == 0 ? rpm_relations_add_feature(requires, "ScriptletInterpreterArgs", "4.0.3-1") : r;
    } else {
        r = rpm_header_set_text(header, tag, script->program);
    }
    return r == 0 ? rpm_relations_add(requires, script->program,
                                      moments[moment].sense | RPM_SENSE_INTERPRETER, "")
                  : r;
}

int rpm_scripts_write(const RpmScripts *scripts, RpmHeader *header, RpmRelations *requires)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < _RPM_MOMENT_MAX; i++) {
        const RpmScript *script = &scripts->list[i];

        if (script->text) {
            r = rpm_header_set_text(header, moments[i].text, script->text);
            r = r == 0 ? write_program(script, (RpmMoment)i, header, requires) : r;
        }
    }
    return r;
}
