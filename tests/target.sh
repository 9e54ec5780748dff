#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The target's daemon: who may join and ship, equal, ahead and behind, points and exports, what the sandbox holds back.
# shellcheck source=tests/target-lib.bash
. "$(dirname "$0")/target-lib.bash"
target_setup "$@"

say "usage"
usage() {
	local rc=0
	"$BUILD/tidemark-target" "$@" >/dev/null 2>&1 || rc=$?
	[ $rc -eq 64 ] || fail "tidemark-target $*: exit $rc, not 64"
}
usage
usage frobnicate
usage run
usage init
usage run a b
usage --frobnicate
usage token --uses 0
usage token --for nonsense
"$BUILD/tidemark-target" init "$W/t" >"$W/out" 2>&1 && fail "init over what is there"
fails_with() { # WORD COMMAND...
	local word=$1
	shift
	if timeout 20 "$@" >"$W/out" 2>&1; then fail "it ran: $*"; fi
	grep -q -- "$word" "$W/out" || fail "no word of $word: $(cat "$W/out")"
}
target_conf "colour = blue"
fails_with colour "$BUILD/tidemark-target" run "$W/t"
target_conf "journal-limit = 1M"
fails_with journal-limit "$BUILD/tidemark-target" run "$W/t"
target_conf "user = no-such-user"
fails_with no-such-user "$BUILD/tidemark-target" run "$W/t"
target_conf "user = root"
fails_with root "$BUILD/tidemark-target" run "$W/t"
target_conf "directory = $W"
fails_with directory "$BUILD/tidemark-target" run "$W/t"
fails_with init "$BUILD/tidemark-target" run "$W/nothing"
target_conf
fails_with "$W/sock" "$BUILD/tidemark-target" token --control "$W/sock"
target_start
fails_with another "$BUILD/tidemark-target" run "$W/t"

