#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 of shipper, receiver, applier and supervisor, cuts of the connection, and marks that are lost with the shipper (as in a power
# cut), at random moments under load and while a verify runs: the chain goes on by itself, the result is the disk, bit for bit, and the
# verify finds no difference where none is (I2, I5, I7, R1-R4, R11). ROUNDS and SEED can be set.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
ROUNDS=${ROUNDS:-50}
e2e_setup
e2e_disk DISK 128M
mkfs.ext4 -qF "$DISK"
e2e_mount "$DISK" "$W/mnt"
e2e_target_init
e2e_target_start
# The connection goes through a relay, so that it can be cut.
RELAY=$(e2e_port)
listens() { ss -Hltn "sport = :$1" | grep -q .; }
# The port may be taken for a moment by what was killed.
relay_once() {
	setsid socat "TCP-LISTEN:$RELAY,bind=127.0.0.1,reuseaddr,fork" "TCP:127.0.0.1:$PORT" 2>/dev/null &
	SOCAT=$!
	E2E_PIDS+=("$SOCAT")
	local try
	for try in 1 2 3 4 5 6 7 8 9 10; do
		kill -0 "$SOCAT" 2>/dev/null || return 1
		if listens "$RELAY" && [ "$try" -gt 2 ]; then return 0; fi
		sleep 0.1
	done
	return 1
}
relay() { e2e_until 20 relay_once || fail "no relay"; }
cut() {
	pkill -9 -s "$SOCAT" || true
	wait "$SOCAT" 2>/dev/null || true
	relay
}
command -v socat >/dev/null || skip "no socat"
relay
e2e_shipper_start
TOKEN=$(target token | grep -o 'tm1-[a-zA-Z0-9-]*')
source_ join "127.0.0.1:$RELAY" "$TOKEN" >/dev/null
source_ protect web "$DISK" >/dev/null
e2e_background "$BUILD/tests/writer" "$W/mnt/load" --length 24M --block 4096 --seconds 3600 --mode pwrite --seed "$E2E_SEED"
LOAD=$E2E_LAST
e2e_background "$BUILD/tests/writer" "$W/mnt/direct" --length 8M --block 16384 --seconds 3600 --mode direct --seed "$E2E_SEED"
LOAD2=$E2E_LAST

children() { pgrep -s "$TARGET" | grep -vx "$TARGET"; }
child() { # receiver or applier
	local pid
	for pid in $(children); do
		if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "$1" || grep -q "$1" "/proc/$pid/comm" 2>/dev/null; then echo "$pid"; fi
	done
}
for round in $(seq 1 "$ROUNDS"); do
	sleep "0.$((RANDOM % 90 + 10))"
	[ $((RANDOM % 4)) -ne 0 ] || source_ verify web >/dev/null 2>&1 || true
	case $((RANDOM % 6)) in
	0)
		what=shipper
		e2e_shipper_kill
		e2e_shipper_start
		;;
	1)
		what=receiver
		for pid in $(child recei); do kill -9 "$pid" 2>/dev/null || true; done
		;;
	2)
		what=applier
		for pid in $(child appl); do kill -9 "$pid" 2>/dev/null || true; done
		;;
	3)
		what=connection
		cut
		;;
	4)
		what=supervisor
		kill -9 "$TARGET"
		wait "$TARGET" 2>/dev/null || true
		sleep 0.5
		pkill -9 -s "$TARGET" || true
		rm -f "$W/run/target.sock"
		e2e_target_start
		;;
	5)
		what='shipper and the marks'
		e2e_shipper_kill
		e2e_forget_marks
		e2e_shipper_start
		;;
	esac
	say "round $round: killed the $what"
	if [ $((round % 5)) -eq 0 ]; then
		e2e_wait_copied web
		kill -STOP "$LOAD" "$LOAD2"
		fsfreeze -f "$W/mnt"
		cp --sparse=always "$DISK_FILE" "$W/reference"
		e2e_mark web "round$round"
		fsfreeze -u "$W/mnt"
		kill -CONT "$LOAD" "$LOAD2"
		e2e_same web "$W/reference"
		say "round $round: the point equals its reference"
	fi
done
say "the source dies in the middle of a round: the newest point still equals its reference (I11, R36)"
e2e_wait_copied web
e2e_shipper_kill
e2e_until 20 target_answers
sleep 1
e2e_same web "$W/reference"
e2e_shipper_start
kill "$LOAD" "$LOAD2"
wait "$LOAD" "$LOAD2"
e2e_umount "$W/mnt"
e2e_wait_copied web
e2e_mark web rest
e2e_same web "$DISK_FILE"
if grep differs "$W/shipper.log"; then fail "a verify found a difference that nobody made"; fi
source_ verify web --cancel >/dev/null 2>&1 || true
source_ verify web --wait || fail "the replica differs at the end"
say "done"
