# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What a test says: on its way, at a failure, and where it cannot run. Sourced.
say() { printf '%s\n' "-- $*"; }
fail() {
	printf 'FAILED: %s\n' "$*" >&2
	exit 1
}
skip() {
	printf 'cannot run here: %s\n' "$*"
	exit 77
}
