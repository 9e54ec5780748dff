#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# HASH records with a real target: what the replica has is told as equal, what it has not as different, what waits or was
# interrupted as undecided; over kills of applier and receiver, a full journal, a receiver that is deaf.
# shellcheck source=tests/target-lib.bash
. "$(dirname "$0")/target-lib.bash"
target_setup "journal-limit = 16M" "journal-spare = 0"
# Replicas lie on a disk of their own, so that what a page cache has can differ from what the disk has; one with large sectors, which
# not every range can be read from around the page cache.
truncate -s 128M "$W/fs.img"
LOOP=$(losetup -f --show -b 4096 "$W/fs.img") || skip "no loop devices"
LOOPS+=("$LOOP")
mkfs.ext4 -q -b 4096 "$LOOP"
mount "$LOOP" "$W/t/protections"
MOUNTS+=("$W/t/protections")
chmod 700 "$W/t/protections"
target_start
source_new a
REPLICA=$W/t/protections/web
spoil() { # DISK BYTE
	local was
	was=$(od -An -tu1 -j "$2" -N 1 "$REPLICA/disk-$1.raw")
	printf '%b' "\\x$(printf %x $((was ^ 32)))" | dd of="$REPLICA/disk-$1.raw" bs=1 seek="$2" conv=notrunc status=none
}
# What was told but whole results: "differs 0 32768 32768" ..., of all chunks.
words() { sed -n 's/^compared [0-9]* //p' "${1:-$W/out}" | grep -v whole || true; }
told() { # WORDS DIR ACTION...
	local want=$1
	shift
	good "$@" compared
	says "^compared [0-9]* whole"
	[ "$(words)" = "$want" ] || fail "$*: told '$(words)', not '$want'"
}
never() { if words "${2:-$W/out}" | grep -q "$1"; then fail "told as $1: $(cat "${2:-$W/out}")"; fi; }
applier() { until_ok 20 child tidemark-apply || fail "no applier"; } # a drop begins another one
new_applier() { [ -n "$(child tidemark-apply)" ] && [ "$(child tidemark-apply)" != "$1" ]; }

say "no point yet: compared as it is applied"
good a flush
says "holds 0"
until_ok 20 is web .applied_chunk 1 || fail "nothing is applied" # the applier is there: what it finds at its start is undecided
told "" a hash all
says "holds 1"
told "differs 0 65536 1024" a bad 0:65536:1024
told "differs 1 1046528 2048" a bad 1:1046528:2048 hash all # the disk ends within a piece
spoil 0 100000
told "differs 0 98304 32768" a hash all
told "" a put 0:99840:512 hash all

say "behind a point: compared with it, but for what waits for its mark"
good a mark one
told "" a hash all
told "undecided 0 0 32768" a put 0:4096:512 hash all
told "undecided 0 0 32768
undecided 1 1015808 32768
undecided 1 1048576 512" a put 1:1048576:512 put 1:1015808:512 hash all
spoil 0 2000000
told "undecided 0 0 32768
differs 0 1998848 32768
undecided 1 1015808 32768
undecided 1 1048576 512" a hash all
good a put 0:1999872:512 mark two
told "" a hash all
same web a two

say "rot on the disk, below what the page cache has"
good a put 0:163840:4096 mark rot
until_ok 20 at_point web rot || fail "no point"
# Where block 40 of disk 0 is on that disk.
BLOCK=$(filefrag -b4096 -v "$REPLICA/disk-0.raw" | tr -d : |
	awk '$1 ~ /^[0-9]+$/ && $2 + 0 <= 40 && 40 < $2 + $6 { print $4 + 40 - $2 }')
[ -n "$BLOCK" ] || fail "where is block 40: $(filefrag -v "$REPLICA/disk-0.raw")"
cmp -n 4096 -i "163840:$((BLOCK * 4096))" "$W/a/disk-0.raw" "$W/fs.img" || fail "block 40 is not at $BLOCK"
dd if="$REPLICA/disk-0.raw" of=/dev/null bs=1M status=none
head -c 16 /dev/urandom | dd of="$W/fs.img" bs=1 seek=$((BLOCK * 4096 + 100)) conv=notrunc status=none
cmp "$REPLICA/disk-0.raw" "$W/a/disk-0.raw" || fail "the page cache does not hide it"
told "differs 0 163840 32768" a hash all
good a put 0:163840:4096 mark healed
told "" a hash all

