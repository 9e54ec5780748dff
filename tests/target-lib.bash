# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2119,SC2120
# For tests of the target's daemon alone: a real one on loopback, with fakesource as its sources. A test sources this and calls
# target_setup; everything is gone when it ends, however it ends.
set -euo pipefail
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$TOP/build}
SEED=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
RANDOM=$((SEED % 32768))

# shellcheck source=tests/words.bash
. "$(dirname "${BASH_SOURCE[0]}")/words.bash"

target_cleanup() {
	local status=$? pid m
	set +e
	if [ $status -ne 0 ] && [ $status -ne 77 ]; then
		printf '== daemon.log\n' && tail -n 60 "$W/daemon.log"
		[ -f "$W/out" ] && printf '== out\n' && tail -n 20 "$W/out"
		printf 'seed: SEED=%s\n' "$SEED"
	fi
	for pid in "${PIDS[@]}"; do kill -9 "$pid"; done 2>/dev/null
	[ -n "$DAEMON" ] && kill -9 "$DAEMON" 2>/dev/null
	wait 2>/dev/null
	sleep 0.1
	for m in "${MOUNTS[@]}"; do umount "$m" || umount -l "$m"; done 2>/dev/null
	for m in "${LOOPS[@]}"; do losetup -d "$m"; done 2>/dev/null
	rm -rf "$W"
	exit $status
}

free_port() {
	local port
	while port=$((20000 + RANDOM % 12000)); do
		if ! ss -Hltn "sport = :$port" | grep -q .; then
			echo "$port"
			return
		fi
	done
}

# until_ok SECONDS COMMAND...: tries it again and again.
until_ok() {
	local end=$((SECONDS + $1))
	shift
	while ! "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# Lines of target.conf as arguments.
target_setup() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	local tool
	for tool in socat jq ss openssl; do command -v "$tool" >/dev/null || skip "no $tool"; done
	W=$(mktemp -d /dev/shm/tidemark-target.XXXXXX)
	PIDS=() MOUNTS=() LOOPS=() DAEMON='' SESSION=''
	trap target_cleanup EXIT
	trap 'exit 130' INT TERM
	PORT=$(free_port)
	"$BUILD/tidemark-target" init "$W/t" >/dev/null
	target_conf "$@"
	say "seed $SEED, directory $W"
}
target_conf() { printf '%s\n' "listen = 127.0.0.1" "port = $PORT" "control = $W/sock" "$@" >"$W/t/target.conf"; }
target_start() {
	"$BUILD/tidemark-target" run "$W/t" >>"$W/daemon.log" 2>&1 &
	DAEMON=$!
	until_ok 20 answers || fail "the daemon does not start"
}
answers() { ask status '{}' >/dev/null 2>&1; }
target_stop() {
	kill "$DAEMON"
	wait "$DAEMON" || fail "the daemon did not stop cleanly: $?"
	DAEMON=''
}
target_kill() {
	kill -9 "$DAEMON"
	wait "$DAEMON" 2>/dev/null || true
	DAEMON=''
}

# ask VERB ARGS: prints the result, or the error and fails.
ask() {
	local answer
	answer=$(printf '{"verb":"%s","args":%s}\n' "$1" "$2" | socat -t 120 - "UNIX-CONNECT:$W/sock" | tail -n 1)
	[ -n "$answer" ] || return 1
	if jq -e .error >/dev/null <<<"$answer"; then
		jq -r '.error | .code + " " + .text' <<<"$answer" >&2
		return 1
	fi
	jq -c .result <<<"$answer"
}
# status NAME FILTER
status() { ask status "{\"name\":\"$1\"}" | jq -r ".protections[0] | $2"; }
is() { [ "$(status "$1" "$2")" = "$3" ]; }

# source_new DIR: a source that has joined.
source_new() {
	mkdir -p "$W/$1"
	local token
	token=$(ask token '{}' | jq -r .token)
	"$BUILD/tests/fakesource" "$W/$1" 127.0.0.1 "$PORT" join "$token" >"$W/out"
}
# send DIR ...: fakesource; what it says is in out, its exit code is send's.
send() {
	local dir=$1
	shift
	"$BUILD/tests/fakesource" "$W/$dir" 127.0.0.1 "$PORT" --seed "$RANDOM" "$@" >"$W/out" 2>&1
}
good() { send "$@" || fail "fakesource $*: $? $(cat "$W/out")"; }
says() { grep -q -- "$1" "$W/out" || fail "not said: $1; but: $(cat "$W/out")"; }
# refused CODE DIR ...
refused() {
	local code=$1 rc=0
	shift
	send "$@" || rc=$?
	[ $rc -eq 2 ] || fail "not refused ($rc): fakesource $*: $(cat "$W/out")"
	says "^refused $code "
	say "refused: $(grep '^refused' "$W/out" | cut -c1-150)"
}
# A session that stays, in the background: SESSION, what it says in DIR.hold.
hold() {
	local dir=$1
	shift
	"$BUILD/tests/fakesource" "$W/$dir" 127.0.0.1 "$PORT" "$@" hold >"$W/$dir.hold" 2>&1 &
	SESSION=$!
	PIDS+=("$SESSION")
	until_ok 20 grep -qs holding "$W/$dir.hold" || fail "no session: $(cat "$W/$dir.hold")"
}

at_point() { is "$1" '.point.label' "$2"; }
# same NAME DIR LABEL: the newest point has that label, and is what DIR's disks are, bit for bit.
same() {
	local f
	until_ok 60 at_point "$1" "$3" || fail "$1 does not reach point $3: $(status "$1" .)"
	rm -rf "$W/export"
	ask export "{\"name\":\"$1\",\"to\":\"$W/export\"}" >/dev/null || fail "export of $1"
	for f in "$W/$2"/disk-*.raw; do
		cmp "$f" "$W/export/${f##*/}" || fail "$1: point $3 differs from ${f##*/}"
	done
	rm -rf "$W/export"
}
child() { pgrep -P "$DAEMON" -x "$1"; }
