# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2119,SC2120
# For tests of the whole chain: both daemons on loopback, everything private to the test. A test sources this, calls e2e_setup, and
# everything is gone when it ends, however it ends.
set -euo pipefail
E2E_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$E2E_TOP/build}
E2E_PAUSE=${E2E_PAUSE:-0} # ms between two writes of a load: for machines on which copying is slower than writing
E2E_SEED=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
RANDOM=$((E2E_SEED % 32768))

# shellcheck source=tests/words.bash
. "$(dirname "${BASH_SOURCE[0]}")/words.bash"

# A port that nobody listens on now.
e2e_port() {
	local port
	while port=$((20000 + RANDOM % 12000)); do
		if ! ss -Hltn "sport = :$port" | grep -q .; then
			echo "$port"
			return
		fi
	done
}

e2e_cleanup() {
	local status=$? pid m
	set +e
	if [ $status -ne 0 ] && [ $status -ne 77 ]; then
		for m in "$W"/*.log; do
			[ -s "$m" ] && printf '== %s\n' "$m" && tail -n 40 "$m"
		done
		[ -S "$W/run/shipper.sock" ] && timeout 5 "$BUILD/tidemark" --at source --socket "$W/run/shipper.sock" --json status
		[ -S "$W/run/target.sock" ] && timeout 5 "$BUILD/tidemark" --at target --socket "$W/run/target.sock" --json status
	fi
	for pid in "${E2E_PIDS[@]}"; do kill -9 "$pid"; done 2>/dev/null
	[ -n "${SHIPPER:-}" ] && kill -9 "$SHIPPER" 2>/dev/null
	[ -n "${TARGET:-}" ] && kill "$TARGET" 2>/dev/null
	sleep 0.2
	for m in "${E2E_MOUNTS[@]}"; do
		timeout 10 fsfreeze -u "$m"
		timeout 20 umount "$m" || umount -l "$m"
	done 2>/dev/null
	[ -n "${TARGET:-}" ] && pkill -9 -s "$TARGET" 2>/dev/null
	wait 2>/dev/null
	for m in "${E2E_LOOPS[@]}"; do losetup -d "$m"; done 2>/dev/null
	rm -rf "$PINS" "$PINS"-* 2>/dev/null
	find "$PINS" "$PINS"-* -depth -type d -exec rmdir {} + 2>/dev/null
	for m in "${E2E_LAST_MOUNTS[@]}"; do umount "$m" || umount -l "$m"; done 2>/dev/null
	rm -rf "$W"
	if [ $status -ne 0 ] && [ $status -ne 77 ]; then printf 'seed: SEED=%s\n' "$E2E_SEED"; fi
	exit $status
}

e2e_setup() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	[ -e /sys/kernel/btf/vmlinux ] || skip "the kernel has no BTF"
	local tool
	for tool in losetup ss jq cmp; do command -v "$tool" >/dev/null || skip "no $tool"; done
	mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf || skip "no bpffs"
	W=$(mktemp -d "${E2E_DIR:-/dev/shm}/tidemark-e2e.XXXXXX")
	chmod 755 "$W"
	PINS=/sys/fs/bpf/$(basename "$W" | tr . -)
	E2E_PIDS=() E2E_MOUNTS=() E2E_LOOPS=() E2E_LAST_MOUNTS=()
	SHIPPER='' TARGET=''
	trap e2e_cleanup EXIT
	trap 'exit 130' INT TERM
	PORT=$(e2e_port)
	mkdir -p "$W/run" "$W/source" "$W/scripts" "$W/target"
	cat >"$W/shipper.conf" <<-CONF
		state-dir = $W/source
		run-dir = $W/run
		control = $W/run/shipper.sock
		pins = $PINS
		freezer = $BUILD/tidemark-freezer
		scripts-dir = $W/scripts
		point-every = 0
		backoff-most = 1s
		freeze-limit = 10s
	CONF
	say "seed $E2E_SEED, directory $W"
}

# The target: e2e_target_init once, then start and stop at will. More lines of its configuration as arguments.
e2e_target_init() {
	"$BUILD/tidemark-target" init "$W/target" >"$W/init.log" 2>&1 || {
		cat "$W/init.log"
		fail "tidemark-target init"
	}
	printf '%s\n' "listen = 127.0.0.1" "port = $PORT" "control = $W/run/target.sock" "$@" >"$W/target/target.conf"
}
e2e_target_start() {
	setsid "$BUILD/tidemark-target" run "$W/target" >>"$W/target.log" 2>&1 &
	TARGET=$!
	e2e_until 20 test -S "$W/run/target.sock" || fail "the target does not start"
	e2e_until 20 target_answers || fail "the target does not answer"
}
e2e_target_stop() {
	kill "$TARGET"
	wait "$TARGET" || true
	TARGET=''
	rm -f "$W/run/target.sock"
}
e2e_shipper_start() {
	"$BUILD/tidemark-shipper" -c "$W/shipper.conf" >>"$W/shipper.log" 2>&1 &
	SHIPPER=$!
	e2e_until 20 source_answers || fail "the shipper does not answer"
}
e2e_shipper_stop() {
	kill "$SHIPPER"
	wait "$SHIPPER" || true
	SHIPPER=''
}
e2e_shipper_kill() {
	kill -9 "$SHIPPER"
	wait "$SHIPPER" 2>/dev/null || true
	SHIPPER=''
}
# With no shipper running: all that was marked is lost, as by a reboot. E2E_MODULE: the kernel module, where that is the tracker.
e2e_forget_marks() {
	rm -rf "$PINS"
	[ -z "${E2E_MODULE-}" ] || { busybox rmmod tidemark && busybox insmod "$E2E_MODULE"; }
}
e2e_join() {
	TOKEN=$(target token | grep -o 'tm1-[a-zA-Z0-9-]*')
	source_ join "127.0.0.1:$PORT" "$TOKEN" >/dev/null
}
# Both daemons, joined.
e2e_start() {
	e2e_target_init "$@"
	e2e_target_start
	e2e_shipper_start
	e2e_join
}

# The command, as its user on either machine would give it.
source_() { "$BUILD/tidemark" --at source --socket "$W/run/shipper.sock" "$@"; }
target() { "$BUILD/tidemark" --at target --socket "$W/run/target.sock" "$@"; }
target_answers() {
	local rc=0
	target status >/dev/null 2>&1 || rc=$?
	[ $rc -le 2 ]
}
source_answers() {
	local rc=0
	source_ status >/dev/null 2>&1 || rc=$?
	[ $rc -le 2 ]
}
# One value of the source's status of a protection: e2e_status NAME .state
e2e_status() { { source_ --json status "$1" 2>/dev/null || true; } | jq -r ".protections[] | select(.name == \"$1\") | $2"; }
e2e_target_status() { { target --json status 2>/dev/null || true; } | jq -r ".protections[] | select(.name == \"$1\") | $2"; }

# e2e_until SECONDS COMMAND...: tries it again and again. On a slow machine E2E_PATIENCE multiplies the seconds.
e2e_until() {
	local end=$((SECONDS + $1 * ${E2E_PATIENCE:-1}))
	shift
	while ! "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}
e2e_is() { [ "$(e2e_status "$1" "$2")" = "$3" ]; }
e2e_copied() { e2e_is "$1" .first_copy false; }
e2e_wait_copied() { e2e_until 120 e2e_copied "$1" || fail "$1: the first copy does not end"; }
e2e_quiet() { e2e_is "$1" '.lag_bytes == 0 and .connected' true; }
e2e_wait_quiet() { e2e_until 120 e2e_quiet "$1" || fail "$1: the target does not catch up"; }

# e2e_disk VARIABLE SIZE [losetup options]: a loop device on a sparse file; VARIABLE names it, VARIABLE_FILE its file.
e2e_disk() {
	local -n device=$1
	local -n file=${1}_FILE
	file=$W/$1.img
	truncate -s "$2" "$file"
	device=$(losetup -f --show "${@:3}" "$file")
	E2E_LOOPS+=("$device")
}
e2e_mount() {
	mkdir -p "$2"
	mount "$1" "$2"
	E2E_MOUNTS+=("$2")
}
e2e_umount() {
	e2e_until 20 umount "$1" || fail "cannot unmount $1"
	local kept=() m
	for m in "${E2E_MOUNTS[@]}"; do [ "$m" = "$1" ] || kept+=("$m"); done
	E2E_MOUNTS=("${kept[@]+"${kept[@]}"}")
}
# A process that is killed at the end; E2E_LAST is its number.
e2e_background() {
	"$@" &
	E2E_PIDS+=($!)
	export E2E_LAST=$!
}

# e2e_export NAME OUT: the newest point. The replica follows the mark's ack by a moment, so ask until it is the point with that label.
e2e_at_point() { [ "$(e2e_target_status "$1" .point.label)" = "$2" ]; }
e2e_mark() { # NAME LABEL [--app]
	source_ mark "$1" --label "$2" --wait "${@:3}" >/dev/null || fail "$1: no point $2"
	e2e_until 60 e2e_at_point "$1" "$2" || fail "$1: the replica does not reach point $2"
}
e2e_export() {
	rm -rf "$2"
	target export "$1" --format raw --to "$2" >/dev/null || fail "$1: export"
}
# e2e_same NAME FILE [DISK]: the newest point's disk equals the file, bit for bit.
e2e_same() {
	rm -f "$W/export.raw"
	target export "$1" --format raw --to "$W/export.raw" --disk "${3:-0}" >/dev/null || fail "$1: export"
	cmp "$W/export.raw" "$2" || fail "$1: disk ${3:-0} of the point differs from $2"
	rm -f "$W/export.raw"
}
