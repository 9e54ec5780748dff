#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Two disks in one protection are cut at one instant (I3, R19): a program writes a number to the first disk, then to the second, durably,
# for ever. In every point the first is the second's number or one more. A filesystem that is only half protected is refused.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
PATH=$PATH:/usr/sbin
e2e_setup
e2e_disk ONE 64M
e2e_disk TWO 64M
mkfs.ext4 -qF "$ONE"
mkfs.ext4 -qF "$TWO"
e2e_mount "$ONE" "$W/one"
e2e_mount "$TWO" "$W/two"
e2e_start
source_ protect pair "$ONE" "$TWO" >/dev/null
e2e_wait_copied pair
count() {
	local i=0
	while [ ! -e "$W/enough" ]; do
		i=$((i + 1))
		printf '%-512d' $i | dd of="$W/one/n" bs=512 count=1 oflag=dsync conv=notrunc status=none
		printf '%-512d' $i | dd of="$W/two/n" bs=512 count=1 oflag=dsync conv=notrunc status=none
	done
}
e2e_background count
for i in 1 2 3 4 5; do
	e2e_mark pair "cut$i" --app
	e2e_export pair "$W/copy"
	a=$(debugfs -R 'cat /n' "$W/copy/disk-0.raw" 2>/dev/null | tr -d ' \0')
	b=$(debugfs -R 'cat /n' "$W/copy/disk-1.raw" 2>/dev/null | tr -d ' \0')
	if [ "$a" -ne "$b" ] && [ "$a" -ne $((b + 1)) ]; then fail "point $i holds $a on the first disk and $b on the second"; fi
	[ "$b" -gt 0 ] || fail "nothing was counted"
	say "point $i: $a and $b"
done
touch "$W/enough"
wait "$E2E_LAST"
e2e_umount "$W/one"
e2e_umount "$W/two"
e2e_mark pair rest
e2e_same pair "$ONE_FILE" 0
e2e_same pair "$TWO_FILE" 1

say "who writes is named when there is no point, and seen only while one is wished for"
watched() { # by the kernel's list of links: the program that sees writers is attached
	local program links
	program=$(bpftool -j prog show pinned "$PINS/submit" | jq .id) || fail "there is no program that sees writers"
	links=$(bpftool -j link show) || fail "the links cannot be listed"
	[ "$(jq "[.[] | select(.prog_id == $program)] | length" <<<"$links")" = 1 ]
}
! watched || fail "it is seen who writes before a point is wished for"
writers=()
for i in 1 2 3 4; do
	e2e_background "$BUILD/tests/writer" "$ONE" --offset "$((i * 8))M" --length 4M --block 65536 --seconds 6000 --mode direct --seed "$i"
	writers+=("$E2E_LAST")
done
# Nothing is frozen here, so that there is a point if none of them runs for a moment.
refused() { ! source_ mark pair --wait --app >"$W/said" 2>&1; }
e2e_until 100 refused || fail "there was a point each time, of a disk that was written all the time"
said=$(cat "$W/said")
[[ $said =~ 'its last writer was writer (pid '([0-9]+) && " ${writers[*]} " == *" ${BASH_REMATCH[1]} "* ]] ||
	fail "none of the writers ${writers[*]} is named: $said"
! watched || fail "it is seen who writes after the point was given up"
kill "${writers[@]}"
wait "${writers[@]}" || true
e2e_mark pair quiet --app
e2e_until 30 eval '! watched' || fail "it is seen who writes after the point was made"

say "half of a btrfs is refused (R19)"
e2e_disk THREE 160M
e2e_disk FOUR 160M
mkfs.btrfs -q -f "$THREE" "$FOUR"
e2e_mount "$THREE" "$W/btrfs"
if source_ protect half "$THREE" 2>"$W/half"; then fail "half of a btrfs was protected"; fi
grep -q "$FOUR\|$(basename "$FOUR")" "$W/half" || fail "the refusal does not name the other half: $(cat "$W/half")"
source_ protect whole "$THREE" "$FOUR" >/dev/null
e2e_wait_copied whole
cp -r /usr/include/linux "$W/btrfs/"
fsfreeze -f "$W/btrfs"
cp --sparse=always "$THREE_FILE" "$W/ref3"
cp --sparse=always "$FOUR_FILE" "$W/ref4"
e2e_mark whole cut --app
fsfreeze -u "$W/btrfs"
e2e_same whole "$W/ref3" 0
e2e_same whole "$W/ref4" 1
say "done"
