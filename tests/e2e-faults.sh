#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Disks of the target that are full, or fail reads, writes or flushes: below a journal, below a replica in a file and one on a device,
# below the catalogue. Writes on the source go on, both sides say what is wrong, what was acked stays (I5, R13), a point that was made
# meanwhile opens bit for bit, and when the disk is well again so is everything, by itself; where a filesystem has shut itself down,
# as soon as an operator has mounted it again and restarted the target.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
[ -e /dev/fuse ] || skip "no /dev/fuse"
e2e_setup

# ---- disks that fail ----

# bad_disk VARIABLE SIZE: a loop device on tests/tools/baddisk.c.
bad_disk() {
	local -n bad=$1
	truncate -s "$2" "$W/$1.img"
	touch "$W/$1.disk"
	"$BUILD/tests/baddisk" "$W/$1.img" "$W/$1.disk" "$W/$1.faults" >"$W/$1.said" &
	E2E_PIDS+=($!)
	e2e_until 10 mountpoint -q "$W/$1.disk" || skip "no FUSE"
	E2E_LAST_MOUNTS+=("$W/$1.disk")
	bad=$(losetup -f --show --direct-io=on "$W/$1.disk") || skip "no loop device on a file of FUSE"
	E2E_LOOPS+=("$bad")
}
fails() { # DISK FAULT
	: >"$W/$1.said"
	printf '%s\n' "$2" >"$W/$1.new"
	mv "$W/$1.new" "$W/$1.faults"
}
works() { rm -f "$W/$1.faults"; }
struck() { grep -c . "$W/$1.said" >/dev/null; }
# mount_at WHAT WHERE [OPTIONS]: below the target; unmounted behind its processes, and before what it lies on.
mount_at() {
	mkdir -p "$2"
	mount "${@:3}" "$1" "$2"
	E2E_LAST_MOUNTS=("$2" "${E2E_LAST_MOUNTS[@]}")
}
fill() { # to the last block
	local size
	mkdir "$1/ballast"
	for size in 64K 512; do dd if=/dev/zero of="$1/ballast/$size" bs=$size 2>/dev/null || true; done
}

# ---- three sources and what they say ----

declare -A DISKS FILES WRITERS
ALL=(j r b) # where its faulty disk is: below the journal; below the replica's file; the replica itself
burst() { # NAME OFFSET LENGTH
	"$BUILD/tests/writer" "${DISKS[$1]}" --offset "$2" --length "$3" --count 100 --mode direct --seed $RANDOM >/dev/null
}
load() {
	local name
	for name in "${ALL[@]}"; do
		"$BUILD/tests/writer" "${DISKS[$name]}" --length 6M --mode direct --pause 10 --seed $RANDOM >"$W/$name.load" &
		WRITERS[$name]=$!
		E2E_PIDS+=($!)
	done
}
rest() {
	local name
	for name in "${ALL[@]}"; do
		kill "${WRITERS[$name]}"
		wait "${WRITERS[$name]}" || fail "$name: a write on the source failed"
	done
}
writes() { sed -n 's/^syscw: //p' "/proc/${WRITERS[$1]}/io"; }
wrote() { [ "$(writes "$1")" -ge "$2" ]; }
goes_on() {
	local name
	for name in "${ALL[@]}"; do
		e2e_until 30 wrote "$name" $(($(writes "$name") + 50)) || fail "$name: the source's writes do not go on"
	done
}
warns() {
	local code=0
	"$@" >/dev/null || code=$?
	[ $code -eq 1 ] || [ $code -eq 2 ]
}
source_says() { e2e_status "$1" '.reason + .note' | grep -qiE "$2" && warns source_ status "$1"; }
target_says() { e2e_target_status "$1" .reason | grep -qiE "$2" && warns target status "$1"; }
says() { # NAME PATTERN [PATTERN OF THE SOURCE]: both sides
	e2e_until 30 target_says "$1" "$2" || fail "$1: the target does not say '$2': $(e2e_target_status "$1" .)"
	say "$1: $(e2e_target_status "$1" '.state + ": " + .reason')"
	e2e_until 30 source_says "$1" "${3:-$2}" || fail "$1: the source does not say '${3:-$2}': $(e2e_status "$1" .)"
}
is_well() {
	[ "$(e2e_status "$1" '.reason + .note + (.connected | tostring)')" = true ] &&
		[ "$(e2e_target_status "$1" '.reason + (.connected | tostring)')" = true ]
}
recovers() { e2e_until 60 is_well "$1" || fail "$1: does not recover: $(e2e_status "$1" .) $(e2e_target_status "$1" .)"; }
keep() { cp --sparse=always "${FILES[$1]}" "$W/$1.reference"; }
mark() { source_ mark "$1" --label "$2" --wait >/dev/null || fail "$1: no point $2"; }
settle() { # everything is well again, and equals the disk
	local name
	rest
	for name in "${ALL[@]}"; do
		e2e_mark "$name" "$1"
		e2e_same "$name" "${FILES[$name]}"
		keep "$name"
	done
}

