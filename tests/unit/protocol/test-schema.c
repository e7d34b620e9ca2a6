/* SPDX-License-Identifier: MIT */
#include "protocol/schema.h"
#include "protocol/validate.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <string.h>

static void names_are_in_order_and_found(void **state)
{
    size_t n = 0;

    for (const SchemaText *text = schema_texts; text->name; text++, n++) {
        if (n > 0) {
            assert_true(strcmp(text[-1].name, text->name) < 0);
        }
        assert_ptr_equal(schema_find(text->name), text);
        assert_int_equal(strlen(text->text), text->len);
    }
    assert_true(n > 0);
    assert_null(schema_find("none"));
    assert_null(schema_find(""));
    assert_null(schema_find("pin"));
}

/* Follows every subschema with a value of each type. The keywords that a type brings in are looked
 * at by then, and one that is not known or has a wrong value would be told as -ENOTSUP. */
static void check_subschemas(const Json *root, const Json *at, const char *name)
{
    static const char *const values[] = {"null",  "true",      "1",        "1.5",
                                         "\"x\"", "[\"x\",1]", "{\"x\":1}"};

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        _cleanup_json_ Json *value = NULL, *schema = NULL;
        _cleanup_error_ Error err = {0};

        assert_int_equal(json_parse(values[i], strlen(values[i]), &value, NULL), 0);
        assert_int_equal(json_copy(at, &schema), 0);
        if (at != root && json_has(root, "$defs")) { /* so that its references lead somewhere */
            assert_int_equal(json_set_take(schema, "$defs", json_ref(json_get(root, "$defs"))), 0);
        }
        json_remove(schema, "type");
        if (validate_value(schema, value, NULL, 0, &err) == -ENOTSUP) {
            fail_msg("schema '%s': %s", name, error_text(&err));
        }
    }
    for (JsonMember m = {0}; json_next_member(json_get(at, "properties"), &m);) {
        check_subschemas(root, m.value, name);
    }
    for (JsonMember m = {0}; json_next_member(json_get(at, "$defs"), &m);) {
        check_subschemas(root, m.value, name);
    }
    for (size_t i = 0; i < json_length(json_get(at, "oneOf")); i++) {
        check_subschemas(root, json_at(json_get(at, "oneOf"), i), name);
    }
    if (json_type_of(json_get(at, "items")) == JSON_OBJECT) {
        check_subschemas(root, json_get(at, "items"), name);
    }
}

static void every_schema_keeps_to_the_keywords_we_have(void **state)
{
    for (const SchemaText *text = schema_texts; text->name; text++) {
        _cleanup_json_ Json *schema = NULL;
        _cleanup_error_ Error err = {0};

        if (schema_load(text->name, &schema, &err) < 0) {
            fail_msg("%s", error_text(&err));
        }
        assert_int_equal(json_type_of(schema), JSON_OBJECT);
        assert_non_null(json_get_string(schema, "title"));
        check_subschemas(schema, schema, text->name);
    }
}

/* A method's schema says what goes in and what comes out. */
static void every_method_has_params_and_result(void **state)
{
    static const char *const methods[] = {
#define METHOD(name, unused) name,
#include "protocol/methods.def"
#undef METHOD
    };

    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        _cleanup_json_ Json *schema = NULL;
        char name[64];

        assert_true(strlen(methods[i]) < sizeof(name));
        strcpy(name, methods[i]);
        if (strchr(name, '/')) {
            *strchr(name, '/') = '-';
        }
        if (schema_load(name, &schema, NULL) < 0) {
            fail_msg("method '%s' has no schema", methods[i]);
        }
        assert_non_null(json_pointer(schema, "/$defs/params"));
        assert_non_null(json_pointer(schema, "/$defs/result"));
    }
}

static void a_name_that_there_is_not_is_told(void **state)
{
    _cleanup_error_ Error err = {0};
    Json *schema;

    assert_int_equal(schema_load("no-such", &schema, &err), -ENOENT);
    assert_string_equal(error_text(&err), "there is no schema 'no-such'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_in_order_and_found),
        cmocka_unit_test(every_schema_keeps_to_the_keywords_we_have),
        cmocka_unit_test(every_method_has_params_and_result),
        cmocka_unit_test(a_name_that_there_is_not_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
