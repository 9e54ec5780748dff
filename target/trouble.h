/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Storage that fails, as the supervisor hears of it: from the applier (replica, and the journal as it reads it), from receivers
 * and recoverers (the journal as they write it), and from its own catalogue. Kept for status, told to the source.
 */
#ifndef TMK_TROUBLE_H
#define TMK_TROUBLE_H

#include "buf.h"

struct tmk_holding;

#define TMK_TROUBLE_MS 5000 /* until what failed is looked at again */

/* What to say behind the description of a fault: empty, or "; ...". */
const char *tmk_trouble_advice(int code);
/* The body of TROUBLE into code and text; 0 and "" if it is over. What is new is logged. -EBADMSG. */
int tmk_trouble_hear(struct tmk_reader *r, const char *name, int *code, char text[512]);
void tmk_trouble_over(int *code, char text[512]);
/* Tells the source, if a session is open and knows something else. catalogue: its trouble, or NULL. */
void tmk_trouble_tell(struct tmk_holding *h, const char *catalogue);

#endif
