/* SPDX-License-Identifier: MIT */
/* libslipway: the controller's side of the Slipway protocol (protocol/README.md).
 *
 * A SlipwayClient is one conversation with one slipway-agent. It has no thread and no loop of its
 * own: it tells a descriptor, the poll(2) events it waits for and a timeout, and does its work in
 * slipway_client_process(), which never blocks; or slipway_client_wait() does the poll for you.
 *
 * Conventions
 * - Functions return 0 (or a positive answer) on success and a negative errno on failure;
 *   slipway_client_get_error() then has a sentence for a person. Nothing here writes to stderr.
 * - Text is UTF-8 and NUL-terminated. What a `const` pointer shows is borrowed: it lives as long as
 *   its parent, or until the callback that it was given to returns.
 * - Sizes and offsets are bytes, durations are milliseconds unless the name says otherwise.
 * - A client and its values belong to one thread at a time. From inside a callback everything may
 *   be called but slipway_client_process(), slipway_client_wait(), slipway_client_request_wait()
 *   (they return -EDEADLK) and slipway_client_free().
 *
 * C99 and C++. */
#ifndef SLIPWAY_H
#define SLIPWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct SlipwayClient SlipwayClient;
typedef struct SlipwayJson SlipwayJson;

/* The library's version, "MAJOR.MINOR.PATCH". */
const char *slipway_version(void);

/* ---- JSON values -------------------------------------------------------------------------------
 * Parameters and results are JSON. A value is reference-counted; a NULL SlipwayJson is JSON null,
 * and every function takes it. `pointer` is a JSON Pointer (RFC 6901): "" is the value itself,
 * "/result/tests/failed" a member of a member, "/artifacts/0/name" an element's member. */

typedef enum SlipwayJsonType {
    SLIPWAY_JSON_NULL,
    SLIPWAY_JSON_BOOLEAN,
    SLIPWAY_JSON_INTEGER,
    SLIPWAY_JSON_NUMBER,
    SLIPWAY_JSON_STRING,
    SLIPWAY_JSON_ARRAY,
    SLIPWAY_JSON_OBJECT
} SlipwayJsonType;

/* Parses one JSON text of `len` bytes. *ret is the caller's. -EINVAL, -ENOMEM. */
int slipway_json_parse(const char *text, size_t len, SlipwayJson **ret);

/* An empty object or array; the caller's, NULL when memory is out. */
SlipwayJson *slipway_json_new_object(void);
SlipwayJson *slipway_json_new_array(void);

/* One more owner; one less (returns NULL). */
SlipwayJson *slipway_json_ref(const SlipwayJson *json);
SlipwayJson *slipway_json_unref(SlipwayJson *json);

/* What is at `pointer`, or the fallback when there is nothing or something of another type. */
const SlipwayJson *slipway_json_get(const SlipwayJson *json, const char *pointer);
const char *slipway_json_get_string(const SlipwayJson *json, const char *pointer,
                                    const char *fallback);
int64_t slipway_json_get_int(const SlipwayJson *json, const char *pointer, int64_t fallback);
double slipway_json_get_number(const SlipwayJson *json, const char *pointer, double fallback);
bool slipway_json_get_bool(const SlipwayJson *json, const char *pointer, bool fallback);

/* The type of what is at `pointer`; SLIPWAY_JSON_NULL also where there is nothing. */
SlipwayJsonType slipway_json_get_type(const SlipwayJson *json, const char *pointer);

/* Elements of the array, or members of the object, at `pointer`; 0 for anything else. */
size_t slipway_json_get_count(const SlipwayJson *json, const char *pointer);

/* Element `index` of an array; NULL beyond its end. */
const SlipwayJson *slipway_json_get_element(const SlipwayJson *json, size_t index);

/* Walks the members of an object: start with a zeroed member, false at the end. The object must
 * not change meanwhile. */
typedef struct SlipwayJsonMember {
    const char *name;
    const SlipwayJson *value;
    void *position;  /* of the walk */
    bool is_started; /* of the walk */
} SlipwayJsonMember;
bool slipway_json_next_member(const SlipwayJson *object, SlipwayJsonMember *member);

