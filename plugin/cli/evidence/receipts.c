/* SPDX-License-Identifier: MIT */
#include "plugin/cli/evidence/receipts.h"

#include "plugin/cli/evidence/release-subject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AUDIT "/predicate/audit"

void receipts_done(Receipts *receipts)
{
    for (size_t i = 0; i < receipts->n; i++) {
        free(receipts->items[i].source);
        (void)slipway_json_unref(receipts->items[i].entry);
    }
    free(receipts->items);
    *receipts = (Receipts){0};
}

static int add(Receipts *receipts, const char *source, bool is_kept, const SlipwayJson *entry)
{
    Receipt *grown = reallocarray(receipts->items, receipts->n + 1, sizeof(*grown));
    char *copy = strdup(source);

    if (grown) {
        receipts->items = grown;
    }
    if (!grown || !copy) {
        free(copy);
        return -ENOMEM;
    }
    grown[receipts->n++] =
        (Receipt){.source = copy, .is_kept = is_kept, .entry = slipway_json_ref(entry)};
    return 0;
}

int receipts_add(Receipts *receipts, const char *source, bool is_kept, const SlipwayJson *entries)
{
    const SlipwayJson *entry;
    int r = 0;

    for (size_t i = 0; r == 0 && (entry = slipway_json_get_element(entries, i)); i++) {
        if (release_is_kind(entry, "deployment") && slipway_json_get(entry, "/statement" AUDIT)) {
            r = add(receipts, source, is_kept, entry);
        }
    }
    return r;
}

const char *receipt_text(const Receipt *receipt, const char *pointer)
{
    char whole[256];

    (void)snprintf(whole, sizeof(whole), "/predicate%s", pointer);
    return release_said(receipt->entry, whole, "");
}

const SlipwayJson *receipt_anchor(const Receipt *receipt)
{
    return slipway_json_get(receipt->entry, "/statement" AUDIT);
}

int64_t receipt_seq(const Receipt *receipt)
{
    return slipway_json_get_int(receipt_anchor(receipt), "/seq", 0);
}

const char *receipt_doubt(const Receipt *receipt)
{
    static const struct {
        const char *trust, *doubt;
    } doubts[] = {
        {"trusted", NULL},
        {"wrong_role", "it is signed by a key that may not say so"},
        {"altered", "it was altered after it was signed"},
    };
    const char *trust = slipway_json_get_string(receipt->entry, "/trust", "");

    for (size_t i = 0; i < sizeof(doubts) / sizeof(doubts[0]); i++) {
        if (strcmp(trust, doubts[i].trust) == 0) {
            return doubts[i].doubt;
        }
    }
    return "no key that you believe has signed it";
}
