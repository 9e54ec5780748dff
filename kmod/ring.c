// SPDX-License-Identifier: GPL-2.0
/* The ring's memory: pages that are mapped twice, side by side, so that a record never wraps. What is in it: log.c. */
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "core.h"

int tmk_ring_init(struct tmk_ring *r, u64 size)
{
	u64 count = size >> PAGE_SHIFT, i;
	struct page **pages;

	*r = (struct tmk_ring){};
	if (!size)
		return 0;
	pages = vzalloc(array_size(count * 2, sizeof(*pages)));
	if (!pages)
		return -ENOMEM;
	r->pages = pages;
	r->size = size;
	for (i = 0; i < count; i++) {
		pages[i] = alloc_page(GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL);
		if (!pages[i])
			goto no_memory;
		pages[count + i] = pages[i];
		cond_resched();
	}
	r->at = vmap(pages, count * 2, VM_MAP, PAGE_KERNEL);
	if (r->at)
		return 0;
no_memory:
	tmk_ring_free(r);
	return -ENOMEM;
}

void tmk_ring_free(struct tmk_ring *r)
{
	u64 i;

	if (r->at)
		vunmap(r->at);
	for (i = 0; r->pages && i < r->size >> PAGE_SHIFT; i++)
		if (r->pages[i])
			put_page(r->pages[i]); /* a page that the shipper has mapped lives until it lets go */
	vfree(r->pages);
	*r = (struct tmk_ring){};
}
