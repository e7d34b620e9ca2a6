/* SPDX-License-Identifier: MIT */
/* Replays inputs through a fuzz target without libFuzzer: fuzz-NAME FILE-OR-DIRECTORY…
 *
 * Each input runs in a child of its own, so that one which crashes is one failed line of TAP and
 * the rest still runs, and so that a leak is charged to the input that has it. */
#include "tests/fuzz/fuzz.h"

#include "protocol/base/buffer.h"
#include "protocol/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INPUT_SECONDS_MAX 20

typedef struct Tally {
    unsigned run;
    unsigned failed;
} Tally;

static void report(Tally *tally, const char *path, const char *problem)
{
    const char *name = strrchr(path, '/');

    tally->run++;
    tally->failed += problem[0] != '\0';
    (void)printf("%sok %u - %s%s\n", problem[0] ? "not " : "", tally->run, name ? name + 1 : path,
                 problem);
    (void)fflush(stdout);
}

/* In the child. The copy has no byte to spare, so that reading past the end is seen. */
static _noreturn_ void run_input(const Buffer *content)
{
    uint8_t *exact = malloc(content->len ? content->len : 1);

    if (!exact) {
        _exit(1);
    }
    if (content->len > 0) {
        memcpy(exact, content->data, content->len);
    }
    (void)alarm(INPUT_SECONDS_MAX);
    (void)LLVMFuzzerTestOneInput(exact, content->len);
    free(exact);
    exit(0);
}

static void replay_file(Tally *tally, const char *path)
{
    _cleanup_buffer_ Buffer content = {0};
    _cleanup_error_ Error err = {0};
    char problem[64] = "";
    pid_t pid;
    int status;

    if (file_read(AT_FDCWD, path, &content, &err) < 0) {
        (void)fprintf(stderr, "%s\n", error_text(&err));
        report(tally, path, ": cannot be read");
        return;
    }
    pid = fork();
    if (pid == 0) {
        run_input(&content);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (pid < 0) {
        (void)snprintf(problem, sizeof(problem), ": cannot fork");
    } else if (WIFSIGNALED(status)) {
        (void)snprintf(problem, sizeof(problem), ": signal %d", WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0) {
        (void)snprintf(problem, sizeof(problem), ": exit status %d", WEXITSTATUS(status));
    }
    report(tally, path, problem);
}

static void replay_directory(Tally *tally, const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);

    if (n < 0) {
        report(tally, path, ": cannot be listed");
        return;
    }
    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *file = NULL;

        if (entries[i]->d_name[0] != '.' &&
            asprintf(&file, "%s/%s", path, entries[i]->d_name) > 0) {
            replay_file(tally, file);
        }
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    Tally tally = {0};

    for (int i = 1; i < argc; i++) {
        struct stat st;

        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            replay_directory(&tally, argv[i]);
        } else {
            replay_file(&tally, argv[i]);
        }
    }
    if (tally.run == 0) {
        (void)fprintf(stderr, "usage: %s FILE-OR-DIRECTORY...\n", argv[0]);
        report(&tally, "inputs", ": none found");
    }
    (void)printf("1..%u\n", tally.run);
    return tally.failed > 0;
}
