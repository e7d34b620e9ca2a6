/* SPDX-License-Identifier: MIT */
#include "plugin/cli/change-call.h"

#include "plugin/cli/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTION_SIZE 160

/* In the order in which it is printed. */
static int describe(const SlipwayJson *outputs, const char *environment, const char *repository,
                    SlipwayJson *change)
{
    const char *text = slipway_json_get_string(outputs, "/text", "");
    const char *relation = slipway_json_get_string(outputs, "/relation", "");
    char *sha256 = slipway_sha256(text, strlen(text));
    char pointer[64];
    int r = slipway_json_set_string(change, "/environment", environment);

    r = r < 0 ? r : slipway_json_set_string(change, "/repository", repository);
    r = r < 0 ? r
              : slipway_json_set_bool(change, "/isOneCommit",
                                      strcmp(relation, "forward") == 0 &&
                                          slipway_json_get_int(outputs, "/commitCount", 0) == 1);
    for (SlipwayJsonMember m = {0}; r == 0 && slipway_json_next_member(outputs, &m);) {
        (void)snprintf(pointer, sizeof(pointer), "/%s", m.name);
        r = slipway_json_set(change, pointer, m.value);
    }
    r = r < 0 ? r : sha256 ? slipway_json_set_string(change, "/textSha256", sha256) : -1;
    free(sha256);
    return r;
}

SlipwayJson *change_describe(const SlipwayJson *outputs, const char *environment,
                             const char *repository)
{
    SlipwayJson *change = slipway_json_new_object();

    return change && describe(outputs, environment, repository, change) == 0
               ? change
               : slipway_json_unref(change);
}

/* Its text is what is wanted, not how it was found; how it failed is said all the same. */
static int follow_quietly(Session *s, SlipwayJson *params, const char *action, FollowResult *ret)
{
    bool was_quiet = s->output.is_quiet, was_json = s->output.is_json;
    int r;

    s->output.is_quiet = true;
    s->output.is_json = false;
    r = follow_start(s, params, action, ret);
    s->output.is_quiet = was_quiet;
    s->output.is_json = was_json;
    return r;
}

int change_call(Session *s, const char *environment, const SourceCommit *source, SlipwayJson **ret)
{
    _cleanup_(follow_result_done) FollowResult followed = {0};
    SlipwayJson *params = slipway_json_new_object();
    char key[SESSION_ID_SIZE], action[ACTION_SIZE];
    int r = EXIT_ACTION_FAILED;

    session_random_id(key);
    (void)snprintf(action, sizeof(action), "changes-%.128s", environment);
    if (params && slipway_json_set_string(params, "/action", action) == 0 &&
        slipway_json_set_string(params, "/idempotencyKey", key) == 0 &&
        source_set_git(params, source) == 0) {
        r = follow_quietly(s, params, action, &followed);
    } else {
        output_say(&s->output, "slipway: out of memory");
    }
    (void)slipway_json_unref(params);
    if (r != EXIT_DONE) {
        return r;
    }
    *ret = change_describe(slipway_json_get(followed.result, "/outputs"), environment,
                           source->repository);
    if (!*ret) {
        output_say(&s->output, "slipway: out of memory");
    }
    return *ret ? EXIT_DONE : EXIT_ACTION_FAILED;
}
