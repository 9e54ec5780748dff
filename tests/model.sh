#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The models of the protocol: of hash-first rounds and verify, of streaming from the kernel module's log, and of these together.
# It holds through some hundreds of random runs, and without any one of the rules that docs/design.md ("The model") names it does
# not.
# model.sh [RUNS]: so many of each (500, 100 and 150); with 1000 or more the rules, too, that are rarely missed.
set -euo pipefail
command -v python3 >/dev/null || { echo "python3 is missing" && exit 77; }
models=$(dirname "$0")/model
python3 "$models/hashfirst.py" "${1:-500}"
python3 "$models/together.py" "${1:-100}"
exec python3 "$models/stream.py" "${1:-150}"
