/* SPDX-License-Identifier: MIT */
/* A keyring with one key, in the test's own directory. */
#pragma once

#include "agent/package/repository/gpg.h"
#include "tests/unit/scratch.h"

#define GPG_HOME_KEY "test@example.org"

typedef struct GpgHome {
    char path[128];
    GpgKey key;
} GpgHome;

_unused_ static void gpg_home_run(const GpgHome *home, const char *command)
{
    char text[512];

    (void)snprintf(text, sizeof(text), "export GNUPGHOME='%s'; { %s; } >'%s/log' 2>&1", home->path,
                   command, home->path);
    if (system(text) != 0) {
        fail_msg("%s", text);
    }
}

_unused_ static bool gpg_home_has_agent(const GpgHome *home)
{
    gpg_home_run(home, "gpg-connect-agent --no-autostart 'GETINFO pid' /bye");
    {
        char path[160];
        _cleanup_free_ char *log = NULL;

        (void)snprintf(path, sizeof(path), "%s/log", home->path);
        log = scratch_read(AT_FDCWD, path, NULL);
        return strncmp(log, "D ", 2) == 0;
    }
}

/* One that was told to end takes a moment. */
_unused_ static bool gpg_home_is_left_alone(const GpgHome *home)
{
    for (int i = 0; i < 1000; i++) {
        if (!gpg_home_has_agent(home)) {
            return true;
        }
    }
    return false;
}

_unused_ static void gpg_home_make(GpgHome *home, const char *directory)
{
    (void)snprintf(home->path, sizeof(home->path), "%s/gnupg", directory);
    assert_int_equal(mkdir(home->path, 0700), 0);
    home->key = (GpgKey){.key = GPG_HOME_KEY, .home = home->path, .work_directory = directory};
    gpg_home_run(home, "gpg --batch --pinentry-mode loopback --passphrase '' --quick-generate-key "
                       "'Test <" GPG_HOME_KEY ">' ed25519 sign 0 && gpgconf --kill gpg-agent");
    assert_true(gpg_home_is_left_alone(home));
}
