/* SPDX-License-Identifier: MIT */
#include "agent/runners/statements.h"

#include "agent/runners/evidence.h"
#include "protocol/artifact/digest.h"
#include "protocol/base/clock.h"
#include "protocol/base/file.h"
#include "protocol/base/log.h"
#include "protocol/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DIGEST_PREFIX "sha256:"
#define CONFIGURATION_MAX ((size_t)1 << 20)

static bool has_commit(const Action *action, const char *what)
{
    if (!action->source.commit) {
        log_info("the source says no commit, so there is no %s of it", what);
    }
    return action->source.commit;
}

static int out_of_memory(Error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* Puts an object of one text at `name`. */
static int set_nested(Json *object, const char *name, const char *inner, const char *text)
{
    Json *nested = json_new_object();
    int r = nested ? json_set_string(nested, inner, text) : -ENOMEM;

    if (r < 0) {
        (void)json_unref(nested);
        return r;
    }
    return json_set_take(object, name, nested);
}

/* ---- provenance -------------------------------------------------------------------------------
 */

static int append_dependency(Json *list, const char *uri, const char *algorithm, const char *digest)
{
    _cleanup_json_ Json *entry = json_new_object();
    int r = entry ? json_set_string(entry, "uri", uri) : -ENOMEM;

    r = r < 0 ? r : set_nested(entry, "digest", algorithm, digest);
    return r < 0 ? r : json_append_take(list, TAKE_PTR(entry));
}

/* The source first. */
static int add_dependencies(const Source *source, const StatementsPackaged *packaged,
                            Json *definition)
{
    _cleanup_json_ Json *list = json_new_array();
    _cleanup_free_ char *uri = NULL;
    int r = list ? 0 : -ENOMEM;

    if (asprintf(&uri, "git+%s%s%s", source->repository ? source->repository : "unknown",
                 source->ref ? "@" : "", source->ref ? source->ref : "") < 0) {
        uri = NULL;
        return -ENOMEM;
    }
    r = r < 0 ? r : append_dependency(list, uri, "gitCommit", source->commit);
    if (r == 0 && packaged->base && packaged->base_digest) {
        r = append_dependency(list, packaged->base, "sha256",
                              packaged->base_digest + strlen(DIGEST_PREFIX));
    }
    return r < 0 ? r : json_set_take(definition, "resolvedDependencies", TAKE_PTR(list));
}

static int add_parameters(const Action *action, const StatementsPackaged *packaged,
                          Json *definition)
{
    const Source *source = &action->source;
    _cleanup_json_ Json *external = json_new_object(), *internal = json_new_object();
    int r = external && internal ? 0 : -ENOMEM;

    r = r < 0 ? r
              : json_set_string(external, "repository",
                                source->repository ? source->repository : "unknown");
    r = r < 0 ? r : json_set_string(external, "ref", source->ref);
    r = r < 0 ? r : json_set_string(internal, "name", packaged->release->name);
    r = r < 0 ? r : json_set_string(internal, "version", packaged->release->version);
    r = r < 0 ? r : json_set_string(internal, "run", action->spec.run);
    r = r < 0 ? r : json_set_string(internal, "tool", packaged->tool);
    r = r < 0 ? r : json_set_take(definition, "externalParameters", TAKE_PTR(external));
    return r < 0 ? r : json_set_take(definition, "internalParameters", TAKE_PTR(internal));
}

static int add_details(const Action *action, int64_t began_us, Json *details)
{
    _cleanup_free_ char *agent = evidence_agent_uri(&action->spec);
    _cleanup_json_ Json *metadata = json_new_object();
    int r = agent && metadata ? set_nested(details, "builder", "id", agent) : -ENOMEM;

    r = r < 0 ? r : json_set_string(metadata, "invocationId", action->spec.call);
    r = r < 0 ? r : evidence_set_time(metadata, "startedOn", began_us);
    r = r < 0 ? r : evidence_set_time(metadata, "finishedOn", clock_wall_us());
    return r < 0 ? r : json_set_take(details, "metadata", TAKE_PTR(metadata));
}

static Json *provenance(const Action *action, const StatementsPackaged *packaged)
{
    _cleanup_json_ Json *predicate = json_new_object(), *definition = json_new_object();
    _cleanup_json_ Json *details = json_new_object();
    int r = predicate && definition && details ? 0 : -ENOMEM;

    r = r < 0 ? r : json_set_string(definition, "buildType", "slipway:package/v1");
    r = r < 0 ? r : add_parameters(action, packaged, definition);
    r = r < 0 ? r : add_dependencies(&action->source, packaged, definition);
    r = r < 0 ? r : add_details(action, packaged->began_us, details);
    r = r < 0 ? r : json_set_take(predicate, "buildDefinition", TAKE_PTR(definition));
    r = r < 0 ? r : json_set_take(predicate, "runDetails", TAKE_PTR(details));
    return r < 0 ? NULL : TAKE_PTR(predicate);
}

int statements_provenance(Action *action, const StatementsPackaged *packaged, Error *err)
{
    _cleanup_json_ Json *predicate = NULL;
    StatementSubject subjects[1 + STATEMENTS_FILES_MAX] = {{
        .name = packaged->release->name,
        .algorithm = "sha256",
        .digest = packaged->release->digest + strlen(DIGEST_PREFIX),
    }};
    size_t n = 1;

    if (!has_commit(action, "provenance")) {
        return 0;
    }
    for (size_t i = 0; i < STATEMENTS_FILES_MAX; i++) {
        if (packaged->files[i].name) {
            subjects[n++] = (StatementSubject){
                .name = packaged->files[i].name,
                .algorithm = "sha256",
                .digest = packaged->files[i].sha256,
            };
        }
    }
    predicate = provenance(action, packaged);
    return evidence_state(&action->spec, &action->report, STATEMENT_PROVENANCE, subjects, n,
                          predicate, err);
}

/* ---- test results -----------------------------------------------------------------------------
 */

/* The repository's own say in how it is tested, if it has one. */
static int add_configuration(const Action *action, Json *predicate)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(CONFIGURATION_MAX);
    _cleanup_json_ Json *list = json_new_array(), *entry = json_new_object();
    char sha256[DIGEST_HEX_SIZE];
    int r = list && entry ? 0 : -ENOMEM;

    if (r == 0 && file_read(action->workspace_fd, "slipway.json", &text, NULL) == 0) {
        r = digest_bytes(buffer_text(&text), text.len, sha256);
        r = r < 0 ? r : json_set_string(entry, "name", "slipway.json");
        r = r < 0 ? r : set_nested(entry, "digest", "sha256", sha256);
        r = r < 0 ? r : json_append_take(list, TAKE_PTR(entry));
    }
    return r < 0 ? r : json_set_take(predicate, "configuration", TAKE_PTR(list));
}

