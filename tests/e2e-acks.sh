#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Acks that come late, or never: one clears nothing that a later take holds (I2), and what was sent and not acked is sent again, by this
# shipper or the next. A point that is being prepared when the protection is paused is given up: no application stays stopped.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
e2e_setup
printf '%s\n' "read-rate = 8M" "freeze-memory = 1M" >>"$W/shipper.conf"
e2e_disk DISK 48M
e2e_start
source_ protect web "$DISK" >/dev/null
e2e_wait_copied web
e2e_until 30 e2e_is web '.lag_bytes == 0 and .copied_bytes == .total_bytes' true || fail "the first copy goes on"
scatter() { # OFFSET LENGTH COUNT SEED
	"$BUILD/tests/writer" "$DISK" --offset "$1" --length "$2" --block 8192 --count "$3" --mode direct --seed "$4" >/dev/null
}
# The target neither reads nor acks, and keeps its connections.
hold() { pkill -STOP -s "$TARGET"; }
release() { pkill -CONT -s "$TARGET"; }
sent() { [ "$(e2e_status web .sent_disk_bytes)" -gt "$1" ]; }
unacked() { # COMMAND...: what it writes is on its way when this returns
	local before
	before=$(e2e_status web .sent_disk_bytes)
	"$@"
	e2e_until 20 sent "$before" || fail "nothing is sent"
}

say "an ack of the older content while the newer one waits to be read"
hold
unacked scatter 24M 24M 500 1
scatter 0 48M 4000 2
sleep 1
release
e2e_wait_quiet web
e2e_mark web late
e2e_same web "$DISK_FILE"

say "both sides die with chunks between them"
hold
unacked scatter 0 48M 100 3
e2e_shipper_kill
pkill -KILL -s "$TARGET"
wait "$TARGET" 2>/dev/null || true
rm -f "$W/run/target.sock"
e2e_target_start
e2e_shipper_start
e2e_wait_copied web
e2e_wait_quiet web
e2e_mark web never
e2e_same web "$DISK_FILE"

say "paused while a point is prepared"
mkdir -p "$W/scripts/web"
cat >"$W/scripts/web/pre" <<-SCRIPT
	#!/bin/sh
	touch "$W/stopped"
	pkill -STOP -s $TARGET
	exec "$BUILD/tests/writer" "$DISK" --offset 0 --length 16M --block 1M --count 64 --mode direct --seed 5
SCRIPT
cat >"$W/scripts/web/post" <<-SCRIPT
	#!/bin/sh
	rm "$W/stopped"
SCRIPT
chmod 755 "$W/scripts/web/pre" "$W/scripts/web/post"
before=$(e2e_status web .sent_disk_bytes)
e2e_background source_ mark web --app --wait
MARK=$E2E_LAST
e2e_until 20 test -e "$W/stopped" || fail "the pre script does not run"
e2e_until 20 sent "$before" || fail "nothing is sent"
source_ pause web >/dev/null
running() { [ ! -e "$W/stopped" ]; }
e2e_until 20 running || fail "the application stays stopped while the protection is paused"
if wait "$MARK"; then fail "there is a point of a paused protection"; fi
ticks() { awk '{ print $14 + $15 }' "/proc/$SHIPPER/stat"; }
before=$(ticks)
sleep 2
[ $(($(ticks) - before)) -lt "$(getconf CLK_TCK)" ] || fail "a paused shipper is busy"
release
rm "$W/scripts/web/pre"
source_ resume web >/dev/null
e2e_wait_quiet web
e2e_mark web resumed
e2e_same web "$DISK_FILE"
say "done"
