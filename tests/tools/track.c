/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tracker interface on the command line, for tests. links: shipper
 *
 *   track PINS COMMAND [ARGUMENT...]     one command
 *   track PINS                           commands from standard input, a line each; every answer ends with a line "ok" or
 *                                        "error CODE TEXT", and an error ends the program only in the first form
 *
 *   check DEV                      attach NAME DEV [IDENTITY]       slot S fresh 0|1 block BYTES
 *   detach S    poll    remove     take S...                        gap G blocks N bytes N
 *   extents S now|taken            OFFSET LENGTH, a line each       count S now|taken              N
 *   marked S now|taken OFFSET LENGTH        0|1
 *   release S OFFSET LENGTH        mark S OFFSET LENGTH             doubt S REASON
 *   gap S...                       cookie S                         set-cookie S NUMBER
 *   save-cookie S FILE             load-cookie S FILE               as it is
 *   watch on|off                   for as long as this process lives
 *   writer S                       status S
 *   ship S DEV COPY                a round: take, copy what is marked from the disk to the file, release
 *   ship-until S DEV COPY FLAG [poll]   rounds until FLAG exists, then one more; with poll, polls before each
 *   changed S OLD NEW now|taken    compares two images of the disk by blocks: changed C marked M missed N
 *
 * S is the number that attach gave. NAME makes the key. A partition is attached as a range of its disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "error.h"
#include "tracker.h"
#include "util.h"

#define ARGUMENTS 32
#define EXTENTS 1024
#define PIECE (1u << 20)

struct tool {
	struct tmk_tracker *tracker;
	struct tmk_error err;
};

static int number(struct tool *tool, const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno || *end || end == text ? tmk_error_set(&tool->err, -EINVAL, "not a number: %s", text) : 0;
}

static int slot_of(struct tool *tool, const char *text, int *out)
{
	uint64_t value;
	int rc = number(tool, text, &value);

	*out = value > 1000 ? 1000 : value;
	return rc;
}

static int which_of(struct tool *tool, const char *text, enum tmk_which *out)
{
	*out = strcmp(text, "now") ? TMK_TAKEN : TMK_NOW;
	return strcmp(text, "now") && strcmp(text, "taken") ? tmk_error_set(&tool->err, -EINVAL, "now or taken, not %s", text)
							    : 0;
}

static int extent_of(struct tool *tool, char **args, int *slot, struct tmk_extent *out)
{
	int rc = slot_of(tool, args[0], slot);

	if (!rc)
		rc = number(tool, args[1], &out->offset);
	return rc ? rc : number(tool, args[2], &out->length);
}

/* ---- disks ---- */

static bool read_sysfs(dev_t dev, const char *name, char *out, size_t size)
{
	char path[128];
	FILE *f;
	bool got;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), name);
	f = fopen(path, "re");
	if (!f)
		return false;
	got = fgets(out, size, f);
	fclose(f);
	return got;
}

static int find_disk(struct tool *tool, const char *path, struct tmk_tracker_disk *out)
{
	unsigned int major_number, minor_number;
	char text[64];
	struct stat st;

	if (stat(path, &st) || !S_ISBLK(st.st_mode))
		return tmk_error_set(&tool->err, -ENOTBLK, "%s is not a disk", path);
	out->disk = st.st_rdev;
	out->whole_disk = !read_sysfs(st.st_rdev, "partition", text, sizeof(text));
	if (!read_sysfs(st.st_rdev, "size", text, sizeof(text)))
		return tmk_error_set(&tool->err, -ENODEV, "%s has no size", path);
	out->length = strtoull(text, NULL, 10) * 512;
	if (out->whole_disk)
		return 0;
	if (!read_sysfs(st.st_rdev, "start", text, sizeof(text)))
		return tmk_error_set(&tool->err, -ENODEV, "%s has no start", path);
	out->start = strtoull(text, NULL, 10) * 512;
	if (!read_sysfs(st.st_rdev, "../dev", text, sizeof(text)) || sscanf(text, "%u:%u", &major_number, &minor_number) != 2)
		return tmk_error_set(&tool->err, -ENODEV, "%s lies on no disk", path);
	out->disk = makedev(major_number, minor_number);
	return 0;
}

static int do_check(struct tool *tool, int count, char **args)
{
	struct tmk_tracker_disk disk = {};
	int rc = find_disk(tool, args[0], &disk);

	(void)count;
	return rc ? rc : tmk_tracker_check(disk.disk, &tool->err);
}

