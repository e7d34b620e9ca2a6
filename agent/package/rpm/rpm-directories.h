/* SPDX-License-Identifier: MIT */
/* The directories that a distribution has already, as its `filesystem` package and those of cron,
 * systemd and the like own them. A package that owned them, too, would fight over their mode. */
#pragma once

#include <stdbool.h>

/* `path` is without its leading slash. */
bool rpm_directory_is_the_systems(const char *path);
