/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire: what crosses the border between shipper and target. docs/wire.md is its prose; this file is the byte table.
 *
 * One TCP connection, TLS 1.3, per protection. Both sides send frames: an 8-byte frame header and `length` bytes of body.
 * All integers are little-endian. Strings are a u16 length and that many bytes of UTF-8, not terminated. A frame is valid if
 * and only if its type is known, its flags are 0, its length is within the type's limit, and its body is used up exactly.
 * An invalid frame ends the session; nothing of it is kept.
 *
 * A chunk is the unit on the wire and in the journal: a 128-byte header and `stored_length` bytes of payload, which is a run of
 * records, LZ4-compressed (one block) if TMK_CHUNK_LZ4 is set. A chunk is valid if and only if its magic, version and header
 * sum are right, no unknown flag is set, its lengths are within limits, the payload's XXH3-128 equals payload_sum, it
 * decompresses to exactly raw_length bytes, and these are exactly record_count valid records. It follows another if its number
 * is one more and its prev_hash is the SHA-256 of the other's 128 header bytes.
 */
#ifndef TMK_WIRE_H
#define TMK_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define TMK_WIRE_VERSION 1
#define TMK_WIRE_PORT 9443

#define TMK_EPOCH_SIZE 16
#define TMK_HASH_SIZE 32
#define TMK_UUID_SIZE 16
#define TMK_NAME_MAX 64	  /* bytes of a protection's name: [A-Za-z0-9._-], not starting with '.' or '-' */
#define TMK_LABEL_MAX 200 /* bytes of a label */
#define TMK_DISKS_MAX 32  /* disks of one protection */
#define TMK_SECTOR 512

/* ---- frames ---- */
struct tmk_frame {
	uint16_t type;	 /* enum tmk_frame_type */
	uint16_t flags;	 /* 0 */
	uint32_t length; /* of the body */
};
#define TMK_FRAME_SIZE 8
_Static_assert(sizeof(struct tmk_frame) == TMK_FRAME_SIZE, "frame header");

enum tmk_frame_type {
	/* source to target */
	TMK_FRAME_HELLO = 1, /* struct tmk_hello */
	TMK_FRAME_CHUNK = 2, /* header and payload */
	TMK_FRAME_JOIN = 3,  /* struct tmk_join; instead of HELLO, without a client certificate */
	TMK_FRAME_PING = 4,  /* empty; answered by PONG; one every 20 s keeps the connection known as alive */
	TMK_FRAME_BYE = 5,   /* empty: the source ends the session on purpose */
	/* target to source */
	TMK_FRAME_WELCOME = 32,	 /* struct tmk_welcome */
	TMK_FRAME_REWIND = 33,	 /* struct tmk_rewind: extents of chunks that the source does not know; last one has more = 0 */
	TMK_FRAME_ACK = 34,	 /* u64: the last durable chunk */
	TMK_FRAME_REFUSE = 35,	 /* u16 enum tmk_refuse, string: says why and what to do; the target closes behind it */
	TMK_FRAME_JOINED = 36,	 /* string: the certificate, PEM; string: the authority's, PEM */
	TMK_FRAME_PONG = 37,	 /* empty */
	TMK_FRAME_NOTE = 38,	 /* u8 enum tmk_note, string: the target's state in words, for the source's status */
	TMK_FRAME_COMPARED = 39, /* struct tmk_compared: what came of the HASH records of a chunk */
};

/* limits of a body, in bytes */
#define TMK_CONTROL_MAX (64u << 10)  /* HELLO, JOIN, WELCOME, REFUSE, JOINED, NOTE */
#define TMK_REWIND_MAX (256u << 10)  /* REWIND */
#define TMK_COMPARED_MAX (64u << 10) /* COMPARED */

enum tmk_refuse {
	TMK_REFUSE_VERSION = 1, /* no common version or an unknown feature bit */
	TMK_REFUSE_CERTIFICATE, /* unknown, revoked, or none */
	TMK_REFUSE_OWNER,	/* the protection belongs to another certificate */
	TMK_REFUSE_IDENTITY,	/* a disk's size or identity is not what it was, or their number */
	TMK_REFUSE_GENERATION,	/* failed over or adopted since: this source is fenced */
	TMK_REFUSE_EPOCH,	/* the epoch was superseded: another machine continued this protection */
	TMK_REFUSE_BROKEN,	/* replica and journal do not fit together; an operator decides */
	TMK_REFUSE_SPACE,	/* the target cannot take chunks now; try again later */
	TMK_REFUSE_PROTOCOL,	/* a broken frame, chunk or record */
	TMK_REFUSE_TOKEN,	/* JOIN: unknown, used up or expired */
	TMK_REFUSE_NAME,	/* not a valid name */
	TMK_REFUSE_SUPERSEDED,	/* a newer session of this protection took over */
	TMK_REFUSE_TARGET,	/* the target failed; its log says more */
};

