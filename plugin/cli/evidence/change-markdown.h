/* SPDX-License-Identifier: MIT */
/* The whole change as Markdown, for a merge request, a chat or a build's page. */
#pragma once

#include "plugin/include/slipway.h"

/* `change` is what changes-E puts out. Whatever comes from the repository (subjects, authors,
 * names, lines) stands in code, where no Markdown renders it: no link, image, HTML, mention or
 * table comes of what a commit says. To free(); NULL when memory is out. */
char *change_markdown(const SlipwayJson *change);
