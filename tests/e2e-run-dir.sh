#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A run-dir without room: what is kept there are hints, so that disks are protected, verified and taken up again without it.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
e2e_setup
mount -t tmpfs -o size=64k tmpfs "$W/run"
E2E_LAST_MOUNTS+=("$W/run")
e2e_disk DISK 64M
dd if=/dev/urandom of="$DISK" bs=1M count=48 oflag=direct status=none
e2e_start
dd if=/dev/zero of="$W/run/fill" bs=1k count=1024 2>/dev/null && fail "there is room in run-dir"
part() { "$BUILD/tests/writer" "$DISK" --offset "$1" --length 4M --block 4096 --count 200 --mode direct --seed "$RANDOM"; }

say "protected, verified, with a point"
source_ protect web "$DISK" >/dev/null
e2e_wait_copied web
part 0
source_ verify web --wait >/dev/null || fail "a difference"
e2e_mark web one
e2e_same web "$DISK_FILE"
grep -q 'web.doubt.*No space left on device' "$W/shipper.log" || fail "nobody says that there is no room for doubt"
source_ verify web --wait >/dev/null || fail "a difference"
[ "$(grep -c 'web.verify.*No space left on device' "$W/shipper.log")" = 1 ] || fail "that there is no room for the verify's place is not said once"

say "a killed shipper: nothing is lost"
e2e_shipper_kill
part 8M
e2e_shipper_start
e2e_wait_quiet web
e2e_mark web two
e2e_same web "$DISK_FILE"

say "room again, and all is in doubt: hash first as ever"
rm "$W/run/fill"
e2e_shipper_kill
rm -rf "$PINS"
part 16M
e2e_shipper_start
e2e_wait_copied web
[ -s "$W/run/web.doubt" ] || fail "doubt is not kept"
[ "$(e2e_status web .sent_wire_bytes)" -lt $((16 << 20)) ] || fail "all of it travelled: $(e2e_status web .)"
e2e_mark web three
e2e_same web "$DISK_FILE"

say "done"
