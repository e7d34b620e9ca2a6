/* SPDX-License-Identifier: MIT */
#include "agent/calls/spawn.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHIM "slipway-shim"
#define HOST_KEY "slipway-host-key"
#define AUDIT_FORWARD "slipway-audit-forward"
#define REACH "slipway-reach"
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define REMOVER_NICE 10

/* ---- lists of strings -------------------------------------------------------------------------
 */

typedef struct Strings {
    char **items;
    size_t n;
    int problem;
} Strings;

char **spawn_free_strings(char **strings)
{
    for (char **s = strings; s && *s; s++) {
        free(*s);
    }
    free(strings);
    return NULL;
}

static void add(Strings *strings, const char *format, ...) _printf_(2, 3);
static void add(Strings *strings, const char *format, ...)
{
    char **items = realloc(strings->items, (strings->n + 2) * sizeof(*items));
    char *text = NULL;
    va_list ap;

    if (items) {
        strings->items = items;
    }
    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0) {
        text = NULL;
    }
    va_end(ap);
    if (!items || !text) {
        free(text);
        strings->problem = -ENOMEM;
        return;
    }
    strings->items[strings->n++] = text;
    strings->items[strings->n] = NULL;
}

/* Of two settings of one variable the later one counts. */
static void set_variable(Strings *strings, const char *name, const char *value)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < strings->n; i++) {
        if (strncmp(strings->items[i], name, n) == 0 && strings->items[i][n] == '=') {
            free(strings->items[i]);
            strings->items[i] = strings->items[--strings->n];
            strings->items[strings->n] = NULL;
            break;
        }
    }
    add(strings, "%s=%s", name, value);
}

static int take(Strings *strings, char ***ret)
{
    if (strings->problem) {
        strings->items = spawn_free_strings(strings->items);
        return strings->problem;
    }
    *ret = TAKE_PTR(strings->items);
    return 0;
}

/* ---- what a shim is given ---------------------------------------------------------------------
 */

int spawn_build_environment(const SpawnRequest *request, char ***ret)
{
    static const char *const inherited[] = {"PATH", "HOME",   "USER", "LOGNAME", "SHELL",
                                            "LANG", "LC_ALL", "TZ",   "TMPDIR"};
    const CallSpec *spec = request->spec;
    const char *terminal = getenv("TERM");
    Strings strings = {0};

    set_variable(&strings, "PATH", DEFAULT_PATH);
    for (size_t i = 0; i < ARRAY_SIZE(inherited); i++) {
        const char *value = getenv(inherited[i]);

        if (value) {
            set_variable(&strings, inherited[i], value);
        }
    }
    set_variable(&strings, "TERM", spec->is_terminal && terminal ? terminal : "dumb");
    set_variable(&strings, "CI", "true");
    for (JsonMember m = {0}; json_next_member(request->action->env, &m);) {
        set_variable(&strings, m.name, json_as_string(m.value));
    }
    set_variable(&strings, "SLIPWAY", "true");
    set_variable(&strings, "SLIPWAY_CALL", request->call);
    set_variable(&strings, "SLIPWAY_ACTION", spec->action);
    set_variable(&strings, "SLIPWAY_RUN", spec->run ? spec->run : request->call);
    set_variable(&strings, "SLIPWAY_WORKSPACE", spec->workspace);
    set_variable(&strings, "SLIPWAY_AGENT", request->config->name);
    if (spec->traceparent) {
        set_variable(&strings, "TRACEPARENT", spec->traceparent);
    }
    return take(&strings, ret);
}

static bool has_string(char *const *list, const char *wanted)
{
    for (; list && *list; list++) {
        if (strcmp(*list, wanted) == 0) {
            return true;
        }
    }
    return false;
}

int spawn_build_arguments(const SpawnRequest *request, char ***ret)
{
    const AgentConfig *config = request->config;
    const CallSpec *spec = request->spec;
    Strings strings = {0};

    add(&strings, "%s/%s", config->libexec_directory, SHIM);
    add(&strings, "--timeout-ms");
    add(&strings, "%lld", (long long)spec->timeout_ms);
    add(&strings, "--silence-timeout-ms");
    add(&strings, "%lld", (long long)spec->silence_timeout_ms);
    add(&strings, "--grace-ms");
    add(&strings, "%lld", (long long)spec->grace_ms);
    if (spec->is_terminal) {
        add(&strings, "--terminal");
    }
    if (request->files_max > 0) {
        add(&strings, "--files-max");
        add(&strings, "%lld", (long long)request->files_max);
    }
    if (request->cgroup) {
        add(&strings, "--cgroup");
        add(&strings, "%s", request->cgroup);
    }
    for (size_t i = 0; i < config->n_secrets; i++) {
        if (has_string(config->secrets[i].actions, request->action->name)) {
            add(&strings, "--secret");
            add(&strings, "%s=%s", config->secrets[i].name, config->secrets[i].file);
        }
    }
    add(&strings, "--");
    for (char **argument = request->action->command; *argument; argument++) {
        add(&strings, "%s", *argument);
    }
    return take(&strings, ret);
}

