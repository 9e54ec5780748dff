/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sends one command past the block layer, for tests of R29:
 *
 *   passthrough scsi  DEVICE "CDB IN HEX" [in BYTES | out FILE]       SG_IO
 *   passthrough nvme  DEVICE OPCODE LBA   [in BYTES | out FILE]       NVME_IOCTL_IO_CMD, blocks of 512 bytes
 *   passthrough admin DEVICE OPCODE CDW10 [in BYTES | out FILE]       NVME_IOCTL_ADMIN_CMD
 *
 * Opcodes in hex. Exit 0 if the device says that it was done; 1 with the reason otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <scsi/sg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DATA_MAX (256u << 10)

struct transfer {
	void *data;
	uint32_t length;
	int to_device;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "passthrough: %s: %s\n", what, strerror(errno));
	exit(1);
}

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: passthrough scsi|nvme|admin DEVICE COMMAND [LBA] [in BYTES | out FILE]\n");
	exit(2);
}

static void read_file(const char *path, struct transfer *t)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, t->data, DATA_MAX);

	if (got <= 0)
		die(path);
	t->length = got;
	close(fd);
}

static struct transfer transfer_of(int argc, char **argv)
{
	struct transfer t = {};

	if (argc == 0)
		return t;
	if (argc != 2 || posix_memalign(&t.data, 4096, DATA_MAX))
		usage();
	memset(t.data, 0, DATA_MAX);
	t.to_device = !strcmp(argv[0], "out");
	if (t.to_device)
		read_file(argv[1], &t);
	else
		t.length = strtoul(argv[1], NULL, 0);
	if (t.length > DATA_MAX)
		usage();
	return t;
}

static int send_scsi(int fd, const char *hex, const struct transfer *t)
{
	uint8_t cdb[16], sense[64] = {};
	struct sg_io_hdr io = {.interface_id = 'S', .dxfer_direction = SG_DXFER_NONE, .timeout = 60000};
	unsigned byte;
	int used;

	while (io.cmd_len < sizeof(cdb) && sscanf(hex, " %2x%n", &byte, &used) == 1) {
		cdb[io.cmd_len++] = byte;
		hex += used;
	}
	if (t->length)
		io.dxfer_direction = t->to_device ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV;
	io.cmdp = cdb;
	io.dxferp = t->data;
	io.dxfer_len = t->length;
	io.sbp = sense;
	io.mx_sb_len = sizeof(sense);
	if (ioctl(fd, SG_IO, &io))
		die("SG_IO");
	if ((io.info & SG_INFO_OK_MASK) == SG_INFO_OK)
		return 0;
	fprintf(stderr, "passthrough: status %02x host %04x sense key %02x\n", io.status, io.host_status, sense[2] & 0xf);
	return 1;
}

static int send_nvme(int fd, int admin, unsigned opcode, uint64_t argument, const struct transfer *t)
{
	struct nvme_passthru_cmd c = {.opcode = opcode, .nsid = 1, .addr = (uintptr_t)t->data, .data_len = t->length};
	int rc;

	c.cdw10 = argument;
	c.cdw11 = argument >> 32;
	if (!admin && t->length)
		c.cdw12 = t->length / 512 - 1;
	rc = ioctl(fd, admin ? NVME_IOCTL_ADMIN_CMD : NVME_IOCTL_IO_CMD, &c);
	if (rc < 0)
		die("NVMe command");
	if (rc)
		fprintf(stderr, "passthrough: NVMe status %x\n", rc);
	return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct transfer t;
	int fd, scsi;

	if (argc < 4)
		usage();
	scsi = !strcmp(argv[1], "scsi");
	if (!scsi && argc < 5)
		usage();
	t = scsi ? transfer_of(argc - 4, argv + 4) : transfer_of(argc - 5, argv + 5);
	fd = open(argv[2], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(argv[2]);
	if (scsi)
		return send_scsi(fd, argv[3], &t);
	return send_nvme(fd, !strcmp(argv[1], "admin"), strtoul(argv[3], NULL, 16), strtoull(argv[4], NULL, 0), &t);
}
