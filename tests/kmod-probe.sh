#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How the module's build finds out what a kernel is like (kmod/probe/run): the first answer that compiles; and no answer, but an
# error, where the question cannot be asked: what must compile does not, what must not does, or nothing does.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/words.bash
. "$top/tests/words.bash"
W=$(mktemp -d)
trap 'rm -rf "$W"' EXIT

# question NAME: with a header that says what "this kernel" has.
question() {
	cat >"$W/$1/ask.c" <<-'C'
		#include "kernel.h"
		#if defined(TRY_OLD)
		#define CALL old_call(1)
		#elif defined(TRY_NEW)
		#define CALL new_call(1, 2)
		#elif defined(TRY_NO)
		#define CALL no_call(1)
		#elif defined(TRY_YES)
		#define CALL always()
		#endif
		int ask(void);
		int ask(void)
		{
			return CALL;
		}
	C
}
# run NAME [FLAG...]: its answer in $W/NAME.h, what it says in $W/said.
run() {
	local name=$1
	shift
	"$top/kmod/probe/run" "$W/$name" "$W/$name.h" "$W/$name.d" gcc -I"$W/$name" -Werror=implicit-function-declaration "$@" 2>"$W/said"
}
# kernel NAME LINE...: a question to a kernel whose header has these lines.
kernel() {
	mkdir "$W/$1"
	printf '%s\n' "${@:2}" >"$W/$1/kernel.h"
	question "$1"
}
# refused NAME WORDS [FLAG...]
refused() {
	local name=$1 words=$2
	shift 2
	if run "$name" "$@"; then fail "$name: answered with $(cat "$W/$name.h")"; fi
	[[ $(cat "$W/said") == *"$words"* ]] || fail "$name: says $(cat "$W/said")"
	[ ! -e "$W/$name.h" ] || fail "$name: leaves a header"
}
answers() { # NAME OLD NEW
	run "$1" || fail "$1: $(cat "$W/said")"
	[ "$(grep HAVE_ "$W/$1.h")" = "#define HAVE_OLD $2"$'\n'"#define HAVE_NEW $3" ] || fail "$1: $(cat "$W/$1.h")"
	grep -q "^$W/$1.h:.*kernel\.h" "$W/$1.d" || fail "$1: does not depend on the header: $(cat "$W/$1.d")"
}

kernel old "int always(void);" "int old_call(int a);"
answers old 1 0
kernel new "int always(void);" "int new_call(int a, int b);"
answers new 0 1
kernel both "int always(void);" "int new_call(int a, int b);" "int old_call(int a);"
answers both 1 0
kernel third "int always(void);" "int new_call(int a, int b, int c);"
refused third "none of these compiles: OLD NEW"
# Something else is wrong: old and new fail alike, and neither is the answer.
kernel broken "int always(void);" "int old_call(int a);" "#error broken"
refused broken "what every kernel has does not compile"
# A compiler that only warns: everything passes.
rm -f "$W/old.h"
refused old "what no kernel has compiles" -w -Wno-error=implicit-function-declaration
mkdir "$W/nothing"
echo "int ask;" >"$W/nothing/ask.c"
refused nothing "asks nothing"
# The module's own questions have both controls, and their answers are used.
for file in "$top"/kmod/probe/*.c; do
	for control in YES NO; do grep -q "defined(TRY_$control)" "$file" || fail "$file has no TRY_$control"; done
	answers=$(sed -n 's/^#.*defined(TRY_\([A-Z0-9_]*\)).*/\1/p' "$file" | paste -sd'|')
	grep -qE "HAVE_($answers)\b" "$top/kmod/compat.h" || fail "$file: compat.h uses no answer of it"
done
echo "done"
