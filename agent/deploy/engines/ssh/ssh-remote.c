/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/ssh/ssh-remote.h"

#include "protocol/base/clock.h"
#include "protocol/base/fd.h"
#include "protocol/base/text.h"
#include "protocol/ssh/ssh-config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What of a host's words goes into a sentence. */
#define WORDS_MAX ((size_t)2000)
#define SCHEME "ssh://"

/* ---- who it is --------------------------------------------------------------------------------
 */

int ssh_remote_init(const char *name, const char *config_path, SshRemote *ret, Error *err)
{
    _cleanup_ssh_address_ SshAddress address = {0};
    _cleanup_(ssh_config_done) SshConfig config = {0};
    _cleanup_free_ char *url = NULL;
    int r;

    if (asprintf(&url, "%s%s", strstr(name, "://") ? "" : SCHEME, name) < 0) {
        url = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = ssh_address_parse(url, &address, err);
    if (r < 0) {
        return error_wrap(err, "the host '%s'", name);
    }
    if (address.path || address.n_members > 0) {
        return error_set(err, -EINVAL, "the host '%s': only a user, a host and a port are expected",
                         name);
    }
    r = ssh_config_load(&address, config_path, &config, err);
    if (r < 0) {
        return error_wrap(err, "the host '%s'", name);
    }
    *ret = (SshRemote){.name = strdup(name), .host = strdup(config.host_name)};
    if (!ret->name || !ret->host) {
        ssh_remote_done(ret);
        return error_set(err, -ENOMEM, "out of memory");
    }
    ret->config_path = config_path;
    ret->address = address;
    address = (SshAddress){0};
    return 0;
}

void ssh_remote_done(SshRemote *remote)
{
    remote->session = ssh_session_free(remote->session);
    ssh_remote_status_done(&remote->status);
    ssh_address_done(&remote->address);
    free(remote->name);
    free(remote->host);
    free(remote->complaint);
    *remote = (SshRemote){0};
}

void ssh_remote_complain(SshRemote *remote, const char *text)
{
    char *copy = strdup(text);

    free(remote->complaint);
    remote->complaint = copy;
}

/* ---- verbs ------------------------------------------------------------------------------------
 */

static int append_command(const SshRemoteVerb *verb, Buffer *command)
{
    const char *words[] = {ssh_driver, verb->name, verb->base,
                           verb->deployment ? verb->deployment : ""};
    int r = buffer_append_text(command, "exec sh -c 'eval \"$1\"' slipway");

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(words); i++) {
        r = buffer_append(command, " ", 1);
        r = r < 0 ? r : ssh_quote(command, words[i]);
    }
    for (size_t i = 0; r == 0 && i < verb->n_arguments; i++) {
        r = buffer_append(command, " ", 1);
        r = r < 0 ? r : ssh_quote(command, verb->arguments[i]);
    }
    return r;
}

/* A verb under way. */
typedef struct Talk {
    const SshRemoteVerb *verb;
    const char *input;
    off_t offset;
    Buffer *out;
    Buffer errors; /* only the end is kept: what went wrong stands last */
} Talk;

static ssize_t give(char *data, size_t n, void *userdata)
{
    Talk *t = userdata;
    ssize_t got;

    if (t->verb->input_fd > 0) {
        got = fd_pread_full(t->verb->input_fd, data, n, t->offset);
        t->offset += got > 0 ? got : 0;
        return got;
    }
    got = t->input ? (ssize_t)MIN(strlen(t->input), n) : 0;
    if (got > 0) {
        memcpy(data, t->input, (size_t)got);
        t->input += got;
    }
    return got;
}

static int take(SshStream stream, const char *data, size_t n, void *userdata)
{
    Talk *t = userdata;

    if (stream == SSH_STDOUT) {
        return t->out ? buffer_append(t->out, data, n) : 0;
    }
    if (t->errors.len > 2 * WORDS_MAX) {
        buffer_consume(&t->errors, t->errors.len - WORDS_MAX);
    }
    data += n > WORDS_MAX ? n - WORDS_MAX : 0;
    return buffer_append(&t->errors, data, MIN(n, WORDS_MAX));
}

