/* SPDX-License-Identifier: MIT */
/* What rpm runs around an installation: scripts of the repository, and what systemd units need. */
#pragma once

#include "agent/package/rpm/rpm-relation.h"
#include "protocol/json.h"

/* A larger one is no scriptlet. */
#define RPM_SCRIPT_BYTES_MAX ((size_t)1 << 20)

typedef enum RpmMoment {
    RPM_MOMENT_PRETRANS,
    RPM_MOMENT_PRE,
    RPM_MOMENT_POST,
    RPM_MOMENT_PREUN,
    RPM_MOMENT_POSTUN,
    RPM_MOMENT_POSTTRANS,
    _RPM_MOMENT_MAX,
} RpmMoment;

typedef struct RpmScript {
    char *text;     /* NULL: there is none */
    char *program;  /* what runs it: "/bin/sh", "<lua>", the path of its #! line */
    char *argument; /* the rest of that line, or NULL */
} RpmScript;

typedef struct RpmScripts {
    RpmScript list[_RPM_MOMENT_MAX];
} RpmScripts;

void rpm_scripts_done(RpmScripts *scripts);
#define _cleanup_rpm_scripts_ _cleanup_(rpm_scripts_done)

/* `scripts` has a path of the workspace for each moment, `units` are the package's; either may be
 * NULL. A script is run by what its #! line names, without one by /bin/sh, one called *.lua by rpm
 * itself. Around units stands what %systemd_post, %systemd_preun and %systemd_postun_with_restart
 * expand to, in words that need no macro: a package is upgraded without stopping the service, which
 * is restarted once the new files are all there. */
int rpm_scripts_read(int workspace_fd, const Json *scripts, const Json *units, RpmScripts *ret,
                     Error *err) _must_check_;

/* Into the header, and what has to be there to run them into `requires`. */
int rpm_scripts_write(const RpmScripts *scripts, RpmHeader *header,
                      RpmRelations *requires) _must_check_;

/* "greeter.service" of a unit's `from`; borrowed. */
const char *rpm_unit_name(const Json *unit);
