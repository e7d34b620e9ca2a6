/* SPDX-License-Identifier: MIT */
#include "protocol/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t clock_monotonic_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_wall_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

const char *clock_format(int64_t wall_us, char text[static CLOCK_TEXT_SIZE])
{
    time_t seconds = (time_t)(wall_us / 1000000);
    char day[sizeof("2026-01-01T00:00:00")];
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
        (void)snprintf(day, sizeof(day), "1970-01-01T00:00:00");
    }
    (void)snprintf(text, CLOCK_TEXT_SIZE, "%s.%06uZ", day,
                   (unsigned)(wall_us % 1000000) % 1000000u);
    return text;
}

int clock_parse(const char *text, int64_t *ret_wall_us)
{
    struct tm tm = {0};
    int64_t fraction = 0, unit = 100000;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

    if (!rest) {
        return -EINVAL;
    }
    if (*rest == '.') {
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10) {
            fraction += (*rest - '0') * unit;
        }
    }
    if (strcmp(rest, "Z") != 0) {
        return -EINVAL;
    }
    *ret_wall_us = (int64_t)timegm(&tm) * 1000000 + fraction;
    return 0;
}
