/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which driver commands count as harmless (R29): what must not be, and what monitoring sends all day. */
#include <check.h>

#include "commands.h"
#include "suite.h"

static bool scsi(__u8 opcode)
{
	__u8 cdb[16] = {opcode};

	return scsi_harmless(cdb);
}

static bool ata16(__u8 command, __u8 feature)
{
	__u8 cdb[16] = {[0] = 0x85, [4] = feature, [14] = command};

	return scsi_harmless(cdb);
}

static bool ata12(__u8 command, __u8 feature)
{
	__u8 cdb[16] = {[0] = 0xa1, [3] = feature, [9] = command};

	return scsi_harmless(cdb);
}

START_TEST(scsi_commands)
{
	/* FORMAT, REASSIGN, WRITE 6/10/12/16/VERIFY/LONG/SAME, UNMAP, SANITIZE, WRITE BUFFER, MODE SELECT, COMPARE AND WRITE,
	 * ORWRITE, EXTENDED COPY, POPULATE TOKEN's family, SECURITY PROTOCOL OUT, MAINTENANCE OUT, 32 byte commands, ZBC OUT. */
	static const __u8 bad[] = {0x04, 0x07, 0x0a, 0x2a, 0xaa, 0x8a, 0x2e, 0x8e, 0xae, 0x3f, 0x9f, 0x41, 0x93, 0x42, 0x48, 0x3b,
				   0x15, 0x55, 0x89, 0x8b, 0x83, 0xb5, 0xa4, 0x7f, 0x94, 0x9c, 0x51, 0x53, 0xff, 0xc0, 0xe0};
	/* TUR, REQUEST SENSE, INQUIRY, MODE SENSE, LOG SENSE, READ CAPACITY, SYNCHRONIZE CACHE, PR IN, SA IN, REPORT LUNS, reads
	 */
	static const __u8 good[] = {0x00, 0x03, 0x12, 0x1a, 0x5a, 0x4d, 0x25, 0x35,
				    0x91, 0x5e, 0x9e, 0xa0, 0xa3, 0x28, 0x88, 0xa8};

	for (size_t i = 0; i < sizeof(bad); i++)
		ck_assert_msg(!scsi(bad[i]), "%02x", bad[i]);
	for (size_t i = 0; i < sizeof(good); i++)
		ck_assert_msg(scsi(good[i]), "%02x", good[i]);
}
END_TEST

START_TEST(ata_commands)
{
	/* WRITE SECTORS/EXT/DMA/DMA EXT/FPDMA/LOG EXT/UNCORRECTABLE, DSM, ZERO EXT, SANITIZE, SECURITY ERASE, SET MAX, DOWNLOAD
	 */
	static const __u8 bad[] = {0x30, 0x34, 0xca, 0x35, 0x61, 0x3f, 0x57, 0x45, 0x06,
				   0x44, 0xb4, 0xf4, 0xf3, 0xf9, 0x92, 0x63, 0x00};
	/* IDENTIFY, READ LOG EXT, CHECK POWER MODE, FLUSH CACHE, SET FEATURES, STANDBY IMMEDIATE */
	static const __u8 good[] = {0xec, 0x2f, 0x47, 0xe5, 0xe7, 0xea, 0xef, 0xe0};

	for (size_t i = 0; i < sizeof(bad); i++)
		ck_assert_msg(!ata16(bad[i], 0) && !ata12(bad[i], 0), "%02x", bad[i]);
	for (size_t i = 0; i < sizeof(good); i++)
		ck_assert_msg(ata16(good[i], 0) && ata12(good[i], 0), "%02x", good[i]);
	/* SMART READ DATA, RETURN STATUS; but not WRITE LOG. */
	ck_assert(ata16(0xb0, 0xd0) && ata12(0xb0, 0xda));
	ck_assert(!ata16(0xb0, 0xd6) && !ata12(0xb0, 0xd6));
}
END_TEST

START_TEST(nvme_commands)
{
	/* Write, Write Uncorrectable, Write Zeroes, Dataset Management, Copy, zone management, vendor's own. */
	static const __u8 bad[] = {0x01, 0x04, 0x08, 0x09, 0x19, 0x79, 0x7d, 0x80, 0xc1};
	/* Namespace Management, Firmware Commit, Namespace Attachment, Format, Security Send, Sanitize, vendor's own. */
	static const __u8 bad_admin[] = {0x0d, 0x10, 0x15, 0x80, 0x81, 0x84, 0xc0, 0xff};

	for (size_t i = 0; i < sizeof(bad); i++)
		ck_assert_msg(!nvme_harmless(bad[i]), "%02x", bad[i]);
	for (size_t i = 0; i < sizeof(bad_admin); i++)
		ck_assert_msg(!nvme_admin_harmless(bad_admin[i]), "%02x", bad_admin[i]);
	ck_assert(nvme_harmless(0x00) && nvme_harmless(0x02));
	ck_assert(nvme_admin_harmless(0x02) && nvme_admin_harmless(0x06) && nvme_admin_harmless(0x18));
}
END_TEST

START_TEST(virtio_commands)
{
	/* IN, OUT, SCSI_CMD, DISCARD, WRITE_ZEROES, SECURE_ERASE, ZONE_RESET */
	static const __u32 bad[] = {0, 1, 2, 11, 13, 14, 24, ~0u};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(!virtio_harmless(bad[i]), "%u", bad[i]);
	ck_assert(virtio_harmless(8));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("commands");
	TCase *tcase = tcase_create("commands");

	tcase_add_test(tcase, scsi_commands);
	tcase_add_test(tcase, ata_commands);
	tcase_add_test(tcase, nvme_commands);
	tcase_add_test(tcase, virtio_commands);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
