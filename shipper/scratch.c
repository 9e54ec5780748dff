/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See scratch.h. What is not surely swap is not scratch: then its writes count, and at worst a point is refused. */
#include "scratch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mountinfo.h"
#include "swaps.h"
#include "util.h"

#define BLOCK 4096u

/* One line: "FILENAME<blanks>partition<blanks>KIB<blanks>...": the usable size without the header. False: not a partition. */
static bool parse_swap(const char *line, char *path, size_t size, uint64_t *length)
{
	size_t name = strcspn(line, " \t");
	unsigned long long kib;
	char type[16];

	if (sscanf(line + name, " %15s %llu", type, &kib) != 2 || strcmp(type, "partition") || kib > UINT64_MAX / 1024)
		return false;
	*length = kib * 1024;
	return !tmk_mountinfo_unescape(line, name, path, size);
}

/* Where the swap area starts on a protected disk; false: it is not on this one, or sticks out of it. */
static bool place(const struct tmk_device *disk, const struct tmk_device *swap, uint64_t *offset)
{
	if (swap->dev == disk->dev)
		*offset = 0;
	else if (disk->whole && swap->disk == disk->disk)
		*offset = swap->start;
	else
		return false;
	return swap->size <= disk->size && *offset <= disk->size - swap->size;
}

static int add(struct tmk_scratch *out, uint16_t disk, uint64_t begin, uint64_t end, struct tmk_error *err)
{
	begin = (begin + BLOCK - 1) / BLOCK * BLOCK;
	end = end / BLOCK * BLOCK;
	if (begin >= end)
		return 0;
	if (out->count == TMK_SCRATCH_MAX)
		return tmk_error_set(err, -E2BIG, "more than %d swap areas lie on the protected disks", TMK_SCRATCH_MAX);
	out->ranges[out->count++] = (struct tmk_scratch_range){.disk = disk, .offset = begin, .length = end - begin};
	return 0;
}

static int consider(const struct tmk_swaps *swaps, const char *line, const struct tmk_device *disks, size_t count,
		    struct tmk_scratch *out, struct tmk_error *err)
{
	struct tmk_device swap;
	uint64_t length, offset;
	char path[4096];
	int rc = 0;

	if (!parse_swap(line, path, sizeof(path), &length) || swaps->find(path, &swap, NULL) || swap.size < swaps->page)
		return 0;
	if (length > swap.size - swaps->page)
		length = swap.size - swaps->page;
	for (size_t i = 0; i < count && !rc; i++)
		if (place(&disks[i], &swap, &offset))
			rc = add(out, (uint16_t)i, offset + swaps->page, offset + swaps->page + length, err);
	return rc;
}

static int by_place(const void *a, const void *b)
{
	const struct tmk_scratch_range *x = a, *y = b;

	if (x->disk != y->disk)
		return x->disk < y->disk ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Partitions may overlap by mistake; what lies in both is scratch once. */
static void join(struct tmk_scratch *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		struct tmk_scratch_range *last = kept ? &s->ranges[kept - 1] : NULL, r = s->ranges[i];
		uint64_t end = r.offset + r.length;

		if (!last || last->disk != r.disk || last->offset + last->length < r.offset)
			s->ranges[kept++] = r;
		else if (end > last->offset + last->length)
			last->length = end - last->offset;
	}
	memset(&s->ranges[kept], 0, (s->count - kept) * sizeof(s->ranges[0]));
	s->count = kept;
}

int tmk_scratch_find_in(const struct tmk_swaps *swaps, const struct tmk_device *disks, size_t count, struct tmk_scratch *out,
			struct tmk_error *err)
{
	char *text, *rest, *line;
	int rc = tmk_read_file(swaps->list, 1u << 20, &text, err);

	memset(out, 0, sizeof(*out));
	if (rc == -ENOENT) /* a kernel without swap */
		return 0;
	if (rc)
		return rc;
	rest = text;
	strsep(&rest, "\n"); /* the headings */
	while (!rc && (line = strsep(&rest, "\n")))
		rc = consider(swaps, line, disks, count, out, err);
	free(text);
	qsort(out->ranges, out->count, sizeof(out->ranges[0]), by_place);
	join(out);
	return rc;
}

int tmk_scratch_find(const struct tmk_device *disks, size_t count, struct tmk_scratch *out, struct tmk_error *err)
{
	long page = sysconf(_SC_PAGESIZE);
	const struct tmk_swaps real = {
		.list = "/proc/swaps", .page = page > (long)BLOCK ? (uint64_t)page : BLOCK, .find = tmk_device_find};

	return tmk_scratch_find_in(&real, disks, count, out, err);
}

bool tmk_scratch_split(const struct tmk_scratch *s, uint16_t disk, uint64_t offset, uint64_t *length)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct tmk_scratch_range *r = &s->ranges[i];

		if (r->disk != disk || (offset >= r->offset && offset - r->offset >= r->length))
			continue;
		if (offset >= r->offset) {
			uint64_t left = r->length - (offset - r->offset);

			*length = *length < left ? *length : left;
			return true;
		}
		if (r->offset - offset < *length)
			*length = r->offset - offset;
		return false; /* the first one behind: sorted */
	}
	return false;
}

bool tmk_scratch_same(const struct tmk_scratch *a, const struct tmk_scratch *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (by_place(&a->ranges[i], &b->ranges[i]) || a->ranges[i].length != b->ranges[i].length)
			return false;
	return true;
}
