/* SPDX-License-Identifier: MIT */
/* A real sshd for a test, on loopback, with keys and configuration of its own (start-sshd). */
#pragma once

#include "protocol/ssh/ssh-session.h"

#include <stdint.h>

typedef struct Sshd {
    char directory[64];
    char config[96]; /* the client's ssh_config */
    uint16_t port;
    pid_t pid; /* 0: not running */
    int log_fd;
} Sshd;

/* Starts one; `lines` (NULL-terminated, may be NULL) are put before its configuration. */
void sshd_start(Sshd *s, const char *const *lines);

/* Ends it; its directory stays. */
void sshd_stop(Sshd *s);

/* Ends it and removes everything. */
void sshd_done(Sshd *s);

/* For cmocka: one sshd for a group of tests, *state is the Sshd. */
int sshd_setup(void **state);
int sshd_teardown(void **state);

/* Makes the client's ssh_config these lines, and after them that no agent is asked and that only
 * this sshd's known_hosts counts. In the lines every `@` is the directory. */
void sshd_configure(const Sshd *s, const char *lines);

/* A file in the directory; its text is the caller's. */
char *sshd_read(const Sshd *s, const char *name);
void sshd_write(const Sshd *s, const char *name, const char *text);

/* Opens a session as `user` (NULL: this one) by the client's ssh_config. */
int sshd_open(const Sshd *s, const char *user, int way, SshSession **ret, Error *err);

/* The same, which must succeed. */
SshSession *sshd_connect(const Sshd *s, int way);

/* The same, which must fail with this code and these words (NULL-terminated) in its sentence. */
void sshd_expect(const Sshd *s, const char *user, int way, int code, ...);

void expect_words(const char *text, const char *words);
