/* SPDX-License-Identifier: MIT */
/* A report for a terminal, and for a machine. */
#pragma once

#include "plugin/cli/report/report.h"

#include <stdio.h>

/* How many rows of the latest are shown. */
#define REPORT_LATEST_MAX 25

/* Without colours and without anything that the width of a terminal decides. */
void report_write_text(FILE *out, const Report *report);

/* One object; the caller unrefs it. NULL when memory is out. */
SlipwayJson *report_to_json(const Report *report);