say "tokens"
mkdir "$W/a" "$W/b"
TOKEN=$("$BUILD/tidemark-target" token "$W/t" --uses 2)
good a join "$TOKEN"
good b join "$TOKEN"
mkdir "$W/c"
refused 10 c join "$TOKEN"
says "used up"
TOKEN=$("$BUILD/tidemark-target" token "$W/t" --for 1s)
sleep 2.1
refused 10 c join "$TOKEN"
says expired
TOKEN=$(ask token '{"uses":1,"seconds":60}' | jq -r .token)
case $TOKEN in
tm1-a*) WRONG=tm1-b${TOKEN#tm1-a} ;;
tm1-*) WRONG=tm1-a${TOKEN#tm1-?} ;;
esac
refused 10 c join "$WRONG"
[ ! -e "$W/c/source.pem" ] || fail "a certificate for a wrong token"
good c join "$TOKEN"
ask token '{"uses":0}' 2>/dev/null && fail "a token for nobody"
ask token '{"colour":"blue"}' 2>/dev/null && fail "an unknown argument"
ask frobnicate '{}' 2>/dev/null && fail "an unknown verb"

say "the first contact, the first point"
good a write 30 flush
ask export "{\"name\":\"web\",\"to\":\"$W/none\"}" 2>"$W/out" && fail "an export without a point"
says "no recovery point"
good a write 30 mark one
says "relation equal"
same web a one
good a write 30 app two
same web a two
[ "$(ask points '{"name":"web"}' | jq -r '.points[0].kind')" = app ] || fail "not an app point"
for point in latest latest-app two "$(status web .point.number)" "$(status web .point.id)" "$(date -u +%FT%TZ -d '+1 hour')"; do
	ask export "{\"name\":\"web\",\"point\":\"$point\",\"to\":\"$W/x\",\"disk\":1}" >/dev/null || fail "point $point"
	cmp "$W/x" "$W/a/disk-1.raw" || fail "point $point differs"
	rm "$W/x"
done
export_fails() {
	if ask export "$2" 2>"$W/out"; then fail "an export: $2"; fi
	says "$1"
}
export_fails "no point" "{\"name\":\"web\",\"point\":\"one\",\"to\":\"$W/x\"}"
export_fails "no point" "{\"name\":\"web\",\"point\":\"2020-01-01T00:00Z\",\"to\":\"$W/x\"}"
export_fails "vmdk" "{\"name\":\"web\",\"format\":\"vmdk\",\"to\":\"$W/x\"}"
export_fails "absolute" '{"name":"web","to":"x"}'
export_fails "no disk 2" "{\"name\":\"web\",\"to\":\"$W/x\",\"disk\":2}"
export_fails "exist" "{\"name\":\"web\",\"to\":\"$W/a\"}"
export_fails "no protection" "{\"name\":\"wob\",\"to\":\"$W/x\"}"
[ ! -e "$W/x" ] || fail "a failed export left something"

say "an export that nobody waits for"
printf '{"verb":"export","args":{"name":"web","to":"%s"}}\n' "$W/left" | socat -t 0 - "UNIX-CONNECT:$W/sock" >/dev/null || true
no_partial() { ! compgen -G "$W/left.partial*" >/dev/null && [ -z "$(child tidemark-export)" ]; }
until_ok 20 no_partial || fail "it left something behind"
[ ! -e "$W/left" ] || cmp "$W/left/disk-0.raw" "$W/a/disk-0.raw" || fail "half an export"

say "what is written and not marked is not in the point"
cp -a "$W/a" "$W/before"
good a write 50 flush
same web before two
good a mark three
same web a three

say "the sandbox of a receiver"
hold a
RECEIVER=$(child tidemark-recv) || fail "no receiver"
grep -q "^Uid:[[:space:]]*[1-9]" "/proc/$RECEIVER/status" || fail "the receiver is root"
grep -q "^NoNewPrivs:[[:space:]]*1" "/proc/$RECEIVER/status" || fail "it could gain privileges"
grep -q "^Seccomp:[[:space:]]*2" "/proc/$RECEIVER/status" || fail "no seccomp filter"
readlink "/proc/$RECEIVER"/fd/* >"$W/out"
! grep -E "disk-|sidecar|target.db|pki" "$W/out" || fail "the receiver holds what is not its own"
[ "$(stat -c %a "$W/t/protections/web")" = 700 ] || fail "others can look into the replica's directory"
[ "$(stat -c %u "$W/t/protections/web/journal")" = "$(awk '/^Uid:/{print $2}' "/proc/$RECEIVER/status")" ] || fail "whose journal is it"

say "the newer session wins"
good a write 5 flush
until_ok 20 grep -q "^refused 12" "$W/a.hold" || fail "the older session goes on: $(cat "$W/a.hold")"

say "who may ship what"
refused 2 a --no-cert flush
refused 3 b flush
refused 4 a --size 8388608 flush
refused 4 a --identity serial:OTHER flush
refused 4 a --uuid 000102030405060708090a0b0c0d0e0f flush
refused 5 a --generation 2 flush
refused 1 a --version 2 flush
refused 1 a --features 1 flush
rc=0
send b --name ../web flush || rc=$?
[ $rc -ne 0 ] || fail "a path as name"
[ ! -e "$W/t/web" ] || fail "a path as name was taken as one"
rm -f "$W/b/state"
good b --name other write 10 mark b1
same other b b1
"$BUILD/tidemark-target" init "$W/t2" >/dev/null
cp -a "$W/a" "$W/foreign"
sed "s|$W/sock|$W/sock2|; s|$PORT|$(free_port)|" "$W/t/target.conf" >"$W/t2/target.conf"
"$BUILD/tidemark-target" run "$W/t2" >"$W/t2.log" 2>&1 &
PIDS+=($!)
until_ok 20 test -S "$W/sock2" || fail "no second target"
TOKEN=$("$BUILD/tidemark-target" token --control "$W/sock2")
"$BUILD/tests/fakesource" "$W/foreign" 127.0.0.1 "$(sed -n 's/^port = //p' "$W/t2/target.conf")" join "$TOKEN" >"$W/out"
cp "$W/a/authority.pem" "$W/foreign/"
rc=0
send foreign flush || rc=$?
[ $rc -eq 3 ] || fail "a certificate of another authority was let in ($rc): $(cat "$W/out")"

say "equal, ahead, behind"
good a write 20 flush
cp -a "$W/a" "$W/reverted"
good a write 40 flush
good reverted write 40 mark four
says "relation ahead"
says "rewound"
same web reverted four
refused 6 a flush
rm -rf "$W/a"
cp -a "$W/reverted" "$W/a"
good a write 5 mark five
says "relation equal"
same web a five
good a --acked 99999 write 5 mark six
says "relation behind"
same web a six
good a --acked 0 write 5 mark seven
says "relation behind"
same web a seven
say "a source that has to start over and does not"
refused 9 a --acked 0 --stale-epoch flush
rm -f "$W/a/state"
refused 4 a flush
rm -rf "$W/a"
cp -a "$W/reverted" "$W/a"
refused 6 a flush

say "two live copies: one goes on, the other is fenced"
cp -a "$W/b" "$W/twin"
good b --name other write 10 flush
good twin --name other write 10 flush
says "relation ahead"
refused 6 b --name other write 10 flush
good twin --name other mark b2
same other twin b2

say "an interval is taken back with its point, then everything else with it"
good twin --name other write 10 flush
ask drop '{"name":"other"}' 2>/dev/null && fail "a point dropped without --now"
ask drop '{"name":"other","now":true}' >/dev/null
until_ok 20 is other .point null || fail "the point is still there"
good twin --name other mark b3
same other twin b3
hold twin --name other
ask revoke '{"name":"nobody.example"}' 2>/dev/null && fail "revoked whom"
ask delete '{"name":"other"}' >"$W/out"
until_ok 20 grep -q "^refused\|^ended" "$W/twin.hold" || fail "its session goes on"
[ -d "$(jq -r .kept "$W/out")" ] || fail "it is not kept: $(cat "$W/out")"
[ ! -e "$W/t/protections/other" ] || fail "it is still there"
refused 6 twin --name other flush
says deleted
rm "$W/twin/state"
good twin --name other mark b4
same other twin b4
ask delete '{"name":"other","now":true}' >/dev/null
[ "$(find "$W/t/deleted" -name 'other.*' | wc -l)" -eq 1 ] || fail "deleted too much or not at all"

say "a replica that is a block device; one that is too small"
mkdir -p "$W/t/devices/blocks"
truncate -s 4M "$W/block.img"
LOOP=$(losetup -f --show "$W/block.img")
LOOPS+=("$LOOP")
ln -s "$LOOP" "$W/t/devices/blocks/disk-0.raw"
mkdir "$W/e"
cp "$W"/b/*.pem "$W"/b/*.key "$W/e/"
good e --name blocks write 10 mark e1
same blocks e e1
[ -L "$W/t/protections/blocks/disk-0.raw" ] || fail "the replica is not on the device"
cmp "$W/e/disk-0.raw" "$LOOP" || fail "the device is not the point"
mkdir -p "$W/t/devices/small" "$W/f"
ln -s "$LOOP" "$W/t/devices/small/disk-0.raw"
cp "$W"/b/*.pem "$W"/b/*.key "$W/f/"
refused 13 f --name small --disks 8388608 flush
says "in use"
ask delete '{"name":"blocks","now":true}' >/dev/null
refused 8 f --name small --disks 8388608 flush

say "a revoked certificate"
source_new d
good d --name third write 5 mark d1
hold d --name third
"$BUILD/tidemark-target" revoke fake.example --directory "$W/t"
until_ok 20 grep -q "^refused 2" "$W/d.hold" || fail "its session goes on: $(cat "$W/d.hold")"
refused 2 d --name third flush
target_stop
if grep -E "signal|said what does not belong" "$W/daemon.log"; then fail "something crashed"; fi
say "done"