static int do_attach(struct tool *tool, int count, char **args)
{
	struct tmk_tracker_attached attached;
	struct tmk_tracker_disk disk = {};
	int rc = find_disk(tool, args[1], &disk);

	if (rc)
		return rc;
	memcpy(disk.key, args[0], strnlen(args[0], sizeof(disk.key)));
	snprintf(disk.identity, sizeof(disk.identity), "%s", count > 2 ? args[2] : "a disk of a test");
	rc = tmk_tracker_attach(tool->tracker, &disk, &attached, &tool->err);
	if (!rc)
		printf("slot %d fresh %d block %u\n", attached.slot, attached.fresh, attached.block_size);
	return rc;
}

static int do_detach(struct tool *tool, int count, char **args)
{
	int slot, rc = slot_of(tool, args[0], &slot);

	(void)count;
	return rc ? rc : tmk_tracker_detach(tool->tracker, slot, &tool->err);
}

static int do_remove(struct tool *tool, int count, char **args)
{
	(void)count;
	(void)args;
	return tmk_ebpf_remove(tool->tracker, &tool->err);
}

static int do_poll(struct tool *tool, int count, char **args)
{
	(void)count;
	(void)args;
	return tmk_tracker_poll(tool->tracker, &tool->err);
}

/* ---- marks ---- */

static int slots_of(struct tool *tool, int count, char **args, int *out)
{
	int rc = 0;

	for (int i = 0; i < count && !rc; i++)
		rc = slot_of(tool, args[i], &out[i]);
	return rc;
}

static int do_take(struct tool *tool, int count, char **args)
{
	int slots[ARGUMENTS], rc = slots_of(tool, count, args, slots);
	struct tmk_take take;

	if (!rc)
		rc = tmk_tracker_take(tool->tracker, slots, count, &take, &tool->err);
	if (!rc)
		printf("gap %" PRIu64 " blocks %" PRIu64 " bytes %" PRIu64 "\n", take.gap, take.blocks, take.bytes);
	return rc;
}

static int do_gap(struct tool *tool, int count, char **args)
{
	int slots[ARGUMENTS], rc = slots_of(tool, count, args, slots);
	uint64_t gap;

	if (!rc)
		rc = tmk_tracker_gap(tool->tracker, slots, count, &gap, &tool->err);
	if (!rc)
		printf("%" PRIu64 "\n", gap);
	return rc;
}

/* Calls `each` for every extent; few at a time, so that going on behind the last one is tried too. */
static int walk(struct tool *tool, int slot, enum tmk_which which,
		int (*each)(struct tool *, int slot, struct tmk_extent, void *), void *context)
{
	struct tmk_extent extents[EXTENTS];
	uint64_t from = 0;
	size_t count;
	int rc;

	do {
		rc = tmk_tracker_extents(tool->tracker, slot, which, from, extents, EXTENTS, &count, &tool->err);
		for (size_t i = 0; i < count && !rc; i++) {
			rc = each(tool, slot, extents[i], context);
			from = extents[i].offset + extents[i].length;
		}
	} while (!rc && count);
	return rc;
}

static int print_extent(struct tool *tool, int slot, struct tmk_extent e, void *context)
{
	(void)tool;
	(void)slot;
	(void)context;
	printf("%" PRIu64 " %" PRIu64 "\n", e.offset, e.length);
	return 0;
}

static int do_extents(struct tool *tool, int count, char **args)
{
	enum tmk_which which;
	int slot, rc = slot_of(tool, args[0], &slot);

	(void)count;
	if (!rc)
		rc = which_of(tool, args[1], &which);
	return rc ? rc : walk(tool, slot, which, print_extent, NULL);
}

static int do_count(struct tool *tool, int count, char **args)
{
	enum tmk_which which;
	uint64_t blocks;
	int slot, rc = slot_of(tool, args[0], &slot);

	(void)count;
	if (!rc)
		rc = which_of(tool, args[1], &which);
	if (!rc)
		rc = tmk_tracker_count(tool->tracker, slot, which, &blocks, &tool->err);
	if (!rc)
		printf("%" PRIu64 "\n", blocks);
	return rc;
}

static int do_release(struct tool *tool, int count, char **args)
{
	struct tmk_extent extent;
	int slot, rc = extent_of(tool, args, &slot, &extent);

	(void)count;
	return rc ? rc : tmk_tracker_release(tool->tracker, slot, extent, &tool->err);
}

