/* SPDX-License-Identifier: MIT */
#include "tests/unit/cli/cli-fixture.h"

#include <errno.h>
#include <sys/mman.h>

#define WORDS_MAX 32

static int run_nothing(Session *session)
{
    (void)session;
    return EXIT_DONE;
}

static const Command command_test = {
    .name = "test",
    .synopsis = "[WORD]...",
    .summary = "is only here for its options",
    .max_arguments = 2,
    .run = run_nothing,
};

static const Command *const commands[] = {&command_test, NULL};

static const char agent_script[] = "#!/bin/sh\n"
                                   "cd \"${0%/*}\" || exit 1\n"
                                   "n=0\n"
                                   "while IFS= read -r line; do\n"
                                   "    n=$((n + 1))\n"
                                   "    printf '%s\\n' \"$line\" >>requests\n"
                                   "    if [ -f \"reply.$n\" ]; then cat \"reply.$n\"; fi\n"
                                   "    if [ -f \"run.$n\" ]; then . \"./run.$n\"; fi\n"
                                   "done\n";

int cli_setup(void **state)
{
    CliFixture *f = calloc(1, sizeof(*f));
    void *inner = NULL;

    assert_non_null(f);
    assert_int_equal(scratch_setup(&inner), 0);
    f->scratch = inner;
    f->out_fd = f->error_fd = -1;
    f->session.signal_fd = -1;
    scratch_write(f->scratch->fd, "agent.sh", agent_script, strlen(agent_script), 0755);
    assert_true(asprintf(&f->agent, "stdio:exec %s/agent.sh", f->scratch->path) > 0);
    cli_agent_says(f, 1,
                   "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"agent\":{\"name\":\"fake\","
                   "\"version\":\"1\"},\"protocol\":1,\"limits\":{}}}\n");
    *state = f;
    return 0;
}

static void end_session(CliFixture *f)
{
    if (f->session.output.buffer) {
        session_done(&f->session);
        options_done(&f->options);
    }
    f->out_fd = fd_close(f->out_fd);
    f->error_fd = fd_close(f->error_fd);
}

int cli_teardown(void **state)
{
    CliFixture *f = *state;
    void *inner = f->scratch;

    end_session(f);
    assert_int_equal(scratch_teardown(&inner), 0);
    free(f->agent);
    free(f);
    return 0;
}

void cli_begin_words(CliFixture *f, const char *const *words)
{
    char *argv[WORDS_MAX] = {(char *)"slipway", (char *)"test"};
    char *error = NULL;
    int argc = 2;

    for (; *words; words++) {
        assert_true(argc < WORDS_MAX - 1);
        argv[argc++] = (char *)*words;
    }
    end_session(f);
    if (options_parse(argc, argv, commands, &f->options, &error) < 0) {
        fail_msg("%s", error);
    }
    assert_int_equal(session_init(&f->session, &f->options, commands), 0);
    f->out_fd = memfd_create("stdout", MFD_CLOEXEC);
    f->error_fd = memfd_create("stderr", MFD_CLOEXEC);
    f->session.output.out_fd = f->out_fd;
    f->session.output.error_fd = f->error_fd;
    f->session.output.is_terminal = false;
}

void cli_connect_words(CliFixture *f, const char *const *words)
{
    const char *all[WORDS_MAX] = {"--agent", f->agent};
    size_t n = 2;

    for (; *words; words++) {
        assert_true(n < WORDS_MAX - 3);
        all[n++] = *words;
    }
    cli_begin_words(f, all);
    if (session_connect(&f->session) != EXIT_DONE) {
        _cleanup_free_ char *text = cli_error(f);

        fail_msg("%s", text);
    }
}

static void write_numbered(CliFixture *f, const char *what, unsigned n, const char *text)
{
    char name[32];

    (void)snprintf(name, sizeof(name), "%s.%u", what, n);
    scratch_write_text(f->scratch->fd, name, text);
}

void cli_agent_says(CliFixture *f, unsigned n, const char *lines)
{
    write_numbered(f, "reply", n, lines);
}

void cli_agent_runs(CliFixture *f, unsigned n, const char *script)
{
    write_numbered(f, "run", n, script);
}

char *cli_requests(CliFixture *f)
{
    return file_exists(f->scratch->fd, "requests") ? scratch_read(f->scratch->fd, "requests", NULL)
                                                   : strdup("");
}

static char *take_content(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);

    assert_non_null(text);
    assert_int_equal(fd_pread_full(fd, text, (size_t)size, 0), size);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return text;
}

char *cli_out(CliFixture *f)
{
    output_flush(&f->session.output);
    return take_content(f->out_fd);
}

char *cli_error(CliFixture *f)
{
    return take_content(f->error_fd);
}

void cli_expect_out(CliFixture *f, const char *expected)
{
    _cleanup_free_ char *text = cli_out(f);

    assert_string_equal(text, expected);
}

void cli_expect_error(CliFixture *f, const char *expected)
{
    _cleanup_free_ char *text = cli_error(f);

    assert_string_equal(text, expected);
}

void cli_expect_error_has(CliFixture *f, const char *words)
{
    _cleanup_free_ char *text = cli_error(f);

    if (!strstr(text, words)) {
        fail_msg("'%s' is not in: %s", words, text);
    }
}
