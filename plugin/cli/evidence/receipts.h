/* SPDX-License-Identifier: MIT */
/* Receipts of deployments that say where the audit log of their host ended. They travel with the
 * release, so they know of records that somebody took from the log's end. */
#pragma once

#include "plugin/include/slipway.h"

typedef struct Receipt {
    char *source;       /* the file, or the agent's call */
    bool is_kept;       /* it is a call, and its agent has kept it */
    SlipwayJson *entry; /* as slipway_bundle_read has it */
    bool is_of_call;    /* for whoever looks for its call in a log */
} Receipt;

typedef struct Receipts {
    Receipt *items;
    size_t n;
} Receipts;

void receipts_done(Receipts *receipts);

/* Adds those that are among the entries of a bundle. -ENOMEM. */
int receipts_add(Receipts *receipts, const char *source, bool is_kept, const SlipwayJson *entries);

/* What the receipt says: a text of its predicate; "" where it says nothing. */
const char *receipt_text(const Receipt *receipt, const char *pointer);

/* The record of the log that it names: an object with `seq` and `sha256`. */
const SlipwayJson *receipt_anchor(const Receipt *receipt);
int64_t receipt_seq(const Receipt *receipt);

/* NULL: a key that is believed, in the right role, has signed it. Else what is wrong. */
const char *receipt_doubt(const Receipt *receipt);
