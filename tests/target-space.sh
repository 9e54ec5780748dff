#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A journal at its limit, and a full filesystem: the source is told, nothing is lost, the old point opens, and it goes on when there
# is room, or when the newest point is given up.
# shellcheck source=tests/target-lib.bash
. "$(dirname "$0")/target-lib.bash"
target_setup "journal-limit = 16M" "reserve = 1M"
target_start
source_new a
DISKS=33554432,1049088

say "an interval larger than the journal may be"
good a --disks $DISKS write 10 mark one
cp -a "$W/a" "$W/before"
sender() {
	"$BUILD/tests/fakesource" "$W/a" 127.0.0.1 "$PORT" --seed "$RANDOM" "$@" >"$W/out" 2>&1 &
	SENDER=$!
	PIDS+=("$SENDER")
}
sender write 1500 mark two
until_ok 60 grep -q "^note 1 .*drop web --now" "$W/out" || fail "the source is not told: $(cat "$W/out")"
until_ok 20 is web .state full || fail "status does not say so: $(status web .)"
say "note: $(grep '^note 1' "$W/out")"
same web before one
# While it waits it can be asked, superseded, and killed.
kill -9 "$SENDER"
wait "$SENDER" 2>/dev/null || true
until_ok 20 is web .connected false || fail "the receiver waits for ever"
sender write 10 mark two
until_ok 60 grep -q "^note 1" "$W/out" || fail "the source is not told: $(cat "$W/out")"
same web before one
ask drop '{"name":"web","now":true}' >/dev/null
wait "$SENDER" || fail "it did not go on: $(cat "$W/out")"
says "^note 0"
same web a two
[ "$(status web .reason)" = "" ] || fail "a reason stays: $(status web .reason)"
target_stop

say "a full filesystem"
truncate -s 96M "$W/fs.img"
mkfs.ext4 -qF -m 0 "$W/fs.img"
LOOP=$(losetup -f --show "$W/fs.img")
LOOPS+=("$LOOP")
rm -rf "$W/t" "$W/a"
mkdir "$W/t"
mount "$LOOP" "$W/t"
MOUNTS+=("$W/t")
"$BUILD/tidemark-target" init "$W/t" >/dev/null
target_conf "reserve = 2M" "journal-spare = 1M"
target_start
source_new a
good a --disks $DISKS write 300 mark one
same web a one
rm -rf "$W/before"
cp -a "$W/a" "$W/before"
AVAILABLE=$(df --output=avail -B1K "$W/t" | tail -n 1)
fallocate -l "$((AVAILABLE - 12000))K" "$W/t/ballast"
full() {
	local rc=0
	send a --patience 5 write 200 flush || rc=$?
	[ $rc -ne 0 ] && grep -Eq "^(note 1|refused 8) .*(full|space)" "$W/out"
}
until_ok 60 full || fail "nobody says that the disk is full: $(cat "$W/out")"
say "said: $(grep -E '^(note 1|refused 8)' "$W/out" | head -n 1)"
same web before one
say "what is in the journal can be applied without any more space"
ask drop '{"name":"web","now":true}' >/dev/null
DURABLE=$(status web .durable_chunk)
applied() { [ "$(status web .applied_chunk)" -ge "$DURABLE" ] && is web .reason ""; }
until_ok 30 applied || fail "the applier has no space: $(status web .)"
rm "$W/t/ballast"
good a write 10 mark three
same web a three

say "no space at all, whatever is reserved"
target_stop
target_conf "reserve = 0" "journal-spare = 1M"
target_start
cp -a "$W/a/." "$W/before/"
AVAILABLE=$(df --output=avail -B1K "$W/t" | tail -n 1)
fallocate -l "$((AVAILABLE - 2500))K" "$W/t/ballast"
until_ok 60 full || fail "nobody says that the disk is full: $(cat "$W/out")"
say "said: $(grep -E '^(note 1|refused 8)' "$W/out" | head -n 1)"
same web before three
target_kill
target_start
rm "$W/t/ballast"
good a write 10 mark four
same web a four
target_stop
if grep "ended by signal" "$W/daemon.log"; then fail "something crashed"; fi
say "done"
