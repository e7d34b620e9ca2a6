/* SPDX-License-Identifier: MIT */
#include "plugin/health/answer.h"

#include "plugin/health/metrics.h"
#include "plugin/health/page.h"

#include <stdlib.h>
#include <string.h>

#define TEXT "text/plain; charset=utf-8"

/* This program is alive; whether the agent is, is another question. */
static unsigned write_alive(FILE *out, const Facts *facts)
{
    (void)fprintf(out, "ok\n");
    return 200;
}

static unsigned write_ready(FILE *out, const Facts *facts)
{
    const SlipwayJson *reason;

    if (!facts->is_up) {
        (void)fprintf(out, "no agent: %s\n", facts->why);
        return 503;
    }
    if (facts->readiness->state == READINESS_READY) {
        (void)fprintf(out, "ready\n");
        return 200;
    }
    for (size_t i = 0; (reason = slipway_json_get_element(facts->readiness->reasons, i)); i++) {
        (void)fprintf(out, "%s\n", slipway_json_get_string(reason, "", "?"));
    }
    return 503;
}

static unsigned write_metrics(FILE *out, const Facts *facts)
{
    metrics_write(out, facts);
    return 200;
}

static unsigned write_page(FILE *out, const Facts *facts)
{
    page_write(out, facts);
    return 200;
}

static unsigned write_version(FILE *out, const Facts *facts)
{
    SlipwayJson *json = slipway_json_new_object();
    char *text;

    (void)slipway_json_set_string(json, "/name", "slipway-health");
    (void)slipway_json_set_string(json, "/version", slipway_version());
    (void)slipway_json_set_bool(json, "/agent/isUp", facts->is_up);
    if (facts->is_up) {
        (void)slipway_json_set_string(json, "/agent/name",
                                      slipway_json_get_string(facts->health, "/name", ""));
        (void)slipway_json_set_string(json, "/agent/version",
                                      slipway_json_get_string(facts->health, "/version", ""));
    }
    text = slipway_json_format(json);
    (void)fprintf(out, "%s\n", text ? text : "{}");
    free(text);
    (void)slipway_json_unref(json);
    return 200;
}

static unsigned write_not_found(FILE *out, const Facts *facts)
{
    (void)fprintf(out, "There is /, /healthz, /readyz, /metrics and /version.\n");
    return 404;
}

typedef struct Page {
    const char *path;
    const char *type;
    bool needs_facts;
    unsigned (*write)(FILE *out, const Facts *facts); /* returns the status */
} Page;

static const Page pages[] = {
    {"/", PAGE_CONTENT_TYPE, true, write_page},
    {"/healthz", TEXT, false, write_alive},
    {"/readyz", TEXT, true, write_ready},
    {"/metrics", METRICS_CONTENT_TYPE, true, write_metrics},
    {"/version", "application/json", true, write_version},
};
static const Page nowhere = {NULL, TEXT, false, write_not_found};

static const Page *find(const char *path)
{
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (strcmp(pages[i].path, path) == 0) {
            return &pages[i];
        }
    }
    return &nowhere;
}

bool answer_needs_facts(const char *path)
{
    return find(path)->needs_facts;
}

void answer_path(const char *path, const Facts *facts, ServerReply *ret)
{
    const Page *page = find(path);
    FILE *out;

    *ret = (ServerReply){.status = 500, .type = page->type};
    out = open_memstream(&ret->body, &ret->len);
    if (out) {
        unsigned status = page->write(out, facts);

        ret->status = fclose(out) == 0 ? status : 500;
    }
}