static int do_mark(struct tool *tool, int count, char **args)
{
	struct tmk_extent extent;
	int slot, rc = extent_of(tool, args, &slot, &extent);

	(void)count;
	return rc ? rc : tmk_tracker_mark(tool->tracker, slot, extent, &tool->err);
}

static int do_marked(struct tool *tool, int count, char **args)
{
	struct tmk_extent extent;
	enum tmk_which which;
	bool marked;
	int slot, rc = which_of(tool, args[1], &which);

	(void)count;
	args[1] = args[0];
	if (!rc)
		rc = extent_of(tool, args + 1, &slot, &extent);
	if (!rc)
		rc = tmk_tracker_marked(tool->tracker, slot, which, extent, &marked, &tool->err);
	if (!rc)
		printf("%d\n", marked);
	return rc;
}

static int do_doubt(struct tool *tool, int count, char **args)
{
	int slot, rc = slot_of(tool, args[0], &slot);

	(void)count;
	return rc ? rc : tmk_tracker_doubt(tool->tracker, slot, args[1], &tool->err);
}

/* ---- status ---- */

static int do_cookie(struct tool *tool, int count, char **args)
{
	struct tmk_cookie cookie;
	int slot, rc = slot_of(tool, args[0], &slot);

	(void)count;
	if (!rc)
		rc = tmk_tracker_cookie(tool->tracker, slot, &cookie, &tool->err);
	if (!rc)
		printf("number %" PRIu64 " epoch %02x hash %02x generation %" PRIu64 "\n", cookie.number, cookie.epoch[15],
		       cookie.hash[31], cookie.generation);
	return rc;
}

static int do_set_cookie(struct tool *tool, int count, char **args)
{
	struct tmk_cookie cookie = {.epoch[15] = 0xe5, .hash[31] = 0x4a, .generation = 7};
	int slot, rc = slot_of(tool, args[0], &slot);

	(void)count;
	if (!rc)
		rc = number(tool, args[1], &cookie.number);
	return rc ? rc : tmk_tracker_set_cookie(tool->tracker, slot, &cookie, &tool->err);
}

static int do_save_cookie(struct tool *tool, int count, char **args)
{
	struct tmk_cookie cookie;
	int slot, rc = slot_of(tool, args[0], &slot);

	(void)count;
	if (!rc)
		rc = tmk_tracker_cookie(tool->tracker, slot, &cookie, &tool->err);
	return rc ? rc : tmk_write_file(args[1], &cookie, sizeof(cookie), 0600, &tool->err);
}

static int do_load_cookie(struct tool *tool, int count, char **args)
{
	struct tmk_cookie cookie;
	int slot, rc = slot_of(tool, args[0], &slot), fd = open(args[1], O_RDONLY | O_CLOEXEC);

	(void)count;
	if (!rc && (fd < 0 || read(fd, &cookie, sizeof(cookie)) != (ssize_t)sizeof(cookie)))
		rc = tmk_error_set(&tool->err, -EIO, "cannot read %s", args[1]);
	if (fd >= 0)
		close(fd);
	return rc ? rc : tmk_tracker_set_cookie(tool->tracker, slot, &cookie, &tool->err);
}

static int do_watch(struct tool *tool, int count, char **args)
{
	(void)count;
	return tmk_tracker_watch(tool->tracker, !strcmp(args[0], "on"), &tool->err);
}

static int do_writer(struct tool *tool, int count, char **args)
{
	struct tmk_writer writer;
	int slot, rc = slot_of(tool, args[0], &slot);

	(void)count;
	if (!rc)
		rc = tmk_tracker_writer(tool->tracker, slot, &writer, &tool->err);
	if (!rc)
		printf("pid %u comm %s offset %" PRIu64 " length %" PRIu64 "\n", writer.pid, writer.comm, writer.offset,
		       writer.length);
	return rc;
}

static int do_status(struct tool *tool, int count, char **args)
{
	struct tmk_tracker_status s;
	int slot, rc = slot_of(tool, args[0], &slot);

	(void)count;
	if (!rc)
		rc = tmk_tracker_status(tool->tracker, slot, &s, &tool->err);
	if (!rc)
		printf("backend %s block %u map %" PRIu64 " now %" PRIu64 " taken %" PRIu64 " gap %" PRIu64 " writes %" PRIu64
		       " reason %s\n",
		       s.backend, s.block_size, s.map_bytes, s.now_blocks, s.taken_blocks, s.gap, s.writes, s.reason);
	return rc;
}

