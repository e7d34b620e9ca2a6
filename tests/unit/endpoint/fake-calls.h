/* SPDX-License-Identifier: MIT */
/* agent/calls/calls.h in memory, for errors and moments that are hard to provoke with processes. */
#pragma once

#include "agent/calls/calls.h"

Calls *fake_calls_new(void);
Calls *fake_calls_free(Calls *calls);

Call *fake_calls_add(Calls *calls, const char *id);

/* The next function with an Error fails like this, once. */
void fake_calls_fail_next(Calls *calls, int r);
void fake_calls_fail_next_with(Calls *calls, int r, const char *text);

/* From now on there are engines to ask; and they have answered: false where nobody waited. */
void fake_calls_set_engines(Calls *calls);
bool fake_calls_tell_engines(Calls *calls);

/* What calls_write_input was given last. */
const char *fake_calls_last_input(const Calls *calls);

/* What happens to a call. Followers are told at once. */
void fake_call_log(Call *call, const char *stream, const char *data, size_t n);
void fake_call_event(Call *call, CallEventType type, Json *details_take);
void fake_call_finish(Call *call);
void fake_call_set_artifact(Call *call, const char *name, const char *data, size_t n);
size_t fake_call_n_followers(const Call *call);
