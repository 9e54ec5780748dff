# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The kernel module, for tests of it. Sourced, behind tests/vm/lib.bash.
export LOG=$BUILD/tests/kmodlog
MODULE=/lib/modules/$(uname -r)/updates/tidemark.ko
[ -e "$MODULE" ] || skip "there is no module for $(uname -r) (scripts/kernel-headers)"

kmod_load() { busybox insmod "$MODULE"; }
kmod_unload() { busybox rmmod tidemark; }
kmod_loaded() { grep -q '^tidemark ' /proc/modules; }
# Of a line "name value name value ...".
field() { sed -E "s/.*\b$1 ([0-9]+).*/\1/"; }
