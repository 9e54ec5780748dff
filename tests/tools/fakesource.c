/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A source without a tracker, to test targets: its disks are files, its map is a file. It says what it is told to say, also
 * wrong things, and prints what it hears, one line each: "relation equal last 7", "refused 5 TEXT", "note 1 TEXT", "acked 9",
 * "compared 9 differs 1 32768 32768" (chunk, disk, offset, length), "compared 9 whole" behind the last of a chunk.
 *
 *   fakesource DIR HOST PORT join TOKEN                 DIR/source.{key,pem}, DIR/authority.pem
 *   fakesource DIR HOST PORT [--OPTION VALUE]... ACTION...
 *
 * DIR/state is kept as a shipper would keep it: acked place and epoch, and which blocks are dirty (a mapped file: it survives
 * kill -9). At the start of a session it does what the relation asks for, and sends what is dirty.
 * Actions: write N (random writes, at most one chunk each), mark LABEL, app LABEL, flush (waits for all acks), keep PATH (copies
 * the disks), hold (until the other side ends), ping, bye, break KIND, put DISK:OFFSET:LENGTH (a random write there), hash RANGE
 * and bad RANGE (a chunk of HASH records, right ones or such whose first byte is wrong; RANGE: as for put, or all), compared
 * (waits for all results). Options: --name --uuid --generation --epoch (HELLO's alone) --acked --identity --version --features
 * --disks SIZE[,SIZE...]
 * --seed --patience SECONDS, --no-cert, --clip N (sends no more than N chunks of what is dirty), --stale-epoch (does not draw one
 * when it has to).
 * Exit: 0; 1 it failed; 2 refused; 3 the connection ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunk.h"
#include "link.h"
#include "message.h"
#include "piece.h"
#include "pki.h"
#include "sum.h"
#include "util.h"

#define BLOCK 65536ull
#define DISK_MOST (64ull << 20)
#define WINDOW_MOST 1024
#define CHUNKS_MOST 65536 /* of a session that hashes */

struct state {
	uint64_t made;
	char name[TMK_NAME_MAX + 1];
	uint8_t protection[TMK_UUID_SIZE], epoch[TMK_EPOCH_SIZE], acked_hash[TMK_HASH_SIZE];
	uint64_t acked, generation;
	uint16_t disk_count;
	uint64_t sizes[TMK_DISKS_MAX];
	uint8_t dirty[TMK_DISKS_MAX][DISK_MOST / BLOCK];
};

static struct {
	const char *dir;
	struct state *state;
	int disks[TMK_DISKS_MAX];
	struct tmk_link *link;
	struct tmk_builder *builder;
	struct tmk_hello hello;
	uint64_t number, durable; /* last sent, last acked */
	uint8_t hash[TMK_HASH_SIZE];
	uint8_t hashes[WINDOW_MOST][TMK_HASH_SIZE];
	uint32_t window;
	uint64_t first;		    /* the session's chunks come behind it */
	uint8_t asked[CHUNKS_MOST]; /* by number - first: 1 it has hashes, 2 they are answered */
	unsigned long asked_open;
	struct tmk_tagger *tagger;
	long patience, clip;
	bool no_certificate, stale_epoch, clipped;
	uint64_t random;
} s = {.patience = 60, .clip = LONG_MAX, .random = 88172645463325252ull};

static void die(const char *what, const struct tmk_error *err)
{
	fprintf(stderr, "fakesource: %s%s%s\n", what, err ? ": " : "", err ? err->text : "");
	exit(1);
}

static uint64_t draw(void)
{
	s.random ^= s.random << 13;
	s.random ^= s.random >> 7;
	s.random ^= s.random << 17;
	return s.random;
}

/* ---- hearing ---- */

static void hear_ack(const uint8_t *body, size_t size)
{
	struct tmk_error err;
	uint64_t number;
	if (tmk_ack_decode(body, size, &number, &err))
		die("ACK", &err);
	if (number <= s.durable || number > s.number)
		die("an ack for what was not sent", NULL);
	s.durable = s.state->acked = number;
	memcpy(s.state->acked_hash, s.hashes[number % WINDOW_MOST], TMK_HASH_SIZE);
	if (number == s.number && !s.clipped)
		memset(s.state->dirty, 0, sizeof(s.state->dirty));
}

static void hear_refusal(const uint8_t *body, size_t size)
{
	uint16_t code;
	char text[1024];
	struct tmk_error err;
	if (tmk_refuse_decode(body, size, &code, text, &err))
		die("REFUSE", &err);
	printf("refused %u %s\n", code, text);
	exit(2);
}

static void hear_note(const uint8_t *body, size_t size)
{
	uint8_t level;
	char text[1024];
	struct tmk_error err;
	if (tmk_note_decode(body, size, &level, text, &err))
		die("NOTE", &err);
	printf("note %u %s\n", level, text);
}

static void hear_compared(const uint8_t *body, size_t size)
{
	static const char *const words[] = {"", "differs", "undecided"};
	static struct tmk_compared c;
	struct tmk_error err;
	if (tmk_compared_decode(body, size, &c, &err))
		die("COMPARED", &err);
	if (c.number <= s.first || c.number > s.number || !s.asked[(c.number - s.first) % CHUNKS_MOST])
		die("a result for what this session did not hash", NULL);
	if (c.number > s.durable)
		die("a result before the ack of its chunk", NULL);
	for (uint32_t i = 0; i < c.count; i++)
		printf("compared %llu %s %u %llu %llu\n", (unsigned long long)c.number, words[c.extents[i].verdict],
		       c.extents[i].disk, (unsigned long long)c.extents[i].offset, (unsigned long long)c.extents[i].length);
	if (c.more)
		return;
	printf("compared %llu whole\n", (unsigned long long)c.number);
	if (s.asked[(c.number - s.first) % CHUNKS_MOST] == 1)
		s.asked_open--;
	s.asked[(c.number - s.first) % CHUNKS_MOST] = 2;
}

/* True for a frame of that type, whose body is *body then. */
static bool hear(uint16_t wanted, const uint8_t **body, size_t *size)
{
	struct tmk_frame frame;
	struct tmk_error err = {0};
	int bad = tmk_link_wait(s.link, (int)(s.patience * 1000), &frame, body, &err);
	if (bad == -ETIMEDOUT)
		die("nothing heard", &err);
	if (bad) {
		printf("ended %s\n", err.text);
		exit(3);
	}
	*size = frame.length;
	if (frame.type == wanted)
		return true;
	if (frame.type == TMK_FRAME_REFUSE)
		hear_refusal(*body, *size);
	else if (frame.type == TMK_FRAME_NOTE)
		hear_note(*body, *size);
	else if (frame.type == TMK_FRAME_ACK)
		hear_ack(*body, *size);
	else if (frame.type == TMK_FRAME_COMPARED)
		hear_compared(*body, *size);
	else if (frame.type != TMK_FRAME_PONG)
		die("a frame that does not belong here", NULL);
	return false;
}

static void await_acks(uint64_t most_open)
{
	const uint8_t *body;
	size_t size;
	while (s.number - s.durable > most_open)
		if (hear(TMK_FRAME_ACK, &body, &size))
			hear_ack(body, size);
}

/* ---- chunks ---- */

static void send_bytes(uint16_t type, const uint8_t *bytes, size_t size)
{
	if (tmk_link_send(s.link, type, bytes, size, NULL, 0))
		die("cannot send", NULL);
	struct tmk_error err;
	int bad = tmk_link_pump(s.link, &err);
	if (!bad || bad == -EPIPE || bad == -ECONNRESET)
		return; /* what the other side said before it left comes first */
	printf("ended %s\n", err.text);
	exit(3);
}

static uint8_t *seal(uint16_t flags, size_t *size)
{
	static uint8_t *out;
	struct tmk_chain chain = {.number = s.number + 1, .generation = s.hello.generation};
	if (!out)
		out = malloc(tmk_chunk_bound());
	memcpy(chain.epoch, s.state->epoch, sizeof(chain.epoch));
	memcpy(chain.prev_hash, s.hash, sizeof(chain.prev_hash));
	*size = tmk_builder_seal(s.builder, &chain, flags, out, s.hash);
	tmk_builder_reset(s.builder);
	s.number++;
	memcpy(s.hashes[s.number % WINDOW_MOST], s.hash, TMK_HASH_SIZE);
	return out;
}

static void send_chunk(uint16_t flags)
{
	size_t size;
	if (tmk_builder_empty(s.builder))
		return;
	await_acks(s.window - 1);
	uint8_t *bytes = seal(flags, &size);
	send_bytes(TMK_FRAME_CHUNK, bytes, size);
}

static void add_from_disk(uint16_t disk, uint64_t offset, uint32_t length)
{
	if (!tmk_builder_fits(s.builder, length))
		send_chunk(0);
	static uint8_t data[BLOCK], zeroes[BLOCK];
	if (pread(s.disks[disk], data, length, (off_t)offset) != (ssize_t)length)
		die("cannot read a disk", NULL);
	if (!memcmp(data, zeroes, length)) {
		if (tmk_builder_range(s.builder, TMK_ZERO, disk, offset, length))
			die("a builder without room", NULL);
		return;
	}
	void *at = tmk_builder_data(s.builder, disk, offset, length);
	if (!at)
		die("a builder without room", NULL);
	memcpy(at, data, length);
}

static void send_dirty(void)
{
	uint64_t first = s.number;
	for (uint16_t d = 0; d < s.state->disk_count; d++)
		for (uint64_t b = 0; b * BLOCK < s.state->sizes[d]; b++) {
			uint64_t left = s.state->sizes[d] - b * BLOCK;
			if (!s.state->dirty[d][b])
				continue;
			if ((long)(s.number - first) >= s.clip)
				s.clipped = true;
			else
				add_from_disk(d, b * BLOCK, (uint32_t)(left < BLOCK ? left : BLOCK));
		}
	send_chunk(0);
}

static void dirty_range(uint16_t disk, uint64_t offset, uint64_t length)
{
	if (disk >= s.state->disk_count || offset + length > s.state->sizes[disk])
		die("a rewind list that leaves the disk", NULL);
	for (uint64_t b = offset / BLOCK; b <= (offset + length - 1) / BLOCK; b++)
		s.state->dirty[disk][b] = 1;
}

static void write_one(void)
{
	uint16_t disk = (uint16_t)(draw() % s.state->disk_count);
	uint32_t length = (uint32_t)(1 + draw() % 128) * TMK_SECTOR;
	uint64_t offset = draw() % (s.state->sizes[disk] / TMK_SECTOR) * TMK_SECTOR;
	bool zero = draw() % 8 == 0;
	static uint8_t data[128 * TMK_SECTOR];
	if (offset + length > s.state->sizes[disk])
		length = (uint32_t)(s.state->sizes[disk] - offset);
	for (size_t i = 0; i < length; i += 8) {
		uint64_t v = zero ? 0 : draw();
		memcpy(data + i, &v, 8);
	}
	dirty_range(disk, offset, length);
	if (pwrite(s.disks[disk], data, length, (off_t)offset) != (ssize_t)length)
		die("cannot write a disk", NULL);
	if (zero && tmk_builder_range(s.builder, TMK_ZERO, disk, offset, length))
		die("a builder without room", NULL);
	if (!zero)
		memcpy(tmk_builder_data(s.builder, disk, offset, length), data, length);
	send_chunk(TMK_CHUNK_CONSISTENT);
}

/* DISK:OFFSET:LENGTH */
static void parse_range(const char *text, uint16_t *disk, uint64_t *offset, uint64_t *length)
{
	unsigned long long at, size;
	if (sscanf(text, "%hu:%llu:%llu", disk, &at, &size) != 3 || *disk >= s.state->disk_count || !size ||
	    at > s.state->sizes[*disk] || size > s.state->sizes[*disk] - at)
		die("not a range of a disk", NULL);
	*offset = at;
	*length = size;
}

static void put(const char *range)
{
	uint16_t disk;
	uint64_t offset, length;
	parse_range(range, &disk, &offset, &length);
	uint8_t *data = tmk_builder_data(s.builder, disk, offset, (uint32_t)length);
	if (!data)
		die("put: not in sectors, or too much", NULL);
	for (uint64_t i = 0; i < length; i++)
		data[i] = (uint8_t)draw();
	dirty_range(disk, offset, length);
	if (pwrite(s.disks[disk], data, length, (off_t)offset) != (ssize_t)length)
		die("cannot write a disk", NULL);
	send_chunk(TMK_CHUNK_CONSISTENT);
}

static void send_hashes(void)
{
	if (tmk_builder_empty(s.builder))
		return;
	if (s.number + 1 - s.first >= CHUNKS_MOST)
		die("too many chunks for a session that hashes", NULL);
	s.asked[s.number + 1 - s.first] = 1;
	s.asked_open++;
	send_chunk(0);
}

static void hash_range(uint16_t disk, uint64_t offset, uint64_t length, bool wrong)
{
	static uint8_t data[TMK_HASH_RANGE_MAX];
	for (uint64_t end = offset + length; offset < end;) {
		uint32_t part = end - offset < sizeof(data) ? (uint32_t)(end - offset) : sizeof(data);
		uint8_t *body = tmk_builder_hash(s.builder, disk, offset, part);
		if (!body) {
			send_hashes();
			body = tmk_builder_hash(s.builder, disk, offset, part);
		}
		if (!body || pread(s.disks[disk], data, part, (off_t)offset) != (ssize_t)part)
			die("cannot hash a disk", NULL);
		data[0] ^= wrong;
		tmk_tagger_body(s.tagger, offset, data, part, body);
		offset += part;
	}
}

static void hash(const char *range, bool wrong)
{
	uint16_t disk;
	uint64_t offset, length;
	if (!s.tagger && tmk_tagger_new(&s.tagger))
		die("no memory", NULL);
	if (!strcmp(range, "all")) {
		for (disk = 0; disk < s.state->disk_count; disk++)
			hash_range(disk, 0, s.state->sizes[disk], wrong);
	} else {
		parse_range(range, &disk, &offset, &length);
		hash_range(disk, offset, length, wrong);
	}
	send_hashes();
}

static void await_results(void)
{
	const uint8_t *body;
	size_t size;
	while (s.asked_open)
		if (hear(TMK_FRAME_ACK, &body, &size))
			hear_ack(body, size);
}

static void mark(const char *label, uint8_t kind)
{
	struct tmk_mark m = {.kind = kind, .source_time = tmk_clock_ns(), .disk_count = s.state->disk_count};
	tmk_random(m.id, sizeof(m.id));
	snprintf(m.label, sizeof(m.label), "%s", label);
	memcpy(m.sizes, s.state->sizes, sizeof(m.sizes));
	if (tmk_builder_mark(s.builder, &m))
		die("cannot make a mark", NULL);
	send_chunk(TMK_CHUNK_CONSISTENT);
	await_acks(0);
	printf("marked %llu %s\n", (unsigned long long)s.number, label);
}

/* ---- breaking ---- */

static void put_number(uint8_t *at, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

/* A header that is right in itself after something in it was made wrong. */
static void sum_header(uint8_t *bytes)
{
	put_number(bytes + offsetof(struct tmk_chunk, header_sum), tmk_sum64(bytes, TMK_CHUNK_HEADER_SIZE - 8), 8);
}

static void sum_payload(uint8_t *bytes, size_t size)
{
	tmk_sum128(bytes + TMK_CHUNK_HEADER_SIZE, size - TMK_CHUNK_HEADER_SIZE, bytes + offsetof(struct tmk_chunk, payload_sum));
	sum_header(bytes);
}

/* One record of noise (which LZ4 leaves alone), so that the record's fields are at known places. */
static uint8_t *sample(size_t *size)
{
	uint64_t *data = tmk_builder_data(s.builder, 0, 4096, 4096);
	for (int i = 0; i < 512; i++)
		data[i] = draw();
	return seal(TMK_CHUNK_CONSISTENT, size);
}

static void send_broken(const char *kind)
{
	static const struct {
		const char *name;
		size_t at;
		uint64_t value;
		int bytes;
		bool payload; /* in the record; the payload's sum is made right again */
		bool sum;     /* make the header's sum right again */
	} kinds[] = {
		{"magic", 0, 1, 4, false, true},
		{"chunk-version", 4, 9, 2, false, true},
		{"flags", 6, 0x8000, 2, false, true},
		{"not-lz4", 6, TMK_CHUNK_LZ4, 2, false, true},
		{"number", 24, 99999, 8, false, true},
		{"prev", 32, 0x1234, 8, false, true},
		{"epoch", 8, 0x77, 8, false, true},
		{"payload-sum", 64, 1, 8, false, true},
		{"stored-length", 88, 17, 4, false, true},
		{"raw-length", 92, 1u << 30, 4, false, true},
		{"raw-short", 92, 100, 4, false, true},
		{"record-count", 96, 2, 4, false, true},
		{"record-count-0", 96, 0, 4, false, true},
		{"generation", 104, 77, 8, false, true},
		{"header-sum", 120, 1, 8, false, false},
		{"record-type", 128, 9, 1, true, true},
		{"record-hash", 128, TMK_HASH, 1, true, true},
		{"record-mark", 128, TMK_MARK, 1, true, true},
		{"record-reserved", 129, 1, 1, true, true},
		{"record-disk", 130, 31, 2, true, true},
		{"record-body", 132, 0xfffffff0, 4, true, true},
		{"record-offset", 136, 1ull << 62, 8, true, true},
		{"record-end", 136, UINT64_MAX - 511, 8, true, true},
		{"record-unaligned", 136, 5, 8, true, true},
		{"record-length", 144, 8192, 8, true, true},
		{"record-length-0", 144, 0, 8, true, true},
	};
	size_t size;
	uint8_t *bytes = sample(&size);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(kinds[i].name, kind))
			continue;
		put_number(bytes + kinds[i].at, kinds[i].value, kinds[i].bytes);
		if (kinds[i].payload)
			sum_payload(bytes, size);
		else if (kinds[i].sum)
			sum_header(bytes);
		send_bytes(TMK_FRAME_CHUNK, bytes, size);
		return;
	}
	if (!strcmp(kind, "short"))
		send_bytes(TMK_FRAME_CHUNK, bytes, 64);
	else if (!strcmp(kind, "empty"))
		send_bytes(TMK_FRAME_CHUNK, bytes, 0);
	else if (!strcmp(kind, "cut"))
		send_bytes(TMK_FRAME_CHUNK, bytes, size - 1);
	else if (!strcmp(kind, "hello"))
		send_bytes(TMK_FRAME_HELLO, bytes, 10);
	else if (!strcmp(kind, "join"))
		send_bytes(TMK_FRAME_JOIN, bytes, 10);
	else if (!strcmp(kind, "ack"))
		send_bytes(TMK_FRAME_ACK, bytes, 8);
	else if (!strcmp(kind, "again")) {
		/* The first of the two is good. */
		dirty_range(0, 4096, 4096);
		if (pwrite(s.disks[0], bytes + TMK_CHUNK_HEADER_SIZE + TMK_RECORD_SIZE, 4096, 4096) != 4096)
			die("cannot write a disk", NULL);
		send_bytes(TMK_FRAME_CHUNK, bytes, size);
		send_bytes(TMK_FRAME_CHUNK, bytes, size);
	} else
		die("no such way to break it", NULL);
}

