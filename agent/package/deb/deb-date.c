/* SPDX-License-Identifier: MIT */
#include "agent/package/deb/deb-date.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

int deb_date_append(Buffer *text, int64_t seconds, const char *zone)
{
    time_t at = (time_t)seconds;
    struct tm tm;

    if (!gmtime_r(&at, &tm)) {
        return -ERANGE;
    }
    return buffer_append_format(text, "%s, %02d %s %04d %02d:%02d:%02d %s", days[tm.tm_wday],
                                tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
                                tm.tm_min, tm.tm_sec, zone);
}

static bool is_zone(const char *zone)
{
    return strcmp(zone, "UTC") == 0 || strcmp(zone, "+0000") == 0;
}

int deb_date_parse(const char *text, int64_t *ret_seconds)
{
    char month[4] = "", zone[6] = "";
    struct tm tm = {0};
    int n = 0;

    if (sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d %5s%n", &tm.tm_mday, month, &tm.tm_year,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, zone, &n) != 7 ||
        text[n] || !is_zone(zone)) {
        return -EINVAL;
    }
    while (tm.tm_mon < 12 && strcmp(months[tm.tm_mon], month) != 0) {
        tm.tm_mon++;
    }
    if (tm.tm_mon == 12) {
        return -EINVAL;
    }
    tm.tm_year -= 1900;
    *ret_seconds = (int64_t)timegm(&tm);
    return 0;
}