/* ---- rounds ---- */

struct copy {
	int disk, file;
	char *piece;
};

static int copy_extent(struct tool *tool, int slot, struct tmk_extent e, void *context)
{
	struct copy *c = context;

	for (uint64_t at = 0; at < e.length; at += PIECE) {
		size_t size = e.length - at < PIECE ? e.length - at : PIECE;

		if (pread(c->disk, c->piece, size, e.offset + at) != (ssize_t)size ||
		    pwrite(c->file, c->piece, size, e.offset + at) != (ssize_t)size)
			return tmk_error_sys(&tool->err, -errno, "cannot copy %" PRIu64 "+%zu", e.offset + at, size);
	}
	return tmk_tracker_release(tool->tracker, slot, e, &tool->err);
}

static int round_trip(struct tool *tool, int slot, struct copy *c, uint64_t *blocks)
{
	struct tmk_take take;
	int rc = tmk_tracker_take(tool->tracker, &slot, 1, &take, &tool->err);

	if (!rc)
		rc = walk(tool, slot, TMK_TAKEN, copy_extent, c);
	*blocks += take.blocks;
	return rc;
}

static int open_copy(struct tool *tool, struct copy *c, const char *disk, const char *file)
{
	c->disk = open(disk, O_RDONLY | O_DIRECT | O_CLOEXEC);
	c->file = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (c->disk < 0 || c->file < 0 || posix_memalign((void **)&c->piece, 4096, PIECE))
		return tmk_error_sys(&tool->err, -errno, "cannot open %s or %s", disk, file);
	return 0;
}

static void close_copy(struct copy *c)
{
	if (c->disk >= 0)
		close(c->disk);
	if (c->file >= 0)
		close(c->file);
	free(c->piece);
}

static int do_ship(struct tool *tool, int count, char **args)
{
	struct copy c = {.disk = -1, .file = -1};
	uint64_t blocks = 0;
	int slot, rc = slot_of(tool, args[0], &slot);

	(void)count;
	if (!rc)
		rc = open_copy(tool, &c, args[1], args[2]);
	if (!rc)
		rc = round_trip(tool, slot, &c, &blocks);
	close_copy(&c);
	if (!rc)
		printf("rounds 1 blocks %" PRIu64 "\n", blocks);
	return rc;
}

static int do_ship_until(struct tool *tool, int count, char **args)
{
	struct copy c = {.disk = -1, .file = -1};
	uint64_t blocks = 0, rounds = 0;
	int slot, rc = slot_of(tool, args[0], &slot);
	bool last = false;

	if (!rc)
		rc = open_copy(tool, &c, args[1], args[2]);
	while (!rc && !last) {
		last = !access(args[3], F_OK);
		if (count > 4)
			rc = tmk_tracker_poll(tool->tracker, &tool->err);
		if (!rc)
			rc = round_trip(tool, slot, &c, &blocks);
		rounds++;
		usleep(2000);
	}
	close_copy(&c);
	if (!rc)
		printf("rounds %" PRIu64 " blocks %" PRIu64 "\n", rounds, blocks);
	return rc;
}

/* ---- the oracle ---- */

struct image {
	const char *bytes;
	size_t size;
};

static int open_image(struct tool *tool, const char *path, struct image *out)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *at = MAP_FAILED;

	if (fd >= 0 && !fstat(fd, &st))
		at = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (fd >= 0)
		close(fd);
	if (at == MAP_FAILED)
		return tmk_error_sys(&tool->err, -errno, "cannot map %s", path);
	out->bytes = at;
	out->size = st.st_size;
	return 0;
}

struct marked {
	char *blocks;
	uint64_t size, count, marked;
};

static int note_extent(struct tool *tool, int slot, struct tmk_extent e, void *context)
{
	struct marked *m = context;

	(void)tool;
	(void)slot;
	for (uint64_t at = e.offset; at < e.offset + e.length; at += m->size) {
		if (at / m->size >= m->count)
			return tmk_error_set(&tool->err, -ERANGE, "marked behind the image at %" PRIu64, at);
		m->blocks[at / m->size] = 1;
		m->marked++;
	}
	return 0;
}

