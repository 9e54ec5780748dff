/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel module on the command line, for tests. links: shipper
 *
 *   kmodlog load FILE                      once: busybox insmod tries again what failed
 *   kmodlog attach PROTECTION NAME DEV RING [BLOCK]   PROTECTION and NAME make the UUIDs: disk N fresh 0|1
 *   kmodlog detach N
 *   kmodlog take PROTECTION                gap G position P sequence S blocks N
 *   kmodlog fence PROTECTION SEQUENCE      waits until all that was issued before has completed
 *   kmodlog log PROTECTION on|both|off     position P
 *   kmodlog cut PROTECTION                 gap G position P
 *   kmodlog status PROTECTION              gap G sequence S settled S ring R on 0|1 head H tail T reason ...
 *   kmodlog disk N                         now N taken N writes N flight N diskseq N
 *   kmodlog mark N SECTOR SECTORS [REASON]
 *   kmodlog release N SECTOR SECTORS
 *   kmodlog takes PROTECTION N DEV IMAGE COUNT [unfenced]
 *                                          so many takes, each with its fence, or without; what was taken is copied from
 *                                          the device to the image, and released: blocks N
 *   kmodlog marked N now|taken             SECTOR SECTORS, a line each
 *   kmodlog copy N now|taken FROM TO       what is marked, from one image to another: blocks N
 *   kmodlog replay PROTECTION FLAG N:FILE...   the log, as it comes, onto files, until FLAG exists (-: what is there) and
 *                                          nothing is left: records R bytes B marks M skipped K last-gap G
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "module.h"
#include "util.h"

static struct tmk_module *m;
static struct tmk_error err;

static void die(const char *text)
{
	fprintf(stderr, "kmodlog: %s\n", text);
	exit(1);
}

static void need(int rc)
{
	if (rc)
		die(err.text);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*end || end == text)
		die("not a number");
	return value;
}

static const uint8_t *uuid(const char *text)
{
	static uint8_t id[16];

	memset(id, 0, sizeof(id));
	memcpy(id, text, strnlen(text, sizeof(id)));
	return id;
}

static void load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) {
		fprintf(stderr, "kmodlog: cannot load %s: %s\n", path, strerror(errno));
		exit(1);
	}
	close(fd);
}

static void attach(char **a)
{
	struct tmk_module_disk d = {.identity = "a disk of a test", .ring = number(a[3]), .block = 4096};
	struct tmk_module_attached out = {0};

	memcpy(d.protection, uuid(a[0]), 16);
	memcpy(d.key, uuid(a[1]), 16);
	d.fd = open(a[2], O_RDONLY | O_CLOEXEC);
	if (d.fd < 0)
		die("cannot open the device");
	if (a[4])
		d.block = (uint32_t)number(a[4]);
	need(tmk_module_attach(m, &d, &out, &err));
	printf("disk %u fresh %d\n", out.disk, out.fresh);
}

static void take(char **a)
{
	struct tmk_module_take t = {0};

	need(tmk_module_take(m, uuid(a[0]), &t, &err));
	printf("gap %" PRIu64 " position %" PRIu64 " sequence %" PRIu64 " blocks %" PRIu64 "\n", t.gap, t.position, t.sequence,
	       t.blocks);
}

static void fence(char **a)
{
	struct tmk_module_status s;

	for (;;) {
		need(tmk_module_status(m, uuid(a[0]), &s, &err));
		if (s.settled >= number(a[1]))
			return;
		usleep(1000);
	}
}

static void switch_log(char **a)
{
	uint64_t position = 0;

	need(tmk_module_log(m, uuid(a[0]), strcmp(a[1], "off"), !strcmp(a[1], "both"), &position, &err));
	printf("position %" PRIu64 "\n", position);
}

static void status(char **a)
{
	struct tmk_module_status s;

	need(tmk_module_status(m, uuid(a[0]), &s, &err));
	printf("gap %" PRIu64 " sequence %" PRIu64 " settled %" PRIu64 " ring %" PRIu64 " on %d head %" PRIu64 " tail %" PRIu64
	       " reason %s\n",
	       s.gap, s.sequence, s.settled, s.ring, s.on, s.head, s.tail, s.reason);
}

static void cut(char **a)
{
	struct tmk_module_take t = {0};

	need(tmk_module_cut(m, uuid(a[0]), uuid("a point"), &t, &err));
	printf("gap %" PRIu64 " position %" PRIu64 "\n", t.gap, t.position);
}

/* ---- maps ---- */

