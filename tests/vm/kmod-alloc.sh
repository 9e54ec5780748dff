#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The kernel gives the module nothing: loading, attaching a first and a second disk, switching the log on, taking and cutting, each with
# its Nth allocation or registration failing (tests/kfault), N = 1, 2, 3 ... until one run meets no failure. Each time there is
# an error that says so, all is given back, and the same without failure works, bit for bit (I1). And the way of a write allocates
# nothing at all (I10).
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
# shellcheck source=tests/vm/kmod-oracle.bash
. "$(dirname "$0")/kmod-oracle.bash"
W=$(mktemp -d /dev/shm/tidemark-kmod.XXXXXX)
KFAULT=$(dirname "$MODULE")/kfault.ko
knobs=/sys/module/kfault/parameters
cleanup() {
	local rc=$? n
	trap - EXIT
	pkill -x kmodlog || true
	[ ! -e $knobs/fail ] || echo 0 >$knobs/fail
	for n in {0..7}; do "$LOG" detach "$n" 2>/dev/null || true; done
	if kmod_loaded; then kmod_unload || rc=1; fi
	busybox rmmod kfault || rc=1
	[ -z "${LOOP-}" ] || losetup -d "$LOOP"
	rm -rf "$W"
	exit "$rc"
}
trap cleanup EXIT
busybox insmod "$KFAULT"
mkdir "$W/mnt"
truncate -s 16M "$W/loop.img"
LOOP=$(losetup -f --show "$W/loop.img")
RING=$((1 << 20))

held() { cat $knobs/held; }
is_held() { [ "$(held)" = "$1" ]; }

# each NAME COMMAND...: the command with every one of its failures; `settled` looks after each of them.
each() {
	local name=$1 n before what
	shift
	for ((n = 1; ; n++)); do
		before=$(held)
		echo "$n" >$knobs/fail
		if "$@" >"$W/out" 2>&1; then
			[ "$(cat $knobs/fail)" != 0 ] || fail "$name: $(cat $knobs/failed) failed as number $n, and nobody says so"
			break
		fi
		[ "$(cat $knobs/fail)" = 0 ] || fail "$name: it failed by itself: $(cat "$W/out")"
		what=$(cat $knobs/failed)
		grep -qi memory "$W/out" || fail "$name: of $what, number $n, it says: $(cat "$W/out")"
		e2e_until 20 is_held "$before" || fail "$name: $what, number $n: $(($(held) - before)) things are left"
		settled "$name: $what, number $n" "$what" "$n"
	done
	echo 0 >$knobs/fail
	say "$name: $((n - 1)) failures, then none"
	[ "$n" -gt 1 ] || fail "$name: nothing could fail"
}

# Writes that are aligned, and one that is not.
writes() {
	local n
	for n in 5 77 1200; do dd if=/dev/urandom of="$DISK" bs=8k count=1 seek="$n" oflag=direct status=none; done
	dd if=/dev/urandom of="$DISK" bs=512 count=3 seek=12345 oflag=direct status=none
}
works() { # NAME: attach, log, map
	begin "$LOOP"
	oracle "$1" writes >"$W/quiet"
	end
}
nothing_left() { # NAME
	if grep -F '[tidemark]' /proc/vmallocinfo; then fail "$1: that memory is left"; fi
}
# Nobody has the loop device: it can be given another file.
is_free() { # NAME
	losetup -d "$LOOP"
	losetup "$LOOP" "$W/loop.img" || fail "$1: somebody has the device still"
}

settled() {
	if kmod_loaded; then fail "$1: it is loaded"; fi
	nothing_left "$1"
	kmod_load
	works "$1"
	kmod_unload
	is_held 0 || fail "$1: unloaded, it has $(held) things"
}
each "loading" "$LOG" load "$MODULE"
works "loaded"

settled() {
	if "$LOG" status oracle >/dev/null 2>&1; then fail "$1: there is a protection"; fi
	[[ $2 != alloc_pages* || $(($3 % 64)) = 0 ]] || return 0 # a page of the ring is like any other
	nothing_left "$1"
	is_free "$1"
	works "$1"
}
each "a first disk" "$LOG" attach oracle disk "$LOOP" "$RING" 4096
"$LOG" detach 0

begin "$LOOP"
"$LOG" log oracle on >/dev/null
BEFORE=$(gap)
settled() {
	[ "$("$LOG" status oracle | field on) $(gap)" = "1 $BEFORE" ] || fail "$1: the first disk: $("$LOG" status oracle)"
	if "$LOG" disk 1 >/dev/null 2>&1; then fail "$1: there is a second disk"; fi
}
each "a second disk" "$LOG" attach oracle second "$VM_NVME" "$RING" 4096
"$LOG" detach 1
oracle "the first disk" writes
end
DISK=$VM_NVME
begin "$VM_NVME"
oracle "the second disk" writes
end

begin "$LOOP"
clear_map
settled() { [ "$("$LOG" status oracle | field on)" = 0 ] || fail "$1: the log is on"; }
each "the log" "$LOG" log oracle on
"$LOG" log oracle off >/dev/null
clear_map
writes
MARKED=$("$LOG" disk "$N" | field now)
settled() { [ "$("$LOG" disk "$N" | field now)" = "$MARKED" ] || fail "$1: marks went: $("$LOG" disk "$N")"; }
each "a take" "$LOG" take oracle
[ "$("$LOG" disk "$N" | sed -E 's/writes.*//')" = "now 0 taken $MARKED " ] || fail "the take: $("$LOG" disk "$N")"
"$LOG" log oracle on >/dev/null
BEFORE=$("$LOG" status oracle | field head)
settled() { [ "$("$LOG" status oracle | field head)" = "$BEFORE" ] || fail "$1: it is in the log"; }
each "a cut" "$LOG" cut oracle
end

say "a write allocates nothing"
mixed() {
	fio --name=mixed --filename="$DISK" --rw=randwrite --bsrange=512-64k --blockalign=512 --direct=1 --ioengine=io_uring \
		--iodepth=16 --serialize_overlap=1 --fallocate=none --size=15m --io_size=1g --number_ios=1000 --randrepeat=0 --refill_buffers \
		--norandommap --output=/dev/null
	blkdiscard -o $((4 << 20)) -l $((1 << 20)) "$DISK"
	blkdiscard -z -o $((6 << 20)) -l $((1 << 20)) "$DISK"
}
for DISK in "$LOOP" "$VM_SCSI"; do # the emulator's NVMe now and then stops under load with one thread for both processors
	begin "$DISK"
	[ "$(cat $knobs/calls)" -gt 0 ] || fail "kfault sees nothing"
	for how in off on both; do # the log gets full, too
		clear_map
		[ $how = off ] || "$LOG" log oracle $how >/dev/null
		WRITES=$("$LOG" disk "$N" | field writes) CALLS=$(cat $knobs/calls)
		mixed
		CALLS=$(($(cat $knobs/calls) - CALLS)) CALLER=$(cat $knobs/caller)
		WRITES=$(($("$LOG" disk "$N" | field writes) - WRITES))
		say "$DISK, log $how: $WRITES writes, $CALLS allocations"
		[ "$WRITES" -gt 900 ] || fail "too few writes"
		[ "$CALLS" = 0 ] || fail "the way of a write allocates: $CALLER"
		[ $how = off ] || "$LOG" log oracle off >/dev/null
	done
	end
done
say "done"
