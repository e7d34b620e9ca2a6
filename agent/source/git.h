/* SPDX-License-Identifier: MIT */
/* Runs git, for one repository, so that nothing surprises: no prompts, no hooks, no transport that
 * is a command (`ext::`), no GIT_* of whoever started us, English messages. What git says on stderr
 * goes to the log; of a failure, the sentence that matters is in the Error. */
#pragma once

#include "agent/source/confine.h"
#include "agent/source/environment.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"

#include <stdbool.h>

typedef struct Git {
    char *url;       /* as git gets it */
    char *shown_url; /* for people and files: without a password */
    bool is_local;   /* a path or file:// */
    Environment env;
    const Confine *confine; /* borrowed; NULL: none. Whoever opened it sets it */
} Git;

#define GIT_INIT ((Git){0})

/* A URL, an scp-like HOST:PATH or an absolute path; -EINVAL for anything else. */
int git_open(const char *url, Git *ret, Error *err) _must_check_;
void git_done(Git *git);
#define _cleanup_git_ _cleanup_(git_done)

/* `arguments` (NULL-terminated) come after `git`. `directory` NULL: our own. `output` (may be NULL)
 * takes stdout, without the last line feed. 0: it succeeded. 1: it exited with another status, with
 * the sentence in `err`. < 0: it could not be run. */
int git_try(const Git *git, const char *directory, const char *const *arguments, Buffer *output,
            Error *err) _must_check_;

/* As git_try, but every failure is one: -EIO with git's sentence. */
int git_run(const Git *git, const char *directory, const char *const *arguments, Buffer *output,
            Error *err) _must_check_;

/* For arguments given in place: git_run(git, dir, GIT_ARGUMENTS("gc", "--auto"), …). */
#define GIT_ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits. */
bool git_is_full_commit(const char *text);

/* The rules of git-check-ref-format(1), and no leading dash: safe as an argument. */
bool git_is_ref(const char *text);

/* "main" of "refs/heads/main" and of "main"; NULL for a ref that is no branch. Borrowed. */
const char *git_branch_of(const char *ref);

/* "v1" of "refs/tags/v1"; NULL for anything else. Borrowed. */
const char *git_tag_of(const char *ref);