static void hold(void)
{
	const uint8_t *body;
	size_t size;
	puts("holding");
	for (;;)
		if (hear(TMK_FRAME_ACK, &body, &size))
			hear_ack(body, size);
}

static void break_it(const char *kind)
{
	send_broken(kind);
	if (strcmp(kind, "again"))
		s.number = s.durable;
	hold();
}

/* ---- sessions ---- */

static void new_epoch(void)
{
	if (!s.stale_epoch)
		tmk_random(s.state->epoch, TMK_EPOCH_SIZE);
}

static void take_rewind(void)
{
	static struct tmk_rewind r;
	struct tmk_error err;
	const uint8_t *body;
	size_t size;
	unsigned long extents = 0;
	do {
		while (!hear(TMK_FRAME_REWIND, &body, &size))
			;
		if (tmk_rewind_decode(body, size, &r, &err))
			die("REWIND", &err);
		for (uint32_t i = 0; i < r.count; i++)
			dirty_range(r.extents[i].disk, r.extents[i].offset, r.extents[i].length);
		extents += r.count;
	} while (r.more);
	printf("rewound %lu\n", extents);
}

static void begin(void)
{
	static const char *const names[] = {"", "equal", "ahead", "behind"};
	static uint8_t out[TMK_CONTROL_MAX];
	struct tmk_welcome w;
	struct tmk_error err;
	const uint8_t *body;
	size_t size = tmk_hello_encode(&s.hello, out, sizeof(out));
	if (!size)
		die("cannot say HELLO", NULL);
	send_bytes(TMK_FRAME_HELLO, out, size);
	while (!hear(TMK_FRAME_WELCOME, &body, &size))
		;
	if (tmk_welcome_decode(body, size, &w, &err))
		die("WELCOME", &err);
	printf("relation %s last %llu generation %llu holds %u\n", names[w.relation], (unsigned long long)w.last_number,
	       (unsigned long long)w.generation, w.holds);
	fflush(stdout);
	s.hello.generation = s.state->generation = w.generation;
	s.window = w.window < WINDOW_MOST ? w.window : WINDOW_MOST;
	s.first = s.number = s.durable = w.last_number;
	memcpy(s.hash, w.last_hash, sizeof(s.hash));
	if (w.relation == TMK_AHEAD)
		take_rewind();
	if (w.relation == TMK_BEHIND)
		memset(s.state->dirty, 1, sizeof(s.state->dirty));
	if (w.relation != TMK_EQUAL) {
		s.state->acked = w.last_number;
		memcpy(s.state->acked_hash, w.last_hash, TMK_HASH_SIZE);
		new_epoch();
	}
	send_dirty();
}

