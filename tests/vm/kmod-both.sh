#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Two trackers on one disk: the eBPF programs and the module mark the very same blocks, and these cover what changed (I1).
#
# They share nothing but the tracepoints, so what one of them does not see, or takes for something else, shows as a difference. At rest
# there may be none: both look at requests, mark whole blocks of 4 KiB as these are issued, of a merged discard each range, and what
# they mark at completion is of the same request (eBPF: always; module: if it failed or overlapped). So the sets have to be equal, and
# neither may be in doubt. In one thing they differ: across a take. What is in flight then eBPF marks again when it completes; the
# module does not, and has a fence instead (I4). That is shown at the end, on a disk that is held.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
# shellcheck source=tests/vm/kmod-oracle.bash
. "$(dirname "$0")/kmod-oracle.bash"
W=$(mktemp -d /dev/shm/tidemark-kmod.XXXXXX)
track() { "$BUILD/tests/track" /sys/fs/bpf/tidemark-both "$@"; }
LOOPS=()
WRITER=
cleanup() {
	local rc=$? n
	trap - EXIT
	dmsetup resume other 2>/dev/null || true
	[ -z "$WRITER" ] || wait "$WRITER" || true
	umount "$W/mnt" 2>/dev/null || true
	track detach "${SLOT-}" 2>/dev/null || true
	track remove || true
	for n in {0..7}; do "$LOG" detach "$n" 2>/dev/null || true; done
	kmod_unload || rc=1
	dmsetup remove above 2>/dev/null || true
	for n in "${LOOPS[@]}"; do losetup -d "$n" || true; done
	e2e_until 10 dmsetup remove other 2>/dev/null || true
	rm -rf "$W"
	exit "$rc"
}
trap cleanup EXIT
kmod_load
mkdir "$W/mnt"

both_begin() { # DEVICE
	begin "$1"
	read -r _ SLOT _ FRESH _ BLOCK < <(track attach "disk-$(basename "$1")" "$1")
	[ "$FRESH $BLOCK" = "1 4096" ] || fail "$1: the eBPF tracker says: fresh $FRESH, blocks of $BLOCK"
}
both_end() {
	track detach "$SLOT"
	end
}
both_take() {
	clear_map
	track take "$SLOT" >/dev/null
	track release "$SLOT" 0 $((SECTORS * 512))
}
# What each has marked in `now`, a block a line.
blocks_of_ebpf() { track extents "$SLOT" now | awk '{ for (b = $1 / 4096; b < ($1 + $2) / 4096; b++) print b }' | sort; }
blocks_of_module() { "$LOG" marked "$N" now | awk '{ for (b = $1 / 8; b < ($1 + $2) / 8; b++) print b }' | sort; }
doubts() { "$LOG" disk "$N" | field doubts; }

# both NAME COMMAND...
both() {
	local name=$1 doubts gap
	shift
	[ ! -d "$W/mnt" ] || sync -f "$W/mnt"
	blockdev --flushbufs "$DISK"
	image "$W/before"
	both_take
	doubts=$(doubts)
	gap=$(track gap "$SLOT")
	"$@"
	blockdev --flushbufs "$DISK"
	image "$W/now"
	track poll
	[ "$(doubts)" = "$doubts" ] || fail "$name: the module is in doubt: $("$LOG" status oracle)"
	[ "$(track gap "$SLOT")" = "$gap" ] || fail "$name: eBPF is in doubt: $(track status "$SLOT")"
	blocks_of_ebpf >"$W/ebpf"
	blocks_of_module >"$W/module"
	say "$name: $(track changed "$SLOT" "$W/before" "$W/now" now), eBPF $(wc -l <"$W/ebpf"), module $(wc -l <"$W/module"), \
only eBPF $(comm -23 "$W/ebpf" "$W/module" | wc -l), only module $(comm -13 "$W/ebpf" "$W/module" | wc -l)"
	if cmp -s "$W/before" "$W/now"; then fail "$name: the load changed nothing"; fi
	cmp "$W/ebpf" "$W/module" || fail "$name: they do not mark the same: $(diff "$W/ebpf" "$W/module" | head -n 20)"
	"$LOG" copy "$N" now "$W/now" "$W/before" >/dev/null # and so eBPF's set, which is the same
	cmp "$W/before" "$W/now" || fail "$name: what is marked is not what changed"
}

