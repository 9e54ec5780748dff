#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What outlives a process, and what is noticed: kills, a second opener, detached programs, other media, growth, and disks that
# cannot be tracked.
set -euo pipefail
# shellcheck source=tests/tracker-lib.bash
. "$(dirname "$0")/tracker-lib.bash"
tracker_setup dd

SIZE=$((64 << 20))
BLOCKS=$((SIZE / 4096))
new_loop "$WORK/disk" $SIZE

write() {
	dd if=/dev/urandom of="$LOOP" bs=4096 seek="$1" count="$2" oflag=direct conv=notrunc status=none
}
expect() {
	local what=$1 want=$2 got
	shift 2
	got=$("$@") || fail "$what: $* failed"
	[ "$got" = "$want" ] || fail "$what: $* says \"$got\", not \"$want\""
}
# refused CODE WORDS COMMAND...: an error with this code and these words.
refused() {
	local code=$1 words=$2 text
	shift 2
	text=$(track "$@" 2>&1) && fail "$*: not refused"
	[[ $text == *"error $code "*$words* ]] || fail "$*: refused with \"$text\", not with $code and \"$words\""
}
status() {
	local text
	text=$(track status "$SLOT")
	echo "${text#*reason }"
}
# doubtful WORDS: poll notices, marks everything, raises the gap count, says why; and is content after that.
doubtful() {
	local before
	before=$(gap "$SLOT")
	track poll
	[ "$(gap "$SLOT")" -gt "$before" ] || fail "$1: the gap count did not move"
	expect "$1" "$BLOCKS" track count "$SLOT" now
	[[ $(status) == *$1* ]] || fail "the reason is \"$(status)\", not \"$1\""
	before=$(gap "$SLOT")
	track poll
	expect "$1, again" "$before" gap "$SLOT"
	clear_marks "$SLOT" "$SIZE"
}

# ---- marks outlive a killed process ----
coproc TOOL { exec "$BUILD/tests/track" "$PINS"; }
TOOL=("${TOOL[@]}")
PID=$TOOL_PID
CHILDREN+=("$PID")
tell() {
	local line
	echo "$*" >&"${TOOL[1]}"
	while read -r line <&"${TOOL[0]}"; do
		case $line in
		ok) return 0 ;;
		error*) fail "$*: $line" ;;
		*) echo "$line" ;;
		esac
	done
	fail "$*: the tool ended"
}
[ "$(tell attach disk "$LOOP")" = "slot 0 fresh 1 block 4096" ] || fail "no fresh attach"
SLOT=0
tell take 0 >/dev/null
tell release 0 0 $SIZE
tell set-cookie 0 4711
refused 16 "another process" poll
write 10 1
tell take 0 >/dev/null
write 20 2
kill -9 "$PID"
wait "$PID" 2>/dev/null || true
write 30 3
attach disk "$LOOP"
[ "$SLOT.$FRESH" = 0.0 ] || fail "the disk was not found again"
expect "taken before the kill" "40960 4096" track extents 0 taken
expect "written around the kill" $'81920 8192\n122880 12288' track extents 0 now
expect "cookie" "number 4711 epoch e5 hash 4a generation 7" track cookie 0
[[ $(track take 0) == *" blocks 6 bytes 24576" ]] || fail "a take does not unite what was taken and what was written"
# one of the three: which of two CPUs wrote last within a timer tick is not told
[[ $(track writer 0) =~ " comm dd offset "(122880|126976|131072)" length 4096"$ ]] || fail "the last writer is $(track writer 0)"
[[ $(track status 0) == *" writes 6 reason " ]] || fail "status: $(track status 0)"

# ---- release and mark go by whole blocks ----
track release 0 40961 4095
expect "half a block" 6 track count 0 taken
track release 0 0 45055
expect "up to the middle" 6 track count 0 taken
track release 0 0 45056
expect "a block" 5 track count 0 taken
track mark 0 4095 2
expect "two blocks touched" "0 8192" track extents 0 now
refused 22 "behind the disk's end" mark 0 $((SIZE - 1)) 2
refused 22 "behind the disk's end" release 0 18446744073709551615 2
refused 2 "no disk is tracked" take 5
track mark 0 $((SIZE - 1)) 1
clear_marks 0 $SIZE

# ---- programs that do not run ----
for link in link_issue link_complete; do
	rm "$PINS/$link"
	# Opening alone has to notice.
	before=$(gap 0)
	expect "$link is gone" $BLOCKS track count 0 now
	[[ $(status) == *"found detached"* ]] || fail "$link: the reason is \"$(status)\""
	clear_marks 0 $SIZE
	write 40 1
	expect "$link is back" "163840 4096" track extents 0 now
	clear_marks 0 $SIZE
done

# ---- the same disk, another medium, another size, another identity ----
detach_loop() {
	losetup -d "$LOOP"
	until_true eval "! losetup $LOOP >/dev/null 2>&1" || fail "the loop device does not go"
}
detach_loop
losetup "$LOOP" "$WORK/disk"
doubtful "detached and attached again"
# A shipper that was not there finds it at attach.
detach_loop
losetup "$LOOP" "$WORK/disk"
attach disk "$LOOP"
[ "$SLOT.$FRESH" = 0.1 ] || fail "another medium was taken for the old one"
expect "another medium" $BLOCKS track count 0 now
expect "the cookie of a fresh disk" "number 0 epoch 00 hash 00 generation 0" track cookie 0
before=$(gap 0)
attach disk "$LOOP" "another identity"
[ "$FRESH" = 1 ] || fail "another identity was taken for the old one"
[ "$(gap 0)" -gt "$before" ] || fail "the gap count of a fresh disk went back"
clear_marks 0 $SIZE

