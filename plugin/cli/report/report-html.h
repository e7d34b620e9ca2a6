/* SPDX-License-Identifier: MIT */
/* A report as one page that needs nothing else: no script, no other file, no network. It is made to
 * be looked at in light and dark, on a wide and a narrow screen, and on paper. */
#pragma once

#include "plugin/cli/report/report.h"

#include <stdio.h>

/* Errors are left in `out` (ferror). */
void report_write_html(FILE *out, const Report *report);
