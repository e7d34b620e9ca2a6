/* SPDX-License-Identifier: MIT */
/* What a call lets the programs that it starts have of the agent's state directory. */
#pragma once

#include "agent/source/confine.h"

/* All borrowed. */
typedef struct ConfinedPlaces {
    const char *state; /* NULL: nothing is confined */
    const char *workspace;
    const char *cache;
} ConfinedPlaces;

typedef enum ConfinedKind {
    CONFINED_STEP, /* the workspace; to read, the objects that it borrows */
    CONFINED_GIT,  /* the workspace and the mirrors: what a step wrote into .git/config or into the
                      user's settings runs in here */
} ConfinedKind;

/* 1 and *ret, which is the caller's; 0 where nothing is confined. */
int confined_open(const ConfinedPlaces *places, ConfinedKind kind, Confine *ret,
                  Error *err) _must_check_;
