/* SPDX-License-Identifier: MIT */
#include "agent/release/freeze.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MINUTES_OF_DAY (24 * 60)
#define MINUTES_OF_WEEK (7 * MINUTES_OF_DAY)
#define ZONES "/usr/share/zoneinfo/"

/* What the wall clock shows, in both forms that a window may have. */
typedef struct WallTime {
    int week_minute; /* since Monday 00:00 */
    char text[sizeof("2026-12-23T18:00")];
} WallTime;

static bool is_known_zone(const char *name)
{
    char path[256];
    int n = snprintf(path, sizeof(path), ZONES "%s", name);

    return *name && name[0] != '.' && name[0] != '/' && !strstr(name, "..") && n > 0 &&
           (size_t)n < sizeof(path) && access(path, R_OK) == 0;
}

static int set_zone(const char *zone)
{
    int r = zone ? setenv("TZ", zone, 1) : unsetenv("TZ");

    tzset();
    return r < 0 ? -errno : 0;
}

static int read_wall(const char *zone, int64_t now_us, WallTime *ret, Error *err)
{
    _cleanup_free_ char *saved = NULL;
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm tm;
    int r;

    if (strcmp(zone, "UTC") != 0 && !is_known_zone(zone)) {
        return error_set(err, -EINVAL,
                         "the time zone '%s' is not known on this host; it needs an IANA name such "
                         "as Europe/Berlin, and the package tzdata",
                         zone);
    }
    if (getenv("TZ")) {
        saved = strdup(getenv("TZ"));
        if (!saved) {
            return error_set(err, -ENOMEM, "out of memory");
        }
    }
    r = set_zone(zone);
    if (r == 0 && localtime_r(&seconds, &tm)) {
        ret->week_minute = (tm.tm_wday + 6) % 7 * MINUTES_OF_DAY + tm.tm_hour * 60 + tm.tm_min;
        (void)strftime(ret->text, sizeof(ret->text), "%Y-%m-%dT%H:%M", &tm);
    } else {
        r = r < 0 ? r : -EOVERFLOW;
    }
    (void)set_zone(saved);
    return r < 0 ? error_set_errno(err, r, "cannot tell the time in '%s'", zone) : 0;
}

/* "Fri 16:00" as minutes since Monday 00:00; -1 for anything else. */
static int parse_weekly(const char *text)
{
    static const char days[] = "MonTueWedThuFriSatSun";
    char day[4] = "";
    unsigned hour, minute;
    int end = 0;
    const char *at;

    if (sscanf(text, "%3[A-Za-z] %2u:%2u%n", day, &hour, &minute, &end) != 3 || text[end] ||
        strlen(day) != 3 || hour > 24 || minute > 59 || (hour == 24 && minute > 0)) {
        return -1;
    }
    at = strstr(days, day);
    return at && (at - days) % 3 == 0
               ? (int)((at - days) / 3) * MINUTES_OF_DAY + (int)(hour * 60 + minute)
               : -1;
}

static bool is_date(const char *text)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M", &tm);

    return end && !*end && strlen(text) == sizeof(((WallTime *)0)->text) - 1;
}

static int bad_window(Error *err, const char *from, const char *to)
{
    return error_set(err, -EINVAL,
                     "a freeze from '%s' to '%s' cannot be understood; both are like 'Fri 16:00' "
                     "(every week) or both like '2026-12-23T18:00' (once)",
                     from, to);
}

static int is_active(const Json *window, int64_t now_us, Error *err)
{
    const char *from = json_get_string(window, "from"), *to = json_get_string(window, "to");
    const char *zone = json_get_string(window, "timeZone");
    WallTime wall;
    int begin, end, length, r;

    from = from ? from : "";
    to = to ? to : "";
    r = read_wall(zone ? zone : "UTC", now_us, &wall, err);
    if (r < 0) {
        return r;
    }
    if (is_date(from) && is_date(to)) {
        return strcmp(wall.text, from) >= 0 && strcmp(wall.text, to) < 0;
    }
    begin = parse_weekly(from);
    end = parse_weekly(to);
    if (begin < 0 || end < 0) {
        return bad_window(err, from, to);
    }
    length = (end - begin + MINUTES_OF_WEEK) % MINUTES_OF_WEEK;
    if (length == 0 && end > begin) { /* "Mon 00:00" to "Sun 24:00" */
        length = MINUTES_OF_WEEK;
    }
    /* How far into the window now is, counted round the week. */
    return (wall.week_minute - begin + MINUTES_OF_WEEK) % MINUTES_OF_WEEK < length;
}

int freeze_find(const Json *windows, int64_t now_us, const Json **ret, Error *err)
{
    const Json *found = NULL;

    /* All of them are read, so that a mistake in one is not told only on the day it matters. */
    for (size_t i = 0; i < json_length(windows); i++) {
        int r = is_active(json_at(windows, i), now_us, err);

        if (r < 0) {
            return r;
        }
        if (r > 0 && !found) {
            found = json_at(windows, i);
        }
    }
    if (found) {
        *ret = found;
    }
    return found ? FREEZE_ACTIVE : 0;
}
