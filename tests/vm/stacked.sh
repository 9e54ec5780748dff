#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Filesystems on device-mapper and md over two disks: the upper device is refused with the names of the disks below; with the disks
# below protected, the freeze finds the filesystem above them, and the point is both disks at one instant, bit for bit.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
e2e_setup
sectors=$((100 << 11)) # of each disk
refused() { # DEVICE
	local said
	if said=$(source_ protect upper "$1" 2>&1); then fail "$1 is protected"; fi
	for disk in "$VM_SCSI" "$VM_NVME"; do
		[[ $said == *"${disk#/dev/}"* ]] || fail "'$said' does not name $disk"
	done
	say "refused: $said"
}
# upper NAME DEVICE: the test on that device.
upper() {
	local name=$1 device=$2 load
	mkfs.ext4 -qF "$device"
	e2e_mount "$device" "$W/mnt"
	refused "$device"
	source_ protect "$name" "$VM_SCSI" "$VM_NVME" >/dev/null
	e2e_wait_copied "$name"
	e2e_background "$BUILD/tests/writer" "$W/mnt/load" --length 120M --block 16384 --seconds 6000 --seed "$E2E_SEED" --pause 20
	load=$E2E_LAST
	e2e_mark "$name" busy --app
	[ "$(e2e_status "$name" .point.kind)" = app ] || fail "$name: the point is not app-consistent"
	kill -STOP "$load"
	fsfreeze -f "$W/mnt"
	vm_image "$VM_SCSI" "$W/reference0"
	vm_image "$VM_NVME" "$W/reference1"
	e2e_mark "$name" cut --app
	fsfreeze -u "$W/mnt"
	kill -CONT "$load"
	e2e_same "$name" "$W/reference0" 0
	e2e_same "$name" "$W/reference1" 1
	kill "$load"
	wait "$load"
	e2e_umount "$W/mnt"
	e2e_mark "$name" rest
	vm_same "$name" "$VM_SCSI" 0
	vm_same "$name" "$VM_NVME" 1
	source_ unprotect "$name" >/dev/null
}

e2e_start
say "device-mapper: stripes over both disks"
modprobe dm_mod
dmsetup create upper --table "0 $((2 * sectors)) striped 2 128 $VM_SCSI 2048 $VM_NVME 2048"
upper dm /dev/mapper/upper
dmsetup remove upper

say "md: a mirror over both disks, put together by hand"
modprobe raid1
echo md9 >/sys/module/md_mod/parameters/new_array
md=/sys/block/md9/md
echo none >$md/metadata_version
echo raid1 >$md/level
echo 2 >$md/raid_disks
echo $((sectors / 2)) >$md/component_size
for disk in "$VM_SCSI" "$VM_NVME"; do cat "/sys/block/${disk#/dev/}/dev" >$md/new_dev; done
echo 0 >$md/dev-"${VM_SCSI#/dev/}"/slot
echo 1 >$md/dev-"${VM_NVME#/dev/}"/slot
echo active >$md/array_state
upper md /dev/md9
echo inactive >$md/array_state
say "done"
