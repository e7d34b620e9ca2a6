/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/ssh/ssh-service.h"

#include "protocol/schema.h"
#include "protocol/ssh/ssh-exec.h"
#include "protocol/validate.h"

#include <errno.h>
#include <string.h>

#define SCHEMA_NAME "ssh-service"

/* The schema's defaults, which editors show; the two are held together by a unit test. */
#define RESTART_SECONDS_DEFAULT 60
#define PASSES_DEFAULT 1
#define INTERVAL_SECONDS_DEFAULT 1
#define TIMEOUT_SECONDS_DEFAULT 5
#define DEADLINE_SECONDS_DEFAULT 30
#define KEEP_DEFAULT 5
#define BATCH_DEFAULT 1

/* For the last lines of a log. */
#define LOG_LIMIT_MS 10000

#define HOST_MARK "${host}"

/* ---- checking ---------------------------------------------------------------------------------
 */

static int64_t milliseconds(const Json *object, const char *name, double fallback_seconds)
{
    return (int64_t)(json_as_number(json_get(object, name), fallback_seconds) * 1000 + 0.5);
}

static bool has_parent_part(const char *path)
{
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) {
            return true;
        }
    }
    return false;
}

/* Each is found whether the others are there or not. */
static const char *find_mistake(const SshService *s, unsigned number)
{
    static const char *const parts[] = {"stop", "status", "log"};
    static const char *const of_commands[] = {
        "/stop: only for \"restart\" by a command; a unit is stopped by systemd",
        "/status: only for \"restart\" by a command; a unit's is asked of systemd",
        "/log: only for \"restart\" by a command; a unit's is the journal",
    };
    const Json *restart = json_get(s->json, "restart"), *health = json_get(s->json, "health");
    bool is_unit = json_has(restart, "unit");

    switch (number) {
    case 0:
        return has_parent_part(s->base) ? "/base: must not have '..' in it" : NULL;
    case 1:
        return is_unit == json_has(restart, "command")
                   ? "/restart: needs either \"unit\" or \"command\""
                   : NULL;
    case 2:
        return !is_unit && (json_has(restart, "scope") || json_has(restart, "sudo"))
                   ? "/restart: \"scope\" and \"sudo\" are for a \"unit\""
                   : NULL;
    case 3:
        return json_has(health, "url") && json_has(health, "command")
                   ? "/health: only one of \"url\" and \"command\" can be given"
                   : NULL;
    default:
        return is_unit && json_has(s->json, parts[number - 4]) ? of_commands[number - 4] : NULL;
    }
}
#define MISTAKES 7

/* A program that is named by nothing would be found by the shell as something else. */
static int append_empty_programs(const SshService *s, Buffer *text)
{
    static const char *const pointers[] = {
        "/restart/command/0", "/stop/command/0",   "/status/command/0",
        "/log/command/0",     "/health/command/0",
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(pointers); i++) {
        const char *program = json_as_string(json_pointer(s->json, pointers[i]));

        if (program && !*program) {
            r = buffer_append_format(text, "%s%s: names no program", text->len > 0 ? "\n" : "",
                                     pointers[i]);
        }
    }
    return r;
}

/* What a schema cannot say. */
static int check_meaning(const SshService *s, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r = append_empty_programs(s, &text);

    for (unsigned i = 0; r == 0 && i < MISTAKES; i++) {
        const char *mistake = find_mistake(s, i);

        if (mistake) {
            r = buffer_append_format(&text, "%s%s", text.len > 0 ? "\n" : "", mistake);
        }
    }
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    return text.len > 0 ? error_set(err, -EINVAL, "%s", buffer_text(&text)) : 0;
}

static int check_schema(const Json *json, Error *err)
{
    _cleanup_json_ Json *schema = NULL;
    int r = schema_load(SCHEMA_NAME, &schema, err);

    return r < 0 ? r : validate_value(schema, json, NULL, 0, err);
}

