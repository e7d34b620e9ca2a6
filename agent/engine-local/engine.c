/* SPDX-License-Identifier: MIT */
#include "agent/engine-local/engine.h"

#include "agent/engine-local/app-record.h"
#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_WAIT_MS 300
#define LOCK_STEP_MS 5
#define APP_FILE_SUFFIX ".json"
/* APP_DEPLOYMENTS_MAX specifications of HTTP_BODY_BYTES_MAX, and what they say of their ends. */
#define APP_FILE_BYTES_MAX ((size_t)16 << 20)

struct Engine {
    Loop *loop;
    Health *health;
    Forward *forward;
    char *keeper_path;
    int state_fd, lock_fd, apps_fd, instances_fd, logs_fd;
    InstanceHost host;
    App *apps;
    size_t n_apps;
    bool is_stopping;
};

/* ---- apps -------------------------------------------------------------------------------------
 */

App *engine_first_app(const Engine *engine)
{
    return engine->apps;
}

App *engine_find_app(const Engine *engine, const char *id)
{
    App *app = engine->apps;

    while (app && strcmp(app->id, id) != 0) {
        app = app->next;
    }
    return app;
}

Deployment *engine_find_deployment(const Engine *engine, const char *id, App **ret_app)
{
    for (App *app = engine->apps; app; app = app->next) {
        Deployment *d = app_find_deployment(app, id);

        if (d) {
            *ret_app = app;
            return d;
        }
    }
    return NULL;
}

size_t engine_connections(const Engine *engine)
{
    return forward_connections(engine->forward);
}

static void forget_app(Engine *engine, App *app)
{
    for (App **at = &engine->apps; *at; at = &(*at)->next) {
        if (*at == app) {
            *at = app->next;
            engine->n_apps--;
            (void)app_free(app);
            break;
        }
    }
    if (engine->is_stopping && !engine->apps) {
        loop_stop(engine->loop);
    }
}

static char *app_file_name(const App *app)
{
    char *name = NULL;

    return asprintf(&name, "%s" APP_FILE_SUFFIX, app->id) < 0 ? NULL : name;
}

static void remove_app_file(const Engine *engine, const App *app)
{
    _cleanup_free_ char *name = app_file_name(app);

    if (name && unlinkat(engine->apps_fd, name, 0) < 0 && errno != ENOENT) {
        log_error_errno(-errno, "cannot remove '%s'", name);
    }
}

static int save_app(const Engine *engine, const App *app)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(APP_FILE_BYTES_MAX);
    _cleanup_free_ char *name = app_file_name(app);
    _cleanup_error_ Error err = {0};
    _cleanup_json_ Json *json = NULL;
    int r = name ? app_record_to_json(app, &json) : -ENOMEM;

    r = r < 0 ? r : json_format_pretty(json, &text);
    r = r < 0 ? r : file_replace(engine->apps_fd, name, text.data, text.len, 0600, &err);
    if (r < 0) {
        log_error("cannot keep the state of '%s': %s", app->id, error_text(&err));
    }
    return r;
}

static int on_app(App *app, void *userdata)
{
    Engine *engine = userdata;

    if (app->state != APP_GONE) {
        return save_app(engine, app);
    }
    if (!app->serving && !app->running && !engine->is_stopping) {
        remove_app_file(engine, app);
    }
    forget_app(engine, app);
    return 0;
}

static int add_app(Engine *engine, const char *id, App **ret)
{
    App *app = app_new(&engine->host, id, on_app, engine);

    if (!app) {
        return -ENOMEM;
    }
    app->next = engine->apps;
    engine->apps = app;
    engine->n_apps++;
    *ret = app;
    return 0;
}

/* One that never served and has nothing to do is only the memory of a deployment that failed. */
static void forget_failed_app(Engine *engine)
{
    for (App *app = engine->apps; app; app = app->next) {
        if (app->state == APP_NEW && !app->running && !app->instances) {
            remove_app_file(engine, app);
            forget_app(engine, app);
            return;
        }
    }
}

int engine_get_app(Engine *engine, const char *id, App **ret, Error *err)
{
    App *app = engine_find_app(engine, id);

    if (app) {
        *ret = app;
        return 0;
    }
    if (engine->n_apps >= ENGINE_APPS_MAX) {
        forget_failed_app(engine);
    }
    if (engine->n_apps >= ENGINE_APPS_MAX) {
        return error_set(err, -EBUSY, "this engine has %d apps, and no more are allowed",
                         ENGINE_APPS_MAX);
    }
    return add_app(engine, id, ret) < 0 ? error_set(err, -ENOMEM, "out of memory") : 0;
}

/* ---- after a restart --------------------------------------------------------------------------
 */

typedef int (*NameFunction)(Engine *engine, const char *name, Error *err);

static int for_each_name(Engine *engine, int dir_fd, NameFunction function, Error *err)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        r = error_set_errno(err, -errno, "cannot read the state directory");
        (void)fd_close(fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.') {
            r = function(engine, entry->d_name, err);
        }
    }
    (void)closedir(dir);
    return r;
}

