# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For tests that need a machine of their own (scripts/vm): the tools of tests/e2e-lib.bash, and the guest's disks. Sourced.
#
# VM_SCSI, VM_NVME: 256 MiB each. VM_SCRATCH: an empty SCSI disk of 6 GiB. Their contents go with the machine.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "${BASH_SOURCE[0]}")/../e2e-lib.bash"
[ -n "${TIDEMARK_GUEST-}" ] || skip "needs a machine of its own: scripts/vm"

# What the disk holds, past the page cache, sparse.
vm_image() { # DEVICE FILE
	rm -f "$2"
	dd if="$1" of="$2" bs=1M iflag=direct conv=sparse status=none
	truncate -s "$(blockdev --getsize64 "$1")" "$2"
}
# vm_same NAME DEVICE [DISK]: the newest point's disk equals the device as it is now.
vm_same() {
	vm_image "$2" "$W/device.image"
	e2e_same "$1" "$W/device.image" "${3:-0}"
	rm "$W/device.image"
}
vm_mark_fails() { # NAME PATTERN [--app]: no point is made, and what the command says about it matches
	local said
	if said=$(source_ mark "$1" --wait "${@:3}" 2>&1); then fail "$1: a point was made"; fi
	[[ $said =~ $2 ]] || fail "$1: '$said' does not match '$2'"
	say "refused: $said"
}
