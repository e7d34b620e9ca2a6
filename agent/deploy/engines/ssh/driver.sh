# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC1010,SC2015,SC2016
# What the ssh engine does on a host. It comes with every command (nothing is installed there):
#
#   sh -c 'eval "$1"' slipway DRIVER VERB BASE [DEPLOYMENT [ARGUMENT]...]
#
# POSIX sh and the tools of busybox are all it needs. Exit status: 0, or one of those below with the
# reason on stderr. What it keeps of a deployment is in BASE/releases/DEPLOYMENT:
#
#   root/                the image's files
#   specification.json   as it was deployed, with its labels
#   env, control         the variables; restart, stop, status, log, health as a script
#   content, tree        the digest of what was sent, and of what became of it here
#   accepted             all hosts had it, and the deployment began (on the first host)
#   before               the deployment that `current` was at; empty: none
#   state                WORD SINCE PID TEXT: how it is doing on this host
#   verdict              WORD TEXT: what was decided for all hosts (on the first host)
#   log, tail            what restarting said; the service's last lines when it failed
#
# BASE/lock is a symbolic link to OWNER:UNTIL:AGENT: made at once or not at all, and never half.
set -u
driver=$1 verb=$2 base=$3 deployment=${4-}
shift "$(($# < 4 ? $# : 4))"

BUSY=70 LOST=71 ABSENT=72 WRONG=73 NOT_YET=74 DEAD=75
LAUNCH_SECONDS=20 # that a detached part may take to say its pid

# shellcheck disable=SC2088 # it is a tilde that is looked for
case $base in
"~/"*) base=${HOME:?}/${base#"~/"} ;;
esac
releases=$base/releases
release=$releases/${deployment:-.}
umask 022

give_up() { # STATUS TEXT
    printf '%s\n' "$2" >&2
    exit "$1"
}

now() {
    date +%s
}

# The first line of a file, "" where there is none.
first_line() { # FILE
    line=
    [ ! -f "$1" ] || IFS= read -r line <"$1" || :
    printf '%s' "$line"
}

# A file is whole or as it was.
write_file() { # FILE TEXT
    printf '%s\n' "$2" >"$1.part" && mv -f "$1.part" "$1"
}

remove_tree() { # DIRECTORY
    [ -e "$1" ] || return 0
    chmod -R u+rwX "$1" 2>/dev/null
    rm -rf "$1"
}

current() {
    link=$(readlink "$base/current" 2>/dev/null) || link=
    printf '%s' "${link##*/}"
}

# ---- the lock: whoever holds it may switch. What changes anything checks it first. ----

lock_is_ours() {
    case $(readlink "$base/lock" 2>/dev/null) in
    "$deployment":*) return 0 ;;
    esac
    return 1
}

need_lock() {
    lock_is_ours || give_up "$LOST" "the lock is no longer this deployment's: $(readlink "$base/lock" 2>/dev/null || echo none)"
}

# A symbolic link to nothing is replaced by rename(2), so there is always one or the other.
write_lock() { # SECONDS AGENT
    rm -f "$base/lock.$deployment"
    ln -s "$deployment:$(($(now) + $1)):$2" "$base/lock.$deployment" && mv -f "$base/lock.$deployment" "$base/lock"
}

