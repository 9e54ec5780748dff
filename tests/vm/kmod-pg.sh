#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Crash consistency over two disks, proven with PostgreSQL: its files on one disk, its log on another, marks at random moments while
# two connections commit and a third one makes checkpoints. At each mark: both filesystems are clean once their journals are replayed,
# PostgreSQL recovers from them, tables and indexes are sound, and each connection's transactions are there that were acknowledged
# before the mark was asked for, and none that began after it was made. A file that is newer than the log is what PostgreSQL does not
# survive: the checkpoints, and little memory, have it write them all the time. MARKS: how many. COALESCE: whether what is overwritten
# between two marks is left out; the end of PostgreSQL's log is, by each commit. kmod-db is without that.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
# shellcheck source=tests/vm/kmod-marks.bash
. "$(dirname "$0")/kmod-marks.bash"
BIN=/usr/lib/postgresql/15/bin
[ -d /tidemark/postgresql ] || skip "no postgresql-15 (scripts/deps vm)"
MARKS=${MARKS:-10} COALESCE=${COALESCE:-yes}

as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
sql() { stdbuf -oL $BIN/psql -h "$W/socket" -U postgres -qAtX -v ON_ERROR_STOP=1 postgres; }
database_start() { # WHAT
	as_postgres $BIN/pg_ctl start -s -t 300 -D "$W/data/db" -l "$W/socket/postgres.log" 2>"$W/pg_ctl.log" || fail "$1: $(cat "$W/socket/postgres.log")"
	E2E_PIDS+=("$(head -n 1 "$W/data/db/postmaster.pid")")
}
database_stop() { # and with it all connections
	as_postgres $BIN/pg_ctl stop -s -m immediate -D "$W/data/db" || fail "PostgreSQL does not stop"
	E2E_PIDS=()
}

# The same as initdb --waldir makes it.
database_make() {
	cp -a /tidemark/postgresql "$W/data/db"
	mv "$W/data/db/pg_wal" "$W/log/pg_wal"
	ln -s "$W/log/pg_wal" "$W/data/db/pg_wal"
	cat >>"$W/data/db/postgresql.conf" <<-CONF
		listen_addresses = ''
		unix_socket_directories = '$W/socket'
		fsync = on
		synchronous_commit = on
		full_page_writes = on
		shared_buffers = 512kB
		bgwriter_delay = 20ms
		min_wal_size = 2MB
		max_wal_size = 8MB
		jit = off
		timezone = GMT
		log_timezone = GMT
	CONF
	chown -R postgres: "$W/data/db" "$W/log/pg_wal"
	chmod 700 "$W/data/db"
	sync -f "$W/data"
	sync -f "$W/log"
	database_start "a new database"
	sql <<-SQL
		create extension amcheck;
		create table first (n integer primary key, v text);
		create table total (n integer);
		insert into total values (0);
		create table second (n integer primary key, of integer references first);
	SQL
}
# N to stdout when transaction N is committed. One that inserts and changes; one whose rows refer to the other's.
first() {
	for ((n = 1; ; n++)); do
		echo "insert into first values ($n, repeat(md5('$n'), 20)) \\; update total set n = $n;"
		printf '\\echo %d\n' "$n"
	done | sql
}
second() {
	for ((n = 1; ; n++)); do
		echo "insert into second select $n, max(n) from first;"
		printf '\\echo %d\n' "$n"
	done | sql
}
checkpoints() {
	while :; do echo "checkpoint; select pg_sleep(random());"; done | sql
}

look() { # N
	local rows_first rows_second faults
	marks_mount "$1" "$W/disk-0.raw" "$W/data"
	marks_mount "$1" "$W/disk-1.raw" "$W/log"
	: >"$W/socket/postgres.log"
	database_start "mark $1"
	grep -q 'automatic recovery in progress' "$W/socket/postgres.log" || fail "mark $1: nothing was recovered"
	sql >"$W/found" <<-SQL || fail "mark $1: the database cannot be read: $(tail "$W/socket/postgres.log")"
		select count(*) from first;
		select count(*) from second;
		select 'a transaction is missing' where (select count(*) from first) <> (select coalesce(max(n), 0) from first);
		select 'half a transaction' where (select count(*) from first) <> (select n from total);
		select 'a transaction of the second is missing' where (select count(*) from second) <> (select coalesce(max(n), 0) from second);
		select 'a row refers to none' from second where of not in (select n from first) limit 1;
		select t || ': ' || msg from unnest('{first,total,second}'::regclass[]) as t, verify_heapam(t);
		do \$\$ begin perform bt_index_check('first_pkey', true), bt_index_check('second_pkey', true); end \$\$;
	SQL
	database_stop
	e2e_umount "$W/log"
	e2e_umount "$W/data"
	marks_fsck "$1" xfs "$W/disk-0.raw"
	marks_fsck "$1" ext4 "$W/disk-1.raw"
	{ read -r rows_first && read -r rows_second; } <"$W/found" || fail "mark $1: no answer"
	faults=$(tail -n +3 "$W/found")
	[ -z "$faults" ] || fail "mark $1: $faults"
	marks_between "$1" first "$rows_first"
	marks_between "$1" second "$rows_second"
}

kmod_load
e2e_setup
echo "coalesce = $COALESCE" >>"$W/shipper.conf"
e2e_start "$MARKS_KEEP"
mkdir -m 755 "$W/socket"
chown postgres "$W/socket"
echo "size=400M" | sfdisk -q "$VM_SCRATCH" # what XFS needs at least, and not more
FILES=${VM_SCRATCH}1
e2e_until 10 test -b "$FILES" || fail "no partition"
mkfs.xfs -q "$FILES"
mkfs.ext4 -q "$VM_NVME"
e2e_mount "$FILES" "$W/data"
e2e_mount "$VM_NVME" "$W/log"
database_make
source_ protect pg "$FILES" "$VM_NVME" >/dev/null
e2e_wait_copied pg
is_streaming() { e2e_is pg .state streaming; }
e2e_until 60 is_streaming || fail "it does not stream"
marks_begin pg

CONNECTIONS=()
for connection in first second checkpoints; do
	: >"$W/$connection"
	$connection >"$W/$connection" 2>"$W/$connection.log" &
	CONNECTIONS+=($!)
done
E2E_PIDS+=("${CONNECTIONS[@]}")
e2e_until 60 marks_counting "$W/first" "$W/second" || fail "nothing is committed"
marks_make pg "$MARKS" "$W/first" "$W/second"
saved=$(e2e_status pg .coalesced_bytes)
say "left out of the stream: $saved bytes"
[ "$COALESCE" = no ] || [ "$saved" -gt 0 ] || fail "nothing was overwritten"
database_stop
wait "${CONNECTIONS[@]}" || true
e2e_umount "$W/log"
e2e_umount "$W/data"
marks_replay pg "$MARKS" look
source_ unprotect pg >/dev/null
e2e_shipper_stop
e2e_target_stop
kmod_unload
say "done"
