#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Commands that pass the block layer by (R29), on SCSI and NVMe disks: what only asks or reads leaves no doubt; what may write makes
# the disk doubtful, with the command and the process in the reason, everything is copied again, and the point equals the disk.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
e2e_setup
SIZE=$(blockdev --getsize64 "$VM_SCSI")
passthrough() { "$BUILD/tests/passthrough" "$@"; }
doubt() { e2e_status "$1" .disks[0].doubt; }
gap() { e2e_status "$1" .disks[0].gap; }
sent() { e2e_status "$1" .sent_disk_bytes; }
doubted() { [[ $(doubt "$1") =~ $2 ]]; }
# harmless NAME COMMAND...
harmless() {
	local before
	before=$(gap "$1")
	passthrough "${@:2}" || fail "$1: ${*:2}"
	e2e_mark "$1" "harmless$RANDOM"
	[ "$(gap "$1")" = "$before" ] || fail "$1: ${*:2} raised the gap count: $(doubt "$1")"
}
# writes NAME DEVICE PATTERN COMMAND...: what the doubt must say.
writes() {
	local name=$1 device=$2 pattern=$3 before sent
	shift 3
	before=$(gap "$name") sent=$(sent "$name")
	head -c 4096 /dev/urandom >"$W/data"
	passthrough "$@" out "$W/data" || fail "$name: $*"
	e2e_until 20 doubted "$name" "$pattern" || fail "$name: the doubt says '$(doubt "$name")', not '$pattern'"
	say "$name: $(doubt "$name")"
	[ "$(gap "$name")" -gt "$before" ] || fail "$name: the gap count stayed at $before"
	e2e_mark "$name" "after$RANDOM"
	[ $(($(sent "$name") - sent)) -ge "$SIZE" ] || fail "$name: not everything was copied again"
	[ -z "$(doubt "$name")" ] || fail "$name: the doubt outlives the point"
	vm_same "$name" "$device"
}

for disk in "$VM_SCSI" "$VM_NVME"; do
	"$BUILD/tests/writer" "$disk" --length 16M --block 65536 --count 60 --mode direct --seed "$E2E_SEED" >/dev/null
done
e2e_start
source_ protect scsi "$VM_SCSI" >/dev/null
source_ protect nvme "$VM_NVME" >/dev/null
e2e_wait_copied scsi
e2e_wait_copied nvme
e2e_mark scsi first
e2e_mark nvme first
vm_same scsi "$VM_SCSI"
vm_same nvme "$VM_NVME"

say "what asks and reads"
harmless scsi scsi "$VM_SCSI" "00 00 00 00 00 00"                          # TEST UNIT READY
harmless scsi scsi "$VM_SCSI" "12 00 00 00 60 00" in 96                    # INQUIRY
harmless scsi scsi "$VM_SCSI" "1a 00 3f 00 c0 00" in 192                   # MODE SENSE(6)
harmless scsi scsi "$VM_SCSI" "28 00 00 00 00 10 00 00 08 00" in 4096      # READ(10)
harmless nvme nvme "$VM_NVME" 02 16 in 4096                                # Read
harmless nvme admin "$VM_NVME" 06 1 in 4096                                # Identify
harmless nvme admin "$VM_NVME" 02 0x007f0002 in 512                        # Get Log Page: SMART

say "what writes"
writes scsi "$VM_SCSI" "command 2a .* by passthrough, process [0-9]+" scsi "$VM_SCSI" "2a 00 00 00 80 00 00 00 08 00" # WRITE(10)
writes scsi "$VM_SCSI" "command 8a .* by passthrough" scsi "$VM_SCSI" "8a 00 00 00 00 00 00 00 90 00 00 00 00 08 00 00" # WRITE(16)
writes nvme "$VM_NVME" "command 01 .* by passthrough" nvme "$VM_NVME" 01 0x8000 # Write

say "while no shipper runs"
e2e_shipper_kill
head -c 4096 /dev/urandom >"$W/data"
passthrough scsi "$VM_SCSI" "2a 00 00 00 a0 00 00 00 08 00" out "$W/data"
e2e_shipper_start
e2e_until 20 doubted scsi "command 2a .* by passthrough" || fail "scsi: the doubt says '$(doubt scsi)'"
e2e_mark scsi later
vm_same scsi "$VM_SCSI"
source_ unprotect scsi >/dev/null
source_ unprotect nvme >/dev/null
say "done"
