#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Freezing and thawing (R26) with real filesystems on loop devices: what is found, what is frozen and in which order, and that
# nothing stays frozen: after the limit, after kill -9 of the shipper's side, of the helper, of both.
#
# A frozen filesystem is never written to from here: whether it is frozen, fsfreeze -f is asked (EBUSY). A watchdog thaws
# everything if the test hangs.
set -euo pipefail

repo=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$repo/build}
ctl=$build/tests/freezectl
freezer=$build/tidemark-freezer
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
for need in losetup mkfs.ext4 mkfs.xfs mkfs.btrfs fsfreeze unshare pgrep sha256sum; do
	command -v "$need" >/dev/null || { echo "needs $need"; exit 77; }
done
for need in "$ctl" "$freezer"; do
	[ -x "$need" ] || { echo "needs $need: make all tests"; exit 77; }
done

base=/dev/shm
[ -d $base ] && [ -w $base ] || base=${TMPDIR:-/tmp}
dir=$(mktemp -d "$base/tmk-freeze.XXXXXX")
record=$dir/record
mounts=() # lower ones first
loops=()
ctl_pid=
ns_pid=

thaw_everything() {
	local m
	for m in "${mounts[@]}"; do
		(timeout 20 fsfreeze -u "$m" 2>/dev/null &)
	done
}
gone() { # PID: ended or a zombie
	local i
	for ((i = 0; i < 600; i++)); do
		grep -qs '^State:.[^Z]' "/proc/$1/status" || return 0
		sleep 0.05
	done
	return 1
}
stop_ctl() { # and waits for its helper, which keeps the mounts busy
	local helpers pid
	if [ -n "$ctl_pid" ]; then
		helpers=$(pgrep -P "$ctl_pid") || true
		kill -9 "$ctl_pid" 2>/dev/null || true
		wait "$ctl_pid" 2>/dev/null || true
		for pid in $helpers; do
			gone "$pid" || echo "the helper $pid does not end" >&2
		done
	fi
	ctl_pid=
	exec 7>&- 8<&-
}
cleanup() {
	local i
	trap - EXIT
	set +e
	thaw_everything
	stop_ctl
	thaw_everything
	kill "$watchdog" 2>/dev/null
	[ -z "$ns_pid" ] || kill -9 "$ns_pid" 2>/dev/null
	wait 2>/dev/null
	for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do
		case ${mounts[i]} in
		/proc/*) ;;
		*) while timeout 20 umount "${mounts[i]}" 2>/dev/null; do :; done ;; # also what is mounted over it
		esac
	done
	for ((i = ${#loops[@]} - 1; i >= 0; i--)); do
		losetup -d "${loops[i]}" 2>/dev/null
	done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
fail() {
	echo "FAIL: $*" >&2
	exit 1
}

# ---- making filesystems ----
new_loop() { # FILE [MIB]: $loop
	truncate -s "${2:-400}M" "$1"
	loop=$(losetup -f --show "$1")
	loops+=("$loop")
}
new_mount() { # NAME DEVICE [OPTIONS]: $mnt
	mnt=$dir/$1
	mkdir -p "$mnt"
	timeout 30 mount -o "${3:-defaults}" "$2" "$mnt"
	mounts+=("$mnt")
}
drop_mount() { # the last one
	timeout 30 umount "${mounts[-1]}"
	unset 'mounts[-1]'
}
drop_loop() { # the last one, with its file
	local file
	file=$(losetup -n -O BACK-FILE "${loops[-1]}")
	losetup -d "${loops[-1]}"
	rm -f "$file"
	unset 'loops[-1]'
}
# Only asked of one below which nothing of ours is frozen, or which is frozen itself: freezing another would hang.
frozen() {
	if timeout 20 fsfreeze -f "$1" 2>/dev/null; then
		timeout 20 fsfreeze -u "$1"
		return 1
	fi
}
until_thawed() {
	local i
	for ((i = 0; i < 600; i++)); do
		frozen "$1" || return 0
		sleep 0.05
	done
	fail "$1 stays frozen"
}

# The watchdog: the mounts are those that exist when it wakes.
(
	trap 'kill $!' TERM
	sleep "${WATCHDOG:-300}" &
	wait $! || exit 0
	echo "the watchdog ends the test" >&2
	for m in "$dir"/*/ /proc/[0-9]*/root"$dir"/there; do (timeout 20 fsfreeze -u "$m" 2>/dev/null &) done
	kill $$ 2>/dev/null
) &
watchdog=$!

