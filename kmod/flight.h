/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests of a disk that were issued and have not completed: who is found again at completion, which writes a fence waits for
 * (I4), which overlap (R7). Its size is fixed when tracking begins (I10). All under the protection's lock, but init and free.
 */
#ifndef TMK_FLIGHT_H
#define TMK_FLIGHT_H

#include <linux/types.h>

struct request;

struct tmk_flight {
	const struct request *rq; /* only compared */
	u64 sequence;
	u64 begin, end;	 /* sectors of the whole disk */
	bool overlapped; /* another one was in flight over the same sectors */
};

struct tmk_flights {
	struct tmk_flight *live; /* [count] */
	u32 *table;		 /* by the request's address, open addressing: 1 + its place in live, 0: free */
	u32 mask, count, limit;
	u32 *near; /* how many in flight touch the 4 KiB that fall here */
	u32 wide;  /* and how many are too long to be counted so */
};

int tmk_flights_init(struct tmk_flights *f, u32 limit);
void tmk_flights_free(struct tmk_flights *f);
/* NULL: it is not in flight. What find and add return is good until the next add or remove. */
struct tmk_flight *tmk_flights_find(struct tmk_flights *f, const struct request *rq);
/* One that is not in flight; begin < end. NULL: no room, and nothing changed. Those that it overlaps are told, and so is it. */
struct tmk_flight *tmk_flights_add(struct tmk_flights *f, const struct request *rq, u64 begin, u64 end, u64 sequence);
void tmk_flights_remove(struct tmk_flights *f, struct tmk_flight *flight);
/* Forgets all. */
void tmk_flights_clear(struct tmk_flights *f);
/* The lowest sequence in flight, or `none`. */
u64 tmk_flights_oldest(const struct tmk_flights *f, u64 none);

#endif
