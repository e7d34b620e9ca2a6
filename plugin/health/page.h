/* SPDX-License-Identifier: MIT */
/* The status page: one HTML text that needs no network, no script and no other file, and offers
 * nothing to click. */
#pragma once

#include "plugin/health/facts.h"

#include <stdio.h>

#define PAGE_CONTENT_TYPE "text/html; charset=utf-8"

void page_write(FILE *out, const Facts *facts);
