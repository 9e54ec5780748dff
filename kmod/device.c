// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/tidemark: the memory that the shipper reads, by mmap(2), never to be written. A mapping holds the pages it shows, not the
 * disk: of a disk that was detached it shows what was last there.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "core.h"
#include "internal.h"

static int device_open(struct inode *inode, struct file *file)
{
	return capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

static int map_ring(struct vm_area_struct *vma, const struct tmk_ring *r)
{
	unsigned long count = vma_pages(vma);

	if (!r->size || count > 2 * (r->size >> PAGE_SHIFT))
		return -EINVAL;
	return vm_map_pages_zero(vma, r->pages, 2 * (r->size >> PAGE_SHIFT));
}

static int device_mmap(struct file *file, struct vm_area_struct *vma)
{
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT, what = offset & (TIDEMARK_MAP_NOW | TIDEMARK_MAP_TAKEN);
	u32 number = offset >> TIDEMARK_MAP_SHIFT;
	struct tmk_disk *d;
	int ret;

	if (vma->vm_flags & VM_WRITE || number >= TIDEMARK_DISKS || offset != ((u64)number << TIDEMARK_MAP_SHIFT | what) ||
	    what == (TIDEMARK_MAP_NOW | TIDEMARK_MAP_TAKEN))
		return -EINVAL;
	tmk_compat_vm_flags(vma, VM_DONTEXPAND | VM_DONTDUMP, VM_MAYWRITE); /* files' contents are no business of a core dump */
	mutex_lock(&tmk_core_lock);
	d = tmk_disks[number];
	if (!d)
		ret = -ENODEV;
	else if (what == TIDEMARK_MAP_RING)
		ret = map_ring(vma, &d->protection->ring);
	else if (what == TIDEMARK_MAP_NOW)
		ret = remap_vmalloc_range(vma, d->map.now, 0);
	else
		ret = remap_vmalloc_range(vma, d->map.taken, 0);
	mutex_unlock(&tmk_core_lock);
	return ret;
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.open = device_open,
	.mmap = device_mmap,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = TIDEMARK_DEVICE,
	.mode = 0600,
	.fops = &operations,
};

int tmk_device_start(void)
{
	return misc_register(&device);
}

void tmk_device_stop(void)
{
	misc_deregister(&device);
}
