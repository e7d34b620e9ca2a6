/* SPDX-License-Identifier: MIT */
#include "plugin/cli/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const Option options_global[] = {
    {"agent", OPTION_TEXT, "ADDRESS", NULL,
     "where the agent is: unix:PATH, ssh://[USER@]HOST[:PORT][/STATE], stdio: or stdio:COMMAND "
     "(default: $SLIPWAY_AGENT, else the host's or the user's socket, else one is started)"},
    {"json", OPTION_FLAG, NULL, NULL,
     "for machines: each event and result is one JSON object on a line of stdout"},
    {"raw", OPTION_FLAG, NULL, NULL,
     "the log byte for byte, without the action's name before its lines"},
    {"quiet", OPTION_FLAG, NULL, NULL, "no log and no progress, only how it ended"},
    {"color", OPTION_CHOICE, "WHEN", "auto|always|never",
     "colours (default: auto, on a terminal unless NO_COLOR is set)"},
    {"help", OPTION_FLAG, NULL, NULL, "show this and exit"},
    {0},
};

static int fail(char **ret_error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(char **ret_error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(ret_error, format, arguments) < 0) {
        *ret_error = NULL;
    }
    va_end(arguments);
    return -1;
}

/* ---- the nearest word -------------------------------------------------------------------------
 */

#define WORD_MAX 32

/* Levenshtein distance with one row; words of more than WORD_MAX letters are near to nothing. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1], n = strlen(b);

    if (n > WORD_MAX || strlen(a) > WORD_MAX) {
        return WORD_MAX;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[n];
}

const char *options_nearest(const char *word, const char *(*get)(const void *from, size_t index),
                            const void *from)
{
    const char *nearest = NULL, *candidate;
    size_t best = strlen(word) / 3 + 2; /* more letters wrong than right: no help */

    for (size_t i = 0; (candidate = get(from, i)); i++) {
        size_t d = distance(word, candidate);

        if (strlen(word) >= 2 && strncmp(candidate, word, strlen(word)) == 0) {
            d = 1;
        }
        if (d < best) {
            best = d;
            nearest = candidate;
        }
    }
    return nearest;
}

static const char *command_name(const void *from, size_t index)
{
    const Command *command = ((const Command *const *)from)[index];

    return command ? command->name : NULL;
}

static const char *option_name(const void *from, size_t index)
{
    const Command *command = from;
    size_t n = 0;

    while (command && command->options && command->options[n].name) {
        n++;
    }
    return index < n ? command->options[index].name : options_global[index - n].name;
}

/* ---- parsing ----------------------------------------------------------------------------------
 */

static bool is_name(const char *name, const char *word, size_t n)
{
    return name && strncmp(name, word, n) == 0 && !name[n];
}

/* What people write for it as well. */
static const struct {
    const char *word;
    const char *name;
} synonyms[] = {
    {"environment", "env"},
};

static const Option *find_option(const Command *command, const char *name, size_t n)
{
    const Option *tables[] = {command ? command->options : NULL, options_global};

    for (size_t i = 0; i < sizeof(synonyms) / sizeof(synonyms[0]); i++) {
        if (is_name(synonyms[i].word, name, n)) {
            name = synonyms[i].name;
            n = strlen(name);
        }
    }
    for (size_t t = 0; t < 2; t++) {
        for (const Option *o = tables[t]; o && o->name; o++) {
            if (is_name(o->name, name, n)) {
                return o;
            }
        }
    }
    return NULL;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);

    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
        if (n > 0 && strncmp(at, text, n) == 0 && (at[n] == '|' || at[n] == '\0')) {
            return true;
        }
    }
    return false;
}

static int check_value(const Option *option, const char *text, char **ret_error)
{
    char *end = NULL;

    errno = 0;
    if (option->kind == OPTION_SECONDS) {
        double seconds = strtod(text, &end);

        if (end == text || *end || !(seconds > 0) || seconds > 1e9) {
            return fail(ret_error, "--%s takes seconds, as 30 or 1.5, not '%s'", option->name,
                        text);
        }
    } else if (option->kind == OPTION_NUMBER) {
        long long number = strtoll(text, &end, 10);

        if (end == text || *end || errno == ERANGE || number < 0) {
            return fail(ret_error, "--%s takes a whole number, not '%s'", option->name, text);
        }
    } else if (option->kind == OPTION_CHOICE && !is_choice(option->choices, text)) {
        return fail(ret_error, "--%s is one of %s, not '%s'", option->name, option->choices, text);
    }
    return 0;
}

static int take_option(Options *options, int argc, char *const *argv, int *at, char **ret_error)
{
    const char *word = argv[*at] + 2, *equals = strchr(word, '='), *text = NULL, *near;
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    const Option *option = find_option(options->command, word, n);

    if (!option) {
        char *name = strndup(word, n);

        near = name ? options_nearest(name, option_name, options->command) : NULL;
        (void)fail(ret_error,
                   near ? "there is no option --%s; did you mean --%s?"
                        : "there is no option --%s%s",
                   name, near ? near : "");
        free(name);
        return -1;
    }
    if (option->kind == OPTION_FLAG) {
        if (equals) {
            return fail(ret_error, "--%s takes no value", option->name);
        }
    } else if (equals) {
        text = equals + 1;
    } else if (*at + 1 < argc) {
        text = argv[++*at];
    } else {
        return fail(ret_error, "--%s needs a value: --%s %s", option->name, option->name,
                    option->value);
    }
    if (text && check_value(option, text, ret_error) < 0) {
        return -1;
    }
    if (options->n_values == OPTIONS_VALUES_MAX) {
        return fail(ret_error, "more than %d options", OPTIONS_VALUES_MAX);
    }
    options->values[options->n_values++] = (OptionValue){.option = option, .text = text};
    options->wants_help |= strcmp(option->name, "help") == 0;
    return 0;
}

