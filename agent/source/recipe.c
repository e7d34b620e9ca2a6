/* SPDX-License-Identifier: MIT */
#include "agent/source/recipe.h"

#include "protocol/base/fd.h"
#include "protocol/base/file.h"
#include "protocol/base/text.h"
#include "protocol/schema.h"
#include "protocol/validate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECIPE_BYTES_MAX ((size_t)1 << 20)
#define MAKEFILE_BYTES_MAX ((size_t)4 << 20)

/* In the order in which make itself looks. */
static const char *const makefiles[] = {"GNUmakefile", "makefile", "Makefile"};

static const char *const junit_by_convention[] = {
    "**/junit*.xml",
    "**/TEST-*.xml",
    "build/junit/*.xml",
};

static const char *const step_names[_RECIPE_STEP_KIND_MAX] = {
    [RECIPE_BUILD] = "build",
    [RECIPE_TEST] = "test",
    [RECIPE_VERIFY] = "verify",
};

/* The script that is a step's command where none is named. */
static const char *const step_scripts[_RECIPE_STEP_KIND_MAX] = {
    [RECIPE_BUILD] = "./build.sh",
    [RECIPE_TEST] = "./test.sh",
    [RECIPE_VERIFY] = "./smoke.sh",
};

const char *recipe_step_name(RecipeStepKind kind)
{
    return step_names[kind];
}

void recipe_done(Recipe *recipe)
{
    (void)json_unref(recipe->root);
    *recipe = (Recipe){0};
}

void recipe_step_done(RecipeStep *step)
{
    for (size_t i = 0; i < step->n_artifacts; i++) {
        free(step->artifacts[i].patterns);
    }
    free(step->artifacts);
    free(step->junit);
    free(step->argv);
    *step = (RecipeStep){0};
}

/* ---- checking ---------------------------------------------------------------------------------
 */

/* What a schema cannot say is collected here, in the same words. */
typedef struct Checking {
    const Buffer *text;
    Buffer mistakes;
    int code;
} Checking;

static void mistake(Checking *c, const char *pointer, const char *value, const char *what)
{
    unsigned line, column;
    int r;

    json_locate(c->text->data, c->text->len, pointer, &line, &column);
    r = buffer_append_format(&c->mistakes, "%sline %u: %s: '%s' %s", c->mistakes.len ? "\n" : "",
                             line, pointer, value, what);
    c->code = r < 0 ? r : -EINVAL;
}

static bool leads_out(const char *path)
{
    path += *path == '!';
    for (const char *part = path; *part; part += strcspn(part, "/"), part += *part == '/') {
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) {
            return true;
        }
    }
    return false;
}

/* `value` is a text, or an array of them: paths that have to stay below the top. */
static void check_paths(Checking *c, const char *pointer, const Json *value)
{
    const char *path = json_as_string(value);

    if (path && leads_out(path)) {
        mistake(c, pointer, path, "leads out of the repository");
    }
    for (size_t i = 0; i < json_length(value); i++) {
        _cleanup_free_ char *child = NULL;

        if (asprintf(&child, "%s/%zu", pointer, i) < 0) {
            child = NULL;
            c->code = -ENOMEM;
            return;
        }
        check_paths(c, child, json_at(value, i));
    }
}

static bool is_name_taken(const Json *artifacts, size_t i)
{
    const char *name = json_get_string(json_at(artifacts, i), "name");

    for (size_t k = 0; name && k < i; k++) {
        const char *other = json_get_string(json_at(artifacts, k), "name");

        if (other && strcmp(other, name) == 0) {
            return true;
        }
    }
    return false;
}

static void check_artifacts(Checking *c, const char *step, const Json *artifacts)
{
    for (size_t i = 0; i < json_length(artifacts); i++) {
        const Json *artifact = json_at(artifacts, i);
        char pointer[80];

        (void)snprintf(pointer, sizeof(pointer), "/%s/artifacts/%zu/files", step, i);
        check_paths(c, pointer, json_get(artifact, "files"));
        if (is_name_taken(artifacts, i)) {
            (void)snprintf(pointer, sizeof(pointer), "/%s/artifacts/%zu/name", step, i);
            mistake(c, pointer, json_get_string(artifact, "name"),
                    "is the name of another artifact already");
        }
    }
}

static bool is_among(const Json *texts, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        const char *other = json_as_string(json_at(texts, i));

        if (other && strcmp(other, text) == 0) {
            return true;
        }
    }
    return false;
}

