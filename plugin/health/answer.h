/* SPDX-License-Identifier: MIT */
/* From a path to what is said there. */
#pragma once

#include "plugin/health/facts.h"
#include "plugin/health/server.h"

/* Does that page tell of the agent? Then it has to be asked first. false: also where there is no
 * such page. */
bool answer_needs_facts(const char *path);

/* `facts` may be NULL where they are not needed. A reply always comes of it; one without memory for
 * its body has none. */
void answer_path(const char *path, const Facts *facts, ServerReply *ret);