quietly() { "$@" >/dev/null 2>&1; }
random() { # DEVICE
	fio --name=random --filename="$1" --rw=randwrite --bsrange=512-64k --blockalign=512 --direct=1 --ioengine=io_uring --iodepth=16 \
		--fallocate=none --size=90m --number_ios=300 --randrepeat=0 --refill_buffers --norandommap --output=/dev/null
}
dense() { # many writes over one another
	fio --name=dense --filename="$DISK" --rw=randwrite --bsrange=512-16k --blockalign=512 --direct=1 --ioengine=io_uring \
		--iodepth=32 --numjobs=2 --size=256k --offset=1m --io_size=4m --randrepeat=0 --norandommap --refill_buffers --output=/dev/null
}
buffered() {
	fio --name=buffered --filename="$DISK" --rw=randwrite --bs=4k --ioengine=psync --fallocate=none --size=90m --number_ios=500 \
		--randrepeat=0 --refill_buffers --end_fsync=1 --output=/dev/null
}
discards() { # of one range, and of several in one request
	blkdiscard -o $((8 << 20)) -l $((24 << 20)) "$DISK"
	blkdiscard -o $((80 << 20)) -l $((12 << 10)) "$DISK"
}
zeroes() {
	blkdiscard -z -o $((64 << 20)) -l $((8 << 20)) "$DISK"
	fallocate --zero-range -o $((100 << 20)) -l $((1 << 20)) "$DISK"
}
files() {
	local i
	mount "$DISK" "$W/mnt"
	fio --name=files --directory="$W/mnt" --nrfiles=20 --filesize=128k --rw=randwrite --bs=4k --fsync=32 --output=/dev/null
	mkdir "$W/mnt/many"
	for i in {1..50}; do echo "$i" >"$W/mnt/many/$i"; done
	for i in {1..20}; do head -c 300K /dev/urandom >"$W/mnt/$i"; done
	umount "$W/mnt"
}
frees() { # discards of what lies apart, which may become one request
	local i
	mount -o discard "$DISK" "$W/mnt"
	rm -f "$W"/mnt/files.0.1* "$W"/mnt/many/*5
	for i in {1..20..2}; do fallocate --punch-hole -o 8192 -l 262144 "$W/mnt/$i"; done
	umount "$W/mnt"
}
merged() { awk '{ print $13 }' "/sys/class/block/$(basename "$DISK")/stat"; }
above() { # TARGET: that device-mapper target above the disk
	dmsetup create above --table "0 $((100 << 11)) $1 $DISK 2048"
	random /dev/mapper/above
	dmsetup remove above
}
all() { # DEVICE
	both_begin "$1"
	both "direct, 512 bytes to 64 KiB" random "$DISK"
	both "overlapping" dense
	both "buffered" buffered
	both "zeroes" zeroes
	both "discards" discards
	both "dm-linear above" above linear
	both "dm-crypt above" above "crypt aes-xts-plain64 $(printf '%0128d' 7) 0"
	quietly mkfs.ext4 -qF "$DISK"
	both "ext4" files
	both "ext4, freed" frees
	quietly mkfs.xfs --unsupported -qf "$DISK" # smaller than it likes
	both "XFS" files
	MERGED=$(merged)
	both "XFS, freed" frees
	MERGED=$(($(merged) - MERGED))
	[ "$DISK" != "$VM_NVME" ] || [ "$MERGED" -gt 0 ] || fail "no discard was of several ranges"
	say "discards that were merged: $MERGED"
	both_end
}

modprobe dm_mod && modprobe dm_crypt && modprobe xts && modprobe ecb
truncate -s 256M "$W/loop.img"
LOOP=$(losetup -f --show "$W/loop.img")
LOOPS+=("$LOOP")
for kind in "loop $LOOP" "SCSI $VM_SCSI" "NVMe $VM_NVME"; do
	say "$kind"
	all "${kind#* }"
done

say "a take while a write is held"
dmsetup create other --table "0 $((64 << 11)) linear $VM_SCRATCH 0"
LOOP=$(losetup -f --show --direct-io=on /dev/mapper/other)
LOOPS+=("$LOOP")
both_begin "$LOOP"
both_take
dmsetup suspend --noflush --nolockfs other
dd if=/dev/urandom of="$LOOP" bs=64k count=1 seek=3 oflag=direct status=none &
WRITER=$!
in_flight() { [ "$("$LOG" disk "$N" | field flight)" -gt 0 ]; }
e2e_until 20 in_flight || fail "the write is not in flight"
blocks_of_ebpf >"$W/ebpf"
blocks_of_module >"$W/module"
[ "$(wc -l <"$W/ebpf")" = 16 ] || fail "at issue eBPF marks $(wc -l <"$W/ebpf") blocks, not 16"
cmp "$W/ebpf" "$W/module" || fail "at issue they do not mark the same: $(diff "$W/ebpf" "$W/module")"
SEQUENCE=$("$LOG" take oracle | field sequence)
"$LOG" release "$N" 0 "$SECTORS"
track take "$SLOT" >/dev/null
track release "$SLOT" 0 $((SECTORS * 512))
[ "$("$LOG" status oracle | field settled)" -lt "$SEQUENCE" ] || fail "the fence lets pass what is in flight"
dmsetup resume other
wait $WRITER || fail "the write failed"
WRITER=
"$LOG" fence oracle "$SEQUENCE"
[ "$(blocks_of_ebpf | wc -l)" = 16 ] || fail "eBPF has $(blocks_of_ebpf | wc -l) blocks marked again, not 16"
[ "$(blocks_of_module | wc -l)" = 0 ] || fail "the module marks again what the fence is for: $(blocks_of_module | paste -sd' ')"
say "marked again: eBPF 16, module 0, which has its fence"
both_end
say "done"
