/* SPDX-License-Identifier: MIT */
/* A temporary call directory for each case: cmocka's setup and teardown, and a look at its files.
 */
#pragma once

#include "protocol/base/buffer.h"

extern char call_dir_path[64];
extern int call_dir_fd;

int call_dir_make(void **state);
int call_dir_remove(void **state);

/* The whole content, to be freed; "" for an empty file, a failed assertion for a missing one. */
char *call_dir_read(const char *name);
void call_dir_write(const char *name, const char *text);

/* The text with every `"time":N` made `"time":T`, in place. Asserts that each N is of now. */
char *call_dir_fix_times(char *text);
