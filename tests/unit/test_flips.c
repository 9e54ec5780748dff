/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links: target. Every flip of one bit in a short session (HELLO, chunks, a mark, PING, BYE) and in the segment that it leaves:
 * what is kept is what was sent before the flip, byte for byte, or the flip is refused (I5, I9). Daemons: tests/target-frames.sh.
 */
#include "../../target/session.h" /* the shipper has a file of this name too */
#include "../fuzz/intake.h"
#include "replica.h"
#include "suite.h"

#include <check.h> /* defines fail() */

#define CHUNKS 3
#define FRAMES 6

struct frame_place {
	size_t at, end;
	uint16_t type;
	uint64_t chunks; /* before it */
};

/* With sanitizers a session takes ten times as long: one bit of each byte then. */
#ifdef __SANITIZE_ADDRESS__
#define BIT_STEP 8
#else
#define BIT_STEP 1
#endif

static uint8_t stream[8192];
static size_t stream_size;
static struct frame_place frames[FRAMES];
static unsigned int frame_count;
static struct tmk_place places[CHUNKS + 1];
static struct tmk_hello hello;
static struct session session;
static const uint8_t owner[32] = {1};

/* ---- the recording ---- */

static void put_frame(uint16_t type, const void *body, size_t size)
{
	struct tmk_writer_buf w = tmk_writer_buf(stream + stream_size, sizeof(stream) - stream_size);
	struct frame_place *f = &frames[frame_count++];

	f->chunks = frame_count > 1 ? f[-1].chunks + (f[-1].type == TMK_FRAME_CHUNK) : 0;
	f->type = type;
	f->at = stream_size;
	tmk_put_u32(&w, type);
	tmk_put_u32(&w, size);
	tmk_put_bytes(&w, body, size);
	ck_assert(!w.failed);
	f->end = stream_size += w.at;
}

static void fill(struct tmk_builder *b, uint64_t number)
{
	struct tmk_mark mark = {.kind = TMK_APP, .gap = 3, .source_time = 4, .label = "flip", .disk_count = 2};
	uint8_t *data;

	for (int i = 0; i < 2; i++)
		mark.sizes[i] = hello.disks[i].size;
	if (number == 1) {
		data = tmk_builder_data(b, 0, 4096, 512);
		for (int i = 0; i < 512; i++) /* does not compress */
			data[i] = (uint8_t)(i * i * 31 + i * 7 + (i >> 3));
	} else if (number == 2) {
		data = tmk_builder_data(b, 1, 8192, 4096); /* compresses well */
		memset(data, 0x42, 4096);
		ck_assert_int_eq(tmk_builder_range(b, TMK_ZERO, 0, 0, 512), 0);
		data = tmk_builder_hash(b, 1, 8192, 512); /* what it says does not matter here */
		memset(data, 0x17, TMK_TAG_KEY + TMK_TAG_SIZE);
	} else {
		ck_assert_int_eq(tmk_builder_range(b, TMK_DISCARD, 1, 512, 1024), 0);
		ck_assert_int_eq(tmk_builder_mark(b, &mark), 0);
	}
}

static void put_chunks(void)
{
	struct tmk_chain next = {.number = 1, .generation = 1};
	uint8_t *bytes = malloc(tmk_chunk_bound());
	struct tmk_builder *b;

	memset(next.epoch, 0xe1, sizeof(next.epoch));
	ck_assert_int_eq(tmk_builder_new(&b), 0);
	for (; next.number <= CHUNKS; next.number++) {
		fill(b, next.number);
		size_t size = tmk_builder_seal(b, &next, next.number == CHUNKS ? TMK_CHUNK_CONSISTENT : 0, bytes,
					       places[next.number].hash);
		tmk_builder_reset(b);
		places[next.number].number = next.number;
		memcpy(next.prev_hash, places[next.number].hash, TMK_HASH_SIZE);
		put_frame(TMK_FRAME_CHUNK, bytes, size);
		if (next.number == 1)
			put_frame(TMK_FRAME_PING, NULL, 0);
	}
	tmk_builder_free(b);
	free(bytes);
}

static void record(void)
{
	uint8_t body[2048];

	hello = (struct tmk_hello){.version = TMK_WIRE_VERSION, .name = "web", .host = "one", .generation = 1, .disk_count = 2};
	memset(hello.protection, 0xaa, sizeof(hello.protection));
	memset(hello.epoch, 0xe1, sizeof(hello.epoch));
	for (int i = 0; i < 2; i++)
		hello.disks[i] =
			(struct tmk_hello_disk){.size = 1 << 20, .block_size = 4096, .name = "/dev/vda", .identity = "serial:1"};
	put_frame(TMK_FRAME_HELLO, body, tmk_hello_encode(&hello, body, sizeof(body)));
	put_chunks();
	ck_assert_uint_le(stream_size, 2500); /* short, or this takes long */
}

