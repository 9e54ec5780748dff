#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Disks that fail. Sectors that cannot be read (R30): listed in the status, the round ends and points are made without them, and
# once the disk is mended they are copied. A write that fails after a part of it has landed: its blocks are marked (I1).
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
e2e_setup
unreadable() { e2e_status web .unreadable_bytes; }
nothing_unreadable() { [ "$(unreadable)" = 0 ]; }

say "a SCSI disk with a medium error"
modprobe scsi_debug dev_size_mb=64 opts=0 medium_error_start=40960 medium_error_count=8 ||
	skip "the kernel has no scsi_debug with medium errors"
knob=/sys/bus/pseudo/drivers/scsi_debug/opts
DISK=
scsi_debug() {
	DISK=$(lsblk -dno PATH,MODEL | awk '$2 == "scsi_debug" { print $1 }')
	[ -b "$DISK" ]
}
e2e_until 20 scsi_debug || fail "no scsi_debug disk"
"$BUILD/tests/writer" "$DISK" --length 64M --block 65536 --count 300 --mode direct --seed "$E2E_SEED" >/dev/null
dd if=/dev/urandom of="$DISK" bs=4096 seek=$((40960 / 8)) count=1 oflag=direct status=none
vm_image "$DISK" "$W/whole"
echo 2 >$knob
if dd if="$DISK" of=/dev/null bs=4096 skip=$((40960 / 8)) count=1 iflag=direct 2>/dev/null; then fail "the sectors can be read"; fi
e2e_start
source_ protect web "$DISK" >/dev/null
e2e_wait_copied web
# Only an error that lasts is the medium's: until then a point is refused.
damaged() { source_ mark web --label damaged --wait >/dev/null 2>&1; }
e2e_until 30 damaged || fail "no point without the sectors"
e2e_until 60 e2e_at_point web damaged || fail "the replica does not reach the point"
bytes=$(unreadable)
if [ "$bytes" -lt 4096 ] || [ "$bytes" -gt 65536 ]; then fail "$bytes bytes are unreadable, and 8 sectors are"; fi
say "unreadable: $bytes bytes"
# The rest is there, and zeroes where nothing could be read.
cp "$W/whole" "$W/expected"
dd if=/dev/zero of="$W/expected" bs=4096 seek=$((40960 / 8)) count=$((bytes / 4096)) conv=notrunc status=none
e2e_same web "$W/expected"
say "points go on"
dd if=/dev/urandom of="$DISK" bs=65536 seek=10 count=3 oflag=direct status=none
e2e_mark web later
[ "$(unreadable)" = "$bytes" ] || fail "$(unreadable) bytes are unreadable, and were $bytes"
say "the disk is mended: written anew, as drives remap"
echo 0 >$knob
dd if=/dev/urandom of="$DISK" bs=4096 seek=$((40960 / 8)) count=1 oflag=direct status=none
e2e_mark web mended
e2e_until 60 nothing_unreadable || fail "$(unreadable) bytes are still listed as unreadable"
vm_same web "$DISK"
source_ unprotect web >/dev/null

say "a write that fails in its middle"
modprobe dm_mod
SECTORS=$((32 << 11))
good="0 $SECTORS linear $VM_SCRATCH 0"
table() { dmsetup suspend faulty && dmsetup reload faulty --table "$1" && dmsetup resume faulty; }
dmsetup create faulty --table "$good"
DISK=$(losetup -f --show --direct-io=on /dev/mapper/faulty)
E2E_LOOPS+=("$DISK")
source_ protect torn "$DISK" >/dev/null
e2e_wait_copied torn
e2e_mark torn before
vm_image "$DISK" "$W/before"
table "0 16448 linear $VM_SCRATCH 0
16448 1024 error
17472 $((SECTORS - 17472)) linear $VM_SCRATCH 17472"
if dd if=/dev/urandom of="$DISK" bs=65536 seek=$((16384 / 128)) count=1 oflag=direct 2>/dev/null; then fail "the write does not fail"; fi
table "$good"
vm_image "$DISK" "$W/after"
if cmp -s "$W/before" "$W/after"; then fail "nothing of the write has landed: this proves nothing"; fi
e2e_mark torn after
e2e_same torn "$W/after"
source_ unprotect torn >/dev/null
losetup -d "$DISK"
E2E_LOOPS=()
dmsetup remove faulty
say "done"