/* Appends what the host said as a line that can be shown. */
static int append_words(const Buffer *errors, Buffer *text)
{
    size_t start = errors->len > WORDS_MAX ? errors->len - WORDS_MAX : 0, end = errors->len;
    size_t from;
    int r;

    while (end > start && strchr("\r\n ", errors->data[end - 1])) {
        end--;
    }
    from = text->len;
    r = end > start ? text_append_utf8(text, errors->data + start, end - start) : 0;
    for (size_t i = from; r == 0 && i < text->len; i++) {
        text->data[i] = (unsigned char)text->data[i] < ' ' ? ' ' : text->data[i];
    }
    return r;
}

static int sort_out(const SshRemote *remote, const SshRemoteVerb *verb, const SshStatus *status,
                    const Buffer *errors, Error *err)
{
    static const struct {
        int exit_code;
        int answer;
        int code;
    } meanings[] = {
        {1, -EREMOTEIO, -EREMOTEIO},
        {70, SSH_REMOTE_BUSY, -EBUSY},
        {71, SSH_REMOTE_LOST, -EOWNERDEAD},
        {72, SSH_REMOTE_ABSENT, -ENOENT},
        {73, -EINVAL, -EINVAL},
        {74, SSH_REMOTE_NOT_YET, -EAGAIN},
        {75, SSH_REMOTE_DEAD, -EHOSTDOWN},
    };
    _cleanup_buffer_ Buffer words = BUFFER_INIT(0);

    if (!status->is_signalled && status->exit_code == 0) {
        return 0;
    }
    if (append_words(errors, &words) < 0) {
        return error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; !status->is_signalled && i < ARRAY_SIZE(meanings); i++) {
        if (meanings[i].exit_code == status->exit_code && words.len > 0) {
            (void)error_set(err, meanings[i].code, "%s: %s", remote->name, buffer_text(&words));
            return meanings[i].answer;
        }
    }
    if (status->is_signalled) {
        return error_set(err, -EREMOTEIO, "%s: '%s' was ended by SIG%s there%s%s", remote->name,
                         verb->name, status->signal, words.len > 0 ? ": " : "",
                         buffer_text(&words));
    }
    return error_set(err, -EREMOTEIO, "%s: '%s' ended with exit status %d there%s%s", remote->name,
                     verb->name, status->exit_code, words.len > 0 ? ": " : "", buffer_text(&words));
}

/* What a person has to mend is no use to ask again; anything else may be over in a moment. */
static int note_broken(SshRemote *remote, int r, Error *err)
{
    remote->session = ssh_session_free(remote->session);
    if (r == -ENOMEM || r == -EINVAL || r == -ENOBUFS || ssh_code_is_final(r)) {
        return error_wrap(err, "%s", remote->name);
    }
    (void)error_wrap(err, "%s is away", remote->name);
    ssh_remote_complain(remote, error_text(err));
    return SSH_REMOTE_AWAY;
}

static int connect(SshRemote *remote, Error *err)
{
    SshOptions options = {.config_path = remote->config_path};

    return remote->session ? 0
                           : ssh_session_open(&remote->address, &options, &remote->session, err);
}

int ssh_remote_do(SshRemote *remote, const SshRemoteVerb *verb, Buffer *out, Error *err)
{
    _cleanup_buffer_ Buffer command = BUFFER_INIT(0);
    Talk talk = {.verb = verb, .input = verb->input, .out = out};
    SshExec exec = {.input = give, .output = take, .userdata = &talk};
    SshStatus status = {0};
    int r = append_command(verb, &command);

    if (r < 0) {
        return error_set(err, r, "out of memory");
    }
    exec.command = buffer_text(&command);
    exec.timeout_ms = verb->timeout_ms > 0 ? verb->timeout_ms : SSH_REMOTE_SHORT_MS;
    r = connect(remote, err);
    r = r < 0 ? r : ssh_exec(remote->session, &exec, &status, err);
    r = r < 0 ? note_broken(remote, r, err) : sort_out(remote, verb, &status, &talk.errors, err);
    buffer_done(&talk.errors);
    return r;
}