/* Puts a value at `pointer`: missing objects on the way are made, a last token "-" appends to an
 * array, a member that was there is replaced. slipway_json_set shares `value`, it makes no copy;
 * NULL sets null. -EINVAL for a pointer that leads through something else or to an element that is
 * there, -ENOMEM. */
int slipway_json_set(SlipwayJson *json, const char *pointer, const SlipwayJson *value);
int slipway_json_set_string(SlipwayJson *json, const char *pointer, const char *text);
int slipway_json_set_int(SlipwayJson *json, const char *pointer, int64_t value);
int slipway_json_set_number(SlipwayJson *json, const char *pointer, double value);
int slipway_json_set_bool(SlipwayJson *json, const char *pointer, bool value);

/* The value as one line without a line feed; the caller frees it with free(). NULL when memory is
 * out. */
char *slipway_json_format(const SlipwayJson *json);

/* ---- the client --------------------------------------------------------------------------------
 */

/* `name` and `version` are what the agent is told about the program; both may be NULL. NULL when
 * memory is out. */
SlipwayClient *slipway_client_new(const char *name, const char *version);

/* Hangs up and frees; callbacks of requests that have no answer are called with an error first. An
 * agent that this client started gets five seconds to go. Calls go on. Returns NULL; takes NULL. */
SlipwayClient *slipway_client_free(SlipwayClient *client);

/* Where an agent is:
 *
 *     unix:PATH        its socket
 *     ssh://[USER@]HOST[:PORT][/STATE][?agent=PROGRAM][&config=PATH]
 *                      `slipway-agent --stdio` on another host, by the user's ssh_config, keys and
 *                      known_hosts ($SLIPWAY_SSH_CONFIG: by another ssh_config)
 *     stdio:           `slipway-agent --stdio`, started from beside this program or from PATH
 *     stdio:COMMAND    the same by a command line of your own, given to sh -c
 *     NULL             $SLIPWAY_AGENT (one of the above); else unix:/run/slipway/agent.sock if it
 *                      is there; else the agent.sock in the user's state directory
 *                      ($SLIPWAY_STATE, $XDG_STATE_HOME/slipway, ~/.local/state/slipway; for root
 *                      /var/lib/slipway) if it is there; else stdio:
 *
 * Returns when the connection stands (over SSH: when it is begun; what is wrong with the way is
 * told by slipway_client_process()); `initialize` is on its way and requests may follow at once.
 * -EINVAL: no such kind of address. Other errors: could not connect or start, with all that was
 * tried in slipway_client_get_error(). */
int slipway_client_connect(SlipwayClient *client, const char *address);

/* The same over a connected stream socket, which is the client's from now on, also on failure. It
 * cannot be reconnected. */
int slipway_client_connect_fd_take(SlipwayClient *client, int fd);

/* After the connection broke, tries again for this long (default 0: not at all), with back-off.
 * Requests without an answer are sent again (all methods of the protocol may be repeated) and the
 * attached calls go on after the last event seen: no event is lost, none comes twice. */
void slipway_client_set_reconnect(SlipwayClient *client, int64_t duration_ms);

/* Told when the connection breaks and when it stands again (`is_connected`), with a sentence. */
typedef void (*SlipwayConnectionCallback)(SlipwayClient *client, bool is_connected,
                                          const char *text, void *userdata);
void slipway_client_set_connection_callback(SlipwayClient *client,
                                            SlipwayConnectionCallback callback, void *userdata);

/* For a loop: wait for these poll(2) events on this descriptor, at most this long (-1: no limit),
 * then process. Ask again each time: all three change. The descriptor is -1 while there is no
 * connection (only the timeout counts then). */
int slipway_client_get_fd(const SlipwayClient *client);
short slipway_client_get_events(const SlipwayClient *client);
int slipway_client_get_timeout_ms(const SlipwayClient *client);

