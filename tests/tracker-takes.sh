#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Takes every few milliseconds while a load runs, what is marked copied each time, the copier killed now and then: at rest the
# copy equals the disk (I2, I4).
set -euo pipefail
# shellcheck source=tests/tracker-lib.bash
. "$(dirname "$0")/tracker-lib.bash"
tracker_setup fio mkfs.ext4

SIZE=$((192 << 20))
DISK=$WORK/disk
COPY=$WORK/copy
ROUNDS=0
new_loop "$DISK" "$SIZE"
dd if=/dev/urandom of="$LOOP" bs=1M oflag=direct status=none 2>/dev/null || true
attach disk "$LOOP"
truncate -s "$SIZE" "$COPY"

# ship LOAD...: copies while the load runs.
ship() {
	local name=$1 load rounds blocks _
	shift
	rm -f "$WORK/stop"
	"$@" &
	load=$!
	CHILDREN+=("$load")
	# Killed in any place: taken, half copied, half released.
	for _ in {1..8}; do
		"$BUILD/tests/track" "$PINS" ship-until "$SLOT" "$LOOP" "$COPY" "$WORK/never" poll &
		CHILDREN+=($!)
		sleep 0.2$((RANDOM % 10))
		kill -9 $!
		wait $! 2>/dev/null || true
	done
	"$BUILD/tests/track" "$PINS" ship-until "$SLOT" "$LOOP" "$COPY" "$WORK/stop" poll >"$WORK/shipped" &
	CHILDREN+=($!)
	wait "$load" || fail "$name: the load failed"
	touch "$WORK/stop"
	wait $! || fail "$name: the copier failed"
	read -r _ rounds _ blocks <"$WORK/shipped"
	ROUNDS=$((ROUNDS + rounds))
	[ "$(track count "$SLOT" now)" = 0 ] || fail "$name: marked at rest"
	[ "$(track count "$SLOT" taken)" = 0 ] || fail "$name: taken at rest"
	cmp "$DISK" "$COPY" || fail "$name: the copy is not the disk"
	echo "$name: $rounds rounds after the last kill, $blocks blocks, equal"
}

# Ranges apart: overlapping writes in flight have no defined order.
raw() {
	local common=(--filename="$LOOP" --direct=1 --time_based --runtime=5 --refill_buffers --output=/dev/null)
	fio "${common[@]}" \
		--name=a --rw=randwrite --bs=4k --ioengine=io_uring --iodepth=16 --size=64m --offset=0 \
		--name=b --rw=randwrite --bs=64k --ioengine=io_uring --iodepth=4 --size=64m --offset=64m --rate_iops=500 \
		--name=c --rw=randtrimwrite --bs=16k --size=32m --offset=128m --rate_iops=300 \
		--name=d --rw=randwrite --bs=4k --direct=0 --fsync=16 --end_fsync=1 --size=32m --offset=160m
}
files() {
	local d=$WORK/mnt i
	mount -o discard "$LOOP" "$d"
	for i in 1 2 3 4; do
		fio --name=f --directory="$d" --nrfiles=30 --filesize=128k --rw=randwrite --bs=4k --fsync=8 --time_based --runtime=1 --output=/dev/null
		rm -f "$d"/f.*
	done
	umount "$d"
}
mkdir "$WORK/mnt"
MOUNTS+=("$WORK/mnt")

before=$(gap "$SLOT")
ship "raw disk" raw
mkfs.ext4 -qF "$LOOP"
ship "ext4" files
[ "$(gap "$SLOT")" = "$before" ] || fail "the gap count moved: $(track status "$SLOT")"
[ "$ROUNDS" -ge 20 ] || fail "only $ROUNDS rounds: this proves nothing"
track detach "$SLOT"
track remove