static int take_command(Options *options, const char *word, const Command *const *commands,
                        char **ret_error)
{
    const char *near;

    for (size_t i = 0; commands[i]; i++) {
        if (strcmp(commands[i]->name, word) == 0) {
            options->command = commands[i];
            return 0;
        }
    }
    near = options_nearest(word, command_name, commands);
    return near ? fail(ret_error, "there is no command '%s'; did you mean '%s'?", word, near)
                : fail(ret_error, "there is no command '%s'", word);
}

static int check_arguments(const Options *options, char **ret_error)
{
    const Command *command = options->command;

    if (options->wants_help || options->wants_version) {
        return 0;
    }
    if (!command) {
        return fail(ret_error, "say what to do: slipway COMMAND");
    }
    if (options->n_arguments < command->min_arguments) {
        return fail(ret_error, "'%s' needs more: slipway %s %s", command->name, command->name,
                    command->synopsis);
    }
    if (options->n_arguments > command->max_arguments) {
        return fail(ret_error, "'%s' is one argument too many for '%s'",
                    options->arguments[command->max_arguments], command->name);
    }
    return 0;
}

int options_parse(int argc, char *const *argv, const Command *const *commands, Options *ret,
                  char **ret_error)
{
    bool is_literal = false;

    *ret = (Options){.arguments = calloc((size_t)argc + 1, sizeof(char *))};
    if (!ret->arguments) {
        return fail(ret_error, "out of memory");
    }
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];

        if (!is_literal && strcmp(word, "--") == 0) {
            is_literal = true;
        } else if (!is_literal && (strcmp(word, "-h") == 0)) {
            ret->wants_help = true;
        } else if (!is_literal && !ret->command && strcmp(word, "--version") == 0) {
            ret->wants_version = true;
        } else if (!is_literal && strncmp(word, "--", 2) == 0) {
            if (take_option(ret, argc, argv, &i, ret_error) < 0) {
                return -1;
            }
        } else if (!is_literal && word[0] == '-' && word[1]) {
            return fail(ret_error, "options begin with two dashes; '%s' is none", word);
        } else if (!ret->command) {
            if (take_command(ret, word, commands, ret_error) < 0) {
                return -1;
            }
        } else {
            ret->arguments[ret->n_arguments++] = word;
        }
    }
    return check_arguments(ret, ret_error);
}

void options_done(Options *options)
{
    free(options->arguments);
    *options = (Options){0};
}

/* ---- asking -----------------------------------------------------------------------------------
 */

const char *options_text(const Options *options, const char *name, const char *fallback)
{
    for (size_t i = options->n_values; i > 0; i--) {
        if (strcmp(options->values[i - 1].option->name, name) == 0) {
            return options->values[i - 1].text;
        }
    }
    return fallback;
}

bool options_flag(const Options *options, const char *name)
{
    for (size_t i = 0; i < options->n_values; i++) {
        if (strcmp(options->values[i].option->name, name) == 0) {
            return true;
        }
    }
    return false;
}

double options_seconds(const Options *options, const char *name)
{
    const char *text = options_text(options, name, NULL);

    return text ? strtod(text, NULL) : 0;
}

long long options_number(const Options *options, const char *name, long long fallback)
{
    const char *text = options_text(options, name, NULL);

    return text ? strtoll(text, NULL, 10) : fallback;
}

const char *options_item(const Options *options, const char *name, size_t index)
{
    for (size_t i = 0; i < options->n_values; i++) {
        if (strcmp(options->values[i].option->name, name) == 0 && index-- == 0) {
            return options->values[i].text;
        }
    }
    return NULL;
}

/* ---- help -------------------------------------------------------------------------------------
 */

#define HELP_COLUMN 28
#define HELP_WIDTH 96

/* Text wrapped into the column right of the names. */
static void print_wrapped(FILE *out, const char *text, size_t indent, size_t width)
{
    size_t column = indent;

    while (*text) {
        size_t n = strcspn(text, " \n");

        if (column > indent && column + 1 + n > width) {
            (void)fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            (void)fputc(' ', out);
            column++;
        }
        (void)fwrite(text, 1, n, out);
        column += n;
        text += n;
        if (*text == '\n') {
            (void)fprintf(out, "\n%*s", text[1] ? (int)indent : 0, "");
            column = indent;
        }
        text += *text != '\0';
    }
    (void)fputc('\n', out);
}

static void print_options(FILE *out, const Option *options)
{
    for (const Option *o = options; o && o->name; o++) {
        int n = fprintf(out, "  --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");

        (void)fprintf(out, "%*s", n < HELP_COLUMN ? HELP_COLUMN - n : 1, "");
        if (n >= HELP_COLUMN) {
            (void)fprintf(out, "\n%*s", HELP_COLUMN, "");
        }
        print_wrapped(out, o->help, HELP_COLUMN, HELP_WIDTH);
        if (o->choices) {
            (void)fprintf(out, "%*sone of %s\n", HELP_COLUMN, "", o->choices);
        }
    }
}

void options_print_help(FILE *out, const Command *command)
{
    (void)fprintf(out, "usage: slipway %s%s%s [OPTION]...\n\n", command->name,
                  *command->synopsis ? " " : "", command->synopsis);
    print_wrapped(out, command->description ? command->description : command->summary, 0,
                  HELP_WIDTH);
    if (command->options) {
        (void)fprintf(out, "\nOptions:\n");
        print_options(out, command->options);
    }
    (void)fprintf(out, "\nOptions of every command:\n");
    print_options(out, options_global);
}