static void check_platforms(Checking *c, const Json *platforms, const Json *files)
{
    char pointer[80];

    for (size_t i = 0; i < json_length(platforms); i++) {
        const char *platform = json_as_string(json_at(platforms, i));

        if (platform && is_among(platforms, i, platform)) {
            (void)snprintf(pointer, sizeof(pointer), "/package/platforms/%zu", i);
            mistake(c, pointer, platform, "is there twice");
        }
    }
    for (size_t i = 0; i < json_length(files); i++) {
        const char *platform = json_get_string(json_at(files, i), "platform");

        if (platform && !is_among(platforms, json_length(platforms), platform)) {
            (void)snprintf(pointer, sizeof(pointer), "/package/files/%zu/platform", i);
            mistake(c, pointer, platform, "is none of /package/platforms");
        }
    }
}

/* What a Dockerfile says is said there. */
static void check_dockerfile(Checking *c, const Json *package)
{
    static const char *const others[] = {"files", "base", "platforms", "compression"};
    const char *dockerfile = json_get_string(package, "dockerfile");
    char pointer[80];

    check_paths(c, "/package/dockerfile", json_get(package, "dockerfile"));
    for (size_t i = 0; dockerfile && i < ARRAY_SIZE(others); i++) {
        if (json_has(package, others[i])) {
            (void)snprintf(pointer, sizeof(pointer), "/package/%s", others[i]);
            mistake(c, pointer, dockerfile, "builds the image, so this says nothing");
        }
    }
}

static void check_package(Checking *c, const Json *package)
{
    const Json *files = json_get(package, "files");
    const char *base = json_get_string(package, "base");

    if (base && text_has_prefix(base, "./")) {
        check_paths(c, "/package/base", json_get(package, "base"));
    }
    check_platforms(c, json_get(package, "platforms"), files);
    check_dockerfile(c, package);
    for (size_t i = 0; i < json_length(files); i++) {
        char pointer[80];

        (void)snprintf(pointer, sizeof(pointer), "/package/files/%zu/from", i);
        check_paths(c, pointer, json_get(json_at(files, i), "from"));
        (void)snprintf(pointer, sizeof(pointer), "/package/files/%zu/to", i);
        check_paths(c, pointer, json_get(json_at(files, i), "to"));
    }
}

/* `files` of a package's own, which may also name a place without content. */
static void check_places(Checking *c, const char *pointer, const Json *files)
{
    static const char *const members[] = {"from", "to"};

    for (size_t i = 0; i < json_length(files); i++) {
        const Json *file = json_at(files, i);
        bool has_from = json_has(file, "from"), is_dir = json_get_bool(file, "dir", false);
        char place[128];

        (void)snprintf(place, sizeof(place), "%s/%zu", pointer, i);
        if (!has_from && !is_dir && !json_get_bool(file, "ghost", false)) {
            const char *to = json_get_string(file, "to");

            mistake(c, place, to ? to : "", "has no `from`, and is neither `dir` nor `ghost`");
        }
        if (has_from && is_dir) {
            mistake(c, place, "dir", "makes an empty directory, so there can be no `from`");
        }
        for (size_t k = 0; k < ARRAY_SIZE(members); k++) {
            (void)snprintf(place, sizeof(place), "%s/%zu/%s", pointer, i, members[k]);
            check_paths(c, place, json_get(file, members[k]));
        }
    }
}

/* What a package of a distribution names of the repository; `pointer` is where it stands. */
static void check_distribution(Checking *c, const char *pointer, const Json *package)
{
    static const char *const members[] = {"copyright", "changelog"};
    const Json *units = json_get(package, "units");
    char child[80];

    (void)snprintf(child, sizeof(child), "%s/files", pointer);
    check_places(c, child, json_get(package, "files"));
    for (JsonMember m = {0}; json_next_member(json_get(package, "scripts"), &m);) {
        (void)snprintf(child, sizeof(child), "%s/scripts/%.32s", pointer, m.name);
        check_paths(c, child, m.value);
    }
    for (size_t i = 0; i < json_length(units); i++) {
        (void)snprintf(child, sizeof(child), "%s/units/%zu/from", pointer, i);
        check_paths(c, child, json_get(json_at(units, i), "from"));
    }
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        const char *path = json_get_string(package, members[i]);

        if (path && leads_out(path)) {
            (void)snprintf(child, sizeof(child), "%s/%s", pointer, members[i]);
            mistake(c, child, path, "leads out of the repository");
        }
    }
}

