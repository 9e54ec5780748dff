#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Crash consistency, proven: marks at random moments under a database with synchronous commits, on a filesystem that is mounted and
# not frozen. At each mark: the filesystem is clean once its journal is replayed, the database is sound, and it has every transaction
# that was acknowledged before the mark was asked for, and none that began after it was made. The same of a log with fsync.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
kmod_load
e2e_setup
e2e_start
mkdir "$W/look"

# SQLite, one transaction after the other; N to stdout when N is committed.
database() { # FILE
	sqlite3 "$1" "pragma journal_mode=$JOURNAL; pragma synchronous=full; create table t (n integer primary key, v blob);" >/dev/null
	{
		echo "pragma synchronous=full;"
		for ((n = 1; ; n++)); do echo "insert into t values ($n, randomblob(600)); select $n;"; done
	} | stdbuf -oL sqlite3 "$1"
}
records() { # FILE: numbered lines, each one durable before the next; N to stdout when it is
	for ((n = 1; ; n++)); do
		printf 'record %012d\n' "$n" | dd of="$1" oflag=append conv=notrunc,fsync status=none
		echo "$n"
	done
}
last() { # the last line may be half written
	if [ -s "$1" ]; then tail -n 2 "$1" | head -n 1; else echo 0; fi
}
between() { # WHAT HAS DONE BEGUN
	say "$1: $3 done, the point has $2, $4 begun"
	if [ "$2" -lt "$3" ] || [ "$2" -gt $(($4 + 2)) ]; then fail "$1: the point has $2, of which $3 were done and $4 begun"; fi
}
marks() { # NAME FILESYSTEM COUNT
	local name=$1 n rows lines done_rows done_lines begun_rows begun_lines
	for ((n = 1; n <= $3; n++)); do
		sleep "0.$((RANDOM % 10))"
		done_rows=$(last "$W/rows") done_lines=$(last "$W/lines")
		source_ mark "$name" --label "mark-$n" --wait >/dev/null || fail "mark $n: no point: $(e2e_status "$name" .reason)"
		begun_rows=$(last "$W/rows") begun_lines=$(last "$W/lines")
		e2e_until 60 e2e_at_point "$name" "mark-$n" || fail "the replica does not reach mark $n"
		rm -f "$W/point"
		target export "$name" --format raw --to "$W/point" --disk 0 >/dev/null || fail "export"
		mount -o "loop$([ "$2" != xfs ] || echo ,nouuid)" "$W/point" "$W/look" || fail "mark $n: the filesystem cannot be mounted"
		[ "$(sqlite3 "$W/look/db" 'pragma integrity_check;')" = ok ] || fail "mark $n: the database is not sound"
		rows=$(sqlite3 "$W/look/db" 'select count(*) from t;')
		[ "$rows" = "$(sqlite3 "$W/look/db" 'select coalesce(max(n), 0) from t;')" ] || fail "mark $n: a transaction is missing"
		lines=$(wc -l <"$W/look/records")
		cmp <(seq -f 'record %012.0f' "$lines") <(head -n "$lines" "$W/look/records") || fail "mark $n: the log has holes"
		umount "$W/look"
		case $2 in
		ext4) e2fsck -fn "$W/point" >"$W/fsck" 2>&1 || fail "mark $n: $(cat "$W/fsck")" ;;
		xfs) xfs_repair -n "$W/point" >"$W/fsck" 2>&1 || fail "mark $n: $(cat "$W/fsck")" ;;
		esac
		between "mark $n, transactions" "$rows" "${done_rows:-0}" "${begun_rows:-0}"
		between "mark $n, records" "$lines" "${done_lines:-0}" "${begun_lines:-0}"
	done
}

for kind in "ext4 delete" "xfs wal"; do
	read -r filesystem JOURNAL <<<"$kind"
	say "$filesystem, journal_mode=$JOURNAL"
	e2e_disk "${filesystem^^}" 320M
	declare -n DISK=${filesystem^^}
	"mkfs.$filesystem" -q "$DISK"
	e2e_mount "$DISK" "$W/mnt"
	source_ protect "$filesystem" "$DISK" >/dev/null
	e2e_wait_copied "$filesystem"
	is_streaming() { e2e_is "$filesystem" .state streaming; }
	e2e_until 60 is_streaming || fail "it does not stream"
	: >"$W/rows"
	: >"$W/lines"
	touch "$W/mnt/records"
	database "$W/mnt/db" >"$W/rows" &
	DB=$!
	records "$W/mnt/records" >"$W/lines" &
	RECORDS=$!
	E2E_PIDS+=("$DB" "$RECORDS")
	some() { [ "$(last "$W/rows")" -ge 3 ] && [ "$(last "$W/lines")" -ge 3 ]; }
	e2e_until 60 some || fail "nothing is written"
	marks "$filesystem" "$filesystem" "${MARKS:-10}"
	pkill -P $DB || true
	kill $DB $RECORDS 2>/dev/null || true
	wait $DB $RECORDS 2>/dev/null || true
	e2e_umount "$W/mnt"
	source_ unprotect "$filesystem" >/dev/null
done
e2e_shipper_stop
e2e_target_stop
kmod_unload
say "done"