static const uint64_t *map_of(const char *disk_text, const char *which, struct tmk_module_disk_status *s, uint64_t *blocks)
{
	static struct tmk_module_disk_status all[TIDEMARK_DISKS];
	uint32_t number_of = (uint32_t)number(disk_text);
	const void *at;

	need(tmk_module_disks(m, all, &err));
	if (number_of >= TIDEMARK_DISKS || !all[number_of].known)
		die("no such disk");
	*s = all[number_of];
	*blocks = (s->sectors * 512 + s->block - 1) / s->block;
	need(tmk_module_map(m, number_of, strcmp(which, "now") ? TIDEMARK_MAP_TAKEN : TIDEMARK_MAP_NOW, (*blocks + 63) / 64 * 8,
			    &at, &err));
	return at;
}

static uint64_t count(const char *disk_text, const char *which, struct tmk_module_disk_status *s)
{
	uint64_t blocks, sum = 0;
	const uint64_t *bits = map_of(disk_text, which, s, &blocks);

	for (uint64_t b = 0; b < blocks; b++)
		sum += bits[b / 64] >> b % 64 & 1;
	return s->doubtful && !strcmp(which, "now") ? blocks : sum;
}

static void disk(char **a)
{
	struct tmk_module_disk_status s;
	uint64_t now = count(a[0], "now", &s), taken = count(a[0], "taken", &s);

	printf("now %" PRIu64 " taken %" PRIu64 " writes %" PRIu64 " flight %u diskseq %" PRIu64 " doubts %" PRIu64 "\n", now,
	       taken, s.writes, s.flight, s.diskseq, s.doubts);
}

static void marked(char **a)
{
	struct tmk_module_disk_status s;
	uint64_t blocks, per, begin = 0;
	const uint64_t *bits = map_of(a[0], a[1], &s, &blocks);
	bool in = false;

	per = s.block / 512;
	for (uint64_t b = 0; b <= blocks; b++) {
		bool set = b < blocks && bits[b / 64] >> b % 64 & 1;

		if (set && !in)
			begin = b;
		if (!set && in)
			printf("%" PRIu64 " %" PRIu64 "\n", begin * per, (b - begin) * per);
		in = set;
	}
}

static void copy(char **a)
{
	struct tmk_module_disk_status s;
	uint64_t blocks, count = 0;
	const uint64_t *bits = map_of(a[0], a[1], &s, &blocks);
	int from = open(a[2], O_RDONLY), to = open(a[3], O_WRONLY);
	char *data = malloc(s.block);

	if (from < 0 || to < 0 || !data)
		die("cannot open the images");
	for (uint64_t b = 0; b < blocks; b++) {
		ssize_t n;

		if (!(bits[b / 64] >> b % 64 & 1))
			continue;
		count++;
		n = pread(from, data, s.block, (off_t)(b * s.block));
		if (n <= 0 || pwrite(to, data, (size_t)n, (off_t)(b * s.block)) != n)
			die("cannot copy");
	}
	free(data);
	close(from);
	close(to);
	printf("blocks %" PRIu64 "\n", count);
}

/* Whole blocks that are marked in `bits`, from the device to the image. */
static uint64_t copy_marked(const uint64_t *bits, uint64_t blocks, uint32_t size, int from, int to, char *data)
{
	uint64_t copied = 0;

	for (uint64_t b = 0; b < blocks; b++) {
		ssize_t n;

		if (!(__atomic_load_n(&bits[b / 64], __ATOMIC_RELAXED) >> b % 64 & 1))
			continue;
		n = pread(from, data, size, (off_t)(b * size));
		if (n <= 0 || pwrite(to, data, (size_t)n, (off_t)(b * size)) != n)
			die("cannot copy");
		copied++;
	}
	return copied;
}

static void takes(char **a)
{
	struct tmk_module_disk_status s;
	struct tmk_module_status p;
	struct tmk_module_take t;
	uint64_t blocks, copied = 0;
	const uint64_t *taken = map_of(a[1], "taken", &s, &blocks);
	int from = open(a[2], O_RDONLY | O_DIRECT), to = open(a[3], O_WRONLY);
	char *data = aligned_alloc(4096, s.block);
	uint8_t protection[16];

	memcpy(protection, uuid(a[0]), 16);
	if (from < 0 || to < 0 || !data)
		die("cannot open disk and image");
	for (uint64_t n = number(a[4]); n; n--) {
		need(tmk_module_take(m, protection, &t, &err));
		do
			need(tmk_module_status(m, protection, &p, &err));
		while (!a[5] && p.settled < t.sequence);
		copied += copy_marked(taken, blocks, s.block, from, to, data);
		need(tmk_module_release(m, (uint32_t)number(a[1]), 0, s.sectors, &err));
	}
	free(data);
	close(from);
	close(to);
	printf("blocks %" PRIu64 "\n", copied);
}

/* ---- the log ---- */

