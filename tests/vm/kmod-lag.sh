#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How old what the target has is, for scripts/bench module, while a disk is written at half the rate that the chain carries: the age of
# `latest`, as status says it, again and again. Prints: chain BYTES_A_SECOND, then lag SECONDS for each sample.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
SECONDS_LONG=${SECONDS_LONG:-60}
AMOUNT=$((56 << 20)) # fits into the ring
kmod_load
e2e_setup
e2e_start
DISK=$VM_SCSI
source_ protect web "$DISK" >/dev/null
e2e_wait_copied web
streaming() { e2e_is web .state streaming; }
quiet() { e2e_is web '.state == "streaming" and .lag_bytes == 0' true; }
e2e_until 60 streaming || fail "it does not stream"
load() {
	fio --name=load --filename="$DISK" --rw=randwrite --bs=16k --direct=1 --ioengine=io_uring --iodepth=8 --serialize_overlap=1 \
		--fallocate=none --randrepeat=0 --refill_buffers --norandommap --output=/dev/null "$@"
}
now() { date +%s%N; }
chain=0
for _ in 1 2 3; do
	begin=$(now)
	load --io_size=$AMOUNT
	e2e_until 120 quiet || fail "it does not come to an end"
	rate=$((AMOUNT * 1000 / (($(now) - begin) / 1000000)))
	echo "took $rate"
	[ $rate -le $chain ] || chain=$rate
	e2e_is web .state streaming || fail "the ring was too small"
done
echo "chain $chain"
e2e_background load --time_based --runtime="$SECONDS_LONG" --rate=$((chain / 2))
sleep 2
end=$((SECONDS + SECONDS_LONG - 4))
while [ $SECONDS -lt $end ]; do
	source_ --json status >>"$W/samples" || true # its exit code is a verdict
	sleep 0.1
done
wait "$E2E_LAST"
jq -r '"lag \(.protections[0].latest_seconds)"' "$W/samples"
e2e_until 60 quiet || fail "it does not come to rest"
e2e_mark web after
vm_same web "$DISK"
source_ unprotect web >/dev/null
e2e_shipper_stop
e2e_target_stop
kmod_unload
say "done"
