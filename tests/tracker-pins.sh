#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What outlives a process, and what is noticed: kills, a second opener, detached programs, other media, growth, and disks that
# cannot be tracked.
set -euo pipefail
# shellcheck source=tests/tracker-lib.bash
. "$(dirname "$0")/tracker-lib.bash"
tracker_setup dd sfdisk

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
# Who writes is seen only while somebody watches, and told only of what was seen for him.
writer() {
	echo "writer 0" >&"${TOOL[1]}"
	read -r WRITER <&"${TOOL[0]}"
	[[ $WRITER == error* ]] || read -r _ <&"${TOOL[0]}"
}
nobody() {
	write "$1" 1
	writer
	[[ $WRITER == "error 2 nobody was seen to write" ]] || fail "the last writer is $WRITER, and nobody watched"
}
seen() {
	write "$1" 1
	writer
	[[ $WRITER == *" comm dd offset $(($1 * 4096)) length 4096" ]] || fail "the last writer is $WRITER, not dd at block $1"
}
# One processor, or it is not told which of two wrote last within a timer tick.
taskset -p -c 0 $$ >/dev/null || true
nobody 5
tell watch on
seen 6
tell watch on
tell watch off
seen 7
tell watch off
write 8 1
writer
[[ $WRITER == *" offset 28672 length 4096" ]] || fail "the last writer is $WRITER: somebody still watches"
tell watch on
writer
[[ $WRITER == error* ]] || fail "the last writer is $WRITER, seen for an earlier watcher"
seen 9
taskset -p -c "$(cat /sys/devices/system/cpu/online)" $$ >/dev/null || true
tell take 0 >/dev/null
tell release 0 0 $SIZE
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
expect "a byte of a marked block" 1 track marked 0 now 90111 1
expect "the bytes behind it" 0 track marked 0 now 90112 32768
expect "up to the next one" 1 track marked 0 now 90112 32769
expect "of the other map" 0 track marked 0 taken 90111 1
expect "taken" 1 track marked 0 taken 0 40961
expect "cookie" "number 4711 epoch e5 hash 4a generation 7" track cookie 0
[[ $(track take 0) == *" blocks 6 bytes 24576" ]] || fail "a take does not unite what was taken and what was written"
# The watcher was killed, and with it its program: what was written since has no writer (40960: before).
[[ $(track writer 0) =~ " comm dd offset "(36864|40960|81920|86016)" length 4096"$ ]] || fail "the last writer is $(track writer 0)"
[[ $(track status 0) == *" writes 11 reason " ]] || fail "status: $(track status 0)"

# ---- which blocks: within a word of the map and across words, whole blocks and parts of them ----
# blocks OFFSET LENGTH EXTENTS...: one write of bytes.
blocks() {
	local offset=$1 length=$2
	shift 2
	clear_marks 0 $SIZE
	dd if=/dev/urandom of="$LOOP" bs="$length" seek="$offset" count=1 oflag=direct,seek_bytes conv=notrunc status=none
	expect "a write of $length bytes at $offset" "$*" track extents 0 now
}
SAVED=$(track extents 0 taken)
for word in 0 1 200; do
	at=$((word * 64 * 4096))
	blocks $at 4096 "$at 4096"
	blocks $((at + 63 * 4096)) 4096 "$((at + 63 * 4096)) 4096"
	blocks $((at + 63 * 4096)) 8192 "$((at + 63 * 4096)) 8192"
	blocks $at $((64 * 4096)) "$at $((64 * 4096))"
	blocks $((at + 4096)) $((64 * 4096)) "$((at + 4096)) $((64 * 4096))"
	blocks $((at + 4096)) $((62 * 4096)) "$((at + 4096)) $((62 * 4096))"
	blocks $((at + 512)) 512 "$at 4096"
	blocks $((at + 3584)) 1024 "$at 8192"
	blocks $((at + 3584)) 4096 "$at 8192"
	blocks $((at + 63 * 4096 + 3584)) 1024 "$((at + 63 * 4096)) 8192"
	blocks $at $((200 * 4096)) "$at $((200 * 4096))"
done
blocks $((SIZE - 4096)) 4096 "$((SIZE - 4096)) 4096"
blocks $((SIZE - 512)) 512 "$((SIZE - 4096)) 4096"
blocks 0 512 "0 4096"
clear_marks 0 $SIZE
for block in 10 20 21 30 31 32; do track mark 0 $((block * 4096)) 4096; done
track take 0 >/dev/null
expect "as before" "$SAVED" track extents 0 taken

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
# Each marks its own, and the one that is left goes on.
clear_marks 0 $SIZE
clear_marks 1 $SIZE
write 63 2
expect "two slots, two words" "258048 8192" track extents 0 now
expect "two slots, two words" "258048 8192" track extents 1 now
clear_marks 1 $SIZE
write 7 1
track detach 0
refused 2 "no disk is tracked" count 0 now
write 9 1
expect "the other one goes on" $'28672 4096\n36864 4096' track extents 1 now
for i in {1..7}; do attach "part$i" "$LOOP"; done
refused 28 "whole disk instead" attach part8 "$LOOP"
for i in 0 1 2 3 4 5 6 7; do track detach $i; done
track remove
[ ! -e "$PINS" ] || fail "$PINS is still there"