# Of all who find the same lock run out, the one that makes `steal` takes it.
take_lock() { # SECONDS AGENT
    held=$(readlink "$base/lock" 2>/dev/null) || held=
    owner=${held%%:*} rest=${held#*:}
    ends=${rest%%:*} steal=$base/steal.$owner.${rest%%:*}
    if lock_is_ours; then
        write_lock "$@"
    elif [ -z "$held" ]; then
        ln -s "$deployment:$(($(now) + $1)):$2" "$base/lock" 2>"$release/lock-error" || {
            [ -n "$(readlink "$base/lock" 2>/dev/null)" ] || give_up 1 "$(first_line "$release/lock-error")"
            give_up "$BUSY" "deployment '$(readlink "$base/lock")' has just begun there"
        }
    elif [ "$(now)" -lt "$ends" ]; then
        give_up "$BUSY" "deployment '$owner' of ${rest#*:} is under way there"
    else
        [ -z "$(find "$steal" -prune -mmin +2 2>/dev/null)" ] || rm -f "$steal" # it died while it took over
        ln -s "$deployment" "$steal" 2>/dev/null || give_up "$BUSY" "another takes the lock of '$owner' over"
        write_lock "$@"
        rm -f "$base"/steal.*
    fi
    lock_is_ours || give_up "$BUSY" "deployment '$(readlink "$base/lock")' was faster"
}

# ---- state ----

put_state() { # WORD PID TEXT
    write_file "$release/state" "$1 $(now) $2 $(printf '%s' "$3" | tr '\n\r' '  ' | cut -c 1-1000)"
}

# WORD SINCE PID TEXT
get_state() {
    if [ -f "$release/state" ]; then
        first_line "$release/state"
    elif [ -d "$release" ]; then
        printf 'begun 0 0'
    else
        printf 'absent 0 0'
    fi
}

# A pid alone may be another process's after the host was started anew.
is_alive() { # PID
    [ "$1" -gt 1 ] && kill -0 "$1" 2>/dev/null && tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null | grep -q -x -F -e "$deployment"
}

# The word, with "-dead" where a detached part has ended without saying so.
get_word() {
    state=$(get_state)
    word=${state%% *} rest=${state#* }
    since=${rest%% *} rest=${rest#* }
    pid=${rest%% *}
    case $word in
    switching | returning)
        if [ "$pid" = 0 ]; then
            [ "$(($(now) - since))" -lt "$LAUNCH_SECONDS" ] || word=$word-dead
        elif ! is_alive "$pid"; then
            again=$(get_state)
            [ "$again" != "$state" ] && word=${again%% *} || word=$word-dead
        fi
        ;;
    esac
    printf '%s' "$word"
}

# Goes on when the connection, or whoever asked, is gone.
detach() { # STATE VERB
    put_state "$1" 0 "" || exit 1
    set -- "$2"
    if command -v setsid >/dev/null; then
        setsid sh -c 'eval "$1"' slipway "$driver" "$1" "$base" "$deployment" </dev/null >"$release/log" 2>&1 &
    else
        sh -c 'eval "$1"' slipway "$driver" "$1" "$base" "$deployment" </dev/null >"$release/log" 2>&1 &
    fi
}

# With the group, as it is one of its own. No `--`: dash and busybox take it for a number.
kill_detached() { # PID
    is_alive "$1" || return 0
    kill -9 "-$1" 2>/dev/null || kill -9 "$1" 2>/dev/null
    return 0
}

# ---- switching ----

# `mv -T` renames over the link, so that there is always one; a mv that has no -T cannot.
point_at() { # TARGET
    rm -f "$base/current.next"
    ln -s "$1" "$base/current.next" || return 1
    mv -f -T "$base/current.next" "$base/current" 2>"$release/mv-error" && return 0
    ln -s "$1" "$base/current.probe" && mv -f -T "$base/current.probe" "$base/current.probe2" 2>/dev/null && {
        rm -f "$base/current.probe2"
        cat "$release/mv-error" >&2
        return 1
    }
    rm -f "$base/current.probe" "$base/current" && mv -f "$base/current.next" "$base/current"
}

# Runs one part of what the specification of a deployment says.
control() { # DEPLOYMENT PART [deploying]
    (
        cd "$releases/$1/root" || exit 1
        SLIPWAY_DEPLOYMENT=$1 SLIPWAY_BASE=$base SLIPWAY_RELEASE=$releases/$1
        export SLIPWAY_DEPLOYMENT SLIPWAY_BASE SLIPWAY_RELEASE
        exec sh ../control "$2" "${3-}"
    )
}

how_it_ended() { # STATUS
    if [ "$1" -gt 128 ]; then
        printf 'was ended by SIG%s' "$(kill -l "$1" 2>/dev/null || echo " $(($1 - 128))")"
    else
        printf 'ended with exit status %s' "$1"
    fi
}

last_words() { # FILE
    tail -n 3 "$1" 2>/dev/null | tr '\n' ' '
}

save_tail() {
    {
        tail -n 20 "$release/log"
        control "$deployment" log </dev/null | tail -n 40
    } >"$release/tail" 2>/dev/null
}

run_switch() {
    put_state switching $$ "" || exit 1
    point_at "releases/$deployment" || {
        put_state failed 0 "cannot switch: $(last_words "$release/log")"
        exit 1
    }
    control "$deployment" restart
    status=$?
    if [ "$status" = 0 ]; then
        put_state started 0 ""
    else
        save_tail
        put_state failed 0 "restarting $(how_it_ended "$status"): $(last_words "$release/log")"
    fi
}

run_return() {
    put_state returning $$ "" || exit 1
    before=$(first_line "$release/before")
    if [ -z "$before" ]; then
        rm -f "$base/current"
        control "$deployment" stop || echo "stopping $(how_it_ended "$?")"
        put_state back 0 ""
        exit 0
    fi
    point_at "releases/$before" || {
        put_state stuck 0 "cannot switch back to '$before': $(last_words "$release/log")"
        exit 1
    }
    control "$before" restart
    status=$?
    if [ "$status" = 0 ]; then
        put_state returned 0 ""
    else
        put_state stuck 0 "restarting '$before' $(how_it_ended "$status"): $(last_words "$release/log")"
    fi
}

# What is in a tree, as this host's own tools say it: only ever compared with their own word.
digest_tree() { # DIRECTORY
    (
        cd "$1" || exit 1
        find . -type f -exec sha256sum {} + | LC_ALL=C sort | sha256sum
    )
}

# ---- verbs ----

# Lines KEY VALUE. Renews the lock of the deployment where SECONDS are given.
verb_status() { # [SECONDS AGENT]
    echo "now $(now)"
    [ -d "$base" ] || return 0
    [ $# -lt 2 ] || ! lock_is_ours || write_lock "$@" || exit 1
    echo "lock $(readlink "$base/lock" 2>/dev/null)"
    [ ! -e "$base/current" ] || [ -L "$base/current" ] || give_up "$WRONG" "'$base/current' is no symbolic link, so it is not the engine's"
    running=$(current)
    if [ -n "$running" ]; then
        echo "current $running"
        printf 'currentSpecification '
        cat "$releases/$running/specification.json" 2>/dev/null || echo
    fi
    if [ -n "$deployment" ] && [ -d "$release" ]; then
        state=$(get_state)
        echo "state $(get_word) ${state#* }"
        [ ! -f "$release/accepted" ] || echo "accepted yes"
        [ ! -f "$release/before" ] || echo "before $(first_line "$release/before")"
        [ ! -f "$release/verdict" ] || echo "verdict $(first_line "$release/verdict")"
        [ ! -f "$release/tail" ] || echo "tail yes"
        printf 'specification '
        cat "$release/specification.json" 2>/dev/null || echo
    fi
}

# Makes room for a deployment. Its small files come as one text, of so many lines each.
verb_put() { # ENV CONTROL SPECIFICATION < TEXT
    mkdir -p "$release" && (umask 077 && cat >"$release/put") || exit 1
    at=1
    for name in env control specification.json; do
        (umask 077 && tail -n "+$at" "$release/put" | head -n "$1" >"$release/$name.part") &&
            mv -f "$release/$name.part" "$release/$name" || exit 1
        at=$((at + $1))
        shift
    done
    rm -f "$release/put"
}

# The bytes may be here already, of an earlier deployment.
verb_reuse() { # SHA256
    for other in "$releases"/*; do
        [ "$(first_line "$other/content")" = "$1" ] && [ -f "$other/tree" ] || continue
        remove_tree "$release/part" && cp -RPp "$other/root" "$release/part" || give_up 1 "it could not be copied"
        [ "$(digest_tree "$release/part")" = "$(first_line "$other/tree")" ] || continue
        finish_root "$1"
        return
    done
    remove_tree "$release/part"
    give_up "$ABSENT" "no release has these bytes"
}

finish_root() { # SHA256
    remove_tree "$release/root" && mv -f "$release/part" "$release/root" || exit 1
    write_file "$release/tree" "$(digest_tree "$release/root")" && write_file "$release/content" "$1" || exit 1
    sync -f "$release/root" 2>/dev/null || :
    put_state staged 0 "" || exit 1
}

verb_receive() { # SHA256 < ARCHIVE
    cat >"$release/archive" || {
        rm -f "$release/archive"
        give_up 1 "it could not be written"
    }
    write_file "$release/archive.sha256" "$1  archive" || exit 1
    (cd "$release" && sha256sum -c archive.sha256 >/dev/null 2>&1) || {
        rm -f "$release/archive"
        give_up 1 "what arrived is not what was sent: its SHA-256 is not $1"
    }
    remove_tree "$release/part" && mkdir "$release/part" || exit 1
    tar -xzof "$release/archive" -C "$release/part" || {
        remove_tree "$release/part"
        rm -f "$release/archive"
        give_up 1 "it could not be unpacked"
    }
    rm -f "$release/archive" "$release/archive.sha256"
    finish_root "$1"
}

verb_lock() { # SECONDS AGENT
    take_lock "$@"
}

verb_unlock() {
    ! lock_is_ours || rm -f "$base/lock"
}

# What never began leaves nothing behind.
verb_drop() {
    [ ! -f "$release/accepted" ] || return 0
    verb_unlock
    case $(get_word) in
    begun | staged) remove_tree "$release" ;;
    esac
}

verb_accept() {
    need_lock
    write_file "$release/accepted" yes
}

verb_switch() {
    need_lock
    case $(get_word) in
    staged | switching-dead) ;;
    *) return 0 ;;
    esac
    [ -f "$release/before" ] || write_file "$release/before" "$(current)" || exit 1
    detach switching run-switch
}

verb_fail() { # TEXT
    need_lock
    state=$(get_state)
    rest=${state#* }
    rest=${rest#* }
    kill_detached "${rest%% *}"
    save_tail
    put_state failed 0 "$1"
}

# For the way back that does not end: what is said of it stays.
verb_stuck() { # TEXT
    state=$(get_state)
    rest=${state#* }
    rest=${rest#* }
    kill_detached "${rest%% *}"
    put_state stuck 0 "$1"
}

verb_mark() { # WORD
    need_lock
    put_state "$1" 0 ""
}

verb_check() { # [deploying]
    running=$(current)
    [ -n "$running" ] || give_up "$DEAD" "nothing is current"
    said=$(control "$running" status "${1-}" 2>&1 </dev/null)
    status=$?
    case $status in
    0) ;;
    75) give_up "$NOT_YET" "it is starting: $said" ;;
    *) give_up "$DEAD" "it does not run: ${said:-its status command $(how_it_ended "$status")}" ;;
    esac
    said=$(control "$running" health 2>&1 </dev/null)
    status=$?
    [ "$status" = 0 ] || give_up "$NOT_YET" "its health command $(how_it_ended "$status"): ${said:-it says nothing}"
}

verb_verdict() { # WORD TEXT; the first one stays
    [ -f "$release/accepted" ] || give_up "$ABSENT" "it was not accepted here"
    [ -f "$release/verdict" ] || write_file "$release/verdict" "$1 $(printf '%s' "$2" | tr '\n\r' '  ' | cut -c 1-1500)"
}

verb_return() {
    lock_is_ours || return 0
    state=$(get_state)
    rest=${state#* }
    rest=${rest#* }
    case $(get_word) in
    absent | back | stuck | returned | returning) return 0 ;;
    switching) kill_detached "${rest%% *}" ;;
    esac
    if [ ! -f "$release/before" ]; then
        put_state back 0 ""
    else
        detach returning run-return
    fi
}

verb_tail() {
    cat "$release/tail"
}

# Keeps the newest that ended well, what runs, what ran before it, and what somebody may be sending.
verb_finish() { # KEEP
    need_lock
    put_state done 0 "" || exit 1
    running=$(current) before=$(first_line "$release/before") kept=0
    # shellcheck disable=SC2012 # the names are identifiers
    ls -1t "$releases" | while IFS= read -r name; do
        word=$(first_line "$releases/$name/state")
        case $name in
        "$running" | "$before") kept=$((kept + 1)) ;;
        *)
            case ${word%% *} in
            done | back | failed | stuck)
                [ "${word%% *}" = done ] && kept=$((kept + 1)) && [ "$kept" -le "$1" ] || remove_tree "$releases/$name"
                ;;
            *) [ -z "$(find "$releases/$name" -prune -mtime +1)" ] || remove_tree "$releases/$name" ;;
            esac
            ;;
        esac
    done
    rm -f "$base/lock"
}

case $verb in
status) verb_status "$@" ;;
put) verb_put "$@" ;;
reuse) verb_reuse "$@" ;;
receive) verb_receive "$@" ;;
lock) verb_lock "$@" ;;
unlock) verb_unlock ;;
drop) verb_drop ;;
accept) verb_accept ;;
switch) verb_switch ;;
fail) verb_fail "$@" ;;
stuck) verb_stuck "$@" ;;
mark) verb_mark "$@" ;;
check) verb_check "$@" ;;
verdict) verb_verdict "$@" ;;
return) verb_return ;;
tail) verb_tail ;;
finish) verb_finish "$@" ;;
run-switch) run_switch ;;
run-return) run_return ;;
*) give_up 1 "the driver has no verb '$verb'" ;;
esac || exit 1

# What has changed is told at once.
case $verb in
switch | fail | stuck | mark | verdict | return | finish | unlock) verb_status ;;
esac
