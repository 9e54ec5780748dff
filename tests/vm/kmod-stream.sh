#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Streaming: with the module's log the disk is not read, a mark is a point without freezing, and in the order of the writes (I2, I3,
# I4, R4); through kills, a target that is away, and a ring that is too small it comes back by itself, bit for bit.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
LEDGER=$BUILD/tests/ledger
kmod_load
e2e_setup
echo "ring = 4M" >>"$W/shipper.conf"
state() { e2e_status "$1" .state; }
streaming() { e2e_is "$1" .state streaming; }
wait_streaming() { e2e_until 60 streaming "$1" || fail "$1 does not stream: $(state "$1"), $(e2e_status "$1" .reason)"; }
load() { # DEVICE SECONDS [option...]
	fio --name=load --filename="$1" --rw=randwrite --bsrange=512-64k --blockalign=512 --direct=1 --ioengine=io_uring --iodepth=8 \
		--serialize_overlap=1 --fallocate=none --time_based --runtime="$2" --randrepeat=0 --refill_buffers --norandommap \
		--rate_iops=200 --output=/dev/null "${@:3}"
}
sectors_read() { awk '{ print $3 }' "/sys/class/block/$(basename "$1")/stat"; }
# In the state in which nothing is on its way, the disks are the point.
same() { # NAME LABEL DEVICE...
	local name=$1 label=$2 n=0
	shift 2
	e2e_mark "$name" "$label"
	for device; do
		vm_same "$name" "$device" $((n++))
	done
}

say "a disk streams"
e2e_disk ONE 64M
load "$ONE" 2
e2e_start
source_ protect web "$ONE" >/dev/null
e2e_wait_copied web
wait_streaming web
before=$(sectors_read "$ONE")
load "$ONE" 5
e2e_wait_quiet web
[ "$(sectors_read "$ONE")" = "$before" ] || fail "$(($(sectors_read "$ONE") - before)) sectors of the disk were read"
streaming web || fail "it does not stream any more: $("$LOG" status x 2>&1 || true)"
same web streamed "$ONE"
say "latest is $(e2e_status web .latest_seconds) s old"

say "discards and zeroes"
blkdiscard -o $((8 << 20)) -l $((4 << 20)) "$ONE"
blkdiscard -z -o $((16 << 20)) -l $((4 << 20)) "$ONE"
same web discarded "$ONE"

say "a verify, while it is written"
e2e_background load "$ONE" 20
source_ verify web --wait >"$W/verified" || fail "verify: $(cat "$W/verified")"
say "$(cat "$W/verified")"
[ "$(e2e_status web .verify.last.different_bytes)" = 0 ] || fail "a difference: $(e2e_status web .verify)"
wait "$E2E_LAST"
wait_streaming web
same web verified "$ONE"

say "the shipper is killed under load"
for n in 1 2 3; do
	e2e_background load "$ONE" 6
	sleep 2
	e2e_shipper_kill
	sleep 1
	e2e_shipper_start
	wait "$E2E_LAST"
	wait_streaming web
	same web "killed-$n" "$ONE"
done

say "the target is away, and the ring too small for that"
e2e_target_stop
load "$ONE" 10 --rate_iops=500
e2e_target_start
wait_streaming web
same web away "$ONE"

say "more is written than the ring takes"
load "$ONE" 8 --rate_iops=100000 --iodepth=32 --bsrange=64k-512k
wait_streaming web
same web flooded "$ONE"
source_ unprotect web >/dev/null

say "marks between two disks: what was done before a mark was asked for is in it, what began after it is not"
e2e_disk TWO 64M
e2e_disk THREE 64M
source_ protect pair "$TWO" "$THREE" >/dev/null
e2e_wait_copied pair
wait_streaming pair
"$LEDGER" write 1 300 "$TWO" "$THREE" >"$W/acked" &
WRITER=$!
E2E_PIDS+=("$WRITER")
last() { tail -n 2 "$W/acked" | head -n 1; }
for n in $(seq "${MARKS:-8}"); do
	sleep "0.$((RANDOM % 10))"
	done_before=$(last)
	source_ mark pair --label "mark-$n" --wait >/dev/null || fail "mark $n: no point: $(e2e_status pair .reason)"
	begun=$(($(tail -n 1 "$W/acked" | wc -c) > 1 ? $(last) + 2 : 1))
	e2e_until 60 e2e_at_point pair "mark-$n" || fail "the replica does not reach mark $n"
	for disk in 0 1; do
		rm -f "$W/export-$disk"
		target export pair --format raw --to "$W/export-$disk" --disk $disk >/dev/null || fail "export"
	done
	has=$("$LEDGER" check "$W/export-0" "$W/export-1") || fail "mark $n: what it has is no prefix of what was written"
	say "mark $n: $done_before done, the point has $has, $begun begun"
	[ "$has" -ge "${done_before:-0}" ] || fail "mark $n: entry $done_before was done before it, the point has $has"
	[ "$has" -le "$begun" ] || fail "mark $n: the point has entry $has, of which $begun were begun"
done
kill "$WRITER" || fail "the writer has no room any more"
wait "$WRITER" || true
same pair both "$TWO" "$THREE"
source_ unprotect pair >/dev/null

say "an app point: frozen for as long as a mark takes"
e2e_disk FILES 128M
mkfs.ext4 -qF "$FILES"
e2e_mount "$FILES" "$W/mnt"
source_ protect files "$FILES" >/dev/null
e2e_wait_copied files
wait_streaming files
fio --name=files --directory="$W/mnt" --nrfiles=20 --filesize=128k --rw=randwrite --bs=4k --fsync=8 --time_based --runtime=15 \
	--rate_iops=100 --output=/dev/null &
FIO=$!
E2E_PIDS+=("$FIO")
sleep 2
e2e_mark files app --app
say "frozen $(e2e_status files .point.frozen_ms) ms"
target export files --format raw --to "$W/files.raw" --disk 0 >/dev/null || fail "export"
e2fsck -fn "$W/files.raw" >"$W/fsck" 2>&1 || fail "$(cat "$W/fsck")" # nothing to replay: it was frozen
wait "$FIO"
e2e_umount "$W/mnt"
same files later "$FILES"
source_ unprotect files >/dev/null
e2e_shipper_stop

say "what is overwritten while the target does not answer is not sent"
sed -i 's/^ring = .*/ring = 32M\nwindow = 4M\ncoalesce = yes/' "$W/shipper.conf"
e2e_shipper_start
e2e_disk OVER 64M
source_ protect over "$OVER" >/dev/null
e2e_wait_copied over
wait_streaming over
pkill -STOP -s "$TARGET"
load "$OVER" 60 --rate_iops=100000 --bsrange=4k-64k --blockalign=4k --size=4m --io_size=24m
pkill -CONT -s "$TARGET"
e2e_wait_quiet over
saved=$(e2e_status over .coalesced_bytes)
say "$saved bytes were not sent"
[ "$saved" -gt $((4 << 20)) ] || fail "$saved bytes, of some 16 MiB that were overwritten"
wait_streaming over
same over overwritten "$OVER"
source_ unprotect over >/dev/null
e2e_shipper_stop
e2e_target_stop
kmod_unload
say "done"
