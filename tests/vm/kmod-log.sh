#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The write log and the dirty map, against the disk: for each load the log, replayed onto a copy from before, gives the disk; what
# is marked alone, copied, gives it, too; and little more is marked than was written (I1). Both are on (LOG both), so that each
# is asked for everything.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
# shellcheck source=tests/vm/kmod-oracle.bash
. "$(dirname "$0")/kmod-oracle.bash"
W=$(mktemp -d /dev/shm/tidemark-kmod.XXXXXX)
cleanup() {
	local rc=$?
	trap - EXIT
	pkill -x kmodlog || true
	umount "$W/mnt" 2>/dev/null || true
	swapoff "${DISK-}" 2>/dev/null || true
	for n in {0..7}; do "$LOG" detach "$n" 2>/dev/null || true; done
	kmod_unload || rc=1
	[ -z "${LOOP-}" ] || losetup -d "$LOOP"
	rm -rf "$W"
	exit "$rc"
}
trap cleanup EXIT
kmod_load
mkdir "$W/mnt"

quietly() { "$@" >/dev/null 2>&1; }
files() { # MOUNT-OPTION...
	mount "$@" "$DISK" "$W/mnt"
	fio --name=files --directory="$W/mnt" --nrfiles=20 --filesize=128k --rw=randwrite --bs=4k --fsync=32 --output=/dev/null
	rm -f "$W"/mnt/files.0.1*
	rm -rf "$W/mnt/many"
	mkdir "$W/mnt/many"
	for i in {1..50}; do echo "$i" >"$W/mnt/many/$i"; done
	umount "$W/mnt"
}
edges() {
	dd if=/dev/urandom of="$DISK" bs=512 count=1 oflag=direct status=none
	dd if=/dev/urandom of="$DISK" bs=512 seek=$((SECTORS - 1)) count=1 oflag=direct status=none
}
discards() {
	blkdiscard -o $((8 << 20)) -l $((24 << 20)) "$DISK"
	blkdiscard -o $((80 << 20)) -l $((12 << 10)) "$DISK"
}
zeroes() {
	blkdiscard -z -o $((64 << 20)) -l $((8 << 20)) "$DISK"
	fallocate --zero-range -o $((100 << 20)) -l $((1 << 20)) "$DISK"
}

all() {
	oracle "direct, 4 KiB" load --direct=1 --bs=4k --number_ios=500
	oracle "direct, 512 bytes" load --direct=1 --bs=512 --number_ios=200
	oracle "io_uring" load --direct=1 --bs=4k --ioengine=io_uring --iodepth=32 --number_ios=500
	oracle "fixed buffers" load --direct=1 --bs=8k --ioengine=io_uring --fixedbufs --iodepth=8 --number_ios=200
	oracle "odd sizes" load --direct=1 --bssplit=512/20:1536/20:7k/20:33k/20:300k/20 --blockalign=512 --number_ios=100
	oracle "aio" load --direct=1 --bs=16k --ioengine=libaio --iodepth=16 --number_ios=200
	oracle "mmap" load --bs=4k --ioengine=mmap --number_ios=300
	oracle "buffered" load --bs=4k --ioengine=psync --number_ios=500
	oracle "large" load --direct=1 --bs=4m --ioengine=io_uring --iodepth=2 --number_ios=20
	oracle "edges" edges
	overlap "overlaps"
	GAPS=may oracle "zeroes" zeroes # not every driver can: then the kernel writes them
}
some() {
	overlap "overlaps"
	oracle "io_uring" load --direct=1 --bs=4k --ioengine=io_uring --iodepth=32 --number_ios=500
	oracle "odd sizes" load --direct=1 --bssplit=512/20:1536/20:7k/20:33k/20:300k/20 --blockalign=512 --number_ios=100
	oracle "buffered" load --bs=4k --ioengine=psync --number_ios=500
	oracle "edges" edges
	GAPS=may oracle "zeroes" zeroes
	oracle "discard" discards
}
filesystems() {
	GAPS=may oracle "mkfs.ext4" quietly mkfs.ext4 -qF "$DISK"
	oracle "ext4" files
	oracle "ext4, data=journal" files -o data=journal
	GAPS=may oracle "mkfs.xfs" quietly mkfs.xfs -qf "$DISK"
	oracle "xfs" files
	GAPS=may oracle "mkfs.btrfs" quietly mkfs.btrfs -qf "$DISK"
	oracle "btrfs" files
}

# overlap NAME: writes in flight over the same blocks, which the disk may take in another order than the log (R7).
overlap() {
	start on
	fio --name=overlap --filename="$DISK" --rw=randwrite --bsrange=512-16k --blockalign=512 --direct=1 --ioengine=io_uring --iodepth=32 \
		--numjobs=2 --size=64k --offset=1m --io_size=4m --randrepeat=0 --norandommap --refill_buffers --output=/dev/null
	touch "$W/flag"
	wait $READER || fail "$1: the replay failed"
	together "$1"
	[[ $("$LOG" status oracle) == *overlap* ]] || fail "$1: nothing overlapped"
	"$LOG" log oracle off >/dev/null
}

# overflow NAME COMMAND...: a ring that is too small. The reader is stopped for a while, killed, and begins again where the log was
# released. Then the log is given up: what it held is in the map (fold).
overflow() {
	local name=$1
	shift
	start on
	(sleep 1 && kill -STOP $READER && sleep 1 && kill -KILL $READER) &
	"$@"
	wait $READER || true
	wait
	blockdev --flushbufs "$DISK"
	"$LOG" replay oracle - "$N:$W/replayed" >"$W/said"
	together "$name"
	cp --sparse=always "$W/now" "$W/before"
	clear_map
	load --direct=1 --bs=4k --number_ios=100
	"$LOG" log oracle off >/dev/null
	image "$W/now"
	"$LOG" copy "$N" now "$W/now" "$W/before" >"$W/copied"
	cmp "$W/before" "$W/now" || fail "$name: the log was given up, and its writes are not marked"
	say "$name: folded, $(cat "$W/copied")"
}

say "loop"
truncate -s 120M "$W/loop.img"
LOOP=$(losetup -f --show "$W/loop.img")
begin "$LOOP"
all
oracle "discard" discards
end
truncate -s 304M "$W/loop.img" # what XFS wants
losetup -c "$LOOP"
begin "$LOOP"
filesystems
end
truncate -s 120M "$W/loop.img"
losetup -c "$LOOP"
begin "$LOOP" $((1 << 20))
for round in 1 2 3; do overflow "overflow $round" load --direct=1 --bs=16k --ioengine=io_uring --iodepth=16 --number_ios=1500; done
end

for kind in "SCSI $VM_SCSI" "NVMe $VM_NVME"; do
	say "$kind"
	begin "${kind#* }"
	some
	end
done
say "done"
