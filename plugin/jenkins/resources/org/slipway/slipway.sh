#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs one `slipway` command. Whatever comes from outside (a branch, a name, a message) comes in the
# environment and stays a word there: nothing of it is ever part of a script.
#
#   SLIPWAY_WORDS             how many words the command has
#   SLIPWAY_WORD_1 …          the words
#   SLIPWAY_SOURCE            --git or --repo: name the repository and the commit of this workspace by it
#   SLIPWAY_PLACE             a directory below .slipway to begin anew
#   SLIPWAY_OUTPUT            a file that takes what is printed
#   SLIPWAY_APPROVER_KEY      the file of the approver's key
#   SLIPWAY_CLI               the program, where PATH does not find it
set -u

i=0
set --
while [ "$i" -lt "$SLIPWAY_WORDS" ]; do
    i=$((i + 1))
    eval "set -- \"\$@\" \"\${SLIPWAY_WORD_$i-}\""
done

if [ -n "${SLIPWAY_SOURCE-}" ]; then
    commit=$(git rev-parse --verify --quiet HEAD) || {
        echo "slipway: this workspace is no git repository: check it out first, or name one with git:" >&2
        exit 2
    }
    url=$(git config --get remote.origin.url) || url=$PWD
    set -- "$@" "$SLIPWAY_SOURCE" "$url" --commit "$commit"
fi
if [ -n "${SLIPWAY_APPROVER_KEY-}" ]; then
    set -- "$@" --key "$SLIPWAY_APPROVER_KEY"
fi
if [ -n "${SLIPWAY_PLACE-}" ]; then
    rm -rf -- ".slipway/$SLIPWAY_PLACE"
    mkdir -p -- ".slipway/$SLIPWAY_PLACE" || exit
    echo '*' >.slipway/.gitignore
fi

status=0
if [ -n "${SLIPWAY_OUTPUT-}" ]; then
    "${SLIPWAY_CLI:-slipway}" "$@" >"$SLIPWAY_OUTPUT" || status=$?
else
    "${SLIPWAY_CLI:-slipway}" "$@" || status=$?
fi

# Jenkins takes test results for old ones that are older than the build; ours have the commit's time.
if [ -d ".slipway/${SLIPWAY_PLACE:-}/artifacts/junit" ]; then
    find ".slipway/$SLIPWAY_PLACE/artifacts/junit" -type f -exec touch -- {} +
fi
exit "$status"
