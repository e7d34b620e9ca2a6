/* SPDX-License-Identifier: MIT */
#include "plugin/ssh/far-agent.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

static void test_commands(void **state)
{
    static const struct {
        const char *address;
        const char *command;
    } rows[] = {
        {"ssh://h", "slipway-agent --stdio"},
        {"ssh://h/", "slipway-agent --stdio"},
        {"ssh://h?agent=", "slipway-agent --stdio"},
        {"ssh://h/var/lib/slipway", "slipway-agent --stdio --state /var/lib/slipway"},
        {"ssh://h/a%20b?agent=/opt/x&config=/it's",
         "/opt/x --stdio --config '/it'\\''s' --state '/a b'"},
        {"ssh://h/$(reboot)", "slipway-agent --stdio --state '/$(reboot)'"},
        {"ssh://h?agent=a;b", "'a;b' --stdio"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_ssh_address_ SshAddress address = {0};
        _cleanup_buffer_ Buffer command = {0};
        _cleanup_error_ Error err = {0};

        assert_int_equal(ssh_address_parse(rows[i].address, &address, &err), 0);
        assert_int_equal(far_agent_command(&address, &command, &err), 0);
        assert_string_equal(buffer_text(&command), rows[i].command);
    }
}

static void test_what_is_refused(void **state)
{
    static const struct {
        const char *address;
        const char *words;
    } rows[] = {
        {"ssh://h?agnt=x", "'agnt=' means nothing"},
        {"ssh://h?agent=-x", "'-x' is no program"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_ssh_address_ SshAddress address = {0};
        _cleanup_buffer_ Buffer command = {0};
        _cleanup_error_ Error err = {0};

        assert_int_equal(ssh_address_parse(rows[i].address, &address, &err), 0);
        assert_int_equal(far_agent_command(&address, &command, &err), -EINVAL);
        assert_non_null(strstr(error_text(&err), rows[i].words));
    }
}

static void test_ends(void **state)
{
    static const struct {
        SshStatus status;
        const char *errors;
        bool has_spoken;
        int code;
        const char *text;
    } rows[] = {
        {{.exit_code = 127},
         "sh: slipway-agent: not found\n",
         false,
         -ENOENT,
         "there is no 'slipway-agent' to run on 'me@h': sh: slipway-agent: not found\nInstall it "
         "there where PATH finds it, or say where it is: "
         "ssh://me@h/?agent=/PATH/TO/slipway-agent"},
        {{.exit_code = 126}, "", false, -ENOENT, NULL},
        {{.exit_code = 78},
         "slipway-agent: no good\n\n",
         false,
         -EINVAL,
         "'slipway-agent' on 'me@h' ended at once with exit status 78: slipway-agent: no good"},
        {{.exit_code = 75},
         "",
         false,
         SSH_BROKEN,
         "'slipway-agent' on 'me@h' ended at once with exit status 75"},
        {{.exit_code = 127},
         "",
         true,
         SSH_BROKEN,
         "'slipway-agent' on 'me@h' hung up (exit status 127)"},
        {{.exit_code = 0},
         "",
         true,
         SSH_BROKEN,
         "'slipway-agent' on 'me@h' hung up (exit status 0)"},
        {{.is_signalled = true, .signal = "KILL"},
         "",
         true,
         SSH_BROKEN,
         "'slipway-agent' on 'me@h' was ended by SIGKILL"},
    };
    SshAddress address = {.host = (char *)"h"};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_error_ Error err = {0};

        assert_int_equal(far_agent_explain(&address, "me@h", &rows[i].status, rows[i].errors,
                                           rows[i].has_spoken, &err),
                         rows[i].code);
        if (rows[i].text) {
            assert_string_equal(error_text(&err), rows[i].text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