/* ---- processes --------------------------------------------------------------------------------
 */

void spawn_list_init(SpawnList *list, uv_loop_t *loop)
{
    struct rlimit files;

    *list = (SpawnList){.loop = loop};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        list->files_max = (int64_t)MIN(files.rlim_cur, (rlim_t)INT_MAX);
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void on_handle_closed(SpawnList *list)
{
    if (--list->n_open == 0 && list->closed) {
        list->closed(list->userdata);
    }
}

static void on_process_closed(uv_handle_t *handle)
{
    SpawnedProcess *process = handle->data;
    SpawnList *list = process->list;

    free(process);
    on_handle_closed(list);
}

static void forget_process(SpawnedProcess *process)
{
    SpawnedProcess **link = &process->list->first;

    while (*link != process) {
        link = &(*link)->next;
    }
    *link = process->next;
    uv_close((uv_handle_t *)&process->handle, on_process_closed);
}

/* A call learns of its shim's end from the control socket, as after an adoption; here it is only
 * reaped. */
static void on_process_exit(uv_process_t *handle, int64_t status, int signal)
{
    SpawnedProcess *process = handle->data;
    SpawnExited exited = process->exited;
    void *userdata = process->userdata;

    forget_process(process);
    if (exited) {
        exited(status, signal, userdata);
    }
}

/* *ret_process (may be NULL) is the list's. */
static int start_process(SpawnList *list, uv_process_options_t *options,
                         SpawnedProcess **ret_process)
{
    SpawnedProcess *process = calloc(1, sizeof(*process));
    int r;

    if (!process) {
        return -ENOMEM;
    }
    process->list = list;
    process->handle.data = process;
    process->next = list->first;
    list->first = process;
    list->n_open++;
    options->exit_cb = on_process_exit;
    r = uv_spawn(list->loop, &process->handle, options);
    uv_unref((uv_handle_t *)&process->handle);
    if (r < 0) {
        forget_process(process);
        return r;
    }
    if (ret_process) {
        *ret_process = process;
    }
    return 0;
}

/* ---- shims ------------------------------------------------------------------------------------
 */

static int run_shim(SpawnList *list, char **arguments, char **environment,
                    const SpawnRequest *request, int spec_fd)
{
    const int fds[] = {spec_fd,          STDERR_FILENO,       STDERR_FILENO,
                       request->call_fd, request->control_fd, request->lock_fd};
    uv_stdio_container_t stdio[ARRAY_SIZE(fds)];
    uv_process_options_t options = {
        .file = arguments[0],
        .args = arguments,
        .env = environment,
        .cwd = request->spec->workspace,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = (int)ARRAY_SIZE(fds),
        .stdio = stdio,
    };

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        stdio[i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = fds[i]};
    }
    return start_process(list, &options, NULL);
}

int spawn_shim(SpawnList *list, const SpawnRequest *request, Error *err)
{
    _cleanup_(spawn_free_stringsp) char **arguments = NULL;
    _cleanup_(spawn_free_stringsp) char **environment = NULL;
    _cleanup_fd_ int spec_fd = -1;
    int r;

    r = spawn_build_arguments(request, &arguments);
    r = r == 0 ? spawn_build_environment(request, &environment) : r;
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    spec_fd = openat(request->call_fd, "spec.json", O_RDONLY | O_CLOEXEC);
    if (spec_fd < 0) {
        return error_set_errno(err, -errno, "opening 'spec.json'");
    }
    r = run_shim(list, arguments, environment, request, spec_fd);
    if (r < 0) {
        return error_set_errno(err, r, "starting '%s' in '%s'", arguments[0],
                               request->spec->workspace);
    }
    return 0;
}

/* ---- programs of the agent's own --------------------------------------------------------------
 */

/* `name` of libexec on a directory of the state, with one more word (NULL: none). */
static int start_own(SpawnList *list, const AgentConfig *config, const char *name,
                     const char *directory_name, char *word, SpawnedProcess **ret_process,
                     Error *err)
{
    _cleanup_free_ char *program = NULL, *directory = NULL;
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
    };
    int r;

    if (asprintf(&program, "%s/%s", config->libexec_directory, name) < 0) {
        program = NULL;
    }
    if (asprintf(&directory, "%s/%s", config->state_directory, directory_name) < 0) {
        directory = NULL;
    }
    if (!program || !directory) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = start_process(list,
                      &(uv_process_options_t){
                          .file = program,
                          .args = (char *[]){program, directory, word, NULL},
                          .stdio_count = (int)ARRAY_SIZE(stdio),
                          .stdio = stdio,
                      },
                      ret_process);
    return r < 0 ? error_set_errno(err, r, "starting '%s'", program) : 0;
}

int spawn_host_key(SpawnList *list, const AgentConfig *config, Error *err)
{
    return start_own(list, config, HOST_KEY, "keys", NULL, NULL, err);
}

/* audit.forward, with who sends it. */
static int describe_target(const AgentConfig *config, Buffer *text)
{
    _cleanup_json_ Json *target = NULL;
    int r = json_copy(config->forward, &target);

    r = r < 0 ? r : json_set_string(target, "agent", config->name);
    return r < 0 ? r : json_format(target, text);
}

