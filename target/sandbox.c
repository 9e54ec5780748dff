/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The receiver's sandbox: see sandbox.h. Nothing here waits. */
#include <errno.h>
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"
#include "sandbox.h"

int tmk_sandbox_user(const char *name, struct tmk_sandbox_user *out, int *fallback, struct tmk_error *err)
{
	*fallback = 0;
	if (geteuid() != 0) {
		*out = (struct tmk_sandbox_user){geteuid(), getegid()};
		*fallback = 1;
		return 0;
	}
	struct passwd *p = getpwnam(name[0] ? name : "tidemark");
	if (!p && !name[0]) {
		p = getpwnam("nobody");
		*fallback = 1;
	}
	if (!p)
		return tmk_error_set(err, -ENOENT, "there is no user %s: create it (adduser --system %s) or change `user`",
				     name[0] ? name : "nobody", name[0] ? name : "tidemark");
	if (p->pw_uid == 0)
		return tmk_error_set(err, -EINVAL, "user %s is root: receivers need a user without rights", name);
	*out = (struct tmk_sandbox_user){p->pw_uid, p->pw_gid};
	return 0;
}

static int drop_user(const struct tmk_sandbox_user *user, struct tmk_error *err)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0)
		return tmk_error_sys(err, -errno, "cannot become user %u", user->uid);
	if (setresuid(0, 0, 0) == 0)
		return tmk_error_set(err, -EPERM, "could become root again after giving it up");
	tmk_child_follow();
	return 0;
}

static int limit(int resource, rlim_t value)
{
	struct rlimit r = {value, value};
	return setrlimit(resource, &r) < 0 ? -errno : 0;
}

static int set_limits(struct tmk_error *err)
{
	int bad = limit(RLIMIT_CORE, 0);
	if (!bad)
		bad = limit(RLIMIT_NOFILE, 64);
#if !defined(__SANITIZE_ADDRESS__) /* its shadow takes terabytes of addresses */
	if (!bad)
		bad = limit(RLIMIT_AS, 1ul << 30);
#endif
	return bad ? tmk_error_sys(err, bad, "cannot set resource limits") : 0;
}

#define FILES                                                                                                                    \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |                            \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG)
#define ALL_OF_ABI1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

int tmk_sandbox_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

int tmk_sandbox_narrow(int beneath, struct tmk_error *err)
{
	if (!tmk_sandbox_landlock())
		return 0;
	struct landlock_ruleset_attr attr = {.handled_access_fs = ALL_OF_ABI1};
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (rules < 0)
		return tmk_error_sys(err, -errno, "cannot make a Landlock ruleset");
	struct landlock_path_beneath_attr path = {.allowed_access = FILES, .parent_fd = beneath};
	int bad = 0;
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &path, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		bad = tmk_error_sys(err, -errno, "cannot enter the Landlock sandbox");
	close(rules);
	return bad;
}

static const int allowed[] = {
	/* the connection and the channel */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(shutdown),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockname),
	/* the journal; where files can be opened is Landlock's and the user's business */
	SCMP_SYS(openat),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(lseek),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(preadv),
	SCMP_SYS(pwritev),
	SCMP_SYS(fdatasync),
	SCMP_SYS(fsync),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(fadvise64),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(unlinkat),
	SCMP_SYS(getdents64),
	SCMP_SYS(flock),
	SCMP_SYS(fstatfs),
	SCMP_SYS(fcntl),
	SCMP_SYS(dup),
	/* memory, time, randomness */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getrandom),
	SCMP_SYS(sched_yield),
	SCMP_SYS(restart_syscall),
	/* itself */
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getppid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
	SCMP_SYS(getrusage),
	/* can only take rights away */
	SCMP_SYS(landlock_create_ruleset),
	SCMP_SYS(landlock_add_rule),
	SCMP_SYS(landlock_restrict_self),
};

/* Memory may never be executable that was writable; signals go to the process itself (abort). */
static int add_conditional(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp not_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	const struct scmp_arg_cmp to_self = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid());
	int bad = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &not_exec);
	if (!bad)
		bad = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &not_exec);
	if (!bad)
		bad = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &to_self);
	return bad;
}

static int filter_calls(struct tmk_error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return tmk_error_set(err, -ENOMEM, "cannot make a seccomp filter: no memory");
	int bad = 0;
	for (size_t i = 0; !bad && i < sizeof(allowed) / sizeof(*allowed); i++)
		bad = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!bad)
		bad = add_conditional(filter);
	if (!bad)
		bad = seccomp_load(filter);
	seccomp_release(filter);
	return bad ? tmk_error_sys(err, bad, "cannot load the seccomp filter") : 0;
}

int tmk_sandbox_enter(const struct tmk_sandbox_user *user, int protections, struct tmk_error *err)
{
	int bad = drop_user(user, err);
	if (bad)
		return bad;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return tmk_error_sys(err, -errno, "cannot give up privileges for good");
	bad = tmk_sandbox_narrow(protections, err);
	if (!bad)
		bad = set_limits(err);
	return bad ? bad : filter_calls(err);
}
