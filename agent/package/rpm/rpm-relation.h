/* SPDX-License-Identifier: MIT */
/* What a package says about others: requires, provides, conflicts, … */
#pragma once

#include "agent/package/rpm/rpm-header.h"
#include "protocol/base/error.h"
#include "protocol/json.h"

typedef enum RpmRelationKind {
    RPM_PROVIDES,
    RPM_REQUIRES,
    RPM_CONFLICTS,
    RPM_OBSOLETES,
    RPM_RECOMMENDS,
    RPM_SUGGESTS,
    RPM_ORDERS, /* installed before us where it is installed at all */
    _RPM_RELATION_KIND_MAX,
} RpmRelationKind;

typedef struct RpmRelation {
    char *name;
    char *version; /* "" where any will do */
    uint32_t sense;
} RpmRelation;

typedef struct RpmRelations {
    RpmRelation *list;
    size_t count;
    size_t allocated;
} RpmRelations;

void rpm_relations_done(RpmRelations *relations);
#define _cleanup_rpm_relations_ _cleanup_(rpm_relations_done)

const char *rpm_relation_kind_name(RpmRelationKind kind); /* as slipway.json: "provides" */

int rpm_relations_add(RpmRelations *relations, const char *name, uint32_t sense,
                      const char *version) _must_check_;

/* A feature of rpm itself that a package needs to be read: "rpmlib(NAME) <= VERSION". */
int rpm_relations_add_feature(RpmRelations *relations, const char *name,
                              const char *version) _must_check_;

/* "NAME" or "NAME OP VERSION", OP being <, <=, =, >= or >. -EINVAL, saying what is wrong. */
int rpm_relations_add_text(RpmRelations *relations, const char *text, uint32_t sense,
                           Error *err) _must_check_;

/* An array of such texts, or of {"relation": TEXT, "when": ["pre", …]}, which stands at `pointer`.
 */
int rpm_relations_add_json(RpmRelations *relations, const Json *array, const char *pointer,
                           Error *err) _must_check_;

/* Sorts them, each once, into the three tags of their kind. */
int rpm_relations_write(RpmRelations *relations, RpmRelationKind kind,
                        RpmHeader *header) _must_check_;
