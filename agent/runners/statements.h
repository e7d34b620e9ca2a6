/* SPDX-License-Identifier: MIT */
/* What build actions state about the source and the package they worked on: the predicates that
 * protocol/evidence/README.md describes, signed and handed over by evidence.h. A source without a
 * commit is nothing that can be stated about; that is said in the log, and is no failure. */
#pragma once

#include "agent/junit/junit.h"
#include "agent/package/release.h"
#include "agent/runners/action.h"

/* The deb and the rpm. */
#define STATEMENTS_FILES_MAX 2

/* What was made, and of what, since `began_us`. All borrowed; what there is not is NULL. */
typedef struct StatementsPackaged {
    const Release *release;
    struct {
        const char *name;   /* of the file */
        const char *sha256; /* hexadecimal */
    } files[STATEMENTS_FILES_MAX];
    const char *base;        /* the reference of the image that it is made on */
    const char *base_digest; /* "sha256:…" */
    const char *tool;        /* that obeyed the Dockerfile, with its version */
    int64_t began_us;
} StatementsPackaged;

/* SLSA provenance of the image, and of the packages beside it. */
int statements_provenance(Action *action, const StatementsPackaged *packaged,
                          Error *err) _must_check_;

/* How the tests of the commit ended. `sums` may be empty: then only the command's end is known. */
int statements_test_result(Action *action, bool has_passed, const TestSums *sums,
                           Error *err) _must_check_;

/* How the verification of the package that runs in the call's environment ended. All borrowed. */
typedef struct StatementsVerified {
    const char *name; /* of the package; NULL: not known */
    const char *digest;
    const char
        *receipt_sha256; /* of the line that is the receipt of its deployment; NULL: not known */
    bool is_smoke_test;  /* the repository's, else the health check alone */
    bool has_passed;
} StatementsVerified;
int statements_verification(Action *action, const StatementsVerified *verified,
                            Error *err) _must_check_;
