/* SPDX-License-Identifier: MIT */
#include "plugin/cli/confirm.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define ANSWER_SIZE 64

bool confirm_may_ask(const Session *s)
{
    return isatty(STDIN_FILENO) && !s->output.is_json;
}

/* Byte by byte: what stdin has beyond the line is for whoever reads it next. */
static bool read_answer(char *answer)
{
    size_t n = 0;
    char c;

    while (n < ANSWER_SIZE - 1 && read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
        answer[n++] = c;
    }
    answer[n] = '\0';
    return n > 0;
}

bool confirm_ask(Session *s, const char *format, ...)
{
    char answer[ANSWER_SIZE], *question = NULL;
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vasprintf(&question, format, arguments);
    va_end(arguments);
    if (n < 0) {
        return false;
    }
    output_flush(&s->output);
    output_clear_progress(&s->output);
    (void)dprintf(s->output.error_fd, "%s [y/N] ", question);
    free(question);
    return read_answer(answer) && (strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0);
}

const char *confirm_user_name(void)
{
    const char *name = getenv("USER");
    const struct passwd *user = name && *name ? NULL : getpwuid(getuid());

    return user ? user->pw_name : name && *name ? name : NULL;
}