static int load_app(Engine *engine, const char *name, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(APP_FILE_BYTES_MAX);
    _cleanup_json_ Json *json = NULL;
    const char *id;
    App *app;
    int r;

    if (strlen(name) < strlen(APP_FILE_SUFFIX) ||
        strcmp(name + strlen(name) - strlen(APP_FILE_SUFFIX), APP_FILE_SUFFIX) != 0) {
        return 0; /* what a file_replace left that was cut short */
    }
    r = file_read(engine->apps_fd, name, &text, err);
    r = r < 0 ? r : json_parse(text.data, text.len, &json, err);
    if (r < 0) {
        return error_wrap(err, "the state of app '%s'", name);
    }
    id = json_get_string(json, "app");
    if (!id || !text_is_identifier(id)) {
        return error_set(err, -EBADMSG, "'%s' does not say which app it is of", name);
    }
    r = add_app(engine, id, &app);
    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    r = app_record_from_json(json, app, err);
    return r < 0 ? error_wrap(err, "the state of app '%s'", id) : 0;
}

static int find_instance(Engine *engine, const char *name, Error *err)
{
    _cleanup_(instance_record_done) InstanceRecord record = {0};
    _cleanup_error_ Error why = {0};
    App *app;

    if (instance_record_read(&engine->host, name, &record, &why) < 0) {
        log_warning("ending instance %s: %s", name, error_text(&why));
        instance_end_unknown(&engine->host, name);
        return 0;
    }
    app = engine_find_app(engine, record.app);
    if (app) {
        app_adopt(app, name, &record);
    } else {
        instance_end_unknown(&engine->host, name);
    }
    return 0;
}

static int load(Engine *engine, Error *err)
{
    int r = for_each_name(engine, engine->apps_fd, load_app, err);

    r = r < 0 ? r : for_each_name(engine, engine->instances_fd, find_instance, err);
    for (App *app = engine->apps; r == 0 && app; app = app->next) {
        app_step_soon(app);
    }
    return r;
}

/* ---- from start to end ------------------------------------------------------------------------
 */

static int open_directory(int parent_fd, const char *name, Error *err)
{
    int fd;

    if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST) {
        return error_set_errno(err, -errno, "cannot make directory '%s'", name);
    }
    fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_set_errno(err, -errno, "cannot open directory '%s'", name) : fd;
}

/* An engine that was killed while it started a keeper has the lock until that child's exec. */
static int take_lock(int fd)
{
    const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};
    int64_t until = clock_monotonic_ms() + LOCK_WAIT_MS;

    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (clock_monotonic_ms() >= until) {
            return -EBUSY;
        }
        (void)nanosleep(&step, NULL);
    }
    return 0;
}

static int open_directories(Engine *engine, const char *state_path, Error *err)
{
    const struct {
        const char *name;
        int *fd;
    } directories[] = {
        {"apps", &engine->apps_fd},
        {"instances", &engine->instances_fd},
        {"logs", &engine->logs_fd},
    };
    int r = file_make_dirs(state_path, 0700, err);

    if (r < 0) {
        return r;
    }
    engine->state_fd = open(state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    engine->lock_fd = engine->state_fd < 0
                          ? -1
                          : openat(engine->state_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (engine->lock_fd < 0) {
        return error_set_errno(err, -errno, "cannot open the state directory '%s'", state_path);
    }
    if (take_lock(engine->lock_fd) < 0) {
        return error_set(err, -EBUSY, "another engine has the state directory '%s'", state_path);
    }
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        *directories[i].fd = open_directory(engine->state_fd, directories[i].name, err);
        if (*directories[i].fd < 0) {
            return *directories[i].fd;
        }
    }
    return 0;
}

int engine_open(Loop *loop, const char *state_path, const char *keeper_path, int64_t files_max,
                Engine **ret, Error *err)
{
    _cleanup_(engine_closep) Engine *engine = calloc(1, sizeof(*engine));
    int r;

    if (!engine) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *engine = (Engine){
        .loop = loop,
        .state_fd = -1,
        .lock_fd = -1,
        .apps_fd = -1,
        .instances_fd = -1,
        .logs_fd = -1,
        .keeper_path = strdup(keeper_path),
    };
    r = open_directories(engine, state_path, err);
    if (r < 0) {
        return r;
    }
    if (!engine->keeper_path || health_new(loop, &engine->health) < 0 ||
        forward_new(loop, ENGINE_CONNECTIONS_MAX, &engine->forward) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    engine->host = (InstanceHost){
        .loop = loop,
        .health = engine->health,
        .forward = engine->forward,
        .instances_fd = engine->instances_fd,
        .logs_fd = engine->logs_fd,
        .keeper_path = engine->keeper_path,
        .files_max = files_max,
    };
    r = load(engine, err);
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(engine);
    return 0;
}

Engine *engine_close(Engine *engine)
{
    if (engine) {
        while (engine->apps) {
            App *app = engine->apps;

            engine->apps = app->next;
            (void)app_free(app);
        }
        (void)forward_free(engine->forward);
        (void)health_free(engine->health);
        (void)fd_close(engine->logs_fd);
        (void)fd_close(engine->instances_fd);
        (void)fd_close(engine->apps_fd);
        (void)fd_close(engine->lock_fd);
        (void)fd_close(engine->state_fd);
        free(engine->keeper_path);
        free(engine);
    }
    return NULL;
}

bool engine_is_stopping(const Engine *engine)
{
    return engine->is_stopping;
}

void engine_stop(Engine *engine)
{
    bool is_again = engine->is_stopping;

    engine->is_stopping = true;
    for (App *app = engine->apps; app; app = app->next) {
        if (is_again) {
            app_stop_at_once(app);
        } else {
            app_stop(app);
        }
    }
    if (!engine->apps) {
        loop_stop(engine->loop);
    }
}
