# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154
# Debian's kernels, and what a module is built against, from this machine's own mirror into a cache: for scripts/vm and
# scripts/kernel-headers. Nothing is installed, and apt's own state is not touched. Sourced.
#
# $cache/kernel-KVER: vmlinuz, and the modules that are wanted. $cache/headers-KVER: headers and kbuild of exactly that kernel; kdir in
# it is what make takes as KDIR. Both say which they are in the files release (6.1.0-56-amd64) and version (6.1.192-2).
# The caller sets $scratch, a directory of its own. $FETCH=1 asks for a newer kernel than the cache has.
cache=$(realpath -m "${TIDEMARK_CACHE:-/var/cache/tidemark}")

kernels="5.10 6.1 6.12 newest"
declare -A suites=([5.10]=bullseye [6.1]=bookworm [6.12]=bookworm-backports [newest]=sid)

say() { printf '%s\n' "$*"; }
die() {
	say "$(basename "$0"): $*" >&2
	exit 1
}
skip() {
	say "cannot run here: $*"
	exit 77
}

# What must be in the guest's kernel; what these need comes along.
boot_modules="virtio_pci virtio_blk ext4 crc32c_generic"
modules="$boot_modules virtio_scsi virtio_console sd_mod sg nvme loop nbd fuse scsi_debug xfs btrfs vfat nls_cp437 nls_ascii nls_iso8859-1
	nls_utf8 dm_mod dm_flakey dm_delay dm_crypt dm_raid dm_snapshot dm_mirror raid1 md_mod bfq kyber_iosched xts ecb zram brd null_blk ublk_drv"

# Sources for SUITE: where this machine has its own release from, with that suite's name. Security updates only for its own release.
sources_for() {
	local own uri release key="signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
	own=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	while read -r uri release; do
		case $release in
		"$own") echo "deb [$key] $uri $1 main" ;;
		"$own-security") [ "$1" != "$own" ] || echo "deb [$key] $uri $release main" ;;
		esac
	done < <(apt-get indextargets --format "\$(REPO_URI) \$(RELEASE)" 'Created-By: Packages' 'Component: main' 'Origin: Debian' | sort -u)
}

