/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/marathon/marathon-reason.h"

#include "agent/deploy/engines/marathon/marathon-app.h"

#include <string.h>

/* Longer messages are a whole log. */
#define MESSAGE_MAX 600
#define DETAILS_MAX 20

static const char *text_or(const char *text, const char *otherwise)
{
    return text && *text ? text : otherwise;
}

/* ---- a failure --------------------------------------------------------------------------------
 */

const Json *marathon_reason_failure(const Json *app, const char *config_version)
{
    const Json *failure = json_get(app, "lastTaskFailure");

    return marathon_app_is_of(json_get_string(failure, "version"), config_version) ? failure : NULL;
}

/* In the words of docker, of Mesos' own puller, and of its fetcher. */
static bool is_about_the_image(const char *message)
{
    static const char *const words[] = {
        "docker pull",
        "No such image",
        "manifest unknown",
        "Failed to pull",
        "manifest for",
        "Failed to perform 'curl'",
        "repository does not exist",
    };

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strstr(message, words[i])) {
            return true;
        }
    }
    return false;
}

static bool is_about_fetching(const char *message)
{
    return strstr(message, "Failed to fetch") || strstr(message, "fetch all URIs");
}

MarathonVerdict marathon_reason_judge(const Json *failure)
{
    const char *state = text_or(json_get_string(failure, "state"), "");
    const char *message = text_or(json_get_string(failure, "message"), "");

    if (strcmp(state, "TASK_KILLED") == 0 || strcmp(state, "TASK_ERROR") == 0) {
        return MARATHON_HOPELESS;
    }
    if (strcmp(state, "TASK_FAILED") != 0) {
        return MARATHON_WAIT;
    }
    return is_about_the_image(message) ? MARATHON_HOPELESS : MARATHON_SUSPECT;
}

int marathon_reason_append_failure(const Json *app, const Json *failure, Buffer *text)
{
    const char *message = text_or(json_get_string(failure, "message"), "no message");
    const char *state = text_or(json_get_string(failure, "state"), "?");
    const char *image = json_get_string(json_get(json_get(app, "container"), "docker"), "image");
    int r = 0;

    if (image && is_about_the_image(message)) {
        r = buffer_append_format(text, "the image '%s' cannot be had: ", image);
    } else if (is_about_fetching(message)) {
        r = buffer_append_text(text, "what the app fetches cannot be had: ");
    } else if (strcmp(state, "TASK_FAILED") == 0) {
        r = buffer_append_text(text, "an instance ended: ");
    }
    return r < 0 ? r
                 : buffer_append_format(text, "%.*s (%s on %s)", MESSAGE_MAX, message, state,
                                        text_or(json_get_string(failure, "host"), "no host"));
}

/* ---- a check ----------------------------------------------------------------------------------
 */

static int append_result(const Json *task, const Json *result, Buffer *text)
{
    const char *cause = json_get_string(result, "lastFailureCause");

    return buffer_append_format(text, "the health check of an instance on %s fails: %.*s",
                                text_or(json_get_string(task, "host"), "?"), MESSAGE_MAX,
                                text_or(cause, "no cause is given"));
}

int marathon_reason_append_check(const Json *app, const char *config_version, Buffer *text)
{
    const Json *tasks = json_get(app, "tasks");

    for (size_t i = 0; i < json_length(tasks); i++) {
        const Json *task = json_at(tasks, i), *results = json_get(task, "healthCheckResults");

        if (!marathon_app_is_of(json_get_string(task, "version"), config_version)) {
            continue;
        }
        for (size_t at = 0; at < json_length(results); at++) {
            if (!json_get_bool(json_at(results, at), "alive", true)) {
                return append_result(task, json_at(results, at), text);
            }
        }
    }
    return 0;
}

/* ---- the queue --------------------------------------------------------------------------------
 */

static int append_rejections(const Json *summary, Buffer *text)
{
    const Json *reasons = json_get(summary, "rejectSummaryLastOffers");
    const char *separator = "no room: ";
    int r = 0;

    for (size_t i = 0; r == 0 && i < json_length(reasons); i++) {
        const Json *reason = json_at(reasons, i);
        int64_t declined = json_get_int(reason, "declined", 0);

        if (declined > 0) {
            r = buffer_append_format(text, "%s%s declined %lld of %lld offers", separator,
                                     text_or(json_get_string(reason, "reason"), "?"),
                                     (long long)declined,
                                     (long long)json_get_int(reason, "processed", declined));
            separator = ", ";
        }
    }
    return r;
}

static int append_waiting(const Json *entry, Buffer *text)
{
    const Json *summary = json_get(entry, "processedOffersSummary");
    int64_t processed = json_get_int(summary, "processedOffersCount", 0);
    int64_t left = json_get_int(json_get(entry, "delay"), "timeLeftSeconds", 0);
    size_t len = text->len;
    int r = append_rejections(summary, text);

    if (r < 0 || text->len > len) {
        return r;
    }
    if (left > 0) {
        return buffer_append_text(text, "Marathon waits a while before it tries again");
    }
    return processed == 0 ? buffer_append_text(text, "Mesos has offered no room so far") : 0;
}

int marathon_reason_append_queue(const Json *queue, const char *app_id, Buffer *text)
{
    const Json *entries = json_get(queue, "queue");

    for (size_t i = 0; i < json_length(entries); i++) {
        const Json *entry = json_at(entries, i);
        const char *id = json_get_string(json_get(entry, "app"), "id");

        if (id && strcmp(id, app_id) == 0) {
            return append_waiting(entry, text);
        }
    }
    return 0;
}

/* ---- an error ---------------------------------------------------------------------------------
 */

static int append_detail(const Json *detail, Buffer *text)
{
    const char *path = json_get_string(detail, "path");
    const Json *errors = json_get(detail, "errors");
    int r = buffer_append_format(text, "; %s:", text_or(path, "/"));

    for (size_t i = 0; r == 0 && i < json_length(errors); i++) {
        r = buffer_append_format(text, "%s %.*s", i > 0 ? "," : "", MESSAGE_MAX,
                                 text_or(json_as_string(json_at(errors, i)), "?"));
    }
    return r;
}

int marathon_reason_append_error(const Json *answer, Buffer *text)
{
    const Json *details = json_get(answer, "details");
    const char *sentence = json_as_string(details);
    int r = buffer_append_format(text, "%.*s", MESSAGE_MAX,
                                 text_or(json_get_string(answer, "message"), "no message"));

    if (r == 0 && sentence) {
        return buffer_append_format(text, "; %.*s", MESSAGE_MAX, sentence);
    }
    for (size_t i = 0; r == 0 && i < MIN(json_length(details), (size_t)DETAILS_MAX); i++) {
        r = append_detail(json_at(details, i), text);
    }
    return r;
}
