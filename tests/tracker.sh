#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every block that differs after a load is marked, and little else is: images before and after are compared with the map.
set -euo pipefail
# shellcheck source=tests/tracker-lib.bash
. "$(dirname "$0")/tracker-lib.bash"
tracker_setup fio blkdiscard sfdisk mkfs.ext4 mkfs.xfs mkfs.btrfs

SIZE=$((320 << 20))
DISK=$WORK/disk
new_loop "$DISK" "$SIZE"
attach disk "$LOOP"
[ "$FRESH" = 1 ] || fail "a new disk is not fresh"
[ "$(track count "$SLOT" now)" = $((SIZE / BLOCK)) ] || fail "a fresh disk is not all marked"

# oracle NAME EXACT COMMAND...: EXACT: how many blocks the load writes, or - to ask the kernel's counters.
oracle() {
	local name=$1 exact=$2 gap sectors requests sectors2 requests2 changed marked missed limit _
	shift 2
	clear_marks "$SLOT" "$SIZE"
	cp --sparse=always "$DISK" "$WORK/old"
	gap=$(gap "$SLOT")
	read -r sectors requests < <(written "$LOOP")
	"$@"
	read -r sectors2 requests2 < <(written "$LOOP")
	read -r _ changed _ marked _ missed < <(track changed "$SLOT" "$WORK/old" "$DISK" now)
	echo "$name: changed $changed marked $marked missed $missed"
	[ "$changed" -gt 0 ] || fail "$name: the load changed nothing"
	[ "$missed" = 0 ] || fail "$name: $missed of $changed changed blocks are not marked"
	# A request that is not aligned touches one block more than it is long.
	limit=$((((sectors2 - sectors) / 8 + requests2 - requests) * 11 / 10))
	[ "$exact" = - ] || limit=$exact
	[ "$marked" -le "$limit" ] || fail "$name: $marked blocks are marked, at most $limit were written"
	track poll
	[ "$(gap "$SLOT")" = "$gap" ] || fail "$name: the gap count moved: $(track status "$SLOT")"
}

load() {
	fio --name=load --filename="$LOOP" --size="$SIZE" --rw=randwrite --end_fsync=1 --fallocate=none --output=/dev/null \
		--randseed=$RANDOM --refill_buffers "$@"
}

oracle "direct, 4 KiB" 2000 load --direct=1 --bs=4k --number_ios=2000
oracle "direct, 512 bytes" 500 load --direct=1 --bs=512 --number_ios=500
oracle "direct, odd sizes" - load --direct=1 --bssplit=512/20:1536/20:7k/20:33k/20:300k/20 --blockalign=512 --number_ios=300
oracle "direct, io_uring" 3000 load --direct=1 --bs=4k --ioengine=io_uring --iodepth=64 --number_ios=3000
oracle "buffered" 2000 load --bs=4k --ioengine=psync --number_ios=2000
oracle "buffered, io_uring" 2000 load --bs=4k --ioengine=io_uring --iodepth=16 --number_ios=2000
oracle "mmap" - load --bs=4k --ioengine=mmap --number_ios=1000
oracle "large, direct" $((40 * 1024)) load --direct=1 --bs=4m --ioengine=io_uring --iodepth=4 --number_ios=40

discards() {
	blkdiscard -o $((8 << 20)) -l $((24 << 20)) "$LOOP"
	blkdiscard -o $((100 << 20)) -l $((12 << 10)) "$LOOP"
}
zeroes() {
	blkdiscard -z -o $((64 << 20)) -l $((24 << 20)) "$LOOP"
	fallocate --zero-range -o $((200 << 20)) -l $((1 << 20)) "$LOOP"
}
fill() {
	dd if=/dev/urandom of="$LOOP" bs=1M count=$((SIZE >> 20)) oflag=direct status=none
}
fill
oracle "discard" $((24 * 256 + 3)) discards
oracle "write zeroes" $((25 * 256)) zeroes
oracle "all of it" $((SIZE / BLOCK)) fill
oracle "discard of all" $((SIZE / BLOCK)) blkdiscard "$LOOP"

