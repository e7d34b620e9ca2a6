/* SPDX-License-Identifier: MIT */
/* The person in front: who it is, whether somebody is there, and a question with two answers. */
#pragma once

#include "plugin/cli/session.h"

/* Is somebody there to ask? */
bool confirm_may_ask(const Session *s);

/* Asks on the terminal; "y" or "yes" is yes, everything else, and the end of input, is no. */
bool confirm_ask(Session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The user's name; hooks, cron and containers have no $USER. NULL: nobody knows. Borrowed. */
const char *confirm_user_name(void);
