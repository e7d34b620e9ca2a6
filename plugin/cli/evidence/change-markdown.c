/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/change-markdown.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Writer {
    FILE *out; /* into memory; its error flag says that memory is out */
    const SlipwayJson *change;
} Writer;

/* ---- text that stays text ---------------------------------------------------------------------
 */

/* Of bytes that end a line, or command a terminal on the way. */
static char plain(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c;
}

static size_t longest_run(const char *text, char c)
{
    size_t longest = 0, run = 0;

    for (; *text; text++) {
        run = *text == c ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* A code span: fenced by more backticks than the text has in a row, with the blanks that Markdown
 * takes away again. The text of a span is shown as it is. */
static void write_code(Writer *w, const char *text)
{
    size_t fence = longest_run(text, '`') + 1;
    bool is_padded = strchr(text, '`');

    if (!text[strspn(text, " ")]) { /* a span of blanks is none */
        (void)fputs("(empty)", w->out);
        return;
    }
    for (size_t i = 0; i < fence; i++) {
        (void)fputc('`', w->out);
    }
    (void)fputs(is_padded ? " " : "", w->out);
    for (; *text; text++) {
        (void)fputc(plain(*text), w->out);
    }
    (void)fputs(is_padded ? " " : "", w->out);
    for (size_t i = 0; i < fence; i++) {
        (void)fputc('`', w->out);
    }
}

/* A line of an indented block, which only a line that is not indented ends. */
static void write_block_line(Writer *w, const char *text)
{
    (void)fputs("    ", w->out);
    for (; *text; text++) {
        (void)fputc(plain(*text), w->out);
    }
    (void)fputc('\n', w->out);
}

/* ---- the parts --------------------------------------------------------------------------------
 */

static long long number(const Writer *w, const char *pointer)
{
    return slipway_json_get_int(w->change, pointer, 0);
}

static const char *text_of(const SlipwayJson *object, const char *pointer)
{
    return slipway_json_get_string(object, pointer, "");
}

/* The agent's own sentence has the versions; it is the first line of the text. */
static void write_head(Writer *w)
{
    const char *text = text_of(w->change, "/text");
    char *line = strndup(text, strcspn(text, "\n"));

    if (line && *line) {
        write_code(w, line);
        (void)fputs("\n\n", w->out);
    }
    free(line);
}

static void write_relation(Writer *w)
{
    const char *relation = text_of(w->change, "/relation");
    long long n = number(w, "/commitCount");

    if (strcmp(relation, "forward") == 0 && n == 1) {
        (void)fputs("**One commit.**\n", w->out);
    } else if (strcmp(relation, "forward") == 0) {
        (void)fprintf(w->out, "**%lld commits**, newest first.\n", n);
    } else if (strcmp(relation, "same") == 0) {
        (void)fputs("**No change**: this commit runs already.\n", w->out);
    } else if (strcmp(relation, "first") == 0) {
        (void)fputs("**The first deployment.** The commit and those before it, newest first.\n",
                    w->out);
    } else if (strcmp(relation, "back") == 0) {
        (void)fprintf(w->out,
                      "**Going back**: this is older than what runs. %lld commit%s would be taken "
                      "back.\n",
                      n, n == 1 ? "" : "s");
    } else if (strcmp(relation, "apart") == 0) {
        (void)fputs("**Not a successor** of what runs. Commits marked *taken back* would go.\n",
                    w->out);
    } else {
        (void)fputs("**What would change cannot be told**: what runs does not say its commit, or "
                    "one that the repository does not have.\n",
                    w->out);
    }
}

static void write_more(Writer *w, long long n)
{
    if (n > 0) {
        (void)fprintf(w->out, "- … and %lld more\n", n);
    }
}

static void write_commits(Writer *w)
{
    const SlipwayJson *commits = slipway_json_get(w->change, "/commits"), *commit;
    size_t n = slipway_json_get_count(commits, "");
    char hash[11];

    (void)fputs(n > 0 ? "\n" : "", w->out);
    for (size_t i = 0; i < n; i++) {
        commit = slipway_json_get_element(commits, i);
        (void)fputs("- ", w->out);
        if (slipway_json_get_bool(commit, "/isGoing", false)) {
            (void)fputs("*taken back* ", w->out);
        }
        (void)snprintf(hash, sizeof(hash), "%s", text_of(commit, "/commit"));
        write_code(w, hash);
        (void)fputc(' ', w->out);
        write_code(w, text_of(commit, "/subject"));
        (void)fputs(" by ", w->out);
        write_code(w, text_of(commit, "/author"));
        (void)fputs(", ", w->out);
        write_code(w, text_of(commit, "/date"));
        (void)fputc('\n', w->out);
    }
    write_more(w, number(w, "/commitCount") - (long long)n);
}

static void write_files(Writer *w)
{
    const SlipwayJson *files = slipway_json_get(w->change, "/files"), *file;
    size_t n = slipway_json_get_count(files, "");
    long long total = number(w, "/fileCount");

    if (total == 0) {
        return;
    }
    (void)fprintf(w->out, "\n**%lld file%s**\n\n", total, total == 1 ? "" : "s");
    for (size_t i = 0; i < n; i++) {
        file = slipway_json_get_element(files, i);
        (void)fputs("- ", w->out);
        write_code(w, text_of(file, "/name"));
        (void)fprintf(w->out, " +%lld −%lld\n", (long long)slipway_json_get_int(file, "/added", 0),
                      (long long)slipway_json_get_int(file, "/removed", 0));
    }
    write_more(w, total - (long long)n);
}

/* A block that follows a list needs something between, or it is the last element's. */
static void write_configuration(Writer *w)
{
    const SlipwayJson *lines = slipway_json_get(w->change, "/configuration");
    size_t n = slipway_json_get_count(lines, "");

    if (n == 0) {
        return;
    }
    (void)fputs("\n**Configuration**\n\n", w->out);
    for (size_t i = 0; i < n; i++) {
        write_block_line(w, slipway_json_get_string(slipway_json_get_element(lines, i), "", ""));
    }
}

char *change_markdown(const SlipwayJson *change)
{
    char *text = NULL;
    size_t len = 0;
    Writer w = {.out = open_memstream(&text, &len), .change = change};
    bool is_broken;

    if (!w.out) {
        return NULL;
    }
    write_head(&w);
    write_relation(&w);
    write_commits(&w);
    write_files(&w);
    write_configuration(&w);
    is_broken = ferror(w.out) != 0;
    if (fclose(w.out) != 0 || is_broken) {
        free(text);
        return NULL;
    }
    return text;
}
