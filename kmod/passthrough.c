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

/* By its name, and only if the driver's part is as large as what is read of it. */
enum tmk_driver tmk_passthrough_driver(struct gendisk *disk)
{
	const struct blk_mq_tag_set *set = disk->queue->tag_set;

	if (!set)
		return TMK_DRIVER_OTHER;
	if (!strncmp(disk->disk_name, "sd", 2) && set->cmd_size >= sizeof(struct scsi_cmnd))
		return TMK_DRIVER_SCSI;
	if (!strncmp(disk->disk_name, "nvme", 4) && set->cmd_size >= sizeof(struct nvme_part))
		return TMK_DRIVER_NVME;
	if (!strncmp(disk->disk_name, "vd", 2) && set->cmd_size >= sizeof(struct virtio_part))
		return TMK_DRIVER_VIRTIO;
	return TMK_DRIVER_OTHER;
}

bool tmk_passthrough_harmless(struct request *rq, enum tmk_driver driver)
{
	const struct nvme_part *nvme;
	const struct virtio_part *virtio;
	const struct scsi_cmnd *scsi;

	switch (driver) {
	case TMK_DRIVER_SCSI:
		scsi = blk_mq_rq_to_pdu(rq);
		return scsi_harmless(scsi->cmnd);
	case TMK_DRIVER_NVME:
		nvme = blk_mq_rq_to_pdu(rq);
		return nvme->command && nvme_harmless(*nvme->command);
	case TMK_DRIVER_VIRTIO:
		virtio = blk_mq_rq_to_pdu(rq);
		return virtio_harmless(le32_to_cpu(virtio->type));
	default:
		return false;
	}
}

/* Queues of one controller have one driver_data. */
bool tmk_passthrough_harmless_admin(struct request *rq, const struct tmk_disk *d)
{
	const struct blk_mq_tag_set *set = rq->q->tag_set;
	const struct nvme_part *nvme = blk_mq_rq_to_pdu(rq);

	if (d->driver != TMK_DRIVER_NVME || !set || !d->controller || set->driver_data != d->controller)
		return true;
	return nvme->command && nvme_admin_harmless(*nvme->command);
}
