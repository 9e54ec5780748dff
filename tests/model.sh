#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The model of hash-first rounds and verify: the protocol holds through some hundreds of random runs, and without any one of the
# rules that docs/design.md ("The model") names it does not. For more runs: tests/model/hashfirst.py [RUNS].
set -euo pipefail
command -v python3 >/dev/null || { echo "python3 is missing" && exit 77; }
exec python3 "$(dirname "$0")/model/hashfirst.py" 500
