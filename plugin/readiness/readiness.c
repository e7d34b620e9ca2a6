/* SPDX-License-Identifier: MIT */
#include "plugin/readiness/readiness.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void readiness_done(Readiness *readiness)
{
    readiness->reasons = slipway_json_unref(readiness->reasons);
}

/* ---- the rules --------------------------------------------------------------------------------
 */

static int add(Readiness *readiness, ReadinessState state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int add(Readiness *readiness, ReadinessState state, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    int r;

    va_start(arguments, format);
    r = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (r < 0) {
        return -ENOMEM;
    }
    r = slipway_json_set_string(readiness->reasons, "/-", text);
    free(text);
    if (state > readiness->state) {
        readiness->state = state;
    }
    return r;
}

static int judge_problems(const SlipwayJson *health, Readiness *readiness)
{
    const SlipwayJson *problems = slipway_json_get(health, "/problems");
    ReadinessState state =
        slipway_json_get_bool(health, "/isWorking", true) ? READINESS_UNREADY : READINESS_BROKEN;
    int r = 0;

    for (size_t i = 0; r == 0 && i < slipway_json_get_count(problems, ""); i++) {
        r = add(readiness, state, "%s",
                slipway_json_get_string(slipway_json_get_element(problems, i), "", "?"));
    }
    return r;
}

static int judge_queue(const SlipwayJson *health, Readiness *readiness)
{
    long long length = slipway_json_get_int(health, "/queue/length", 0);
    long long max = slipway_json_get_int(health, "/queue/max", 0);
    long long total = slipway_json_get_int(health, "/slots/total", 0);
    double oldest = slipway_json_get_number(health, "/queue/oldestSeconds", 0);
    int r = 0;

    if (max > 0 && length >= max) {
        r = add(readiness, READINESS_BROKEN, "the queue is full: %lld calls", length);
    } else if (max > 0 && length >= max * READINESS_QUEUE_PERCENT / 100) {
        r = add(readiness, READINESS_UNREADY, "the queue will be full soon: %lld of %lld calls",
                length, max);
    }
    if (r == 0 && oldest > READINESS_WAIT_SECONDS && total > 0 &&
        slipway_json_get_int(health, "/slots/busy", 0) >= total) {
        r = add(readiness, READINESS_UNREADY,
                "all %lld slots are busy, and a call has waited for %.0f minutes", total,
                oldest / 60);
    }
    return r;
}

int64_t readiness_disk_mark(const SlipwayJson *health)
{
    int64_t mark = slipway_json_get_int(health, "/disk/markBytes", 0);

    return mark > READINESS_DISK_BYTES ? mark : READINESS_DISK_BYTES;
}

static int judge_disk(const SlipwayJson *health, Readiness *readiness)
{
    int64_t free_bytes = slipway_json_get_int(health, "/disk/freeBytes", INT64_MAX);
    int64_t inodes = slipway_json_get_int(health, "/disk/freeInodes", INT64_MAX);
    int r = 0;

    if (free_bytes < readiness_disk_mark(health)) {
        r = add(readiness, READINESS_UNREADY, "the disk is short: %lld MB are free",
                (long long)(free_bytes / 1000000));
    }
    if (r == 0 && slipway_json_get_int(health, "/disk/totalInodes", 0) > 0 &&
        inodes < READINESS_INODES) {
        r = add(readiness, READINESS_UNREADY, "the disk is short of inodes: %lld are free",
                (long long)inodes);
    }
    return r;
}

int readiness_judge(const SlipwayJson *health, double clock_offset, Readiness *ret)
{
    Readiness readiness = {.reasons = slipway_json_new_array()};
    int r = readiness.reasons ? judge_problems(health, &readiness) : -ENOMEM;

    r = r < 0 ? r : judge_queue(health, &readiness);
    r = r < 0 ? r : judge_disk(health, &readiness);
    if (r == 0 && fabs(clock_offset) > READINESS_CLOCK_SECONDS) {
        r = add(&readiness, READINESS_UNREADY, "the agent's clock is %.0f s %s this host's",
                fabs(clock_offset), clock_offset > 0 ? "ahead of" : "behind");
    }
    if (r == 0 && readiness.state == READINESS_READY &&
        !slipway_json_get_bool(health, "/isWorking", true)) {
        r = add(&readiness, READINESS_BROKEN, "no call can run");
    }
    if (r < 0) {
        readiness_done(&readiness);
        return r;
    }
    *ret = readiness;
    return 0;
}

/* ---- Nagios -----------------------------------------------------------------------------------
 * https://nagios-plugins.org/doc/guidelines.html: one line; text, "|", then
 * label=value[unit];[warn];[critical];[min];[max]. */

/* A line has no second one, and only one "|". */
static void print_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        (void)fputc((unsigned char)*text < 0x20 || *text == 0x7f ? ' '
                    : *text == '|'                               ? '/'
                                                                 : *text,
                    out);
    }
}

