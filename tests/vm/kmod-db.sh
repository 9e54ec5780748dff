#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Crash consistency, proven with SQLite: marks at random moments under a database with synchronous commits, on a filesystem that is
# mounted and not frozen. At each mark: the filesystem is clean once its journal is replayed, the database is sound, and it has every
# transaction that was acknowledged before the mark was asked for, and none that began after it was made. The same of a log with
# fsync. MARKS: how many, for each of two databases.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
# shellcheck source=tests/vm/kmod-marks.bash
. "$(dirname "$0")/kmod-marks.bash"
MARKS=${MARKS:-5}
kmod_load
e2e_setup
e2e_start "$MARKS_KEEP"
mkdir "$W/look"

# SQLite, one transaction after the other; N to stdout when N is committed.
database() { # FILE
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
look() { # N
	local rows lines
	marks_mount "$1" "$W/disk-0.raw" "$W/look"
	[ "$(sqlite3 "$W/look/db" 'pragma integrity_check;')" = ok ] || fail "mark $1: the database is not sound"
	rows=$(sqlite3 "$W/look/db" 'select count(*) from t;')
	[ "$rows" = "$(sqlite3 "$W/look/db" 'select coalesce(max(n), 0) from t;')" ] || fail "mark $1: a transaction is missing"
	lines=$(wc -l <"$W/look/records")
	cmp <(seq -f 'record %012.0f' "$lines") <(head -n "$lines" "$W/look/records") || fail "mark $1: the log has holes"
	e2e_umount "$W/look"
	marks_fsck "$1" "$filesystem" "$W/disk-0.raw"
	marks_between "$1" transactions "$rows"
	marks_between "$1" records "$lines"
}

for kind in "ext4 delete" "xfs wal"; do
	read -r filesystem journal <<<"$kind"
	say "$filesystem, journal_mode=$journal"
	e2e_disk "${filesystem^^}" 320M
	declare -n DISK=${filesystem^^}
	"mkfs.$filesystem" -q "$DISK"
	e2e_mount "$DISK" "$W/mnt"
	sqlite3 "$W/mnt/db" "pragma journal_mode=$journal; create table t (n integer primary key, v blob);" >/dev/null
	touch "$W/mnt/records"
	source_ protect "$filesystem" "$DISK" >/dev/null
	e2e_wait_copied "$filesystem"
	is_streaming() { e2e_is "$filesystem" .state streaming; }
	e2e_until 60 is_streaming || fail "it does not stream"
	marks_begin "$filesystem"
	: >"$W/transactions"
	: >"$W/records"
	database "$W/mnt/db" >"$W/transactions" &
	DB=$!
	records "$W/mnt/records" >"$W/records" &
	RECORDS=$!
	E2E_PIDS+=("$DB" "$RECORDS")
	e2e_until 60 marks_counting "$W/transactions" "$W/records" || fail "nothing is written"
	marks_make "$filesystem" "$MARKS" "$W/transactions" "$W/records"
	pkill -P $DB || true
	kill $DB $RECORDS 2>/dev/null || true
	wait $DB $RECORDS 2>/dev/null || true
	e2e_umount "$W/mnt"
	marks_replay "$filesystem" "$MARKS" look
	source_ unprotect "$filesystem" >/dev/null
done
e2e_shipper_stop
e2e_target_stop
kmod_unload
say "done"
