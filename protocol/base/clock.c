/* SPDX-License-Identifier: MIT */
#include "protocol/base/clock.h"

#include <errno.h>
#include <stdbool.h>
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
    int64_t fraction = (wall_us % 1000000 + 1000000) % 1000000; /* also before 1970 */
    time_t seconds = (time_t)((wall_us - fraction) / 1000000);
    char day[sizeof("2026-01-01T00:00:00")];
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
        (void)snprintf(day, sizeof(day), "1970-01-01T00:00:00");
    }
    (void)snprintf(text, CLOCK_TEXT_SIZE, "%s.%06uZ", day, (unsigned)fraction % 1000000u);
    return text;
}

/* `n` digits, no sign and no space; -1 where there is anything else. */
static int read_digits(const char *text, size_t n)
{
    int value = 0;

    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* "2026-01-01T00:00:00" into `tm`, as it stands there. strptime() would take spaces, signs and
 * missing digits as well. */
static bool read_day_and_time(const char *text, struct tm *tm)
{
    static const char separators[] = "--T::";
    int fields[6];

    fields[0] = read_digits(text, 4);
    text += 4;
    for (size_t i = 0; fields[i] >= 0; text += 3) {
        if (i + 1 == ARRAY_SIZE(fields)) {
            *tm = (struct tm){
                .tm_year = fields[0] - 1900,
                .tm_mon = fields[1] - 1,
                .tm_mday = fields[2],
                .tm_hour = fields[3],
                .tm_min = fields[4],
                .tm_sec = fields[5],
            };
            return true;
        }
        if (*text != separators[i]) {
            return false;
        }
        fields[++i] = read_digits(text + 1, 2);
    }
    return false;
}

int clock_parse(const char *text, int64_t *ret_wall_us)
{
    const char *rest = text + strlen("2026-01-01T00:00:00");
    int64_t fraction = 0, unit = 100000;
    struct tm wanted, tm;
    time_t seconds;

    if (!read_day_and_time(text, &wanted)) {
        return -EINVAL;
    }
    if (*rest == '.') {
        const char *first = ++rest;

        for (; *rest >= '0' && *rest <= '9'; rest++, unit /= 10) {
            fraction += (*rest - '0') * unit; /* beyond microseconds nothing is added */
        }
        if (rest == first) {
            return -EINVAL;
        }
    }
    if (strcmp(rest, "Z") != 0) {
        return -EINVAL;
    }
    tm = wanted;
    seconds = timegm(&tm);
    /* A day or an hour that there is not would have become another one. */
    if (tm.tm_mon != wanted.tm_mon || tm.tm_mday != wanted.tm_mday ||
        tm.tm_hour != wanted.tm_hour || tm.tm_min != wanted.tm_min || tm.tm_sec != wanted.tm_sec) {
        return -EINVAL;
    }
    *ret_wall_us = (int64_t)seconds * 1000000 + fraction;
    return 0;
}
