#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The shipper with the kernel module: which tracker it picks and what it says of it; a protection that goes from one tracker to the
# other; and the chain's own tests, with the module as the tracker.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
e2e_setup
tracker() { e2e_status "$1" '.disks[0].tracker'; }
is_tracked_by() { [ "$(tracker "$1")" = "$2" ]; }
tracked_by() { e2e_until 30 is_tracked_by "$1" "$2" || fail "$1 is tracked by '$(tracker "$1")', not $2"; }
change() { "$BUILD/tests/writer" "$1" --length 64M --block 4096 --count 200 --mode direct --seed "$RANDOM" >/dev/null; }

say "without the module"
e2e_disk FIRST 64M
e2e_disk SECOND 64M
change "$FIRST"
change "$SECOND"
e2e_start
if said=$(source_ protect one "$FIRST" --tracker module 2>&1); then fail "it is protected by a module that is not there: $said"; fi
[[ $said == *"modprobe tidemark"* ]] || fail "it does not say what to do: $said"
said=$(source_ protect one "$FIRST")
[[ $said == *"tracked by eBPF"* ]] || fail "it does not say by what it is tracked: $said"
e2e_wait_copied one
e2e_mark one ebpf
vm_same one "$FIRST"

say "loaded later: for what is protected from then on"
kmod_load
tracked_by one ebpf
said=$(source_ protect two "$SECOND")
[[ $said == *"tracked by the kernel module"* ]] || fail "it does not say by what it is tracked: $said"
e2e_wait_copied two
tracked_by two module
change "$SECOND"
e2e_mark two module
vm_same two "$SECOND"
if kmod_unload 2>/dev/null; then fail "the module goes away under the shipper"; fi

say "from one to the other: compared, not copied"
e2e_shipper_stop
change "$FIRST" # seen by eBPF, which nobody asks any more
e2e_shipper_start
tracked_by one module
e2e_wait_copied one
e2e_mark one moved
vm_same one "$FIRST"
sent=$(e2e_status one .sent_wire_bytes)
[ "$sent" -lt $((8 << 20)) ] || fail "$sent bytes were sent"
e2e_shipper_stop
kmod_unload
change "$FIRST"
change "$SECOND"
e2e_shipper_start
tracked_by one ebpf
e2e_wait_copied one
e2e_mark one back
vm_same one "$FIRST"
e2e_wait_copied two
e2e_mark two back
vm_same two "$SECOND"

say "forced"
kmod_load
source_ unprotect one >/dev/null
source_ unprotect two >/dev/null
source_ protect one "$FIRST" --tracker ebpf >/dev/null
tracked_by one ebpf
source_ unprotect one >/dev/null
source_ protect three "$SECOND" --tracker module >/dev/null
tracked_by three module
e2e_wait_copied three
e2e_shipper_stop
kmod_unload
e2e_shipper_start
waits() { [[ $(e2e_status three .reason) == *"modprobe tidemark"* ]]; }
e2e_until 30 waits || fail "a protection without its module says: $(e2e_status three .reason)"
change "$SECOND"
kmod_load
tracked_by three module
e2e_wait_copied three
e2e_mark three again
vm_same three "$SECOND"
source_ unprotect three >/dev/null
[ -z "$("$LOG" disk 0 2>/dev/null)" ] || fail "the module still has a disk"
e2e_shipper_stop
e2e_target_stop
kmod_unload
say "done"