/* Does what can be done without waiting, and calls the callbacks. -ENOTCONN: the connection is
 * gone for good (every pending callback was called). */
int slipway_client_process(SlipwayClient *client);

/* poll(2) and process, once. 1: something was done. 0: `timeout_ms` (-1: no limit) passed. -EINTR:
 * a signal came. Else as slipway_client_process. */
int slipway_client_wait(SlipwayClient *client, int timeout_ms);

/* The sentence about what failed last; never NULL. */
const char *slipway_client_get_error(const SlipwayClient *client);

/* The address in use, as "unix:PATH"; never NULL. */
const char *slipway_client_get_address(const SlipwayClient *client);

/* The answer to `initialize` (agent, limits, slots, …); NULL until it came. */
const SlipwayJson *slipway_client_get_agent(const SlipwayClient *client);

/* ---- requests ----------------------------------------------------------------------------------
 */

/* Codes of the protocol (protocol/README.md, "Errors") and two of the client's own. */
typedef enum SlipwayErrorCode {
    SLIPWAY_ERROR_METHOD_NOT_FOUND = -32601,
    SLIPWAY_ERROR_INVALID_PARAMS = -32602,
    SLIPWAY_ERROR_INTERNAL = -32603,
    SLIPWAY_ERROR_BUSY = -32002,
    SLIPWAY_ERROR_TOO_LARGE = -32003,
    SLIPWAY_ERROR_NOT_FOUND = -32004,
    SLIPWAY_ERROR_CONFLICT = -32005,
    SLIPWAY_ERROR_NOT_ALLOWED = -32006,
    SLIPWAY_ERROR_SHUTTING_DOWN = -32007,
    SLIPWAY_ERROR_STORAGE = -32008,
    SLIPWAY_ERROR_DISCONNECTED = 1, /* no answer: the connection is gone */
    SLIPWAY_ERROR_LOCAL = 2         /* a file or memory on this side */
} SlipwayErrorCode;

typedef struct SlipwayError {
    int code;                /* a SlipwayErrorCode, or one that a newer agent knows */
    const char *message;     /* for people */
    const SlipwayJson *data; /* may be NULL */
} SlipwayError;

/* Called once for each request: `error` is NULL and `result` the answer, or the other way round. */
typedef void (*SlipwayReplyCallback)(SlipwayClient *client, const SlipwayJson *result,
                                     const SlipwayError *error, void *userdata);

/* Sends `method` with `params` (an object or NULL; borrowed). `callback` may be NULL. -ENOTCONN,
 * -ENOMEM, -EBUSY: as many requests wait for an answer as the agent allows. */
int slipway_client_request(SlipwayClient *client, const char *method, const SlipwayJson *params,
                           SlipwayReplyCallback callback, void *userdata);

/* The same, waiting for the answer; events are delivered meanwhile. *ret (may be NULL) is the
 * caller's. `timeout_ms` -1: no limit. -EREMOTEIO: the agent answered with an error, whose code is
 * in *ret_code (may be NULL). -ETIMEDOUT, -ENOTCONN. */
int slipway_client_request_wait(SlipwayClient *client, const char *method,
                                const SlipwayJson *params, int timeout_ms, SlipwayJson **ret,
                                int *ret_code);

/* ---- calls and their events --------------------------------------------------------------------
 */

typedef enum SlipwayEventType {
    SLIPWAY_EVENT_STARTED,
    SLIPWAY_EVENT_LOG,
    SLIPWAY_EVENT_PROGRESS,
    SLIPWAY_EVENT_OUTPUT,
    SLIPWAY_EVENT_ARTIFACT,
    SLIPWAY_EVENT_FINISHED,
    SLIPWAY_EVENT_OTHER /* one that a newer agent knows */
} SlipwayEventType;