static void setup(void)
{
	stream_size = frame_count = 0;
	record();
	memset(&session, 0, sizeof(session));
	session.hello = hello;
	session.acceptance.generation = 1;
	session.acceptance.window = 64;
	session.acceptance.sizes = (struct tmk_disk_sizes){.count = 2, .sizes = {1 << 20, 1 << 20}};
	memcpy(session.acceptance.protection, hello.protection, TMK_UUID_SIZE);
	memcpy(session.acceptance.epoch, hello.epoch, TMK_EPOCH_SIZE);
	strcpy(session.acceptance.name, "web");
	session.journal_dir = scratch_dir();
	scratch_clear(session.journal_dir);
}

static void teardown(void)
{
	close(session.journal_dir);
	scratch_remove();
	scratch[0] = 0;
}

static const struct frame_place *frame_at(size_t at)
{
	unsigned int i = 0;

	while (at >= frames[i].end)
		i++;
	return &frames[i];
}

/* ---- the journal holds these chunks as they were sent ---- */

static const char segment[] = "0000000000000001.seg";

static void check_kept(size_t at)
{
	static uint8_t file[16384];
	int fd = openat(session.journal_dir, segment, O_RDONLY);
	ssize_t size = fd < 0 ? 0 : read(fd, file, sizeof(file));
	size_t entry = sizeof(struct tmk_segment);

	for (unsigned int i = 0; i < frame_count; i++) {
		size_t length = frames[i].end - frames[i].at - TMK_FRAME_SIZE;

		if (frames[i].type != TMK_FRAME_CHUNK || frames[i].chunks >= session.end.number)
			continue;
		entry += sizeof(struct tmk_entry);
		ck_assert_uint_le(entry + length, size);
		ck_assert_msg(!memcmp(file + entry, stream + frames[i].at + TMK_FRAME_SIZE, length), "byte %zu", at);
		entry += length;
	}
	ck_assert_msg(fd < 0 || (size_t)size == entry, "byte %zu: more is kept than was taken", at);
	if (fd >= 0)
		close(fd);
	ck_assert_msg(session.end.number <= CHUNKS && !memcmp(session.end.hash, places[session.end.number].hash, TMK_HASH_SIZE),
		      "byte %zu: another chain", at);
}

static void run(void)
{
	scratch_clear(session.journal_dir);
	ck_assert(session_run(&session, stream + frames[0].end, stream_size - frames[0].end));
	ck_assert_uint_eq(session.end.number, session.durable);
}

START_TEST(as_recorded)
{
	put_frame(TMK_FRAME_BYE, NULL, 0);
	run();
	ck_assert_int_eq(session.result, 0);
	ck_assert_uint_eq(session.refused, 0);
	ck_assert_uint_eq(session.end.number, CHUNKS);
	check_kept(0);
}
END_TEST

START_TEST(every_bit_of_the_stream)
{
	put_frame(TMK_FRAME_BYE, NULL, 0);
	for (size_t at = frames[0].end; at < stream_size; at++) {
		const struct frame_place *f = frame_at(at);
		bool body = at >= f->at + TMK_FRAME_SIZE;

		for (int bit = at % BIT_STEP; bit < 8; bit += BIT_STEP) {
			stream[at] ^= 1 << bit;
			run();
			stream[at] ^= 1 << bit;
			check_kept(at);
			ck_assert_msg(session.end.number >= f->chunks, "byte %zu: what came before the flip is lost", at);
			if (f->type != TMK_FRAME_CHUNK)
				continue;
			ck_assert_msg(session.end.number == f->chunks, "byte %zu, bit %d: a broken chunk is kept", at, bit);
			ck_assert_msg(session.refused || (!body && session.result), "byte %zu: not a word of it", at);
		}
	}
}
END_TEST

/* ---- HELLO ---- */

/* The first frame that the flipped stream makes; false: none, or the link refuses it. */
static bool first_frame(uint8_t *body, size_t *size)
{
	struct tmk_link *link;
	struct tmk_frame frame;
	const uint8_t *at;
	int ends[2];
	bool got;

	REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	ck_assert_int_eq(send(ends[0], stream, stream_size, 0), stream_size);
	ck_assert_int_eq(tmk_link_accept(&link, ends[1], NULL, 1000, NULL), 0);
	tmk_link_pump(link, NULL);
	got = tmk_link_next(link, &frame, &at) && frame.type == TMK_FRAME_HELLO;
	if (got) {
		memcpy(body, at, frame.length);
		*size = frame.length;
	}
	tmk_link_free(link);
	close(ends[0]);
	return got;
}

