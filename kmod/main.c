// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading. Nothing is armed before the self-test has seen its writes; nothing of the module is left when exit
 * returns.
 */
#define pr_fmt(fmt) "tidemark: " fmt

#include <linux/init.h>
#include <linux/module.h>

#include "core.h"
#include "internal.h"

static int __init tidemark_init(void)
{
	int rc;

	rc = tmk_hooks_find() ?: tmk_selftest_run();
	if (rc)
		return rc;
	tmk_dump_start();
	rc = tmk_hooks_attach();
	if (rc)
		goto no_hooks;
	rc = tmk_disk_start();
	if (rc)
		goto no_disk;
	rc = tmk_device_start();
	if (rc)
		goto no_device;
	rc = tmk_control_start();
	if (rc)
		goto no_control;
	pr_info("version " TIDEMARK_VERSION ": a test write was seen, the hooks are attached\n");
	return 0;

no_control:
	tmk_device_stop();
no_device:
	tmk_disk_stop();
no_disk:
	tmk_hooks_detach();
no_hooks:
	tmk_dump_stop();
	return rc;
}

static void __exit tidemark_exit(void)
{
	tmk_control_stop();
	tmk_device_stop();
	tmk_disk_stop();
	tmk_hooks_detach();
	tmk_control_settle();
	tmk_dump_stop();
	pr_info("the hooks are detached\n");
}

module_init(tidemark_init);
module_exit(tidemark_exit);
MODULE_LICENSE("GPL");
MODULE_AUTHOR("The Tidemark engineers");
MODULE_DESCRIPTION("Tidemark: sees the writes to block devices");
MODULE_VERSION(TIDEMARK_VERSION);