# ---- talking to freezectl ----
answer() {
	local line
	read -r -t 120 line <&8 || fail "freezectl does not answer $*"
	echo "$line"
}
hold() { # LIMIT-MS DISK...|+DIR...
	rm -f "$dir/in" "$dir/out"
	mkfifo "$dir/in" "$dir/out"
	"$ctl" hold "$freezer" "$record" "$@" <"$dir/in" >"$dir/out" 2>>"$dir/log" &
	ctl_pid=$!
	exec 7>"$dir/in" 8<"$dir/out"
	held=$(answer start)
}
say() {
	echo "$1" >&7
	answer "$1"
}
expect() { # WHAT PATTERN GOT
	# shellcheck disable=SC2254 # a pattern
	case $3 in
	$2) ;;
	*)
		cat "$dir/log" >&2
		fail "$1: expected '$2', got '$3'"
		;;
	esac
}
start() {
	hold "$@"
	expect start ok "$held"
}
finish() {
	expect end ok "$(say end)"
	exec 7>&- 8<&-
	wait "$ctl_pid" || fail "freezectl failed"
	ctl_pid=
	[ ! -e "$record" ] || fail "the record is left behind"
}
helper() {
	pgrep -P "$ctl_pid" -f tidemark-freezer || fail "no helper"
}
# ---- each filesystem: frozen means that nothing changes below ----
for fs in ext4 xfs btrfs; do
	new_loop "$dir/disk" 400
	timeout 60 "mkfs.$fs" -q "$loop" >/dev/null 2>&1
	new_mount "$fs" "$loop"
	echo before >"$mnt/before"
	expect "$fs found" "0 $fs *:* pid=* rw whole $mnt" "$("$ctl" find "$loop")"
	start 60000 "$loop"
	expect sync ok "$(say sync)"
	expect freeze "ok frozen" "$(say freeze)"
	frozen "$mnt" || fail "$fs is not frozen"
	was=$(sha256sum "$dir/disk")
	dd if=/dev/urandom of="$mnt/during" bs=1M count=4 conv=fsync 2>/dev/null 7>&- 8<&- & # waits until the thaw
	writer=$!
	sleep 0.5
	[ ! -e "/proc/$writer" ] && fail "$fs let a writer through"
	[ "$(sha256sum "$dir/disk")" = "$was" ] || fail "$fs changed while frozen"
	expect thaw ok "$(say thaw)"
	wait "$writer" || fail "$fs: the writer failed"
	[ "$(sha256sum "$dir/disk")" != "$was" ] || fail "$fs did not change after the thaw: the comparison is blind"
	# again with the same helper, then thawed without having been asked to
	expect freeze "ok frozen" "$(say freeze)"
	frozen "$mnt" || fail "$fs is not frozen"
	finish
	frozen "$mnt" && fail "$fs stays frozen after the end"
	drop_mount
	drop_loop
done
echo "ok ext4, xfs, btrfs"

# ---- one above the other ----
new_loop "$dir/disk" 600
lower_loop=$loop
timeout 60 mkfs.ext4 -q "$loop"
new_mount lower "$loop"
lower=$mnt
new_loop "$lower/file" 300
timeout 60 mkfs.ext4 -q "$loop"
new_mount upper "$loop"
upper=$mnt
echo data >"$upper/data"
found=$("$ctl" find "$lower_loop")
expect "upper first" "1 ext4 *:* pid=* rw whole $upper" "$(sed -n 1p <<<"$found")"
expect "lower last" "0 ext4 *:* pid=* rw whole $lower" "$(sed -n 2p <<<"$found")"
expect "of the upper disk" "0 ext4 *:* pid=* rw whole $upper" "$("$ctl" find "$loop")"
start 20000 "$lower_loop"
expect sync ok "$(say sync)"
echo more >"$upper/data" # so that freezing it writes
expect "freeze both" "ok frozen frozen" "$(say freeze)"
frozen "$upper" || fail "upper is not frozen"
frozen "$lower" || fail "lower is not frozen"
expect "thaw both" ok "$(say thaw)"
frozen "$lower" && fail "lower stays frozen"
frozen "$upper" && fail "upper stays frozen"
finish
# In the wrong order the kernel keeps the helper in FIFREEZE of the upper one; its timer thaws the lower all the same.
start 500 "+$lower" "+$upper"
echo again >"$upper/data"
expect "wrong order" "error ETIME *$upper*" "$(say freeze)"
until_thawed "$lower"
until_thawed "$upper"
echo "and again" >"$upper/data"
expect "wrong order, the same helper" "error ETIME *$upper*" "$(say freeze)"
until_thawed "$lower"
until_thawed "$upper"
finish
echo "ok nested"

