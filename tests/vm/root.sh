#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The root filesystem is protected, with the shipper's program, state, log and scripts on it, while a database-like writer and a
# logger write it (R26): application-consistent points are made, everything is thawed, nothing hangs; also while somebody else
# holds root frozen; and the points are the disk, bit for bit.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
[ "$(findmnt -no SOURCE /)" = /dev/vda ] || fail "root is not on /dev/vda"
mkfs.ext4 -qF "$VM_SCRATCH"
mkdir -p /mnt/scratch
mount "$VM_SCRATCH" /mnt/scratch
# The target is not on what it keeps a replica of.
E2E_DIR=/mnt/scratch e2e_setup
HERE=/var/lib/tidemark-source
mkdir -p "$HERE/state" "$HERE/scripts/web" /run/tidemark-test
sed -i -e "s,^state-dir.*,state-dir = $HERE/state," -e "s,^scripts-dir.*,scripts-dir = $HERE/scripts," \
	-e "s,^run-dir.*,run-dir = /run/tidemark-test," "$W/shipper.conf"
ln -s "$HERE/log" "$W/shipper.log"
for script in pre post; do
	printf '#!/usr/bin/bash\necho %s >>%s/scripts.log\n' $script "$HERE" >"$HERE/scripts/web/$script"
	chmod 755 "$HERE/scripts/web/$script"
done
thawed() {
	fsfreeze -f / || fail "root is still frozen"
	fsfreeze -u /
}

e2e_start
source_ protect web /dev/vda >/dev/null
e2e_wait_copied web
say "a writer and a logger on root"
logger() {
	local n=0
	while :; do
		n=$((n + 1))
		echo "$(date) guest test[$$]: line $n" >>/var/lib/messages
		sync -d /var/lib/messages
		sleep 0.05
	done
}
e2e_background "$BUILD/tests/writer" /var/lib/database --length 8M --seconds 6000 --seed "$E2E_SEED" --pause 20
LOAD=$E2E_LAST
e2e_background logger
LOGGER=$E2E_LAST
for n in 1 2 3; do
	e2e_mark web "busy$n" --app
	[ "$(e2e_status web .point.kind)" = app ] || fail "point $n is not app-consistent"
	thawed
	say "point $n: frozen for $(e2e_status web .point.frozen_ms) ms"
done
if grep -E 'could not (lock its memory|ask the OOM killer)' "$W/shipper.log"; then fail "the freezer is not guarded"; fi
[ "$(paste -sd' ' "$HERE/scripts.log")" = "pre post pre post pre post" ] || fail "scripts: $(paste -sd' ' "$HERE/scripts.log")"
e2e_export web "$W/copy.raw"
e2fsck -fn "$W/copy.raw" >"$W/fsck.log" 2>&1 || fail "e2fsck: $(tail -n 3 "$W/fsck.log")"

say "the shipper is killed while root is frozen"
before=$(wc -l </var/lib/messages)
e2e_background source_ mark web --app --label killed --wait
MARK=$E2E_LAST
sleep 0.4
e2e_shipper_kill
wait "$MARK" && fail "a point was made without a shipper"
sleep 12 # the limit of the freezer is 10 s
thawed
[ "$(wc -l </var/lib/messages)" -gt "$before" ] || fail "the logger does not go on"
e2e_shipper_start
e2e_wait_copied web
e2e_mark web again --app

say "a reference while root is frozen by somebody else: without scripts, which write to it"
rm "$HERE"/scripts/web/*
kill -STOP "$LOAD" "$LOGGER"
fsfreeze -f /
vm_image /dev/vda "$W/reference"
timeout 300 "$BUILD/tidemark" --at source --socket "$W/run/shipper.sock" mark web --app --label frozen --wait >/dev/null ||
	{ fsfreeze -u / && fail "no point while root is frozen by somebody else"; }
e2e_until 60 e2e_at_point web frozen || { fsfreeze -u / && fail "the replica does not reach the point"; }
fsfreeze -u /
kill -CONT "$LOAD" "$LOGGER"
e2e_same web "$W/reference"
kill "$LOAD" "$LOGGER"
wait "$LOAD" "$LOGGER" || true
e2e_mark web last --app
source_ unprotect web >/dev/null
say "done"
