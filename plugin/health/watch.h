/* SPDX-License-Identifier: MIT */
/* Asks the agent, when somebody wants to know, and keeps for a moment what it said. While nobody
 * asks, one connection is open and nothing is sent. */
#pragma once

#include "plugin/health/facts.h"

/* What was asked so lately is not asked again. */
#define WATCH_FRESH_MS 1000

/* The audit log is read again after this, and no sooner than twenty times what reading it took. */
#define WATCH_LEDGER_MS 2000

typedef struct Watch Watch;

/* An agent that takes longer than `timeout_ms` is away. `told` is called when facts that
 * watch_refresh() could not give at once are there; never from inside it. NULL when memory is out.
 */
Watch *watch_new(const char *address, int timeout_ms, void (*told)(void *userdata), void *userdata);
Watch *watch_free(Watch *watch);

/* true: watch_facts() are of now. false: they are asked for. */
bool watch_refresh(Watch *watch);

/* As they were when they came; borrowed until the loop is turned. */
const Facts *watch_facts(const Watch *watch);

/* For poll(2): the descriptor (-1: none), its events, and after how many milliseconds (-1: never)
 * watch_process() is to be called anyway. */
int watch_get_fd(const Watch *watch);
short watch_get_events(const Watch *watch);
int watch_get_timeout_ms(const Watch *watch);
void watch_process(Watch *watch);
