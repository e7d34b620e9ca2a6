/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/release-tell.h"

#include "plugin/cli/evidence/release-subject.h"
#include "plugin/cli/report/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_SHOWN 12

static const char *said(const SlipwayJson *entry, const char *pointer)
{
    return release_said(entry, pointer, "?");
}

static int tell_provenance(const SlipwayJson *entry, char **ret)
{
    return asprintf(
        ret, "packaged from %s at %.*s by %s, %s",
        said(entry, "/predicate/buildDefinition/externalParameters/repository"), HASH_SHOWN,
        said(entry, "/predicate/buildDefinition/resolvedDependencies/0/digest/gitCommit"),
        said(entry, "/predicate/runDetails/builder/id"),
        said(entry, "/predicate/runDetails/metadata/finishedOn"));
}

/* How many passed is not always said, and then it is not told. */
static int tell_test_result(const SlipwayJson *entry, char **ret)
{
    size_t passed = slipway_json_get_count(entry, "/statement/predicate/passedTests");
    size_t failed = slipway_json_get_count(entry, "/statement/predicate/failedTests");
    char counts[64] = "";

    if (passed > 0 || failed > 0) {
        (void)snprintf(counts, sizeof(counts), " (%zu passed, %zu failed)", passed, failed);
    }
    return asprintf(ret, "tests of %.*s: %s%s", HASH_SHOWN,
                    said(entry, "/subject/0/digest/gitCommit"), said(entry, "/predicate/result"),
                    counts);
}

static int tell_deployment(const SlipwayJson *entry, char **ret)
{
    return asprintf(ret, "ran in %s (%s, %lld healthy), %s", said(entry, "/predicate/environment"),
                    said(entry, "/predicate/engine"),
                    (long long)slipway_json_get_int(entry, "/statement/predicate/instances", 0),
                    said(entry, "/predicate/finishedOn"));
}

static int tell_verification(const SlipwayJson *entry, char **ret)
{
    const char *resource = said(entry, "/predicate/resourceUri"), *name = strrchr(resource, '/');

    return asprintf(ret, "verified in %s: %s, %s", name ? name + 1 : resource,
                    said(entry, "/predicate/verificationResult"),
                    said(entry, "/predicate/timeVerified"));
}

static int tell_approval(const SlipwayJson *entry, char **ret)
{
    const char *via = release_said(entry, "/predicate/approver/via", "");
    const char *url = release_said(entry, "/predicate/approver/url", "");
    const char *reason = release_said(entry, "/predicate/reason", "");

    return asprintf(ret, "released to %s by %s%s%s%s%s, %s, good until %s%s%s",
                    said(entry, "/predicate/environment"), said(entry, "/predicate/approver/name"),
                    *via ? " via " : "", via, *url ? " at " : "", url,
                    said(entry, "/predicate/issuedOn"), said(entry, "/predicate/expiresOn"),
                    *reason ? ": " : "", reason);
}

static int tell_unknown(const SlipwayJson *entry, char **ret)
{
    const char *kind = slipway_json_get_string(entry, "/kind", NULL);

    return asprintf(ret, "says something that is not known here%s%s", kind ? ": " : "",
                    kind ? kind : "");
}

static int tell_whole(const SlipwayJson *entry, char **ret)
{
    static const struct {
        const char *kind;
        int (*tell)(const SlipwayJson *entry, char **ret);
    } kinds[] = {
        {"provenance", tell_provenance}, {"test-result", tell_test_result},
        {"deployment", tell_deployment}, {"verification", tell_verification},
        {"approval", tell_approval},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (release_is_kind(entry, kinds[i].kind)) {
            return kinds[i].tell(entry, ret);
        }
    }
    return tell_unknown(entry, ret);
}

char *release_tell(const SlipwayJson *entry)
{
    char *whole = NULL, clean[HISTORY_TEXT_MAX + 4];

    if (tell_whole(entry, &whole) < 0) {
        return NULL;
    }
    (void)history_clean(whole, clean);
    free(whole);
    return strdup(clean);
}