# The module tree's paths of MODULE... and all they need, by modules.dep.
closure() { # TREE MODULE...
	local tree=$1
	shift
	awk -v wanted="$*" '
		function name(path) { sub(/.*\//, "", path); sub(/\.ko.*/, "", path); gsub(/-/, "_", path); return path }
		function add(m) { if (m in path && !(m in done)) { done[m] = 1; print path[m]; n = split(needs[m], d, " "); order[m] = n
			for (i = 1; i <= n; i++) queue[++tail] = name(d[i]) } }
		{ file = $1; sub(/:$/, "", file); m = name(file); path[m] = file; $1 = ""; needs[m] = $0 }
		END { count = split(wanted, w, " "); for (k = 1; k <= count; k++) { gsub(/-/, "_", w[k]); queue[++tail] = w[k] }
			for (head = 1; head <= tail; head++) add(queue[head]) }' "$tree/modules.dep"
}

# Sets $apt: the options with which apt knows SUITE, and keeps what it knows in DIR alone.
private_apt() { # SUITE DIR
	mkdir -p "$2"/{lists,cache/archives}/partial
	sources_for "$1" >"$2/sources.list"
	[ -s "$2/sources.list" ] || skip "this machine has no Debian mirror among its sources"
	apt=(-qq -o "Dir::Etc::sourcelist=$2/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$2/lists"
		-o "Dir::Cache=$2/cache" -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o Acquire::Retries=3
		-o APT::Sandbox::User=root)
	timeout 300 apt-get "${apt[@]}" update || skip "the package lists of $1 cannot be had"
}

# unpack_packages WORK PACKAGE...: downloads into WORK/deb, unpacks into WORK/image.
unpack_packages() {
	local work=$1 deb
	shift
	mkdir -p "$work/deb"
	(cd "$work/deb" && timeout 900 apt-get "${apt[@]}" download "$@") || skip "$1 cannot be had"
	for deb in "$work"/deb/*.deb; do
		dpkg-deb -x "$deb" "$work/image" || die "$deb is no package"
	done
}

# Fetches the newest kernel of the suite: its files into $work/image; sets $release and $version.
fetch_kernel() { # KVER
	local image parts apt
	private_apt "${suites[$1]}" "$work"
	image=$(apt-cache "${apt[@]}" depends linux-image-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
	[[ $image == linux-image-${1/newest/[0-9]}* ]] || skip "${suites[$1]} has no kernel $1 (${image:-nothing})"
	# In Linux 7 that package is empty, and depends on those that hold the parts.
	mapfile -t parts < <(apt-cache "${apt[@]}" depends "$image" |
		awk '$1 == "Depends:" && $2 ~ /^linux-(base|binary|modules)-[0-9]/ { print $2 }')
	unpack_packages "$work" "$image" "${parts[@]}"
	release=${image#linux-image-}
	version=$(dpkg-deb -f "$work/deb/$image"_*.deb Version)
}

# alone COMMAND...: one process at a time fills the cache.
alone() {
	local lock
	mkdir -p "$cache"
	exec {lock}>"$cache/lock"
	flock -n "$lock" || { say "waiting for another process that fills $cache" >&2 && flock "$lock"; }
	"$@" || return
	exec {lock}>&-
}

# Sets $kernel: a directory with vmlinuz, release, and the modules that are wanted.
get_kernel() { # KVER
	kernel=$cache/kernel-$1
	alone fill_kernel "$1"
}
fill_kernel() {
	local work release version tree new
	# What is wanted is part of the answer: another list of modules is another kernel.
	if [ -z "${FETCH-}" ] && [ "$(cat "$kernel/wanted" 2>/dev/null)" = "$modules" ]; then return; fi
	work=$scratch/fetch
	fetch_kernel "$1"
	[ -d "$work/image/lib" ] || ln -s usr/lib "$work/image/lib"
	tree=$work/image/lib/modules/$release new=$work/new
	find "$tree/" -name '*.ko.xz' -exec xz -d {} +
	busybox depmod -b "$work/image" "$release"
	mkdir -p "$new/lib/modules/$release"
	cp "$work/image/boot/vmlinuz-$release" "$new/vmlinuz" 2>/dev/null || cp "$tree/vmlinuz" "$new/vmlinuz" || die "no vmlinuz in the package"
	cp "$tree"/modules.{builtin,order} "$new/lib/modules/$release/" || die "no list of modules in the package"
	# shellcheck disable=SC2086 # a list
	(cd "$tree" && closure . $modules | cpio -pdm --quiet "$new/lib/modules/$release") || die "no modules in the package"
	busybox depmod -b "$new" "$release"
	echo "$release" >"$new/release"
	echo "$version" >"$new/version"
	echo "$modules" >"$new/wanted"
	rm -rf "$kernel"
	mv "$new" "$kernel"
	rm -rf "$work"
}

# What these packages know of /usr is below $1 here.
relocate() { # ROOT
	local root=$1 link file
	while read -r link; do
		ln -sfn "$root$(readlink "$link")" "$link"
	done < <(find "$root" -type l -lname '/*')
	while read -r file; do
		sed -i "s,\(^\|[= ]\)/usr/src/,\1$root/usr/src/," "$file"
	done < <(find "$root/usr/src" -maxdepth 2 -name Makefile ! -path '*-common/*')
}

# The tools among them are programs of that release: with a newer C library than this machine's they cannot run.
tools_run() { # ROOT
	local tool said
	while read -r tool; do
		said=$(ldd "$tool" 2>&1) || true
		[[ $said != *"not found"* ]] || { say "$said" && return 1; }
	done < <(find "$1/usr/lib" -type f \( -name fixdep -o -name 'modpost*' -o -name 'objtool*' \) -perm -u+x)
}

# Sets $headers to what modules for the kernel in the cache are built with: of the same version, or not at all. $headers/kdir.
get_headers() { # KVER
	get_kernel "$1"
	headers=$cache/headers-$1
	alone fill_headers "$1"
}
fill_headers() {
	local work release version parts apt kdir
	release=$(cat "$kernel/release") version=$(cat "$kernel/version")
	if [ "$(cat "$headers/release" "$headers/version" 2>/dev/null)" = "$release"$'\n'"$version" ]; then return; fi
	work=$scratch/fetch-headers
	private_apt "${suites[$1]}" "$work"
	mapfile -t parts < <(apt-cache "${apt[@]}" depends "linux-headers-$release=$version" 2>/dev/null |
		awk '$1 == "Depends:" && $2 ~ /^linux-(headers-.*-common|kbuild-.*)$/ { print $2 }')
	[ ${#parts[@]} = 2 ] || skip "the mirror has no headers for $release $version any more: FETCH=1 takes its newest kernel"
	parts+=("linux-headers-$release")
	unpack_packages "$work" "${parts[@]/%/=$version}"
	kdir=usr/src/linux-headers-$release
	[ -e "$work/image/$kdir/Makefile" ] || die "no $kdir in the packages"
	tools_run "$work/image" || skip "the tools in linux-kbuild of $release need a newer Debian than this one (above)"
	rm -rf "$headers"
	mv "$work/image" "$headers"
	relocate "$headers"
	ln -s "$kdir" "$headers/kdir"
	echo "$release" >"$headers/release"
	echo "$version" >"$headers/version" # last: now it is whole
	rm -rf "$work"
}
