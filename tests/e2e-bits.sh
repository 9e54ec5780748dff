#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Bit for bit: ext4, XFS and btrfs; pwrite, O_DIRECT, mmap and io_uring; partial blocks; discards and zero-outs; a partition and the whole
# disk written together. Loads use disjoint ranges.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
e2e_setup
e2e_start

writer() { "$BUILD/tests/writer" "$@" --seed "$RANDOM" >/dev/null; }
load() { # in the background; loads_end waits for all
	"$BUILD/tests/writer" "$@" --seed "$RANDOM" >/dev/null &
	LOADS+=($!)
}
loads_end() {
	local pid
	for pid in "${LOADS[@]}"; do wait "$pid" || fail "a writer failed"; done
	LOADS=()
}
LOADS=()

# One filesystem: loads of every kind while it is copied, a point at a frozen cut, then at rest.
filesystem() {
	local type=$1 mnt=$W/mnt-$1 size=$2 dev file
	e2e_disk "DISK_$type" "$size"
	local -n d=DISK_$type f=DISK_${type}_FILE
	dev=$d file=$f
	"mkfs.$type" -q "$dev" 2>/dev/null || "mkfs.$type" "$dev" >/dev/null
	e2e_mount "$dev" "$mnt"
	source_ protect "$type" "$dev" >/dev/null
	writer "$mnt/a" --length 8M --block 4096 --count 2000 --mode pwrite
	e2e_wait_copied "$type"
	say "$type: loads"
	load "$mnt/b" --length 8M --block 65536 --count 100 --mode direct
	load "$mnt/c" --length 4M --block 4096 --count 2000 --mode mmap
	load "$mnt/d" --length 8M --block 16384 --count 500 --mode uring
	load "$mnt/e" --length 3M --block 1000 --count 3000 --mode pwrite
	loads_end
	rm "$mnt/a"
	fstrim "$mnt" || say "$type: no fstrim here"
	fallocate -z -o 4096 -l 1M "$mnt/b" 2>/dev/null || fallocate -p -o 4096 -l 1M "$mnt/b"
	say "$type: a frozen cut"
	fsfreeze -f "$mnt"
	cp --sparse=always "$file" "$W/reference"
	e2e_mark "$type" cut --app
	fsfreeze -u "$mnt"
	e2e_same "$type" "$W/reference"
	writer "$mnt/f" --length 2M --block 512 --count 1000 --mode pwrite
	e2e_umount "$mnt"
	e2e_mark "$type" rest
	e2e_same "$type" "$file"
	source_ unprotect "$type" >/dev/null
	rm -f "$W/reference"
}
filesystem ext4 96M
filesystem xfs 320M
filesystem btrfs 192M

say "raw: whole disk and partition written together, discards, zero-outs"
e2e_disk RAW 64M -P
printf 'label: gpt\nstart=2048, size=32768\nstart=65536, size=32768\n' | sfdisk -q --no-tell-kernel --no-reread "$RAW"
partx -u "$RAW" 2>/dev/null || partx -a "$RAW"
e2e_until 10 test -b "${RAW}p2" || fail "no partition node"
source_ protect raw "$RAW" >/dev/null
e2e_wait_copied raw
load "${RAW}p1" --length 4M --block 4096 --count 800 --mode direct
load "${RAW}p2" --length 8M --block 8192 --count 800 --mode uring
load "$RAW" --offset 52M --length 8M --block 4096 --count 800 --mode direct
loads_end
blkdiscard -f -o 34M -l 2M "$RAW"
blkdiscard -f -z -o 36M -l 1M "$RAW"
writer "${RAW}p1" --length 1M --block 512 --count 500 --mode pwrite
blockdev --flushbufs "${RAW}p1"
blockdev --flushbufs "$RAW"
e2e_mark raw rest
e2e_same raw "$RAW_FILE"

say "a partition alone: only its own range travels"
source_ unprotect raw >/dev/null
source_ protect part "${RAW}p2" >/dev/null
e2e_wait_copied part
load "${RAW}p2" --length 8M --block 4096 --count 500 --mode direct
load "${RAW}p1" --length 4M --block 4096 --count 500 --mode direct
loads_end
e2e_mark part rest
dd if="$RAW_FILE" of="$W/p2" bs=1M skip=32 count=16 status=none
e2e_same part "$W/p2"
say "done"