static void check_all(Checking *c, const Json *root)
{
    for (size_t kind = 0; kind < _RECIPE_STEP_KIND_MAX; kind++) {
        const char *name = step_names[kind];
        const Json *step = json_get(root, name);
        char pointer[80];

        (void)snprintf(pointer, sizeof(pointer), "/%s/directory", name);
        check_paths(c, pointer, json_get(step, "directory"));
        (void)snprintf(pointer, sizeof(pointer), "/%s/junit", name);
        check_paths(c, pointer, json_get(step, "junit"));
        check_artifacts(c, name, json_get(step, "artifacts"));
    }
    check_package(c, json_get(root, "package"));
    check_distribution(c, "/package/deb", json_pointer(root, "/package/deb"));
    check_distribution(c, "/package/rpm", json_pointer(root, "/package/rpm"));
    check_paths(c, "/deploy/template", json_pointer(root, "/deploy/template"));
}

/* Everything that is wrong at once: what the schema says, then what it cannot say. */
static int check(const Json *root, const Buffer *text, Error *err)
{
    _cleanup_json_ Json *schema = NULL;
    _cleanup_error_ Error problem = {0};
    Checking c = {.text = text};
    int r = schema_load("slipway", &schema, err);

    if (r < 0) {
        return r;
    }
    r = validate_value(schema, root, text->data, text->len, &problem);
    if (r < 0 && r != -EINVAL) {
        return error_set(err, r, "%s", error_text(&problem));
    }
    check_all(&c, root);
    if (c.code < 0 || r < 0) {
        r = error_set(err, c.code < 0 ? c.code : r, "%s%s%s", r < 0 ? error_text(&problem) : "",
                      r < 0 && c.mistakes.len ? "\n" : "", buffer_text(&c.mistakes));
    }
    buffer_done(&c.mistakes);
    return r;
}

static int parse(const Buffer *text, Json **ret, Error *err)
{
    _cleanup_json_ Json *root = NULL;
    int r = json_parse(buffer_text(text), text->len, &root, err);

    if (r == 0) {
        r = check(root, text, err);
    }
    if (r < 0) {
        return r;
    }
    *ret = TAKE_PTR(root);
    return 0;
}

int recipe_parse(const char *text, size_t n, Recipe *ret, Error *err)
{
    const Buffer borrowed = {.data = (char *)text, .len = n};
    Recipe recipe = {.is_there = true};
    int r = parse(&borrowed, &recipe.root, err);

    if (r == 0) {
        *ret = recipe;
    }
    return r;
}

int recipe_read(int workspace_fd, Recipe *ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(RECIPE_BYTES_MAX);
    int r;

    if (!file_exists(workspace_fd, RECIPE_FILE)) {
        Recipe none = {.root = json_new_object()};

        *ret = none;
        return none.root ? 0 : error_set(err, -ENOMEM, "out of memory");
    }
    r = file_read(workspace_fd, RECIPE_FILE, &text, err);
    if (r < 0) {
        return r;
    }
    r = recipe_parse(buffer_text(&text), text.len, ret, err);
    return r < 0 ? error_wrap(err, RECIPE_FILE) : 0;
}

/* ---- conventions ------------------------------------------------------------------------------
 */

static bool is_file(int workspace_fd, const char *name)
{
    struct stat st;

    return fstatat(workspace_fd, name, &st, 0) == 0 && S_ISREG(st.st_mode);
}

bool recipe_makefile_has_target(const char *text, const char *target)
{
    size_t n = strlen(target);

    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t head = strcspn(line, ":=#\n");
        const char *word = line;

        /* A rule: names before a colon that assigns nothing. Recipes begin with a tab. */
        if (*line == '\t' || line[head] != ':' || line[head + 1] == '=' ||
            strncmp(line + head, "::=", 3) == 0) {
            continue;
        }
        while (word < line + head) {
            size_t len = strcspn(word, " \t:");

            if (len == n && strncmp(word, target, n) == 0) {
                return true;
            }
            word += len + strspn(word + len, " \t");
        }
    }
    return false;
}

/* 1: there is a Makefile that will do; 0: there is none. */
static int find_makefile(int workspace_fd, const char *target, Error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(makefiles); i++) {
        _cleanup_buffer_ Buffer text = BUFFER_INIT(MAKEFILE_BYTES_MAX);
        int r;

        if (!is_file(workspace_fd, makefiles[i])) {
            continue;
        }
        if (!target) {
            return 1;
        }
        r = file_read(workspace_fd, makefiles[i], &text, err);
        return r < 0 ? r : recipe_makefile_has_target(buffer_text(&text), target);
    }
    return 0;
}

