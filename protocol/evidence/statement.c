/* SPDX-License-Identifier: MIT */
#include "protocol/evidence/statement.h"

#include "protocol/base/text.h"
#include "protocol/schema.h"
#include "protocol/validate.h"

#include <errno.h>
#include <string.h>

#define STATEMENT_TYPE "https://in-toto.io/Statement/v1"
#define ENVIRONMENT_URI "slipway:environment/"

static const struct {
    const char *name;
    const char *uri;
    const char *commit; /* where in the predicate the commit stands; NULL: it is the subject */
} kinds[_STATEMENT_KIND_MAX] = {
    [STATEMENT_PROVENANCE] = {"provenance", "https://slsa.dev/provenance/v1",
                              "/buildDefinition/resolvedDependencies/0/digest/gitCommit"},
    [STATEMENT_TEST_RESULT] = {"test-result", "https://in-toto.io/attestation/test-result/v0.1",
                               NULL},
    [STATEMENT_DEPLOYMENT] = {"deployment", "slipway:deployment/v1", "/commit"},
    [STATEMENT_VERIFICATION] = {"verification", "https://slsa.dev/verification_summary/v1", NULL},
    [STATEMENT_APPROVAL] = {"approval", "slipway:approval/v1", "/commit"},
};

const char *statement_kind_name(StatementKind kind)
{
    return kinds[kind].name;
}

const char *statement_kind_uri(StatementKind kind)
{
    return kinds[kind].uri;
}

void statement_done(Statement *statement)
{
    (void)json_unref(statement->root);
    *statement = (Statement){0};
}

static int check(const char *schema_name, const Json *value, Error *err)
{
    _cleanup_json_ Json *schema = NULL;
    int r = schema_load(schema_name, &schema, err);

    return r == 0 ? validate_value(schema, value, NULL, 0, err) : r;
}

static int find_kind(const char *uri, StatementKind *ret, Error *err)
{
    for (StatementKind kind = 0; kind < _STATEMENT_KIND_MAX; kind++) {
        if (strcmp(kinds[kind].uri, uri) == 0) {
            *ret = kind;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "statements of the type '%s' are not known here", uri);
}

static int check_root(const Json *root, StatementKind *ret_kind, Error *err)
{
    char schema[64] = "predicate-";
    int r = check("statement", root, err);

    r = r == 0 ? find_kind(json_get_string(root, "predicateType"), ret_kind, err) : r;
    if (r < 0) {
        return r;
    }
    (void)strncat(schema, kinds[*ret_kind].name, sizeof(schema) - strlen(schema) - 1);
    r = check(schema, json_get(root, "predicate"), err);
    return r < 0 ? error_wrap(err, "the predicate of a statement of %s", kinds[*ret_kind].name) : 0;
}

int statement_parse(const char *text, size_t n, Statement *ret, Error *err)
{
    _cleanup_json_ Json *root = NULL;
    StatementKind kind;
    int r = json_parse_strict(text, n, &root, err);

    r = r == 0 ? check_root(root, &kind, err) : r;
    if (r < 0) {
        return r;
    }
    ret->kind = kind;
    ret->predicate = json_get(root, "predicate");
    ret->root = TAKE_PTR(root);
    return 0;
}

static int append_subject(const StatementSubject *subject, Json *subjects)
{
    _cleanup_json_ Json *object = json_new_object(), *digests = json_new_object();
    int r = object && digests ? 0 : -ENOMEM;

    r = r == 0 ? json_set_string(object, "name", subject->name) : r;
    r = r == 0 ? json_set_string(digests, subject->algorithm, subject->digest) : r;
    r = r == 0 ? json_set_take(object, "digest", TAKE_PTR(digests)) : r;
    return r == 0 ? json_append_take(subjects, TAKE_PTR(object)) : r;
}

static int build(StatementKind kind, const StatementSubject *subjects, size_t n,
                 const Json *predicate, Json **ret)
{
    _cleanup_json_ Json *root = json_new_object(), *list = json_new_array();
    Json *copy = NULL;
    int r = root && list ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < n; i++) {
        r = append_subject(&subjects[i], list);
    }
    r = r == 0 ? json_set_string(root, "_type", STATEMENT_TYPE) : r;
    r = r == 0 ? json_set_take(root, "subject", TAKE_PTR(list)) : r;
    r = r == 0 ? json_set_string(root, "predicateType", kinds[kind].uri) : r;
    r = r == 0 ? json_copy(predicate, &copy) : r;
    r = r == 0 ? json_set_take(root, "predicate", copy) : r;
    if (r == 0) {
        *ret = TAKE_PTR(root);
    }
    return r;
}

int statement_format(StatementKind kind, const StatementSubject *subjects, size_t n,
                     const Json *predicate, Buffer *out, Error *err)
{
    _cleanup_json_ Json *root = NULL;
    StatementKind found;
    int r = build(kind, subjects, n, predicate, &root);

    if (r < 0) {
        return error_set_errno(err, r, "cannot build a statement of %s", kinds[kind].name);
    }
    r = check_root(root, &found, err);
    if (r < 0) {
        return error_wrap(err, "cannot state that");
    }
    r = json_format(root, out);
    return r < 0 ? error_set_errno(err, r, "cannot write a statement") : 0;
}

bool statement_is_about(const Statement *statement, const char *algorithm, const char *digest)
{
    const Json *subjects = json_get(statement->root, "subject");

    for (size_t i = 0; i < json_length(subjects); i++) {
        const char *found = json_get_string(json_get(json_at(subjects, i), "digest"), algorithm);

        if (found && strcmp(found, digest) == 0) {
            return true;
        }
    }
    return false;
}

const char *statement_digest(const Statement *statement, const char *algorithm)
{
    return json_get_string(json_pointer(statement->root, "/subject/0/digest"), algorithm);
}

const char *statement_subject_name(const Statement *statement)
{
    return json_get_string(json_pointer(statement->root, "/subject/0"), "name");
}

const char *statement_text(const Statement *statement, const char *pointer)
{
    return json_as_string(json_pointer(statement->predicate, pointer));
}

const char *statement_commit(const Statement *statement)
{
    const char *pointer = kinds[statement->kind].commit;

    return pointer ? statement_text(statement, pointer) : statement_digest(statement, "gitCommit");
}

const char *statement_environment(const Statement *statement)
{
    const char *text;

    switch (statement->kind) {
    case STATEMENT_DEPLOYMENT:
    case STATEMENT_APPROVAL:
        return statement_text(statement, "/environment");
    case STATEMENT_VERIFICATION:
        text = statement_text(statement, "/resourceUri");
        return text_has_prefix(text, ENVIRONMENT_URI) ? text + strlen(ENVIRONMENT_URI) : NULL;
    default:
        return NULL;
    }
}
