#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# First light: a mounted, busy ext4 reaches the target; an app point equals a reference taken at the same cut, bit for bit.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
e2e_setup
e2e_disk DISK 256M
mkfs.ext4 -qF "$DISK"
e2e_mount "$DISK" "$W/mnt"
cp -r /usr/include/linux "$W/mnt/"
e2e_start
source_ protect web "$DISK" >/dev/null
e2e_wait_copied web

say "a workload runs"
e2e_background "$BUILD/tests/writer" "$W/mnt/load" --length 16M --block 4096 --seconds 6000 --mode pwrite --seed "$E2E_SEED" --pause "$E2E_PAUSE"
LOAD=$E2E_LAST
churn() {
	while [ ! -e "$W/enough" ]; do
		cp -r "$W/mnt/linux" "$W/mnt/copy"
		rm -r "$W/mnt/copy"
		sleep "$((E2E_PAUSE / 2))"
	done
}
e2e_background churn
CHURN=$E2E_LAST
source_ mark web --label busy --app --wait >/dev/null || fail "no point under load"
[ "$(e2e_status web .point.kind)" = app ] || fail "the point is not app-consistent"

say "a reference at the same cut: frozen by us, so the shipper finds it frozen (EBUSY) and counts it"
kill -STOP "$LOAD"
fsfreeze -f "$W/mnt"
cp --sparse=always "$DISK_FILE" "$W/reference"
e2e_mark web cut --app
fsfreeze -u "$W/mnt"
kill -CONT "$LOAD"
e2e_same web "$W/reference"

say "the export is a clean filesystem"
e2e_export web "$W/copy.raw"
e2fsck -fn "$W/copy.raw" >"$W/fsck.log" 2>&1 || fail "e2fsck: $(tail -n 3 "$W/fsck.log")"

say "at rest the replica equals the disk"
touch "$W/enough"
wait "$CHURN"
kill "$LOAD"
wait "$LOAD"
e2e_umount "$W/mnt"
e2e_mark web rest
e2e_same web "$DISK_FILE"
source_ unprotect web >/dev/null
say "done"