/* ---- status -----------------------------------------------------------------------------------
 */

void ssh_remote_status_done(SshRemoteStatus *status)
{
    free(status->lock_owner);
    free(status->current);
    (void)json_unref(status->current_specification);
    free(status->text);
    free(status->before);
    free(status->verdict);
    free(status->verdict_text);
    (void)json_unref(status->specification);
    *status = (SshRemoteStatus){0};
}

bool ssh_remote_is_locked(const SshRemoteStatus *status)
{
    return status->lock_owner && status->now < status->lock_until;
}

static const char *const state_names[_SSH_STATE_MAX] = {
    [SSH_STATE_ABSENT] = "absent",
    [SSH_STATE_BEGUN] = "begun",
    [SSH_STATE_STAGED] = "staged",
    [SSH_STATE_SWITCHING] = "switching",
    [SSH_STATE_SWITCHING_DEAD] = "switching-dead",
    [SSH_STATE_STARTED] = "started",
    [SSH_STATE_HEALTHY] = "healthy",
    [SSH_STATE_FAILED] = "failed",
    [SSH_STATE_RETURNING] = "returning",
    [SSH_STATE_RETURNING_DEAD] = "returning-dead",
    [SSH_STATE_RETURNED] = "returned",
    [SSH_STATE_BACK] = "back",
    [SSH_STATE_STUCK] = "stuck",
    [SSH_STATE_DONE] = "done",
};

/* Replaces a text by the first word of a value, or by all of it. */
static int set_text(char **text, const char *value, size_t n)
{
    free(*text);
    *text = strndup(value, n);
    return *text ? 0 : -ENOMEM;
}

/* The name of a release, as this engine gives them. */
static int set_identifier(char **text, const char *value, size_t n)
{
    int r = n > 0 ? set_text(text, value, n) : 0;

    return r < 0 ? r : *text && !text_is_identifier(*text) ? -EBADMSG : 0;
}

static int take_now(SshRemoteStatus *status, const char *value)
{
    return text_parse_int(value, 0, INT64_MAX, &status->now) < 0 ? -EBADMSG : 0;
}

/* OWNER:UNTIL:AGENT */
static int take_lock(SshRemoteStatus *status, const char *value)
{
    size_t n = strcspn(value, ":");
    char *end = NULL;

    if (!*value) {
        return 0;
    }
    if (!value[n]) {
        return -EBADMSG;
    }
    status->lock_until = strtoll(value + n + 1, &end, 10);
    return *end == ':' ? set_identifier(&status->lock_owner, value, n) : -EBADMSG;
}

static int take_current(SshRemoteStatus *status, const char *value)
{
    return set_identifier(&status->current, value, strlen(value));
}

static int take_json(Json **json, const char *value)
{
    int r = 0;

    *json = json_unref(*json);
    if (*value) {
        r = json_parse(value, strlen(value), json, NULL);
    }
    return r == -ENOMEM                                              ? r
           : r < 0 || (*value && json_type_of(*json) != JSON_OBJECT) ? -EBADMSG
                                                                     : 0;
}

static int take_current_specification(SshRemoteStatus *status, const char *value)
{
    return take_json(&status->current_specification, value);
}

static int take_specification(SshRemoteStatus *status, const char *value)
{
    return take_json(&status->specification, value);
}

/* WORD SINCE PID TEXT */
static int take_state(SshRemoteStatus *status, const char *value)
{
    size_t n = strcspn(value, " ");
    char *end = NULL;

    status->state = _SSH_STATE_MAX;
    for (SshRemoteState state = 0; state < _SSH_STATE_MAX; state++) {
        if (strlen(state_names[state]) == n && strncmp(state_names[state], value, n) == 0) {
            status->state = state;
        }
    }
    if (status->state == _SSH_STATE_MAX) {
        status->state = SSH_STATE_ABSENT;
        return -EBADMSG;
    }
    status->since = strtoll(value + n, &end, 10);
    (void)strtoll(end, &end, 10);
    end += strspn(end, " ");
    return set_text(&status->text, end, strlen(end));
}