# ---- the target ----

put_together() {
	mount_at "$CATALOGUE" "$W/target" -o errors=continue
	mount_at "$W/good/protections" "$W/target/protections" --bind
	mount_at "$JOURNAL" "$W/target/protections/j/journal" -o errors=continue
	mount_at "$REPLICA" "$W/target/protections/r"
	mount_at "$W/good/journal" "$W/target/protections/r/journal" --bind
}
take_apart() {
	local at
	for at in protections/r/journal protections/r protections/j/journal protections ''; do
		e2e_until 20 umount "$W/target/$at" || fail "the target still uses $W/target/$at"
		unset 'E2E_LAST_MOUNTS[0]'
		E2E_LAST_MOUNTS=("${E2E_LAST_MOUNTS[@]}")
	done
}
kept() { [ "$(e2e_target_status "$1" .durable_chunk)" -ge "$2" ]; }
# A source that has to start over had something acked that is not there.
nothing_lost() {
	! grep -q "the source starts over" "$W/target.log" || fail "what was acked is lost: $(grep "starts over" "$W/target.log")"
}

bad_disk CATALOGUE 24M
bad_disk JOURNAL 64M
bad_disk REPLICA 24M
bad_disk BLOCK 16M
mkfs.ext4 -qF -m 0 "$JOURNAL"
for disk in CATALOGUE REPLICA; do mkfs.ext4 -qF -m 0 -O ^has_journal "${!disk}"; done
mkdir -p "$W/good/protections" "$W/good/journal"
put_together
e2e_target_init "reserve = 1M"
mkdir -p "$W/target/devices/b"
ln -s "$BLOCK" "$W/target/devices/b/disk-0.raw"
e2e_target_start
e2e_shipper_start
e2e_join
protect() {
	e2e_disk "DISK_$1" 16M
	local -n device=DISK_$1 file=DISK_${1}_FILE
	DISKS[$1]=$device
	FILES[$1]=$file
	burst "$1" 0 4M
	source_ protect "$1" "$device" >/dev/null
}
for name in "${ALL[@]}"; do protect "$name"; done
for name in "${ALL[@]}"; do
	e2e_wait_copied "$name"
	e2e_mark "$name" first
	keep "$name"
done

# Points of r and b are made while their replicas cannot be written; then all three sources write.
points_and_load() { # LABEL
	for name in r b; do
		keep "$name"
		mark "$name" "$1"
	done
	load
}
applied() { # LABEL
	for name in r b; do
		recovers "$name"
		e2e_until 60 e2e_at_point "$name" "$1" || fail "$name: the point that was made meanwhile is not there"
		e2e_same "$name" "$W/$name.reference"
	done
}
failing() { # FAULT DISK...
	local disk
	for disk in "${@:2}"; do fails "$disk" "$1"; done
}
well() {
	local disk
	for disk in "$@"; do
		struck "$disk" || fail "nothing failed on $disk"
		works "$disk"
	done
}

remount() { # as an operator does: COMMAND is run while nothing is mounted
	e2e_target_stop
	take_apart
	"$@"
	put_together
	e2e_target_start
}

