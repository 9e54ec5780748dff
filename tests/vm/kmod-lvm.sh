#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# LVM by its own tools above a tracked disk: its metadata, volumes that grow and move, a snapshot and its merge. All of that are
# requests of the disk, and so in log and map (I1). The merge is what nobody sees who looks at the volume (R8).
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
# shellcheck source=tests/vm/kmod-oracle.bash
. "$(dirname "$0")/kmod-oracle.bash"
command -v lvm >/dev/null || skip "no lvm (scripts/deps vm)"
W=$(mktemp -d /dev/shm/tidemark-kmod.XXXXXX)
# Without udev, which the guest does not have, and on these two disks only.
CONFIG="activation { udev_sync=0 udev_rules=0 monitoring=0 } backup { backup=0 archive=0 } global { event_activation=0 }
	devices { use_devicesfile=0 issue_discards=1 filter=[ \"a|^$VM_SCSI\$|\", \"a|^$VM_NVME\$|\", \"r|.*|\" ] }"
cleanup() {
	local rc=$? n
	trap - EXIT
	pkill -x kmodlog || true
	umount "$W/mnt" "$W/snap" 2>/dev/null || true
	lvm vgchange -an vg --config "$CONFIG" >/dev/null 2>&1 || true
	for n in {0..7}; do "$LOG" detach "$n" 2>/dev/null || true; done
	kmod_unload || rc=1
	rm -rf "$W"
	exit "$rc"
}
trap cleanup EXIT
kmod_load
mkdir "$W/mnt" "$W/snap"
modprobe dm_mod
modprobe dm_snapshot
modprobe dm_mirror

lvm_() { lvm "$@" --config "$CONFIG" >"$W/lvm" 2>&1 || fail "lvm $*: $(cat "$W/lvm")"; }
LV=/dev/mapper/vg-data
fill() { # DIRECTORY: files of which no two are the same
	fio --name=files --directory="$1" --nrfiles=10 --filesize=256k --rw=randwrite --bs=4k --fsync=32 --randrepeat=0 --refill_buffers \
		--output=/dev/null
}
volume() {
	lvm_ lvcreate -y -Wy -Zy -L 48M -n data vg
	mkfs.ext4 -qF $LV
	mount $LV "$W/mnt"
	fill "$W/mnt"
	umount "$W/mnt"
}
grow() { # while it is in use
	mount $LV "$W/mnt"
	lvm_ lvextend -L +40M vg/data
	resize2fs $LV >/dev/null 2>&1
	head -c 50M /dev/urandom >"$W/mnt/large"
	umount "$W/mnt"
}
snapshot() {
	mount $LV "$W/mnt"
	lvm_ lvcreate -y -s -L 40M -n before vg/data
	rm "$W/mnt/large"
	fill "$W/mnt"
	mount /dev/mapper/vg-before "$W/snap"
	[ -e "$W/snap/large" ] || fail "that is no snapshot"
	fill "$W/snap"
	umount "$W/snap"
	umount "$W/mnt"
}
merge() { # the volume becomes what the snapshot is
	lvm_ lvconvert --mergesnapshot vg/before
	e2e_until 60 merged || fail "it is not merged: $(dmsetup status)"
	mount $LV "$W/mnt"
	[ -e "$W/mnt/large" ] || fail "it was not merged"
	umount "$W/mnt"
}
merged() { lvm_ lvs vg && [[ $(cat "$W/lvm") != *before* && $(dmsetup status vg-data) != *snapshot* ]]; }
move() {
	lvm_ vgextend vg "$VM_NVME"
	lvm_ pvmove -i 1 "$FROM" "$TO"
	mount $LV "$W/mnt"
	fill "$W/mnt"
	umount "$W/mnt"
}
remove() {
	lvm_ lvremove -y vg/data
	lvm_ vgremove vg
	lvm_ pvremove "$VM_SCSI" "$VM_NVME"
}

begin "$VM_SCSI"
group() {
	lvm_ pvcreate "$VM_SCSI"
	lvm_ vgcreate vg "$VM_SCSI"
}
oracle "pvcreate, vgcreate" group
oracle "lvcreate, mkfs" volume
oracle "lvextend" grow
oracle "a snapshot" snapshot
oracle "its merge" merge
end
begin "$VM_NVME"
FROM=$VM_SCSI TO=$VM_NVME
oracle "pvmove to the disk" move
end
begin "$VM_SCSI"
oracle "lvremove" remove
end
say "done"
