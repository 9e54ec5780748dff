#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Source and target put back to an older copy of their state while the other went on: recognised, nothing lost, no wrong point (R3, R14).
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
e2e_setup
e2e_disk DISK 64M
e2e_start "journal-spare = 256M"
source_ protect web "$DISK" >/dev/null
e2e_wait_copied web
part() { "$BUILD/tests/writer" "$DISK" --offset "$1" --length 4M --block 4096 --count 400 --mode direct --seed "$RANDOM"; }
keep() { cp -a --sparse=always "$W/target" "$W/kept"; }
# put_back WHAT...: these parts of the target's directory as they were at keep.
put_back() {
	local what
	e2e_target_stop
	for what in "$@"; do
		rm -rf "$W/target/$what"
		cp -a --sparse=always "$W/kept/$what" "$W/target/$what"
	done
	rm -f "$W"/target/target.db-wal "$W"/target/target.db-shm
	e2e_until 10 e2e_is web .connected false || fail "the shipper does not notice that the target is gone"
	e2e_target_start
}
# However the target answers, the operator's way out ends in a replica that equals the disk.
steady() { e2e_quiet web && sleep 1.5 && e2e_quiet web; }
settle() {
	if ! e2e_until 15 steady; then
		say "$1: refused: $(e2e_status web .reason)"
		[ -n "$(e2e_status web .reason)" ] || fail "$1: no reason is given"
		target drop web --now >/dev/null || fail "$1: drop --now is no way out"
		e2e_wait_quiet web
	fi
	part 8M
	e2e_mark web "$1"
	e2e_same web "$DISK_FILE"
	say "$1: the point equals the disk"
}

part 0
e2e_mark web first
e2e_shipper_stop
e2e_target_stop
keep
e2e_target_start
e2e_shipper_start
part 4M
part 16M
e2e_mark web second

say "the whole target goes back: it is behind"
put_back protections target.db
settle target
say "parts of it go back"
P=protections/web
keep2() {
	e2e_shipper_stop
	e2e_target_stop
	rm -rf "$W/kept"
	keep
	e2e_target_start
	e2e_shipper_start
	part "$1"
	e2e_mark web kept
}
keep2 20M
put_back $P/sidecar
settle sidecar
keep2 24M
put_back $P/journal
settle journal
keep2 28M
put_back $P/disk-0.raw
settle replica
keep2 32M
put_back target.db
settle catalogue
keep2 36M
put_back $P/sidecar $P/journal
settle "sidecar and journal"
keep2 40M
put_back $P/sidecar $P/disk-0.raw
settle "sidecar and replica"

say "the source goes back: its memory of what was acked (the tracker's cookie) and its disk, as a reverted VM would"
e2e_wait_quiet web
e2e_shipper_stop
"$BUILD/tests/track" "$PINS" save-cookie 0 "$W/cookie" || fail "cannot save the cookie"
cp --sparse=always "$DISK_FILE" "$W/old-disk"
e2e_shipper_start
part 44M
part 0
e2e_mark web ahead
e2e_shipper_stop
"$BUILD/tests/track" "$PINS" load-cookie 0 "$W/cookie" || fail "cannot put the cookie back"
cat "$W/old-disk" >"$DISK_FILE"
blockdev --flushbufs "$DISK"
e2e_shipper_start
settle source
grep -q "ahead" "$W/shipper.log" || fail "the shipper did not notice that the target is ahead"
say "done"
