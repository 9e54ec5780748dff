#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The log and the map against the disk (I1), where requests come in other ways: every scheduler, a partition beside the whole disk, what
# lies above a tracked disk (linear, crypt, RAID 1), RWF_NOWAIT, files that are punched and trimmed, a disk that is attached under
# load; and takes under load, with the map alone (I2, I4).
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
# shellcheck source=tests/vm/kmod-oracle.bash
. "$(dirname "$0")/kmod-oracle.bash"
W=$(mktemp -d /dev/shm/tidemark-kmod.XXXXXX)
TAKES=${TAKES:-1000}
LOAD=
cleanup() {
	local rc=$? n
	trap - EXIT
	[ -z "$LOAD" ] || kill "$LOAD" 2>/dev/null || true
	wait
	umount "$W/mnt" 2>/dev/null || true
	for n in {0..7}; do "$LOG" detach "$n" 2>/dev/null || true; done
	kmod_unload || rc=1
	for n in "${LOOPS[@]}"; do losetup -d "$n" || true; done
	sleep 0.5
	for n in above other; do dmsetup remove $n 2>/dev/null || true; done
	rm -rf "$W"
	exit "$rc"
}
LOOPS=()
trap cleanup EXIT
kmod_load
mkdir "$W/mnt"
loop() { # FILE SIZE: sets LOOP
	truncate -s "$2" "$W/$1"
	LOOP=$(losetup -f --show "${@:3}" "$W/$1")
	LOOPS+=("$LOOP")
}
mixed() { # DEVICE
	fio --name=mixed --filename="$1" --rw=randwrite --bsrange=512-64k --blockalign=512 --direct=1 --ioengine=io_uring --iodepth=16 \
		--serialize_overlap=1 --fallocate=none --size=90m --number_ios=300 --randrepeat=0 --refill_buffers --norandommap --output=/dev/null
}

say "every scheduler"
begin "$VM_SCSI"
queue=/sys/block/$(basename "$VM_SCSI")/queue
for module in mq-deadline kyber-iosched bfq; do modprobe $module 2>/dev/null || true; done
for scheduler in $(tr -d '[]' <"$queue/scheduler"); do
	echo "$scheduler" >"$queue/scheduler"
	oracle "$scheduler" mixed "$VM_SCSI"
done

say "RWF_NOWAIT: what the kernel does not take is neither on the disk nor in the log (R5)"
again() { jq -e '.again > 0 and .bytes > 0' "$W/json" >/dev/null || fail "$1: it was not both taken and refused: $(cat "$W/json")"; }
nowait() { # PATH LENGTH WRITER-OPTION...
	"$BUILD/tests/writer" "$1" --mode uring --nowait --length "$2" --count 400 --seed $RANDOM "${@:3}" >"$W/json"
}
echo none >"$queue/scheduler"
requests=$(cat "$queue/nr_requests")
echo 4 >"$queue/nr_requests"
oracle "direct" nowait "$VM_SCSI" 90M --block 8K
again "direct"
echo "$requests" >"$queue/nr_requests"
end
loop xfs 320M
mkfs.xfs -qf "$LOOP"
begin "$LOOP"
on_xfs() { # half of what is written is in the page cache: the other half would have to be read
	mount "$LOOP" "$W/mnt"
	head -c 16M /dev/urandom >"$W/mnt/file"
	sync -f "$W/mnt"
	echo 3 >/proc/sys/vm/drop_caches
	head -c 8M "$W/mnt/file" >/dev/null
	nowait "$W/mnt/file" 16M --block 512 --buffered
	umount "$W/mnt"
}
oracle "buffered" on_xfs
again "buffered"
end
begin "$VM_SCSI"

say "above it"
SECTORS_ABOVE=$((64 << 11))
modprobe dm_mod
dmsetup create above --table "0 $SECTORS_ABOVE linear $VM_SCSI 2048"
oracle "dm-linear" mixed /dev/mapper/above
dmsetup remove above
modprobe dm_crypt && modprobe xts && modprobe ecb
dmsetup create above --table "0 $SECTORS_ABOVE crypt aes-xts-plain64 $(printf '%0128d' 7) 0 $VM_SCSI 2048"
oracle "dm-crypt" mixed /dev/mapper/above
dmsetup remove above
end
if modprobe dm_raid 2>/dev/null; then
	begin "$VM_SCSI"
	GAPS=may oracle "RAID 1" bash -c "
		dmsetup create above --table '0 $SECTORS_ABOVE raid raid1 3 0 region_size 1024 2 - $VM_SCSI - $VM_NVME' &&
		$(declare -f mixed) && mixed /dev/mapper/above && sync && dmsetup remove above"
	end
fi

