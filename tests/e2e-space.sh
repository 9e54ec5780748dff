#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A full target filesystem: the source stays healthy and says what is wrong, nothing is lost, and it goes on when space returns.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
e2e_setup
e2e_disk DISK 96M
e2e_target_init "reserve = 4M" "journal-spare = 8M"
# The target's directory on a small filesystem of its own.
truncate -s 160M "$W/store.img"
mkfs.ext4 -qF -m 0 "$W/store.img"
STORE=$(losetup -f --show "$W/store.img")
mkdir -p "$W/small"
mount "$STORE" "$W/small"
E2E_LAST_MOUNTS+=("$W/small")
E2E_LOOPS+=("$STORE")
cp -a "$W/target/." "$W/small/"
mount --bind "$W/small" "$W/target"
E2E_LAST_MOUNTS=("$W/target" "$W/small")
e2e_target_start
e2e_shipper_start
e2e_join
"$BUILD/tests/writer" "$DISK" --length 16M --block 65536 --count 256 --mode direct --seed 1
source_ protect web "$DISK" >/dev/null
e2e_wait_copied web
e2e_mark web first
cp --sparse=always "$DISK_FILE" "$W/reference"
say "the filesystem fills up"
FREE=$(df --output=avail -B1M "$W/small" | tail -n 1)
fallocate -l "$((FREE - 12))M" "$W/small/ballast"
"$BUILD/tests/writer" "$DISK" --offset 16M --length 48M --block 65536 --count 1500 --mode direct --seed 2
says_full() { e2e_status web '.reason + .note' | grep -qi "space\|full"; }
e2e_until 60 says_full || fail "the source does not say that the target is full: $(e2e_status web .)"
say "says: $(e2e_status web '.reason + .note')"
e2e_same web "$W/reference"
say "the old point still opens; space returns"
rm "$W/small/ballast"
e2e_wait_quiet web
e2e_mark web second
e2e_same web "$DISK_FILE"
say "done"
