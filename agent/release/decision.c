/* SPDX-License-Identifier: MIT */
#include "agent/release/decision.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A requirement fills `text` with what is missing; it leaves it empty where it is met or not asked
 * for. */
typedef int (*Requirement)(const DecisionRequest *request, Buffer *text);

/* Production asks for a person unless its owner says otherwise: who forgets a line in agent.json is
 * stopped, not surprised. */
static bool needs_approval(const Json *environment)
{
    const char *name = json_get_string(environment, "name");
    bool is_production = name && (strcmp(name, "prod") == 0 || strcmp(name, "production") == 0);

    return json_get_bool(environment, "needsApproval", is_production);
}

static const char *approver(const DecisionRequest *request)
{
    const char *by = json_get_string(request->approval, "by");

    return by && *by ? by : NULL;
}

/* Going back is never held up: it takes what was released before, and it is for when things are
 * bad. */
static int require_approval(const DecisionRequest *request, Buffer *text)
{
    const char *name = json_get_string(request->environment, "name");

    if (strcmp(request->verb, "rollback") == 0 || !needs_approval(request->environment) ||
        approver(request)) {
        return 0;
    }
    return buffer_append_format(
        text,
        "the environment '%s' needs an approval and this call brings none; who releases it calls "
        "it with `approval.by` (slipway call --approver NAME), or the host's agent.json sets "
        "`needsApproval` to false for it",
        name ? name : "");
}

static const Requirement requirements[] = {
    require_approval,
};

static int say_whose_word(const DecisionRequest *request, Buffer *text)
{
    const char *by = approver(request), *url = json_get_string(request->approval, "url");

    if (!by) {
        return buffer_append_text(text, "no approval is asked for");
    }
    return buffer_append_format(text, "released by %s%s%s%s", by, url ? " (" : "", url ? url : "",
                                url ? ")" : "");
}

void decision_done(Decision *decision)
{
    free(decision->text);
    *decision = (Decision){0};
}

int decision_make(const DecisionRequest *request, Decision *ret, Error *err)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    bool is_allowed = true;
    char *taken;
    int r = 0;

    for (size_t i = 0; r == 0 && is_allowed && i < ARRAY_SIZE(requirements); i++) {
        r = requirements[i](request, &text);
        is_allowed = text.len == 0;
    }
    r = r == 0 && is_allowed ? say_whose_word(request, &text) : r;
    taken = r < 0 ? NULL : buffer_take_text(&text);
    if (!taken) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret = (Decision){.is_allowed = is_allowed, .text = taken};
    return 0;
}