static void connect_to(const char *host, const char *port)
{
	char certificate[PATH_MAX], key[PATH_MAX], authority[PATH_MAX];
	struct tmk_error err;
	struct tmk_tls *tls;
	snprintf(certificate, sizeof(certificate), "%s/source.pem", s.dir);
	snprintf(key, sizeof(key), "%s/source.key", s.dir);
	snprintf(authority, sizeof(authority), "%s/authority.pem", s.dir);
	char *text;
	uint8_t fingerprint[32];
	if (s.no_certificate) {
		if (tmk_read_file(authority, 8191, &text, &err) || tmk_pki_fingerprint(text, fingerprint, &err) ||
		    tmk_tls_join(&tls, fingerprint, &err))
			die("TLS", &err);
		free(text);
	} else if (tmk_tls_client(&tls, certificate, key, authority, &err)) {
		die("TLS", &err);
	}
	int fd = tmk_dial(host, (uint16_t)atoi(port), 5000, &err);
	if (fd < 0)
		die("dial", &err);
	if (tmk_link_connect(&s.link, fd, tls, 10000, &err)) {
		printf("ended %s\n", err.text);
		exit(3);
	}
}

static void open_state(const char *sizes, const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/state", s.dir);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(struct state)))
		die("cannot open the state", NULL);
	s.state = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s.state == MAP_FAILED)
		die("cannot map the state", NULL);
	if (!s.state->made) {
		memset(s.state->dirty, 1, sizeof(s.state->dirty));
		tmk_random(s.state->protection, TMK_UUID_SIZE);
		tmk_random(s.state->epoch, TMK_EPOCH_SIZE);
		snprintf(s.state->name, sizeof(s.state->name), "%s", name ? name : "web");
		char *end = (char *)(sizes ? sizes : "4194304,1049088");
		for (; *end; end += *end == ',')
			s.state->sizes[s.state->disk_count++] = strtoull(end, &end, 10);
		s.state->made = 1;
	}
	for (int i = 0; i < s.state->disk_count; i++) {
		snprintf(path, sizeof(path), "%s/disk-%d.raw", s.dir, i);
		s.disks[i] = open(path, O_RDWR | O_CREAT, 0600);
		if (s.disks[i] < 0 || ftruncate(s.disks[i], (off_t)s.state->sizes[i]))
			die("cannot open a disk", NULL);
	}
}

