/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the end of a journal, and tells rot from a torn tail (disk.h, I5, R13, R14). The survey reads only. */
#ifndef TMK_JOURNAL_RECOVER_H
#define TMK_JOURNAL_RECOVER_H

#include "journal_segment.h"

#define TMK_JOURNAL_ADVICE                                                                                                       \
	"nothing was changed: put back what belongs together, or `tidemark drop NAME --now` and let the source copy anew"

struct tmk_survey {
	struct tmk_place end;	       /* of the chain; the applied place if it ends before that */
	uint8_t epoch[TMK_EPOCH_SIZE]; /* of its last chunk; zeroes: there is none */
	bool stale;		       /* the chain ends before the applied place: what is there leads nowhere */
	bool unborn;		       /* the last segment never got a header: `unborn_first`, to be removed */
	uint64_t unborn_first;
	bool current;	     /* the segment below exists */
	uint64_t first;	     /* the last segment with a header: */
	uint64_t good, size; /* its bytes up to the last valid entry, and all of them: more is a torn tail */
	uint64_t unproven;   /* where entries begin that nothing later says were durable; at most `good` */
};
/* Journal's options: io, dir, protection, sizes, applied. -EUCLEAN as tmk_journal_open(). */
int tmk_survey(const struct tmk_journal_options *options, struct tmk_survey *out, struct tmk_error *err);
/* Removes what the survey calls unborn or torn, and makes durable what it found. Entries that may never have reached the disk are
 * written once more first: after a flush that failed the page cache holds them, clean, and a second flush would lie (R13). 0 also
 * means that the segment can be written. *fd: the current segment, -1 if there is none. */
int tmk_survey_repair(const struct tmk_journal_options *options, const struct tmk_survey *found, int *fd, struct tmk_error *err);

#endif
