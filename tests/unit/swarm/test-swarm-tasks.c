/* SPDX-License-Identifier: MIT */
#include "agent/deploy/engines/swarm/swarm-tasks.h"

#include "tests/unit/swarm/swarm-talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A task in short: "SLOT OF DESIRED STATE", OF "-" for one without a label. Its timestamp grows. */
static Json *tasks_of(const char *const *short_forms)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

    assert_int_equal(buffer_append_text(&text, "["), 0);
    for (size_t i = 0; short_forms[i]; i++) {
        char slot[8], of[8], desired[16], state[16], label[64] = "";

        assert_int_equal(sscanf(short_forms[i], "%7s %7s %15s %15s", slot, of, desired, state), 4);
        if (strcmp(of, "-") != 0) {
            (void)snprintf(label, sizeof(label), ",'Labels':{'slipway.deployment':'%s'}", of);
        }
        assert_int_equal(
            buffer_append_format(&text,
                                 "%s{'ID':'t%zu','Slot':%s,'NodeID':'n%s','DesiredState':'%s',"
                                 "'Spec':{'ContainerSpec':{'Image':'i'%s}},'Status':{'State':'%s',"
                                 "'Timestamp':'2026-01-01T00:00:%02zuZ'}}",
                                 i ? "," : "", i, slot, slot, desired, label, state, i),
            0);
    }
    assert_int_equal(buffer_append_text(&text, "]"), 0);
    return swarm_json(buffer_text(&text));
}

#define REPLICAS(n) "{'Mode':{'Replicated':{'Replicas':" #n "}}}"

static const struct {
    const char *tasks[8];
    const char *spec;
    const char *deployment;
    EngineCounts counts; /* wanted, updated, healthy, old */
    const char *failed;
    const char *held;
} counted[] = {
    {{NULL}, REPLICAS(2), "b", {2, 0, 0, 0}, NULL, NULL},
    {{NULL}, "{}", "b", {1, 0, 0, 0}, NULL, NULL},
    {{"1 b running running", "2 b running starting"}, REPLICAS(2), "b", {2, 2, 1, 0}, NULL, "t1"},
    /* start-first: the old one runs until it is told to end, and then until it has */
    {{"1 a running running", "1 b running starting"}, REPLICAS(1), "b", {1, 1, 0, 1}, NULL, "t1"},
    {{"1 a shutdown running", "1 b running running"}, REPLICAS(1), "b", {1, 1, 1, 1}, NULL, NULL},
    {{"1 a shutdown shutdown", "1 b running running"}, REPLICAS(1), "b", {1, 1, 1, 0}, NULL, NULL},
    {{"1 a shutdown preparing", "1 b running running"}, REPLICAS(1), "b", {1, 1, 1, 0}, NULL, NULL},
    /* one that failed and the next try */
    {{"1 b shutdown failed", "1 b shutdown rejected", "1 b ready ready"},
     REPLICAS(1),
     "b",
     {1, 1, 0, 0},
     "t1",
     "t2"},
    {{"1 b shutdown complete"}, REPLICAS(1), "b", {1, 0, 0, 0}, "t0", NULL},
    {{"1 a shutdown failed", "1 b running new"}, REPLICAS(1), "b", {1, 1, 0, 0}, NULL, "t1"},
    /* a service of somebody else */
    {{"1 - running running"}, REPLICAS(1), NULL, {1, 1, 1, 0}, NULL, NULL},
    {{"1 - running running"}, REPLICAS(1), "b", {1, 0, 0, 1}, NULL, NULL},
    {{"1 b running running"}, REPLICAS(1), NULL, {1, 0, 0, 1}, NULL, NULL},
    /* a state of a docker to come is not taken for gone, nor for well */
    {{"1 a running dreaming", "1 b running dreaming"}, REPLICAS(1), "b", {1, 1, 0, 1}, NULL, "t1"},
    {{"1 b running running", "2 b running running", "2 a shutdown failed"},
     "{'Mode':{'Global':{}}}",
     "b",
     {2, 2, 2, 0},
     NULL,
     NULL},
    {{NULL}, "{'Mode':{'Global':{}}}", "b", {1, 0, 0, 0}, NULL, NULL},
};

static void instances_are_counted(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(counted); i++) {
        _cleanup_json_ Json *tasks = tasks_of(counted[i].tasks),
                            *spec = swarm_json(counted[i].spec);
        SwarmTasks read;

        assert_int_equal(swarm_tasks_read(tasks, spec, counted[i].deployment, NULL, &read), 0);
        if (memcmp(&read.counts, &counted[i].counts, sizeof(read.counts)) != 0) {
            fail_msg("case %zu: %lld %lld %lld %lld", i, (long long)read.counts.wanted,
                     (long long)read.counts.updated, (long long)read.counts.healthy,
                     (long long)read.counts.old);
        }
        assert_string_equal(swarm_task_id(read.failed), counted[i].failed ? counted[i].failed : "");
        assert_string_equal(swarm_task_id(read.held), counted[i].held ? counted[i].held : "");
    }
}