static void check_accepted(const struct tmk_hello *got, size_t at)
{
	ck_assert_msg(!strcmp(got->name, hello.name) && !memcmp(got->protection, hello.protection, TMK_UUID_SIZE), "byte %zu",
		      at);
	ck_assert_msg(got->version == hello.version && !got->features, "byte %zu", at);
	ck_assert_msg(got->generation <= hello.generation && got->disk_count == hello.disk_count, "byte %zu", at);
	for (int i = 0; i < hello.disk_count; i++)
		ck_assert_msg(got->disks[i].size == hello.disks[i].size &&
				      !strcmp(got->disks[i].identity, hello.disks[i].identity),
			      "byte %zu", at);
}

static void check_protection(struct tmk_catalogue *c, const struct tmk_verdict *first, size_t at)
{
	struct tmk_catalogued row;
	struct tmk_sidecar sidecar;

	ck_assert_int_eq(tmk_catalogue_protection(c, "web", &row, NULL), 0);
	ck_assert_msg(!memcmp(row.protection, first->row.protection, TMK_UUID_SIZE) && !memcmp(row.owner, owner, 32) &&
			      row.generation == first->row.generation && !memcmp(row.epoch, first->row.epoch, TMK_EPOCH_SIZE),
		      "byte %zu: the protection changed", at);
	int dir = openat(session.journal_dir, "protections/web", O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(tmk_sidecar_read(&tmk_io_real, dir, &sidecar, NULL), 0);
	ck_assert_msg(!memcmp(&sidecar, &first->sidecar, sizeof(sidecar)), "byte %zu: the replica changed", at);
	close(dir);
}

static int count_protection(const struct tmk_catalogued *p, void *context)
{
	(void)p;
	++*(unsigned int *)context;
	return 0;
}

START_TEST(every_bit_of_hello)
{
	static struct tmk_hello got;
	static struct tmk_verdict first, verdict;
	static uint8_t body[TMK_CONTROL_MAX], again[TMK_CONTROL_MAX];
	struct tmk_sandbox_user user = {geteuid(), getegid()};
	struct tmk_session_court court = {.root = session.journal_dir, .user = &user};
	unsigned int accepted = 0, count = 0;
	size_t size;

	ck_assert_int_eq(tmk_catalogue_open(&court.catalogue, scratch, NULL), 0);
	ck_assert_int_eq(tmk_catalogue_certificate_add(court.catalogue, owner, "one", NULL), 0);
	tmk_session_judge(&court, owner, &hello, &first);
	ck_assert_msg(!first.refuse, "%s", first.text);
	for (size_t at = 0; at < frames[0].end; at++)
		for (int bit = at % BIT_STEP; bit < 8; bit += BIT_STEP) {
			stream[at] ^= 1 << bit;
			bool refused = !first_frame(body, &size) || tmk_hello_decode(body, size, &got, NULL);
			stream[at] ^= 1 << bit;
			if (refused)
				continue;
			ck_assert_uint_eq(tmk_hello_encode(&got, again, sizeof(again)), size);
			ck_assert_msg(!memcmp(again, body, size), "byte %zu: read otherwise than it was sent", at);
			tmk_session_judge(&court, owner, &got, &verdict);
			if (!verdict.refuse) {
				check_accepted(&got, at);
				accepted++;
			}
			check_protection(court.catalogue, &first, at);
		}
	/* Names for people, acked and epoch are the source's to say. */
	ck_assert_uint_gt(accepted, 0);
	ck_assert_int_eq(tmk_catalogue_protections(court.catalogue, count_protection, &count, NULL), 0);
	ck_assert_uint_eq(count, 1);
	tmk_catalogue_close(court.catalogue);
}
END_TEST

/* ---- the segment ---- */

START_TEST(every_bit_of_the_segment)
{
	static uint8_t file[16384];
	struct tmk_journal *j;

	run();
	int fd = openat(session.journal_dir, segment, O_RDONLY);
	ssize_t size = read(fd, file, sizeof(file));
	close(fd);
	ck_assert_int_gt(size, 0);
	ck_assert_int_lt(size, sizeof(file));
	for (ssize_t at = 0; at < size; at++)
		for (int bit = at % BIT_STEP; bit < 8; bit += BIT_STEP) {
			file[at] ^= 1 << bit;
			scratch_clear(session.journal_dir);
			file_put(session.journal_dir, segment, file, size);
			file[at] ^= 1 << bit;
			if (session_journal(&session, &j))
				continue;
			session.end = tmk_journal_end(j);
			tmk_journal_close(j);
			ck_assert_msg(session.end.number < CHUNKS, "byte %zd: not noticed", at);
			check_kept(at);
		}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flips");
	TCase *t = tcase_create("flips");

	tcase_set_timeout(t, 100);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, as_recorded);
	tcase_add_test(t, every_bit_of_the_stream);
	tcase_add_test(t, every_bit_of_hello);
	tcase_add_test(t, every_bit_of_the_segment);
	suite_add_tcase(s, t);
	return run_suite(s);
}
