#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Swap is scratch (R17): it arrives as its header and zeroes, and points are made while it is in use. The loop device's file lies on a
# real filesystem: swap above tmpfs would swap itself out into itself.
E2E_DIR=${E2E_SWAP_DIR:-/var/tmp}
export E2E_DIR
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
[ "$(wc -l </proc/swaps)" -le 1 ] || skip "this machine swaps already"
[ "$(stat -f -c %T "$E2E_DIR")" != tmpfs ] || skip "$E2E_DIR is a tmpfs: swap above it can hang the machine"
e2e_setup
e2e_disk DISK 128M -P
printf 'label: gpt\nstart=2048, size=65536\nstart=69632, size=131072\n' | sfdisk -q --no-tell-kernel --no-reread "$DISK"
partx -u "$DISK" 2>/dev/null || partx -a "$DISK"
e2e_until 10 test -b "${DISK}p2" || fail "no partition node"
"$BUILD/tests/writer" "${DISK}p2" --length 32M --block 65536 --count 512 --mode direct --seed 7
mkfs.ext4 -qF "${DISK}p1"
mkswap -q -L scratch "${DISK}p2"
swapon -p 0 "${DISK}p2" || skip "swapon is not allowed here"
off() { swapoff "${DISK}p2" 2>/dev/null || true; }
at_exit() {
	local status=$?
	set +e
	off
	(exit $status)
	e2e_cleanup
}
trap at_exit EXIT
e2e_mount "${DISK}p1" "$W/mnt"
e2e_start
source_ protect web "$DISK" >/dev/null
e2e_wait_copied web
cp -r /usr/include/linux "$W/mnt/"
e2e_mark web one --app
e2e_export web "$W/copy"
dd if="$W/copy" of="$W/swap" bs=1M skip=34 count=64 status=none
[ "$(blkid -p -s LABEL -o value "$W/swap")" = scratch ] || fail "the swap header did not arrive"
cmp -i 4096:0 -n $((60 << 20)) "$W/swap" /dev/zero || fail "swap's contents travelled"
dd if="$W/copy" of="$W/fs" bs=1M skip=1 count=32 status=none
e2fsck -fn "$W/fs" >/dev/null 2>&1 || fail "the filesystem beside it is damaged"

say "swap switched off is ordinary space again"
off
e2e_umount "$W/mnt"
e2e_mark web two
e2e_same web "$DISK_FILE"

say "swap switched off while a round is read: what is written there then is not taken for swap"
mkswap -q "${DISK}p2"
swapon -p 0 "${DISK}p2"
e2e_shipper_stop
e2e_forget_marks # everything is read again
echo "read-rate = 16M" >>"$W/shipper.conf"
e2e_shipper_start
reading() { [ "$(e2e_status web .total_bytes)" -ge $((128 << 20)) ] && e2e_is web .first_copy true; }
e2e_until 20 reading || fail "no round begins"
off
"$BUILD/tests/writer" "${DISK}p2" --offset 4M --length 28M --block 65536 --count 512 --mode direct --seed 9
e2e_mark web three
e2e_same web "$DISK_FILE"
say "done"
