/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/swarm/swarm-spec.h"

#include "tests/unit/swarm/swarm-talk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LEAST "'Name':'x','TaskTemplate':{'ContainerSpec':{'Image':'i'}}"

static void a_specification_may_be_small(void **state)
{
    _cleanup_json_ Json *spec = swarm_json("{" LEAST "}");
    _cleanup_error_ Error err = {0};

    assert_int_equal(swarm_spec_check(spec, &err), 0);
    assert_null(err.text);
}

static void mistakes_are_told_by_their_place(void **state)
{
    static const struct {
        const char *spec;
        const char *said;
    } cases[] = {
        {"[]", "object"},
        {"{'Name':'x'}", "TaskTemplate"},
        {"{" LEAST ",'Typo':1}", "/Typo: unknown member"},
        {"{" LEAST ",'Labels':{'a':1}}", "/Labels/a: must be string"},
        {"{" LEAST ",'Mode':{'Replicated':{'Replicas':'2'}}}",
         "/Mode/Replicated/Replicas: must be"},
        {"{" LEAST ",'Mode':{'Replicated':{'Replicas':-1}}}", "/Mode/Replicated/Replicas: must be"},
        {"{" LEAST ",'Mode':{'ReplicatedJob':{}}}", "/Mode/ReplicatedJob: unknown member"},
        {"{" LEAST ",'Mode':{'Global':{},'Replicated':{}}}", "/Mode: "},
        {"{" LEAST ",'UpdateConfig':{'Order':'first'}}", "/UpdateConfig/Order: "},
        {"{'Name':'a/b','TaskTemplate':{'ContainerSpec':{'Image':'i'}}}", "/Name: "},
        {"{'Name':'x','TaskTemplate':{'ContainerSpec':{'Image':'i','healthcheck':{}}}}",
         "/TaskTemplate/ContainerSpec/healthcheck: unknown member"},
        {"{'Name':'x','TaskTemplate':{'ContainerSpec':{'Image':'i','Env':{'A':'b'}}}}",
         "/TaskTemplate/ContainerSpec/Env: must be array"},
        {"{'Name':'x','TaskTemplate':{'ContainerSpec':{'Image':'i','Secrets':[{}]}}}",
         "/TaskTemplate/ContainerSpec/Secrets/0"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *spec = swarm_json(cases[i].spec);
        _cleanup_error_ Error err = {0};

        assert_int_equal(swarm_spec_check(spec, &err), -EINVAL);
        if (!strstr(error_text(&err), cases[i].said)) {
            assert_string_equal(error_text(&err), cases[i].said);
        }
    }
}

static void labels_are_on_service_and_containers(void **state)
{
    _cleanup_json_ Json *spec = swarm_json("{" LEAST ",'Labels':{'team':'a'}}");
    const char *path = "/TaskTemplate/ContainerSpec/Labels";

    assert_int_equal(swarm_spec_add_labels(spec, &(EngineLabels){.digest = "d", .version = "1"}),
                     0);
    assert_int_equal(swarm_spec_set_deployment(spec, "id-2", "id-1"), 0);
    assert_string_equal(swarm_spec_label(spec, "team"), "a");
    assert_string_equal(swarm_spec_label(spec, ENGINE_LABEL_DIGEST), "d");
    assert_null(swarm_spec_label(spec, ENGINE_LABEL_COMMIT));
    assert_string_equal(swarm_spec_deployment(spec), "id-2");
    assert_string_equal(swarm_spec_label(spec, SWARM_LABEL_REPLACES), "id-1");
    assert_string_equal(json_get_string(json_pointer(spec, path), ENGINE_LABEL_VERSION), "1");
    assert_string_equal(json_get_string(json_pointer(spec, path), ENGINE_LABEL_DEPLOYMENT), "id-2");
    /* What is on the service alone must not start an instance anew. */
    assert_false(json_has(json_pointer(spec, path), SWARM_LABEL_REPLACES));
    assert_int_equal(swarm_spec_set_deployment(spec, "id-3", NULL), 0);
    assert_null(swarm_spec_label(spec, SWARM_LABEL_REPLACES));
}

#define WITH(container, more) \
    "{'Name':'x','TaskTemplate':{'ContainerSpec':{'Image':'i'" container "}}" more "}"

static void what_docker_adds_is_no_difference(void **state)
{
    static const struct {
        const char *stored;
        const char *wanted;
        bool is_same;
    } cases[] = {
        {WITH("", ""), WITH("", ""), true},
        /* as docker 20.10 gives it back */
        {"{'Name':'x','Labels':{'slipway.deployment':'1','slipway.replaces':'0'},'TaskTemplate':{"
         "'ContainerSpec':{'Image':'i','Labels':{'slipway.deployment':'1'},'Isolation':'default',"
         "'Privileges':{'CredentialSpec':null,'SELinuxContext':null}},'ForceUpdate':0,'Placement':{"
         "},'RestartPolicy':{'Condition':'any','MaxAttempts':0},'Runtime':'container'},'Mode':{"
         "'Replicated':{'Replicas':1}},'EndpointSpec':{'Mode':'vip','Ports':[{'Protocol':'tcp',"
         "'TargetPort':80,'PublishedPort':1,'PublishMode':'ingress'}]},'UpdateConfig':{"
         "'Parallelism':0,'FailureAction':'pause','MaxFailureRatio':0,'Order':'stop-first'}}",
         WITH(",'Labels':{},'Privileges':{}",
              ",'Mode':{'Replicated':{'Replicas':1}},'EndpointSpec':{'Ports':[{'TargetPort':80,"
              "'PublishedPort':1}]},'UpdateConfig':{'MaxFailureRatio':0.0}"),
         true},
        {WITH(",'Env':['A=b']", ""), WITH("", ""), false}, /* somebody's docker service update */
        {WITH("", ""), WITH(",'Env':['A=b']", ""), false},
        {WITH(",'Env':['A=b','C=d']", ""), WITH(",'Env':['C=d','A=b']", ""), false},
        {WITH("", ",'UpdateConfig':{'Order':'start-first'}"), WITH("", ",'UpdateConfig':{}"),
         false},
        {WITH("", ",'EndpointSpec':{'Mode':'dnsrr'}"), WITH("", ""), false},
        {WITH(",'Init':false", ""), WITH("", ""), false}, /* absent is what the daemon has set */
        {WITH("", ",'Mode':{'Replicated':{'Replicas':0}}"), WITH("", ",'Mode':{'Replicated':{}}"),
         false},
        {WITH(",'Hosts':[]", ""), WITH("", ""), true},
        {WITH("", ""), WITH(",'Hosts':[]", ",'Labels':null"), true},
        {WITH(",'Env':[null]", ",'Labels':null"), WITH(",'Env':[null]", ",'Labels':null"), true},
        {WITH("", ",'Labels':['a']"), WITH("", ",'Labels':3"), false}, /* no docker says that */
        {WITH("", ",'Labels':{'a':''}"), WITH("", ",'Labels':{'a':'b'}"), false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *stored = swarm_json(cases[i].stored);
        _cleanup_json_ Json *wanted = swarm_json(cases[i].wanted);
        bool is_same = !cases[i].is_same;

        assert_int_equal(swarm_spec_is_same(stored, wanted, &is_same), 0);
        if (is_same != cases[i].is_same) {
            fail_msg("%s and %s", cases[i].stored, cases[i].wanted);
        }
    }
}

static void what_runs_is_told_in_our_terms(void **state)
{
    _cleanup_json_ Json *stored =
        swarm_json(WITH(",'Isolation':'default','Env':['A=b'],'Labels':{'slipway.deployment':'1'}",
                        ",'Labels':{'slipway.deployment':'1','slipway.cancelled':'0','a':'b'}"));
    _cleanup_json_ Json *wanted = swarm_json(WITH("", ""));
    _cleanup_json_ Json *before = NULL;
    _cleanup_json_ Json *expected = swarm_json(WITH(",'Env':['A=b']", ",'Labels':{'a':'b'}"));

    assert_int_equal(swarm_spec_in_terms_of(stored, wanted, &before), 0);
    assert_true(json_equal(before, expected));
}

static void health_checks_and_monitors(void **state)
{
    static const struct {
        const char *spec;
        bool has_check;
        int64_t monitor_ms;
    } cases[] = {
        {WITH("", ""), false, SWARM_MONITOR_MS_DEFAULT},
        {WITH(",'Healthcheck':{'Test':[]}", ",'UpdateConfig':{'Monitor':0}"), false,
         SWARM_MONITOR_MS_DEFAULT},
        {WITH(",'Healthcheck':{'Test':['NONE']}", ",'UpdateConfig':{'Monitor':200000000}"), false,
         200},
        {WITH(",'Healthcheck':{'Test':['CMD','x']}", ""), true, SWARM_MONITOR_MS_DEFAULT},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *spec = swarm_json(cases[i].spec);

        assert_int_equal(swarm_spec_has_health_check(spec), cases[i].has_check);
        assert_int_equal(swarm_spec_monitor_ms(spec), cases[i].monitor_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_specification_may_be_small),
        cmocka_unit_test(mistakes_are_told_by_their_place),
        cmocka_unit_test(labels_are_on_service_and_containers),
        cmocka_unit_test(what_docker_adds_is_no_difference),
        cmocka_unit_test(what_runs_is_told_in_our_terms),
        cmocka_unit_test(health_checks_and_monitors),
    };

    return cmocka_run_group_tests_name("swarm-spec", tests, NULL, NULL);
}