/* All borrowed until the callback returns. */
typedef struct SlipwayEvent {
    SlipwayEventType type;
    const char *name; /* "call/log" */
    const char *call;
    uint64_t seq;
    const char *time;        /* RFC 3339 */
    const char *stream;      /* log: "stdout" or "stderr" */
    int64_t offset;          /* log: of the first byte in the whole log */
    const char *data;        /* log: the bytes, text or not; not NUL-terminated */
    size_t data_len;         /* log */
    const SlipwayJson *json; /* all but log: the event's members */
    const char *text;        /* the event's members as JSON text, as they came; one line */
    size_t text_len;
} SlipwayEvent;

typedef void (*SlipwayEventCallback)(SlipwayClient *client, const SlipwayEvent *event,
                                     void *userdata);
void slipway_client_set_event_callback(SlipwayClient *client, SlipwayEventCallback callback,
                                       void *userdata);

/* `calls/start` with `params` as the protocol has them. With "attach": true the events follow and
 * are kept track of over a reconnection. */
int slipway_call_start(SlipwayClient *client, const SlipwayJson *params,
                       SlipwayReplyCallback callback, void *userdata);

/* Follows a call from the event after `after` (0: from the first). -EBUSY: 1024 are followed
 * already. */
int slipway_call_attach(SlipwayClient *client, const char *call, uint64_t after,
                        SlipwayReplyCallback callback, void *userdata);

/* Follows it no longer; it goes on. */
int slipway_call_detach(SlipwayClient *client, const char *call, SlipwayReplyCallback callback,
                        void *userdata);

/* Asks for the end of a call; its end is told by its finished event. */
int slipway_call_cancel(SlipwayClient *client, const char *call, SlipwayReplyCallback callback,
                        void *userdata);

/* The `seq` of the last event seen of an attached call; 0 when there was none. */
uint64_t slipway_call_get_last_seq(const SlipwayClient *client, const char *call);

/* ---- artifacts and inputs ----------------------------------------------------------------------
 */

typedef void (*SlipwayProgressCallback)(uint64_t done_bytes, uint64_t total_bytes, void *userdata);

/* Called once, possibly before the function that started it returns: `error` is NULL when all is
 * there. */
typedef void (*SlipwayDoneCallback)(SlipwayClient *client, const SlipwayError *error,
                                    void *userdata);

/* Fetches an artifact (an element of `artifacts/list`: artifact, size, sha256) into the file
 * `path`. It is written as `path.part` and renamed when size and digest are right; a `path.part`
 * that is there already is gone on with. One that turns out wrong is removed. `progress` may be
 * NULL. Errors that come later, at `done`; -ENOTCONN, -ENOMEM, -EINVAL (no artifact object), -EIO,
 * … at once. */
int slipway_artifact_download(SlipwayClient *client, const SlipwayJson *artifact, const char *path,
                              SlipwayProgressCallback progress, SlipwayDoneCallback done,
                              void *userdata);

/* The same for an artifact of format tar.zst, which is unpacked into the fresh directory
 * `directory` while it comes, by a thread that ends before `done` is called. The directory appears
 * when size and digest are right, and `path` is not left; where the archive is right and cannot be
 * unpacked (as slipway_archive_unpack says), it is kept as `path`. One that will be there within
 * half a minute is not written to `path.part` meanwhile, so if it is cut, it is fetched anew.
 * Whoever processes a piece waits for the thread where that is behind. -EEXIST: `directory` is
 * there already. */
int slipway_artifact_unpack(SlipwayClient *client, const SlipwayJson *artifact, const char *path,
                            const char *directory, SlipwayProgressCallback progress,
                            SlipwayDoneCallback done, void *userdata);

/* Sends the file `path` (a tar.zst or plain tar) as the input `input`. What the agent has of it
 * already is not sent again. */
int slipway_input_upload(SlipwayClient *client, const char *input, const char *path,
                         SlipwayProgressCallback progress, SlipwayDoneCallback done,
                         void *userdata);

/* Unpacks an archive into the fresh directory `directory`, which must not be there. Nothing is
 * written outside it, and nothing is left of it on failure: absolute names, "..", links that lead
 * out, devices and archives beyond 64 GiB or two million entries are refused with -EBADMSG.
 * *ret_error (may be NULL) gets a sentence to free(). */
