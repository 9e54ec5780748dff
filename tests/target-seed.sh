#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tidemark-target seed: an image or a device becomes a replica at first contact, and only what differs in it is told as different;
# what cannot be one is refused, and stays where it is.
# shellcheck source=tests/target-lib.bash
. "$(dirname "$0")/target-lib.bash"
target_setup
target_start
T=$W/t
seed() { "$BUILD/tidemark-target" seed "$@" --directory "$T" >"$W/out" 2>&1; }
seeded() { seed "$@" || fail "seed $*: $(cat "$W/out")"; }
fails_with() { # WORD ARG...
	local word=$1 rc=0
	shift
	seed "$@" || rc=$?
	[ $rc -eq 1 ] || fail "seed $*: exit $rc: $(cat "$W/out")"
	says "$word"
	say "refused: $(cut -c1-150 "$W/out")"
}
usage() {
	local rc=0
	"$BUILD/tidemark-target" seed "$@" >"$W/out" 2>&1 || rc=$?
	[ $rc -eq 64 ] || fail "seed $*: exit $rc, not 64"
}
# new NAME: another source, with random disks of the usual sizes, that has joined.
JOINED=''
new() {
	if [ -z "$JOINED" ]; then
		source_new joined
		JOINED=1
	fi
	cp -r "$W/joined" "$W/$1"
	head -c 4194304 /dev/urandom >"$W/$1/disk-0.raw"
	head -c 1049088 /dev/urandom >"$W/$1/disk-1.raw"
}
copies() { cp "$W/$1/disk-0.raw" "$W/copy-0" && cp "$W/$1/disk-1.raw" "$W/copy-1"; }
# compared SOURCE PROTECTION WORDS: its first session, which sends nothing but hashes.
decided() { good "$1" --name "$2" --clip 0 hash all compared && ! grep -q undecided "$W/out"; }
compared() {
	until_ok 20 decided "$1" "$2" || fail "never decided: $(cat "$W/out")"
	says "holds 1"
	[ "$(sed -n 's/^compared [0-9]* //p' "$W/out" | grep -v whole)" = "$3" ] || fail "$2: told $(cat "$W/out")"
}

say "usage"
usage
usage web 0
usage web 0 "$W/x"
usage web 0 "$W/x" "$W/y" --directory "$T"
usage web zero "$W/x" --directory "$T"
usage web 32 "$W/x" --directory "$T"
usage web -- -1 "$W/x" --directory "$T"

say "an image for each disk; one byte and one sector differ"
new a
copies a
printf '\x01' | dd of="$W/copy-0" bs=1 seek=1000000 conv=notrunc status=none # one of 256 times it was that
cmp -s "$W/copy-0" "$W/a/disk-0.raw" && printf '\x02' | dd of="$W/copy-0" bs=1 seek=1000000 conv=notrunc status=none
head -c 512 /dev/urandom | dd of="$W/copy-1" bs=512 seek=2048 conv=notrunc status=none
seeded web 0 "$W/copy-0"
says "moved to"
seeded web 1 "$W/copy-1"
[ ! -e "$W/copy-0" ] || fail "it is still there"
compared a web "differs 0 983040 32768
differs 1 1048576 512"
[ -z "$(ls "$T/devices/web")" ] || fail "left in devices: $(ls "$T/devices/web")"
good a mark one
same web a one

say "refused, and nothing happened"
copies a
fails_with "is protected already" web 0 "$W/copy-0"
fails_with "not a valid name" ../web 0 "$W/copy-0"
fails_with "No such file" new 0 "$W/none"
fails_with "neither a file nor" new 0 "$W"
fails_with "belongs to a protection" new 0 "$T/protections/web/disk-0.raw"
: >"$W/empty"
fails_with "0 bytes" new 0 "$W/empty"
head -c 1000 /dev/zero >"$W/odd"
fails_with "1000 bytes" new 0 "$W/odd"
ln "$W/copy-1" "$W/copy-1-too"
fails_with "hard link" new 0 "$W/copy-1"
rm "$W/copy-1-too"
[ ! -e "$T/devices/new" ] || fail "devices/new was made for nothing"
seeded new 0 "$W/copy-0"
fails_with "is there already" new 0 "$W/copy-1"
[ -e "$W/copy-1" ] || fail "it is gone"

