#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The kernel module's hooks: it loads (its self-test passes on this kernel), its counters say exactly what /sys/block says was written,
# discarded and zeroed, on virtio, SCSI, NVMe, loop and null_blk; it is loaded and unloaded 100 times under fio.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
MODULE=/lib/modules/$(uname -r)/updates/tidemark.ko
[ -e "$MODULE" ] || skip "there is no module for $(uname -r) (scripts/kernel-headers)"
e2e_setup
insmod() { busybox insmod "$@"; }
rmmod() { busybox rmmod "$@"; }
COUNTERS=/sys/kernel/debug/tidemark/requests
TIMES=${TIMES:-100}

# counted KIND COLUMN...: these columns of the kind's row.
counted() {
	awk -v kind="$1" -v wanted="${*:2}" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
		$1 == kind { n = split(wanted, w, " "); for (k = 1; k <= n; k++) printf "%s%s", $at[w[k]], k < n ? " " : "\n" }' $COUNTERS
}
# Sectors that the block layer has written (zeroes too), and those that it has discarded, on all disks that have requests. Not its numbers
# of requests: one with a flush behind it is not in them before the flush has ended.
written() {
	local dir
	for dir in /sys/block/*/mq; do cat "${dir%/mq}/stat"; done | awk '{ w += $7; d += $14 } END { print w, d }'
}
# The same as the module has it.
seen() { echo $(($(counted write completed_sectors) + $(counted zeroes completed_sectors))) "$(counted discard completed_sectors)"; }
in_flight() { awk 'NR > 1 { n += $2 - $4 - $5 } END { print n }' $COUNTERS; }
# Both at a moment at which nothing is written: $WRITTEN and $SEEN.
snapshot() {
	local _
	for _ in {1..100}; do
		WRITTEN=$(written)
		SEEN=$(seen)
		[ "$WRITTEN" != "$(written)" ] || [ "$(in_flight)" != 0 ] || return 0
		sleep 0.2
	done
	fail "the machine does not become quiet: $(in_flight) in flight, $(cat $COUNTERS)"
}
difference() { # "A B" "A B"
	local a b c d
	read -r a b c d <<<"$1 $2"
	echo $((c - a)) $((d - b))
}
# exact NAME SECTORS DISCARDED COMMAND...: the counters move by what /sys/block says, which is at least so much.
exact() {
	local name=$1 sectors=$2 discarded=$3 before_written before_seen real shown
	shift 3
	snapshot
	before_written=$WRITTEN before_seen=$SEEN
	"$@" >"$W/said" 2>&1 || fail "$name: $(cat "$W/said")"
	snapshot
	real=$(difference "$before_written" "$WRITTEN") shown=$(difference "$before_seen" "$SEEN")
	[ "$real" = "$shown" ] || fail "$name: sectors written and discarded: $real, but the module saw $shown"
	read -r w d <<<"$shown"
	if [ "$w" -lt "$sectors" ] || [ "$d" -lt "$discarded" ]; then
		fail "$name: $w sectors written and $d discarded were seen, not $sectors and $discarded"
	fi
	say "$name: $shown"
}
load() { # FILE MIB SIZES: writes of these sizes
	fio --name=load --filename="$1" --size="$2M" --bsrange="$3" --rw=randwrite --direct=1 --ioengine=psync --end_fsync=1 \
		--randrepeat=0 --minimal
}

say "the module says what it is"
field() { busybox modinfo -F "$1" "$MODULE"; }
[ "$(field license)" = GPL ] || fail "licence: $(field license)"
[[ $(field version) =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "version: $(field version)"
[[ $(field vermagic) == "$(uname -r) "* ]] || fail "built for $(field vermagic)"

say "it loads once"
insmod "$MODULE" || fail "it does not load: $(dmesg | tail -n 5)"
dmesg | grep -F "tidemark: version $(field version): a test write was seen" || fail "no word of the self-test"
if said=$(insmod "$MODULE" 2>&1); then fail "it loads twice"; fi
say "refused: $said"
[[ $said == *"File exists"* ]] || fail "that does not say why"
[ -z "$(ls -d /sys/block/*tidemark* 2>/dev/null)" ] || fail "the self-test's disk is left"

say "it sees what is written"
modprobe null_blk nr_devices=1 || skip "the kernel has no null_blk"
head -c 16M /dev/zero >"$W/file"
LOOP=$(losetup -f --show "$W/file")
E2E_LOOPS+=("$LOOP")
HERE=/var/kmod-load
mkdir -p $HERE
sectors=$((8 << 11))
exact "virtio, ext4" $sectors 0 load $HERE/file 8 4k-64k
exact scsi $sectors 0 load "$VM_SCSI" 8 512-128k
exact "scsi, 4 MiB each" $sectors 0 load "$VM_SCRATCH" 8 4m-4m
exact nvme $sectors 0 load "$VM_NVME" 8 512-128k
exact loop $sectors 0 load "$LOOP" 8 4k-64k
exact null_blk $sectors 0 load /dev/nullb0 8 4k-64k
exact "discard, scsi" 0 $((64 << 11)) blkdiscard -o 0 -l 64M "$VM_SCSI"
exact "discard, nvme" 0 $((64 << 11)) blkdiscard -o 0 -l 64M "$VM_NVME"
exact "discard, loop" 0 $((4 << 11)) blkdiscard -o 4M -l 4M "$LOOP"
before=$(counted zeroes completed_sectors)
exact "zeroes, nvme" $((64 << 11)) 0 blkdiscard -z -o 0 -l 64M "$VM_NVME"
[ $(($(counted zeroes completed_sectors) - before)) = $((64 << 11)) ] || fail "zeroes: $(counted zeroes completed_sectors), before $before"

say "a driver's command"
before=$(counted passthrough issued completed)
"$BUILD/tests/passthrough" scsi "$VM_SCSI" "00 00 00 00 00 00" || fail "TEST UNIT READY"
"$BUILD/tests/passthrough" admin "$VM_NVME" 06 1 in 4096 >/dev/null || fail "Identify"
after=$(counted passthrough issued completed)
read -r i0 c0 i1 c1 <<<"$before $after"
if [ $((i1 - i0)) -lt 2 ] || [ $((c1 - c0)) != $((i1 - i0)) ]; then fail "of two commands $((i1 - i0)) and $((c1 - c0)) were seen"; fi

say "a write that fails"
mkdir "$W/small"
mount -t tmpfs -o size=1M tmpfs "$W/small"
E2E_MOUNTS+=("$W/small")
truncate -s 16M "$W/small/file"
FULL=$(losetup -f --show "$W/small/file")
E2E_LOOPS+=("$FULL")
snapshot
before=$(counted write failed)
if dd if=/dev/urandom of="$FULL" bs=1M count=4 oflag=direct 2>/dev/null; then fail "the write does not fail"; fi
snapshot
[ "$(counted write failed)" -gt "$before" ] || fail "no failure was seen"
losetup -d "$FULL"

say "it does not go while somebody reads its numbers"
exec 7<$COUNTERS
if said=$(rmmod tidemark 2>&1); then fail "it is unloaded under a reader"; fi
say "refused: $said"
exec 7<&-
rmmod tidemark
[ ! -e /sys/kernel/debug/tidemark ] || fail "its directory is left"

say "150 loads leave nothing behind, while the machine is quiet"
memory() {
	echo 3 >/proc/sys/vm/drop_caches
	awk '/^(SUnreclaim|Percpu|VmallocUsed):/ { kib += $2 } END { print kib }' /proc/meminfo
}
insmod "$MODULE"
rmmod tidemark
before=$(memory)
for _ in {1..150}; do
	insmod "$MODULE"
	rmmod tidemark
done
after=$(memory)
say "memory that is not a cache: $before KiB before, $after after"
[ $((after - before)) -lt 190 ] || fail "every load leaves some $(((after - before) * 1024 / 150)) bytes" # a queue is 2,600

say "loaded and unloaded $TIMES times under fio"
cat >"$W/fio" <<-FIO
	[global]
	rw=randwrite
	bsrange=4k-64k
	size=16M
	direct=1
	ioengine=psync
	time_based=1
	runtime=100000
	rate_iops=300
	[virtio]
	filename=$HERE/file
	[scsi]
	filename=$VM_SCSI
	[nvme]
	filename=$VM_NVME
	[loop]
	filename=$LOOP
	[null]
	filename=/dev/nullb0
FIO
fio --output="$W/fio.out" "$W/fio" &
LOAD=$!
E2E_PIDS+=("$LOAD")
some() { [ "$(counted write completed)" -ge 20 ]; }
for ((n = 1; n <= TIMES; n++)); do
	insmod "$MODULE" || fail "load $n: $(dmesg | tail -n 5)"
	if ((n % 10 == 0)); then e2e_until 60 some || fail "load $n: nothing is seen: $(cat $COUNTERS)"; fi
	rmmod tidemark || fail "unload $n"
	kill -0 "$LOAD" || fail "the load ended: $(tail -n 20 "$W/fio.out")"
done
kill -INT "$LOAD"
wait "$LOAD" || true
grep -E 'err= *[1-9]' "$W/fio.out" && fail "the load has met errors"

say "and it counts as before"
modprobe tidemark || fail "modprobe does not find it"
exact scsi $sectors 0 load "$VM_SCSI" 8 512-128k
rmmod tidemark
losetup -d "$LOOP"
E2E_LOOPS=()
say "done"