quietly() {
	"$@" >/dev/null 2>&1
}
files() {
	local d=$WORK/mnt
	mount "$@" "$LOOP" "$d"
	fio --name=files --directory="$d" --nrfiles=40 --filesize=256k --rw=randwrite --bs=4k --fsync=32 --output=/dev/null
	rm -f "$d"/files.0.1*
	fstrim "$d"
	mkdir "$d/many"
	for i in {1..200}; do echo "$i" >"$d/many/$i"; done
	umount "$d"
}
mkdir "$WORK/mnt"
MOUNTS+=("$WORK/mnt")
for fs in ext4 xfs btrfs; do
	case $fs in
	ext4) make=(mkfs.ext4 -qF) ;;
	*) make=("mkfs.$fs" -qf) ;;
	esac
	oracle "mkfs.$fs" - quietly "${make[@]}" "$LOOP"
	oracle "$fs" - files
done
track detach "$SLOT"

# ---- partitions: a range of the disk each, not aligned to blocks; the whole disk beside them ----
new_loop "$WORK/parted" 128M -P
sfdisk -q --no-tell-kernel "$LOOP" <<'TABLE'
label: gpt
start=2048, size=65537
start=70001, size=100003
TABLE
partx -u "$LOOP"
[ -b "${LOOP}p2" ] || skip "the kernel does not show partitions of loop devices"
attach all "$LOOP"
ALL=$SLOT
attach one "${LOOP}p1"
ONE=$SLOT
attach two "${LOOP}p2"
TWO=$SLOT
slice() {
	dd if="$WORK/parted" of="$1" bs=512 skip="$2" count="$3" status=none
}
slices() {
	cp "$WORK/parted" "$WORK/all.$1"
	slice "$WORK/one.$1" 2048 65537
	slice "$WORK/two.$1" 70001 100003
}
clear_parts() {
	clear_marks "$ALL" $((128 << 20))
	clear_marks "$ONE" $((65537 * 512))
	clear_marks "$TWO" $((100003 * 512))
	slices old
}
# part SLOT NAME MIN MAX: how many blocks are marked.
part() {
	local changed marked missed _
	read -r _ changed _ marked _ missed < <(track changed "$1" "$WORK/$2.old" "$WORK/$2.new" now)
	echo "partitions, $2: changed $changed marked $marked missed $missed"
	[ "$missed" = 0 ] || fail "$2: $missed of $changed changed blocks are not marked"
	if [ "$marked" -lt "$3" ] || [ "$marked" -gt "$4" ]; then
		fail "$2: $marked blocks are marked, not $3 to $4"
	fi
}
gaps=$(gap "$ALL").$(gap "$ONE").$(gap "$TWO")
clear_parts
fio --name=a --filename="${LOOP}p1" --rw=randwrite --direct=1 --bs=512 --number_ios=300 --size=$((65537 * 512)) --output=/dev/null \
	--name=b --filename="$LOOP" --rw=randwrite --direct=1 --bs=4k --number_ios=300 --offset=$((70008 * 512)) --size=40m
dd if=/dev/urandom of="${LOOP}p1" bs=512 seek=65536 count=1 oflag=direct status=none
dd if=/dev/urandom of="${LOOP}p2" bs=512 seek=100002 count=1 oflag=direct status=none
slices new
# A 4 KiB write by the whole disk may lie across two blocks of a partition that is not aligned.
part "$ONE" one 250 301
part "$TWO" two 300 601
part "$ALL" all 500 900

# Beside the partitions: only the whole disk sees it, up to the sector.
clear_parts
dd if=/dev/urandom of="$LOOP" bs=512 seek=1000 count=1048 oflag=direct status=none
dd if=/dev/urandom of="$LOOP" bs=512 seek=67585 count=2416 oflag=direct status=none
dd if=/dev/urandom of="$LOOP" bs=512 seek=170004 count=1000 oflag=direct status=none
slices new
part "$ONE" one 0 0
part "$TWO" two 0 0
part "$ALL" all 558 562
# Across a border: each side sees its own.
clear_parts
dd if=/dev/urandom of="$LOOP" bs=512 seek=2047 count=2 oflag=direct status=none
dd if=/dev/urandom of="$LOOP" bs=512 seek=67584 count=2 oflag=direct status=none
slices new
part "$ONE" one 2 2
part "$TWO" two 0 0
track poll
[ "$gaps" = "$(gap "$ALL").$(gap "$ONE").$(gap "$TWO")" ] || fail "the gap count of partitions moved"
for s in "$ALL" "$ONE" "$TWO"; do track detach "$s"; done
track remove
echo "every change was marked"
