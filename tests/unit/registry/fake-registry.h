/* SPDX-License-Identifier: MIT */
/* A registry that is stricter than real ones, and does wrong on request: a child process on a free
 * port of 127.0.0.1, all in memory. It takes one connection at a time.
 *
 * Strict: an upload's Location is good once; a piece has to be where it says, and of type
 * octet-stream; a manifest is taken when all it is made of is there, under the type that it says
 * of itself, and given only to who accepts that type. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum FakeFault {
    FAULT_NONE,
    FAULT_STATUS,      /* answers `status` with `text`, and has done nothing */
    FAULT_CUT_REQUEST, /* takes half of the body, keeps it, and hangs up */
    FAULT_CUT_ANSWER,  /* gives half of the body and hangs up */
    FAULT_STALL,       /* says nothing until the client has gone */
    FAULT_LIE,         /* Docker-Content-Digest is another one */
    FAULT_WRONG_BYTES, /* the first byte of the body is another one */
    FAULT_MORE_BYTES,  /* the body goes on */
    FAULT_REDIRECT,    /* 307 to `text` and the path */
    FAULT_NO_RANGE,    /* gives all where a part was asked for */
} FakeFault;

typedef struct FakeRule {
    FakeFault fault;
    const char *method; /* that it is for */
    const char *path;   /* a part of the path that it is for */
    unsigned skip;      /* so many times it is as usual */
    unsigned times;     /* then so many times it is not; 0: once */
    int status;
    const char *text;   /* body, or address */
    const char *header; /* one more of the answer, "Name: value" */
} FakeRule;

typedef enum FakeAuth {
    FAKE_ANONYMOUS,
    FAKE_BASIC,  /* user:password */
    FAKE_BEARER, /* the same, to /token; a token is for the scopes that it was asked with */
} FakeAuth;

#define FAKE_RULES_MAX 4
#define FAKE_ITEMS_MAX 32

typedef struct FakeItem {
    char repository[64];
    char name[160]; /* digest of a blob; digest or tag of a manifest */
    char media_type[160];
    char *data;
    size_t size;
    bool is_manifest;
} FakeItem;

typedef struct FakeRegistry {
    /* Set before the start. */
    FakeRule rules[FAKE_RULES_MAX];
    FakeAuth auth;
    const char *realm; /* NULL: its own /token */
    bool has_referrers;
    bool may_mount;
    bool is_forgetful;  /* a broken upload is gone */
    bool hides_digests; /* no Docker-Content-Digest */
    /* Its own. */
    FakeItem items[FAKE_ITEMS_MAX];
    size_t n_items;
    pid_t pid;
    int log_fd;
    char host[32]; /* "127.0.0.1:PORT" */
    char log[16384];
    size_t log_len;
} FakeRegistry;

/* Before the start: what it has. Returns the digest, which is good until the next call. */
const char *fake_registry_add_blob(FakeRegistry *fake, const char *repository, const void *data,
                                   size_t n);
const char *fake_registry_add_manifest(FakeRegistry *fake, const char *repository, const char *tag,
                                       const char *media_type, const char *json);

void fake_registry_start(FakeRegistry *fake);

/* How many requests so far were "METHOD PATH…" with this beginning, without query. */
unsigned fake_registry_count(FakeRegistry *fake, const char *beginning);
/* All of them, a line each. */
const char *fake_registry_log(FakeRegistry *fake);

void fake_registry_stop(FakeRegistry *fake);