say "applier killed, before a mark and behind one"
for state in EMPTY POINT; do
	[ $state = POINT ] || ask drop '{"name":"web","now":true}' >/dev/null
	for ((round = 1; round <= 2; round++)); do
		APPLIER=$(applier)
		"$BUILD/tests/fakesource" "$W/a" 127.0.0.1 "$PORT" --seed "$round$SEED" put 0:8192:512 hash all put 0:8192:512 hash all \
			write 20 hash all write 20 hash all compared >"$W/a.out" 2>&1 &
		SESSION=$!
		PIDS+=("$SESSION")
		sleep "0.0$((RANDOM % 9))"
		kill -9 "$APPLIER"
		until_ok 20 new_applier "$APPLIER" || fail "no applier again"
		wait "$SESSION" || fail "$state: $(cat "$W/a.out")"
		never differs "$W/a.out"
	done
	good a mark $state
	told "" a hash all
	same web a $state
done

say "applier killed while results are due: they come all the same"
APPLIER=$(applier)
kill -STOP "$APPLIER"
"$BUILD/tests/fakesource" "$W/a" 127.0.0.1 "$PORT" hash all flush bad 1:0:512 put 0:0:512 hash all flush compared >"$W/a.out" 2>&1 &
SESSION=$!
PIDS+=("$SESSION")
acked_twice() { [ "$(grep -c '^acked' "$W/a.out")" -eq 2 ]; }
until_ok 20 acked_twice || fail "no acks: $(cat "$W/a.out")"
if grep -q compared "$W/a.out"; then fail "a stopped applier compared"; fi
kill -9 "$APPLIER"
wait "$SESSION" || fail "$(cat "$W/a.out")"
[ "$(words "$W/a.out")" = "differs 1 0 512
undecided 0 0 32768" ] || fail "told: $(cat "$W/a.out")"

say "receiver killed: nobody hears what was another session's"
APPLIER=$(applier)
kill -STOP "$APPLIER"
hold a bad all flush
RECEIVER=$(child tidemark-recv)
kill -9 "$RECEIVER"
until_ok 20 grep -q "^ended" "$W/a.hold" || fail "it goes on: $(cat "$W/a.hold")"
if grep -q "^compared" "$W/a.hold"; then fail "a stopped applier compared"; fi
"$BUILD/tests/fakesource" "$W/a" 127.0.0.1 "$PORT" hash 1:0:512 flush compared >"$W/a.out" 2>&1 &
SESSION=$!
PIDS+=("$SESSION")
until_ok 20 grep -q "^acked" "$W/a.out" || fail "no session: $(cat "$W/a.out")"
kill -CONT "$APPLIER"
wait "$SESSION" || fail "$(cat "$W/a.out")"
[ "$(grep -c "^compared" "$W/a.out")" -eq 1 ] || fail "told: $(cat "$W/a.out")"

say "a full journal: results come through while no chunk is taken"
APPLIER=$(applier)
kill -STOP "$APPLIER"
"$BUILD/tests/fakesource" "$W/a" 127.0.0.1 "$PORT" --seed "$SEED" bad 1:0:512 write 2000 mark full >"$W/a.out" 2>&1 &
SESSION=$!
PIDS+=("$SESSION")
until_ok 60 grep -q "^note 1" "$W/a.out" || fail "the journal is not full: $(cat "$W/a.out")"
kill -CONT "$APPLIER"
until_ok 60 grep -q "^compared .* whole" "$W/a.out" || fail "no result: $(cat "$W/a.out")"
if grep -q "^note 0" "$W/a.out"; then fail "there was room before anybody made some"; fi
ask drop '{"name":"web","now":true}' >/dev/null
wait "$SESSION" || fail "$(cat "$W/a.out")"
same web a full

say "a receiver that does not read: its session ends, and the next one is told"
APPLIER=$(applier)
kill -STOP "$APPLIER"
many=()
for ((i = 0; i < 8000; i++)); do many+=(bad 1:0:512); done
rm "$W/a.hold"
hold a "${many[@]}" flush
RECEIVER=$(child tidemark-recv)
kill -STOP "$RECEIVER"
kill -CONT "$APPLIER"
until_ok 60 grep -q "asked again" "$W/daemon.log" || fail "nobody notices"
kill -CONT "$RECEIVER"
until_ok 60 grep -q "^refused 13" "$W/a.hold" || fail "the session goes on: $(tail -n 3 "$W/a.hold")"
told "differs 1 0 512" a bad 1:0:512 hash all
good a mark end
same web a end
target_stop
if grep "signal" "$W/daemon.log" | grep -v "signal 9"; then fail "something crashed"; fi
if grep "said what does not belong" "$W/daemon.log"; then fail "somebody was not understood"; fi
say "done"
