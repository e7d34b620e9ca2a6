#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds dist/greeter. The same commit gives the same bytes, wherever and whenever it is built: the version comes from
# outside, no path and no time is compiled in. Static, so that it runs in an image without anything else.
set -eu
cd "$(dirname "$0")"

version=${SLIPWAY_VERSION:-$(git describe --always --dirty 2>/dev/null || echo development)}
case $version in
*[!A-Za-z0-9._+~-]*)
    echo "build.sh: '$version' is no version: letters, digits and . _ + ~ - only" >&2
    exit 1
    ;;
esac

mkdir -p dist
${CC:-cc} -std=gnu17 -O2 -Wall -Wextra -Werror -static -s -pthread -ffile-prefix-map="$PWD=." -Wl,--build-id=sha1 \
    -DVERSION="\"$version\"" -o dist/greeter greeter.c
echo "built dist/greeter $version"
