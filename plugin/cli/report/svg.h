/* SPDX-License-Identifier: MIT */
/* Plots as inline SVG. Across they are in percent and down in pixels, so that a plot fills its
 * place at any width while its words keep their size. Colours come from the page's style sheet, by
 * class; each bar says its numbers in a <title>. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct SvgColumn {
    double fine, bad;  /* stacked */
    const char *label; /* below it; NULL: none */
    const char *tip;
    bool is_off; /* a day that nothing is expected of: its place is shaded */
} SvgColumn;

typedef struct SvgColumns {
    const char *title; /* for who does not see it */
    const SvgColumn *columns;
    size_t n;
    bool has_edges;   /* a label stands at the right edge of its column, not below it */
    double width_max; /* of a bar, in percent of the plot */
    double height;    /* of the tallest bar that there may be, in pixels */
} SvgColumns;

void svg_columns(FILE *out, const SvgColumns *plot);

typedef struct SvgSpan {
    const char *name;
    const char *text; /* at the end of its line */
    const char *tip;
    double median, p90;
} SvgSpan;

/* A line for each: to its median, and lighter to its p90, all on one scale. */
void svg_spans(FILE *out, const char *title, const SvgSpan *spans, size_t n);

/* A step for an axis up to `max` of whole numbers, so that there are at most four. */
double svg_step(double max);