static void print_summary(FILE *out, const SlipwayJson *health)
{
    (void)fprintf(out, "%lld of %lld slots busy, %lld queued, %.1f GB free",
                  (long long)slipway_json_get_int(health, "/slots/busy", 0),
                  (long long)slipway_json_get_int(health, "/slots/total", 0),
                  (long long)slipway_json_get_int(health, "/queue/length", 0),
                  (double)slipway_json_get_int(health, "/disk/freeBytes", 0) / 1e9);
}

static void print_figures(FILE *out, const SlipwayJson *health)
{
    long long max = slipway_json_get_int(health, "/queue/max", 0);
    long long inodes = slipway_json_get_int(health, "/disk/totalInodes", 0);

    (void)fprintf(out, " | slots=%lld;;;0;%lld",
                  (long long)slipway_json_get_int(health, "/slots/busy", 0),
                  (long long)slipway_json_get_int(health, "/slots/total", 0));
    (void)fprintf(out, " queue=%lld;%lld;%lld;0;%lld",
                  (long long)slipway_json_get_int(health, "/queue/length", 0),
                  max * READINESS_QUEUE_PERCENT / 100, max, max);
    (void)fprintf(out, " oldest=%.3fs;%d;;0",
                  slipway_json_get_number(health, "/queue/oldestSeconds", 0),
                  READINESS_WAIT_SECONDS);
    (void)fprintf(out, " disk_free=%lldB;%lld:;;0;%lld",
                  (long long)slipway_json_get_int(health, "/disk/freeBytes", 0),
                  (long long)readiness_disk_mark(health),
                  (long long)slipway_json_get_int(health, "/disk/totalBytes", 0));
    if (inodes > 0) {
        (void)fprintf(out, " inodes_free=%lld;%d:;;0;%lld",
                      (long long)slipway_json_get_int(health, "/disk/freeInodes", 0),
                      READINESS_INODES, inodes);
    }
    (void)fprintf(out, " rss=%lldB lost=%lldc\n",
                  (long long)slipway_json_get_int(health, "/memory/rssBytes", 0),
                  (long long)slipway_json_get_int(health, "/calls/lost", 0));
}

int readiness_print_nagios(FILE *out, const SlipwayJson *health, const Readiness *readiness)
{
    static const char *const words[_READINESS_STATE_MAX] = {
        [READINESS_READY] = "OK",
        [READINESS_UNREADY] = "WARNING",
        [READINESS_BROKEN] = "CRITICAL",
    };
    size_t n = slipway_json_get_count(readiness->reasons, "");

    (void)fprintf(out, "SLIPWAY %s - ", words[readiness->state]);
    for (size_t i = 0; i < n; i++) {
        print_text(
            out, slipway_json_get_string(slipway_json_get_element(readiness->reasons, i), "", "?"));
        (void)fputs(i + 1 < n ? "; " : "", out);
    }
    if (n == 0) {
        print_summary(out, health);
    }
    print_figures(out, health);
    return (int)readiness->state;
}

int readiness_print_nagios_away(FILE *out, const char *reason)
{
    (void)fprintf(out, "SLIPWAY CRITICAL - ");
    print_text(out, reason);
    (void)fprintf(out, "\n");
    return READINESS_BROKEN;
}
