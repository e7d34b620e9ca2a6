/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/svg.h"

#include "plugin/cli/report/html.h"

/* In percent of the width: room for the axis' numbers, then the plot. */
#define LEFT 5.0
#define WIDTH (100.0 - LEFT)
/* In pixels. */
#define TOP 14.0
#define BELOW 26.0
#define GAP 2.0
#define SPAN_HEIGHT 44.0

#define STEPS_MAX 4

double svg_step(double max)
{
    static const double factors[] = {1, 2, 5};
    double power = 1;

    for (;;) {
        for (size_t i = 0; i < 3; i++) {
            if (max <= STEPS_MAX * factors[i] * power) {
                return factors[i] * power;
            }
        }
        power *= 10;
    }
}

static void begin(FILE *out, const char *title, double height)
{
    (void)fprintf(out, "<svg role=\"img\" width=\"100%%\" height=\"%.0f\" aria-label=\"", height);
    html_text(out, title);
    (void)fprintf(out, "\">\n");
}

static void label(FILE *out, double x, double y, const char *anchor, const char *text)
{
    (void)fprintf(out, "<text x=\"%.2f%%\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    html_text(out, text);
    (void)fprintf(out, "</text>\n");
}

/* The lines of the scale with their numbers. Returns what the top stands for. */
static double draw_scale(FILE *out, const SvgColumns *plot)
{
    double max = 0, step, top;

    for (size_t i = 0; i < plot->n; i++) {
        double sum = plot->columns[i].fine + plot->columns[i].bad;

        max = sum > max ? sum : max;
    }
    step = svg_step(max);
    for (top = step; top < max; top += step) {
    }
    for (double at = 0; at <= top; at += step) {
        double y = TOP + plot->height * (1 - at / top);
        char text[32];

        (void)fprintf(out,
                      "<line class=\"%s\" x1=\"%.2f%%\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                      at > 0 ? "grid" : "base", LEFT, y, y);
        (void)snprintf(text, sizeof(text), "%.0f", at);
        label(out, LEFT - 1.2, y + 4, "end", text);
    }
    return top;
}

static void draw_bar(FILE *out, const char *class, double x, double width, double y, double height)
{
    (void)fprintf(out,
                  "<rect class=\"%s\" x=\"%.2f%%\" width=\"%.2f%%\" y=\"%.1f\" height=\"%.1f\" "
                  "rx=\"2\"/>",
                  class, x, width, y, height);
}

/* `scale`: pixels for one; `base`: where they stand. */
static void draw_column(FILE *out, const SvgColumn *column, double x, double width, double base,
                        double scale)
{
    double fine = scale * column->fine, bad = scale * column->bad;
    double gap = column->fine > 0 && column->bad > 0 ? GAP : 0;

    (void)fprintf(out, "<g><title>");
    html_text(out, column->tip);
    (void)fprintf(out, "</title>");
    if (column->fine > 0) {
        draw_bar(out, "fine", x, width, base - fine, fine);
    }
    if (column->bad > 0) {
        draw_bar(out, "bad", x, width, base - fine - bad, bad - gap);
    }
    (void)fprintf(out, "</g>\n");
}

/* Where it would reach out of the plot a label is put to its edge. */
static void draw_label(FILE *out, const char *text, double at, double y)
{
    if (at < 2 * LEFT) {
        label(out, LEFT, y, "start", text);
    } else if (at > 100 - LEFT) {
        label(out, 100, y, "end", text);
    } else {
        label(out, at, y, "middle", text);
    }
}

void svg_columns(FILE *out, const SvgColumns *plot)
{
    double slot = plot->n > 0 ? WIDTH / (double)plot->n : WIDTH;
    double width = slot * 0.78 < plot->width_max ? slot * 0.78 : plot->width_max;
    double base = TOP + plot->height, top;

    begin(out, plot->title, base + BELOW);
    for (size_t i = 0; i < plot->n; i++) {
        if (plot->columns[i].is_off) {
            (void)fprintf(out,
                          "<rect class=\"off\" x=\"%.2f%%\" width=\"%.2f%%\" y=\"%.1f\" "
                          "height=\"%.1f\"/>",
                          LEFT + slot * (double)i, slot, TOP, plot->height);
        }
    }
    top = draw_scale(out, plot);
    for (size_t i = 0; i < plot->n; i++) {
        const SvgColumn *column = &plot->columns[i];
        double middle = LEFT + slot * ((double)i + 0.5);

        if (column->fine + column->bad > 0) {
            draw_column(out, column, middle - width / 2, width, base, plot->height / top);
        }
        if (column->label) {
            draw_label(out, column->label, plot->has_edges ? middle + slot / 2 : middle, base + 18);
        }
    }
    (void)fprintf(out, "</svg>\n");
}

void svg_spans(FILE *out, const char *title, const SvgSpan *spans, size_t n)
{
    double max = 0;

    for (size_t i = 0; i < n; i++) {
        max = spans[i].p90 > max ? spans[i].p90 : max;
        max = spans[i].median > max ? spans[i].median : max;
    }
    begin(out, title, (double)n * SPAN_HEIGHT + 4);
    for (size_t i = 0; i < n; i++) {
        double y = (double)i * SPAN_HEIGHT;
        double median = max > 0 ? 100 * spans[i].median / max : 0;
        double p90 = max > 0 ? 100 * spans[i].p90 / max : 0;

        (void)fprintf(out, "<g><title>");
        html_text(out, spans[i].tip);
        (void)fprintf(out, "</title>");
        (void)fprintf(out, "<text class=\"name\" x=\"0\" y=\"%.1f\">", y + 16);
        html_text(out, spans[i].name);
        (void)fprintf(out, "</text><text x=\"100%%\" y=\"%.1f\" text-anchor=\"end\">", y + 16);
        html_text(out, spans[i].text);
        (void)fprintf(out, "</text>");
        draw_bar(out, "track", 0, 100, y + 24, 10);
        draw_bar(out, "light", 0, p90 > 0.4 ? p90 : 0.4, y + 24, 10);
        draw_bar(out, "fine", 0, median > 0.4 ? median : 0.4, y + 24, 10);
        (void)fprintf(out, "</g>\n");
    }
    (void)fprintf(out, "</svg>\n");
}
