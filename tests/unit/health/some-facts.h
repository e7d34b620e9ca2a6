/* SPDX-License-Identifier: MIT */
/* An agent that is well, with one call that runs and one that waits. */
#pragma once

#include "plugin/cli/report/moment.h"
#include "plugin/health/facts.h"
#include "tests/unit/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SOME_HEALTH                                                                                \
    "{\"status\":\"ok\",\"problems\":[],\"isWorking\":true,\"name\":\"a<1>\",\"version\":\"1.2\"," \
    "\"uptimeSeconds\":100,\"slots\":{\"total\":4,\"busy\":1},\"queue\":{\"length\":1,"            \
    "\"max\":100,\"oldestSeconds\":2.5},\"calls\":{\"running\":1,\"finished\":7,\"lost\":2,"       \
    "\"ended\":[{\"action\":\"build \\\"x\\\"\\\\\\n\",\"status\":\"succeeded\",\"count\":3,"      \
    "\"seconds\":1.5},{\"action\":\"test\",\"status\":\"failed\",\"count\":1,\"seconds\":0}]},"    \
    "\"disk\":{\"freeBytes\":80000000000,\"totalBytes\":100000000000,\"markBytes\":5000000000,"    \
    "\"freeInodes\":9,\"totalInodes\":0},\"memory\":{\"rssBytes\":2000000},\"containment\":"       \
    "\"cgroup\",\"confinement\":\"none: why\",\"clock\":{\"isSynchronized\":true,"                 \
    "\"offsetSeconds\":-0.0015,\"maxErrorSeconds\":0.02},\"audit\":{\"records\":12},"              \
    "\"environments\":[{\"name\":\"prod\",\"engine\":\"local\",\"isReachable\":true,"              \
    "\"seconds\":0.25},{\"name\":\"bare\",\"engine\":\"local\"}]}"

#define SOME_LIVE                                                                               \
    "[{\"call\":\"w\",\"action\":\"test\",\"state\":\"queued\",\"createdAt\":"                  \
    "\"2026-11-25T09:59:57Z\",\"waitsFor\":\"call c of the same run\"},"                        \
    "{\"call\":\"c\",\"action\":\"build\",\"run\":\"r-1\",\"state\":\"running\",\"createdAt\":" \
    "\"2026-11-25T09:59:00Z\",\"startedAt\":\"2026-11-25T09:59:30Z\",\"origin\":{\"user\":"     \
    "\"<eve>\"},\"progress\":{\"phase\":\"compile\",\"message\":\"a & b\",\"done\":3,"          \
    "\"total\":12,\"unit\":\"files\"}}]"

#define SOME_ENDED                                                                           \
    "[{\"call\":\"e\",\"action\":\"build\",\"state\":\"finished\",\"status\":\"timed_out\"," \
    "\"reason\":\"<took> too long\",\"createdAt\":\"2026-11-25T08:00:00Z\",\"startedAt\":"   \
    "\"2026-11-25T08:00:00Z\",\"finishedAt\":\"2026-11-25T09:00:00Z\"}]"

typedef struct SomeFacts {
    Facts facts;
    Readiness readiness;
    SlipwayJson *health, *live, *ended;
} SomeFacts;

static inline SlipwayJson *some_json(const char *text)
{
    SlipwayJson *value = NULL;

    assert_int_equal(slipway_json_parse(text, strlen(text), &value), 0);
    return value;
}

static inline void some_facts_init(SomeFacts *f, const char *health)
{
    *f = (SomeFacts){
        .health = some_json(health), .live = some_json(SOME_LIVE), .ended = some_json(SOME_ENDED)};
    assert_int_equal(readiness_judge(f->health, NAN, &f->readiness), 0);
    f->facts = (Facts){.is_up = true,
                       .address = "unix:/a.sock",
                       .health = f->health,
                       .live = f->live,
                       .ended = f->ended,
                       .readiness = &f->readiness,
                       .clock_offset = NAN,
                       .seconds = 0.125};
    assert_int_equal(moment_parse("2026-11-25T10:00:00Z", &f->facts.now_us), 0);
}

static inline void some_facts_done(SomeFacts *f)
{
    readiness_done(&f->readiness);
    (void)slipway_json_unref(f->health);
    (void)slipway_json_unref(f->live);
    (void)slipway_json_unref(f->ended);
}

/* What `write` writes; to free(). Not inline: gcc 12 takes what the stream wrote for the local that
 * it was told to point at it. */
__attribute__((noinline, unused)) static char *
some_text(void (*write)(FILE *out, const Facts *facts), const Facts *facts)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);

    assert_non_null(out);
    write(out, facts);
    assert_int_equal(fclose(out), 0);
    return text;
}

static inline void expect_in(const char *part, const char *text)
{
    if (!strstr(text, part)) {
        fail_msg("'%s' is not in '%s'", part, text);
    }
}

static inline void expect_not_in(const char *part, const char *text)
{
    if (strstr(text, part)) {
        fail_msg("'%s' is in '%s'", part, text);
    }
}
