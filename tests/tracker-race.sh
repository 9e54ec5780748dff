#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The checkpoint race: a take and a read while a write is on its way to the disk. The mark at completion saves it (R1); with the
# completion program detached the same steps lose the write, which proves that the race happened.
set -euo pipefail
# shellcheck source=tests/tracker-lib.bash
. "$(dirname "$0")/tracker-lib.bash"
tracker_setup nbdkit nbdfuse

SIZE=$((16 << 20))
COPY=$WORK/copy
nbdkit -f -U "$WORK/nbd" --filter=delay memory $SIZE wdelay=300ms &
CHILDREN+=($!)
until_true [ -S "$WORK/nbd" ]
touch "$WORK/file"
nbdfuse "$WORK/file" --unix "$WORK/nbd" &
CHILDREN+=($!)
served() {
	[ "$(stat -c %s "$WORK/file")" = $SIZE ]
}
until_true served || skip "nbdfuse does not serve its file"
MOUNTS+=("$WORK/file")
LOOP=$(losetup -f --show --direct-io=on "$WORK/file") || skip "no loop device on nbdfuse"
LOOPS+=("$LOOP")

# The tool runs on through all of it: what it holds open does not keep a link alive, and it would mend one if it were opened.
coproc TOOL { exec "$BUILD/tests/track" "$PINS"; }
CHILDREN+=("$TOOL_PID")
ask() {
	local line
	echo "$*" >&"${TOOL[1]}"
	ANSWER=
	while read -r line <&"${TOOL[0]}"; do
		case $line in
		ok) return 0 ;;
		error*) fail "$*: $line" ;;
		*) ANSWER=$line ;;
		esac
	done
	fail "$*: the tool ended"
}

ask attach disk "$LOOP"
read -r _ SLOT _ <<<"$ANSWER"
truncate -s $SIZE "$COPY"
# Both are zeroes: nothing to copy.
ask take "$SLOT"
ask release "$SLOT" 0 $SIZE

# race BLOCK: a write, and a round that starts after its issue and reads before it lands. True if the copy has it at rest.
race() {
	local block=$1 writer
	head -c 4096 /dev/urandom >"$WORK/data"
	dd if="$WORK/data" of="$LOOP" bs=4096 seek="$block" oflag=direct conv=notrunc status=none &
	writer=$!
	for _ in {1..200}; do
		ask count "$SLOT" now
		[ "$ANSWER" = 0 ] || break
		sleep 0.002
	done
	ask ship "$SLOT" "$LOOP" "$COPY"
	same "$block" && echo "block $block: not in time, the round read what was written" || EARLY=$((EARLY + 1))
	wait "$writer"
	ask ship "$SLOT" "$LOOP" "$COPY"
	same "$block"
}
same() {
	cmp -s "$WORK/data" <(dd if="$COPY" bs=4096 skip="$1" count=1 status=none)
}

EARLY=0
for block in 3 4 900 901 902 1500; do
	race "$block" || fail "block $block: lost with both programs attached"
done
[ "$EARLY" -gt 0 ] || fail "no round read before the write landed: this proves nothing"
echo "$EARLY of 6 rounds read too early, nothing was lost"
ask take "$SLOT"

rm "$PINS/link_complete"
LOST=0
for block in 2000 2001 2002 2003 2004 2005; do
	race "$block" || LOST=$((LOST + 1))
done
[ "$LOST" -gt 0 ] || fail "nothing was lost without the completion program: this test would not see a loss"
echo "without the completion program $LOST of 6 were lost"

# And a shipper would have noticed: everything is marked again, the program runs again.
ask gap "$SLOT"
before=$ANSWER
ask poll
ask gap "$SLOT"
[ "$ANSWER" != "$before" ] || fail "the missing program was not noticed"
ask ship "$SLOT" "$LOOP" "$COPY"
dd if="$LOOP" of="$WORK/disk" bs=1M iflag=direct status=none
cmp "$WORK/disk" "$COPY" || fail "the copy is not the disk after the doubt"
race 2100 || fail "lost after the program was attached again"
ask detach "$SLOT"
