/* SPDX-License-Identifier: MIT */
/* Which processes belong to something, and ending them. Every signal goes through a pidfd whose
 * process was looked at again after it was opened, so a recycled pid is never hit. */
#pragma once

#include "protocol/base/macro.h"

#include <sys/types.h>

/* Sends `signal` (0: none, only counts) to every process below this one. Returns how many there
 * are; zombies do not count. -errno when /proc cannot be read. */
int process_signal_descendants(int signal) _must_check_;

/* The same for every process that was started with the environment entry `marker` ("NAME=value"):
 * for what lost its parent. */
int process_signal_marked(const char *marker, int signal) _must_check_;