static void fill_hello(void)
{
	struct tmk_hello *h = &s.hello;
	h->version = TMK_WIRE_VERSION;
	memcpy(h->name, s.state->name, sizeof(h->name));
	memcpy(h->protection, s.state->protection, sizeof(h->protection));
	h->generation = s.state->generation;
	memcpy(h->epoch, s.state->epoch, sizeof(h->epoch));
	h->acked_number = s.state->acked;
	memcpy(h->acked_hash, s.state->acked_hash, sizeof(h->acked_hash));
	strcpy(h->host, "fake.example");
	h->disk_count = s.state->disk_count;
	for (int i = 0; i < h->disk_count; i++) {
		h->disks[i].size = s.state->sizes[i];
		h->disks[i].block_size = 4096;
		snprintf(h->disks[i].name, sizeof(h->disks[i].name), "/dev/fake%d", i);
		snprintf(h->disks[i].identity, sizeof(h->disks[i].identity), "serial:FAKE%d", i);
	}
}

static void keep(const char *to)
{
	char command[2 * PATH_MAX + 64];
	snprintf(command, sizeof(command), "mkdir -p '%s' && cp '%s'/disk-*.raw '%s'/", to, s.dir, to);
	if (system(command))
		die("cannot keep the disks", NULL);
}

static void join(const char *host, const char *port, const char *text)
{
	static uint8_t out[TMK_CONTROL_MAX];
	static struct tmk_join j;
	char key[PATH_MAX], path[PATH_MAX], certificate[8192], authority[8192];
	struct tmk_error err;
	struct tmk_token token;
	struct tmk_tls *tls;
	const uint8_t *body;
	size_t size;
	snprintf(key, sizeof(key), "%s/source.key", s.dir);
	j.version = TMK_WIRE_VERSION;
	snprintf(j.token, sizeof(j.token), "%s", text);
	strcpy(j.host, "fake.example");
	if (tmk_token_parse(text, &token, &err) || tmk_pki_request(key, j.host, j.request, &err) ||
	    tmk_tls_join(&tls, token.authority, &err))
		die("join", &err);
	int fd = tmk_dial(host, (uint16_t)atoi(port), 5000, &err);
	if (fd < 0 || tmk_link_connect(&s.link, fd, tls, 10000, &err))
		die("connect", &err);
	size = tmk_join_encode(&j, out, sizeof(out));
	send_bytes(TMK_FRAME_JOIN, out, size);
	while (!hear(TMK_FRAME_JOINED, &body, &size))
		;
	if (tmk_joined_decode(body, size, certificate, authority, &err))
		die("JOINED", &err);
	snprintf(path, sizeof(path), "%s/source.pem", s.dir);
	if (tmk_write_file(path, certificate, strlen(certificate), 0600, &err))
		die("join", &err);
	snprintf(path, sizeof(path), "%s/authority.pem", s.dir);
	if (tmk_write_file(path, authority, strlen(authority), 0600, &err))
		die("join", &err);
	puts("joined");
}

