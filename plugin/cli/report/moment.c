/* SPDX-License-Identifier: MIT */
#include "plugin/cli/report/moment.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static struct tm calendar(int64_t us)
{
    time_t seconds = (time_t)floor_div(us, MOMENT_SECOND_US);
    struct tm tm = {0};

    (void)gmtime_r(&seconds, &tm);
    return tm;
}

/* "2026-11-25" of letters that stand where '0' stands in the pattern. */
static bool has_shape(const char *text, const char *pattern)
{
    for (; *pattern; pattern++, text++) {
        if (*pattern == '0' ? !isdigit((unsigned char)*text) : *text != *pattern) {
            return false;
        }
    }
    return true;
}

static int number_at(const char *text, int n)
{
    int value = 0;

    while (n-- > 0) {
        value = value * 10 + (*text++ - '0');
    }
    return value;
}

/* -1 for a day that there is not, which timegm() would make another one of. */
static int from_calendar(struct tm wanted, int64_t *ret_us)
{
    struct tm tm = wanted;
    time_t seconds = timegm(&tm);

    if (tm.tm_mday != wanted.tm_mday || tm.tm_mon != wanted.tm_mon || tm.tm_hour > 23 ||
        tm.tm_hour != wanted.tm_hour || tm.tm_min != wanted.tm_min || tm.tm_sec != wanted.tm_sec) {
        return -1;
    }
    *ret_us = (int64_t)seconds * MOMENT_SECOND_US;
    return 0;
}

static struct tm read_day(const char *text)
{
    return (struct tm){.tm_year = number_at(text, 4) - 1900,
                       .tm_mon = number_at(text + 5, 2) - 1,
                       .tm_mday = number_at(text + 8, 2)};
}

int moment_parse(const char *text, int64_t *ret_us)
{
    int64_t us, scale = MOMENT_SECOND_US / 10;
    const char *at;
    struct tm tm;

    if (!has_shape(text, "0000-00-00T00:00:00")) {
        return -1;
    }
    tm = read_day(text);
    tm.tm_hour = number_at(text + 11, 2);
    tm.tm_min = number_at(text + 14, 2);
    tm.tm_sec = number_at(text + 17, 2);
    if (from_calendar(tm, &us) < 0) {
        return -1;
    }
    at = text + 19;
    if (*at == '.' && isdigit((unsigned char)at[1])) {
        for (at++; isdigit((unsigned char)*at); at++) {
            us += (*at - '0') * scale;
            scale /= 10;
        }
    }
    if (strcmp(at, "Z") != 0) {
        return -1;
    }
    *ret_us = us;
    return 0;
}

/* "30d": that long before now. */
static int parse_ago(const char *text, int64_t now_us, int64_t *ret_us)
{
    static const struct {
        char letter;
        int64_t hours;
    } units[] = {{'h', 1}, {'d', 24}, {'w', 24 * 7}};
    size_t n = strspn(text, "0123456789");

    for (size_t i = 0; n > 0 && n <= 6 && i < 3; i++) {
        if (text[n] == units[i].letter && !text[n + 1]) {
            *ret_us = now_us - number_at(text, (int)n) * units[i].hours * 3600 * MOMENT_SECOND_US;
            return 0;
        }
    }
    return -1;
}

int moment_parse_said(const char *text, bool is_end, int64_t now_us, int64_t *ret_us)
{
    if (strlen(text) == 10 && has_shape(text, "0000-00-00")) {
        int64_t day_us;

        if (from_calendar(read_day(text), &day_us) < 0) {
            return -1;
        }
        *ret_us = day_us + (is_end ? MOMENT_DAY_US : 0);
        return 0;
    }
    return moment_parse(text, ret_us) == 0 ? 0 : parse_ago(text, now_us, ret_us);
}

int64_t moment_day(int64_t us)
{
    return floor_div(us, MOMENT_DAY_US) * MOMENT_DAY_US;
}

int moment_weekday(int64_t us)
{
    int64_t day = floor_div(us, MOMENT_DAY_US) + 3; /* the epoch was a Thursday */

    return (int)(day - floor_div(day, 7) * 7);
}

int64_t moment_week(int64_t us)
{
    return moment_day(us) - moment_weekday(us) * MOMENT_DAY_US;
}

int64_t moment_month(int64_t us)
{
    return moment_day(us) - (calendar(us).tm_mday - 1) * MOMENT_DAY_US;
}

int64_t moment_next_month(int64_t month_us)
{
    return moment_month(month_us + 32 * MOMENT_DAY_US);
}

const char *moment_rfc3339(int64_t us, char *text)
{
    struct tm tm = calendar(us);

    (void)strftime(text, MOMENT_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return text;
}

const char *moment_minute(int64_t us, char *text)
{
    struct tm tm = calendar(us);

    (void)strftime(text, MOMENT_TEXT_SIZE, "%Y-%m-%d %H:%M", &tm);
    return text;
}

/* The program never calls setlocale(), so months are in the words of the page. */
const char *moment_date(int64_t us, char *text)
{
    struct tm tm = calendar(us);

    (void)strftime(text, MOMENT_TEXT_SIZE, "%e %b %Y", &tm);
    return text + (text[0] == ' ');
}

const char *moment_short(int64_t us, char *text)
{
    struct tm tm = calendar(us);

    (void)strftime(text, MOMENT_TEXT_SIZE, "%e %b", &tm);
    return text + (text[0] == ' ');
}

const char *moment_duration(double seconds, char *text)
{
    static const struct {
        double seconds, below;
        const char *name;
    } units[] = {{0.001, 1, "ms"},
                 {1, 100, "s"},
                 {60, 6000, "min"},
                 {3600, 48 * 3600, "h"},
                 {86400, 0, "d"}};
    size_t i = 0;
    double value;

    while (units[i].below > 0 && seconds >= units[i].below) {
        i++;
    }
    value = seconds / units[i].seconds;
    (void)snprintf(text, MOMENT_TEXT_SIZE, i > 0 && value < 9.95 ? "%.1f %s" : "%.0f %s", value,
                   units[i].name);
    return text;
}
