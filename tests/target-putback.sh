#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The target put back to an older copy: all of it, or one part without the others (R14). It is recognised, nothing is lost, no wrong
# point is shown, and there is a way out.
# shellcheck source=tests/target-lib.bash
. "$(dirname "$0")/target-lib.bash"
target_setup "journal-spare = 64M"
P=t/protections/web

# A source and a target with a point old, a copy of the target as it was then, and a point new.
prepare() {
	[ -z "$DAEMON" ] || target_stop
	rm -rf "$W/t" "$W/a" "$W/copy" "$W/old" "$W/new"
	"$BUILD/tidemark-target" init "$W/t" >/dev/null
	target_conf "journal-spare = 64M"
	target_start
	source_new a
	good a write 50 mark old keep "$W/old"
	same web a old
	target_stop
	cp -a "$W/t" "$W/copy"
	target_start
	good a write 50 mark new keep "$W/new"
	same web a new
	good a write 20 flush
	target_stop
}
# The point that is shown, if one is, opens and is what it says: new is what was kept, old what was then.
no_wrong_point() {
	local label
	label=$(status web '.point.label // empty')
	[ "$(status web .state)" != broken ] || return 0
	[ -z "$label" ] || say "shows point $label"
	case $label in
	new) rm -rf "$W/x" && ask export "{\"name\":\"web\",\"to\":\"$W/x\"}" >/dev/null && cmp "$W/x/disk-0.raw" "$W/new/disk-0.raw" ;;
	old) rm -rf "$W/x" && ask export "{\"name\":\"web\",\"to\":\"$W/x\"}" >/dev/null && cmp "$W/x/disk-0.raw" "$W/old/disk-0.raw" ;;
	'') ;;
	*) false ;;
	esac || fail "$1: the point $label is not what it says"
}
# The source comes back; if the target wants an operator, he drops what is broken. The next point is right.
way_out() {
	local rc=0
	no_wrong_point "$1"
	send a write 30 mark next || rc=$?
	if [ $rc -eq 2 ]; then
		says "^refused 7"
		say "$1: $(grep '^refused' "$W/out" | cut -c1-200)"
		until_ok 20 is web .state broken || fail "$1: status does not say broken: $(status web .)"
		ask drop '{"name":"web","now":true}' >"$W/dropped"
		good a write 30 mark next
		says "relation behind"
	elif [ $rc -ne 0 ]; then
		fail "$1: $rc $(cat "$W/out")"
	else
		say "$1: $(grep relation "$W/out")"
	fi
	same web a next
	good a write 10 mark after
	says "relation equal"
	same web a after
}

say "all of it"
prepare
rm -rf "$W/t"
cp -a "$W/copy" "$W/t"
target_start
say "shows point $(status web .point.label)"
way_out everything

for part in sidecar journal catalogue disk-0.raw disk-1.raw "disk-0.raw sidecar" "journal sidecar" "disk-0.raw disk-1.raw sidecar" "journal catalogue"; do
	prepare
	for p in $part; do
		case $p in
		catalogue)
			rm -f "$W"/t/target.db*
			cp -a "$W"/copy/target.db* "$W/t/"
			;;
		journal)
			rm -rf "${W:?}/$P/journal"
			cp -a "$W/copy/protections/web/journal" "$W/$P/journal"
			;;
		*) cp -a --remove-destination "$W/copy/protections/web/$p" "$W/$P/$p" ;;
		esac
	done
	target_start
	way_out "$part"
done

say "a catalogue that was put back forgets an epoch; the journal knows it, and who was superseded stays so"
prepare
cp -a "$W/a" "$W/clone"
target_start
good clone write 10 flush
good a write 10 flush
says "relation ahead"
target_stop
rm -f "$W"/t/target.db*
cp -a "$W"/copy/target.db* "$W/t/"
target_start
refused 6 clone write 10 flush
good a write 10 mark end
same web a end

say "the catalogue is gone"
target_stop
rm -f "$W"/t/target.db*
target_start
[ "$(ask status '{}' | jq '.protections | length')" = 0 ] || fail "from where"
refused 2 a flush
TOKEN=$(ask token '{}' | jq -r .token)
good a join "$TOKEN"
good a write 10 mark again
says "relation equal"
same web a again

say "a bit rots in the journal"
target_stop
good_size=$(stat -c %s "$W/$P/journal"/*.seg | sort -n | tail -n 1)
FILE=$(find "$W/$P/journal" -name '*.seg' -size "${good_size}c" | head -n 1)
printf '\xa5\x5a\xa5\x5a' | dd of="$FILE" bs=1 seek=$((good_size / 3)) conv=notrunc status=none
target_start
way_out rot
target_stop
if grep "ended by signal" "$W/daemon.log"; then fail "something crashed"; fi
say "done"