/* Options that change what HELLO says, and nothing of the state. */
static bool set_hello(const char *option, const char *value)
{
	struct tmk_hello *h = &s.hello;
	if (!strcmp(option, "--name"))
		snprintf(h->name, sizeof(h->name), "%s", value);
	else if (!strcmp(option, "--uuid"))
		return tmk_unhex(value, h->protection, sizeof(h->protection));
	else if (!strcmp(option, "--generation"))
		h->generation = strtoull(value, NULL, 10);
	else if (!strcmp(option, "--epoch"))
		return tmk_unhex(value, h->epoch, sizeof(h->epoch));
	else if (!strcmp(option, "--acked"))
		h->acked_number = strtoull(value, NULL, 10);
	else if (!strcmp(option, "--identity"))
		snprintf(h->disks[0].identity, sizeof(h->disks[0].identity), "%s", value);
	else if (!strcmp(option, "--size"))
		h->disks[0].size = strtoull(value, NULL, 10);
	else if (!strcmp(option, "--version"))
		h->version = (uint16_t)atoi(value);
	else if (!strcmp(option, "--features"))
		h->features = strtoull(value, NULL, 10);
	else
		return false;
	return true;
}

static bool set_option(const char *option, const char *value)
{
	if (!strcmp(option, "--seed"))
		s.random ^= strtoull(value, NULL, 10) * 0x9e3779b97f4a7c15ull;
	else if (!strcmp(option, "--patience"))
		s.patience = atol(value);
	else if (!strcmp(option, "--clip"))
		s.clip = atol(value);
	else
		return set_hello(option, value);
	return true;
}