enum tmk_note { TMK_NOTE_OK = 0, TMK_NOTE_WARNING = 1 };

/* Bodies of frames, decoded; lib/message.h encodes and decodes them field by field, in this order. */
struct tmk_hello_disk {
	uint64_t size;	     /* bytes, a multiple of 512 */
	uint32_t block_size; /* bytes: granularity of the source's map, for status */
	uint8_t zeroes;	     /* 1: discarded blocks read as zeroes (R20) */
	char name[128];	     /* device as the user named it, for people */
	char identity[128];  /* serial, wwn: must be what it was (I8) */
};
struct tmk_hello {
	uint16_t version;		   /* TMK_WIRE_VERSION */
	uint64_t features;		   /* 0; a bit unknown to the target is refused */
	char name[TMK_NAME_MAX + 1];	   /* protection */
	uint8_t protection[TMK_UUID_SIZE]; /* drawn at `protect` */
	uint64_t generation;		   /* 0: first contact of this source */
	uint8_t epoch[TMK_EPOCH_SIZE];	   /* of the chunks that this session sends if it just goes on */
	uint64_t acked_number;		   /* last chunk known as acked; 0: none, everything is marked */
	uint8_t acked_hash[TMK_HASH_SIZE];
	char host[128];	     /* for people */
	uint16_t disk_count; /* 1 .. TMK_DISKS_MAX */
	struct tmk_hello_disk disks[TMK_DISKS_MAX];
};

enum tmk_relation {
	TMK_EQUAL = 1,	/* acked is the target's last chunk: go on in the same epoch */
	TMK_AHEAD = 2,	/* the target has more, on that chain: REWIND frames follow; mark their extents, draw a new epoch */
	TMK_BEHIND = 3, /* the target lacks chunks or knows no common ancestor: mark everything, draw a new epoch */
};
struct tmk_welcome {
	uint16_t version;
	uint64_t features;
	uint8_t relation; /* enum tmk_relation */
	uint64_t generation;
	uint64_t last_number;		  /* the chain goes on behind this chunk, whatever the epoch; 0: empty */
	uint8_t last_hash[TMK_HASH_SIZE]; /* zeroes if empty */
	uint32_t window;		  /* chunks that may be under way unacked */
	uint8_t holds;			  /* 1: the replica holds something already: what is in doubt goes hash first */
};

struct tmk_rewind_extent {
	uint16_t disk;
	uint64_t offset; /* bytes */
	uint64_t length; /* bytes */
};
#define TMK_REWIND_EXTENTS 4096 /* in one frame */
struct tmk_rewind {
	uint8_t more; /* 1: another REWIND follows */
	uint32_t count;
	struct tmk_rewind_extent extents[TMK_REWIND_EXTENTS];
};

/* What came of the HASH records of one chunk; of ranges that are not named here the replica has the content that was hashed. For
 * every chunk with HASH records, in the order of the chunks, behind the ACK of it. Only for chunks that were appended while this
 * session lasted: who lost a session asks again. */
enum tmk_comparison {
	TMK_DIFFERS = 1,   /* the replica has another content */
	TMK_UNDECIDED = 2, /* it cannot be told now: newer records for the range wait to be applied */
};
struct tmk_compared_extent {
	uint8_t verdict; /* enum tmk_comparison */
	uint16_t disk;
	uint64_t offset; /* bytes, inside a HASH record's range */
	uint64_t length; /* bytes */
};
#define TMK_COMPARED_EXTENTS 1024 /* in one frame */
struct tmk_compared {
	uint64_t number; /* of the chunk */
	uint8_t more;	 /* 1: another COMPARED for this chunk follows */
	uint32_t count;
	struct tmk_compared_extent extents[TMK_COMPARED_EXTENTS];
};

struct tmk_join {
	uint16_t version;
	char token[128];
	char host[128];
	char request[8192]; /* certificate request, PEM */
};

/* ---- chunks ---- */
#define TMK_CHUNK_MAGIC 0x434b4d54u /* "TMKC" */
#define TMK_CHUNK_VERSION 1
#define TMK_CHUNK_RAW_MAX (1152u << 10) /* bytes of records before compression */
#define TMK_CHUNK_DATA_MAX (1u << 20)	/* of them, bytes of DATA content: what a packer aims at */
#define TMK_CHUNK_RECORDS_MAX 4096u

