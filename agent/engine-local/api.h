/* SPDX-License-Identifier: MIT */
/* The engine's API: the table in agent/deploy/README.md, "The local engine". */
#pragma once

#include "agent/engine-local/engine.h"
#include "agent/engine-local/http.h"

/* An HttpHandler; `userdata` is the Engine. */
unsigned api_handle(void *userdata, const HttpRequest *request, Buffer *body);