# ---- the record must not lie on what is frozen ----
hold 1000 "$lower_loop"
[ "$held" = ok ] || fail "$held"
finish
record=$lower/record
hold 1000 "$lower_loop"
expect "record on a protected disk" "error EINVAL *tmpfs*" "$held"
wait "$ctl_pid" && fail "freezectl took it"
ctl_pid=
record=$dir/record
exec 7>&- 8<&-

# ---- a mount that is hidden below another one ----
mkdir "$dir/aside"
mount --bind "$upper" "$dir/aside"
mounts+=("$dir/aside")
mount -t tmpfs none "$upper"
expect "found beside" "1 ext4 *:* pid=* rw whole $dir/aside" "$("$ctl" find "$lower_loop" | sed -n 1p)"
umount "$upper"
drop_mount
drop_mount
drop_loop
echo "ok hidden mounts"

# ---- the timer ----
start 300 "$lower_loop"
expect freeze "ok frozen" "$(say freeze)"
until_thawed "$lower"
expect "thaw after the limit" "error ETIME *" "$(say thaw)"
expect "freeze again" "ok frozen" "$(say freeze)"
until_thawed "$lower"
finish
echo "ok limit"

# ---- the shipper's side is killed ----
start 600000 "$lower_loop"
expect freeze "ok frozen" "$(say freeze)"
pid=$(helper)
kill -TERM "$pid"
kill -INT "$pid"
kill -HUP "$pid"
frozen "$lower" || fail "a signal made the helper thaw"
stop_ctl
until_thawed "$lower"
gone "$pid" || fail "the helper does not end"
[ -e "$record" ] || fail "no record"
timeout 60 "$ctl" recover "$record" 2>>"$dir/log"
[ ! -e "$record" ] || fail "the record is left behind"
echo "ok kill -9 of the shipper"

# ---- the helper is killed ----
start 600000 "$lower_loop"
expect freeze "ok frozen" "$(say freeze)"
pid=$(helper)
kill -9 "$pid"
gone "$pid" || fail "the helper does not end"
frozen "$lower" || fail "killing the helper thawed: the test tests nothing"
expect "thaw without a helper" "error EPIPE *" "$(say thaw)"
frozen "$lower" && fail "stays frozen"
finish

# ---- both are ----
both_killed() {
	start 600000 "$lower_loop"
	expect freeze "ok frozen" "$(say freeze)"
	pid=$(helper)
	kill -9 "$pid"
	gone "$pid" || fail "the helper does not end"
	stop_ctl
	frozen "$lower" || fail "killing both thawed: the test tests nothing"
}
letter() { # what the record says of the first filesystem
	printf %s "$1" | dd of="$record" bs=1 seek=56 conv=notrunc 2>/dev/null
}
both_killed
[ "$(sed -n 2p "$record")" = F ] || fail "record: $(cat "$record")"
timeout 60 "$ctl" recover "$record" 2>>"$dir/log"
frozen "$lower" && fail "recover does not thaw"
[ ! -e "$record" ] || fail "the record is left behind"
both_killed # ... between FIFREEZE and its note
letter P
[ "$(sed -n 2p "$record")" = P ] || fail "record: $(cat "$record")"
timeout 60 "$ctl" recover "$record" 2>>"$dir/log"
frozen "$lower" && fail "recover does not thaw what was pending"
for state in N O S; do # not ours
	both_killed
	letter $state
	timeout 60 "$ctl" recover "$record" 2>>"$dir/log"
	frozen "$lower" || fail "recover thaws what is not ours ($state)"
	timeout 20 fsfreeze -u "$lower"
done
both_killed # the next start recovers by itself
start 600000 "$lower_loop"
frozen "$lower" && fail "start does not recover"
finish
timeout 60 "$ctl" recover "$record" # no record is fine
echo "ok kill -9 of the helper"

# ---- frozen by others ----
start 600000 "$lower_loop"
timeout 20 fsfreeze -f "$lower"
expect "freeze, frozen by others" "ok other" "$(say freeze)"
expect "thaw, frozen by others" ok "$(say thaw)"
frozen "$lower" || fail "thawed what others had frozen"
expect "freeze, frozen by others" "ok other" "$(say freeze)"
timeout 20 fsfreeze -u "$lower"
expect "thawed by others" "error ESTALE *$lower*" "$(say thaw)"
frozen "$lower" && fail "the question froze it"
expect freeze "ok frozen" "$(say freeze)"
timeout 20 fsfreeze -u "$lower"
expect "ours thawed by others" "error ESTALE *$lower*" "$(say thaw)"
timeout 20 fsfreeze -f "$lower"
expect "freeze, frozen by others" "ok other" "$(say freeze)"
stop_ctl
frozen "$lower" || fail "the death of the shipper thawed what others had frozen"
timeout 60 "$ctl" recover "$record" 2>>"$dir/log"
frozen "$lower" || fail "recover thaws what others had frozen"
timeout 20 fsfreeze -u "$lower"
echo "ok others"