say "an image that is not as large as the disk: the source is told, nothing is moved"
new b
rm "$T/devices/new/disk-0.raw"
copies b
truncate -s 4193792 "$W/copy-0"
seeded new 0 "$W/copy-0"
seeded new 1 "$W/copy-1"
refused 4 b --name new flush
says 4194304
says 4193792
[ -e "$T/devices/new/disk-0.raw" ] || fail "it was moved"
[ -e "$T/devices/new/disk-1.raw" ] || fail "another one was moved"
[ ! -e "$T/protections/new" ] || fail "something was made"
rm "$T/devices/new/disk-0.raw"
copies b
seeded new 0 "$W/copy-0"
compared b new ""
good b mark b1
same new b b1

say "from another filesystem: copied, sparse, and kept"
mkdir "$W/usb"
mount -t tmpfs -o size=64m none "$W/usb" || skip "no tmpfs can be mounted"
MOUNTS+=("$W/usb")
new c
head -c 2097152 /dev/zero | dd of="$W/c/disk-0.raw" bs=1M seek=1 conv=notrunc status=none
cp --sparse=never "$W/c/disk-0.raw" "$W/usb/image"
seeded usb 0 "$W/usb/image"
says "copied to"
cmp "$W/usb/image" "$T/devices/usb/disk-0.raw" || fail "not copied well"
[ "$(stat -c %b "$T/devices/usb/disk-0.raw")" -lt 5000 ] || fail "zeroes take space"
head -c 1048576 /dev/urandom >"$W/usb/large"
truncate -s 1G "$W/usb/large"
seeded usb 7 "$W/usb/large"
[ "$(stat -c %s "$T/devices/usb/disk-7.raw")" -eq 1073741824 ] || fail "not as large"
cp "$W/c/disk-1.raw" "$W/copy-1"
seeded usb 1 "$W/copy-1"
compared c usb ""
good c --name usb mark c1
same usb c c1

say "no room for it: nothing is left"
mkdir "$W/small"
mount -t tmpfs -o size=1m none "$W/small"
MOUNTS+=("$W/small")
"$BUILD/tidemark-target" init "$W/small/t" >/dev/null
if "$BUILD/tidemark-target" seed full 0 "$W/usb/image" --directory "$W/small/t" >"$W/out" 2>&1; then fail "it fits"; fi
says "No space left"
[ -z "$(ls "$W/small/t/devices/full")" ] || fail "left: $(ls "$W/small/t/devices/full")"

say "a device: linked by its name; not one that is in use"
new d
cp "$W/d/disk-0.raw" "$W/block.img"
LOOP=$(losetup -f --show "$W/block.img")
LOOPS+=("$LOOP")
ln -s "$LOOP" "$W/by-id"
copies d
seeded dev 0 "$W/by-id"
says "linked from"
[ "$(readlink "$T/devices/dev/disk-0.raw")" = "$W/by-id" ] || fail "linked $(readlink "$T/devices/dev/disk-0.raw")"
seeded dev 1 "$W/copy-1"
compared d dev ""
good d --name dev mark d1
same dev d d1
cmp "$LOOP" "$W/d/disk-0.raw" || fail "the device is not the point"
truncate -s 16M "$W/other.img"
OTHER=$(losetup -f --show "$W/other.img")
LOOPS+=("$OTHER")
mkfs.ext4 -q "$OTHER"
mkdir "$W/mnt"
mount "$OTHER" "$W/mnt"
MOUNTS+=("$W/mnt")
fails_with "in use" mounted 0 "$OTHER"

say "the replica of a protection that was deleted, for the next one; the daemon is not needed"
ask delete '{"name":"new"}' >"$W/kept"
target_stop
KEPT=$(jq -r .kept "$W/kept")
new e
cp "$W"/b/disk-*.raw "$W/e/"
seeded again 0 "$KEPT/disk-0.raw"
seeded again 1 "$KEPT/disk-1.raw"
target_start
compared e again ""
good e --name again mark e1
same again e e1
target_stop
if grep -E "signal|said what does not belong" "$W/daemon.log"; then fail "something crashed"; fi
say "done"
