/* SPDX-License-Identifier: MIT */
/* What build actions state about the source and the package they worked on: the predicates that
 * protocol/evidence/README.md describes, signed and handed over by evidence.h. A source without a
 * commit is nothing that can be stated about; that is said in the log, and is no failure. */
#pragma once

#include "agent/junit/junit.h"
#include "agent/package/release.h"
#include "agent/runners/action.h"

/* SLSA provenance of a package that was made since `began_us`. */
int statements_provenance(Action *action, const Release *release, int64_t began_us,
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
