# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The oracle of the kernel module's log and map (I1). Sourced, behind tests/vm/kmod-lib.bash; $W is the test's directory. The
# protection is called "oracle"; DISK is the one that is looked at, N its number.
RING=$((128 << 20))

image() { # FILE
	rm -f "$1"
	dd if="$DISK" of="$1" bs=1M iflag=direct conv=sparse status=none
	truncate -s "$(blockdev --getsize64 "$DISK")" "$1"
}
# Requests and sectors that wrote, zeroed or discarded.
written() { awk '{ print $5 + $12, $7 + $14 }' "/sys/class/block/$(basename "$DISK")/stat"; }

begin() { # DEVICE [RING]
	DISK=$1
	read -r _ N _ FRESH < <("$LOG" attach oracle disk "$DISK" "${2:-$RING}" 4096)
	[ "$FRESH" = 1 ] || fail "$DISK: a new disk is not fresh"
	SECTORS=$(blockdev --getsz "$DISK")
	[ "$("$LOG" take oracle | field blocks)" = $((SECTORS / 8)) ] || fail "$DISK: a fresh disk is not all marked"
}
end() {
	"$LOG" detach "$N"
}

gap() { "$LOG" status oracle | field gap; }
# Nothing is marked any more.
clear_map() {
	"$LOG" fence oracle "$("$LOG" take oracle | field sequence)"
	"$LOG" release "$N" 0 "$SECTORS"
}
# start on|both: the log is on, the map is empty, $W/before is the disk, and READER replays the log onto $W/replayed until $W/flag.
start() {
	blockdev --flushbufs "$DISK"
	image "$W/before"
	cp --sparse=always "$W/before" "$W/replayed"
	"$LOG" log oracle "$1" >/dev/null
	clear_map
	GAP=$(gap)
	rm -f "$W/flag"
	"$LOG" replay oracle "$W/flag" "$N:$W/replayed" >"$W/said" &
	READER=$!
}
# The log, and then what is marked, is the disk (I1).
together() { # NAME
	image "$W/now"
	"$LOG" copy "$N" now "$W/now" "$W/replayed" >"$W/copied"
	cmp "$W/replayed" "$W/now" || fail "$1: log and map together are not the disk: $(cat "$W/said")"
	[ "$(gap)" -gt "$GAP" ] || fail "$1: no gap"
	say "$1: $(cat "$W/said"), $(cat "$W/copied"), gap $GAP to $(gap)"
}

# oracle NAME COMMAND...
oracle() {
	local name=$1 requests sectors requests2 sectors2 marked limit
	shift
	sync -f "$W/mnt"
	start both
	read -r requests sectors < <(written)
	"$@"
	blockdev --flushbufs "$DISK"
	touch "$W/flag"
	wait $READER || fail "$name: the replay failed"
	read -r requests2 sectors2 < <(written)
	image "$W/now"
	if cmp -s "$W/before" "$W/now"; then fail "$name: the load changed nothing"; fi
	cmp "$W/replayed" "$W/now" || fail "$name: the log is not the disk: $(cat "$W/said")"
	"$LOG" copy "$N" now "$W/now" "$W/before" >"$W/copied"
	cmp "$W/before" "$W/now" || fail "$name: what is marked is not what changed"
	marked=$(field blocks <"$W/copied")
	# A request that is not aligned touches one block more than it is long.
	limit=$((((sectors2 - sectors) / 8 + requests2 - requests) * 11 / 10))
	say "$name: $(cat "$W/said"), marked $marked of $limit, gap $GAP to $(gap)"
	[ "$marked" -le "$limit" ] || fail "$name: $marked blocks are marked, at most $limit were written"
	[ "${GAPS-}" = may ] || [ "$(gap)" = "$GAP" ] || fail "$name: a gap: $("$LOG" status oracle)"
	"$LOG" log oracle off >/dev/null
}

load() {
	fio --name=load --filename="$DISK" --rw=randwrite --fallocate=none --output=/dev/null --randrepeat=0 --refill_buffers \
		--serialize_overlap=1 --size=90m --end_fsync=1 "$@"
}