int spawn_audit_forward(SpawnList *list, const AgentConfig *config, SpawnExited exited,
                        void *userdata, SpawnedProcess **ret_process, Error *err)
{
    _cleanup_buffer_ Buffer target = BUFFER_INIT(0);
    SpawnedProcess *process = NULL;
    int r = describe_target(config, &target);

    r = r < 0 ? error_set(err, r, "out of memory")
              : start_own(list, config, AUDIT_FORWARD, "audit", target.data, &process, err);
    if (r == 0) { /* it is reaped in a later turn of the loop */
        process->exited = exited;
        process->userdata = userdata;
        *ret_process = process;
    }
    return r;
}

/* ---- who answers ------------------------------------------------------------------------------
 */

/* With the agent's environment: a resolver may be told things there. */
int spawn_reach(SpawnList *list, const AgentConfig *config, char *const *words, int out_fd,
                SpawnExited exited, void *userdata, Error *err)
{
    _cleanup_(spawn_free_stringsp) char **arguments = NULL;
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = out_fd},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
    };
    SpawnedProcess *process = NULL;
    Strings strings = {0};
    int r;

    add(&strings, "%s/" REACH, config->libexec_directory);
    for (; *words; words++) {
        add(&strings, "%s", *words);
    }
    r = take(&strings, &arguments);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = start_process(list,
                      &(uv_process_options_t){
                          .file = arguments[0],
                          .args = arguments,
                          .stdio_count = (int)ARRAY_SIZE(stdio),
                          .stdio = stdio,
                      },
                      &process);
    if (r < 0) {
        return error_set_errno(err, r, "starting '%s'", arguments[0]);
    }
    process->exited = exited; /* it is reaped in a later turn of the loop */
    process->userdata = userdata;
    return 0;
}

/* ---- the remover ------------------------------------------------------------------------------
 */

static _noreturn_ void remove_all(int trash_fd)
{
    struct dirent *entry;
    bool is_left = false;
    DIR *dir;

    /* Nothing of the agent's may live on in here: neither its signal handlers, which write to the
     * loop, nor the lock of the state directory. */
    for (int number = 1; number < NSIG; number++) {
        (void)signal(number, SIG_DFL);
    }
    if (dup2(trash_fd, STDERR_FILENO + 1) < 0) {
        _exit(1);
    }
    (void)close_range(STDERR_FILENO + 2, ~0u, 0);
    (void)setsid();
    if (nice(REMOVER_NICE) < 0) {
        errno = 0; /* then at the priority that there is */
    }
    dir = fdopendir(STDERR_FILENO + 1);
    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            is_left |= file_remove_tree(dirfd(dir), entry->d_name, NULL) < 0;
        }
    }
    _exit(is_left);
}

static void on_remover_closed(uv_handle_t *handle)
{
    SpawnList *list = handle->data;

    free(handle);
    on_handle_closed(list);
}

static void forget_remover(SpawnList *list)
{
    int fd;

    if (uv_fileno((uv_handle_t *)list->remover, &fd) == 0) {
        (void)uv_poll_stop(list->remover);
        (void)close(fd);
    }
    uv_close((uv_handle_t *)list->remover, on_remover_closed);
    list->remover = NULL;
    list->remover_pid = 0;
}

static void on_remover_exit(uv_poll_t *poll, int status, int events)
{
    SpawnList *list = poll->data;

    (void)waitpid(list->remover_pid, NULL, WNOHANG);
    forget_remover(list);
}

/* A process without threads may fork and go on without exec; the pidfd tells the loop of its end.
 */
static int watch_remover(SpawnList *list, pid_t pid)
{
    int pidfd = pidfd_open(pid, 0), r;

    list->remover = pidfd < 0 ? NULL : calloc(1, sizeof(*list->remover));
    if (!list->remover) {
        (void)close(pidfd);
        return pidfd < 0 ? -errno : -ENOMEM;
    }
    r = uv_poll_init(list->loop, list->remover, pidfd);
    if (r < 0) {
        free(TAKE_PTR(list->remover));
        (void)close(pidfd);
        return r;
    }
    list->remover->data = list;
    list->remover_pid = pid;
    list->n_open++;
    uv_unref((uv_handle_t *)list->remover);
    return uv_poll_start(list->remover, UV_READABLE, on_remover_exit);
}

int spawn_remover(SpawnList *list, int trash_fd, Error *err)
{
    pid_t pid;
    int r;

    if (list->remover) {
        return 0;
    }
    pid = fork();
    if (pid < 0) {
        return error_set_errno(err, -errno, "starting to clean up");
    }
    if (pid == 0) {
        remove_all(trash_fd);
    }
    r = watch_remover(list, pid);
    return r < 0 ? error_set_errno(err, r, "watching the clean-up") : 0;
}

void spawn_list_close(SpawnList *list, void (*closed)(void *userdata), void *userdata)
{
    list->closed = closed;
    list->userdata = userdata;
    while (list->first) {
        forget_process(list->first);
    }
    if (list->remover) {
        forget_remover(list);
    }
}
