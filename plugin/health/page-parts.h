/* SPDX-License-Identifier: MIT */
/* The tables of the status page. Whatever is shown comes from repositories and people, so all of it
 * goes through html_text (plugin/cli/report/html.h). */
#pragma once

#include "plugin/health/facts.h"

#include <stdio.h>

/* Each writes a section of its own; nothing where there is nothing to tell. */
void page_write_live(FILE *out, const Facts *facts);
void page_write_environments(FILE *out, const Facts *facts);
void page_write_ended(FILE *out, const Facts *facts);
void page_write_host(FILE *out, const Facts *facts);
