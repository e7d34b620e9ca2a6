/* SPDX-License-Identifier: MIT */
/* The facts for Prometheus: its text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). What is not known is left out, a
 * zero is a zero. README.md has the names. */
#pragma once

#include "plugin/health/facts.h"

#include <stdio.h>

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_write(FILE *out, const Facts *facts);

/* The value of a label, without its quotes. */
void metrics_write_label(FILE *out, const char *text);
