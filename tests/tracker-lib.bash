# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For tests of the eBPF tracker: a private BPF file system, loop devices on tmpfs, and cleaning up. Sourced.
#
# WORK: a private directory on tmpfs. PINS: where the tracker of this test lives. track: the tool on it.

BUILD=${BUILD:-$(dirname "${BASH_SOURCE[0]}")/../build}
WORK=
LOOPS=()
MOUNTS=()
CHILDREN=()
NODES=() # made with mknod

skip() {
	echo "skipped: $*"
	exit 77
}

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

cleanup() {
	local i
	exec 2>/dev/null
	for i in "${CHILDREN[@]}"; do
		kill -9 "$i" 2>/dev/null || true
	done
	for ((i = ${#MOUNTS[@]} - 1; i >= 0; i--)); do
		umount "${MOUNTS[i]}" 2>/dev/null || umount -l "${MOUNTS[i]}" 2>/dev/null || true
	done
	for i in "${LOOPS[@]}"; do
		losetup -d "$i" 2>/dev/null || true
	done
	[ ${#NODES[@]} = 0 ] || rm -f "${NODES[@]}"
	wait 2>/dev/null || true
	[ -z "$WORK" ] || rm -rf --one-file-system "$WORK"
}

# tracker_setup TOOL...: what else must be installed.
tracker_setup() {
	local tool
	[ "$(id -u)" = 0 ] || skip "needs root"
	[ -r /sys/kernel/btf/vmlinux ] || skip "the kernel has no BTF"
	[ -e /dev/loop-control ] || skip "no loop devices"
	for tool in "$@"; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
	[ -x "$BUILD/tests/track" ] || fail "$BUILD/tests/track is not built"
	trap cleanup EXIT
	trap 'exit 1' INT TERM
	WORK=$(mktemp -d /dev/shm/tidemark-tracker.XXXXXX)
	mkdir "$WORK/bpf"
	mount -t bpf bpf "$WORK/bpf" || skip "cannot mount a BPF file system"
	MOUNTS+=("$WORK/bpf")
	PINS=$WORK/bpf/pins
}

track() {
	"$BUILD/tests/track" "$PINS" "$@"
}

# new_loop FILE SIZE [OPTION...]: sets LOOP.
new_loop() {
	local file=$1 size=$2
	shift 2
	truncate -s "$size" "$file"
	LOOP=$(losetup -f --show "$@" "$file")
	LOOPS+=("$LOOP")
}

# attach NAME DEV: sets SLOT, FRESH and BLOCK.
# shellcheck disable=SC2034
attach() {
	local _
	read -r _ SLOT _ FRESH _ BLOCK < <(track attach "$@") || fail "cannot attach $*"
	[ -n "$BLOCK" ] || fail "cannot attach $*"
}

# clear_marks SLOT BYTES: everything counts as shipped.
clear_marks() {
	track take "$1" >/dev/null
	track release "$1" 0 "$2"
	[ "$(track count "$1" now)" = 0 ] || fail "marks are left after a take"
	[ "$(track count "$1" taken)" = 0 ] || fail "marks are left after a release"
}

# until_true COMMAND...: waits for it, 20 s at most.
until_true() {
	local _
	for _ in {1..200}; do
		"$@" && return 0
		sleep 0.1
	done
	return 1
}

gap() {
	track gap "$1"
}

# The sectors that the kernel counted as written or discarded, and the requests: "SECTORS REQUESTS"
written() {
	local -a s
	read -ra s <"/sys/block/${1#/dev/}/stat"
	echo "$((s[6] + s[13])) $((s[4] + s[11]))"
}