# ---- one request over the old end, and within the last word of the map; a partition alone ----
size=$((266 * 4096))
new_loop "$WORK/grows" $size
attach grows "$LOOP"
clear_marks "$SLOT" $size
truncate -s $((2 << 20)) "$WORK/grows"
losetup -c "$LOOP"
track poll # the size is known now: what follows is the write's own
clear_marks "$SLOT" $size
before=$(gap "$SLOT")
dd if=/dev/urandom of="$LOOP" bs=8192 seek=$((265 * 4096)) count=1 oflag=direct,seek_bytes conv=notrunc status=none
expect "over the end" "$((265 * 4096)) 4096" track extents "$SLOT" now
[ "$(gap "$SLOT")" -gt "$before" ] || fail "a write over the end did not count as a gap"
track detach "$SLOT"

new_loop "$WORK/parted" 64M -P
sfdisk -q --no-tell-kernel "$LOOP" >/dev/null <<'TABLE'
label: gpt
start=2048, size=16400
TABLE
partx -u "$LOOP"
[ -b "${LOOP}p1" ] || skip "the kernel does not show partitions of loop devices"
attach part "${LOOP}p1"
size=$((16400 * 512))
# sectors FIRST COUNT EXTENTS...: a write of sectors of the whole disk.
sectors() {
	local first=$1 count=$2
	shift 2
	clear_marks "$SLOT" $size
	dd if=/dev/urandom of="$LOOP" bs=$((count * 512)) seek=$((first * 512)) count=1 oflag=direct,seek_bytes conv=notrunc status=none
	expect "sectors $first+$count" "$*" track extents "$SLOT" now
}
before=$(gap "$SLOT")
sectors 1024 512
sectors 2040 8
sectors 2040 16 "0 4096"
sectors 2048 8 "0 4096"
sectors 2047 2 "0 4096"
sectors 18440 8 "$((2049 * 4096)) 4096"
sectors 18440 16 "$((2049 * 4096)) 4096"
sectors 18447 2 "$((2049 * 4096)) 4096"
sectors 18448 8
sectors 1000 20000 "0 $size"
[ "$(gap "$SLOT")" = "$before" ] || fail "the gap count of a partition moved"
track detach "$SLOT"

# ---- disks whose numbers lead to one place of the table ----
# place MINOR: as tmk_bpf_place() for loop devices.
place() {
	echo $(((((7 << 20 | $1) * 0x9e3779b1) & 0xffffffff) >> 24))
}
declare -A found=()
numbers=()
for ((minor = 16; ${#numbers[@]} == 0 && minor < 1000; minor++)); do
	[ -e "/sys/block/loop$minor/loop" ] && continue
	found[$(place $minor)]+=" $minor"
	read -ra numbers <<<"${found[$(place $minor)]}"
	[ ${#numbers[@]} = 3 ] || numbers=()
done
[ ${#numbers[@]} = 3 ] || fail "no three numbers for one place"
disks=()
for minor in "${numbers[@]}"; do
	truncate -s 1M "$WORK/loop$minor"
	[ -b "/dev/loop$minor" ] || { mknod "/dev/loop$minor" b 7 "$minor" && NODES+=("/dev/loop$minor"); }
	losetup "/dev/loop$minor" "$WORK/loop$minor"
	LOOPS+=("/dev/loop$minor")
	[ "$(cat "/sys/block/loop$minor/dev")" = "7:$minor" ] || fail "loop$minor has another number"
	disks+=("/dev/loop$minor")
done
tracked() { # DISK SLOT BLOCK: a write to it is marked
	dd if=/dev/urandom of="$1" bs=4096 seek="$3" count=1 oflag=direct conv=notrunc status=none
	expect "${numbers[*]}: $1" "$(($3 * 4096)) 4096" track extents "$2" now
	clear_marks "$2" $((1 << 20))
}
slots=()
for i in 0 1 2; do
	attach "colliding$i" "${disks[i]}"
	slots+=("$SLOT")
	clear_marks "$SLOT" $((1 << 20))
done
for i in 0 1 2; do tracked "${disks[i]}" "${slots[i]}" $((3 + i)); done
track detach "${slots[0]}"
tracked "${disks[1]}" "${slots[1]}" 7
tracked "${disks[2]}" "${slots[2]}" 8
track detach "${slots[1]}"
tracked "${disks[2]}" "${slots[2]}" 9
attach "colliding1" "${disks[1]}"
clear_marks "$SLOT" $((1 << 20))
tracked "${disks[1]}" "$SLOT" 10
tracked "${disks[2]}" "${slots[2]}" 11
track detach "$SLOT"
track detach "${slots[2]}"
track remove
new_loop "$WORK/another" $SIZE

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
	# As if an attach or a detach had been killed: the slot's state is at byte 128.
	attach other "$LOOP"
	read -ra bytes < <(bpftool map lookup pinned "$PINS/slots" key 0 0 0 0 -j | sed 's/.*"value":\[\([^]]*\)\].*/\1/; s/[",]/ /g')
	bytes[128]=2
	bpftool map update pinned "$PINS/slots" key 0 0 0 0 value "${bytes[@]}"
	refused 2 "no disk is tracked" count 0 now
	write 3 1
	track count "$SLOT" now >/dev/null
	attach disk "$LOOP"
	[ "$SLOT.$FRESH" = 0.1 ] || fail "half a disk was taken for a whole one"
	set_config 0 0x63
	refused 71 "another version of Tidemark" poll
	rm "$PINS/writes" # and that has other maps
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
