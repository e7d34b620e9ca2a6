/* SPDX-License-Identifier: MIT */
#include "agent/calls/vitals/host-clock.h"

#include "protocol/base/clock.h"

#include <errno.h>
#include <sys/timex.h>

int host_clock_explain(int state, const struct timex *kernel, Json *clock)
{
    bool is_synchronized = state != TIME_ERROR && !(kernel->status & STA_UNSYNC);
    double unit = kernel->status & STA_NANO ? 1e9 : 1e6;
    int r = json_set_bool(clock, "isSynchronized", is_synchronized);

    if (r < 0 || !is_synchronized) {
        return r;
    }
    r = json_set_take(clock, "offsetSeconds", json_new_number((double)kernel->offset / unit));
    return r < 0 ? r
                 : json_set_take(clock, "maxErrorSeconds",
                                 json_new_number((double)kernel->maxerror / 1e6));
}

int host_clock_describe(Json *object)
{
    Json *clock = json_new_object();
    struct timex kernel = {.modes = 0}; /* only asks */
    char now[CLOCK_TEXT_SIZE];
    int state = adjtimex(&kernel); /* a container may be kept from it */
    int r = clock ? json_set_string(clock, "time", clock_format(clock_wall_us(), now)) : -ENOMEM;

    r = r < 0 || state < 0 ? r : host_clock_explain(state, &kernel, clock);
    if (r < 0) {
        (void)json_unref(clock);
        return r;
    }
    return json_set_take(object, "clock", clock);
}
