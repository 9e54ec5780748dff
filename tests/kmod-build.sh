#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The module builds without a warning (W=1) against Debian's 6.1 and 6.12, without a file left among the sources; and from what
# make install puts down for dkms, with dkms.conf's own command. Whatever it allocates with is known to the test of that.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
# shellcheck source=tests/words.bash
. "$top/tests/words.bash"
command -v gcc-12 >/dev/null || skip "no gcc-12 (scripts/deps kmod)"
W=$(mktemp -d)
trap 'rm -rf "$W"' EXIT
trap 'exit 130' INT TERM

sources() { find kmod include bpf | sort; }
# built DIRECTORY KDIR: what is in it is this kernel's module.
built() {
	local said
	[ -s "$1/tidemark.ko" ] || fail "no tidemark.ko in $1"
	said=$(tr '\0' '\n' <"$1/tidemark.ko" | sed -n 's/^\(vermagic\|version\|license\)=//p' | paste -sd' ')
	[[ $said == *"$(sed -n 's/^#define UTS_RELEASE "\(.*\)"/\1/p' "$2/include/generated/utsrelease.h") SMP"* ]] || fail "it says: $said"
	[[ " $said " == *" GPL "* && " $said " == *" $version "* ]] || fail "it says: $said"
	say "$said"
}

# asks DIRECTORY: what the module asks the kernel for, and what tests/kfault can make fail.
asks() {
	local name
	for name in $(nm -u "$1/tidemark.ko" | awk '{ print $2 }' | grep -E 'alloc|vmap$|dup|register|init_queue' |
		grep -vE 'unregister|^remap_|_caches$'); do
		grep -qF "\"$name\"" tests/kfault/kfault.c || fail "tests/kfault does not know $name"
	done
}

version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' kmod/dkms.conf)
kdirs=()
for kver in 6.1 6.12; do
	kdir=$(scripts/kernel-headers $kver) || { say "$kdir" && continue; }
	kdirs+=("$kdir")
	before=$(sources)
	make -s kmod KVER=$kver O="$W/build" W=1 >"$W/said" 2>&1 || fail "$kver: $(tail -n 20 "$W/said")"
	! grep -i warning "$W/said" || fail "$kver: warnings (above)"
	[ "$(sources)" = "$before" ] || fail "$kver: left among the sources: $(diff <(echo "$before") <(sources))"
	built "$W"/build/kmod/$kver.* "$kdir"
	asks "$W"/build/kmod/$kver.*
done
[ ${#kdirs[@]} -gt 0 ] || skip "no kernel headers can be had"

say "from what is installed for dkms"
make -s kmod-install DESTDIR="$W/root" PREFIX=/usr
# shellcheck disable=SC2034 # dkms.conf uses them
kernel_source_dir=${kdirs[0]} dkms_tree=$W/dkms
mkdir -p "$W/dkms/tidemark/$version"
cp -r "$W/root/usr/src/tidemark-$version" "$W/dkms/tidemark/$version/build"
# shellcheck source=/dev/null
(. "$W/dkms/tidemark/$version/build/dkms.conf" && ${MAKE[0]}) >"$W/said" 2>&1 || fail "$(tail -n 20 "$W/said")"
built "$W/dkms/tidemark/$version/build" "${kdirs[0]}"

say "without headers it says what to do"
if make -s kmod KVER=6.0 O="$W/build" >"$W/said" 2>&1; then fail "it builds for a kernel that nobody has"; fi
grep -F "no kernel headers in" "$W/said" || fail "it says: $(cat "$W/said")"
say "done"
