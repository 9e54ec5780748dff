/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the verbs of the control socket work on; made by main.c, outlives every call. */
#ifndef TMK_DAEMON_H
#define TMK_DAEMON_H

#include <pthread.h>
#include <stdatomic.h>

#include "config.h"
#include "roster.h"
#include "trackers.h"

struct tmk_daemon {
	struct tmk_config config;
	struct tmk_trackers *trackers;
	struct tmk_roster *roster;
	pthread_mutex_t change; /* one verb at a time that writes to the store */
	atomic_bool stopping;	/* who waits gives up */
};

#endif
