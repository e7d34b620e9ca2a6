/* SPDX-License-Identifier: MIT */
/* Any bytes as a signed payload: it is refused with its mistakes, or it is a statement of a kind
 * that we know, says about what, and means the same when it is built again from what it says. */
#include "protocol/evidence/statement.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

static void check_again(const Statement *statement)
{
    static const char *const algorithms[] = {"sha256", "gitCommit"};
    _cleanup_buffer_ Buffer text = {0};
    _cleanup_statement_ Statement again = {0};

    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
        const char *digest = statement_digest(statement, algorithms[i]);
        Error err = {0};
        int r;

        require(!digest || statement_is_about(statement, algorithms[i], digest));
        buffer_clear(&text);
        r = digest ? statement_format(statement->kind,
                                      &(StatementSubject){statement_subject_name(statement),
                                                          algorithms[i], digest},
                                      1, statement->predicate, &text, &err)
                   : -ENOENT;
        /* A kind may want the other algorithm for its subject; nothing else is in its way. */
        require(r == 0 || r == -ENOENT || (r == -EINVAL && err.text));
        error_done(&err);
        if (r == 0) {
            statement_done(&again);
            again = (Statement){0};
            require(statement_parse(buffer_text(&text), text.len, &again, NULL) == 0);
            require(again.kind == statement->kind);
            require(json_equal(again.predicate, statement->predicate));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_statement_ Statement statement = {0};
    _cleanup_error_ Error err = {0};
    const char *commit, *environment;
    int r = statement_parse((const char *)data, size, &statement, &err);

    if (r < 0) {
        require(r == -EINVAL && err.text && !statement.root);
        return 0;
    }
    require(statement.kind < _STATEMENT_KIND_MAX);
    require(json_type_of(statement.root) == JSON_OBJECT &&
            json_type_of(statement.predicate) == JSON_OBJECT);
    require(strcmp(json_get_string(statement.root, "predicateType"),
                   statement_kind_uri(statement.kind)) == 0);
    commit = statement_commit(&statement);
    environment = statement_environment(&statement);
    require(!commit || strlen(commit) == 40 || strlen(commit) == 64);
    require(!environment || *environment);
    (void)statement_text(&statement, "/approver/name");
    check_again(&statement);
    return 0;
}
