#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Broken frames, chunks and records, and garbage before TLS and inside it: a clear refusal, nothing of it kept, nothing crashed.
# shellcheck source=tests/target-lib.bash
. "$(dirname "$0")/target-lib.bash"
target_setup
target_start
source_new a
good a write 10 mark one
LAST=$(status web .durable_chunk)
for kind in magic chunk-version flags not-lz4 number prev payload-sum stored-length raw-length raw-short record-count \
	record-count-0 generation header-sum record-type record-hash record-mark record-reserved record-disk record-body \
	record-offset record-end record-unaligned record-length record-length-0 short empty cut hello join ack; do
	rc=0
	send a break $kind || rc=$?
	[ $rc -eq 2 ] || fail "$kind is not refused ($rc): $(cat "$W/out")"
	says "^refused 9 "
	printf '%s: %s\n' "$kind" "$(grep ^refused "$W/out" | cut -c1-120)"
	[ "$(status web .durable_chunk)" = "$LAST" ] || fail "$kind: something was kept"
done
say "what came before a broken chunk is kept, what is there twice is not"
rc=0
send a break again || rc=$?
[ $rc -eq 2 ] || fail "the same chunk twice is not refused ($rc)"
says "^refused 9 "
until_ok 20 is web .durable_chunk $((LAST + 1)) || fail "the chunk before the fault is lost"

say "another epoch in mid stream"
rc=0
send a write 1 flush break epoch || rc=$?
[ $rc -eq 2 ] || fail "another epoch in mid stream is not refused ($rc)"
says "^refused 9 .*epoch"

say "garbage"
tls() { timeout 20 openssl s_client -quiet -connect "127.0.0.1:$PORT" -cert "$W/a/source.pem" -key "$W/a/source.key" 2>/dev/null; }
printf 'GET / HTTP/1.0\r\n\r\n' | timeout 20 socat -t 20 - "TCP:127.0.0.1:$PORT" >/dev/null || true
head -c 100000 /dev/urandom | timeout 20 socat -t 20 - "TCP:127.0.0.1:$PORT" >/dev/null 2>&1 || true
socat -u /dev/null "TCP:127.0.0.1:$PORT"
# type, flags, length, body; a REFUSE comes back as frame 35
for frame in '\x63\x00\x00\x00\x04\x00\x00\x00abcd' '\x01\x00\x01\x00\x04\x00\x00\x00abcd' '\x01\x00\x00\x00\xff\xff\xff\xff' \
	'\x02\x00\x00\x00\x04\x00\x00\x00abcd' '\x01\x00\x00\x00\x04\x00\x00\x00abcd' '\x03\x00\x00\x00\x04\x00\x00\x00abcd' \
	'\x01\x00\x00\x00\x00\x00\x00\x00' '\x05\x00\x00\x00\x00\x00\x00\x00'; do
	{
		# shellcheck disable=SC2059
		printf "$frame"
		sleep 1
	} | tls >"$W/out" || true
	od -An -tx1 -N2 "$W/out" | grep -q "23 00" || fail "no refusal for $frame"
done
for ((i = 0; i < 30; i++)); do head -c $((RANDOM % 3000)) /dev/urandom | tls >/dev/null || true; done
# A frame that never ends, and a peer that says nothing, are somebody else's connections.
(printf '\x01\x00\x00\x00\x40\x00\x00\x00' && sleep 5) | tls >/dev/null &
PIDS+=($!)
(sleep 5) | socat - "TCP:127.0.0.1:$PORT" >/dev/null 2>&1 &
PIDS+=($!)
good a write 10 mark two
same web a two
if grep -E "signal|said what does not belong" "$W/daemon.log"; then fail "something crashed"; fi
target_stop
say "done"
