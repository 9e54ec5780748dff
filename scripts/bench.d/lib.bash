# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What scripts/bench's measurements share: a network of their own, volumes, processor time by process, results and their medians,
# goals, and the sections of docs/benchmarks.md. Sourced with the script's arguments; uses the daemons as tests/e2e-lib.bash runs
# them.
#
# Wall is seconds. CPU is seconds of all processes of both ends; the kernel's own threads (loop devices, writeback) count for nobody.
# Wire is MiB over the loopback interface in both directions, with all headers.
BUILD=${BUILD:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build}
export BUILD
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../tests/e2e-lib.bash"
BENCH_OUT=${BENCH_OUT:-$E2E_TOP/docs/benchmarks.md}

# A network namespace holds nothing but this script: what its loopback interface counts is ours.
bench_own_network() { # SCRIPT ARGUMENT...
	[ -z "${BENCH_NETWORK-}" ] || { ip link set lo up && return; }
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	BENCH_NETWORK=own exec unshare -n -- "$@"
}
bench_need() {
	local tool
	for tool; do command -v "$tool" >/dev/null || skip "no $tool: scripts/deps bench"; done
}
# Sets LOAD: a sentence if the machine is busy.
bench_quiet() {
	local load
	read -r load _ </proc/loadavg
	LOAD=''
	awk -v load="$load" 'BEGIN { exit !(load > 0.5) }' || return 0
	LOAD="The load average was $load at the start: **these numbers are not to be trusted.**"
	say "$LOAD"
}
# bench_size GiB RUNS: SIZE and RUNS, checked.
bench_size() {
	[[ $1 =~ ^[1-9][0-9]?$ && $2 =~ ^[1-9][0-9]?$ ]] || {
		echo "a size in GiB and a number of runs, up to 99 each" >&2
		exit 64
	}
	SIZE=$1 RUNS=$2
	export SIZE RUNS
}

# ---- volumes ----

# Each on a loop device over a file of its own. On a disk the loop devices pass the page cache by.
bench_loop() { # VARIABLE MiB
	local options=()
	[ "$(stat -f -c %T "$W")" = tmpfs ] || options=(--direct-io=on)
	e2e_disk "$1" "$2M" "${options[@]}"
}
bench_mount() { # DEVICE TYPE DIRECTORY
	case $2 in
	ext4) mkfs.ext4 -qF -E lazy_itable_init=0,lazy_journal_init=0 "$1" ;;
	xfs) mkfs.xfs -qf "$1" ;;
	esac
	mkdir -p "$3"
	mount "$1" "$3"
	E2E_LAST_MOUNTS=("$3" "${E2E_LAST_MOUNTS[@]}")
}
# DISK: the source. $W/target: ext4, the replicas and what peers write. JOURNAL: xfs, of one protection after the other.
bench_volumes() {
	bench_loop DISK $((SIZE * 1024))
	bench_loop REPLICA $((SIZE * 2048 + 1024))
	bench_loop JOURNAL $((SIZE * 1024 + 2048))
	bench_mount "$REPLICA" ext4 "$W/target"
}
# Real files as they come, a fifth zeroes, a tenth random.
bench_fill() {
	local part=$((SIZE * 1024 / 10))
	say "filling $SIZE GiB"
	files_for_ever | dd of="$DISK_FILE" bs=1M count=$((part * 7)) iflag=fullblock conv=notrunc status=none || true
	dd if=/dev/urandom of="$DISK_FILE" bs=1M seek=$((part * 9)) count=$part conv=notrunc status=none
	[ "$(du -BM "$DISK_FILE" | cut -dM -f1)" -ge $((part * 8)) ] || fail "the disk could not be filled"
}
files_for_ever() {
	while find /usr -xdev -type f -size -64M -print0 2>/dev/null | sort -z | xargs -0 cat 2>/dev/null; do :; done
}
# A new filesystem for the journal of NAME, before it is protected.
bench_journal() {
	bench_mount "$JOURNAL" xfs "$W/target/protections/$1/journal"
}
bench_unprotect() {
	local mounts=() m dir
	source_ unprotect "$1" >/dev/null
	target delete "$1" >/dev/null
	dir=$(echo "$W/target/deleted/$1".*)
	e2e_until 20 umount "$dir/journal" || fail "the journal of $1 is still in use"
	for m in "${E2E_LAST_MOUNTS[@]}"; do [[ $m == */"$1"/journal ]] || mounts+=("$m"); done
	E2E_LAST_MOUNTS=("${mounts[@]}")
	rm -r "$dir"
	fstrim "$W/target"
}
# Asked often while a clock runs: without jq, which costs more than a daemon does meanwhile.
bench_copied() { { source_ --json status "$1" || true; } | grep '"first_copy": *false' >/dev/null; }
bench_applied() {
	local chunks
	chunks=$({ target --json status "$1" || true; } | grep -oE '"(applied|durable)_chunk": *[0-9]+' | grep -oE '[0-9]+$' | sort -u)
	[ "$(wc -w <<<"$chunks")" = 1 ]
}
bench_replica() { echo "$W/target/protections/$1/disk-0.raw"; }

# ---- clocks and counters ----

