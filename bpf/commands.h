/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which driver commands leave a disk's contents alone (R29): smartd, udisks, multipathd and the kernel itself send them all the
 * time. What is not listed may write. Pure code, built for the probes, for the module and for a unit test.
 */
#ifndef TIDEMARK_COMMANDS_H
#define TIDEMARK_COMMANDS_H

#include <linux/types.h>
#ifndef __KERNEL__
#include <stdbool.h>
#endif

/* Not inlined: clang would mix up pointers to the two places of the ATA command, which the verifier refuses. SMART's WRITE LOG
 * can carry an SCT Write Same. Others are told by command, not by protocol: SANITIZE DEVICE and WRITE UNCORRECTABLE transfer
 * nothing either. */
static __attribute__((__noinline__)) int ata_harmless(__u8 ata, __u8 feature)
{
	switch (ata) {
	case 0x20: /* READ SECTORS */
	case 0x24: /* READ SECTORS EXT */
	case 0x25: /* READ DMA EXT */
	case 0x27: /* READ NATIVE MAX ADDRESS EXT */
	case 0x2f: /* READ LOG EXT */
	case 0x40: /* READ VERIFY SECTORS */
	case 0x42: /* READ VERIFY SECTORS EXT */
	case 0x47: /* READ LOG DMA EXT */
	case 0x60: /* READ FPDMA QUEUED */
	case 0xa1: /* IDENTIFY PACKET DEVICE */
	case 0xc8: /* READ DMA */
	case 0xe0: /* STANDBY IMMEDIATE */
	case 0xe1: /* IDLE IMMEDIATE */
	case 0xe2: /* STANDBY */
	case 0xe3: /* IDLE */
	case 0xe5: /* CHECK POWER MODE */
	case 0xe6: /* SLEEP */
	case 0xe7: /* FLUSH CACHE */
	case 0xea: /* FLUSH CACHE EXT */
	case 0xec: /* IDENTIFY DEVICE */
	case 0xef: /* SET FEATURES */
	case 0xf8: /* READ NATIVE MAX ADDRESS */
		return true;
	case 0xb0: /* SMART */
		return feature != 0xd6;
	default:
		return false;
	}
}

static inline __attribute__((always_inline)) bool scsi_harmless(const __u8 *cdb)
{
	switch (cdb[0]) {
	case 0x00: /* TEST UNIT READY */
	case 0x03: /* REQUEST SENSE */
	case 0x08: /* READ(6) */
	case 0x12: /* INQUIRY */
	case 0x16: /* RESERVE(6) */
	case 0x17: /* RELEASE(6) */
	case 0x1a: /* MODE SENSE(6) */
	case 0x1b: /* START STOP UNIT */
	case 0x1c: /* RECEIVE DIAGNOSTIC RESULTS */
	case 0x1e: /* PREVENT ALLOW MEDIUM REMOVAL */
	case 0x25: /* READ CAPACITY(10) */
	case 0x28: /* READ(10) */
	case 0x2f: /* VERIFY(10) */
	case 0x34: /* PRE-FETCH(10) */
	case 0x35: /* SYNCHRONIZE CACHE(10) */
	case 0x37: /* READ DEFECT DATA(10) */
	case 0x3c: /* READ BUFFER */
	case 0x4d: /* LOG SENSE */
	case 0x56: /* RESERVE(10) */
	case 0x57: /* RELEASE(10) */
	case 0x5a: /* MODE SENSE(10) */
	case 0x5e: /* PERSISTENT RESERVE IN */
	case 0x5f: /* PERSISTENT RESERVE OUT */
	case 0x88: /* READ(16) */
	case 0x8f: /* VERIFY(16) */
	case 0x90: /* PRE-FETCH(16) */
	case 0x91: /* SYNCHRONIZE CACHE(16) */
	case 0x95: /* ZBC IN */
	case 0x9e: /* SERVICE ACTION IN: READ CAPACITY(16), GET LBA STATUS */
	case 0xa0: /* REPORT LUNS */
	case 0xa2: /* SECURITY PROTOCOL IN */
	case 0xa3: /* MAINTENANCE IN */
	case 0xa8: /* READ(12) */
	case 0xaf: /* VERIFY(12) */
	case 0xb7: /* READ DEFECT DATA(12) */
		return true;
	case 0x85: /* ATA PASS-THROUGH(16) */
		return ata_harmless(cdb[14], cdb[4]);
	case 0xa1: /* ATA PASS-THROUGH(12) */
		return ata_harmless(cdb[9], cdb[3]);
	default:
		return false;
	}
}

static inline __attribute__((always_inline)) bool nvme_harmless(__u8 opcode)
{
	switch (opcode) {
	case 0x00: /* Flush */
	case 0x02: /* Read */
	case 0x05: /* Compare */
	case 0x0c: /* Verify */
	case 0x0d: /* Reservation Register */
	case 0x0e: /* Reservation Report */
	case 0x11: /* Reservation Acquire */
	case 0x12: /* I/O Management Receive */
	case 0x15: /* Reservation Release */
		return true;
	default:
		return false;
	}
}

static inline __attribute__((always_inline)) bool nvme_admin_harmless(__u8 opcode)
{
	switch (opcode) {
	case 0x00: /* Delete and create queues */
	case 0x01:
	case 0x04:
	case 0x05:
	case 0x02: /* Get Log Page */
	case 0x06: /* Identify */
	case 0x08: /* Abort */
	case 0x09: /* Set Features */
	case 0x0a: /* Get Features */
	case 0x0c: /* Asynchronous Event Request */
	case 0x11: /* Firmware Image Download; the commit is what changes the drive */
	case 0x14: /* Device Self-test */
	case 0x18: /* Keep Alive */
	case 0x1e: /* NVMe-MI Receive */
	case 0x7c: /* Doorbell Buffer Config */
	case 0x7f: /* Fabrics */
	case 0x82: /* Security Receive */
	case 0x86: /* Get LBA Status */
		return true;
	default:
		return false;
	}
}

/* Little endian, as all devices of today are. */
static inline __attribute__((always_inline)) bool virtio_harmless(__u32 type)
{
	return type == 8 || type == 10 || type == 16; /* GET_ID, GET_LIFETIME, ZONE_REPORT */
}

#endif
