/* SPDX-License-Identifier: MIT */
/* What is signed: in-toto Statements v1 (https://in-toto.io/Statement/v1) of the kinds below.
 *
 * A statement is read against its JSON Schema (protocol/schema/statement and predicate-KIND) with
 * unknown and second members refused, so that no two readers can understand one differently. */
#pragma once

#include "protocol/base/error.h"
#include "protocol/json.h"

typedef enum StatementKind {
    STATEMENT_PROVENANCE,   /* package: digest ← repository, commit (SLSA provenance v1) */
    STATEMENT_TEST_RESULT,  /* test: of a commit (in-toto test-result v0.1) */
    STATEMENT_DEPLOYMENT,   /* deploy-E: the receipt (slipway:deployment/v1) */
    STATEMENT_VERIFICATION, /* verify-E: its result (SLSA verification summary v1) */
    STATEMENT_APPROVAL,     /* slipway approve: who released it (slipway:approval/v1) */
    _STATEMENT_KIND_MAX,
} StatementKind;

/* "provenance", "test-result", "deployment", "verification", "approval" */
const char *statement_kind_name(StatementKind kind);
const char *statement_kind_uri(StatementKind kind);

typedef struct Statement {
    StatementKind kind;
    Json *root;            /* owned */
    const Json *predicate; /* borrowed from root */
} Statement;

void statement_done(Statement *statement);
#define _cleanup_statement_ _cleanup_(statement_done)

/* Reads a payload whose signature was found good. -EINVAL with every mistake, by pointer. */
int statement_parse(const char *text, size_t n, Statement *ret, Error *err) _must_check_;

/* What a statement is about. All borrowed. */
typedef struct StatementSubject {
    const char *name;      /* NULL: it has none */
    const char *algorithm; /* "sha256", "gitCommit" */
    const char *digest;    /* hexadecimal */
} StatementSubject;

/* Builds one about `n` subjects, of which the first is the one that a release hangs on, and appends
 * its text to `out`; `predicate` is borrowed. It is checked as a reader would. */
int statement_format(StatementKind kind, const StatementSubject *subjects, size_t n,
                     const Json *predicate, Buffer *out, Error *err) _must_check_;

/* Is this digest among the subjects'? */
bool statement_is_about(const Statement *statement, const char *algorithm, const char *digest);

/* Of the first subject; NULL if it has none of that algorithm. Borrowed. */
const char *statement_digest(const Statement *statement, const char *algorithm);
const char *statement_subject_name(const Statement *statement);

/* The commit that it is about, wherever its kind has it; NULL if it says none. Borrowed. */
const char *statement_commit(const Statement *statement);

/* The environment of a deployment, verification or approval; NULL for other kinds. Borrowed. */
const char *statement_environment(const Statement *statement);

/* A text below the predicate by JSON Pointer, NULL if there is none. Borrowed. */
const char *statement_text(const Statement *statement, const char *pointer);
