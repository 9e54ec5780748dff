#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The tests of the whole chain once more, with the kernel module loaded, which the shipper picks then.
# shellcheck source=tests/vm/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/vm/kmod-lib.bash
. "$(dirname "$0")/kmod-lib.bash"
export ROUNDS=5 E2E_MODULE=$MODULE
for test in e2e-first e2e-kill e2e-swap freeze; do
	say "==== $test"
	kmod_load
	bash "$(dirname "$0")/../$test.sh" || fail "$test, with the module"
	kmod_unload || fail "$test: something still uses the module"
done
say "done"
