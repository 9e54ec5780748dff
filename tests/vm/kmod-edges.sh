#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the kernel module says when more went wrong than a write: each raises the gap count, with its reason, so that no mark passes
# for a point (R4). And who may command it (I9).
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
W=$(mktemp -d /dev/shm/tidemark-kmod.XXXXXX)
cleanup() {
	local rc=$?
	trap - EXIT
	for n in {0..7}; do "$LOG" detach "$n" 2>/dev/null || true; done
	kmod_unload || rc=1
	[ -z "${LOOP-}" ] || losetup -d "$LOOP" || true
	rm -rf "$W"
	exit "$rc"
}
trap cleanup EXIT
kmod_load

gap() { "$LOG" status edges | field gap; }
reason() { "$LOG" status edges | sed 's/.*reason //'; }
attach() { # NAME DEVICE: sets N
	read -r _ N _ < <("$LOG" attach edges "$1" "$2" $((1 << 20)))
}
# raises REASON COMMAND...: the gap count goes up, and that is why.
raises() {
	local want=$1 before
	shift
	before=$(gap)
	"$@"
	[ "$(gap)" -gt "$before" ] || fail "$want: the gap count did not go up"
	[ "$(reason)" = "$want" ] || fail "the reason is '$(reason)', not '$want'"
	say "$want"
}
calm() { # a take, after which nothing is in doubt
	"$LOG" take edges >/dev/null
	"$LOG" release "$N" 0 "$(blockdev --getsz "$1")"
}
everything() { # N DEVICE: all of it comes with the next take
	local blocks
	"$LOG" take edges >/dev/null
	blocks=$("$LOG" disk "$1" | field taken)
	[ "$blocks" = $(($(blockdev --getsz "$2") / 8)) ] || fail "$2: $blocks blocks are marked, not all"
}
write() { dd if=/dev/urandom of="$1" bs=4096 count=1 "${@:2}" status=none; }
failing() { if "$@" 2>/dev/null; then fail "did not fail: $*"; fi; }

truncate -s 64M "$W/a" "$W/b" "$W/c"
LOOP=$(losetup -f --show "$W/a")
SCSI=$VM_SCSI NVME=$VM_NVME

