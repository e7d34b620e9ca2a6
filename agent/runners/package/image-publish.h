/* SPDX-License-Identifier: MIT */
/* The image of an action `package` into the registry that agent.json names under `publish.image`:
 * as PREFIX/NAME:VERSION. What the registry has is not sent. */
#pragma once

#include "agent/package/package.h"
#include "agent/runners/action.h"

typedef struct ImagePublished {
    char *reference; /* "registry.example/team/greeter@sha256:…"; NULL: nothing was published */
    char *tagged;    /* "registry.example/team/greeter:v1.2" */
} ImagePublished;

void image_published_done(ImagePublished *published);
#define _cleanup_image_published_ _cleanup_(image_published_done)

/* Pushes what is in `staging_fd`, and then what the call has stated about it as its referrer
 * (registry_attach). Does nothing where agent.json names no registry. */
int image_publish(Action *action, const Package *package, int staging_fd, ImagePublished *ret,
                  Error *err) _must_check_;

/* Tells where it is. */
int image_publish_report(Action *action, const ImagePublished *published) _must_check_;
