/* SPDX-License-Identifier: MIT */
#include "agent/calls/confinement.h"

#include "tests/unit/scratch.h"

#include <linux/landlock.h>
#include <sys/syscall.h>

/* Directories that every host has; nothing is made in them. */
static const struct {
    const char *state, *home, *temporary;
    ConfineWish wish;
    const char *expected; /* what the note begins with */
    bool is_for_root;     /* nobody else may write there */
} rows[] = {
    {"/usr/lib", "/root", NULL, CONFINE_WHERE_POSSIBLE, "landlock", false},
    {"/usr/lib", NULL, NULL, CONFINE_ALWAYS, "landlock", false},
    {"/usr/lib", "/nonexistent", "relative", CONFINE_ALWAYS, "landlock", false},
    {"/usr/libexec", "/usr/lib", NULL, CONFINE_ALWAYS, "landlock", false},
    {"/usr/lib", "/etc", "/tmp", CONFINE_NEVER, "none: agent.json says so", false},
    {"/usr/lib", "/usr", NULL, CONFINE_ALWAYS, "none: the state directory is in $HOME", true},
    {"/usr/lib", "/usr/lib", NULL, CONFINE_ALWAYS, "none: $HOME is in the state", false},
    {"/usr/lib", "/", NULL, CONFINE_ALWAYS, "none: the state directory is in $HOME", true},
    {"/usr", "/usr/lib/", NULL, CONFINE_ALWAYS, "none: $HOME is in the state directory", false},
    {"/usr/lib", "/root", "/usr", CONFINE_ALWAYS, "none: the state directory is in $TMPDIR", true},
    {"/nonexistent", NULL, NULL, CONFINE_ALWAYS, "none: '/nonexistent': No such file", false},
};

static Confinement look(const char *directory, ConfineWish wish)
{
    AgentConfig config = {.state_directory = (char *)directory, .confine = wish};
    Confinement confinement;

    assert_int_equal(confinement_init(&confinement, &config), 0);
    assert_int_equal(confinement.is_on, strcmp(confinement.note, "landlock") == 0);
    return confinement;
}

static void set(const char *name, const char *value)
{
    (void)(value ? setenv(name, value, 1) : unsetenv(name));
}

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION) >=
           2;
}

static void decides_by_the_place(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Confinement confinement;
        const char *expected = rows[i].expected;

        if (rows[i].is_for_root && geteuid() != 0) {
            continue;
        }
        if (!has_landlock() && rows[i].wish != CONFINE_NEVER) {
            expected = "none: this kernel";
        }
        set("HOME", rows[i].home);
        set("TMPDIR", rows[i].temporary);
        confinement = look(rows[i].state, rows[i].wish);
        if (strncmp(confinement.note, expected, strlen(expected)) != 0) {
            fail_msg("row %zu: %s", i, confinement.note);
        }
        confinement_done(&confinement);
    }
}

static void knows_where_anybody_makes_files(void **state)
{
    Confinement confinement;

    set("HOME", NULL);
    set("TMPDIR", NULL);
    confinement = look(SCRATCH_PATH, CONFINE_ALWAYS);
    assert_int_equal(strncmp(confinement.note, "none: ", strlen("none: ")), 0);
    assert_non_null(strstr(confinement.note, has_landlock() ? "/tmp" : "kernel"));
    confinement_done(&confinement);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decides_by_the_place),
        scratch_test(knows_where_anybody_makes_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