# ---- read-only, and what cannot freeze ----
drop_mount
new_mount lower "$lower_loop" ro
expect "found read-only" "0 ext4 *:* pid=* ro whole $lower" "$("$ctl" find "$lower_loop")"
start 600000 "$lower_loop"
expect "read-only" "ok synced" "$(say freeze)"
frozen "$lower" && fail "a read-only filesystem is frozen"
expect thaw ok "$(say thaw)"
finish
mkdir "$dir/mem"
mount -t tmpfs none "$dir/mem"
mounts+=("$dir/mem")
start 600000 "+$dir/mem"
expect "tmpfs" "ok synced" "$(say freeze)"
expect thaw ok "$(say thaw)"
finish
drop_mount
drop_mount
echo "ok read-only, not freezable"

# ---- mounted only in another namespace ----
mkdir "$dir/there"
mkfifo "$dir/ready"
unshare -m --propagation private sh -c "mount '$lower_loop' '$dir/there' && echo >'$dir/ready' && exec sleep 100000" 7>&- 8<&- &
ns_pid=$!
read -r -t 60 <"$dir/ready" || fail "no mount in another namespace"
there=/proc/$ns_pid/root$dir/there
mounts+=("$there")
grep -q " $dir/there " /proc/self/mountinfo && fail "the mount is visible here too"
expect "found elsewhere" "0 ext4 *:* pid=$ns_pid rw whole $dir/there" "$("$ctl" find "$lower_loop")"
start 600000 "$lower_loop"
expect freeze "ok frozen" "$(say freeze)"
frozen "$there" || fail "not frozen in the other namespace"
pid=$(helper)
kill -9 "$pid"
gone "$pid" || fail "the helper does not end"
stop_ctl
frozen "$there" || fail "thawed by nobody"
timeout 60 "$ctl" recover "$record" 2>>"$dir/log"
frozen "$there" && fail "recover does not find the other namespace"
unset 'mounts[-1]'
kill -9 "$ns_pid"
wait "$ns_pid" 2>/dev/null || true
ns_pid=
echo "ok other namespace"
drop_loop

# ---- parts of a filesystem on another disk ----
new_loop "$dir/a" 400
a=$loop
new_loop "$dir/b" 400
b=$loop
timeout 60 mkfs.btrfs -q -f "$a" "$b" >/dev/null 2>&1
new_mount two "$a" "device=$a,device=$b"
expect "btrfs, one of two" "0 btrfs *:* pid=* rw ${b#/dev/} $mnt" "$("$ctl" find "$a")"
expect "btrfs, the other" "0 btrfs *:* pid=* rw ${a#/dev/} $mnt" "$("$ctl" find "$b")"
expect "btrfs, both" "0 btrfs *:* pid=* rw whole $mnt" "$("$ctl" find "$a" "$b")"
start 60000 "$a" "$b"
expect freeze "ok frozen" "$(say freeze)"
frozen "$mnt" || fail "btrfs on two disks is not frozen"
expect thaw ok "$(say thaw)"
finish
drop_mount
wipefs -aq "$a"
wipefs -aq "$b"
timeout 60 mkfs.xfs -q -f -l "logdev=$b,size=64m" "$a"
new_mount xfslog "$a" "logdev=$b"
expect "xfs without its log" "0 xfs *:* pid=* rw ${b#/dev/} $mnt" "$("$ctl" find "$a")"
expect "xfs with its log" "0 xfs *:* pid=* rw whole $mnt" "$("$ctl" find "$a" "$b")"
drop_mount
wipefs -aq "$a"
wipefs -aq "$b"
timeout 60 mke2fs -q -O journal_dev "$b" >/dev/null
timeout 60 mkfs.ext4 -q -J "device=$b" "$a" >/dev/null
new_mount ext4log "$a"
expect "ext4 without its journal" "0 ext4 *:* pid=* rw ${b#/dev/} $mnt" "$("$ctl" find "$a")"
expect "ext4, only its journal" "0 ext4 *:* pid=* rw ${a#/dev/} $mnt" "$("$ctl" find "$b")"
expect "ext4 with its journal" "0 ext4 *:* pid=* rw whole $mnt" "$("$ctl" find "$a" "$b")"
drop_mount
drop_loop
drop_loop
echo "ok several disks"