say "only with CAP_SYS_ADMIN"
attach loop "$LOOP"
LOOP_N=$N
lesser() { setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$@"; }
if said=$(lesser "$LOG" status edges 2>&1); then fail "anybody may ask: $said"; fi
if said=$(lesser "$LOG" take edges 2>&1); then fail "anybody may take: $said"; fi
if lesser dd if=/dev/tidemark of=/dev/null count=0 status=none 2>/dev/null; then fail "anybody may open the device"; fi

say "commands"
calm "$LOOP"
raises "a rewind" "$LOG" mark "$LOOP_N" 8 8 "a rewind"
[ "$("$LOG" disk "$LOOP_N" | field now)" = 1 ] || fail "not one block is marked"
attach second "$NVME"
raises "a disk was taken away" "$LOG" detach "$N"
"$LOG" log edges on >/dev/null
raises "a disk was added" attach second "$NVME"
[ "$("$LOG" status edges | field on)" = 0 ] || fail "the log goes on with a disk that it does not know"
"$LOG" detach "$N"

say "a gap is never that of an earlier protection of that name"
before=$(gap)
"$LOG" detach "$LOOP_N"
attach loop "$LOOP"
[ "$(gap)" -gt "$before" ] || fail "the gap count began again: $before, $(gap)"
before=$(gap)
"$LOG" detach "$N"
kmod_unload
kmod_load
attach loop "$LOOP"
[ "$(gap)" -gt "$before" ] || fail "the gap count began again with the module: $before, $(gap)"

say "another ring: all disks of the protection come anew"
attach second "$NVME"
"$LOG" attach edges second "$NVME" $((2 << 20)) >"$W/said"
[[ $(cat "$W/said") == *"fresh 1" ]] || fail "it says: $(cat "$W/said")"
read -r _ N _ FRESH < <("$LOG" attach edges loop "$LOOP" $((2 << 20)))
[ "$FRESH" = 1 ] || fail "the other disk kept what the old log had"
everything "$N" "$LOOP"
"$LOG" detach "$N"
for n in {0..7}; do "$LOG" detach "$n" 2>/dev/null || true; done
attach loop "$LOOP"

say "memory: the maps, the ring, and at most 8 MiB"
spare() { # once it is the same three times over
	local free=0 last=0 same=0
	while [ $same -lt 3 ]; do
		echo 3 >/proc/sys/vm/drop_caches
		free=$(awk '$1 == "MemFree:" { print $2 }' /proc/meminfo)
		if [ $((free - last)) -gt 256 ] || [ $((last - free)) -gt 256 ]; then same=0; else same=$((same + 1)); fi
		last=$free
		sleep 0.3
	done
	echo $((free << 10))
}
LARGE=$((64 << 20)) MAPS=$(($(blockdev --getsize64 "$VM_SCRATCH") >> 14)) # two, a bit for 4 KiB
attach_large() { read -r _ BIG _ < <("$LOG" attach large disk "$VM_SCRATCH" $LARGE); }
attach_large
spare >/dev/null # what happens only the first time
"$LOG" detach "$BIG"
before=$(spare)
attach_large
during=$(spare)
"$LOG" detach "$BIG"
used=$((before - during)) back=$(($(spare) - during)) # what others give back meanwhile makes one less and the other more
say "$used and $back bytes, of which $LARGE are the ring's and $MAPS the maps'"
if [ $back -lt $LARGE ] || [ $used -gt $((LARGE + MAPS + (8 << 20))) ]; then fail "$used, $back bytes"; fi

say "another medium"
calm "$LOOP"
another() {
	losetup -d "$LOOP"
	losetup "$LOOP" "$W/b"
	write "$LOOP" oflag=direct
}
raises "another disk, or another medium, is in its place" another
everything "$N" "$LOOP"
"$LOG" detach "$N"

say "a disk that fails"
modprobe scsi_debug dev_size_mb=64 opts=0 || skip "the kernel has no scsi_debug"
knobs=/sys/bus/pseudo/drivers/scsi_debug
scsi_debug() {
	FAULTY=$(lsblk -dno PATH,MODEL | awk '$2 == "scsi_debug" { print $1 }')
	[ -b "$FAULTY" ]
}
e2e_until 20 scsi_debug || fail "no scsi_debug disk"
attach faulty "$FAULTY"
write "$FAULTY" oflag=direct
calm "$FAULTY"
broken() { # COMMAND...: every command of the drive fails
	echo 16 >$knobs/opts
	echo 1 >$knobs/every_nth
	failing "$@"
	echo 0 >$knobs/every_nth
	echo 0 >$knobs/opts
}
raises "a write failed" broken write "$FAULTY" seek=5 oflag=direct
[ "$("$LOG" disk "$N" | field now)" = 1 ] || fail "a failed write marks more than itself: $("$LOG" disk "$N")"
calm "$FAULTY"
flush() { dd of="$FAULTY" if=/dev/null conv=fsync,notrunc status=none; }
raises "a flush failed: what was written before may be lost" broken flush
everything "$N" "$FAULTY"
calm "$FAULTY"

say "what a bug report has: the maps, and what is in flight"
STATE=/sys/kernel/debug/tidemark/state
"$LOG" mark "$N" 8 24 "for the report"
grep -q "^disk $N .* now 3 taken 0 .* inflight 0 " $STATE || fail "not three blocks: $(cat $STATE)"
grep -q "^protection .* gap $(gap) .* reason \"for the report\"" $STATE || fail "not that gap: $(cat $STATE)"
echo 500 >$knobs/delay # ticks
write "$FAULTY" seek=77 oflag=direct &
WRITER=$!
e2e_until 20 grep -q "^flight disk $N .* begin 616 end 624 " $STATE || fail "nothing is in flight: $(cat $STATE)"
"$BUILD/tidemark" report >"$W/report" || fail "tidemark report: $?"
for line in "^protection .* \"for the report\"" "^disk $N " "^write [0-9]" "a test write was seen" "^no status: no daemon answers"; do
	grep -q "$line" "$W/report" || fail "no '$line' in the report: $(cat "$W/report")"
done
wait $WRITER
echo 1 >$knobs/delay
if grep "^flight" $STATE; then fail "it is in flight for ever"; fi
"$LOG" detach "$N"

if [ -e /sys/power/pm_test ] && [[ $(cat /sys/power/state) == *disk* ]]; then
	say "hibernation, as far as processes are stopped"
	attach scsi "$SCSI"
	calm "$SCSI"
	hibernate() {
		echo freezer >/sys/power/pm_test
		echo disk >/sys/power/state
	}
	raises "the machine was hibernated" hibernate
	everything "$N" "$SCSI"
	"$LOG" detach "$N"
fi

say "unloaded while somebody is to be told"
for _ in {1..10}; do
	attach loop "$LOOP"
	"$LOG" log edges on >/dev/null
	write "$LOOP" count=512 oflag=direct
	"$LOG" detach "$N"
	kmod_unload
	kmod_load
done
say "done"