truncate -s $((SIZE + (8 << 20))) "$WORK/disk"
losetup -c "$LOOP"
doubtful "size of ${LOOP#/dev/} changed"
before=$(gap 0)
write $((BLOCKS - 1)) 2
[ "$(gap 0)" -gt "$before" ] || fail "a write behind the end did not count as a gap"
doubtful "behind the known end"
# Not polled: the take itself has to act on it.
write $BLOCKS 1
[[ $(track take 0) == *" blocks $BLOCKS "* ]] || fail "a take overlooked a write behind the end"
SIZE=$((SIZE + (8 << 20)))
attach disk "$LOOP" "another identity"
[ "$FRESH" = 1 ] || fail "a larger disk is not fresh"
expect "a larger disk" $((SIZE / 4096)) track count 0 now
BLOCKS=$((SIZE / 4096))
clear_marks 0 $SIZE
track doubt 0 testing
expect "doubt" $BLOCKS track count 0 now
expect "doubt" testing status

# ---- many disks, one key each; detached ones are no longer tracked ----
refused 16 "still protected" remove
attach second "$LOOP"
[ "$SLOT.$FRESH" = 1.1 ] || fail "a second key is the first"
clear_marks 1 $SIZE
clear_marks 0 $SIZE
write 7 1
expect "two slots on one disk" "28672 4096" track extents 0 now
expect "two slots on one disk" "28672 4096" track extents 1 now
track detach 0
refused 2 "no disk is tracked" count 0 now
write 9 1
expect "the other one goes on" $'28672 4096\n36864 4096' track extents 1 now
for i in {1..7}; do attach "part$i" "$LOOP"; done
refused 28 "whole disk instead" attach part8 "$LOOP"
for i in 0 1 2 3 4 5 6 7; do track detach $i; done
track remove
[ ! -e "$PINS" ] || fail "$PINS is still there"

# ---- a load that was killed half way, a layout of another version ----
attach disk "$LOOP"
rm "$PINS/config"
attach disk "$LOOP"
[ "$FRESH" = 1 ] || fail "scraps were taken for a tracker"
PATH=$PATH:/usr/sbin
if command -v bpftool >/dev/null; then
	# set_config BYTE VALUE
	set_config() {
		local value
		read -ra value < <(bpftool map lookup pinned "$PINS/config" key 0 0 0 0 -j | sed 's/.*"value":\[\([^]]*\)\].*/\1/; s/[",]/ /g')
		value[$1]=$2
		bpftool map update pinned "$PINS/config" key 0 0 0 0 value "${value[@]}"
	}
	# As if the kernel had counted other misses than were dealt with: of the issue program they leave no doubt, of the completion
	# program they do.
	SLOT=0
	clear_marks 0 "$SIZE"
	before=$(gap 0)
	set_config 8 5
	track poll
	expect "issues that were not shown" "$before" gap 0
	expect "issues that were not shown" 0 track count 0 now
	set_config 17 1
	doubtful "did not show every request"
	set_config 0 0x63
	refused 71 "another version of Tidemark" poll
fi
rm -r "$PINS"

# ---- large disks: maps are bounded, blocks grow ----
used=0
for i in {1..7}; do
	new_loop "$WORK/large$i" 3T
	attach "large$i" "$LOOP"
	read -r _ _ _ block _ map _ < <(track status "$SLOT")
	used=$((used + map))
	echo "3 TiB, number $i: blocks of $block bytes, maps of $map"
	[ "$((block * map * 4))" -ge $((3 << 40)) ] || fail "the maps do not cover the disk"
	[ "$(track count "$SLOT" now)" = $(((3 << 40) / block)) ] || fail "not all marked"
done
[ $used -le $((256 << 20)) ] || fail "$used bytes of maps are more than 256 MiB"
[ "$block" -gt 4096 ] || fail "blocks did not grow"
last=$SLOT
clear_marks "$last" $((3 << 40))
dd if=/dev/urandom of="$LOOP" bs=4096 seek=$(((2 << 40) / 4096 + 1)) count=1 oflag=direct status=none
expect "a write far out" "$((2 << 40)) $block" track extents "$last" now
blkdiscard -o $((1 << 40)) -l $((16 << 30)) "$LOOP"
expect "a large discard" "$((1 << 40)) $((16 << 30))"$'\n'"$((2 << 40)) $block" track extents "$last" now
for i in 0 1 2 3 4 5 6; do track detach $i; done

# ---- what cannot be tracked ----
if [ -b /dev/zram0 ]; then
	refused 95 "cannot be seen" check /dev/zram0
	refused 95 "cannot be seen" attach zram /dev/zram0
fi
if command -v dmsetup >/dev/null && dmsetup create "tidemark-test-$$" --table "0 8 linear $LOOP 0" 2>/dev/null; then
	text=$(track check "/dev/mapper/tidemark-test-$$" 2>&1) && text=
	dmsetup remove "tidemark-test-$$"
	[[ $text == *"error 95"*"protect instead: ${LOOP#/dev/}"* ]] || fail "a stacked device is refused with \"$text\""
fi

# ---- driver commands: virtio's serial number is asked for by one, and harms nothing (R29) ----
for disk in /sys/block/vd*; do
	[ -r "$disk/serial" ] || continue
	attach virtio "/dev/${disk##*/}" || continue
	before=$(gap "$SLOT")
	cat "$disk/serial" >/dev/null
	track poll
	expect "a harmless command" "$before" gap "$SLOT"
	[ -z "$(status)" ] || fail "a harmless command: $(status)"
	track detach "$SLOT"
done
track remove
echo "pins hold"