bench_now() { date +%s.%N; }
bench_since() { awk -v a="$1" -v b="$(bench_now)" 'BEGIN { printf "%.2f", b - a }'; }
bench_wire() { awk '$1 == "lo:" { print $10 }' /proc/net/dev; } # bytes sent
bench_wire_since() { awk -v a="$1" -v b="$(bench_wire)" 'BEGIN { printf "%.2f", (b - a) / 1048576 }'; }

# Processor time of both daemons so far, by process: lines NAME USER SYSTEM, in ticks. What ended counts as its parent's.
bench_cpu() {
	local pid comm
	for pid in "$SHIPPER" $(pgrep -s "$TARGET"); do
		comm=$(cat "/proc/$pid/comm" 2>/dev/null) || continue
		sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | awk -v n="$comm" '{ print n, $12 + $14, $13 + $15 }'
	done
}
# bench_cpu_since SNAPSHOT WHAT: seconds, which are also added to the profile of WHAT: lines WHAT NAME USER SYSTEM, in ticks.
bench_cpu_since() {
	awk -v what="$2" 'FNR == NR { print what, $1, -$2, -$3; next } { print what, $1, $2, $3 }' <(echo "$1") <(bench_cpu) >"$W/ticks"
	cat "$W/ticks" >>"$W/profile"
	awk -v hz="$(getconf CLK_TCK)" '{ s += $3 + $4 } END { printf "%.2f", s / hz }' "$W/ticks"
}
# The profile as a table: seconds per run.
bench_profile() {
	[ -s "$W/profile" ] || return 0
	echo "| what | process | user s | system s |"
	echo "|---|---|---|---|"
	awk -v hz="$(getconf CLK_TCK)" -v runs="$RUNS" '
		{ key = "| " $1 " | " $2; u[key] += $3; s[key] += $4 }
		END { for (k in u) if (u[k] > 0 || s[k] > 0) printf "%s | %.2f | %.2f |\n", k, u[k] / hz / runs, s[k] / hz / runs }' "$W/profile" | sort
}

# ---- results ----

# bench_result WHAT WALL CPU WIRE; "-" for what there is none of
bench_result() {
	printf '%s %s %s %s\n' "$@" >>"$W/results"
	printf '%-28s wall %8s s  cpu %8s s  wire %9s MiB\n' "$@"
}
# bench_median WHAT FIELD: 2 wall, 3 CPU, 4 wire
bench_median() {
	awk -v w="$1" -v f="$2" '$1 == w { print $f }' "$W/results" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
bench_table() {
	echo "| what | wall s: median (range) | CPU s | wire MiB |"
	echo "|---|---|---|---|"
	local name
	cut -d ' ' -f 1 "$W/results" | awk '!seen[$0]++' | while read -r name; do
		printf '| %s | %s (%s) | %s | %s |\n' "$name" "$(bench_median "$name" 2)" \
			"$(awk -v w="$name" '$1 == w { print $2 }' "$W/results" | sort -n | sed -n '1p;$p' | paste -sd' ' | sed 's/ / to /')" \
			"$(bench_median "$name" 3)" "$(bench_median "$name" 4)"
	done
}
# bench_goal TEXT VALUE at-most|at-least LIMIT: a line of $W/goals
bench_goal() {
	awk -v t="$1" -v v="$2" -v how="$3" -v l="$4" 'BEGIN {
		met = how == "at-most" ? v <= l : v >= l
		printf "| %s | %s | %.4g | %s |\n", t, (how == "at-most" ? "≤ " : "≥ ") l, v, met ? "met" : "**missed**" }' | tee -a "$W/goals"
}
bench_ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.4f", b == 0 ? 0 : a / b }'; }
bench_missed() { grep -q 'missed' "$W/goals"; }
bench_goals() {
	[ -s "$W/goals" ] || return 0
	echo "| goal | | measured | |"
	echo "|---|---|---|---|"
	cat "$W/goals"
}

# ---- docs/benchmarks.md ----

bench_machine() { echo "$(nproc) processors, Linux $(uname -r | cut -d. -f1-2), $(date -u +%Y-%m-%d)"; }
# bench_section NAME TITLE: replaces that section by standard input, or adds it.
bench_section() {
	local text=$W/section begin="<!-- begin $1 -->" end="<!-- end $1 -->"
	{ echo "$begin" && echo "## $2" && echo && cat && echo "$end"; } >"$text"
	[ -s "$BENCH_OUT" ] || cat >"$BENCH_OUT" <<-'TEXT'
		# Benchmarks

		Written by `scripts/bench`, a section by each of its commands. Only ratios within one run mean something.
	TEXT
	if grep -qxF "$begin" "$BENCH_OUT"; then
		awk -v begin="$begin" -v end="$end" -v text="$text" '
			$0 == begin { while ((getline line <text) > 0) print line; skip = 1 }
			!skip { print }
			$0 == end { skip = 0 }' "$BENCH_OUT" >"$W/new"
	else
		{ cat "$BENCH_OUT" && echo && cat "$text"; } >"$W/new"
	fi
	cat "$W/new" >"$BENCH_OUT"
	cat "$text"
}
