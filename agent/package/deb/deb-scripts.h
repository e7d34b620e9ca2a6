/* SPDX-License-Identifier: MIT */
/* The maintainer scripts of a Debian package: the repository's own, and what its systemd units
 * need.
 *
 * Units are enabled and started on configure, restarted by an upgrade, stopped on remove, forgotten
 * on purge. An administrator's choice survives: deb-systemd-helper keeps the state of links,
 * deb-systemd-invoke heeds policy-rc.d. Where systemd does not run (a container, an image being
 * made) links are made and nothing is started. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

#include <stdbool.h>

typedef enum DebScriptKind {
    DEB_PREINST,
    DEB_POSTINST,
    DEB_PRERM,
    DEB_POSTRM,
    _DEB_SCRIPT_KIND_MAX,
} DebScriptKind;

const char *deb_script_name(DebScriptKind kind); /* "preinst" */

/* A script of the repository, by `package.deb.scripts`, with ours in it: where it has a line
 * #DEBHELPER#, or else beside it; it then has to be a shell's. Appends nothing where there is
 * nothing to do. `deb` is `package.deb`, checked. -ENOENT, -EINVAL: with the pointer. */
int deb_script_make(DebScriptKind kind, int workspace_fd, const Json *deb, Buffer *ret,
                    Error *err) _must_check_;

/* The name under which a unit is installed: that of its file. Borrowed. */
const char *deb_unit_name(const Json *unit);

/* One that is made for an instance ("x@.service") can be neither enabled nor started by itself. */
bool deb_unit_is_template(const char *name);