say "a partition, and the whole disk beside it"
loop parts 128M -P
printf 'label: gpt\nstart=2048, size=65536\nstart=69632, size=131072\n' | sfdisk -q --no-tell-kernel --no-reread "$LOOP"
partx -u "$LOOP" 2>/dev/null || partx -a "$LOOP"
e2e_until 10 test -b "${LOOP}p2" || fail "no partition"
# One protection: two disks, one log.
read -r _ WHOLE _ < <("$LOG" attach oracle whole "$LOOP" "$RING" 4096)
read -r _ PART _ < <("$LOG" attach oracle part "${LOOP}p2" "$RING" 4096)
[ "$WHOLE" != "$PART" ] || fail "the partition took the disk's place"
both() {
	local name=$1
	shift
	for DISK in "$LOOP" "${LOOP}p2"; do
		blockdev --flushbufs "$DISK"
		image "$W/${DISK##*/}"
	done
	"$LOG" log oracle on >/dev/null
	"$LOG" fence oracle "$("$LOG" take oracle | field sequence)"
	"$LOG" release "$WHOLE" 0 $((128 << 11))
	"$LOG" release "$PART" 0 131072
	GAP=$(gap)
	"$@"
	for DISK in "$LOOP" "${LOOP}p2"; do blockdev --flushbufs "$DISK"; done
	"$LOG" replay oracle - "$WHOLE:$W/${LOOP##*/}" "$PART:$W/${LOOP##*/}p2" >"$W/said"
	for DISK in "$LOOP" "${LOOP}p2"; do
		image "$W/now"
		cmp "$W/${DISK##*/}" "$W/now" || fail "$name: the log is not $DISK: $(cat "$W/said")"
	done
	[ "$(gap)" = "$GAP" ] || fail "$name: a gap: $("$LOG" status oracle)"
	say "$name: $(cat "$W/said")"
	"$LOG" log oracle off >/dev/null
}
both "through the partition" mixed "${LOOP}p2"
both "through the disk" fio --name=disk --filename="$LOOP" --rw=randwrite --bs=32k --direct=1 --offset=33m --size=80m --number_ios=200 \
	--ioengine=psync --randrepeat=0 --refill_buffers --output=/dev/null
"$LOG" detach "$WHOLE"
"$LOG" detach "$PART"

say "files that are punched and trimmed"
loop files 200M
mkfs.ext4 -qF "$LOOP"
begin "$LOOP"
punched() {
	mount -o discard "$LOOP" "$W/mnt"
	for i in {1..20}; do head -c 1M /dev/urandom >"$W/mnt/$i"; done
	sync
	for i in {1..20}; do fallocate --punch-hole -o $((i * 8192)) -l 262144 "$W/mnt/$i"; done
	fallocate -l 8M "$W/mnt/long" && fallocate --zero-range -o 4096 -l 65536 "$W/mnt/long"
	rm "$W"/mnt/1*
	fstrim "$W/mnt"
	umount "$W/mnt"
}
GAPS=may oracle "punched and trimmed" punched
end

say "attached under load, on a disk that is slow to write: what is in flight is not on it yet"
modprobe dm_delay
dmsetup create other --table "0 $((96 << 11)) delay $VM_SCRATCH 0 0 $VM_SCRATCH 0 20"
LOOP=$(losetup -f --show --direct-io=on /dev/mapper/other)
LOOPS+=("$LOOP")
mixed "$LOOP"
fio --name=busy --filename="$LOOP" --rw=randwrite --bsrange=512-32k --blockalign=512 --direct=1 --ioengine=io_uring --iodepth=16 \
	--serialize_overlap=1 --fallocate=none --time_based --runtime=100000 --rate_iops=400 --randrepeat=0 --refill_buffers --norandommap \
	--output=/dev/null &
LOAD=$!
truncate -s 96M "$W/copy"
for n in {1..5}; do
	sleep 1
	read -r _ N _ FRESH < <("$LOG" attach oracle disk "$LOOP" "$RING" 4096)
	[ "$FRESH" = 1 ] || fail "not fresh"
	"$LOG" takes oracle "$N" "$LOOP" "$W/copy" 3 >"$W/said"
	[ "$n" = 5 ] || "$LOG" detach "$N"
done

say "$TAKES takes under load: with the map alone"
"$LOG" takes oracle "$N" "$LOOP" "$W/copy" "$TAKES" >"$W/said"
kill -INT "$LOAD"
wait "$LOAD" || true
LOAD=
"$LOG" takes oracle "$N" "$LOOP" "$W/copy" 1 >>"$W/said"
dd if="$LOOP" of="$W/now" bs=1M iflag=direct status=none
cmp "$W/copy" "$W/now" || fail "what was taken is not the disk: $(cat "$W/said")"
say "$(paste -sd' ' "$W/said")"
"$LOG" detach "$N"
say "done"
