#!/bin/sh
# SPDX-License-Identifier: MIT
# After a deploy: does the environment at SLIPWAY_URL serve, and is it the version that was deployed?
set -eu
url=${SLIPWAY_URL:?smoke.sh: SLIPWAY_URL has to say where the service is}

curl -fsS -m 5 "$url/health" >/dev/null
greeting=$(curl -fsS -m 5 "$url/")
echo "$url says: $greeting"
case $greeting in
*" from greeter ${SLIPWAY_VERSION:-}"*) ;;
*)
    echo "smoke.sh: that is not version $SLIPWAY_VERSION" >&2
    exit 1
    ;;
esac
