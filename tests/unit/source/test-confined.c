/* SPDX-License-Identifier: MIT */
#include "agent/source/confined.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <sys/wait.h>

typedef struct Host {
    char *state, *workspace, *cache;
    ConfinedPlaces places;
} Host;

static char *below(const char *directory, const char *name)
{
    char *path;

    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    return path;
}

static Host make_host(void **state)
{
    Host host = {.state = below(SCRATCH_PATH, "state"),
                 .workspace = below(SCRATCH_PATH, "state/runs/r/workspace"),
                 .cache = below(SCRATCH_PATH, "state/cache")};

    scratch_write_text(SCRATCH_FD, "state/keys/agent.key", "x");
    scratch_write_text(SCRATCH_FD, "state/runs/r/workspace/file", "x");
    host.places = (ConfinedPlaces){host.state, host.workspace, host.cache};
    return host;
}

static void host_done(Host *host)
{
    free(host->state);
    free(host->workspace);
    free(host->cache);
}

/* One bit for each of: read the key, write the workspace, read the mirrors, write them. */
static int look(int fd, const Confine *confine)
{
    static const struct {
        const char *path;
        int flags;
    } tries[] = {{"state/keys/agent.key", O_RDONLY},
                 {"state/runs/r/workspace/file", O_RDWR},
                 {"state/cache/git/HEAD", O_RDONLY},
                 {"state/cache/git/HEAD", O_RDWR}};
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int found = 0;

        if (confine_enter(confine) < 0) {
            _exit(255);
        }
        for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
            found |= openat(fd, tries[i].path, tries[i].flags | O_CLOEXEC) >= 0 ? 1 << i : 0;
        }
        _exit(found);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void gives_what_each_kind_needs(void **state)
{
    static const struct {
        ConfinedKind kind;
        int found;
    } rows[] = {{CONFINED_GIT, 2 | 4 | 8}, {CONFINED_STEP, 2 | 4}};
    Host host = make_host(state);

    if (syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION) <
        2) {
        host_done(&host);
        skip();
    }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_confine_ Confine confine = CONFINE_INIT;

        if (rows[i].kind == CONFINED_STEP) {
            scratch_write_text(SCRATCH_FD, "state/cache/git/HEAD", "x");
        }
        assert_int_equal(confined_open(&host.places, rows[i].kind, &confine, NULL), 1);
        scratch_write_text(SCRATCH_FD, "state/cache/git/HEAD", "x"); /* made by git: after */
        assert_int_equal(look(SCRATCH_FD, &confine), rows[i].found);
    }
    host_done(&host);
}

static void does_nothing_unless_told(void **state)
{
    Host host = make_host(state);
    Confine confine = CONFINE_INIT;

    host.places.state = NULL;
    assert_int_equal(confined_open(&host.places, CONFINED_STEP, &confine, NULL), 0);
    assert_int_equal(confine.fd, -1);
    host_done(&host);
}

/* A step that was to be confined does not run without. */
static void fails_where_it_cannot(void **state)
{
    _cleanup_error_ Error err = {0};
    Host host = make_host(state);
    Confine confine = CONFINE_INIT;

    host.places.state = "/nonexistent";
    assert_int_equal(confined_open(&host.places, CONFINED_STEP, &confine, &err), -ENOENT);
    assert_non_null(strstr(error_text(&err), "\"confine\": false in agent.json"));
    host_done(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(gives_what_each_kind_needs),
        scratch_test(does_nothing_unless_told),
        scratch_test(fails_where_it_cannot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
