/* SPDX-License-Identifier: MIT */
#include "plugin/health/ledger.h"

#include "plugin/cli/report/moment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void service_done(LedgerService *service)
{
    free(service->environment);
    free(service->service);
    free(service->version);
    free(service->commit);
    free(service->subject);
    free(service->who);
    free(service->last_reason);
}

void ledger_done(Ledger *ledger)
{
    for (size_t i = 0; i < ledger->n_counts; i++) {
        free(ledger->counts[i].environment);
    }
    for (size_t i = 0; i < ledger->n_services; i++) {
        service_done(&ledger->services[i]);
    }
    free(ledger->counts);
    free(ledger->services);
    *ledger = (Ledger){0};
}

/* ---- counts -----------------------------------------------------------------------------------
 */

static LedgerCount *find_count(Ledger *ledger, const HistoryEntry *entry)
{
    for (size_t i = 0; i < ledger->n_counts; i++) {
        LedgerCount *count = &ledger->counts[i];

        if (count->verb == entry->verb && count->outcome == entry->outcome &&
            strcmp(count->environment, entry->environment) == 0) {
            return count;
        }
    }
    return NULL;
}

static int count_entry(Ledger *ledger, const HistoryEntry *entry)
{
    LedgerCount *count = find_count(ledger, entry), *counts;
    char *environment;

    if (count) {
        count->n++;
        return 0;
    }
    if (ledger->n_counts >= LEDGER_ROWS_MAX) {
        return 0;
    }
    counts = reallocarray(ledger->counts, ledger->n_counts + 1, sizeof(*counts));
    environment = strdup(entry->environment);
    ledger->counts = counts ? counts : ledger->counts;
    if (!counts || !environment) {
        free(environment);
        return -ENOMEM;
    }
    counts[ledger->n_counts++] = (LedgerCount){
        .environment = environment, .verb = entry->verb, .outcome = entry->outcome, .n = 1};
    return 0;
}

/* ---- what runs --------------------------------------------------------------------------------
 */

static LedgerService *find_service(const Ledger *ledger, const char *environment, const char *name)
{
    for (size_t i = 0; i < ledger->n_services; i++) {
        LedgerService *service = &ledger->services[i];

        if (strcmp(service->service, name) == 0 && strcmp(service->environment, environment) == 0) {
            return service;
        }
    }
    return NULL;
}

static int replace(char **text, const char *by)
{
    char *copy = strdup(by);

    if (!copy) {
        return -ENOMEM;
    }
    free(*text);
    *text = copy;
    return 0;
}

static int make_service(Ledger *ledger, const char *environment, const char *name)
{
    LedgerService *services =
        reallocarray(ledger->services, ledger->n_services + 1, sizeof(*services));
    LedgerService *service;
    int r;

    if (!services) {
        return -ENOMEM;
    }
    ledger->services = services;
    service = &services[ledger->n_services++];
    *service = (LedgerService){.since_us = MOMENT_NONE, .last_us = MOMENT_NONE};
    r = replace(&service->environment, environment);
    r = r < 0 ? r : replace(&service->service, name);
    r = r < 0 ? r : replace(&service->version, "");
    r = r < 0 ? r : replace(&service->commit, "");
    r = r < 0 ? r : replace(&service->subject, "");
    r = r < 0 ? r : replace(&service->who, "");
    return r < 0 ? r : replace(&service->last_reason, "");
}

/* One that found its package running already changed nothing, but says what it is that runs. */
static int set_running(LedgerService *service, const HistoryEntry *entry)
{
    int r = 0;

    if (!entry->is_unchanged || service->since_us == MOMENT_NONE) {
        service->since_us = entry->time_us;
        r = replace(&service->who, entry->who);
    }
    r = r < 0 ? r : replace(&service->version, entry->version);
    r = r < 0 ? r : replace(&service->commit, entry->commit);
    return r < 0 ? r : replace(&service->subject, entry->subject);
}

static int note_service(Ledger *ledger, const char *name, const HistoryEntry *entry)
{
    LedgerService *service = find_service(ledger, entry->environment, name);
    int r = 0;

    if (!service && ledger->n_services >= LEDGER_ROWS_MAX) {
        return 0;
    }
    if (!service) {
        r = make_service(ledger, entry->environment, name);
        service = r < 0 ? NULL : &ledger->services[ledger->n_services - 1];
    }
    if (r < 0) {
        return r;
    }
    service->last_us = entry->time_us;
    service->last_outcome = entry->outcome;
    service->last_verb = entry->verb;
    r = replace(&service->last_reason, entry->reason);
    return r == 0 && entry->outcome == HISTORY_SUCCEEDED && entry->verb != HISTORY_VERIFY
               ? set_running(service, entry)
               : r;
}

static int by_place(const void *a, const void *b)
{
    const LedgerService *one = a, *other = b;
    int order = strcmp(one->environment, other->environment);

    return order != 0 ? order : strcmp(one->service, other->service);
}

int ledger_fold(const History *history, Ledger *ret)
{
    Ledger ledger = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < history->n; i++) {
        const HistoryEntry *entry = &history->entries[i];

        if (entry->verb != HISTORY_OTHER) {
            r = count_entry(&ledger, entry);
            r = r < 0 ? r : note_service(&ledger, history->services[entry->service], entry);
        }
    }
    if (r < 0) {
        ledger_done(&ledger);
        return r;
    }
    if (ledger.n_services > 1) {
        qsort(ledger.services, ledger.n_services, sizeof(*ledger.services), by_place);
    }
    *ret = ledger;
    return 0;
}

static int on_record(const SlipwayJson *record, void *userdata)
{
    return history_take(userdata, record);
}

int ledger_read(const char *path, Ledger *ret, char **ret_error)
{
    History history = {0};
    SlipwayJson *head = NULL;
    int r = history_begin(&history, path);

    r = r < 0 ? r : slipway_audit_check(path, NULL, on_record, &history, &head, ret_error);
    r = r < 0 ? r : history_end(&history, slipway_json_get_bool(head, "/isTorn", false));
    r = r < 0 ? r : history_merge(&history);
    r = r < 0 ? r : ledger_fold(&history, ret);
    history_done(&history);
    (void)slipway_json_unref(head);
    return r;
}
