#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Hash first and verify (R11): what is in doubt goes as hashes and only what differs as data; a verify finds what nobody saw being
# written, sends it again, and says so; it finds nothing else while production writes; both go on over kills and lost sessions.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
SIZE=${SIZE:-256} # MiB
LOAD_SECONDS=${LOAD_SECONDS:-15}
e2e_setup
e2e_disk DISK "${SIZE}M"
dd if=/dev/urandom of="$DISK" bs=1M count=$((SIZE * 3 / 4)) oflag=direct status=none
e2e_start
source_ protect web "$DISK" >/dev/null
e2e_wait_copied web
e2e_mark web one
REPLICA=$W/target/protections/web/disk-0.raw

wire() { e2e_status web .sent_wire_bytes; }
verify() { source_ verify web --wait >"$W/verify.out" 2>&1; }
# Damages the replica behind everybody's back: other bytes than the disk has there.
damage() { dd if="$1" bs=1 skip="$2" count=1 status=none | tr '\0-\377' '\1-\377\0' | dd of="$REPLICA" bs=1 seek="$2" conv=notrunc status=none; }
found() { e2e_status web .verify.last.different_bytes; }
# Whatever the machine was before: the disk's marks are gone, as after a power cut.
lose_marks() {
	e2e_shipper_kill
	rm -rf "$PINS"
	rm -rf "$PINS"-*
}
writes_nobody_sees() { dd if=/dev/urandom of="$DISK" bs=4096 count=1 seek="$1" oflag=direct conv=notrunc status=none; }

say "an unchanged disk: all of it is compared, and next to nothing travels"
before=$(wire)
verify || fail "a difference in an unchanged disk: $(cat "$W/verify.out")"
[ "$(e2e_status web .verify.last.skipped_bytes)" = 0 ] || fail "a disk at rest was not compared as a whole"
sent=$(($(wire) - before))
say "$sent bytes for $SIZE MiB"
[ $((sent * 1000)) -lt $((SIZE << 20)) ] || fail "a verify sent $sent bytes"
[ $sent -gt $((SIZE * 32 * 16)) ] || fail "a verify sent $sent bytes: less than its tags are"

say "one byte of the replica that is not the disk's"
damage "$DISK" 77777777
rc=0
verify || rc=$?
[ $rc = 1 ] || fail "verify exits with $rc"
grep -q 'differed in 32.0 KiB' "$W/verify.out" || fail "said: $(cat "$W/verify.out")"
[ "$(found)" = 32768 ] || fail "found $(found) bytes"
rc=0
source_ status >"$W/status.out" || rc=$?
[ $rc = 1 ] || fail "status does not warn of it ($rc)"
grep -q 'differed in' "$W/status.out" || fail "status does not say it"
e2e_mark web two
e2e_same web "$DISK_FILE"
verify || fail "it was not repaired: $(cat "$W/verify.out")"
source_ status >/dev/null || fail "the warning stays"

say "a replica that is another one: more than is looked at twice"
dd if=/dev/urandom of="$REPLICA" bs=1M seek=16 count=100 conv=notrunc status=none
rc=0
verify || rc=$?
[ "$rc.$(found)" = "1.$((64 << 20))" ] || fail "found $(found) bytes ($rc): $(cat "$W/verify.out")"
[ "$(e2e_status web .verify.last.skipped_bytes)" = $((36 << 20)) ] || fail "not compared: $(e2e_status web .verify.last.skipped_bytes)"
[ "$(grep -c 'the replica' "$W/shipper.log")" -lt 50 ] || fail "each difference is a line of the log"
e2e_mark web replaced
e2e_same web "$DISK_FILE"

say "a verify goes on where a killed shipper left it"
source_ verify web --rate 16M >/dev/null
source_ verify web 2>/dev/null && fail "two verifies at once"
mib_done() { [ "$(e2e_status web .verify.done_bytes)" -gt $((48 << 20)) ]; }
e2e_until 30 mib_done || fail "no progress"
sleep 2.2
e2e_shipper_kill
e2e_shipper_start
resumed() { e2e_is web '.verify.running and .verify.done_bytes > 40000000' true; }
e2e_until 10 resumed || fail "it does not go on: $(e2e_status web .verify)"
source_ verify web --cancel >/dev/null
e2e_until 10 e2e_is web .verify.running false || fail "it is not cancelled"
source_ verify web --cancel 2>/dev/null && fail "what is not there was cancelled"

say "who waits for one that is cancelled, and another one begun, is not told that it ended"
source_ verify web --wait --rate 1M >"$W/verify.out" 2>&1 &
WAITS=$!
e2e_until 10 e2e_is web .verify.running true || fail "it does not begin"
source_ verify web --cancel >/dev/null
another() { source_ verify web --rate 1M >/dev/null 2>&1; }
e2e_until 10 another || fail "another one does not begin"
rc=0
wait "$WAITS" || rc=$?
[ $rc -ne 0 ] || fail "said of a cancelled verify: $(cat "$W/verify.out")"
grep -q 'was cancelled' "$W/verify.out" || fail "said: $(cat "$W/verify.out")"
source_ verify web --cancel >/dev/null
e2e_until 10 e2e_is web .verify.running false || fail "it is not cancelled"

say "marks lost, writes that nobody saw: hash first, and only what differs is sent"
lose_marks
for block in 7 8 20000 30001; do writes_nobody_sees $block; done
before=0 # of this shipper
e2e_shipper_start
e2e_wait_copied web
e2e_wait_quiet web
sent=$(($(wire) - before))
say "$sent bytes for 4 blocks of $SIZE MiB"
[ $sent -lt $((1 << 20)) ] || fail "$sent bytes were sent"
e2e_mark web three
e2e_same web "$DISK_FILE"