int slipway_archive_unpack(const char *path, const char *directory, char **ret_error);

/* Packs all files below `directory` into the new tar.zst file `path`. *ret_error as above. */
int slipway_archive_pack(const char *directory, const char *path, char **ret_error);

/* ---- evidence ----------------------------------------------------------------------------------
 * What a deploy is decided on: protocol/evidence/README.md. Only slipway_audit_download needs an
 * agent. *ret_error (may be NULL) gets a sentence to free(). */

/* Makes an Ed25519 key: the private one in the new file `path` (mode 0600), the public one in
 * `path`.pub, both PEM. *ret_id (may be NULL) gets the key's id, to free(). -EEXIST: there is one.
 */
int slipway_key_generate(const char *path, char **ret_id, char **ret_error);

/* The id of a public key, from its PEM text: *ret_id, to free(). -EINVAL: it is none. */
int slipway_key_id(const char *pem, char **ret_id, char **ret_error);

/* Can the file `path` sign? *ret_id (may be NULL) gets the id of the private key in it, to free().
 * -EPERM: others may read it. -EINVAL: it holds no Ed25519 private key. */
int slipway_key_check(const char *path, char **ret_id, char **ret_error);

/* Signs an approval with the private key in `key_path`. `digest` is the package's ("sha256:…"),
 * `name` its name (may be NULL); `predicate` has the members of slipway:approval/v1; those that are
 * not there and can be known (issuedOn, nonce) are put in. *ret_line is the envelope without a line
 * feed, to free(). -EINVAL: a member is missing or wrong. */
int slipway_approval_sign(const char *key_path, const char *digest, const char *name,
                          const SlipwayJson *predicate, char **ret_line, char **ret_error);

/* Reads a bundle. `keys` are those that are believed, as `keys` of agent.json (NULL: none). *ret is
 * an array, to unref, with an object for each envelope: `line`, `sha256`, `trust` ("trusted",
 * "wrong_role", "altered": it names a key that has not signed it, "untrusted"), `signer` (the key's
 * name, if known), `keyId`, `kind`, `statement`. What is untrusted or altered is a claim and
 * nothing more. -EINVAL: a line is no envelope. */
int slipway_bundle_read(const char *text, size_t len, const SlipwayJson *keys, SlipwayJson **ret,
                        char **ret_error);

/* Called for each record of an audit log, in order; not 0 ends the walk with that answer. */
typedef int (*SlipwayAuditCallback)(const SlipwayJson *record, void *userdata);

/* Checks the audit log in the file `path` from its first record. `heads` (may be NULL) is an array
 * of
 * {"seq", "sha256"} that were said of it elsewhere, as in receipts. *ret_head (may be NULL) gets
 * that object for its last record, with `isTorn` where the last line is. -EBADMSG: the sentence
 * names the record that was edited, removed, moved, or where it was cut off. */
int slipway_audit_check(const char *path, const SlipwayJson *heads, SlipwayAuditCallback callback,
                        void *userdata, SlipwayJson **ret_head, char **ret_error);

/* Fetches the agent's audit log into the file `path`, and checks that it is one chain up to the end
 * that the host states. A copy that is there already is gone on with: what is new is fetched and
 * put to it, after its end was found to be the same in the agent's log. It is written as
 * `path.part` and renamed, whole records only. `progress` may be NULL. Errors that come later, at
 * `done`: SLIPWAY_ERROR_CONFLICT: the log is not as it was written (the sentence names the record;
 * what came is kept as `path.part`), or the copy is no beginning of it. -ENOTCONN, -ENOMEM, … at
 * once. */
int slipway_audit_download(SlipwayClient *client, const char *path,
                           SlipwayProgressCallback progress, SlipwayDoneCallback done,
                           void *userdata);

/* SHA-256 as 64 hexadecimal digits, to free(). NULL when memory is out. */
char *slipway_sha256(const void *data, size_t len);

#ifdef __cplusplus
}
#endif

#endif
