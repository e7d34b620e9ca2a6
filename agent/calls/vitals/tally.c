/* SPDX-License-Identifier: MIT */
#include "agent/calls/vitals/tally.h"

#include <errno.h>
#include <string.h>

static TallyRow *find(const Tally *tally, const char *action, const char *status)
{
    for (size_t i = 0; i < tally->n; i++) {
        TallyRow *row = &tally->rows[i];

        if (strcmp(row->action, action) == 0 && strcmp(row->status, status) == 0) {
            return row;
        }
    }
    return NULL;
}

static TallyRow *make(Tally *tally, const char *action, const char *status)
{
    TallyRow *rows = reallocarray(tally->rows, tally->n + 1, sizeof(*rows));
    TallyRow row = {.action = strdup(action), .status = strdup(status)};

    tally->rows = rows ? rows : tally->rows;
    if (!rows || !row.action || !row.status) {
        free(row.action);
        free(row.status);
        return NULL;
    }
    rows[tally->n] = row;
    return &rows[tally->n++];
}

void tally_add(Tally *tally, const char *action, const char *status, double seconds)
{
    TallyRow *row = find(tally, action, status);

    if (!row && tally->n >= TALLY_ROWS_MAX) {
        action = "other";
        row = find(tally, action, status);
    }
    row = row ? row : make(tally, action, status);
    if (row) {
        row->n++;
        row->seconds += seconds > 0 ? seconds : 0;
    }
}

void tally_done(Tally *tally)
{
    for (size_t i = 0; i < tally->n; i++) {
        free(tally->rows[i].action);
        free(tally->rows[i].status);
    }
    free(tally->rows);
    *tally = (Tally){0};
}

static int append_row(const TallyRow *row, Json *list)
{
    Json *object = json_new_object();
    int r = object ? 0 : -ENOMEM;

    r = r < 0 ? r : json_set_string(object, "action", row->action);
    r = r < 0 ? r : json_set_string(object, "status", row->status);
    r = r < 0 ? r : json_set_int(object, "count", row->n);
    r = r < 0 ? r : json_set_take(object, "seconds", json_new_number(row->seconds));
    if (r < 0) {
        (void)json_unref(object);
        return r;
    }
    return json_append_take(list, object);
}

int tally_describe(const Tally *tally, Json *object, const char *name)
{
    Json *list = json_new_array();
    int r = list ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < tally->n; i++) {
        r = append_row(&tally->rows[i], list);
    }
    if (r < 0) {
        (void)json_unref(list);
        return r;
    }
    return json_set_take(object, name, list);
}
