#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What cannot be proven sends everything again (I1): a tracker that did not run, a disk that was detached and written elsewhere. What cannot
# be tracked, or is our own, is refused with the reason.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
e2e_setup
e2e_disk DISK 48M
e2e_start
source_ protect web "$DISK" >/dev/null
e2e_wait_copied web
e2e_mark web one
e2e_same web "$DISK_FILE"
part() { "$BUILD/tests/writer" "$DISK" --offset "$1" --length 4M --block 4096 --count 200 --mode direct --seed "$RANDOM"; }
again() {
	e2e_shipper_start
	e2e_wait_copied web
	e2e_mark web "$1"
	e2e_same web "$DISK_FILE"
	say "$1: bit for bit"
}

say "tracking goes on while the shipper is dead: only what changed travels"
e2e_shipper_kill
part 0
again dead
[ "$(e2e_status web .sent_disk_bytes)" -lt $((16 << 20)) ] || fail "more travelled than was written: $(e2e_status web .)"

say "the tracker did not run: everything travels"
e2e_shipper_stop
rm -rf "$PINS"
part 8M
again untracked
[ "$(e2e_status web .sent_disk_bytes)" -ge $((48 << 20)) ] || fail "a write that nobody saw was trusted: $(e2e_status web .)"

say "the disk was away and came back changed under the same name"
e2e_shipper_stop
losetup -d "$DISK"
"$BUILD/tests/writer" "$DISK_FILE" --offset 16M --length 4M --block 4096 --count 200 --mode pwrite --seed 5
e2e_until 20 losetup "$DISK" "$DISK_FILE" || fail "the loop device stays"
again away

say "a verify that was cancelled while the disk was away has compared nothing, and does not say that it has"
e2e_shipper_stop
losetup -d "$DISK"
away() { ! losetup "$DISK" >/dev/null 2>&1; }
e2e_until 20 away || fail "the loop device stays"
e2e_shipper_start
source_ verify web --wait >"$W/verify.out" 2>&1 &
VERIFY=$!
cancelled() { source_ verify web --cancel >/dev/null 2>&1; }
e2e_until 20 cancelled || fail "it cannot be cancelled"
rc=0
wait "$VERIFY" || rc=$?
[ $rc -ne 0 ] || fail "said of a verify that never began: $(cat "$W/verify.out")"
grep -q cancelled "$W/verify.out" || fail "said: $(cat "$W/verify.out")"
e2e_shipper_stop
e2e_until 20 losetup "$DISK" "$DISK_FILE" || fail "the loop device stays"
again back

say "one disk of two is unknown to the tracker, and the target was put back to before the first chunk: the other one travels too"
e2e_disk ONE 16M
e2e_disk TWO 16M
e2e_target_stop
cp -a --sparse=always "$W/target" "$W/kept"
e2e_target_start
source_ protect pair "$ONE" "$TWO" >/dev/null
"$BUILD/tests/writer" "$TWO" --length 4M --block 4096 --count 200 --mode direct --seed 6
e2e_wait_copied pair
e2e_mark pair both
e2e_wait_quiet pair
e2e_shipper_stop
losetup -d "$ONE"
e2e_until 20 losetup "$ONE" "$ONE_FILE" || fail "the loop device stays"
e2e_target_stop
rm -rf "$W/target"
mv "$W/kept" "$W/target"
e2e_target_start
e2e_shipper_start
e2e_wait_copied pair
e2e_mark pair anew
e2e_same pair "$ONE_FILE" 0
e2e_same pair "$TWO_FILE" 1

say "a disk that holds the target's directory on this host is refused: it would feed itself (R31)"
e2e_disk STATE 64M
mkfs.ext4 -qF "$STATE"
e2e_mount "$STATE" "$W/state"
e2e_target_stop
cp -a "$W/target/." "$W/state/"
mount --bind "$W/state" "$W/target"
E2E_MOUNTS=("$W/target" "${E2E_MOUNTS[@]}")
e2e_target_start
if source_ protect state "$STATE" 2>"$W/out"; then fail "the disk with the target's directory was protected"; fi
grep -q "$W/target\|$STATE" "$W/out" || fail "the refusal names neither: $(cat "$W/out")"
say "refused: $(cat "$W/out")"
e2e_target_stop
say "done"
