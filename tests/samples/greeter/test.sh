#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests dist/greeter on a free port of loopback and writes build/junit/greeter.xml.
set -eu
cd "$(dirname "$0")"
[ -x dist/greeter ] || ./build.sh

mkdir -p build/junit
log=build/greeter.log
cases=build/cases.xml
: >"$cases"
: >"$log" # it is read before the service may have made it
passed=0 failed=0

PORT=0 dist/greeter >"$log" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    url=$(sed -n 's/.*listening on //p' "$log")
    [ -z "$url" ] || break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.02
done

get() { # PATH, then options of curl: "STATUS BODY" on one line
    path=$1
    shift
    curl -sS -m 5 -w ' %{http_code}' "$@" "$url$path" | tr -d '\n' | sed 's/\(.*\) \(...\)$/\2 \1/'
}

check() { # NAME WANTED-PATTERN WHAT-CAME
    # shellcheck disable=SC2254 # the second argument is a pattern
    case $3 in
    $2)
        passed=$((passed + 1))
        echo "ok - $1"
        echo "  <testcase classname=\"greeter\" name=\"$1\"/>" >>"$cases"
        ;;
    *)
        failed=$((failed + 1))
        echo "not ok - $1: wanted '$2', got '$3'"
        message=$(printf "wanted '%s', got '%s'" "$2" "$3" | sed 's/&/\&amp;/g; s/</\&lt;/g; s/"/\&quot;/g')
        echo "  <testcase classname=\"greeter\" name=\"$1\"><failure message=\"$message\"/></testcase>" >>"$cases"
        ;;
    esac
}

check "says where it listens" "http://127.0.0.1:[0-9]*" "$url"
check "greets and says its version" "200 [A-Z]* from greeter ${SLIPWAY_VERSION:-?*}" "$(get /)"
check "is healthy" "200 ok" "$(get /health)"
check "knows no other path" "404 *" "$(get /nothing)"
check "takes nothing but GET" "405 *" "$(get / -X DELETE)"
check "refuses what is no request" "400 *" "$(get /"$(printf '%9000s' '' | tr ' ' a)")"
check "says so when the port is taken" "*cannot listen*in use*" "$(PORT=${url##*:} dist/greeter 2>&1 || true)"
check "says so when PORT is no port" "*not '127.0.0.1' and 'http'*" "$(PORT=http dist/greeter 2>&1 || true)"
status=0
kill "$pid" 2>/dev/null || true
wait "$pid" || status=$?
check "ends well on SIGTERM" 0 "$status"

{
    echo '<?xml version="1.0" encoding="UTF-8"?>'
    echo "<testsuite name=\"greeter\" tests=\"$((passed + failed))\" failures=\"$failed\" errors=\"0\" skipped=\"0\">"
    cat "$cases"
    echo '</testsuite>'
} >build/junit/greeter.xml
[ "$failed" = 0 ]
