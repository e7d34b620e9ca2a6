/* SPDX-License-Identifier: MIT */
/* Commands and their options as tables: parsing, --help, the completion and the tests of all three
 * read the same rows, so none of them can promise what another does not do. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Frees what a local points at when it goes out of scope. */
#define _cleanup_(f) __attribute__((cleanup(f)))

/* No command line of a person or a pipeline has more. */
#define OPTIONS_VALUES_MAX 256

typedef struct Session Session;

typedef enum OptionKind {
    OPTION_FLAG,
    OPTION_TEXT,    /* the last one given counts */
    OPTION_LIST,    /* may be given several times */
    OPTION_SECONDS, /* a number > 0 */
    OPTION_NUMBER,  /* a whole number >= 0 */
    OPTION_CHOICE,  /* one of `choices` */
} OptionKind;

typedef struct Option {
    const char *name; /* without the dashes */
    OptionKind kind;
    const char *value;   /* what stands for the value in --help */
    const char *choices; /* "a|b|c" */
    const char *help;
} Option;

typedef struct Command {
    const char *name;
    const char *synopsis; /* of its arguments, "" where it takes none */
    const char *summary;  /* one line, for `slipway --help` */
    const char *description;
    const Option *options; /* ended by an empty one; may be NULL */
    size_t min_arguments;
    size_t max_arguments;
    bool is_local;                /* needs no agent */
    int (*run)(Session *session); /* returns an exit code */
} Command;

typedef struct OptionValue {
    const Option *option;
    const char *text; /* borrowed from argv; NULL for a flag */
} OptionValue;

/* A command line that was understood. Everything is borrowed from argv and the tables. */
typedef struct Options {
    const Command *command;
    OptionValue values[OPTIONS_VALUES_MAX];
    size_t n_values;
    const char **arguments; /* owned array */
    size_t n_arguments;
    bool wants_help;
    bool wants_version;
} Options;

/* The options that every command takes. */
extern const Option options_global[];

/* 0, or -1 with a sentence in *ret_error (the caller frees it) that names the nearest thing that
 * there is. */
int options_parse(int argc, char *const *argv, const Command *const *commands, Options *ret,
                  char **ret_error);
void options_done(Options *options);

bool options_flag(const Options *options, const char *name);
const char *options_text(const Options *options, const char *name, const char *fallback);
double options_seconds(const Options *options, const char *name); /* 0: not given */
long long options_number(const Options *options, const char *name, long long fallback);

/* The `index`th value of a list, NULL beyond the last. */
const char *options_item(const Options *options, const char *name, size_t index);

/* The name of the nearest: NULL if none is near. `get` gives the candidates, NULL at the end. */
const char *options_nearest(const char *word, const char *(*get)(const void *from, size_t index),
                            const void *from);

void options_print_help(FILE *out, const Command *command);