static int add_failures(const TestSums *sums, Json *predicate)
{
    _cleanup_json_ Json *list = json_new_array();
    int r = list ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < sums->n_failures; i++) {
        const TestFailure *failure = &sums->failures[i];
        _cleanup_free_ char *name = NULL;

        if (asprintf(&name, "%s%s%s", failure->suite ? failure->suite : "",
                     failure->suite && *failure->suite ? "/" : "",
                     failure->name ? failure->name : "") < 0) {
            name = NULL;
            return -ENOMEM;
        }
        r = json_append_string(list, name);
    }
    return r < 0 || sums->n_failures == 0 ? r
                                          : json_set_take(predicate, "failedTests", TAKE_PTR(list));
}

int statements_test_result(Action *action, bool has_passed, const TestSums *sums, Error *err)
{
    _cleanup_json_ Json *predicate = NULL;
    const char *url = json_get_string(action->spec.origin, "url");
    int r;

    if (!has_commit(action, "test result")) {
        return 0;
    }
    predicate = json_new_object();
    r = predicate ? json_set_string(predicate, "result", has_passed ? "PASSED" : "FAILED")
                  : -ENOMEM;
    r = r < 0 ? r : add_configuration(action, predicate);
    r = r < 0 ? r : json_set_string(predicate, "url", url);
    r = r < 0 ? r : add_failures(sums, predicate);
    return r < 0 ? out_of_memory(err)
                 : evidence_state(
                       &action->spec, &action->report, STATEMENT_TEST_RESULT,
                       &(StatementSubject){action->name, "gitCommit", action->source.commit}, 1,
                       predicate, err);
}

/* ---- verifications ----------------------------------------------------------------------------
 */

static int add_levels(bool has_passed, Json *predicate)
{
    _cleanup_json_ Json *levels = json_new_array();
    int r = !levels ? -ENOMEM : has_passed ? 0 : json_append_string(levels, "FAILED");

    return r < 0 ? r : json_set_take(predicate, "verifiedLevels", TAKE_PTR(levels));
}

static int add_receipt(const char *sha256, Json *predicate)
{
    _cleanup_json_ Json *list = json_new_array(), *entry = json_new_object();
    int r = list && entry ? 0 : -ENOMEM;

    if (!sha256) {
        return 0;
    }
    r = r < 0 ? r : set_nested(entry, "digest", "sha256", sha256);
    r = r < 0 ? r : json_append_take(list, TAKE_PTR(entry));
    return r < 0 ? r : json_set_take(predicate, "inputAttestations", TAKE_PTR(list));
}

static Json *verification(const Action *action, const StatementsVerified *verified)
{
    _cleanup_free_ char *agent = evidence_agent_uri(&action->spec), *resource = NULL;
    _cleanup_json_ Json *predicate = json_new_object();
    int r = agent && predicate ? set_nested(predicate, "verifier", "id", agent) : -ENOMEM;

    if (asprintf(&resource, "slipway:environment/%s", action->spec.environment_name) < 0) {
        resource = NULL;
        return NULL;
    }
    r = r < 0 ? r : evidence_set_time(predicate, "timeVerified", clock_wall_us());
    r = r < 0 ? r : json_set_string(predicate, "resourceUri", resource);
    r = r < 0 ? r
              : set_nested(predicate, "policy", "uri",
                           verified->is_smoke_test ? "slipway:verify" : "slipway:health");
    r = r < 0 ? r : add_receipt(verified->receipt_sha256, predicate);
    r = r < 0 ? r
              : json_set_string(predicate, "verificationResult",
                                verified->has_passed ? "PASSED" : "FAILED");
    r = r < 0 ? r : add_levels(verified->has_passed, predicate);
    return r < 0 ? NULL : TAKE_PTR(predicate);
}

int statements_verification(Action *action, const StatementsVerified *verified, Error *err)
{
    _cleanup_json_ Json *predicate = verification(action, verified);

    return evidence_state(&action->spec, &action->report, STATEMENT_VERIFICATION,
                          &(StatementSubject){
                              .name = verified->name,
                              .algorithm = "sha256",
                              .digest = verified->digest + strlen(DIGEST_PREFIX),
                          },
                          1, predicate, err);
}