struct replay {
	const char *ring;
	uint64_t size, at;
	int files[TIDEMARK_DISKS];
	uint64_t records, bytes, marks, skipped, gap;
};

static void apply(struct replay *r, const struct tidemark_record *record)
{
	uint64_t offset = record->sector * 512, length = record->sectors * 512;
	int file = record->disk < TIDEMARK_DISKS ? r->files[record->disk] : -1;
	static char zeroes[1 << 20];

	r->gap = record->gap;
	if (record->type == TIDEMARK_MARK) {
		r->marks++;
		return;
	}
	if (record->type == TIDEMARK_SKIP) {
		r->skipped++;
		return;
	}
	if (file < 0)
		die("a record of a disk that was not named");
	r->records++;
	r->bytes += length;
	if (record->type == TIDEMARK_DATA) {
		if (sizeof(*record) + length > record->length)
			die("a record that is shorter than its data");
		if (pwrite(file, record + 1, length, (off_t)offset) != (ssize_t)length)
			die("cannot write the copy");
		return;
	}
	for (uint64_t part; length;
	     offset += part, length -= part) { /* also a discard, of disks whose contents are zeroes then */
		part = length < sizeof(zeroes) ? length : sizeof(zeroes);
		if (pwrite(file, zeroes, part, (off_t)offset) != (ssize_t)part)
			die("cannot write the copy");
	}
}

/* All that is complete. */
static bool drain(struct replay *r)
{
	bool any = false;

	for (;;) {
		const struct tidemark_record *record = (const void *)(r->ring + r->at % r->size);

		if (__atomic_load_n(&record->position, __ATOMIC_ACQUIRE) != r->at)
			return any;
		if (record->length < TIDEMARK_ALIGN || record->length % TIDEMARK_ALIGN || record->length > r->size)
			die("a record that makes no sense");
		apply(r, record);
		r->at += record->length;
		any = true;
	}
}

static void replay(char **a)
{
	struct replay r = {0};
	struct tmk_module_status s;
	uint8_t protection[16];
	uint32_t first = 0;
	const void *ring;
	bool over = !strcmp(a[1], "-");

	memcpy(protection, uuid(a[0]), 16);
	for (int i = 0; i < TIDEMARK_DISKS; i++)
		r.files[i] = -1;
	for (char **f = a + 2; *f; f++) {
		char *colon = strchr(*f, ':');

		if (!colon)
			die("N:FILE");
		*colon = '\0';
		first = (uint32_t)number(*f);
		r.files[first] = open(colon + 1, O_WRONLY);
		if (r.files[first] < 0)
			die("cannot open the copy");
	}
	need(tmk_module_status(m, protection, &s, &err));
	need(tmk_module_map(m, first, TIDEMARK_MAP_RING, 2 * s.ring, &ring, &err));
	r.ring = ring;
	r.size = s.ring;
	r.at = s.tail;
	for (;;) {
		bool last = over || !access(a[1], F_OK);

		if (drain(&r))
			need(tmk_module_release_log(m, protection, r.at, &err));
		else if (last)
			break;
		else
			usleep(500);
	}
	need(tmk_module_status(m, protection, &s, &err));
	if (r.at != s.head)
		die("the log goes on behind what was complete");
	printf("records %" PRIu64 " bytes %" PRIu64 " marks %" PRIu64 " skipped %" PRIu64 " last-gap %" PRIu64 "\n", r.records,
	       r.bytes, r.marks, r.skipped, r.gap);
}

static void detach(char **a)
{
	need(tmk_module_detach(m, (uint32_t)number(a[0]), &err));
}

static void mark(char **a)
{
	need(tmk_module_mark(m, (uint32_t)number(a[0]), number(a[1]), number(a[2]), a[3], &err));
}

static void release(char **a)
{
	need(tmk_module_release(m, (uint32_t)number(a[0]), number(a[1]), number(a[2]), &err));
}

static const struct {
	const char *name;
	int least;
	void (*run)(char **arguments);
} commands[] = {
	{"attach", 4, attach}, {"detach", 1, detach}, {"take", 1, take},     {"fence", 2, fence},     {"log", 2, switch_log},
	{"status", 1, status}, {"disk", 1, disk},     {"mark", 3, mark},     {"release", 3, release}, {"marked", 2, marked},
	{"takes", 5, takes},   {"copy", 4, copy},     {"replay", 3, replay}, {"cut", 1, cut},
};

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "load")) {
		load(argv[2]);
		return 0;
	}
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(argv[1], commands[i].name) || argc - 2 < commands[i].least)
			continue;
		need(tmk_module_open(&m, &err));
		commands[i].run(argv + 2);
		tmk_module_close(m);
		return 0;
	}
	die("usage: see tests/tools/kmodlog.c");
	return 1;
}