say "the same behind an interval that no mark closed, and with the shipper killed in between"
writes_nobody_sees 40000 # seen, and sent, but there is no point behind it
e2e_wait_quiet web
lose_marks
for block in 40000 40001 50000; do writes_nobody_sees $block; done
printf 'read-rate = 64M\n' >>"$W/shipper.conf"
e2e_shipper_start
half() { e2e_is web '.copied_bytes > 100000000' true; }
e2e_until 30 half || fail "no progress"
e2e_shipper_kill
e2e_shipper_start
e2e_wait_copied web
e2e_wait_quiet web
[ "$(wire)" -lt $((2 << 20)) ] || fail "$(wire) bytes were sent"
e2e_mark web four
e2e_same web "$DISK_FILE"

say "the session is lost in the middle of hashes"
lose_marks
for block in 1 60000; do writes_nobody_sees $block; done
e2e_shipper_start
e2e_until 30 half || fail "no progress"
kill -9 "$TARGET"
pkill -9 -s "$TARGET" || true
wait "$TARGET" 2>/dev/null || true
rm -f "$W/run/target.sock"
e2e_target_start
e2e_wait_copied web
e2e_mark web five
e2e_same web "$DISK_FILE"
[ "$(wire)" -lt $((3 << 20)) ] || fail "$(wire) bytes were sent"
sed -i '/read-rate/d' "$W/shipper.conf"

say "under load: points all the time, and no difference that is none"
source_ unprotect web >/dev/null
e2e_disk BUSY "${SIZE}M"
mkfs.ext4 -qF "$BUSY"
e2e_mount "$BUSY" "$W/mnt"
dd if=/dev/urandom of="$W/mnt/cold" bs=1M count=$((SIZE / 4)) status=none
sed -i 's/^point-every.*/point-every = 2s/' "$W/shipper.conf"
e2e_shipper_stop
e2e_shipper_start
source_ protect busy "$BUSY" >/dev/null
e2e_background "$BUILD/tests/writer" "$W/mnt/pages" --length $((SIZE / 8))M --block 4096 --seconds 360000 --mode pwrite --seed "$E2E_SEED" --pause 1
writers=("$E2E_LAST")
e2e_background "$BUILD/tests/writer" "$W/mnt/direct" --length $((SIZE / 16))M --block 16384 --seconds 360000 --mode direct --seed "$E2E_SEED"
writers+=("$E2E_LAST")
e2e_wait_copied busy
end=$((SECONDS + LOAD_SECONDS)) passes=0
while [ $SECONDS -lt $end ]; do
	source_ verify busy --wait >"$W/verify.out" 2>&1 || fail "a difference that is none: $(
		cat "$W/verify.out"
		grep differs "$W/shipper.log"
	)"
	passes=$((passes + 1))
done
say "$passes passes, $(e2e_status busy .verify.last.skipped_bytes) bytes not compared in the last one, newest point $(e2e_status busy .point.age_seconds) s old"
[ "$(e2e_status busy .verify.last.skipped_bytes)" -lt $((SIZE << 19)) ] || fail "hardly anything was compared"
REPLICA=$W/target/protections/busy/disk-0.raw
damage "$BUSY" $((SIZE * 1000000)) # free space, near the end
rc=0
source_ verify busy --wait >"$W/verify.out" 2>&1 || rc=$?
[ "$rc.$(($(e2e_status busy .verify.last.different_bytes) > 0))" = 1.1 ] || fail "not found under load ($rc): $(cat "$W/verify.out")"
kill "${writers[@]}"
wait "${writers[@]}" || true
e2e_umount "$W/mnt"
sed -i 's/^point-every.*/point-every = 0/' "$W/shipper.conf"
e2e_shipper_stop
e2e_shipper_start
e2e_wait_copied busy
e2e_mark busy six
e2e_same busy "$BUSY_FILE"

say "the rolling verify finds it by itself"
printf 'verify-every = 10s\n' >>"$W/shipper.conf"
e2e_shipper_stop
damage "$BUSY" 5555555
e2e_shipper_start
say "$(e2e_status busy '.verify | tostring')"
rolled() { e2e_is busy '.verify.last.asked == false and .verify.last.different_bytes > 0' true; }
e2e_until 120 rolled || fail "not found: $(e2e_status busy .verify)"
e2e_mark busy seven
e2e_same busy "$BUSY_FILE"

say "a copy that came by car: seeded, only what differs travels"
e2e_disk SECOND "${SIZE}M"
dd if="$DISK_FILE" of="$SECOND_FILE" bs=1M conv=notrunc,sparse status=none
cp --sparse=always "$SECOND_FILE" "$W/car.img"
for block in 3 4444 55555; do
	dd if=/dev/urandom of="$SECOND" bs=4096 count=1 seek=$block oflag=direct conv=notrunc status=none
done
"$BUILD/tidemark-target" seed car 0 "$W/car.img" --directory "$W/target" >/dev/null || fail "seed"
before=$(e2e_status busy .sent_wire_bytes)
source_ protect car "$SECOND" >/dev/null
e2e_wait_copied car
e2e_mark car first
[ "$(e2e_status car .sent_wire_bytes)" -lt $((1 << 20)) ] || fail "$(e2e_status car .sent_wire_bytes) bytes were sent"
e2e_same car "$SECOND_FILE"
say "done"
