#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 of receiver, applier, supervisor and source at random moments, and a clean stop in mid stream: everything goes on by itself,
# and the point at the end is bit for bit what the source has. ROUNDS=20.
# shellcheck source=tests/target-lib.bash
. "$(dirname "$0")/target-lib.bash"
target_setup "journal-spare = 1M"
target_start
source_new a
good a write 10 mark start
# Writes and marks until it is told to stop; a session that ends begins again.
stream() {
	local n=0
	until [ -e "$W/stop" ]; do
		n=$((n + 1))
		"$BUILD/tests/fakesource" "$W/a" 127.0.0.1 "$PORT" --seed "$n$SEED" write 100 mark "m$n" write 100 flush >>"$W/out" 2>&1 || {
			case $? in
			3 | 137) ;;
			*) tail -n 1 "$W/out" | grep -q "dial\|refused 1[23]" || exit 1 ;;
			esac
		}
	done
}
stream &
STREAM=$!
PIDS+=("$STREAM")
one_of() { child "$1" | shuf -n 1; }
for ((round = 1; round <= ${ROUNDS:-20}; round++)); do
	sleep "0.$((RANDOM % 9))$((RANDOM % 9))"
	what=$((RANDOM % 5))
	case $what in
	0) PID=$(one_of tidemark-recv) && kill -9 "$PID" 2>/dev/null && printf 'receiver ' ;;
	1) PID=$(one_of tidemark-apply) && kill -9 "$PID" 2>/dev/null && printf 'applier ' ;;
	2)
		printf 'supervisor '
		target_kill
		target_start
		;;
	3) pkill -9 -f "fakesource $W/a " && printf 'source ' ;;
	4)
		printf 'stop '
		target_stop
		target_start
		;;
	esac || true
	kill -0 "$STREAM" || fail "the stream broke: $(tail -n 3 "$W/out")"
done
echo
touch "$W/stop"
wait "$STREAM" || fail "the stream ended badly: $(tail -n 3 "$W/out")"
until_ok 60 is web '.reason' "" || fail "not sound: $(status web .)"
grep -c relation "$W/out" | sed 's/^/sessions: /'
good a mark end
same web a end
say "what is durable is applied also without a source, after a kill of everything"
APPLIER=$(child tidemark-apply)
kill -STOP "$APPLIER"
good a write 50 flush
good a write 5 mark last
at_point web last && fail "a stopped applier applied"
target_kill
target_start
same web a last
[ "$(status web .connected)" = false ] || fail "who is connected"
target_stop
if grep "signal" "$W/daemon.log" | grep -v "signal 9"; then fail "something crashed"; fi
say "done"