int ssh_service_from_json(const Json *json, SshService **ret, Error *err)
{
    _cleanup_(ssh_service_freep) SshService *s = NULL;
    const Json *health = json_get(json, "health"), *restart = json_get(json, "restart");
    int r = check_schema(json, err);

    if (r < 0) {
        return r;
    }
    s = calloc(1, sizeof(*s));
    if (!s) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *s = (SshService){
        .json = json_ref((Json *)json),
        .id = json_get_string(json, "id"),
        .base = json_get_string(json, "base"),
        .root = json_get_string(json, "root"),
        .health_url = json_get_string(health, "url"),
        .restart_timeout_ms = milliseconds(restart, "timeoutSeconds", RESTART_SECONDS_DEFAULT),
        .health_passes = json_get_int(health, "passes", PASSES_DEFAULT),
        .health_interval_ms = milliseconds(health, "intervalSeconds", INTERVAL_SECONDS_DEFAULT),
        .health_timeout_ms = milliseconds(health, "timeoutSeconds", TIMEOUT_SECONDS_DEFAULT),
        .health_deadline_ms = milliseconds(health, "deadlineSeconds", DEADLINE_SECONDS_DEFAULT),
        .keep = (size_t)json_get_int(json, "keep", KEEP_DEFAULT),
        .batch = (size_t)json_get_int(json, "batch", BATCH_DEFAULT),
    };
    r = check_meaning(s, err);
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(s);
    return 0;
}

SshService *ssh_service_free(SshService *service)
{
    if (service) {
        (void)json_unref(service->json);
        free(service);
    }
    return NULL;
}

/* ---- the script -------------------------------------------------------------------------------
 */

/* The program is a variable already. */
static int append_arguments(Buffer *out, const Json *command)
{
    int r = 0;

    for (size_t i = 1; r == 0 && i < json_length(command); i++) {
        r = buffer_append(out, " ", 1);
        r = r < 0 ? r : ssh_quote(out, json_as_string(json_at(command, i)));
    }
    return r;
}

/* `otherwise` is what the part does where the service has no command for it. One that takes longer
 * than `limit_ms` (0: none) is ended, on hosts that have timeout(1). An absolute path is the
 * release's where the release has it. */
static int append_command(Buffer *out, const char *part, const Json *command, int64_t limit_ms,
                          const char *otherwise)
{
    static const char own_program[] = "\n"
                                      "    case $program in\n"
                                      "    /*) [ ! -e \".$program\" ] || program=$PWD$program ;;\n"
                                      "    esac\n"
                                      "    set -- \"$program\"";
    static const char run[] = "\n"
                              "    set -a\n"
                              "    . ../env\n"
                              "    set +a\n"
                              "    exec \"$@\"\n"
                              "    ;;\n";
    int r = buffer_append_format(out, "%s)\n", part);

    if (r < 0 || !command) {
        return r < 0 ? r : buffer_append_format(out, "    %s\n    ;;\n", otherwise);
    }
    /* All of it is in "$@" before the variables come, which may have any name. */
    r = buffer_append_text(out, "    program=");
    r = r < 0 ? r : ssh_quote(out, json_as_string(json_at(command, 0)));
    r = r < 0 ? r : buffer_append_text(out, own_program);
    r = r < 0 ? r : append_arguments(out, command);
    if (r == 0 && limit_ms > 0) {
        r = buffer_append_format(out,
                                 "\n    ! command -v timeout >/dev/null || "
                                 "set -- timeout %lld \"$@\"",
                                 (long long)((limit_ms + 999) / 1000));
    }
    return r < 0 ? r : buffer_append_text(out, run);
}

/* A unit that is restarted by systemd again and again is found when it is active only for moments;
 * while it is deployed, a single such restart is enough to know. */
static const char unit_status[] =
    "    $systemctl show -p ActiveState -p SubState -p NRestarts -- \"$unit\" | {\n"
    "        active=unknown sub= restarts=0\n"
    "        while IFS='=' read -r name value; do\n"
    "            case $name in\n"
    "            ActiveState) active=$value ;;\n"
    "            SubState) sub=$value ;;\n"
    "            NRestarts) restarts=$value ;;\n"
    "            esac\n"
    "        done\n"
    "        if [ \"$sub\" = auto-restart ] ||\n"
    "            { [ \"$2\" = deploying ] && [ \"$restarts\" -gt 0 ]; }; then\n"
    "            echo \"the unit died and was started again ($restarts)\"\n"
    "            exit 1\n"
    "        fi\n"
    "        case $active in\n"
    "        active) exit 0 ;;\n"
    "        activating | reloading) exit 75 ;;\n"
    "        esac\n"
    "        echo \"the unit is $active ($sub)\"\n"
    "        exit 1\n"
    "    }\n"
    "    ;;\n";