say "filesystems shut themselves down: the status says what an operator has to do"
load
failing "flush EIO" JOURNAL
mount -o remount,errors=remount-ro "$W/target"
echo 1 >"/sys/fs/ext4/$(basename "$CATALOGUE")/trigger_fs_error"
source_ mark r --label shut --wait >/dev/null || fail "no point shut"
says j "journal.*(input/output|read-only).*restart tidemark-target" "input/output|read-only"
says r "catalogue.*restart tidemark-target"
goes_on
well JOURNAL
ACKED=$(e2e_status j .acked_chunk)
# From here on without a journal: then a filesystem does not shut itself down, and a flush tried again says 0 (R13).
no_journal() { e2fsck -fy "$JOURNAL" >/dev/null 2>&1 || [ $? -le 2 ] && tune2fs -O ^has_journal "$JOURNAL" >/dev/null; }
remount no_journal
e2e_until 30 kept j "$ACKED" || fail "j: chunk $ACKED was acked and is lost: $(e2e_target_status j .)"
for name in "${ALL[@]}"; do recovers "$name"; done
settle repaired
nothing_lost

say "writes fail"
for name in "${ALL[@]}"; do burst "$name" 0 4M; done
failing "write EIO" JOURNAL REPLICA BLOCK
points_and_load write
says j "input/output"
says r "(disk-0.raw|sidecar).*input/output"
says b "disk-0.raw.*input/output"
e2e_same j "$W/j.reference"
goes_on
well JOURNAL REPLICA BLOCK
recovers j
applied write
settle written

say "no space is left; the device is thin"
for name in "${ALL[@]}"; do burst "$name" 8M 6M; done
fill "$W/target/protections/j/journal"
fill "$W/target/protections/r"
failing "write ENOSPC" BLOCK
points_and_load space
says j "full"
says r "disk-0.raw.*no space"
says b "disk-0.raw.*(no space|input/output)" # the kernel makes one of the other
e2e_same j "$W/j.reference"
goes_on
rm -r "$W/target/protections/j/journal/ballast" "$W/target/protections/r/ballast"
well BLOCK
recovers j
applied space
settle spacious

say "reads fail, and nothing is cached"
load
failing "read EIO" JOURNAL REPLICA BLOCK
source_ pause j >/dev/null
for file in "$W"/target/protections/j/journal/*.seg "$W/target/protections/r/disk-0.raw"; do
	dd of="$file" oflag=nocache conv=notrunc,fdatasync count=0 status=none
done
blockdev --flushbufs "$BLOCK"
source_ resume j >/dev/null
says j "cannot read the journal.*input/output"
for name in r b; do
	if target export "$name" --format raw --to "$W/unread.raw" --disk 0 2>"$W/unread"; then fail "$name: unread data was exported"; fi
	grep -qi "input/output" "$W/unread" || fail "$name: the export does not say why it failed: $(cat "$W/unread")"
	[ ! -e "$W/unread.raw" ] || fail "$name: half an export was left"
done
goes_on
well JOURNAL REPLICA BLOCK
recovers j
for name in r b; do e2e_same "$name" "$W/$name.reference"; done
settle readable

say "a flush fails, and what was not flushed is gone (R13)"
for name in "${ALL[@]}"; do burst "$name" 0 4M; done
failing "flush EIO 1" JOURNAL REPLICA BLOCK
points_and_load flush
e2e_until 30 struck JOURNAL || fail "no flush failed below the journal"
goes_on
well JOURNAL REPLICA BLOCK
recovers j
applied flush
settle flushed

say "the catalogue: no space"
fill "$W/target"
load
source_ mark j --label unsaved --wait >/dev/null || fail "no point unsaved"
says j "catalogue.*full"
e2e_until 30 e2e_at_point j unsaved || fail "a point is not shown that the catalogue has no room for"
target export j --format raw --to "$W/unsaved.raw" >/dev/null || fail "a point does not open that the catalogue has no room for"
goes_on
rm -r "$W/target/ballast"
for name in "${ALL[@]}"; do recovers "$name"; done
settle saved

say "the catalogue: writes fail"
load
failing "write EIO" CATALOGUE
source_ mark r --label unwritten --wait >/dev/null || fail "no point unwritten"
says r "catalogue.*I/O error"
e2e_until 30 e2e_at_point r unwritten || fail "a point is not shown that the catalogue could not write"
goes_on
well CATALOGUE
for name in "${ALL[@]}"; do recovers "$name"; done
settle catalogued
nothing_lost

say "nothing is cached: all is where it was said to be"
ACKED=$(e2e_status j .acked_chunk)
remount true
e2e_until 30 kept j "$ACKED" || fail "j: chunk $ACKED was acked and is lost: $(e2e_target_status j .)"
for name in "${ALL[@]}"; do
	recovers "$name"
	e2e_same "$name" "$W/$name.reference"
done
nothing_lost
say "done"
