#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the tracker costs in instructions, for scripts/bench tracker: run by scripts/vm --icount, whose clock counts them. Writes and
# reads of 4 KiB on null_blk, which does nothing with them: without the tracker, on a disk that is not protected while another one
# is, and on a protected one; with all programs that the tracker attaches, with each alone, and "watched": with all and that which
# names writers, as while a point is wished for. Three lines for each: cost WHAT PROGRAMS DISK OPERATION NUMBER
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
COUNT=${COUNT:-20000}
e2e_setup
track() { "$BUILD/tests/track" "$PINS" "$@"; }

# nullb NAME QUEUE_MODE: a disk of 1 GiB; 2 is blk-mq, 0 has no requests. Without a scheduler, which would hand requests to a
# kworker: two switches of context, twice the instructions of all else.
nullb() {
	local dir=/sys/kernel/config/nullb/$1
	mkdir "$dir"
	echo "$2" >"$dir/queue_mode"
	echo 1024 >"$dir/size"
	echo 1 >"$dir/power"
	[ -b "/dev/$1" ] || fail "no /dev/$1"
	[ "$2" = 0 ] || echo none >"/sys/block/$1/queue/scheduler"
}
modprobe configfs
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
modprobe null_blk nr_devices=0
nullb mq 2
nullb other 2
nullb bio 0
DISKS="mq bio"
[ ! -d /sys/block/bio/mq ] || DISKS=mq # since 6.9 null_blk has no such mode and takes the other one

# cost WHAT PROGRAMS DISK OPERATION
cost() {
	local number
	number=$("$BUILD/tests/blockcost" "/dev/$3" "$4" "$COUNT") || fail "$*"
	echo "cost $* $number"
}
clear_marks() {
	track take "$SLOT" >/dev/null
	track release "$SLOT" 0 $((1 << 30))
}
# All programs again, and marks for what they may have missed.
whole() {
	rm -f "$PINS"/link_*
	track poll
}
# Of these, only PROGRAM...: without its pin a link is gone.
only() {
	local program
	for program in "${PROGRAMS[@]}"; do
		[[ " $* " == *" $program "* ]] || rm "$PINS/link_$program"
	done
}
attach() { # NAME: sets SLOT
	local said
	said=$(track attach "$1" "/dev/$1") || fail "cannot attach $1"
	SLOT=$(cut -d ' ' -f 2 <<<"$said")
}
# watched COMMAND...: while it is seen who writes.
watched() {
	local said rc=0
	coproc WATCH { exec "$BUILD/tests/track" "$PINS"; }
	local pid=$WATCH_PID
	echo "watch on" >&"${WATCH[1]}"
	read -r said <&"${WATCH[0]}"
	[ "$said" = ok ] || fail "watch: $said"
	"$@" || rc=$?
	kill "$pid"
	wait "$pid" || true
	return $rc
}
# marks NAME PROGRAM...: writes that find the map empty, with these programs alone.
marks() {
	for _ in 1 2 3; do
		whole
		clear_marks
		only "${@:2}"
		cost protected "$1" mq write
	done
}
everything() { # WHAT PROGRAMS
	local disk operation
	for disk in $DISKS; do
		for operation in write read; do
			for _ in 1 2 3; do cost "$1" "$2" "$disk" "$operation"; done
		done
	done
}

everything baseline none
attach other
OTHER=$SLOT
mapfile -t PROGRAMS < <(find "$PINS" -name 'link_*' -printf '%f\n' | sed s/link_// | sort)
everything unprotected all
for program in "${PROGRAMS[@]}"; do
	whole
	only "$program"
	everything unprotected "$program"
done
whole
for _ in 1 2 3; do watched cost unprotected watched mq write; done
attach mq
marks all "${PROGRAMS[@]}"
for _ in 1 2 3; do
	clear_marks
	watched cost protected watched mq write
done
for program in "${PROGRAMS[@]}"; do marks "$program" "$program"; done
whole
clear_marks
cost protected all mq write >/dev/null
count=$(track count "$SLOT" now)
[ "$count" -ge "$COUNT" ] || fail "$count blocks are marked after $COUNT writes: this does not measure the tracker"
for _ in 1 2 3; do cost marked all mq write; done
for _ in 1 2 3; do cost marked all mq read; done
track detach "$SLOT"
track detach "$OTHER"
track remove
everything afterwards none
say "done"
