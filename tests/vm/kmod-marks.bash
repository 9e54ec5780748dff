# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Marks at random moments under a load, and the disks as they were at each of them: a copy of the replica from before the load, and
# the journal since then, replayed up to the mark. Sourced, behind tests/vm/kmod-lib.bash.
#
# A load's writer says what is durable by counting in a file: 1, 2, 3, a line each. At a mark there must be what was counted before
# it was asked for, and nothing that was begun after it was made: of what was counted by then, one more.
declare -A MARKS_DONE MARKS_BEGUN
export MARKS_KEEP="journal-spare = 64G" # for e2e_start: the target keeps the whole journal

marks_last() { # FILE: the last number, 0 if there is none
	local number
	number=$(tail -n 1 "$1" | head -n 1)
	echo "${number:-0}"
}
marks_counting() { # FILE...: the writers are at work
	local file
	for file; do [ "$(marks_last "$file")" -ge 3 ] || return 1; done
}
# The protection streams, its disks are at rest: the copy, in $W/base.
marks_begin() { # NAME
	local home=$W/target/protections/$1
	e2e_mark "$1" base
	rm -rf "$W/base"
	mkdir "$W/base"
	cp -a --sparse=always "$home/sidecar" "$home"/disk-*.raw "$W/base/"
}
marks_make() { # NAME COUNT FILE...: the files' names are those of what they count
	local name=$1 count=$2 n file frozen=0
	shift 2
	for ((n = 1; n <= count; n++)); do
		sleep "0.$((RANDOM % 10))"
		for file; do MARKS_DONE[$n-${file##*/}]=$(marks_last "$file"); done
		source_ mark "$name" --label "mark-$n" --wait >/dev/null || fail "mark $n: no point: $(e2e_status "$name" .reason)"
		for file; do MARKS_BEGUN[$n-${file##*/}]=$(marks_last "$file"); done
		[ "$(e2e_status "$name" .point.frozen_ms)" = 0 ] || frozen=$((frozen + 1))
	done
	[ $((frozen * 10)) -le "$count" ] || fail "$frozen of $count marks did not come from the log"
}
# marks_replay NAME COUNT LOOK: LOOK N, for each mark, with its disks in $W/disk-0.raw and so on. The target's own replica must be
# the last of them.
marks_replay() {
	local home=$W/target/protections/$1 n disk
	for ((n = 1; n <= $2; n++)); do
		"$BUILD/tests/replay" "$home" "$W/base" "mark-$n" || fail "mark $n: replay"
		cp --sparse=always "$W"/base/disk-*.raw "$W/"
		"$3" "$n"
	done
	e2e_until 60 e2e_at_point "$1" "mark-$2" || fail "the replica does not reach the last mark"
	for disk in "$W"/base/disk-*.raw; do
		disk=${disk##*/disk-}
		e2e_same "$1" "$W/base/disk-$disk" "${disk%.raw}"
	done
	rm "$W"/disk-*.raw
}
marks_mount() { # N DISK DIRECTORY
	mount -o loop "$2" "$3" || fail "mark $1: ${2##*/} cannot be mounted"
	E2E_MOUNTS+=("$3")
}
# A mark's filesystems, once they were mounted: no fault.
marks_fsck() { # N FILESYSTEM DISK
	case $2 in
	ext4) e2fsck -fn "$3" >"$W/fsck" 2>&1 || fail "mark $1, ext4: $(cat "$W/fsck")" ;;
	xfs) xfs_repair -n "$3" >"$W/fsck" 2>&1 || fail "mark $1, XFS: $(cat "$W/fsck")" ;;
	esac
}
marks_between() { # N WHAT HAS: of what the file WHAT counts, there are so many at the mark
	local done_=${MARKS_DONE[$1-$2]} begun=$((${MARKS_BEGUN[$1-$2]} + 1))
	say "mark $1, $2: $done_ done, the point has $3, $begun begun"
	if [ "$3" -lt "$done_" ] || [ "$3" -gt "$begun" ]; then fail "mark $1, $2: $done_ were done, $begun begun, and the point has $3"; fi
}