enum tmk_chunk_flags {
	TMK_CHUNK_LZ4 = 1 << 0,	       /* payload is one LZ4 block */
	TMK_CHUNK_CONSISTENT = 1 << 1, /* the disks at the end of this chunk are a consistent state */
};

struct tmk_chunk {
	uint32_t magic;
	uint16_t version;
	uint16_t flags;
	uint8_t epoch[TMK_EPOCH_SIZE];
	uint64_t number; /* from 1, never again, whatever the epoch */
	uint8_t prev_hash[TMK_HASH_SIZE];
	uint8_t payload_sum[16]; /* XXH3-128, canonical (big-endian) form, of the payload as stored */
	uint64_t log_through;	 /* byte offset in the endless log; 0 from a tracker without a log */
	uint32_t stored_length;	 /* 1 .. TMK_CHUNK_RAW_MAX */
	uint32_t raw_length;	 /* 1 .. TMK_CHUNK_RAW_MAX */
	uint32_t record_count;	 /* 1 .. TMK_CHUNK_RECORDS_MAX */
	uint32_t reserved0;	 /* 0 */
	uint64_t generation;
	uint64_t reserved1;  /* 0 */
	uint64_t header_sum; /* XXH3-64 of the 120 bytes before it */
};
#define TMK_CHUNK_HEADER_SIZE 128
_Static_assert(sizeof(struct tmk_chunk) == TMK_CHUNK_HEADER_SIZE, "chunk header");
_Static_assert(offsetof(struct tmk_chunk, epoch) == 8, "chunk header");
_Static_assert(offsetof(struct tmk_chunk, number) == 24, "chunk header");
_Static_assert(offsetof(struct tmk_chunk, prev_hash) == 32, "chunk header");
_Static_assert(offsetof(struct tmk_chunk, payload_sum) == 64, "chunk header");
_Static_assert(offsetof(struct tmk_chunk, log_through) == 80, "chunk header");
_Static_assert(offsetof(struct tmk_chunk, stored_length) == 88, "chunk header");
_Static_assert(offsetof(struct tmk_chunk, generation) == 104, "chunk header");
_Static_assert(offsetof(struct tmk_chunk, header_sum) == 120, "chunk header");

/* ---- records ---- */
enum tmk_record_type {
	TMK_DATA = 1,	 /* body: `length` bytes of content */
	TMK_ZERO = 2,	 /* no body: the range reads as zeroes */
	TMK_DISCARD = 3, /* no body: the contents of the range are unspecified */
	TMK_HASH = 4,	 /* body: a key and a tag for each piece of the range: lib/piece.h. Compared when reached (R11) */
	TMK_MARK = 5,	 /* body: struct tmk_mark, encoded; offset and length 0; the last record of its chunk (I3) */
};

struct tmk_record {
	uint8_t type;
	uint8_t reserved0; /* 0 */
	uint16_t disk;	   /* index in HELLO's disks; 0 for MARK */
	uint32_t body;	   /* bytes that follow the record header */
	uint64_t offset;   /* bytes, a multiple of 512 */
	uint64_t length;   /* bytes, a multiple of 512, at least 512, but 0 for MARK */
};
#define TMK_RECORD_SIZE 24
_Static_assert(sizeof(struct tmk_record) == TMK_RECORD_SIZE, "record header");

/* A HASH record's body: TMK_TAG_KEY bytes of key, drawn for this record, then a tag of TMK_TAG_SIZE bytes for each piece. Pieces
 * are the parts that multiples of TMK_PIECE cut the range into. Tag: GMAC (AES-128), its IV the piece's number on the disk
 * (offset / TMK_PIECE) as 8 bytes little-endian and 4 zero bytes. A piece of nothing but zeroes has the GMAC of no data instead,
 * and in place of the 4 zero bytes its length, little-endian. */
#define TMK_PIECE (32u << 10)
#define TMK_TAG_KEY 16
#define TMK_TAG_SIZE 16
#define TMK_HASH_RANGE_MAX (1u << 20)	 /* bytes of one HASH record's range */
#define TMK_CHUNK_HASHED_MAX (64u << 20) /* bytes of all HASH records' ranges in one chunk: bounds the work that it asks for */

enum tmk_mark_kind { TMK_CRASH = 1, TMK_APP = 2 };
struct tmk_mark {
	uint8_t kind;	      /* enum tmk_mark_kind */
	uint8_t id[16];	      /* drawn per mark: what `mark --wait` waits for */
	uint64_t gap;	      /* gap count (R4) */
	uint64_t source_time; /* ns since 1970, the source's clock, at the cut */
	char label[TMK_LABEL_MAX + 1];
	uint16_t disk_count;
	uint64_t sizes[TMK_DISKS_MAX]; /* bytes: size belongs to the mark (R21) */
};

#endif
