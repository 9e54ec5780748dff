// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the Nth thing that tidemark.ko asks the kernel for fail, and counts what it holds. For tests only.
 *
 * Probes (kprobes) stand on the functions of the table, and look whether the caller lies in tidemark.ko: what these functions
 * call in turn is not looked at. What tells the shipper that something happened (tell() in kmod/control.c) runs at a time of its
 * own, and is left out. Has to be loaded before tidemark.ko. In /sys/module/kfault/parameters:
 *
 *   fail     N: the Nth from now on fails, and this is 0 then. 0: none
 *   calls    how often something was asked for
 *   failed   the function that failed last
 *   caller   who asked last
 *   held     asked for and not given back. Exact: what fails gives nothing
 */
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/spinlock.h>

static DEFINE_RAW_SPINLOCK(lock);
static struct module *tidemark; /* NULL: not there; RCU */
static long fail, calls, held;
static char failed[64], caller[KSYM_SYMBOL_LEN];
module_param(fail, long, 0600);
module_param(calls, long, 0400);
module_param(held, long, 0400);
module_param_string(failed, failed, sizeof(failed), 0400);
module_param_string(caller, caller, sizeof(caller), 0400);

/* What a probed function returns instead of being run. */
static noinline notrace void *nothing(void)
{
	return NULL;
}

static noinline notrace long no_memory(void)
{
	return -ENOMEM;
}

/* Of what asks, one of the names has to exist. What gives back and does not exist here, nobody calls. */
struct point {
	const char *names[2];
	void *instead; /* NULL: it gives back */
	int pointer;   /* which argument, from 1 on, is what it gives back: it may be NULL. 0: it always gives something back */
	bool jumps;    /* and ends in another of these, which then returns to its caller */
	struct kprobe probe;
};

static struct point points[] = {
	{{"kmalloc_trace", "__kmalloc_cache_noprof"}, nothing},
	{{"alloc_pages", "alloc_pages_noprof"}, nothing},
	{{"vmalloc_user", "vmalloc_user_noprof"}, nothing},
	{{"vzalloc", "vzalloc_noprof"}, nothing},
	{{"vmap"}, nothing},
	{{"__alloc_skb"}, nothing},
	{{"blk_mq_alloc_tag_set"}, no_memory},
	{{"blk_mq_init_queue", "blk_mq_alloc_queue"}, no_memory},
	{{"blk_mq_alloc_disk_for_queue"}, nothing},
	{{"tracepoint_probe_register"}, no_memory},
	{{"misc_register"}, no_memory},
	{{"register_pm_notifier"}, no_memory},
	{{"netlink_register_notifier"}, no_memory},
	{{"genl_register_family"}, no_memory},

	{{"kfree"}, .pointer = 1},
	{{"__free_pages"}},
	{{"__folio_put"}},
	{{"vfree"}, .pointer = 1, .jumps = true},
	{{"vunmap"}, .jumps = true},
	{{"sk_skb_reason_drop"}, .pointer = 2},
	{{"kfree_skb_reason"}, .pointer = 1},
	{{"netlink_unicast"}},
	{{"blk_mq_free_tag_set"}},
	{{"blk_mq_destroy_queue"}},
	{{"put_disk"}},
	{{"tracepoint_probe_unregister"}},
	{{"misc_deregister"}},
	{{"unregister_pm_notifier"}},
	{{"netlink_unregister_notifier"}},
	{{"genl_unregister_family"}},
};

/* Of what asks: true if it is the one that is to fail. */
static bool is_the_one(const struct point *point)
{
	calls++;
	if (!fail || --fail)
		return false;
	strscpy(failed, point->probe.symbol_name, sizeof(failed));
	return true;
}

static int seen(struct kprobe *probe, struct pt_regs *regs)
{
	struct point *point = container_of(probe, struct point, probe);
	unsigned long from = *(unsigned long *)kernel_stack_pointer(regs);
	static char symbol[KSYM_SYMBOL_LEN];
	static unsigned long jumped;
	struct module *m = READ_ONCE(tidemark);
	bool one = false;
	unsigned long flags;

	if (!m || !within_module(from, m))
		return 0;
	raw_spin_lock_irqsave(&lock, flags);
	sprint_symbol(symbol, from);
	if (!strncmp(symbol, "tell+", 5) || (from == jumped && !point->jumps)) {
		/* left out */
	} else if (point->instead) {
		strscpy(caller, symbol, sizeof(caller));
		one = is_the_one(point);
		held += !one;
	} else if (!point->pointer || regs_get_kernel_argument(regs, point->pointer - 1)) {
		held--;
		jumped = point->jumps ? from : 0;
	}
	raw_spin_unlock_irqrestore(&lock, flags);
	if (one)
		instruction_pointer_set(regs, (unsigned long)point->instead);
	return one;
}

/* A kprobe may go elsewhere only if it has one. */
static void behind(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}

static int loaded(struct notifier_block *block, unsigned long event, void *data)
{
	struct module *m = data;

	if (strcmp(m->name, "tidemark"))
		return NOTIFY_DONE;
	if (event == MODULE_STATE_COMING)
		WRITE_ONCE(tidemark, m);
	else if (event == MODULE_STATE_GOING)
		WRITE_ONCE(tidemark, NULL);
	return NOTIFY_OK;
}
static struct notifier_block watcher = {.notifier_call = loaded};

static void take_away(int count)
{
	while (count--)
		if (points[count].probe.addr)
			unregister_kprobe(&points[count].probe);
}

static int put_at(struct point *point)
{
	int i, ret = -ENOENT;

	for (i = 0; ret == -ENOENT && i < ARRAY_SIZE(point->names) && point->names[i]; i++) {
		point->probe = (struct kprobe){.symbol_name = point->names[i], .pre_handler = seen, .post_handler = behind};
		ret = register_kprobe(&point->probe);
	}
	if (ret) /* what is left of a try */
		point->probe.addr = NULL;
	if (ret == -ENOENT && !point->instead)
		return 0;
	if (ret)
		pr_err("kfault: no probe at %s: error %d\n", point->names[0], ret);
	return ret;
}

static int __init kfault_init(void)
{
	int i, ret;

	for (i = 0; i < ARRAY_SIZE(points); i++) {
		ret = put_at(&points[i]);
		if (ret) {
			take_away(i);
			return ret;
		}
	}
	ret = register_module_notifier(&watcher);
	if (ret)
		take_away(ARRAY_SIZE(points));
	return ret;
}

static void __exit kfault_exit(void)
{
	unregister_module_notifier(&watcher);
	take_away(ARRAY_SIZE(points));
}

module_init(kfault_init);
module_exit(kfault_exit);
MODULE_LICENSE("GPL");
MODULE_AUTHOR("The Tidemark engineers");
MODULE_DESCRIPTION("Tidemark: failures for tests of the module");