static int act(char **a)
{
	if (!strcmp(a[0], "ping")) {
		send_bytes(TMK_FRAME_PING, NULL, 0);
		return 1;
	}
	if (!strcmp(a[0], "bye")) {
		send_bytes(TMK_FRAME_BYE, NULL, 0);
		hold();
	}
	if (!strcmp(a[0], "flush")) {
		await_acks(0);
		printf("acked %llu\n", (unsigned long long)s.durable);
		return 1;
	}
	if (!strcmp(a[0], "hold"))
		hold();
	if (!strcmp(a[0], "compared")) {
		await_results();
		return 1;
	}
	if (!a[1])
		die("an action that lacks its argument", NULL);
	if (!strcmp(a[0], "write"))
		for (long n = atol(a[1]); n > 0; n--)
			write_one();
	else if (!strcmp(a[0], "mark"))
		mark(a[1], TMK_CRASH);
	else if (!strcmp(a[0], "app"))
		mark(a[1], TMK_APP);
	else if (!strcmp(a[0], "put"))
		put(a[1]);
	else if (!strcmp(a[0], "hash") || !strcmp(a[0], "bad"))
		hash(a[1], a[0][0] == 'b');
	else if (!strcmp(a[0], "keep"))
		keep(a[1]);
	else if (!strcmp(a[0], "break"))
		break_it(a[1]);
	else
		die("no such action", NULL);
	return 2;
}

