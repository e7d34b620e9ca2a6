/* SPDX-License-Identifier: MIT */
/* Entries as slipway_bundle_read gives them, of a release that has all it needs. */
#pragma once

#include "plugin/include/slipway.h"
#include "tests/unit/cmocka.h"

#include <string.h>

#define HEX "0e652d06d8afe34763e4efbafc6c0ecf0e36d296c20df055c5bd26e64e04b4d9"
#define OTHER_HEX "1e652d06d8afe34763e4efbafc6c0ecf0e36d296c20df055c5bd26e64e04b4d9"
#define COMMIT "e3986927549ac60b14665b391267194a6751a849"
#define OTHER_COMMIT "f3986927549ac60b14665b391267194a6751a849"

#define ENTRY(kind, trust, subject, predicate)                                                     \
    "{\"line\":1,\"trust\":\"" trust                                                               \
    "\",\"signer\":\"somebody\",\"keyId\":\"0123456789abcdef01\","                                 \
    "\"kind\":\"" kind "\",\"statement\":{\"subject\":[{\"name\":\"greeter\",\"digest\":{" subject \
    "}}],\"predicate\":{" predicate "}}}"

#define OF_PACKAGE "\"sha256\":\"" HEX "\""
#define OF_OTHER "\"sha256\":\"" OTHER_HEX "\""
#define OF_COMMIT "\"gitCommit\":\"" COMMIT "\""

#define PROVENANCE_OF(trust, subject, commit)                                                      \
    ENTRY(                                                                                         \
        "provenance", trust, subject,                                                              \
        "\"buildDefinition\":{\"externalParameters\":{\"repository\":\"/srv/greeter.git\","        \
        "\"ref\":\"refs/heads/main\"},\"internalParameters\":{\"version\":\"v1\",\"run\":\"r7\"}," \
        "\"resolvedDependencies\":[{\"digest\":{\"gitCommit\":\"" commit "\"}}]},"                 \
        "\"runDetails\":{\"builder\":{\"id\":\"slipway:agent/b\"},"                                \
        "\"metadata\":{\"finishedOn\":\"2026-11-25T10:00:00Z\"}}")
#define PROVENANCE(trust) PROVENANCE_OF(trust, OF_PACKAGE, COMMIT)
#define TEST_RESULT(trust, result) \
    ENTRY("test-result", trust, OF_COMMIT, "\"result\":\"" result "\"")
#define DEPLOYMENT(trust, environment)                                                \
    ENTRY("deployment", trust, OF_PACKAGE,                                            \
          "\"environment\":\"" environment "\",\"engine\":\"local\",\"instances\":2," \
          "\"finishedOn\":\"2026-11-25T10:01:00Z\"")
#define VERIFICATION(trust, environment, result, time)         \
    ENTRY("verification", trust, OF_PACKAGE,                   \
          "\"resourceUri\":\"slipway:environment/" environment \
          "\",\"verificationResult\":\"" result "\",\"timeVerified\":\"" time "\"")
#define APPROVAL_OF(trust, environment, commit, more)                      \
    ENTRY("approval", trust, OF_PACKAGE,                                   \
          "\"approver\":{\"name\":\"Ann\"},\"environment\":\"" environment \
          "\",\"commit\":\"" commit                                        \
          "\",\"issuedOn\":\"2026-11-25T10:03:00Z\",\"expiresOn\":\"2026-11-25T14:03:00Z\"" more)
#define CHANGE ",\"change\":{\"sha256\":\"" HEX "\"}"
#define APPROVAL(trust) APPROVAL_OF(trust, "prod", COMMIT, CHANGE)

#define VERIFIED(trust) VERIFICATION(trust, "staging", "PASSED", "2026-11-25T10:02:00Z")
#define STAGED(trust) DEPLOYMENT(trust, "staging")

/* The caller's. */
static inline SlipwayJson *parse_text(const char *text)
{
    SlipwayJson *json = NULL;

    assert_int_equal(slipway_json_parse(text, strlen(text), &json), 0);
    return json;
}