static int append_unit(Buffer *out, const Json *restart)
{
    const char *scope = json_get_string(restart, "scope");
    const char *sudo = json_get_bool(restart, "sudo", false) ? "sudo -n " : "";
    const char *user = scope && strcmp(scope, "user") == 0 ? " --user" : "";
    int r = buffer_append_text(out, "unit=");

    r = r < 0 ? r : ssh_quote(out, json_get_string(restart, "unit"));
    r = r < 0 ? r
              : buffer_append_format(out,
                                     "\nsystemctl='%ssystemctl%s'\n"
                                     "journal='%sjournalctl%s --no-pager -o cat -n 40'\n"
                                     "case $1 in\n"
                                     "restart) exec $systemctl restart -- \"$unit\" ;;\n"
                                     "stop) exec $systemctl stop -- \"$unit\" ;;\n"
                                     "log) exec $journal -u \"$unit\" ;;\n"
                                     "status)\n",
                                     sudo, user, sudo, user);
    return r < 0 ? r : buffer_append_text(out, unit_status);
}

int ssh_service_append_control(const SshService *service, Buffer *out)
{
    const Json *json = service->json, *restart = json_get(json, "restart");
    int r;

    if (json_has(restart, "unit")) {
        r = append_unit(out, restart);
    } else {
        r = buffer_append_text(out, "case $1 in\n");
        r = r < 0 ? r : append_command(out, "restart", json_get(restart, "command"), 0, ":");
        r = r < 0 ? r
                  : append_command(out, "stop", json_pointer(json, "/stop/command"),
                                   service->restart_timeout_ms,
                                   "echo 'it has no stop command, and goes on'");
        r = r < 0 ? r
                  : append_command(out, "status", json_pointer(json, "/status/command"),
                                   service->health_timeout_ms, ":");
        r = r < 0
                ? r
                : append_command(out, "log", json_pointer(json, "/log/command"), LOG_LIMIT_MS, ":");
    }
    r = r < 0 ? r
              : append_command(out, "health", json_pointer(json, "/health/command"),
                               service->health_timeout_ms, ":");
    return r < 0 ? r : buffer_append_text(out, "esac\n");
}

/* ---- the variables ----------------------------------------------------------------------------
 */

/* In double quotes a shell and systemd agree about what needs a backslash. */
int ssh_service_append_env(const SshService *service, Buffer *out)
{
    int r = 0;

    for (JsonMember m = {0}; r == 0 && json_next_member(json_get(service->json, "env"), &m);) {
        r = buffer_append_format(out, "%s=\"", m.name);
        for (const char *c = json_as_string(m.value); r == 0 && *c; c++) {
            r = strchr("\"\\$`", *c) ? buffer_append(out, "\\", 1) : 0;
            r = r < 0 ? r : buffer_append(out, c, 1);
        }
        r = r < 0 ? r : buffer_append_text(out, "\"\n");
    }
    return r;
}

/* ---- names ------------------------------------------------------------------------------------
 */

int ssh_service_append_health_url(const SshService *service, const char *host, Buffer *out)
{
    bool is_ipv6 = strchr(host, ':');
    const char *at = service->health_url, *mark;
    int r = 0;

    while (r == 0 && (mark = strstr(at, HOST_MARK))) {
        r = buffer_append(out, at, (size_t)(mark - at));
        r = r < 0 ? r : buffer_append_format(out, is_ipv6 ? "[%s]" : "%s", host);
        at = mark + strlen(HOST_MARK);
    }
    return r < 0 ? r : buffer_append_text(out, at);
}

int ssh_service_append_app(const SshService *service, Buffer *out)
{
    return buffer_append_format(out, "%s:%s", service->id, service->base);
}

const char *ssh_service_base_of(const char *app)
{
    const char *colon = app ? strchr(app, ':') : NULL;

    return colon && (colon[1] == '/' || strncmp(colon + 1, "~/", 2) == 0) ? colon + 1 : NULL;
}