int main(int argc, char **argv)
{
	const char *sizes = NULL, *name = NULL;
	if (argc < 5)
		die("usage: fakesource DIR HOST PORT [--OPTION VALUE]... ACTION...", NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	s.dir = argv[1];
	if (!strcmp(argv[argc - 2], "join")) {
		join(argv[2], argv[3], argv[argc - 1]);
		return 0;
	}
	for (int i = 4; i + 1 < argc; i++)
		if (!strcmp(argv[i], "--disks"))
			sizes = argv[i + 1];
		else if (!strcmp(argv[i], "--name"))
			name = argv[i + 1];
	open_state(sizes, name);
	fill_hello();
	int at = 4;
	while (at < argc && !strncmp(argv[at], "--", 2)) {
		if (!strcmp(argv[at], "--no-cert") || !strcmp(argv[at], "--stale-epoch")) {
			*(argv[at][2] == 'n' ? &s.no_certificate : &s.stale_epoch) = true;
			at++;
			continue;
		}
		if (at + 1 >= argc || (strcmp(argv[at], "--disks") && !set_option(argv[at], argv[at + 1])))
			die("no such option, or no value", NULL);
		at += 2;
	}
	if (tmk_builder_new(&s.builder))
		die("no memory", NULL);
	connect_to(argv[2], argv[3]);
	begin();
	while (at < argc)
		at += act(argv + at);
	return 0;
}
