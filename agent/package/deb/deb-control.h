/* SPDX-License-Identifier: MIT */
/* The control file of a Debian package (deb-control(5)), of `package.deb` in slipway.json. */
#pragma once

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

typedef struct DebControl {
    const Json *deb;  /* `package.deb`, checked against slipway.schema.json */
    const char *name; /* of the package */
    const char *version;
    int64_t installed_kib;
} DebControl;

/* The package's name: `package.deb.name`, else the service's where dpkg takes it. Borrowed; NULL
 * with `err`. */
const char *deb_control_name(const Json *deb, const char *service, Error *err);

/* `package.deb.architecture`, else what this program is built for. Borrowed; NULL with `err`. */
const char *deb_control_architecture(const Json *deb, Error *err);

/* Appends the fields, each on its lines, without an empty line at the end: a stanza of `Packages`
 * begins with the same. -EINVAL, with the pointer. */
int deb_control_format(const DebControl *control, Buffer *ret, Error *err) _must_check_;
