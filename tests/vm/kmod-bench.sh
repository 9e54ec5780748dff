#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the kernel module costs in instructions, for scripts/bench module: run by scripts/vm --icount, whose clock counts them. Writes
# and reads of 4 KiB on null_blk, which does nothing with them. Three lines for each: cost WHAT OPERATION NUMBER
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
COUNT=${COUNT:-20000}
RING=$((256 << 20)) # all that is written between two of on and off

nullb() { # NAME: a disk of 1 GiB, without a scheduler (tests/vm/bench.sh)
	local dir=/sys/kernel/config/nullb/$1
	mkdir "$dir"
	echo 2 >"$dir/queue_mode"
	echo 1024 >"$dir/size"
	echo 1 >"$dir/power"
	[ -b "/dev/$1" ] || fail "no /dev/$1"
	echo none >"/sys/block/$1/queue/scheduler"
}
cost() { # WHAT OPERATION [DISK]
	local number _
	for _ in 1 2 3; do
		number=$("$BUILD/tests/blockcost" "/dev/${3:-mq}" "$2" "$COUNT") || fail "$*"
		echo "cost $1 $2 $number"
		[ -z "${BETWEEN-}" ] || $BETWEEN
	done
}
modprobe configfs
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
modprobe null_blk nr_devices=0
nullb mq
nullb other
cost none write
cost none read
kmod_load
read -r _ OTHER _ < <("$LOG" attach bench other /dev/other $RING)
cost unprotected write
cost unprotected read
"$LOG" detach "$OTHER"
read -r _ N _ < <("$LOG" attach bench mq /dev/mq $RING)
clear_map() {
	"$LOG" take bench >/dev/null
	"$LOG" release "$N" 0 $((1 << 21))
}
clear_map
BETWEEN=clear_map cost map write
cost marked write
cost protected read
again() {
	local said
	said=$("$LOG" status bench)
	[ $(($(field head <<<"$said") - $(field tail <<<"$said"))) -ge $((COUNT * 4160)) ] || fail "what was written is not in the log: $said"
	"$LOG" log bench off >/dev/null
	clear_map
	"$LOG" log bench on >/dev/null
}
"$LOG" log bench on >/dev/null
BETWEEN=again cost log write
"$LOG" log bench off >/dev/null
"$LOG" detach "$N"
kmod_unload
cost none write
say "done"
