#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Memory stays bounded whatever the disk's size: a sparse disk of 100 GiB with data at both ends and between. The shipper may use 64 MiB beside
# its map, each process of the target 64 MiB. SIZE can be set (in GiB). With sanitizers, whose own memory cannot be told apart, only the
# copy is looked at, of a smaller disk.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
SIZE=${SIZE:-100}
LIMIT=65536
e2e_setup
if grep -q __asan_init "$BUILD/tidemark-shipper"; then
	SIZE=4
	LIMIT=4194304
fi
e2e_disk DISK "${SIZE}G"
for at in 0 $((SIZE / 2)) $((SIZE - 1)); do
	"$BUILD/tests/writer" "$DISK" --offset "${at}G" --length 64M --block 65536 --count 1000 --mode direct --seed "$at" >/dev/null
done
e2e_start
peak() { awk '/^VmHWM/ { print $2 }' "/proc/$1/status"; }
source_ protect big "$DISK" >/dev/null
e2e_until 300 e2e_copied big || fail "the first copy does not end"
e2e_mark big one
MAP=$(($(e2e_status big '.disks[0].map_bytes') / 1024))
USED=$(peak "$SHIPPER")
say "shipper: $USED KiB at most, of them $MAP KiB of map"
[ $((USED - MAP)) -le "$LIMIT" ] || fail "the shipper used $USED KiB, $MAP of them for its map"
for pid in $(pgrep -s "$TARGET"); do
	USED=$(peak "$pid")
	say "target, $(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-20) $pid: $USED KiB at most"
	[ "$USED" -le "$LIMIT" ] || fail "a process of the target used $USED KiB"
done
[ "$(du -m "$W/target/protections/big/disk-0.raw" | cut -f 1)" -lt 400 ] || fail "the replica is not sparse"
for at in 0 $((SIZE / 2)) $((SIZE - 1)); do
	cmp -n $((128 << 20)) -i $((at << 30)) "$DISK_FILE" "$W/target/protections/big/disk-0.raw" || fail "the replica differs at $at GiB"
done
say "done"