static int take_accepted(SshRemoteStatus *status, const char *value)
{
    status->is_accepted = true;
    return 0;
}

static int take_before(SshRemoteStatus *status, const char *value)
{
    status->has_before = true;
    return set_identifier(&status->before, value, strlen(value));
}

static int take_verdict(SshRemoteStatus *status, const char *value)
{
    size_t n = strcspn(value, " ");
    int r = set_text(&status->verdict, value, n);

    value += n + (value[n] == ' ');
    return r < 0 ? r : set_text(&status->verdict_text, value, strlen(value));
}

static int take_tail(SshRemoteStatus *status, const char *value)
{
    status->has_tail = true;
    return 0;
}

static int take_line(SshRemoteStatus *status, const char *line)
{
    static const struct {
        const char *key;
        int (*take)(SshRemoteStatus *status, const char *value);
    } keys[] = {
        {"now", take_now},         {"lock", take_lock},
        {"current", take_current}, {"currentSpecification", take_current_specification},
        {"state", take_state},     {"accepted", take_accepted},
        {"before", take_before},   {"verdict", take_verdict},
        {"tail", take_tail},       {"specification", take_specification},
    };
    size_t n = strcspn(line, " ");

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (strlen(keys[i].key) == n && strncmp(keys[i].key, line, n) == 0) {
            return keys[i].take(status, line + n + (line[n] == ' '));
        }
    }
    return -EBADMSG;
}

int ssh_remote_status_parse(const char *text, SshRemoteStatus *ret, Error *err)
{
    _cleanup_ssh_remote_status_ SshRemoteStatus status = {0};
    int r = text_is_utf8(text, strlen(text)) ? 0 : -EBADMSG;

    while (r == 0 && *text) {
        size_t n = strcspn(text, "\n");
        _cleanup_free_ char *line = strndup(text, n);

        r = line ? take_line(&status, line) : -ENOMEM;
        if (r == -EBADMSG) {
            return error_set(err, r, "what it says of itself is not understood: '%.80s'", line);
        }
        text += n + (text[n] == '\n');
    }
    if (r == 0 && status.now == 0) {
        r = -EBADMSG;
    }
    if (r < 0) {
        return error_set_errno(err, r, "what it says of itself is not understood");
    }
    *ret = status;
    status = (SshRemoteStatus){0};
    return 0;
}

int ssh_remote_tell(SshRemote *remote, const SshRemoteVerb *verb, Error *err)
{
    _cleanup_buffer_ Buffer said = BUFFER_INIT(SSH_REMOTE_SAID_MAX);
    int r = ssh_remote_do(remote, verb, &said, err);

    if (r == 0) {
        ssh_remote_status_done(&remote->status);
        r = ssh_remote_status_parse(buffer_text(&said), &remote->status, err);
        r = r < 0 ? error_wrap(err, "%s", remote->name) : 0;
    }
    remote->is_away = r != 0;
    if (r == 0) {
        if (remote->away_since_ms > 0) {
            free(TAKE_PTR(remote->complaint));
        }
        remote->away_since_ms = 0;
    } else if (remote->away_since_ms == 0) {
        remote->away_since_ms = clock_monotonic_ms();
    }
    return r;
}

int ssh_remote_ask(SshRemote *remote, const char *base, const char *deployment,
                   int64_t lease_seconds, const char *agent, Error *err)
{
    char seconds[24];
    const char *arguments[] = {seconds, agent};
    SshRemoteVerb verb = {
        .name = "status",
        .base = base,
        .deployment = deployment,
        .arguments = arguments,
        .n_arguments = lease_seconds > 0 ? 2 : 0,
    };

    (void)snprintf(seconds, sizeof(seconds), "%lld", (long long)lease_seconds);
    return ssh_remote_tell(remote, &verb, err);
}
