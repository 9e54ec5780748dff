#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A disk with an EFI system partition (vfat) beside ext4, mounted (R17): vfat cannot be frozen. It is synced, and the point is made
# while nobody writes it; while somebody does, be it a file or the disk itself, there is no point and the reason names the writer.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
e2e_setup
sfdisk -q "$VM_SCSI" <<'TABLE'
label: gpt
start=2048, size=131072, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
start=133120
TABLE
partx -u "$VM_SCSI"
mkfs.vfat -F 32 "${VM_SCSI}1" >/dev/null
mkfs.ext4 -qF "${VM_SCSI}2"
e2e_mount "${VM_SCSI}1" "$W/esp"
e2e_mount "${VM_SCSI}2" "$W/mnt"
if fsfreeze -f "$W/esp" 2>/dev/null; then fail "vfat can be frozen here: this proves nothing"; fi
mkdir -p "$W/esp/EFI/debian"
head -c 1M /dev/urandom >"$W/esp/EFI/debian/grubx64.efi"

e2e_start
source_ protect web "$VM_SCSI" >/dev/null
e2e_wait_copied web
e2e_background "$BUILD/tests/writer" "$W/mnt/load" --length 8M --seconds 6000 --seed "$E2E_SEED" --pause 20
LOAD=$E2E_LAST
say "ext4 is written, vfat is not"
e2e_mark web quiet --app
[ "$(e2e_status web .point.kind)" = app ] || fail "the point is not app-consistent"
say "the same with what a kernel update leaves, and a reference at the same cut"
head -c 3M /dev/urandom >"$W/esp/EFI/debian/grubx64.efi"
echo menu >"$W/esp/EFI/debian/grub.cfg"
kill -STOP "$LOAD"
sync -f "$W/esp"
fsfreeze -f "$W/mnt"
vm_image "$VM_SCSI" "$W/reference"
e2e_mark web update --app
fsfreeze -u "$W/mnt"
kill -CONT "$LOAD"
e2e_same web "$W/reference"

for scheduler in none mq-deadline; do
	echo $scheduler >"/sys/block/${VM_SCSI#/dev/}/queue/scheduler"
	say "scheduler $scheduler: a file on vfat is written"
	e2e_background "$BUILD/tests/writer" "$W/esp/file" --length 1M --seconds 6000 --mode direct
	vm_mark_fails web "last writer was writer \(pid $E2E_LAST\)" --app
	kill "$E2E_LAST"
	wait "$E2E_LAST"
	e2e_mark web "$scheduler-1" --app
	say "scheduler $scheduler: the disk is written, between the partition table and the first partition"
	e2e_background "$BUILD/tests/writer" "$VM_SCSI" --offset 64K --length 512K --seconds 6000 --mode direct
	vm_mark_fails web "last writer was writer \(pid $E2E_LAST\)" --app
	kill "$E2E_LAST"
	wait "$E2E_LAST"
	e2e_mark web "$scheduler-2" --app
done

kill "$LOAD"
wait "$LOAD"
e2e_umount "$W/mnt"
e2e_umount "$W/esp"
e2e_mark web rest
vm_same web "$VM_SCSI"
source_ unprotect web >/dev/null
say "done"
