#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The probes load also where the drivers of SCSI and NVMe are, and where the fields have their older places: the running kernel's
# types, changed, are given to libbpf, and the verifier sees the code that is cut out here for want of those drivers.
set -euo pipefail
# shellcheck source=tests/tracker-lib.bash
. "$(dirname "$0")/tracker-lib.bash"
PATH=$PATH:/usr/sbin
CLANG=${CLANG:-clang-14}
tracker_setup bpftool "$CLANG"
OBJECT=$BUILD/bpf/tidemark.bpf.o
[ -e "$OBJECT" ] || fail "$OBJECT is not built"
[ -x "$BUILD/tests/bpfload" ] || fail "$BUILD/tests/bpfload is not built"

bpftool btf dump file /sys/kernel/btf/vmlinux format c | sed 's/__attribute__((preserve_access_index))/__attribute__((annotate("")))/' >"$WORK/kernel.h"

# variant NAME: the types of the kernel's header, with the drivers' types on standard input behind them.
variant() {
	local keep
	{
		cat "$WORK/kernel.h"
		cat
		# clang describes what is used; a type twice would be an error, so that built-in drivers make a variant of their own.
		for keep in request request_queue gendisk bio block_device scsi_cmnd nvme_request nvme_ctrl virtblk_req; do
			grep -q "^struct $keep {" "$WORK/kernel.h" - <"$WORK/drivers" && echo "struct $keep keep_$keep;"
		done
	} >"$WORK/$1.c"
	"$CLANG" -g -O2 -target bpf -w -c "$WORK/$1.c" -o "$WORK/$1.o"
	"$BUILD/tests/bpfload" "$OBJECT" "$WORK/$1.o" 2>"$WORK/log" || fail "types \"$1\": $(tail -5 "$WORK/log")"
	echo "types \"$1\": loads"
}

"$BUILD/tests/bpfload" "$OBJECT" || fail "does not load as it is"
if grep -q '^struct \(scsi_cmnd\|nvme_request\) {' "$WORK/kernel.h"; then
	echo "the drivers are built in: what loaded is what there is to see"
	exit 0
fi
: >"$WORK/drivers"
variant "no drivers" </dev/null
cat >"$WORK/drivers" <<'TYPES'
struct scsi_cmnd { char pad[212]; unsigned char cmnd[32]; };
struct nvme_ctrl { char pad[88]; struct request_queue *admin_q; };
struct nvme_request { struct nvme_command *cmd; long result; int flags; struct nvme_ctrl *ctrl; };
TYPES
variant "drivers of today" <"$WORK/drivers"
cat >"$WORK/drivers" <<'TYPES'
struct scsi_cmnd { char pad[232]; unsigned char *cmnd; };
struct nvme_ctrl { char pad[80]; struct request_queue *admin_q; };
struct nvme_request { struct nvme_command *cmd; struct nvme_ctrl *ctrl; };
TYPES
sed -i '/^struct request {/,/^};/s/struct block_device \*part;/struct gendisk *rq_disk;/' "$WORK/kernel.h"
grep -q 'struct gendisk \*rq_disk;' "$WORK/kernel.h" || skip "struct request has no place for the older field"
variant "drivers and requests before 5.18" <"$WORK/drivers"
# The test itself: a kernel without the completion's fields must not do.
sed -i '/^struct request {/,/^};/s/sector_t __sector;/sector_t __elsewhere;/' "$WORK/kernel.h"
(variant "no sector" <"$WORK/drivers") 2>/dev/null && fail "types without the sector load"
echo "types without what is needed are refused"