static void nothing_serves_on_a_node_that_is_down(void **state)
{
    static const char *const of[] = {"1 a shutdown running", "2 a running running",
                                     "3 b running running", NULL};
    _cleanup_json_ Json *tasks = tasks_of(of), *spec = swarm_json(REPLICAS(1));
    _cleanup_json_ Json *down = swarm_json("{'n1':true,'n2':true}");
    SwarmTasks read;

    assert_int_equal(swarm_tasks_read(tasks, spec, "b", NULL, &read), 0);
    assert_int_equal(read.counts.old, 2);
    assert_true(read.has_lingering);
    /* one that docker has not told to end is not given up */
    assert_int_equal(swarm_tasks_read(tasks, spec, "b", down, &read), 0);
    assert_int_equal(read.counts.old, 1);
    assert_false(read.has_lingering);
}

static void some_failures_may_be_let_pass(void **state)
{
    static const char *const of[] = {"1 b shutdown failed", "1 b shutdown failed",
                                     "2 b running running", NULL};
    static const struct {
        const char *spec;
        bool is_failing;
    } cases[] = {
        {REPLICAS(2), true},
        {"{'Mode':{'Replicated':{'Replicas':2}},'UpdateConfig':{'MaxFailureRatio':0.4}}", true},
        {"{'Mode':{'Replicated':{'Replicas':2}},'UpdateConfig':{'MaxFailureRatio':0.5}}", false},
        {"{'UpdateConfig':{'FailureAction':'continue'}}", false},
        {"{'UpdateConfig':{'FailureAction':'rollback'}}", true},
    };
    _cleanup_json_ Json *tasks = tasks_of(of);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *spec = swarm_json(cases[i].spec);
        SwarmTasks read;

        assert_int_equal(swarm_tasks_read(tasks, spec, "b", NULL, &read), 0);
        assert_int_equal(read.failed_slots, 1);
        assert_int_equal(swarm_tasks_are_failing(&read, spec), cases[i].is_failing);
    }
}

static void trouble_is_told(void **state)
{
    static const struct {
        const char *task;
        const char *said;
    } cases[] = {
        {"{'Slot':2,'Status':{'State':'rejected','Err':'No such image: x'}}",
         "instance 2 was rejected: No such image: x"},
        {"{'Slot':1,'Status':{'State':'failed','Err':'task: non-zero exit (3)'}}",
         "instance 1 failed: non-zero exit (3)"},
        {"{'NodeID':'n','Status':{'State':'pending','Err':'no\\nsuitable\\u001b node '}}",
         "an instance is pending: no suitable  node"},
        {"{'Slot':1,'Status':{'State':'complete'}}", "instance 1 ended by itself, with status 0"},
        {"{}", "an instance is "},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *task = swarm_json(cases[i].task);
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

        assert_int_equal(swarm_task_append_trouble(task, &text), 0);
        assert_string_equal(buffer_text(&text), cases[i].said);
    }
}

static void logs_are_taken_apart(void **state)
{
    static const struct {
        const char *data;
        size_t n;
        bool is_multiplexed;
        size_t max;
        const char *text;
    } cases[] = {
        {"", 0, true, 100, ""},
        {"", 0, false, 100, ""},
        {"\1\0\0\0\0\0\0\2a\n\2\0\0\0\0\0\0\2b\n", 20, true, 100, "a\nb\n"},
        {"\1\0\0\0\0\0\0\1a\2\0\0\0\0\0\0\1b", 18, true, 100, "ab\n"},
        {"\1\0\0\0\0\0\0\5ab", 10, true, 100, "ab\n"},       /* cut off */
        {"\1\0\0\0\0\0\0\2a\n\1\0\0", 13, true, 100, "a\n"}, /* cut off in a head */
        {"\1\0\0\0\0\0\0\2a\nhello", 15, true, 100, "a\n"},  /* no stream any more */
        {"\1\0\0\0\377\377\377\377a", 9, true, 100, "a\n"},
        {"plain\n", 6, false, 100, "plain\n"},
        {"one\ntwo\nthree\n", 14, false, 10, "three\n"},
        {"0123456789", 10, false, 4, "6789\n"},
        {"a\0b\377\n", 5, false, 100,
         "a\xef\xbf\xbd"
         "b\xef\xbf\xbd\n"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

        assert_int_equal(swarm_log_append(cases[i].data, cases[i].n, cases[i].is_multiplexed,
                                          cases[i].max, &text),
                         0);
        assert_string_equal(buffer_text(&text), cases[i].text);
    }
}

static void the_last_answer_of_a_check_counts(void **state)
{
    static const struct {
        const char *health;
        const char *said;
    } cases[] = {
        {"{}", ""},
        {"{'Log':[]}", ""},
        {"{'Log':[{'ExitCode':1,'Output':'old'},{'ExitCode':0,'Output':'fine'}]}", ""},
        {"{'Log':[{'ExitCode':0},{'ExitCode':8,'Output':'503 X\\n'}]}",
         "its health check ended with status 8: 503 X"},
        {"{'Log':[{'ExitCode':1,'Output':''}]}", "its health check ended with status 1"},
        {"{'Log':'odd'}", ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_json_ Json *health = swarm_json(cases[i].health);
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0);

        assert_int_equal(swarm_health_append(health, &text), 0);
        assert_string_equal(buffer_text(&text), cases[i].said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instances_are_counted),
        cmocka_unit_test(nothing_serves_on_a_node_that_is_down),
        cmocka_unit_test(some_failures_may_be_let_pass),
        cmocka_unit_test(trouble_is_told),
        cmocka_unit_test(logs_are_taken_apart),
        cmocka_unit_test(the_last_answer_of_a_check_counts),
    };

    return cmocka_run_group_tests_name("swarm-tasks", tests, NULL, NULL);
}