static void compare(const struct image *old, const struct image *new, const struct marked *m)
{
	uint64_t changed = 0, missed = 0;

	for (uint64_t i = 0; i < m->count; i++) {
		size_t at = i * m->size, size = old->size - at < m->size ? old->size - at : m->size;

		if (!memcmp(old->bytes + at, new->bytes + at, size))
			continue;
		changed++;
		if (!m->blocks[i] && !missed++)
			fprintf(stderr, "the first block that was missed: %" PRIu64 "\n", i);
	}
	printf("changed %" PRIu64 " marked %" PRIu64 " missed %" PRIu64 "\n", changed, m->marked, missed);
}

static int do_changed(struct tool *tool, int count, char **args)
{
	struct tmk_tracker_status status;
	struct image old, new;
	struct marked m = {};
	enum tmk_which which;
	int slot, rc = slot_of(tool, args[0], &slot);

	(void)count;
	if (!rc)
		rc = which_of(tool, args[3], &which);
	if (!rc)
		rc = open_image(tool, args[1], &old);
	if (!rc)
		rc = open_image(tool, args[2], &new);
	if (!rc && (old.size != new.size || !old.size))
		rc = tmk_error_set(&tool->err, -EINVAL, "the images are not of one size");
	if (!rc)
		rc = tmk_tracker_status(tool->tracker, slot, &status, &tool->err);
	if (rc)
		return rc;
	m.size = status.block_size;
	m.count = (old.size + m.size - 1) / m.size;
	m.blocks = calloc(m.count, 1);
	if (!m.blocks)
		return tmk_error_sys(&tool->err, -ENOMEM, "cannot compare");
	rc = walk(tool, slot, which, note_extent, &m);
	if (!rc)
		compare(&old, &new, &m);
	free(m.blocks);
	munmap((void *)old.bytes, old.size);
	munmap((void *)new.bytes, new.size);
	return rc;
}

/* ---- commands ---- */

static const struct command {
	const char *name;
	int (*run)(struct tool *tool, int count, char **args);
	int min, max;
} commands[] = {
	{"check", do_check, 1, 1},
	{"attach", do_attach, 2, 3},
	{"detach", do_detach, 1, 1},
	{"remove", do_remove, 0, 0},
	{"poll", do_poll, 0, 0},
	{"take", do_take, 1, ARGUMENTS},
	{"gap", do_gap, 1, ARGUMENTS},
	{"extents", do_extents, 2, 2},
	{"count", do_count, 2, 2},
	{"release", do_release, 3, 3},
	{"mark", do_mark, 3, 3},
	{"marked", do_marked, 4, 4},
	{"doubt", do_doubt, 2, 2},
	{"cookie", do_cookie, 1, 1},
	{"set-cookie", do_set_cookie, 2, 2},
	{"watch", do_watch, 1, 1},
	{"writer", do_writer, 1, 1},
	{"status", do_status, 1, 1},
	{"ship", do_ship, 3, 3},
	{"ship-until", do_ship_until, 4, 5},
	{"changed", do_changed, 4, 4},
	{"save-cookie", do_save_cookie, 2, 2},
	{"load-cookie", do_load_cookie, 2, 2},
};

static int run(struct tool *tool, int count, char **args)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(args[0], commands[i].name) && count - 1 >= commands[i].min && count - 1 <= commands[i].max)
			return commands[i].run(tool, count - 1, args + 1);
	return tmk_error_set(&tool->err, -EINVAL, "no such command with %d arguments: %s", count - 1, args[0]);
}

static void run_lines(struct tool *tool)
{
	char line[4096], *args[ARGUMENTS];

	while (fgets(line, sizeof(line), stdin)) {
		int count = 0;

		for (char *word = strtok(line, " \n"); word && count < ARGUMENTS; word = strtok(NULL, " \n"))
			args[count++] = word;
		if (!count)
			continue;
		if (run(tool, count, args))
			printf("error %d %s\n", -tool->err.code, tool->err.text);
		else
			printf("ok\n");
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	struct tool tool = {};
	int rc;

	if (argc < 2) {
		fprintf(stderr, "usage: track PINS [COMMAND [ARGUMENT...]]\n");
		return 2;
	}
	rc = tmk_ebpf_open(&tool.tracker, argv[1], &tool.err);
	if (!rc && argc > 2)
		rc = run(&tool, argc - 2, argv + 2);
	else if (!rc)
		run_lines(&tool);
	if (rc)
		fprintf(stderr, "error %d %s\n", -tool.err.code, tool.err.text);
	tmk_tracker_close(tool.tracker);
	return rc ? 1 : 0;
}
