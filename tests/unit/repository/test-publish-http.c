/* SPDX-License-Identifier: MIT */
#include "agent/package/repository/publish-target.h"

#include "tests/unit/http/scripted-server.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define STATUS(line) "HTTP/1.1 " line "\r\nContent-Length: 0\r\n\r\n"
#define BODY(text, length) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n" text

typedef struct Web {
    ScriptedServer server;
    PublishTarget *target;
} Web;

static void open_web(Web *web, const char *const *answers, size_t n)
{
    _cleanup_error_ Error err = {0};
    char address[160];

    *web = (Web){0};
    scripted_server_start(&web->server, true, answers, n);
    (void)snprintf(address, sizeof(address), "%s/apt", web->server.address);
    if (publish_target_open(address, NULL, &web->target, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
}

static void expect(Web *web, const char *request)
{
    char line[512];

    assert_true(scripted_server_next_request(&web->server, line, sizeof(line)));
    assert_memory_equal(line, request, strlen(request));
}

static void close_web(Web *web)
{
    web->target = publish_target_close(web->target);
    scripted_server_stop(&web->server);
}

static void test_verbs(void **state)
{
    static const char *const answers[] = {
        BODY("hello", "5"),
        STATUS("404 Not Found"),
        STATUS("201 Created"),
        STATUS("503 Busy"),
        STATUS("204 No Content"),
        STATUS("404 Not Found"),
        STATUS("501 Not Implemented"),
    };
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    Web web;

    open_web(&web, answers, ARRAY_SIZE(answers));
    assert_int_equal(publish_target_read(web.target, "a/b", &text, NULL), 1);
    assert_string_equal(buffer_text(&text), "hello");
    assert_int_equal(publish_target_read(web.target, "gone", &text, NULL), 0);
    assert_int_equal(publish_target_put(web.target, "x~1+2:3", "body", 4, NULL), 0);
    assert_int_equal(publish_target_put(web.target, "again", "", 0, NULL), 0); /* after the 503 */
    assert_int_equal(publish_target_remove(web.target, "gone", NULL), 0);
    assert_int_equal(publish_target_remove(web.target, "kept", NULL), 0);
    expect(&web, "GET /apt/a/b ");
    expect(&web, "GET /apt/gone ");
    expect(&web, "PUT /apt/x~1%2B2%3A3 body");
    expect(&web, "PUT /apt/again ");
    expect(&web, "PUT /apt/again ");
    expect(&web, "DELETE /apt/gone ");
    expect(&web, "DELETE /apt/kept ");
    close_web(&web);
}

static void test_missing_directories(void **state)
{
    static const char *const answers[] = {
        STATUS("409 Conflict"),    STATUS("405 Method Not Allowed"),
        STATUS("201 Created"),     STATUS("201 Created"),
        STATUS("201 Created"),     STATUS("409 Conflict"),
        STATUS("405 Not Allowed"), STATUS("405 Not Allowed"),
        STATUS("409 Conflict"),
    };
    _cleanup_error_ Error err = {0};
    Web web;

    open_web(&web, answers, ARRAY_SIZE(answers));
    assert_int_equal(publish_target_put(web.target, "a/b/c", "x", 1, NULL), 0);
    expect(&web, "PUT /apt/a/b/c x");
    expect(&web, "MKCOL /apt ");
    expect(&web, "MKCOL /apt/a ");
    expect(&web, "MKCOL /apt/a/b ");
    expect(&web, "PUT /apt/a/b/c x");
    assert_int_equal(publish_target_put(web.target, "d/e", "x", 1, &err), -EREMOTEIO);
    assert_non_null(strstr(error_text(&err), "the server answered PUT with status 409"));
    close_web(&web);
}

static void test_refusals(void **state)
{
    static const char *const answers[] = {STATUS("401 Unauthorized"),
                                          STATUS("405 Method Not Allowed")};
    _cleanup_error_ Error first = {0}, second = {0};
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    Web web;

    open_web(&web, answers, ARRAY_SIZE(answers));
    assert_int_equal(publish_target_read(web.target, "a", &text, &first), -EACCES);
    assert_non_null(strstr(error_text(&first), "it wants another authorization"));
    assert_int_equal(publish_target_put(web.target, "a", "", 0, &second), -EREMOTEIO);
    assert_non_null(strstr(error_text(&second), "are its dav methods on?"));
    close_web(&web);
}

static void test_lock_of_another(void **state)
{
    static const char *const answers[] = {
        BODY("call c9\n2100-01-01T00:00:00.000000Z\n", "36"), STATUS("404 Not Found"),
        STATUS("412 Precondition Failed"), BODY("call c8\n2100-01-01T00:00:00.000000Z\n", "36")};
    _cleanup_error_ Error first = {0}, second = {0};
    Web web;

    open_web(&web, answers, ARRAY_SIZE(answers));
    assert_int_equal(publish_target_lock(web.target, "call c1", 0, &first), -EBUSY);
    assert_non_null(strstr(error_text(&first), "call c9 has been publishing to 'http://"));
    /* Between our look and our put: the server decides. */
    assert_int_equal(publish_target_lock(web.target, "call c1", 0, &second), -EBUSY);
    assert_non_null(strstr(error_text(&second), "call c8 has been publishing to"));
    close_web(&web);
}

/* A lease that ran out long ago is taken over, if it is still what it was. */
static void test_lock_that_ran_out(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nETag: \"7\"\r\nContent-Length: 36\r\n\r\n"
        "call c9\n2020-01-01T00:00:00.000000Z\n",
        STATUS("204 No Content"), BODY("call c3\n2100-01-01T00:00:00.000000Z\n", "36")};
    char line[512];
    Web web = {.server = {.header = "If-Match"}};
    char address[160];

    scripted_server_start(&web.server, true, answers, ARRAY_SIZE(answers));
    (void)snprintf(address, sizeof(address), "%s/apt", web.server.address);
    assert_int_equal(publish_target_open(address, NULL, &web.target, NULL), 0);
    assert_int_equal(publish_target_lock(web.target, "call c1", 0, NULL), -EBUSY);
    expect(&web, "GET /apt/.slipway-lock ");
    assert_true(scripted_server_next_request(&web.server, line, sizeof(line)));
    assert_non_null(strstr(line, "PUT /apt/.slipway-lock call c1"));
    close_web(&web);
}

static void test_opening(void **state)
{
    _cleanup_error_ Error plain = {0}, empty = {0};
    PublishTarget *target = NULL;
    char path[128];

    scratch_write_text(SCRATCH_FD, "token", "\n");
    (void)snprintf(path, sizeof(path), "%s/token", SCRATCH_PATH);
    assert_int_equal(publish_target_open("http://example.org/apt",
                                         &(PublishAccess){.authorization_file = path}, &target,
                                         &plain),
                     -EINVAL);
    assert_non_null(strstr(error_text(&plain), "an authorization goes over https only"));
    assert_int_equal(publish_target_open("https://example.org/apt",
                                         &(PublishAccess){.authorization_file = path}, &target,
                                         &empty),
                     -EINVAL);
    assert_non_null(strstr(error_text(&empty), "is to have one line"));
    assert_int_equal(
        publish_target_open("https://user:secret@example.org/apt", NULL, &target, NULL), -EINVAL);
    assert_null(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs),
        cmocka_unit_test(test_missing_directories),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_lock_of_another),
        cmocka_unit_test(test_lock_that_ran_out),
        scratch_test(test_opening),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
