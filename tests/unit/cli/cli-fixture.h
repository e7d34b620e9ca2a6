/* SPDX-License-Identifier: MIT */
/* One run of the command line in a directory of its own: a session whose output is caught, and an
 * agent that is a shell script with an answer for each request, in the order in which they come. */
#pragma once

#include "plugin/cli/options.h"
#include "plugin/cli/session.h"
#include "tests/unit/scratch.h"

typedef struct CliFixture {
    Scratch *scratch;
    Options options;
    Session session;
    int out_fd, error_fd;
    char *agent; /* its address */
} CliFixture;

int cli_setup(void **state);
int cli_teardown(void **state);
#define cli_test(f) cmocka_unit_test_setup_teardown(f, cli_setup, cli_teardown)

/* A session of `slipway test WORDS…`, not connected; `test` takes two arguments at most and the
 * options that every command takes. */
#define cli_begin(f, ...) cli_begin_words(f, (const char *const[]){__VA_ARGS__, NULL})
void cli_begin_words(CliFixture *f, const char *const *words);

/* What the agent does when the `n`th line comes; 1 is `initialize`, which has its answer already.
 * Lines that it says; or a piece of sh(1). */
void cli_agent_says(CliFixture *f, unsigned n, const char *lines);
void cli_agent_runs(CliFixture *f, unsigned n, const char *script);

/* As cli_begin, connected to that agent. */
#define cli_connect(f, ...) cli_connect_words(f, (const char *const[]){__VA_ARGS__, NULL})
void cli_connect_words(CliFixture *f, const char *const *words);

/* The requests that the agent saw, a line each. The caller frees it. */
char *cli_requests(CliFixture *f);

/* What was written since it was last asked. The caller frees it. */
char *cli_out(CliFixture *f);
char *cli_error(CliFixture *f);

void cli_expect_out(CliFixture *f, const char *expected);
void cli_expect_error(CliFixture *f, const char *expected);
void cli_expect_error_has(CliFixture *f, const char *words);
