#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Who may ship what (I8): changed size, another disk, two live copies of a source, a foreign certificate, used-up and expired tokens,
# another server's protection, unknown configuration keys. Each: a clear error, nothing lost, nothing crashed.
# shellcheck source=tests/e2e-lib.bash
. "$(dirname "$0")/e2e-lib.bash"
e2e_setup
e2e_disk DISK 32M
e2e_disk OTHER 32M
refused() { # WORDS COMMAND...
	local words=$1
	shift
	if "$@" >"$W/out" 2>&1; then fail "not refused: $*"; fi
	grep -qi -- "$words" "$W/out" || fail "no word of '$words' from $*: $(cat "$W/out")"
	say "refused: $(head -n 1 "$W/out")"
}
e2e_target_init
e2e_target_start

say "configuration"
cp "$W/shipper.conf" "$W/bad.conf"
echo "colour = blue" >>"$W/bad.conf"
refused "colour" timeout 10 "$BUILD/tidemark-shipper" -c "$W/bad.conf"
cp -a "$W/target/target.conf" "$W/good.conf"
echo "frobnicate = 1" >>"$W/target/target.conf"
refused "frobnicate" timeout 10 "$BUILD/tidemark-target" run "$W/target"
cp -a "$W/good.conf" "$W/target/target.conf"

say "tokens"
e2e_shipper_start
refused "token" source_ join "127.0.0.1:$PORT" "tm1-nonsense-nonsense"
EXPIRED=$(target token --for 1s | grep -o 'tm1-[a-zA-Z0-9-]*')
sleep 2.1
refused "expired" source_ join "127.0.0.1:$PORT" "$EXPIRED"
e2e_join
source_ protect web "$DISK" >/dev/null
e2e_wait_copied web
e2e_mark web one
refused "used\|unknown\|token" source_ join --again "127.0.0.1:$PORT" "$TOKEN"
e2e_mark web two

say "names and devices"
refused "name" source_ protect ../evil "$OTHER"
refused "already" source_ protect web "$OTHER"
refused "web" source_ protect again "$DISK"
refused "block device" source_ protect file "$DISK_FILE"
refused "no such\|not exist\|cannot" source_ protect none /dev/nonexistent

say "a protection that cannot start leaves nothing behind"
e2e_disk PARTED 32M -P
{
	echo "label: gpt"
	for i in 1 2 3 4 5 6 7 8 9; do echo "start=$((i * 4096)), size=2048"; done
} | sfdisk -q --no-tell-kernel --no-reread "$PARTED"
partx -u "$PARTED" 2>/dev/null || partx -a "$PARTED"
e2e_until 10 test -b "${PARTED}p9" || fail "no partition node"
refused "parts of one disk" source_ protect parts "$PARTED"p{1,2,3,4,5,6,7,8,9}
[ -z "$(find "$W/run" "$W/source" -name 'parts.*')" ] || fail "left behind: $(ls "$W/run" "$W/source")"
source_ protect parts "$PARTED"p{1,2,3,4,5,6,7,8} >/dev/null
e2e_wait_copied parts
source_ unprotect parts >/dev/null
[ -z "$(find "$W/run" "$W/source" -name 'parts.*')" ] || fail "left behind: $(ls "$W/run" "$W/source")"

say "another server may not continue this protection"
cp -a "$W/source" "$W/source2"
rm -f "$W"/source2/source.* "$W"/source2/target.json
sed "s|$W/source|$W/source2|; s|$W/run|$W/run2|; s|$PINS|$PINS-two|" "$W/shipper.conf" >"$W/two.conf"
mkdir -p "$W/run2"
"$BUILD/tidemark-shipper" -c "$W/two.conf" >>"$W/two.log" 2>&1 &
TWO=$!
E2E_PIDS+=("$TWO")
two() { "$BUILD/tidemark" --at source --socket "$W/run2/shipper.sock" "$@"; }
e2e_until 20 test -S "$W/run2/shipper.sock" || fail "the second shipper does not start"
two join "127.0.0.1:$PORT" "$(target token | grep -o 'tm1-[a-zA-Z0-9-]*')" >/dev/null
two_says() { { two --json status web || true; } | jq -r '.protections[0].reason' | grep -qi "$1"; }
e2e_until 30 two_says "belongs\|owner\|certificate" || fail "the second server is not refused: $(two --json status web)"
say "refused: $( (two --json status web || true) | jq -r '.protections[0].reason')"
kill "$TWO"
wait "$TWO" 2>/dev/null || true

say "two live copies of one source: one is fenced, and the replica is never a mixture"
rm -rf "$W/source2" "$W/run2"
mkdir -p "$W/run2"
cp -a "$W/source" "$W/source2"
"$BUILD/tidemark-shipper" -c "$W/two.conf" >>"$W/two.log" 2>&1 &
TWO=$!
E2E_PIDS+=("$TWO")
e2e_until 20 test -S "$W/run2/shipper.sock" || fail "the copy does not start"
fenced() {
	{ e2e_status web '.state + .reason'; { two --json status web || true; } | jq -r '.protections[0] | .state + .reason'; } |
		grep 'fenced.*another' >/dev/null
}
e2e_until 60 fenced || fail "two live copies, and none is fenced"
say "fenced: $(e2e_status web .reason) / $( (two --json status web || true) | jq -r '.protections[0].reason')"
kill "$TWO"
wait "$TWO" 2>/dev/null || true
rm -rf "$PINS-two"

say "the disk changes its size"
e2e_shipper_stop
target delete web --now >/dev/null 2>&1 || true
rm -rf "$W/source/protections"
rm -rf "$PINS"
e2e_shipper_start
source_ protect grow "$DISK" >/dev/null
e2e_wait_copied grow
e2e_mark grow before
cp --sparse=always "$DISK_FILE" "$W/before"
truncate -s 40M "$DISK_FILE"
losetup -c "$DISK"
says_size() { e2e_status grow .reason | grep -qi "bytes"; }
"$BUILD/tests/writer" "$DISK" --length 1M --block 4096 --count 10 --mode direct --seed 1
e2e_until 30 says_size || fail "the new size is not noticed: $(e2e_status grow .reason)"
say "says: $(e2e_status grow .reason)"
rm -f "$W/export.raw"
e2e_same grow "$W/before"
say "done"
