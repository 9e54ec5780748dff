/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a receiver may do once it parses the network: nothing but its connection, its channel and files in its journal.
 * User without rights, no new privileges, Landlock where the kernel has it, a seccomp allow-list (a violation kills the
 * process), limits. Descriptors were closed by child.c.
 */
#ifndef TMK_SANDBOX_H
#define TMK_SANDBOX_H

#include <sys/types.h>

#include "error.h"

struct tmk_sandbox_user {
	uid_t uid;
	gid_t gid;
};
/* The user that `name` means: "" is `tidemark`, or `nobody` if there is none. Not root: the process's own, as there is no
 * other to change to. *fallback tells that it is not the one meant. -ENOENT: a name that was given does not exist; root: -EINVAL.
 */
int tmk_sandbox_user(const char *name, struct tmk_sandbox_user *out, int *fallback, struct tmk_error *err);

/* Before the first byte from the network. protections: descriptor of DIR/protections, beyond which no file can be opened. */
int tmk_sandbox_enter(const struct tmk_sandbox_user *user, int protections, struct tmk_error *err);
/* Once the journal's directory is known: no file elsewhere can be opened any more. */
int tmk_sandbox_narrow(int journal, struct tmk_error *err);
/* Does this kernel have Landlock? The supervisor says so at start if it has not. */
int tmk_sandbox_landlock(void);

#endif
