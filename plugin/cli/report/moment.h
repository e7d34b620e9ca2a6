/* SPDX-License-Identifier: MIT */
/* Moments as the audit log has them, days and weeks in UTC, and how a person is told of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MOMENT_NONE INT64_MIN
#define MOMENT_SECOND_US ((int64_t)1000000)
#define MOMENT_DAY_US (86400 * MOMENT_SECOND_US)
#define MOMENT_TEXT_SIZE 40

/* RFC 3339 in UTC ("2026-11-25T10:00:00.000000Z", the fraction may be absent) as microseconds since
 * the epoch. -1: it is none. */
int moment_parse(const char *text, int64_t *ret_us);

/* What a person says: a moment as above, a day ("2026-11-25": its beginning, or its end where
 * `is_end`), or how long ago ("36h", "30d", "12w"). -1: none of these. */
int moment_parse_said(const char *text, bool is_end, int64_t now_us, int64_t *ret_us);

/* The beginning of the day, of the week (Monday) and of the month that it is in. */
int64_t moment_day(int64_t us);
int64_t moment_week(int64_t us);
int64_t moment_month(int64_t us);
int64_t moment_next_month(int64_t month_us);

/* 0: Monday … 6: Sunday. */
int moment_weekday(int64_t us);

/* Each writes to `text` (MOMENT_TEXT_SIZE bytes) and returns it. */
const char *moment_rfc3339(int64_t us, char *text); /* 2026-11-25T10:00:00Z */
const char *moment_minute(int64_t us, char *text);  /* 2026-11-25 10:00 */
const char *moment_date(int64_t us, char *text);    /* 25 Nov 2026 */
const char *moment_short(int64_t us, char *text);   /* 25 Nov */

/* "42 s", "4.2 min", "38 h", "3.1 d": one unit, two digits that mean something. */
const char *moment_duration(double seconds, char *text);