static int set_argv(RecipeStep *step, const char *const *words, size_t n, Error *err)
{
    step->argv = calloc(n + 1, sizeof(*step->argv));
    if (!step->argv) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    memcpy(step->argv, words, n * sizeof(*words));
    return 0;
}

static int find_convention(int dir_fd, RecipeStepKind kind, RecipeStep *step, Error *err)
{
    const char *const script[] = {step_scripts[kind]};
    const char *const make[] = {"make", "check"};
    bool is_test = kind == RECIPE_TEST;
    int r;

    if (is_file(dir_fd, step_scripts[kind])) {
        step->title = script[0];
        return set_argv(step, script, 1, err);
    }
    if (kind == RECIPE_VERIFY) {
        return 0;
    }
    r = find_makefile(dir_fd, is_test ? "check" : NULL, err);
    if (r <= 0) {
        return r;
    }
    step->title = is_test ? "make check" : "make";
    return set_argv(step, make, is_test ? 2 : 1, err);
}

/* Conventions hold where the step will run. */
static int find_command(int workspace_fd, RecipeStepKind kind, const Json *declared,
                        RecipeStep *step, Error *err)
{
    const char *directory = json_get_string(declared, "directory");
    _cleanup_fd_ int fd = -1;

    if (!directory) {
        return find_convention(workspace_fd, kind, step, err);
    }
    fd = openat(workspace_fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return error_set_errno(err, -errno, "/%s/directory: '%s'", step_names[kind], directory);
    }
    return find_convention(fd, kind, step, err);
}

/* ---- steps ------------------------------------------------------------------------------------
 */

static int get_texts(const Json *array, const char ***ret, size_t *ret_n, Error *err)
{
    size_t n = json_length(array);

    *ret = calloc(n + 1, sizeof(**ret));
    if (!*ret) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        (*ret)[i] = json_as_string(json_at(array, i));
    }
    *ret_n = n;
    return 0;
}

static int get_command(const Json *command, RecipeStep *step, Error *err)
{
    const char *text = json_as_string(command);
    size_t n;
    int r;

    if (text) {
        const char *const shell[] = {"sh", "-eu", "-c", text};

        step->title = text;
        return set_argv(step, shell, ARRAY_SIZE(shell), err);
    }
    r = get_texts(command, &step->argv, &n, err);
    if (r == 0) {
        step->title = step->argv[0];
    }
    return r;
}

static int get_artifacts(const Json *artifacts, RecipeStep *step, Error *err)
{
    size_t n = json_length(artifacts);

    step->artifacts = calloc(n + 1, sizeof(*step->artifacts));
    if (!step->artifacts) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        RecipeArtifact *artifact = &step->artifacts[step->n_artifacts++];
        const Json *declared = json_at(artifacts, i);
        int r =
            get_texts(json_get(declared, "files"), &artifact->patterns, &artifact->n_patterns, err);

        if (r < 0) {
            return r;
        }
        artifact->name = json_get_string(declared, "name");
    }
    return 0;
}

static int get_junit(const Json *patterns, RecipeStepKind kind, RecipeStep *step, Error *err)
{
    if (patterns || kind == RECIPE_BUILD) {
        step->is_junit_declared = patterns != NULL;
        return get_texts(patterns, &step->junit, &step->n_junit, err);
    }
    step->junit = calloc(ARRAY_SIZE(junit_by_convention), sizeof(*step->junit));
    if (!step->junit) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    memcpy(step->junit, junit_by_convention, sizeof(junit_by_convention));
    step->n_junit = ARRAY_SIZE(junit_by_convention);
    return 0;
}

int recipe_get_step(const Recipe *recipe, int workspace_fd, RecipeStepKind kind, RecipeStep *ret,
                    Error *err)
{
    const Json *declared = json_get(recipe->root, step_names[kind]);
    const Json *command = json_get(declared, "command");
    _cleanup_recipe_step_ RecipeStep step = {0};
    double seconds = json_as_number(json_get(declared, "timeoutSeconds"), 0);
    int r = command ? get_command(command, &step, err)
                    : find_command(workspace_fd, kind, declared, &step, err);

    r = r == 0 ? get_artifacts(json_get(declared, "artifacts"), &step, err) : r;
    r = r == 0 ? get_junit(json_get(declared, "junit"), kind, &step, err) : r;
    if (r < 0) {
        return r;
    }
    step.directory = json_get_string(declared, "directory");
    step.env = json_get(declared, "env");
    step.timeout_ms = (int64_t)(seconds * 1000);
    *ret = step;
    step = (RecipeStep){0};
    return 0;
}
