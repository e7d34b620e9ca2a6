/* SPDX-License-Identifier: MIT */
#include "tests/unit/swarm/swarm-talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char *quoted(const char *text)
{
    char *copy = strdup(text);

    assert_non_null(copy);
    for (char *c = copy; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    return copy;
}

static char *answer_of(const SwarmAnswer *answer)
{
    _cleanup_free_ char *body = quoted(answer->body);
    char *text = NULL;

    if (strncmp(body, "HTTP/", 5) == 0 || answer->status == 0) {
        return TAKE_PTR(body);
    }
    assert_true(asprintf(&text,
                         "HTTP/1.1 %d Scripted\r\nApi-Version: 1.41\r\n"
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                         answer->status, strlen(body), body) > 0);
    return text;
}

void swarm_talk_start(SwarmTalk *talk, const SwarmAnswer *answers)
{
    size_t n = 0;

    *talk = (SwarmTalk){0};
    for (; answers[n].body; n++) {
        assert_true(n < SWARM_ANSWERS_MAX);
        talk->answers[n] = answer_of(&answers[n]);
    }
    scripted_server_start(&talk->server, false, (const char *const *)talk->answers, n);
    talk->environment = json_new_object();
    assert_int_equal(json_set_string(talk->environment, "address", talk->server.address), 0);
}

void swarm_talk_assert_asked(SwarmTalk *talk, const char *wanted)
{
    static char line[65536];

    assert_true(scripted_server_next_request(&talk->server, line, sizeof(line)));
    if (strncmp(line, wanted, strlen(wanted)) != 0) {
        assert_string_equal(line, wanted);
    }
}

void swarm_talk_assert_silence(SwarmTalk *talk)
{
    static char line[65536];

    if (scripted_server_next_request(&talk->server, line, sizeof(line))) {
        fail_msg("nothing more was to be asked, but: %s", line);
    }
}

void swarm_talk_stop(SwarmTalk *talk)
{
    scripted_server_stop(&talk->server);
    talk->environment = json_unref(talk->environment);
    error_done(&talk->err);
    for (size_t i = 0; i < SWARM_ANSWERS_MAX; i++) {
        free(talk->answers[i]);
    }
}

Json *swarm_json(const char *text)
{
    _cleanup_free_ char *json = quoted(text);
    _cleanup_error_ Error err = {0};
    Json *j = NULL;

    if (json_parse(json, strlen(json), &j, &err) < 0) {
        fail_msg("%s: %s", error_text(&err), json);
    }
    return j;
}
