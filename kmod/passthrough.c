// SPDX-License-Identifier: GPL-2.0
/*
 * Driver commands (R29). The driver's part lies right behind the request. SCSI's is public; of NVMe's and virtio's the first
 * member is all that is read, and it is what it has been since there is one.
 */
#include <linux/blk-mq.h>
#include <scsi/scsi_cmnd.h>

#include "commands.h"
#include "core.h"

struct nvme_part {
	const u8 *command; /* struct nvme_command: the opcode is its first byte */
};

struct virtio_part {
	__le32 type; /* struct virtio_blk_outhdr; as every virtio device of today has it */
};

bool tmk_passthrough_harmless(struct request *rq, u8 driver)
{
	const struct nvme_part *nvme;
	const struct virtio_part *virtio;
	const struct scsi_cmnd *scsi;

	switch (driver) {
	case TIDEMARK_DRIVER_SCSI:
		scsi = blk_mq_rq_to_pdu(rq);
		return scsi_harmless(scsi->cmnd);
	case TIDEMARK_DRIVER_NVME:
		nvme = blk_mq_rq_to_pdu(rq);
		return nvme->command && nvme_harmless(*nvme->command);
	case TIDEMARK_DRIVER_VIRTIO:
		virtio = blk_mq_rq_to_pdu(rq);
		return virtio_harmless(le32_to_cpu(virtio->type));
	default:
		return false;
	}
}

/* Queues of one controller have one driver_data. */
bool tmk_passthrough_harmless_admin(struct request *rq, const struct gendisk *disk, u8 driver)
{
	const struct blk_mq_tag_set *of_disk = disk->queue->tag_set, *of_rq = rq->q->tag_set;
	const struct nvme_part *nvme = blk_mq_rq_to_pdu(rq);

	if (driver != TIDEMARK_DRIVER_NVME || !of_disk || !of_rq || of_disk->driver_data != of_rq->driver_data)
		return true;
	return nvme->command && nvme_admin_harmless(*nvme->command);
}
