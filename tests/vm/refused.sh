#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A kernel that is too old for the tracker: refused with the reason, by the tracker and by the shipper, and nothing is left behind.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
e2e_setup
e2e_disk DISK 16M
if said=$("$BUILD/tests/track" "$PINS" attach disk "$DISK" 2>&1); then fail "the tracker loads"; fi
say "the tracker: $said"
[[ $said == *"kernel $(uname -r | cut -d. -f1,2)"*"too old"*5.17* ]] || fail "that does not say what is wrong"
if timeout 60 "$BUILD/tidemark-shipper" -c "$W/shipper.conf" 2>"$W/said"; then fail "the shipper runs"; fi
say "the shipper: $(cat "$W/said")"
[[ $(cat "$W/said") == *"kernel $(uname -r) is too old"*5.17* ]] || fail "that does not say what is wrong"
if [ -d "$PINS" ] && [ -n "$(ls "$PINS")" ]; then fail "pins are left"; fi
say "done"
